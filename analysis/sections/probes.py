"""What probes found in each winner's networks: gradients, layers, weights by epoch, where the spec asks for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import Block, Cell, Missing, Paragraph, Picture, ReportColumn, ReportTable, number_text
from analysis.records.study import TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN = "_mean"
PER_ROW = 3
"""Panels beside each other."""
WORDS = {
    "gradient_norm": "norm of the gradient",
    "gradient_size": "gradient by layer (rms)",
    "output_size": "outputs by layer (rms)",
    "layer_mean": "mean output by layer",
    "layer_variance": "variance of outputs by layer",
    "layer_dead": "share of dead units by layer",
    "weight_norm": "norm of the weights",
    "weight_quantiles": "quantiles of the weights",
    "zero_weights": "share of weights that are 0",
    "clean_loss": "loss on clean labels",
    "wrong_loss": "loss on wrong labels",
    "steps": "updates",
}
SIGNED = ("layer_mean", "weight_quantiles")
"""What may be below 0; the other axes are logarithmic where nothing on them is 0."""


def probed_names(record: TrialRecord) -> list[str]:
    """Return the probes of a record, a name for all layers of one, in the order of `WORDS`."""
    found = {key.removesuffix(MEAN).partition(".")[0] for key in record.probes if key.endswith(MEAN)}
    return [*(name for name in WORDS if name in found), *sorted(found - set(WORDS))]


def lines_of(record: TrialRecord, probe: str) -> dict[str, str]:
    """Return the record's names of a probe's lines, by what the reader calls them."""
    keys = [key for key in record.probes if key.endswith(MEAN) and key.removesuffix(MEAN).partition(".")[0] == probe]
    parts = {key.removesuffix(MEAN).partition(".")[2]: key.removesuffix(MEAN) for key in keys}
    return {_line(part): parts[part] for part in sorted(parts, key=lambda part: (len(part), part))}


def _line(part: str) -> str:
    if part.startswith("q"):
        return f"{part[1:]} %"
    return f"layer {part}" if part else ""


def probe_blocks(record: TrialRecord, name: str, file_name: str) -> list[Block]:
    """Return the picture of what probes found in a record's networks; nothing where the spec names no probe.

    Parameters
    ----------
    record : TrialRecord
    name : str
        What the reader calls the study.
    file_name : str
        Of the picture.
    """
    names = probed_names(record)
    known = [one for one in names if any(_values(record, key) for key in lines_of(record, one).values())]
    blocks: list[Block] = []
    if known:
        blocks.append(_picture(record, name, file_name, known))
    if empty := [WORDS.get(one, one) for one in names if one not in known]:
        blocks.append(
            Paragraph(
                f"{name}: nothing to measure for {', '.join(empty)}: no hidden layer, no wrong label, or no replica "
                "that has not diverged.",
                "missing",
            )
        )
    return blocks


def _values(record: TrialRecord, key: str) -> list[float]:
    return [value for value in record.probes[f"{key}{MEAN}"] if value is not None]


def _picture(record: TrialRecord, name: str, file_name: str, probes: Sequence[str]) -> Picture:
    lines = {(probe, words): key for probe in probes for words, key in lines_of(record, probe).items()}
    ends = [
        f"{', '.join(filter(None, (WORDS.get(probe, probe), words)))} {number_text(one[0])} to {number_text(one[-1])}"
        for (probe, words), key in lines.items()
        if (one := _values(record, key))
    ]
    rows = [
        (probe, words, epoch, *(_cell(record, f"{key}{end}", i) for end in (MEAN, "_q10", "_q90")))
        for (probe, words), key in lines.items()
        for i, epoch in enumerate(record.epoch_grid)
    ]
    columns = (
        ReportColumn("probe", "Probe", "text"),
        ReportColumn("line", "Of", "text"),
        ReportColumn("epoch", "Epoch"),
        ReportColumn("mean", "Mean"),
        ReportColumn("q10", "10 %"),
        ReportColumn("q90", "90 %"),
    )
    return Picture(
        file_name,
        f"{name}, n = {len(record.seeds)} draws: what the spec's probes found in the same networks. Lines are means "
        "over the draws that have not diverged; where a panel has one line, a band holds the middle 80 % of them. "
        "Gradients, outputs and losses are of the training points, gradients without penalty and with the points' own "
        "labels. The upright line is the epoch the setting names.",
        f"{name}: from the first look to the last " + "; ".join(ends) + ".",
        lambda: draw_probes(record, probes),
        ReportTable(file_name, "", columns, tuple(rows)),
    )


def _cell(record: TrialRecord, key: str, i: int) -> Cell:
    value = record.probes[key][i]
    return Missing("not measured") if value is None else value


def draw_probes(record: TrialRecord, probes: Sequence[str]) -> Figure:
    """Draw one panel a probe over the epochs, a line for each layer or quantile."""
    from analysis.formats.style import COLORS, GRAY, new_figure, plain_ticks

    n_columns = min(PER_ROW, len(probes))
    n_rows = math.ceil(len(probes) / n_columns)
    width, height = 0.3 + 2.8 * n_columns, 0.2 + 2.3 * n_rows
    figure = new_figure(width, height)
    for k, probe in enumerate(probes):
        row, column = divmod(k, n_columns)
        place = ((0.75 + 2.8 * column) / width, (0.5 + 2.3 * (n_rows - 1 - row)) / height, 2.0 / width, 1.5 / height)
        axes = figure.add_axes(place)
        lines = lines_of(record, probe)
        for (words, key), color in zip(lines.items(), COLORS * 3, strict=False):
            mean, low, high = (_line_values(record, f"{key}{end}") for end in (MEAN, "_q10", "_q90"))
            if len(lines) == 1:
                axes.fill_between(record.epoch_grid, low, high, color=color, alpha=0.18, linewidth=0)
            axes.plot(record.epoch_grid, mean, "o-", color=color, markersize=2.5, linewidth=1.2, label=words)
        axes.axvline(record.epochs, color=GRAY, linewidth=1.0)
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        known = [value for key in lines.values() for value in _values(record, key)]
        if probe not in SIGNED and min(known, default=0.0) > 0:
            axes.set_yscale("log")
            plain_ticks(axes, "y")
        axes.tick_params(labelsize=6, which="both")
        axes.set_title(WORDS.get(probe, probe), fontsize=8)
        if row == n_rows - 1 or k + n_columns >= len(probes):
            axes.set_xlabel("epoch (logarithmic)", fontsize=7)
        if len(lines) > 1:
            axes.legend(fontsize=5)
    return figure


def _line_values(record: TrialRecord, key: str) -> list[float]:
    return [math.nan if value is None else value for value in record.probes[key]]
