"""Neighbours, kernels and networks: training error, test error, and what is left of it beyond the range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, listed, measured, title
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Paragraph, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
MODEL, K, DISTANCE, RIDGE = "work.model", "work.k", "work.distance", "work.ridge"
SHAPE = "network.hidden_layer_sizes"
MARGIN = 0.02
ONE: dict[str, Level] = {MODEL: "neighbours", K: 1, DISTANCE: "euclidean"}
TEN: dict[str, Level] = {MODEL: "neighbours", K: 10, DISTANCE: "euclidean"}
ONE_MANHATTAN: dict[str, Level] = {**ONE, DISTANCE: "manhattan"}
TEN_MANHATTAN: dict[str, Level] = {**TEN, DISTANCE: "manhattan"}
KERNEL: dict[str, Level] = {MODEL: "kernel_ridge", RIDGE: 0.0}
RIDGED: dict[str, Level] = {MODEL: "kernel_ridge", RIDGE: 0.1}
OWN: dict[str, Level] = {MODEL: "network_kernel", RIDGE: 0.001}
NARROW: dict[str, Level] = {MODEL: "network", SHAPE: "8"}
WIDE: dict[str, Level] = {MODEL: "network", SHAPE: "512"}


def wrong(cell: CellRecord, split: str = "in_range") -> FloatArray:
    """Return the share of wrong points of a split, NaN where it has none."""
    return measured(cell, f"wrong_{split}")


def _samples(cells: Cells, a: dict[str, Level], b: dict[str, Level] | None, split: str) -> list[Sample]:
    """Return a's share of wrong points, less b's where it is given, of each set."""
    found = []
    for dataset in cells.datasets("models"):
        one = cells.one("models", {"dataset": dataset, **a})
        other = None if b is None else cells.one("models", {"dataset": dataset, **b})
        if one is not None and (b is None or other is not None):
            less = 0.0 if other is None else wrong(other, split)
            found.append(Sample(title(dataset), "median", wrong(one, split) - less))
    return found


def claims(cells: Cells) -> list[Claim]:
    """Return the claims about models that fit every point."""

    def zero(words: str, levels: dict[str, Level]) -> Claim:
        values = [wrong(cell, "train") for cell in cells.of("models", levels)]
        n = sum(map(len, values))
        made = float(sum((one == 0).sum() for one in values))
        return claim("37", words, say("of {n} draws those without a training error", n=n), "equals", float(n),
                     [Sample("", "exact", np.array([made]))] if n else [], budget=say("exact"))  # fmt: skip

    def less(one: str, other: str) -> str:
        return say(
            "share of wrong points in range, {one} less that of {other} (median over draws)", one=one, other=other
        )

    return [
        zero(say("One nearest neighbour makes no training error"), ONE),
        zero(say("Kernel regression without a ridge makes none either"), KERNEL),
        claim(
            "37",
            say("Ten neighbours generalize better than one"),
            less(say("ten neighbours'"), say("one")),
            "below",
            0.0,
            _samples(cells, TEN, ONE, "in_range"),
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("The distance matters: Manhattan differs from Euclidean by more than 2 in 100"),
            less(say("with Manhattan distance"), say("Euclidean, one neighbour")),
            "above",
            MARGIN,
            [Sample(one.condition, "median", np.abs(one.x)) for one in _samples(cells, ONE_MANHATTAN, ONE, "in_range")],
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("A ridge helps a kernel where labels are noisy"),
            less(say("with a ridge"), say("without")),
            "below",
            0.0,
            _samples(cells, RIDGED, KERNEL, "in_range"),
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("Kernels do it more simply: as good as a trained network, to 2 in 100"),
            less(say("kernel ridge regression's"), say("eight trained units")),
            "below",
            MARGIN,
            _samples(cells, RIDGED, NARROW, "in_range"),
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("A very wide network is like its own kernel at the start, to 2 in 100"),
            less(say("512 trained units'"), say("their kernel")),
            "within",
            0.0,
            _samples(cells, WIDE, OWN, "in_range"),
            margin=MARGIN,
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("One hidden layer approximates what it is shown: 512 units at their start do, by their kernel"),
            say("share of wrong training points of ridge regression with the units' kernel (median over draws)"),
            "below",
            0.1,
            _samples(cells, OWN, None, "train"),
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("Beyond the range the network of eight is better than ten neighbours"),
            say("share of wrong points beyond the range, the network's less ten neighbours' (median over draws)"),
            "below",
            0.0,
            _samples(cells, NARROW, TEN, "out_of_range"),
            budget=say("same draws"),
        ),
        claim(
            "37",
            say("... and than kernel ridge regression"),
            say("share of wrong points beyond the range, the network's less the kernel's (median over draws)"),
            "below",
            0.0,
            _samples(cells, NARROW, RIDGED, "out_of_range"),
            budget=say("same draws"),
        ),
    ]


def name_of(cell: CellRecord) -> str:
    """Return a model in words."""
    p = cell.params
    if p[MODEL] == "neighbours":
        return say("{k} nearest, {distance}", k=p[K], distance=p[DISTANCE])
    if p[MODEL] == "network":
        return say("network, {shape} units", shape=p[SHAPE])
    ridge = say(", ridge {ridge:g}", ridge=float(str(p[RIDGE]))) if p[RIDGE] else ""
    return f"{say('Gaussian kernel') if p[MODEL] == 'kernel_ridge' else say('kernel of 512 units')}{ridge}"


SPLITS = (("train", later("Training")), ("in_range", later("In range")), ("out_of_range", later("Beyond")))


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    return [
        _picture(cells),
        _table(cells),
        Paragraph(
            say(
                "That one hidden layer can approximate any continuous function on a box is a theorem (Cybenko 1989; "
                "Hornik 1991), which no measurement decides; it says nothing of what training finds."
            )
        ),
    ]


def _table(cells: Cells) -> ReportTable:
    rows: list[tuple[Cell, ...]] = [
        (title(str(cell.params["dataset"])), name_of(cell),
         *(shown(median_interval(values[~np.isnan(values)])) for name, _ in SPLITS for values in [wrong(cell, name)]))
        for cell in cells.of("models")
    ]  # fmt: skip
    return ReportTable(
        "nonparametric-errors",
        say("Share of wrong signs, medians over draws: at the training points, in range, and beyond the range."),
        (ReportColumn("set", say("Set"), "text"), ReportColumn("model", say("Model"), "text"),
         *(ReportColumn(name, words, "interval") for name, words in SPLITS)),
        tuple(rows),
    )  # fmt: skip


def _picture(cells: Cells) -> Picture:
    rows = [
        (title(str(cell.params["dataset"])), name_of(cell), str(words), float(np.nanmedian(wrong(cell, name))))
        for cell in cells.of("models")
        for name, words in SPLITS
        if not np.isnan(wrong(cell, name)).all()
    ]
    return Picture(
        "nonparametric-bars",
        say("Median share of wrong signs at the training points, in range and beyond it, a panel a set."),
        say("A group of bars for each model."),
        lambda: _draw(cells),
        ReportTable("nonparametric-bars", "", (ReportColumn("set", say("Set"), "text"),
                    ReportColumn("model", say("Model"), "text"), ReportColumn("where", say("Where"), "text"),
                    ReportColumn("wrong", say("Wrong"))), tuple(rows)),
    )  # fmt: skip


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import BLUE, GRAY, RED, new_figure

    datasets = cells.datasets("models")
    figure = new_figure(2.1 * max(1, len(datasets)) + 1.9, 3.4)
    width = 2.1 * max(1, len(datasets)) + 1.9
    for i, dataset in enumerate(datasets):
        axes = figure.add_axes(((1.8 + 2.1 * i) / width, 0.13, 1.9 / width, 0.77))
        found = cells.of("models", {"dataset": dataset})
        places = np.arange(len(found))
        for k, ((name, words), color) in enumerate(zip(SPLITS, (GRAY, BLUE, RED), strict=True)):
            values = [float(np.median(one[~np.isnan(one)])) if not np.isnan(one).all() else 0.0
                      for one in (wrong(cell, name) for cell in found)]  # fmt: skip
            axes.barh(places + 0.27 * (k - 1), values, 0.25, color=color, label=words)
        axes.set_yticks(places, [name_of(cell) for cell in found] if i == 0 else [""] * len(found), fontsize=6)
        axes.invert_yaxis()
        axes.tick_params(axis="x", labelsize=6)
        axes.set_title(title(dataset), fontsize=8)
        if i == 0:
            axes.legend(fontsize=6)
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    for dataset in cells.datasets("models"):
        found = [
            say(
                "{words} {inside:.1%} and {beyond:.1%}",
                words=words,
                inside=np.median(wrong(cell)),
                beyond=np.nanmedian(wrong(cell, "out_of_range")),
            )
            for words, levels in (
                (say("one neighbour"), ONE),
                (say("ten"), TEN),
                (say("kernel ridge"), RIDGED),
                (say("8 units"), NARROW),
            )
            if (cell := cells.one("models", {"dataset": dataset, **levels})) is not None
            and not np.isnan(wrong(cell, "out_of_range")).all()
        ]
        parts.append(f"{title(dataset)}: {', '.join(found)}")
    return say("Wrong in range and beyond it: {parts}.", parts=listed(parts, "; "))


LESSON = Lesson(later("Neighbours, kernels, networks"), claims, blocks, answer)
