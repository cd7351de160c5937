"""Smallest network: pass rates and test losses by size, in the exercise's setting and on every set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, last, level_text, losses, title
from analysis.course.comparing import claim, over_levels, reached
from analysis.course.lesson import Lesson
from analysis.course.probed import at_end
from analysis.formats.blocks import Block, Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.formats.cells import interval_text
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Claim, Judgment, Sample, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE = "network.hidden_layer_sizes"
SHEET, SHEET_UNITS = "3-3-2", 8
HALF = 0.5


def n_units(cell: CellRecord) -> int:
    """Return how many hidden units a cell's networks have."""
    return sum(cell.network["hidden_layer_sizes"])


def low_enough(cells: Cells, cell: CellRecord) -> FloatArray:
    """Return 1 for restarts whose test loss was at or below the target at any look."""
    return np.asarray((losses(cell, "test") <= cells.target_of(cell)).any(axis=0), np.float64)


def smallest(cells: Cells, group: Sequence[CellRecord]) -> CellRecord | None:
    """Return the smallest network that passes in at least half of the restarts, of two the better one."""
    good = [cell for cell in group if low_enough(cells, cell).mean() >= HALF]
    return min(good, key=lambda cell: (n_units(cell), -low_enough(cells, cell).mean()), default=None)


def claims(cells: Cells) -> list[Claim]:
    """Return the sheet's claims about small networks."""
    sheet = cells.one("exercise", {"dataset": "xor", SHAPE: SHEET})
    samples = [Sample("", "share", low_enough(cells, sheet))] if sheet is not None else []
    smaller = [
        Sample(level_text(cell.params[SHAPE]), "share", low_enough(cells, cell))
        for cell in cells.of("exercise")
        if n_units(cell) < SHEET_UNITS
    ]
    gap = []
    for dataset in cells.datasets("sets"):
        two = [cells.one("sets", {"dataset": dataset, SHAPE: shape}) for shape in ("4", "8-8")]
        if two[0] is not None and two[1] is not None:
            gaps = [last(cell, "test") - last(cell, "train") for cell in two if cell is not None]
            gap.append(Sample(title(dataset), "share", (gaps[0] < gaps[1]).astype(np.float64)))
    return [
        Claim(
            "19",
            say("3-3-2 reaches 0.177 in some runs and fails in others (between 5 and 95 of 100)"),
            say("share of restarts of 3-3-2 whose test loss is at most 0.177 at any look"),
            "within",
            0.5,
            tuple(samples),
            margin=0.45,
            budget=say("equal epochs, same draws"),
        ),
        claim(
            "19",
            say("No smaller network than the sheet's eight units passes in half of its restarts"),
            say(
                "share of restarts of the networks of fewer than eight units whose test loss is at most 0.177 at any "
                "look"
            ),
            "below",
            HALF,
            smaller,
            budget=say("equal epochs, same draws; of the networks tried"),
        ),
        claim(
            "15",
            say("Simpler networks generalize better: a smaller gap with 4 units than with 8-8"),
            say("share of draws with a smaller test minus training loss with one layer of 4 than with two of 8"),
            "above",
            0.5,
            gap,
        ),
    ]


def _dead(cells: Cells, cell: CellRecord, *, passed: bool) -> Cell:
    """Return the share of dead units in the restarts that passed, or in those that failed."""
    found = at_end(cell, "dead_units")
    if found is None:
        return Missing(say("not measured"))
    chosen = found[(low_enough(cells, cell) > 0) == passed]
    known = chosen[~np.isnan(chosen)]
    if not len(known):
        return Missing(say("none passed") if passed else say("none failed"))
    return shown(share_interval(known))


