"""Loss curves in small panels: one panel for each pair of levels of two factors, one colour a level of a third."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, losses
from analysis.formats.blocks import Picture, ReportColumn, ReportTable
from analysis.records.lesson import CellRecord, Level
from analysis.statistics.homework import setting_title
from analysis.words import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Named = Callable[[Level], str]
SPLITS = (("train", "-"), ("test", ":"))


def curve_panels(
    name: str, caption: str, alt: str, cells: Cells, design: str, panels: tuple[str, str], colours: str, named: Named
) -> Picture:
    """Return training and test loss by epoch, medians over replicas, both on logarithmic scales.

    Parameters
    ----------
    name, caption, alt : str
        As of `analysis.formats.blocks.Picture`.
    cells : Cells
    design : str
        Whose cells.
    panels : (str, str)
        Factors with a panel for each pair of their levels.
    colours : str
        Factor with one line a level.
    named : callable (level) -> str
        What people call a level.
    """
    rows = tuple(
        (named(cell.params[panels[0]]), named(cell.params[panels[1]]), named(cell.params[colours]), float(look),
         float(train), float(test))
        for cell in cells.of(design)
        for look, train, test in zip(cell.looks, *(_middle(cell, split) for split, _ in SPLITS), strict=True)
        if np.isfinite(train) and np.isfinite(test)
    )  # fmt: skip
    columns = (
        *(ReportColumn(f"factor_{i}", setting_title(key), "text") for i, key in enumerate((*panels, colours), start=1)),
        ReportColumn("epoch", say("Epoch")),
        ReportColumn("train", say("Training loss")),
        ReportColumn("test", say("Test loss")),
    )
    return Picture(
        name,
        caption,
        alt,
        lambda: _draw(cells, design, panels, colours, named),
        ReportTable(name, "", columns, rows),
    )


def _middle(cell: CellRecord, split: str) -> FloatArray:
    return np.asarray(np.median(losses(cell, split), axis=1), np.float64)


def _draw(cells: Cells, design: str, panels: tuple[str, str], colours: str, named: Named) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure, plain_ticks

    pairs = [(a, b) for a in cells.levels(design, panels[0]) for b in cells.levels(design, panels[1])]
    n = max(1, len(pairs))
    figure = new_figure(2.1 * n + 0.6, 2.9)
    finite = [
        row for cell in cells.of(design) for split, _ in SPLITS for row in _middle(cell, split) if 0 < row < np.inf
    ]
    for i, (a, b) in enumerate(pairs):
        axes = framed_axes(figure, 0.55, 0.55, 0.08, 0.35, i, n)
        for level, color in zip(cells.levels(design, colours), COLORS, strict=False):
            cell = cells.one(design, {panels[0]: a, panels[1]: b, colours: level})
            if cell is None:
                continue
            for split, dash in SPLITS:
                values = _middle(cell, split)
                axes.plot(cell.looks, np.where(np.isfinite(values), values, np.nan), dash, color=color, linewidth=1.2,
                          label=named(level) if dash == "-" else None)  # fmt: skip
        axes.set_xscale("log")
        plain_ticks(axes, "x")
        if finite:
            axes.set_yscale("log")
            axes.set_ylim(min(finite) / 1.2, max(finite) * 1.2)
            plain_ticks(axes, "y")
        axes.tick_params(which="both", labelsize=6)
        axes.set_title(f"{named(a)}, {setting_title(panels[1])} {named(b)}", fontsize=8)
        axes.set_xlabel(say("epoch"), fontsize=8)
        if i == 0:
            axes.set_ylabel(say("mean squared error"), fontsize=8)
        if i == n - 1:
            axes.legend(fontsize=6)
    return figure
