"""From scratch: seconds of our engine against frameworks, and of widths that are powers of two against others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, measured, pooled, sooner
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
BY, SHAPE, BATCH, SIZE = "work.implementation", "network.hidden_layer_sizes", "training.batch_size", "work.size"
NAMES = {"engine": later("our engine"), "pytorch": "PyTorch", "sklearn": "scikit-learn"}
SLOWER = 0.02
"""Difference of logarithms that counts as none: 2 % of the time."""
LOADED = later(
    "The machine was busy: in more than a quarter of the cells the slower repetitions of equal work took 1.25 times as "
    "long as the quicker ones. Nothing about seconds is decided; run it again on an idle machine."
)
BUDGET = later("same weights, batches and thread; seconds of this run")


STEADY, MOST_UNSTEADY = 1.25, 0.25
"""Third over first quartile of repetitions that counts as steady; share of cells that may be unsteady."""


def is_loaded(cells: Cells) -> bool:
    """Return whether the machine was busy with something else: repetitions of equal work took unequal time.

    What is timed is deterministic and runs on one thread, so that its spread is the machine's.
    """
    spreads = [np.quantile(one, 0.75) / np.quantile(one, 0.25) for cell in cells.all if len(one := seconds(cell)) > 1]
    return bool(spreads) and float(np.mean(np.array(spreads) > STEADY)) > MOST_UNSTEADY


def undecided(one: Claim) -> Claim:
    """Return a claim whose samples say nothing: what a loaded machine measures decides nothing."""
    samples = tuple(dataclasses.replace(sample, x=sample.x[:1]) for sample in one.samples)
    return dataclasses.replace(one, samples=samples, over_all=pooled(samples))


def seconds(cell: CellRecord | None) -> FloatArray:
    """Return what each repetition took; nothing where it was not kept (a sealed copy of the records alone)."""
    return np.array([] if cell is None else cell.seconds, np.float64)


def _shapes(cells: Cells) -> list[tuple[str, dict[str, Level]]]:
    return [
        (say("{shape}, batch {batch}", shape=shape, batch=batch), {SHAPE: shape, BATCH: batch})
        for shape in cells.levels("training", SHAPE)
        for batch in cells.levels("training", BATCH)
    ]


def _faster(cells: Cells, a: str, b: str) -> list[Sample]:
    found = []
    for name, levels in _shapes(cells):
        one, other = (seconds(cells.one("training", {**levels, BY: by})) for by in (a, b))
        if len(one) and len(one) == len(other):
            found.append(Sample(name, "share", sooner(one, other)))
    return found


def _log_ratio(cells: Cells, design: str, a: dict[str, Level], b: dict[str, Level]) -> FloatArray:
    one, other = seconds(cells.one(design, a)), seconds(cells.one(design, b))
    return np.log(one / other) if len(one) == len(other) else np.array([])


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about seconds; all but the first are of this run on this machine."""
    gaps = [measured(cell, "score_gap") for cell in cells.of("training")]
    values = np.concatenate(gaps) if gaps else np.array([])
    equal = claim(
        "34",
        say("All compute the same: scores after an epoch agree to one in a hundred"),
        say("of {n_values} trainings those whose scores are our engine's", n_values=len(values)),
        "equals",
        float(len(values)),
        [Sample("", "exact", np.array([float((values == 0).sum())]))] if len(values) else [],
        budget="exact",
    )
    timed = [
        claim(
            "34",
            say("A framework is faster than code from scratch: {names} than our engine", names=NAMES[name]),
            say("share of repetitions in which {names}'s epoch takes less time", names=NAMES[name]),
            "above",
            0.5,
            _faster(cells, name, "engine"),
            budget=BUDGET,
        )
        for name in ("pytorch", "sklearn")
    ]
    widths = []
    for by in cells.levels("widths", BY):
        for other in ("255-255", "250-250"):
            ratio = _log_ratio(cells, "widths", {BY: by, SHAPE: "256-256"}, {BY: by, SHAPE: other})
            if len(ratio):
                widths.append(Sample(f"{NAMES[str(by)]}, {other}", "median", ratio))
    sizes = []
    for size in cells.levels("products", SIZE):
        ratio = _log_ratio(cells, "products", {SIZE: 1024}, {SIZE: size})
        if size != 1024 and len(ratio):
            sizes.append(Sample(f"{size}", "median", ratio + 3.0 * np.log(float(str(size)) / 1024.0)))
    timed += [
        claim(
            "33",
            say("Widths that are powers of two are faster: 256 than 255 and 250"),
            say("logarithm of the seconds with 256 units over those with the other width (median over repetitions)"),
            "below",
            0.0,
            widths,
            budget=BUDGET,
        ),
        claim(
            "33",
            say("A product of aligned matrices is faster, an operation: 1024 rows than 1025 to 1032"),
            say("logarithm of the seconds an operation with 1024 rows over those with more (median over repetitions)"),
            "below",
            -SLOWER,
            sizes,
            budget=BUDGET,
        ),
    ]
    if is_loaded(cells):
        timed = [undecided(one) for one in timed]
    return [equal, *(dataclasses.replace(one, timed=True) for one in timed)]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    failed = [cell.reason for cell in cells.all if cell.reason is not None]
    missing: list[Block] = [Paragraph(say("Not compared: {failed}.", failed=failed[0]), "missing")] if failed else []
    if is_loaded(cells):
        missing.append(Paragraph(LOADED, "missing"))
    return [*missing, _picture(cells), _training_table(cells), _other_table(cells)]