def blocks(cells: Cells) -> list[Block]:
    """Return picture and tables."""
    group = sorted(cells.of("exercise"), key=n_units)
    rows: list[tuple[Cell, ...]] = [
        (
            level_text(cell.params[SHAPE]),
            n_units(cell),
            shown(share_interval(low_enough(cells, cell))),
            shown(median_interval(losses(cell, "test").min(axis=0))),
            *(_dead(cells, cell, passed=passed) for passed in (True, False)),
        )
        for cell in group
    ]
    n = cells.design("exercise").get("n_replicas", 0)
    table = ReportTable(
        "smallest-network-exercise",
        say(
            "The exercise's setting, {n} draws: share whose test loss is at most {target:g} at any "
            "look, and the median of the lowest test loss, which flatters: it is chosen on the test points. Dead units "
            "are those through which no gradient goes any more, as a share of all at the end, of restarts that passed "
            "and of those that failed.",
            n=n,
            target=cells.target("exercise"),
        ),
        (
            ReportColumn("units", say("Layers"), "text"),
            ReportColumn("n", say("Units")),
            ReportColumn("share", say("Passed"), "interval"),
            ReportColumn("loss", say("Lowest test loss"), "interval"),
            ReportColumn("dead_passed", say("Dead units, passed"), "interval"),
            ReportColumn("dead_failed", say("Dead units, failed"), "interval"),
        ),
        tuple(rows),
    )
    sets = over_levels(
        "smallest-network-sets",
        say("Share of draws below 0.1 in training and test loss at any look, by layers and set."),
        cells,
        "sets",
        SHAPE,
        "dataset",
        lambda cell: reached(cells, cell),
    )
    points = tuple(
        (
            level_text(cell.params[SHAPE]),
            n_units(cell),
            float(np.median(losses(cell, "test").min(axis=0))),
            float(low_enough(cells, cell).mean()),
        )
        for cell in group
    )
    picture = Picture(
        "smallest-network-front",
        say(
            "Hidden units against the median of the lowest test loss, each point with its share of restarts that pass; "
            "the line is the target."
        ),
        say(
            "Units against test loss: {words}.",
            words="; ".join(say("{shape} passes in {share:.0%}", shape=row[0], share=row[3]) for row in points),
        ),
        lambda: _draw(cells, points),
        ReportTable(
            "smallest-network-front",
            "",
            (
                ReportColumn("layers", say("Layers"), "text"),
                ReportColumn("units", say("Units")),
                ReportColumn("loss", say("Lowest test loss")),
                ReportColumn("passed", say("Passed")),
            ),
            points,
        ),
    )
    return [picture, table, sets]


def _draw(cells: Cells, points: Sequence[tuple[str, int, float, float]]) -> Figure:
    from analysis.formats.style import BLUE, RED, framed_axes, new_figure

    figure = new_figure(7.5, 3.2)
    axes = framed_axes(figure, 0.7, 0.5, 0.3, 0.2)
    axes.axhline(cells.target("exercise"), color=RED, linewidth=1.0, linestyle="--")
    for layers, units, loss, share in points:
        axes.plot([units], [loss], "o", color=BLUE, markersize=4 + 8 * share, alpha=0.8)
        axes.annotate(
            f"{layers} ({share:.0%})",
            (units, loss),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
        )
    axes.set_xlabel(say("hidden units"))
    axes.set_ylabel(say("median of the lowest test loss"))
    return figure


def _shape_text(cell: CellRecord | None) -> str:
    if cell is None:
        return say("none of those tried")
    shape = str(cell.params[SHAPE])
    return say("no hidden unit") if shape == "none" else shape


def answer(cells: Cells, judgments: Sequence[Judgment]) -> str:  # noqa: ARG001
    """Return the answer in one sentence."""
    parts = []
    found = smallest(cells, cells.of("exercise"))
    if found is not None:
        share = " ".join(interval_text(share_interval(low_enough(cells, found))))
        parts.append(
            say(
                "in the exercise's setting {shape} is the smallest network tried that passes in at least "
                "half of the restarts (share {share})",
                shape=level_text(found.params[SHAPE]),
                share=share,
            )
        )
    for dataset in cells.datasets("sets"):
        good = [cell for cell in cells.of("sets", {"dataset": dataset}) if reached(cells, cell).mean() >= HALF]
        best = min(good, key=n_units, default=None)
        parts.append(f"{title(dataset)}: {_shape_text(best)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


LESSON = Lesson(later("Smallest network"), claims, blocks, answer)
