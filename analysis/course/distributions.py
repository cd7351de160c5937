"""How penalties move the weights: the distribution of all weights after training, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, title
from analysis.formats.blocks import Picture, ReportColumn, ReportTable, number_text
from analysis.records.lesson import Level
from analysis.words import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
DESIGN, QUANTILES = "penalties", "weight_quantiles"
DRAWN = (("L1", "l1", 1e-3), ("L1", "l1", 1e-2), ("L2", "l2", 1e-3), ("L2", "l2", 1e-2))
"""Penalties with the strengths that are drawn, besides none."""
TOLD = (0, 5, 25, 50, 75, 95, 100)
"""Percents below which the table says how many weights lie."""


def distributions(cells: Cells, dataset: str) -> list[tuple[str, FloatArray]]:
    """Return the 101 quantiles of a dataset's weights, of each penalty and strength that is drawn and was trained."""
    settings = [(say("none"), "l2", 0.0), *((f"{name} {rate:g}", penalty, rate) for name, penalty, rate in DRAWN)]
    found = []
    for words, penalty, rate in settings:
        levels: dict[str, Level] = {
            "dataset": dataset,
            "training.regularizer": penalty,
            "training.regularization_rate": rate,
        }
        cell = cells.one(DESIGN, levels)
        values = np.array([] if cell is None else cell.arrays.get(QUANTILES, []), np.float64)
        if len(values):
            found.append((words, values))
    return found


def distribution_picture(cells: Cells) -> Picture:
    """Return the picture of the weights' distribution, a panel for each dataset."""
    by_set = [(title(dataset), distributions(cells, dataset)) for dataset in cells.datasets(DESIGN)]
    rows = [
        (name, words, float(percent), float(values[percent]))
        for name, found in by_set
        for words, values in found
        for percent in TOLD
    ]
    halves = [
        f"{name} " + ", ".join(f"{words} {number_text(float(values[75] - values[25]))}" for words, values in found)
        for name, found in by_set
    ]
    return Picture(
        "regularization-distributions",
        say(
            "Distribution of the weights after training, all draws together: the share of weights below a value. "
            "A step at 0 is weights that are 0."
        ),
        say("Width of the middle half of the weights: {halves}.", halves="; ".join(halves)),
        lambda: _draw(by_set),
        ReportTable(
            "regularization-distributions",
            "",
            (
                ReportColumn("set", say("Set"), "text"),
                ReportColumn("penalty", say("Penalty"), "text"),
                ReportColumn("share", say("Below, %")),
                ReportColumn("weight", say("Weight")),
            ),
            tuple(rows),
        ),
    )


def _draw(by_set: list[tuple[str, list[tuple[str, FloatArray]]]]) -> Figure:
    from analysis.formats.style import COLORS, framed_axes, new_figure

    figure = new_figure(2.75 * max(1, len(by_set)) + 0.3, 2.8)
    for i, (name, found) in enumerate(by_set):
        axes = framed_axes(figure, 0.75, 0.55, 0.1, 0.3, i, len(by_set))
        for (words, values), color in zip(found, COLORS * 2, strict=False):
            axes.plot(values, np.linspace(0.0, 1.0, len(values)), color=color, linewidth=1.2, label=words)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.tick_params(labelsize=6, which="both")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(say("weight"))
        if i == 0 and found:
            axes.set_ylabel(say("share below"))
            axes.legend(fontsize=6)
    return figure
