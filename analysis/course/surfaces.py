"""Losses over two weights: the surface, the ways down it, and gradient descent on a curve whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.course.cells import Cells, FloatArray, losses
from analysis.formats.blocks import Picture, ReportColumn, ReportTable
from analysis.records.lesson import SURFACE_REACH, SURFACE_SIDE, CellRecord, surface_steps
from analysis.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_LEVELS = 14
FARTHEST = 2.2
"""Of what is drawn of a bowl."""
N_STEPS_DRAWN = 8
MOST_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Surface:
    """A cell of which the loss over two weights is kept, with the way of every replica over it.

    Parameters
    ----------
    title : str
    weights : (str, str)
        What the two weights are called.
    cell : CellRecord
        All of whose replicas have the same data; with the array ``loss_surface`` and the curves of both weights.
    """

    title: str
    weights: tuple[str, str]
    cell: CellRecord

    @property
    def heights(self) -> FloatArray:
        """The loss, (n, n), the first weight's place first."""
        return np.array(self.cell.arrays["loss_surface"], np.float64).reshape(SURFACE_SIDE, SURFACE_SIDE)

    @property
    def ways(self) -> FloatArray:
        """Both weights of each replica at each look, (R, looks, 2)."""
        both = [losses(self.cell, name) for name in ("first_weight", "second_weight")]
        return np.stack(both, axis=-1).transpose(1, 0, 2)


def surfaces_of(cells: Cells, asked: Sequence[tuple[str, str, tuple[str, str]]]) -> list[Surface]:
    """Return the surfaces of designs of one cell; those that were not trained are left out.

    Parameters
    ----------
    cells : Cells
    asked : sequence of (design, title, names of the weights)
    """
    found = []
    for design, title, names in asked:
        group = cells.of(design)
        if len(group) == 1 and "loss_surface" in group[0].arrays:
            found.append(Surface(title, names, group[0]))
    return found


def same_end(cell: CellRecord, within: float) -> FloatArray:
    """Return 1 for replicas whose weights end within a distance of the first replica's, else 0."""
    ends = np.stack([losses(cell, name)[-1] for name in ("first_weight", "second_weight")], axis=1)
    return np.asarray(np.linalg.norm(ends - ends[0], axis=1) <= within, np.float64)


def two_starts(surfaces: Sequence[Surface]) -> tuple[int, int]:
    """Return two replicas that end farthest apart on the last surface; the first two where all end alike."""
    ends = surfaces[-1].ways[:, -1]
    away = np.linalg.norm(ends - ends[0], axis=1)
    return 0, max(1, int(np.argmax(away)))


def surface_picture(name: str, caption: str, alt: str, surfaces: Sequence[Surface]) -> Picture:
    """Return a picture with one panel a surface: lines of equal loss, and two replicas' ways down."""
    pair = two_starts(surfaces) if surfaces else (0, 1)
    rows = [
        (one.title, say("start {k}", k=k), float(look), float(way[0]), float(way[1]))
        for one in surfaces
        for k, replica in enumerate(pair, start=1)
        for look, way in zip(one.cell.looks, one.ways[replica], strict=True)
    ]
    columns = (
        ReportColumn("unit", say("Unit"), "text"),
        ReportColumn("start", say("Start"), "text"),
        ReportColumn("epoch", say("Epoch")),
        ReportColumn("first", say("First weight")),
        ReportColumn("second", say("Second weight")),
    )
    return Picture(name, caption, alt, lambda: _draw(surfaces, pair), ReportTable(name, "", columns, tuple(rows)))


def _draw(surfaces: Sequence[Surface], pair: tuple[int, int]) -> Figure:
    from analysis.formats.style import framed_axes, new_figure

    n = max(1, len(surfaces))
    figure = new_figure(3.9 * n, 3.7)
    for i, one in enumerate(surfaces):
        _draw_surface(framed_axes(figure, 0.6, 0.55, 0.15, 0.35, i, n), one, pair)
    return figure


