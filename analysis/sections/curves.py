"""Learning curves of each winner: training and test loss over epochs, with their spread over draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Block,
    Cell,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    study_files,
)
from analysis.records.study import Study, TrialRecord
from analysis.sections.probes import probe_blocks
from analysis.statistics.homework import winner_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = (
    "train_loss_mean",
    "train_loss_q10",
    "train_loss_q90",
    "test_loss_mean",
    "test_loss_q10",
    "test_loss_q90",
    "in_range_loss_mean",
    "out_of_range_loss_mean",
    "pass_rate",
)
STAGE_WORDS = {
    "certificate": "the certificate's fresh draws",
    "finalist": "a finalist's fresh draws (no certificate yet)",
    "search": "the best search trial (no certificate yet, so its losses flatter)",
}


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "Lines are means over draws, bands hold the middle 80 % of them (10 % to 90 %). Each draw has its own "
            "data, split, initial weights and order. The epoch axis is logarithmic."
        )
    ]
    for study, name, file_name in zip(studies, names, study_files("curves", studies), strict=True):
        blocks.append(curve_block(study, name, file_name))
        if (record := winner_record(study)) is not None:
            blocks += probe_blocks(record, name, file_name.replace("curves", "probes", 1))
    return Section("curves", "Learning curves", tuple(blocks))


def curve_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    record = winner_record(study)
    if record is None:
        return Paragraph(f"{name}: not shown: no trial has given a loss.", "missing")
    present = [key for key in SERIES if any(value is not None for value in record.curves.get(key, ()))]
    if not record.epoch_grid or "test_loss_mean" not in present:
        return Paragraph(f"{name}: not shown: the record holds no curve.", "missing")
    n = len(record.test_loss)
    at = record.epoch_grid.index(record.epochs) if record.epochs in record.epoch_grid else len(record.epoch_grid) - 1
    values = {key: record.curves[key][at] for key in present}
    alt = (
        f"{name}: at epoch {record.epoch_grid[at]} mean training loss "
        + " and mean test loss ".join(
            "not measured" if (value := values.get(key)) is None else number_text(value)
            for key in ("train_loss_mean", "test_loss_mean")
        )
        + f" over {n} draws; goal {number_text(study.header.goal)}"
    )
    alt += "." if study.header.floor is None else f", expected floor {number_text(study.header.floor)}."
    data = ReportTable(
        file_name,
        "",
        (ReportColumn("epoch", "Epoch"), *(ReportColumn(key, key) for key in present)),
        tuple((epoch, *(_cell(record.curves[key], i) for key in present)) for i, epoch in enumerate(record.epoch_grid)),
    )
    return Picture(
        file_name,
        f"{name}, n = {n} draws: {STAGE_WORDS.get(record.stage, record.stage)}. The upright line is the epoch the "
        "setting names.",
        alt,
        lambda: draw_curves(study, record, name),
        data,
    )


def _cell(values: Sequence[float | None], i: int) -> Cell:
    value = values[i] if i < len(values) else None
    return Missing("not measured") if value is None else value


def curve_line(record: TrialRecord, key: str) -> list[float]:
    """Return one curve of a record for a logarithmic axis: NaN where nothing above 0 was measured."""
    values = record.curves.get(key, [])
    return [
        math.nan if i >= len(values) or (value := values[i]) is None or value <= 0 else value
        for i in range(len(record.epoch_grid))
    ]


def draw_curves(study: Study, record: TrialRecord, name: str) -> Figure:
    """Draw training and test loss with their bands, out-of-range loss, goal, floor and the chosen epoch."""
    from analysis.formats.style import (
        BLACK,
        BLUE,
        GRAY,
        GREEN,
        ORANGE,
        RED,
        framed_axes,
        horizontal,
        new_figure,
        plain_ticks,
    )

    figure = new_figure(8.6, 3.6)
    axes = framed_axes(figure, 0.8, 0.55, 2.05, 0.35)
    epochs = record.epoch_grid
    for key, color, text, marker in (("train", GREEN, "training", "o"), ("test", BLUE, "test", "s")):
        axes.fill_between(
            epochs,
            curve_line(record, f"{key}_loss_q10"),
            curve_line(record, f"{key}_loss_q90"),
            color=color,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(epochs, curve_line(record, f"{key}_loss_mean"), color=color, label=text, marker=marker, markersize=3)
    if any(value is not None for value in record.curves.get("out_of_range_loss_mean", ())):
        axes.plot(
            epochs, curve_line(record, "out_of_range_loss_mean"), color=ORANGE, linestyle="--", label="out of range"
        )
    horizontal(axes, study.header.goal, RED, f"goal {study.header.goal:g}")
    if study.header.floor:
        horizontal(axes, study.header.floor, BLACK, f"expected floor {number_text(study.header.floor)}", (1, 1.5))
    axes.axvline(record.epochs, color=GRAY, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(name)
    axes.set_xlabel("epoch (logarithmic)")
    axes.set_ylabel("loss (logarithmic)")
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