def _time(cell: CellRecord | None) -> Cell:
    values = seconds(cell)
    return shown(median_interval(values)) if len(values) else Missing(say("not measured here"))


def _training_table(cells: Cells) -> ReportTable:
    rows = [
        (name, *(_time(cells.one("training", {**levels, BY: by})) for by in NAMES)) for name, levels in _shapes(cells)
    ]
    return ReportTable(
        "from-scratch-seconds",
        say("Seconds of an epoch over 512 images, one thread: medians over repetitions, in this run on this machine."),
        (
            ReportColumn("network", say("Network"), "text"),
            *(ReportColumn(by, words, "interval") for by, words in NAMES.items()),
        ),
        tuple(rows),
    )


def _other_table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = [
        (f"{NAMES[str(cell.params[BY])]}, {cell.params[SHAPE]}", _time(cell)) for cell in cells.of("widths")
    ]
    rows += [
        (say("product of {params} x {params}", params=cell.params[SIZE]), _time(cell)) for cell in cells.of("products")
    ]
    return ReportTable(
        "from-scratch-widths",
        say("Seconds by width and by size: medians over repetitions, in this run on this machine."),
        (ReportColumn("what", say("What"), "text"), ReportColumn("seconds", say("Seconds"), "interval")),
        tuple(rows),
    )


def _picture(cells: Cells) -> Picture:
    rows = [
        (name, NAMES[by], float(np.median(values)))
        for name, levels in _shapes(cells)
        for by in NAMES
        if len(values := seconds(cells.one("training", {**levels, BY: by})))
    ]
    return Picture(
        "from-scratch-bars",
        say("Median seconds of an epoch by network and batch, a colour for each implementation."),
        say("Bars on a logarithmic scale."),
        lambda: _draw(cells),
        ReportTable(
            "from-scratch-bars",
            "",
            (
                ReportColumn("network", say("Network"), "text"),
                ReportColumn("by", say("By"), "text"),
                ReportColumn("seconds", say("Seconds")),
            ),
            tuple(rows),
        ),
    )


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure, plain_ticks

    found = _shapes(cells)
    figure = new_figure(6.5, 2.9)
    axes = framed_axes(figure, 0.7, 0.8, 0.1, 0.1)
    for k, (by, color) in enumerate(zip(NAMES, COLORS, strict=False)):
        for i, (_, levels) in enumerate(found):
            values = seconds(cells.one("training", {**levels, BY: by}))
            if len(values):
                axes.bar(
                    i + 0.27 * (k - 1), float(np.median(values)), 0.25, color=color, label=NAMES[by] if i == 0 else ""
                )
    axes.set_yscale("log")
    plain_ticks(axes, "y")
    axes.set_xticks(range(len(found)), [name.replace(", ", "\n") for name, _ in found], fontsize=7)
    axes.set_ylabel(say("seconds an epoch"), fontsize=8)
    axes.legend(fontsize=7)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for name, levels in _shapes(cells):
        times = [
            f"{NAMES[by]} {1000 * np.median(values):.3g}"
            for by in NAMES
            if len(values := seconds(cells.one("training", {**levels, BY: by})))
        ]
        if times:
            parts.append(f"{name}: {', '.join(times)}")
    busy = say(" The machine was busy: nothing about seconds is decided.") if is_loaded(cells) else ""
    return say(
        "Milliseconds an epoch in this run: {times}.{busy}",
        times="; ".join(parts) or say("not measured here"),
        busy=busy,
    )


LESSON = Lesson(later("From scratch or a framework"), claims, blocks, answer)
