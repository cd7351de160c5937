"""Loss by distance beyond the training range."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.intervals import Interval, mean_interval
from analysis.ranges import Box
from analysis.records import Study
from analysis.sections.blocks import (
    Block,
    Column,
    Missing,
    Picture,
    Section,
    Table,
    Text,
    file_names,
    labels,
    number_text,
    shown,
)
from analysis.sections.models import WinnerModel, winner_model
from engine.datasets.registry import DATASETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_POINTS = 3000
SEED_POINTS = 21
LEAST_POINTS = 10
LEAST_BINS = 2
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)


@dataclass(frozen=True, slots=True)
class DistanceBin:
    """Losses of the points at some distance beyond the range.

    Parameters
    ----------
    low, high : float
        Distance beyond the training box, in training spreads; both 0 for the test points in range.
    n_points : int
        Points, summed over networks.
    loss, floor, constant : Interval
        Mean loss over networks, and of the best possible and the constant predictor on the same points.
    """

    low: float
    high: float
    n_points: int
    loss: Interval
    floor: Interval
    constant: Interval

    @property
    def middle(self) -> float:
        """Where the bin is drawn."""
        return (self.low + self.high) / 2


def distance_bins(model: WinnerModel) -> list[DistanceBin]:
    """Return the losses in range and in bins of distance beyond it.

    Every network is asked about the same fresh points, drawn by the dataset's own rule with a fixed seed; the distance
    is from the network's own training box. A network with fewer than `LEAST_POINTS` points in a bin does not count
    there, nor does a bin in which fewer than half of the networks count.
    """
    draws, dataset = model.draws, DATASETS[model.draws.dataset]
    box = Box.fit(draws.train_points)
    rng = np.random.default_rng(SEED_POINTS)
    points, point_labels = dataset.beyond(rng, N_POINTS, draws.noise, model.stretch)
    mean_label = draws.train.y[..., 0].mean(axis=1, keepdims=True)

    def measure(X: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> list[npt.NDArray[np.float64]]:
        truth = dataset.conditional_mean(X, draws.noise)
        shape = (model.n_replicas, X.shape[1])
        return [model.losses(np.broadcast_to(said, shape), y) for said in (model.predict(X), truth, mean_label)]

    bins: list[DistanceBin] = []
    inside = box.contains(draws.test_points)
    bins += _bin(0.0, 0.0, inside, measure(draws.test_points, draws.test.y[..., 0]))
    distance = box.distance(points[None])
    beyond = measure(points[None], point_labels[None])
    for low, high in itertools.pairwise(EDGES):
        bins += _bin(low, high, (distance > low) & (distance <= high), beyond)
    return bins


def _bin(
    low: float, high: float, chosen: npt.NDArray[np.bool_], losses: Sequence[npt.NDArray[np.float64]]
) -> list[DistanceBin]:
    n = chosen.sum(axis=1)
    enough = n >= LEAST_POINTS
    if 2 * enough.sum() < len(n):
        return []
    intervals = [mean_interval(np.where(chosen, loss, 0).sum(axis=1)[enough] / n[enough]) for loss in losses]
    return [DistanceBin(low, high, int(n[enough].sum()), *intervals)]


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Text(
            "The same fresh points beyond the range for every network, drawn by the dataset's rule with its noise. "
            "Distance is counted from each network's own training box, in standard deviations of its training inputs; "
            "0 are its own test points in range. Bands are 95 % intervals of the mean over networks, which differ in "
            "data, split, initial weights and order."
        )
    ]
    for study, name, file_name in zip(studies, names, file_names("distance", names), strict=True):
        blocks.append(distance_block(study, name, file_name))
    return Section("distance", "Loss by distance beyond the range", tuple(blocks))


def distance_block(study: Study, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    model = winner_model(study)
    if isinstance(model, Missing):
        return Text(f"{name}: {model.reason}.", "missing")
    bins = distance_bins(model)
    if len(bins) < LEAST_BINS:
        return Text(f"{name}: not shown: fewer than {LEAST_POINTS} points at each distance.", "missing")
    data = Table(
        file_name,
        "",
        (
            Column("distance_low", "From"),
            Column("distance_high", "To"),
            Column("n_points", "Points n"),
            Column("loss", "Loss", "interval"),
            Column("floor", "Best possible predictor", "interval"),
            Column("constant", "Constant predictor", "interval"),
        ),
        tuple(
            (one.low, one.high, one.n_points, shown(one.loss), shown(one.floor), shown(one.constant)) for one in bins
        ),
    )
    return Picture(
        file_name,
        f"{name}, n = {model.n_replicas} networks, {N_POINTS} points beyond: {finding(bins)}",
        f"{name}: {finding(bins)}",
        lambda: draw_distance(bins, study.header.goal, name),
        data,
    )


def finding(bins: Sequence[DistanceBin]) -> str:
    """Return what the picture tells: loss near and far, and where the network stops beating the constant."""
    first, last = bins[0], bins[-1]
    where = "in range" if first.high == 0 else f"{first.middle:g} spreads beyond"
    text = (
        f"mean loss {number_text(first.loss.estimate or 0)} {where}, {number_text(last.loss.estimate or 0)} at "
        f"{last.low:g} to {last.high:g} spreads beyond the range"
    )
    worse = next((one for one in bins if (one.loss.estimate or 0) > (one.constant.estimate or 0)), None)
    if worse is None:
        return f"{text}; everywhere below the constant predictor's."
    at = "already in range" if worse.high == 0 else f"{worse.low:g} spreads beyond"
    at = "right outside the range" if worse.high > 0 == worse.low else at
    return f"{text}; above the constant predictor's {at}."


def draw_distance(bins: Sequence[DistanceBin], goal: float, name: str) -> Figure:
    """Draw loss, floor and constant predictor against distance."""
    from analysis.sections.style import BLACK, BLUE, GRAY, RED, framed_axes, horizontal, new_figure

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.8, 0.55, 2.1, 0.35)
    x = [one.middle for one in bins]
    for part, color, text, style in (
        ("loss", BLUE, "the winner", "o-"),
        ("floor", BLACK, "best possible predictor", "|:"),
        ("constant", GRAY, "constant predictor", "x--"),
    ):
        intervals: list[Interval] = [getattr(one, part) for one in bins]
        estimates = [interval.estimate or 0.0 for interval in intervals]
        ends = [(interval.low, interval.high) for interval in intervals]
        axes.fill_between(
            x,
            [estimate if low is None else low for estimate, (low, _) in zip(estimates, ends, strict=True)],
            [estimate if high is None else high for estimate, (_, high) in zip(estimates, ends, strict=True)],
            color=color,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(x, estimates, style, color=color, label=text, markersize=6)
    horizontal(axes, goal, RED, f"goal {goal:g}")
    axes.set_ylim(bottom=0)
    axes.set_title(name)
    axes.set_xlabel("distance beyond the training box, in training spreads (0: in range)")
    axes.set_ylabel("mean loss")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
