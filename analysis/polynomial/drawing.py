"""Figures of a polynomial study: predictions over the truth, units, medians, valleys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import (
    number_text,
)
from analysis.polynomial.question import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


PAIR_SIZE = (9.0, 3.3)
PAIR_MARGINS = (0.6, 0.5, 0.15, 0.35)
"""Inches: left, bottom, right, top of each panel."""
MOST_PANELS = 4
VALLEY_TITLES = ("training error", "error out of range")


def grouped(steps: int) -> str:
    """Return ``"5 000 000"``."""
    return f"{steps:,}".replace(",", " ")


def draw_predictions(
    x: FloatArray, truth: FloatArray, predictions: dict[str, FloatArray], ends: tuple[float, float]
) -> Figure:
    """Draw predictions side by side, in range and out of range in two colours, over the truth."""
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    for i, (title, prediction) in enumerate(predictions.items()):
        axes = framed_axes(figure, *PAIR_MARGINS, i, len(predictions))
        _draw_over_truth(axes, x, truth, prediction, ends)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("x")
        if i == 0:
            axes.set_ylabel("y")
            axes.legend(loc="upper center")
    return figure


def animate_predictions(
    x: FloatArray,
    truth: FloatArray,
    panels: Sequence[tuple[Sequence[FloatArray], Sequence[str], Sequence[float]]],
    ends: tuple[float, float],
) -> Iterator[Figure]:
    """Yield one figure again and again, moved on by one look each time.

    Parameters
    ----------
    x, truth : ndarray (n,)
    panels : sequence of (predictions, titles, training errors)
        Side by side; one entry a look.
    ends : (float, float)
        The training range.
    """
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    drawn = []
    for i, (predictions, _, _) in enumerate(panels):
        axes = framed_axes(figure, *PAIR_MARGINS, i, len(panels))
        drawn.append((axes, *_draw_over_truth(axes, x, truth, predictions[0], ends)))
        axes.set_xlabel("x")
        if i == 0:
            axes.legend(loc="upper center")
    inside = (x >= ends[0]) & (x <= ends[1])
    for moment in range(len(panels[0][0])):
        for (axes, inner, outer), (predictions, titles, losses) in zip(drawn, panels, strict=True):
            inner.set_ydata(predictions[moment][inside])
            outer.set_ydata(predictions[moment][~inside])
            axes.set_title(f"{titles[moment]}: training error {number_text(losses[moment])}", fontsize=9.5)
        yield figure


def _draw_over_truth(
    axes: Axes, x: FloatArray, truth: FloatArray, prediction: FloatArray, ends: tuple[float, float], size: float = 4.0
) -> tuple[Line2D, Line2D]:
    """Draw the truth as a line and the prediction as points; return the points in range and out of range."""
    from analysis.formats.style import BLACK, BLUE, RED

    inside = (x >= ends[0]) & (x <= ends[1])
    axes.plot(x, truth, "-", color=BLACK, linewidth=1.2, label="truth")
    (outer,) = axes.plot(x[~inside], prediction[~inside], ".", color=RED, markersize=size, label="out of range")
    (inner,) = axes.plot(x[inside], prediction[inside], ".", color=BLUE, markersize=size, label="in range")
    height = float(np.ptp(truth)) or 1.0
    axes.set_ylim(float(truth.min()) - 0.15 * height, float(truth.max()) + 0.05 * height)
    return inner, outer


def draw_units(
    x: FloatArray, units: FloatArray, fitted: Sequence[tuple[str, FloatArray]], ends: tuple[float, float]
) -> Figure:
    """Draw each hidden unit's output beside the others, each with its polynomial."""
    from analysis.formats.style import BLUE, GRAY, ORANGE, framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 2.7)
    n = min(len(units), MOST_PANELS)
    for k in range(n):
        axes = framed_axes(figure, *PAIR_MARGINS, k, n)
        axes.axvspan(*ends, color=GRAY, alpha=0.15, linewidth=0, label="training range")
        axes.plot(x, units[k], color=BLUE, label=f"unit {k + 1}")
        name, values = fitted[k]
        axes.plot(x, values, color=ORANGE, linewidth=1.4, linestyle="--", label=name.partition(" of ")[0])
        axes.set_ylim(-0.1, 1.1)
        axes.set_title(f"unit {k + 1}", fontsize=9.5)
        axes.set_xlabel("x")
        axes.legend(loc="best", fontsize=8)
    return figure


def draw_stills(
    x: FloatArray, truth: FloatArray, steps: Sequence[int], stills: Sequence[FloatArray], ends: tuple[float, float]
) -> Figure:
    """Draw a strip of predictions during training."""
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 2.2)
    for i, (step, prediction) in enumerate(zip(steps, stills, strict=True)):
        axes = framed_axes(figure, 0.12, 0.3, 0.05, 0.35, i, len(steps))
        _draw_over_truth(axes, x, truth, prediction, ends, size=2.0)
        axes.set_yticklabels([])
        axes.set_title(grouped(step), fontsize=9)
    return figure


def draw_steps(steps: npt.NDArray[np.int64], curves: dict[str, FloatArray], title: str, log: bool) -> Figure:
    """Draw medians against steps."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, RED, framed_axes, new_figure, plain_ticks

    figure = new_figure(PAIR_SIZE[0], 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 3.0, 0.35)
    for (label, values), color in zip(curves.items(), (BLUE, RED, GREEN, ORANGE) * len(curves), strict=False):
        axes.plot(steps, values, color=color, label=label)
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    if log:
        _set_log(axes, list(curves.values()))
    _finish(axes, f"median {title}", "steps", title)
    return figure


def draw_lines(share: FloatArray, medians: dict[str, FloatArray]) -> Figure:
    """Draw the loss along straight lines between solutions."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 4.1, 0.35)
    for (label, values), color in zip(medians.items(), (BLUE, ORANGE, GREEN) * len(medians), strict=False):
        axes.plot(share, values, color=color, label=label)
    _set_log(axes, list(medians.values()))
    _finish(axes, "median training error on straight lines", "share of the way", "training error")
    return figure


def draw_valley(shares: FloatArray, curves: dict[str, tuple[list[float], list[float]]]) -> Figure:
    """Draw training error and error out of range against the weight that is held, side by side."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, RED, framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    for k, title in enumerate(VALLEY_TITLES):
        axes = framed_axes(figure, 0.9, *PAIR_MARGINS[1:], k, 2)
        for (label, both), color in zip(curves.items(), (BLUE, RED, GREEN, ORANGE) * len(curves), strict=False):
            axes.plot(shares, both[k], ".-", color=color, label=label)
        _set_log(axes, [np.array(both[k]) for both in curves.values()])
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("weight into the first unit, as a multiple of the solution's")
        if k == 0:
            axes.legend(loc="best", fontsize=8)
    return figure


def _set_log(axes: Axes, curves: Sequence[FloatArray]) -> None:
    """Make the y axis logarithmic, where the curves allow it."""
    from analysis.formats.style import plain_ticks

    if all((values > 0).all() for values in curves):
        axes.set_yscale("log")
        plain_ticks(axes, "y")


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
