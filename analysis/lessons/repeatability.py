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
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE = "network.hidden_layer_sizes"
FIVE = 5
WORDS = {"held": later("data held"), "drawn": later("data drawn anew")}


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
        return Missing(say("the data differ"))
    found = measured(cell, "solution")
    return len(set(found[~np.isnan(found)].tolist()))


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about restarts."""
    small, larger, versus = [], [], []
    for design, words in WORDS.items():
        found = _shapes(cells, design)
        if found:
            small.append(Sample(str(words), "median", ratios(found[0])))
        if len(found) == 2:
            one, other = (ratios(cell) for cell in found)
            larger.append(Sample(str(words), "share", (other < 1.2).astype(np.float64)))
            versus.append(Sample(str(words), "share", sooner(other, one)))
    return [
        claim(
            "21",
            say("Of five restarts the worst is almost twice the best (between 1.5 and 2.5 times)"),
            say("highest over lowest test loss of five restarts of the small network (median over fives)"),
            "within",
            2.0,
            small,
            margin=0.5,
            budget=say("equal epochs"),
        ),
        claim(
            "22",
            say("One more layer and a few nodes: repeatable (five restarts within 20 %)"),
            say("share of fives of the larger network whose highest test loss is less than 1.2 times the lowest"),
            "above",
            0.5,
            larger,
            budget=say("equal epochs"),
        ),
        claim(
            "22",
            say("... more so than the small network"),
            say("share of fives in which the larger network's ratio is below the small one's"),
            "above",
            0.5,
            versus,
            budget=say("equal epochs, same draws"),
        ),
    ]


def blocks(cells: Cells) -> list[Block]:
    """Return picture and table."""
    rows: list[tuple[Cell, ...]] = []
    for design, words in WORDS.items():
        for cell in cells.of(design):
            loss = last(cell, "test")
            rows.append(
                (
                    str(words),
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
        say("{n} restarts each: test losses, highest over lowest of all of them, and of five (median over fives). With "
        "the data held, the number of distinct solutions: two are the same if their outputs within the range differ by "
        "less than a tenth of the labels' spread, whatever the order, sign or scale of their units.", n=n),
        (
            ReportColumn("data", say("Data"), "text"), ReportColumn("units", say("Units"), "text"),
            ReportColumn("median", say("Median test loss"), "interval"),
            ReportColumn("lowest", say("Lowest")),
            ReportColumn("highest", say("Highest")),
            ReportColumn("all", say("Highest over lowest")), ReportColumn("five", say("... of five"), "interval"),
            ReportColumn("solutions", say("Distinct solutions")),
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
        say("Test loss of {n} restarts each, one point a restart.", n=n),
        say(
            "Test losses of restarts: {words}",
            words="; ".join(
                say(
                    "{data}, {units}: {lowest:.3g} to {highest:.3g}",
                    data=row[0],
                    units=row[1],
                    lowest=row[3],
                    highest=row[4],
                )
                for row in rows
            ),
        ),
        lambda: _draw(cells),
        ReportTable(
            "repeatability-losses",
            "",
            (
                ReportColumn("data", say("Data"), "text"),
                ReportColumn("units", say("Units"), "text"),
                ReportColumn("loss", say("Test loss")),
            ),
            points,
        ),
    )
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
    axes.set_ylabel(say("test loss"))
    return figure


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = [
        say("{ratio:.2f} for {shape}", ratio=np.median(found), shape=cell.params[SHAPE])
        for cell in _shapes(cells, "held")
        if len(found := ratios(cell))
    ]
    if not parts:
        return say("An interval takes fives of restarts; these are fewer than {five}.", five=FIVE)
    return say(
        "With the data held, the highest test loss of five restarts is this many times the lowest (median): {parts}.",
        parts=", ".join(parts),
    )


LESSON = Lesson(later("Repeatability"), claims, blocks, answer)
