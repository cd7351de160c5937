"""What lessons compare: cells that differ in some levels alone, dataset by dataset; and plain tables of shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, level_text, losses, pooled, time_to, title
from analysis.formats.blocks import Cell, Missing, Picture, ReportColumn, ReportTable, shown
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.homework import setting_title
from analysis.statistics.verdicts import Claim, Kind, Sample, Test, median_interval, share_interval
from analysis.words import later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Levels = Mapping[str, Level]
Value = Callable[..., FloatArray]
"""Gives one number a replica, of as many cells as are compared."""


def by_dataset(
    cells: Cells, design: str, compared: Sequence[Levels], value: Value, kind: Kind = "share"
) -> list[Sample]:
    """Return one sample a dataset that has a cell of each of the compared levels.

    Parameters
    ----------
    cells : Cells
    design : str
        Whose cells.
    compared : sequence of dict
        Levels of each cell that is compared, the dataset apart.
    value : callable (*cells) -> ndarray (R,)
        What is compared, of each replica.
    kind : str
        Of the samples.
    """
    found = []
    for dataset in cells.datasets(design):
        chosen = [cells.one(design, {"dataset": dataset, **levels}) for levels in compared]
        present = [cell for cell in chosen if cell is not None]
        if len(present) == len(compared):
            found.append(Sample(title(dataset), kind, value(*present)))
    return found


def claim(
    number: str,
    words: str,
    measure: str,
    test: Test,
    even: float,
    samples: Sequence[Sample],
    *,
    margin: float = 0.0,
    budget: str = later("equal epochs, same draws"),
) -> Claim:
    """Return a claim about samples and about all of them together."""
    return Claim(number, words, measure, test, even, tuple(samples), pooled(samples), margin, budget)


def roughness(cell: CellRecord) -> FloatArray:
    """Return the mean size of the moves of the training loss from look to look, over the last two thirds of them."""
    late = losses(cell, "train")[min(len(cell.looks) // 3, len(cell.looks) - 2) :]
    with np.errstate(invalid="ignore"):
        moves = np.abs(np.diff(late, axis=0))
    return np.asarray(np.where(np.isnan(moves), np.inf, moves).mean(axis=0), np.float64)


def reached(cells: Cells, cell: CellRecord, splits: Sequence[str] = ("train", "test")) -> FloatArray:
    """Return 1 for replicas that were below the target at any look."""
    return np.isfinite(time_to(cell, cells.target_of(cell), splits)).astype(np.float64)


def over_levels(
    name: str,
    caption: str,
    cells: Cells,
    design: str,
    rows: str,
    columns: str,
    value: Callable[[CellRecord], FloatArray],
    *,
    kind: Kind = "share",
    others: Levels | None = None,
) -> ReportTable:
    """Return a table of one number for each pair of levels of two factors, over all other cells of the design.

    Replicas are averaged over the cells that share both levels, and are then the unit of the interval.
    """
    heads = cells.levels(design, columns)
    body: list[tuple[Cell, ...]] = []
    for row in cells.levels(design, rows):
        line: list[Cell] = [_name(rows, row)]
        for head in heads:
            group = cells.of(design, {rows: row, columns: head, **(others or {})})
            line.append(_cell(group, value, kind))
        body.append(tuple(line))
    titles = tuple(
        ReportColumn(f"level_{i}", _name(columns, head), "interval") for i, head in enumerate(heads, start=1)
    )
    return ReportTable(name, caption, (ReportColumn("level", _short(rows), "text"), *titles), tuple(body))


def _cell(group: Sequence[CellRecord], value: Callable[[CellRecord], FloatArray], kind: Kind) -> Cell:
    if not group:
        return Missing(say("not trained"))
    values = np.stack([value(cell) for cell in group]).mean(axis=0)
    known = values[~np.isnan(values)]
    return shown(share_interval(known) if kind == "share" else median_interval(known))


def _short(key: str) -> str:
    return setting_title(key)


def _name(key: str, level: Level) -> str:
    if key == "dataset":
        return title(str(level))
    return level_text(level)


def lines(
    name: str,
    caption: str,
    alt: str,
    cells: Cells,
    design: str,
    across: str,
    colours: str,
    value: Callable[[CellRecord], FloatArray],
    label: str,
    *,
    log_y: bool = False,
    goal: float | None = None,
) -> Picture:
    """Return a picture with one panel a dataset: a factor across, one line a level of another, the median up."""
    rows = [
        (title(dataset), _name(across, place), _name(colours, level), middle)
        for dataset in cells.datasets(design)
        for level in cells.levels(design, colours)
        for place, middle in _medians(cells, design, {"dataset": dataset, colours: level}, across, value)
    ]
    data = ReportTable(
        name,
        "",
        (
            ReportColumn("set", say("Set"), "text"),
            ReportColumn("across", _short(across), "text"),
            ReportColumn("line", _short(colours), "text"),
            ReportColumn("median", label),
        ),
        tuple(rows),
    )
    return Picture(name, caption, alt, lambda: _draw(cells, design, across, colours, value, label, log_y, goal), data)


def _medians(
    cells: Cells, design: str, levels: Levels, across: str, value: Callable[[CellRecord], FloatArray]
) -> list[tuple[Level, float]]:
    """Return the median of a value over all cells and replicas that share a level of `across`, where it is finite."""
    found = []
    for place in cells.levels(design, across):
        group = cells.of(design, {**levels, across: place})
        if group:
            middle = float(np.median(np.concatenate([value(cell) for cell in group])))
            if np.isfinite(middle):
                found.append((place, middle))
    return found


def _draw(
    cells: Cells,
    design: str,
    across: str,
    colours: str,
    value: Callable[[CellRecord], FloatArray],
    label: str,
    log_y: bool,
    goal: float | None,
) -> Figure:
    from analysis.formats.style import COLORS, RED, framed_axes, new_figure, plain_ticks

    datasets = cells.datasets(design)
    n = max(1, len(datasets))
    figure = new_figure(2.3 * n + 1.0, 2.9)
    places = {level: i for i, level in enumerate(cells.levels(design, across))}
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.6, 0.6, 0.1, 0.35, i, n)
        for level, color in zip(cells.levels(design, colours), COLORS * 3, strict=False):
            kept = [
                (places[place], middle)
                for place, middle in _medians(cells, design, {"dataset": dataset, colours: level}, across, value)
            ]
            axes.plot([x for x, _ in kept], [y for _, y in kept], "o-", color=color, markersize=3, linewidth=1.2,
                      label=_name(colours, level))  # fmt: skip
        if goal is not None:
            axes.axhline(goal, color=RED, linewidth=1.0, linestyle="--")
        if log_y:
            axes.set_yscale("log")
            plain_ticks(axes, "y")
        axes.set_xticks(range(len(places)), [_name(across, level) for level in places], fontsize=6)
        axes.tick_params(axis="y", which="both", labelsize=6)
        axes.set_title(title(dataset), fontsize=9)
        axes.set_xlabel(_short(across), fontsize=8)
        if i == 0:
            axes.set_ylabel(label, fontsize=8)
        if i == n - 1:
            axes.legend(title=_short(colours), fontsize=6, title_fontsize=7)
    return figure
