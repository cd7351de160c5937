"""Sizes of outputs and gradients by hidden layer and epoch, as a picture and as what becomes of them in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import numpy.typing as npt

from analysis.course.cells import by_layer, sooner
from analysis.formats.blocks import Missing, Picture, ReportColumn, ReportTable, number_text
from analysis.records.lesson import CellRecord
from analysis.words import Later, later, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
SIZES: Mapping[str, Later] = {"output_size": later("Outputs"), "gradient_size": later("Gradient")}


def has_layers(cell: CellRecord | None) -> TypeGuard[CellRecord]:
    """Return whether there is such a cell, and sizes by layer in it: older records have none."""
    return cell is not None and by_layer(cell, "gradient_size").shape[1] > 0


def middle(cell: CellRecord, probe: str) -> FloatArray:
    """Return the median over replicas that did not diverge, (looks, layers); NaN where all did."""
    found = by_layer(cell, probe)
    known = ~np.isnan(found).all(axis=2)
    result = np.full(found.shape[:2], np.nan)
    result[known] = np.nanmedian(found[known], axis=1)
    return result


def ends_apart(cell: CellRecord, probe: str) -> FloatArray:
    """Return how many powers of e a size changes between first and last hidden layer, either way, (looks, replicas).

    Infinite where one end is 0 or the replica has diverged.
    """
    found = by_layer(cell, probe)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(found[:, 0]) - np.log(found[:, -1]))
    return np.where(np.isnan(apart), np.inf, apart)


def evener(cell: CellRecord) -> FloatArray:
    """Return 1 for replicas whose outer layers' gradients are nearer after training than before, 0 if farther apart."""
    apart = ends_apart(cell, "gradient_size")
    return sooner(apart[-1], apart[0])


def within(cell: CellRecord, factor: float) -> FloatArray:
    """Return 1 for replicas whose outer layers' gradients are within a factor of each other at every look."""
    return np.asarray((ends_apart(cell, "gradient_size") < math.log(factor)).all(axis=0), np.float64)


def layers_picture(name: str, title: str, cells: Mapping[str, CellRecord]) -> Picture:
    """Return a picture of sizes by layer, a line for each look, a column for each named cell.

    Parameters
    ----------
    name : str
        Of its file.
    title : str
        Which networks these are.
    cells : dict of str to CellRecord
        By what a panel is called.
    """
    rows = [
        (panel, float(look), float(i + 1), *(float(size) if np.isfinite(size) else Missing(say("all diverged"))
         for size in (middle(cell, probe)[k, i] for probe in SIZES)))
        for panel, cell in cells.items()
        for k, look in enumerate(cell.looks)
        for i in range(middle(cell, "output_size").shape[1])
    ]  # fmt: skip
    parts = [
        say("{panel} {first} before training and {last} after it", panel=panel, first=number_text(float(ratio[0])),
            last=number_text(float(ratio[-1])))
        for panel, cell in cells.items()
        if np.isfinite(ratio := _first_over_last(middle(cell, "gradient_size"))).all()
    ]  # fmt: skip
    return Picture(
        name,
        say(
            "{title}: size (root mean square) of each hidden layer's outputs and of the training loss's gradient by "
            "its weights, medians over draws; a line for each epoch, a column for each start.",
            title=title,
        ),
        say("First layer's gradient over the last's: {parts}.", parts=", ".join(parts)),
        lambda: _draw(cells),
        ReportTable(
            name, "",
            (ReportColumn("start", say("First weights"), "text"), ReportColumn("epoch", say("Epoch")),
             ReportColumn("layer", say("Layer")),
             *(ReportColumn(probe, str(words)) for probe, words in SIZES.items())),
            tuple(rows),
        ),
    )  # fmt: skip


def _first_over_last(sizes: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sizes[:, 0] / sizes[:, -1])


def _draw(cells: Mapping[str, CellRecord]) -> Figure:
    from analysis.formats.style import COLORS, new_figure

    n = max(1, len(cells))
    width = 2.1 * n + 0.4
    figure = new_figure(width, 4.0)
    for column, (panel, cell) in enumerate(cells.items()):
        for row, (probe, words) in enumerate(SIZES.items()):
            left, bottom = (0.7 + 2.1 * column) / width, (2.3 - 1.8 * row) / 4.0
            axes = figure.add_axes((left, bottom, 1.5 / width, 1.35 / 4.0))
            sizes = middle(cell, probe)
            for k, look in enumerate(cell.looks):
                places = [i for i in range(sizes.shape[1]) if sizes[k, i] > 0]  # a logarithm has no place for 0
                axes.plot([i + 1 for i in places], [sizes[k, i] for i in places], "o-", markersize=3, linewidth=1.1,
                          color=COLORS[k % len(COLORS)], label=say("epoch {n}", n=look))  # fmt: skip
            axes.set_yscale("log")
            axes.tick_params(labelsize=6, which="both")
            if row == 0:
                axes.set_title(panel, fontsize=9)
            else:
                axes.set_xlabel(say("hidden layer"), fontsize=8)
            if column == 0:
                axes.set_ylabel(str(words), fontsize=8)
                if row == 0:
                    axes.legend(fontsize=5)
    return figure
