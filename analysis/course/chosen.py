"""Each condition at its own best setting: every second replica chooses, the others judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.course.cells import Cells, FloatArray, difference, losses, measured
from analysis.course.choosing import Value, best, judges
from analysis.course.comparing import Levels
from analysis.formats.blocks import Cell, Missing, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Kind, Sample, median_interval
from analysis.words import later, say

GUESSING = 0.9
"""Share of wrong images of somebody who guesses among ten classes."""


def wrong(cell: CellRecord) -> FloatArray:
    """Return the share of wrong test images; a network that diverged guesses."""
    error = measured(cell, "test_error")
    return np.where(np.isnan(error), GUESSING, error)


def between(
    cells: Cells,
    design: str,
    conditions: Sequence[tuple[str, Levels, Levels]],
    value: Value = wrong,
    kind: Kind = "median",
) -> tuple[Sample, ...]:
    """Return for each condition a's value minus b's on the judging replicas, each at its own best setting.

    Parameters
    ----------
    cells : Cells
    design : str
        Whose cells.
    conditions : sequence of (name, levels of a, levels of b)
        What is compared. Levels that are not named are chosen.
    value : callable
        Lower is better.
    kind : str
        Of the samples.
    """
    samples = []
    for name, a, b in conditions:
        one, other = best(cells, design, a, value), best(cells, design, b, value)
        if one is not None and other is not None:
            samples.append(Sample(name, kind, difference(judges(value(one)), judges(value(other)))))
    return tuple(samples)


def middle(cells: Cells, design: str, levels: Levels, value: Value = wrong) -> float:
    """Return the median of the judging replicas at the best setting; NaN without cells."""
    cell = best(cells, design, levels, value)
    return float("nan") if cell is None else float(np.median(judges(value(cell))))


def wrong_at(look: int) -> Value:
    """Return what gives the share of wrong test images at a look, by its place among the design's."""

    def value(cell: CellRecord) -> FloatArray:
        found = losses(cell, "test_error")[look]
        return np.where(np.isfinite(found), found, GUESSING)

    return value


def best_table(
    name: str,
    caption: str,
    cells: Cells,
    design: str,
    rows: Sequence[tuple[str, Levels]],
    value: Value = wrong,
    label: str = later("Wrong"),
) -> ReportTable:
    """Return a table of conditions, each at its own best setting: the median of the judging replicas, and the rate."""
    body: list[tuple[Cell, ...]] = []
    for words, levels in rows:
        cell = best(cells, design, levels, value)
        if cell is None:
            body.append((words, Missing(say("not trained")), Missing(say("not trained"))))
        else:
            body.append((words, shown(median_interval(judges(value(cell)))), float(cell.training["learning_rate"])))
    return ReportTable(
        name,
        caption,
        (
            ReportColumn("what", say("What"), "text"),
            ReportColumn("value", label, "interval"),
            ReportColumn("rate", say("Rate")),
        ),
        tuple(body),
    )