def _draw_surface(axes: Axes, one: Surface, pair: tuple[int, int]) -> None:
    from analysis.formats.style import BLACK, GREEN, ORANGE

    heights, steps = one.heights, surface_steps()
    above = heights - heights.min()
    levels = np.geomspace(max(above.max() * 1e-4, 1e-9), max(above.max(), 1e-8), N_LEVELS)
    axes.contourf(steps, steps, above.T, levels=[0.0, *levels], cmap="Blues_r", norm="symlog", zorder=0)
    axes.contour(steps, steps, above.T, levels=levels, colors="white", linewidths=0.5, zorder=1)
    for replica, color in zip(pair, (ORANGE, GREEN), strict=True):
        x, y = one.ways[replica].T
        axes.plot(x, y, "-", color=color, linewidth=1.6, zorder=3)
        axes.plot(x, y, ".", color=color, markersize=4, zorder=3)
        axes.plot(x[:1], y[:1], "o", color=color, markersize=8, markeredgecolor=BLACK, zorder=4, label=say("start"))
        axes.plot(x[-1:], y[-1:], "*", color=color, markersize=14, markeredgecolor=BLACK, zorder=4, label=say("end"))
    axes.grid(visible=False)
    axes.set_xlim(-SURFACE_REACH, SURFACE_REACH)
    axes.set_ylim(-SURFACE_REACH, SURFACE_REACH)
    axes.set_title(one.title, fontsize=9)
    axes.set_xlabel(one.weights[0], fontsize=8)
    axes.set_ylabel(one.weights[1], fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(*(shown[:2] for shown in axes.get_legend_handles_labels()), fontsize=7, facecolor="white",
                frameon=True, framealpha=0.85, loc="upper right")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Descent:
    """Gradient descent on a bowl: the place after each of the first steps.

    Parameters
    ----------
    rate : float
    curvature : float
    places : ndarray (steps + 1,)
    """

    rate: float
    curvature: float
    places: FloatArray


def descent_of(cell: CellRecord, curvature: float) -> Descent:
    """Return the way of a cell's first replica, read off its losses: a step changes sides where its factor is below 0.

    The looks must begin with 0, 1, 2, ...
    """
    rate = float(cell.training["learning_rate"])
    n = sum(look == t for t, look in enumerate(cell.looks))
    t = np.arange(n)
    distances = np.sqrt(2.0 * losses(cell, "train")[:n, 0] / curvature)
    return Descent(rate, curvature, distances * np.sign(1.0 - rate * curvature) ** t)


def descent_picture(name: str, caption: str, alt: str, descents: Sequence[Descent]) -> Picture:
    """Return a picture with one panel a rate: the curve, and the first steps on it."""
    rows = [
        (one.rate, float(t), float(place), one.curvature * float(place) ** 2 / 2.0)
        for one in descents
        for t, place in enumerate(one.places[: N_STEPS_DRAWN + 1])
    ]
    columns = (
        ReportColumn("rate", say("Rate")),
        ReportColumn("step", say("Step")),
        ReportColumn("place", say("Place")),
        ReportColumn("loss", say("Loss")),
    )
    return Picture(name, caption, alt, lambda: _draw_descents(descents), ReportTable(name, "", columns, tuple(rows)))


def _draw_descents(descents: Sequence[Descent]) -> Figure:
    from analysis.formats.style import GRAY, RED, new_figure

    n = max(1, len(descents))
    columns = min(n, MOST_IN_A_ROW)
    rows = -(-n // columns)
    figure = new_figure(1.75 * columns, 1.75 * rows)
    line = np.linspace(-FARTHEST, FARTHEST, 81)
    for i, one in enumerate(descents):
        row, column = divmod(i, columns)
        axes = figure.add_axes(
            ((column + 0.14) / columns, 1 - (row + 0.86) / rows, 0.78 / columns, 0.66 / rows),
            xlim=(-FARTHEST, FARTHEST), ylim=(-0.1, one.curvature * FARTHEST**2 / 2),
        )  # fmt: skip
        axes.plot(line, one.curvature * line**2 / 2, color=GRAY, linewidth=1.0)
        x = one.places[: N_STEPS_DRAWN + 1]
        axes.plot(x, one.curvature * x**2 / 2, "o-", color=RED, markersize=3.5, linewidth=1.0)
        axes.set_title(say("rate {rate:g}", rate=one.rate), fontsize=9)
        axes.tick_params(labelsize=6)
        axes.grid(visible=False)
    return figure
