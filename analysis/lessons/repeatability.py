"""Repeatability: how far apart the test losses of five restarts are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, measured, sooner
from analysis.course.comparing import claim
from analysis.course.lesson import Lesson
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE = "network.hidden_layer_sizes"
FIVE = 5
WORDS = {"held": "data held", "drawn": "data drawn anew"}


def ratios(cell: CellRecord) -> FloatArray:
    """Return highest over lowest test loss of each five restarts, in the order they were made."""
    loss = last(cell, "test")
    n = len(loss) // FIVE
    fives = loss[: n * FIVE].reshape(n, FIVE)
    return np.asarray(fives.max(axis=1) / fives.min(axis=1))


def _shapes(cells: Cells, design: str) -> list[CellRecord]:
    """Return the cells of the small and of the larger network."""
    return cells.of(design)[:2]


def n_solutions(cell: CellRecord) -> Cell:
    """Return how many distinct solutions the restarts of a cell have come to."""
    if "solution" not in cell.measured:
        return Missing("the data differ")
    found = measured(cell, "solution")
    return len(set(found[~np.isnan(found)].tolist()))


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about restarts."""
    small, larger, versus = [], [], []
    for design, words in WORDS.items():
        found = _shapes(cells, design)
        if found:
            small.append(Sample(words, "median", ratios(found[0])))
        if len(found) == 2:
            one, other = (ratios(cell) for cell in found)
            larger.append(Sample(words, "share", (other < 1.2).astype(np.float64)))
            versus.append(Sample(words, "share", sooner(other, one)))
    return [
        claim(
            "21", "Of five restarts the worst is almost twice the best (between 1.5 and 2.5 times)",
            "highest over lowest test loss of five restarts of the small network (median over fives)", "within", 2.0,
            small, margin=0.5, budget="equal epochs",
        ),
        claim(
            "22", "One more layer and a few nodes: repeatable (five restarts within 20 %)",
            "share of fives of the larger network whose highest test loss is less than 1.2 times the lowest", "above",
            0.5, larger, budget="equal epochs",
        ),
        claim(
            "22", "... more so than the small network",
            "share of fives in which the larger network's ratio is below the small one's", "above", 0.5, versus,
            budget="equal epochs, same draws",
        ),
    ]  # fmt: skip


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    rows: list[tuple[Cell, ...]] = []
    for design, words in WORDS.items():
        for cell in cells.of(design):
            loss = last(cell, "test")
            rows.append(
                (
                    words,
                    str(cell.params[SHAPE]),
                    shown(median_interval(loss)),
                    float(loss.min()),
                    float(loss.max()),
                    float(loss.max() / loss.min()),
                    shown(median_interval(ratios(cell))),
                    n_solutions(cell),
                )
            )
    n = cells.design("held").get("n_replicas", 0)
    table = ReportTable(
        "repeatability-ratios",
        f"{n} restarts each: test losses, highest over lowest of all of them, and of five (median over fives). With "
        "the data held, the number of distinct solutions: two are the same if their outputs within the range differ by "
        "less than a tenth of the labels' spread, whatever the order, sign or scale of their units.",
        (
            ReportColumn("data", "Data", "text"), ReportColumn("units", "Units", "text"),
            ReportColumn("median", "Median test loss", "interval"),
            ReportColumn("lowest", "Lowest"),
            ReportColumn("highest", "Highest"),
            ReportColumn("all", "Highest over lowest"), ReportColumn("five", "... of five", "interval"),
            ReportColumn("solutions", "Distinct solutions"),
        ),
        tuple(rows),
    )  # fmt: skip
    points = tuple(
        (words, str(cell.params[SHAPE]), float(loss))
        for design, words in WORDS.items()
        for cell in cells.of(design)
        for loss in last(cell, "test")
    )
    picture = Picture(
        "repeatability-losses",
        f"Test loss of {n} restarts each, one point a restart.",
        "Test losses of restarts: " + "; ".join(f"{row[0]}, {row[1]}: {row[3]:.3g} to {row[4]:.3g}" for row in rows),
        lambda: _draw(cells),
        ReportTable(
            "repeatability-losses", "",
            (ReportColumn("data", "Data", "text"),
            ReportColumn("units", "Units", "text"),
            ReportColumn("loss", "Test loss")), points,
        ),
    )  # fmt: skip
    return [picture, table]


def _draw(cells: Cells) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    figure = new_figure(7.0, 3.0)
    axes = framed_axes(figure, 0.7, 0.5, 0.2, 0.2)
    names: list[str] = []
    for design, words in WORDS.items():
        for cell in cells.of(design):
            loss = last(cell, "test")
            # Spread by rank, so that points do not hide each other and nothing is random.
            spread = 0.35 * (np.argsort(np.argsort(loss)) % 7 - 3) / 3
            axes.plot(len(names) + spread, loss, "o", markersize=2.5, color=COLORS[len(names) % len(COLORS)])
            names.append(f"{cell.params[SHAPE]}, {words}")
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_ylabel("test loss")
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = [
        f"{np.median(found):.2f} for {cell.params[SHAPE]}"
        for cell in _shapes(cells, "held")
        if len(found := ratios(cell))
    ]
    if not parts:
        return f"An interval takes fives of restarts; these are fewer than {FIVE}."
    return (
        "With the data held, the highest test loss of five restarts is this many times the lowest (median): "
        f"{', '.join(parts)}."
    )


LESSON = Lesson("Repeatability", claims, blocks, answer)
