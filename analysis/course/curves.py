"""What lessons draw over the epochs: one panel a dataset, one line a level of a factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, level_text, time_to, title
from analysis.formats.blocks import Picture, ReportColumn, ReportTable
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.homework import setting_title
from analysis.words import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Callable[[CellRecord], FloatArray]
"""Gives one number for each look of a cell."""
SMALLEST = 1e-6


def not_arrived(cells: Cells) -> Curve:
    """Return the curve of the share of replicas that have not been below the target yet: censored ones stay in."""

    def curve(cell: CellRecord) -> FloatArray:
        times = time_to(cell, cells.target_of(cell))
        return np.array([(times > look).mean() for look in cell.looks], np.float64)

    return curve


def over_epochs(
    name: str,
    caption: str,
    alt: str,
    cells: Cells,
    design: str,
    colours: str,
    curve: Curve,
    label: str,
    *,
    log_y: bool = False,
    levels: Sequence[Level] | None = None,
) -> Picture:
    """Return a picture of a curve by epoch, averaged over all cells that share dataset and level.

    Parameters
    ----------
    name, caption, alt : str
        As of `analysis.formats.blocks.Picture`.
    cells : Cells
    design : str
        Whose cells.
    colours : str
        Factor with one line a level.
    curve : callable (cell) -> ndarray (looks,)
    label : str
        Of the numbers.
    log_y : bool
        Whether they are drawn on a logarithmic scale.
    levels : sequence of level or None
        Those of the factor that are shown, where the design has them; None: all.
    """
    known = cells.levels(design, colours)
    drawn = [level for level in known if levels is None or level in levels] or known
    rows = tuple(
        (title(dataset), level_text(level), float(look), float(value))
        for dataset in cells.datasets(design)
        for level in drawn
        for look, value in zip(*_curve(cells, design, dataset, colours, level, curve), strict=True)
        if np.isfinite(value)
    )
    columns = (
        ReportColumn("set", say("Set"), "text"),
        ReportColumn("line", setting_title(colours), "text"),
        ReportColumn("epoch", say("Epoch")),
        ReportColumn("value", label),
    )
    return Picture(
        name,
        caption,
        alt,
        lambda: _draw(cells, design, colours, curve, label, log_y, drawn),
        ReportTable(name, "", columns, rows),
    )


def survival(name: str, cells: Cells, design: str, colours: str, what: str) -> Picture:
    """Return the share of networks still on their way, by epoch, one line a level."""
    return over_epochs(
        name,
        say(
            "Share of networks that have not reached the target yet, by epoch; one line {what}. Those that never "
            "arrive stay in to the end.",
            what=what,
        ),
        say("Share of networks still on their way by epoch, one line {what}, on each set.", what=what),
        cells,
        design,
        colours,
        not_arrived(cells),
        say("not arrived yet"),
    )


def _curve(
    cells: Cells, design: str, dataset: str, colours: str, level: Level, curve: Curve
) -> tuple[list[int], FloatArray]:
    group = cells.of(design, {"dataset": dataset, colours: level})
    if not group:
        return [], np.array([])
    return group[0].looks, np.mean([curve(cell) for cell in group], axis=0)


def _draw(
    cells: Cells, design: str, colours: str, curve: Curve, label: str, log_y: bool, levels: Sequence[Level]
) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure, plain_ticks

    datasets = cells.datasets(design)
    n = max(1, len(datasets))
    figure = new_figure(2.1 * n + 0.8, 2.7)
    for i, dataset in enumerate(datasets):
        axes = framed_axes(figure, 0.6, 0.55, 0.1, 0.35, i, n)
        for level, color in zip(levels, COLORS * 3, strict=False):
            looks, values = _curve(cells, design, dataset, colours, level, curve)
            kept = [(max(look, 0.7), value) for look, value in zip(looks, values, strict=True) if np.isfinite(value)]
            heights = [max(value, SMALLEST) if log_y else value for _, value in kept]
            axes.plot([x for x, _ in kept], heights, color=color, linewidth=1.3, label=level_text(level))
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        if log_y and axes.lines and axes.dataLim.height > 0:
            axes.set_yscale("log")
            plain_ticks(axes, "y")
        axes.tick_params(labelsize=6)
        axes.set_title(title(dataset), fontsize=9)
        axes.set_xlabel(say("epoch"), fontsize=8)
        if i == 0:
            axes.set_ylabel(label, fontsize=8)
        if i == n - 1:
            axes.legend(title=setting_title(colours), fontsize=6, title_fontsize=7)
    return figure
