"""Loss by distance beyond the training range."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import (
    Block,
    Cell,
    Heading,
    Missing,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    labels,
    number_text,
    short,
    shown,
    study_files,
)
from analysis.records.study import Study
from analysis.sections.models import WinnerModel, winner_model
from analysis.statistics.bounded import bounded_interval, find_ends
from analysis.statistics.intervals import Interval, mean_interval
from analysis.statistics.ranges import RANGES, Box, why_meaningless
from analysis.words import say
from engine.network import FloatArray
from engine.playground.registry import DATASETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_POINTS = 3000
N_DEFINITION_POINTS = 1000
SEED_POINTS = 21
LEAST_POINTS = 10
LEAST_BINS = 2
STRETCHES = (1.5, 2.0, 3.0, 4.0, 6.0)
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)

STRETCH_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("factor", "Stretch factor"),
    ReportColumn("loss", "Loss at this stretch", "interval"),
    ReportColumn("floor", "Best possible predictor", "interval"),
    ReportColumn("constant", "Constant predictor", "interval"),
    ReportColumn("n", "Networks n"),
    ReportColumn("n_points", "Points n"),
)
DEFINITION_COLUMNS = (
    ReportColumn("dataset", "Data type", "text"),
    ReportColumn("definition", "In range is", "text"),
    ReportColumn("in_range", "Loss inside this range", "interval"),
    ReportColumn("n_in_range", "Points n"),
    ReportColumn("out_of_range", "Loss outside it", "interval"),
    ReportColumn("n_out_of_range", "Points there n"),
    ReportColumn("distance", "Their mean distance"),
)
DEFINITION_TITLES = {"box": "the box", "neighborhood": "near training points", "hull": "the convex hull"}


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


@dataclass(frozen=True, slots=True)
class StretchLoss:
    """Losses of the points out of range that one stretch factor makes.

    Parameters
    ----------
    factor : float
        Factor on the coordinates of the dataset's own rule.
    n_points : int
        Points outside the training box, summed over networks.
    loss, floor, constant : Interval
        As in `DistanceBin`.
    """

    factor: float
    n_points: int
    loss: Interval
    floor: Interval
    constant: Interval


@dataclass(frozen=True, slots=True)
class DefinitionLoss:
    """Losses on both sides of the training range as one definition draws it.

    Parameters
    ----------
    name : str
        Name in `analysis.statistics.ranges.RANGES`.
    n_in_range, n_out_of_range : int
        Points on each side, summed over networks.
    in_range, out_of_range : Interval
        Mean loss over networks; those with fewer than `LEAST_POINTS` points on a side do not count there.
    distance : float
        Mean distance of the points out of range beyond it, in training spreads.
    """

    name: str
    n_in_range: int
    n_out_of_range: int
    in_range: Interval
    out_of_range: Interval
    distance: float


def measure(model: WinnerModel, points: FloatArray, point_labels: FloatArray) -> list[npt.NDArray[np.float64]]:
    """Return the losses (R, n) of the networks, of the best possible and of the constant predictor.

    Parameters
    ----------
    model : WinnerModel
    points : ndarray (R or 1, n, 2)
    point_labels : ndarray (R or 1, n)
    """
    draws = model.draws
    truth = DATASETS[draws.dataset].conditional_mean(points, draws.noise)
    mean_label = draws.train.y[..., 0].mean(axis=1, keepdims=True)
    shape = (model.n_replicas, points.shape[1])
    return [
        model.losses(np.broadcast_to(said, shape), point_labels) for said in (model.predict(points), truth, mean_label)
    ]


def points_beyond(model: WinnerModel, stretch: float) -> tuple[FloatArray, FloatArray]:
    """Return fresh points (1, n, 2) and labels (1, n) of the dataset's own rule with a fixed seed."""
    rng = np.random.default_rng(SEED_POINTS)
    points, point_labels = DATASETS[model.draws.dataset].beyond(rng, N_POINTS, model.draws.noise, stretch)
    return points[None], point_labels[None]


@lru_cache(maxsize=64)
def distance_bins(model: WinnerModel) -> tuple[DistanceBin, ...]:
    """Return the losses in range and in bins of distance beyond it.

    Every network is asked about the same fresh points, drawn by the dataset's own rule with a fixed seed; the distance
    is from the network's own training box. A network with fewer than `LEAST_POINTS` points in a bin does not count
    there, nor does a bin in which fewer than half of the networks count.
    """
    draws = model.draws
    box = Box.fit(draws.train_points)
    inside = box.contains(draws.test_points)
    means = [_bin_means(0.0, 0.0, inside, measure(model, draws.test_points, draws.test.y[..., 0]))]
    points, point_labels = points_beyond(model, model.stretch)
    distance = box.distance(points)
    beyond = measure(model, points, point_labels)
    for low, high in itertools.pairwise(EDGES):
        means.append(_bin_means(low, high, (distance > low) & (distance <= high), beyond))
    return tuple(_bins(means, model.largest_loss))


def stretch_losses(model: WinnerModel) -> list[StretchLoss]:
    """Return the losses out of range at every factor of `STRETCHES` and at the dataset's own."""
    box = Box.fit(model.draws.train_points)
    means = []
    for factor in sorted({*STRETCHES, model.stretch}):
        points, point_labels = points_beyond(model, factor)
        means.append(_bin_means(factor, factor, ~box.contains(points), measure(model, points, point_labels)))
    return [
        StretchLoss(one.low, one.n_points, one.loss, one.floor, one.constant)
        for one in _bins(means, model.largest_loss)
    ]


def definition_losses(model: WinnerModel) -> list[DefinitionLoss | Missing]:
    """Return the losses on both sides by every definition of the range, over test points and points beyond alike."""
    draws = model.draws
    beyond, beyond_labels = (part[:, :N_DEFINITION_POINTS] for part in points_beyond(model, model.stretch))
    R = model.n_replicas
    points = np.concatenate([draws.test_points, np.broadcast_to(beyond, (R, *beyond.shape[1:]))], axis=1)
    point_labels = np.concatenate(
        [draws.test.y[..., 0], np.broadcast_to(beyond_labels, (R, beyond_labels.shape[1]))], axis=1
    )
    loss = model.losses(model.predict(points), point_labels)
    result: list[DefinitionLoss | Missing] = []
    for name, definition in RANGES.items():
        why = why_meaningless(name, draws.train_points.shape[1], draws.train_points.shape[2])
        if why is not None:
            result.append(Missing(why))
            continue
        distance = definition.fit(draws.train_points).distance(points)
        outside = distance > 0
        sides = [_mean_of(_means_over(loss, chosen), model.largest_loss) for chosen in (~outside, outside)]
        far = float(distance[outside].mean()) if outside.any() else 0.0
        result.append(DefinitionLoss(name, int((~outside).sum()), int(outside.sum()), sides[0], sides[1], far))
    return result


def _means_over(loss: FloatArray, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return each network's mean loss at the chosen points, those with too few left out."""
    n = chosen.sum(axis=1)
    enough = n >= LEAST_POINTS
    means: npt.NDArray[np.float64] = np.where(chosen, loss, 0).sum(axis=1)[enough] / n[enough]
    return means


def _mean_of(means: npt.NDArray[np.float64], largest: float | None) -> Interval:
    """Return the mean over networks.

    Where no `largest` loss is known, the interval is Hall's, which knows nothing of rare bad networks.
    """
    return mean_interval(means) if largest is None else bounded_interval(means, largest)


@dataclass(frozen=True, slots=True)
class _BinMeans:
    """The networks' mean losses in a bin: their own, the best possible and the constant predictor's."""

    low: float
    high: float
    n_points: int
    means: list[npt.NDArray[np.float64]]


def _bin_means(
    low: float, high: float, chosen: npt.NDArray[np.bool_], losses: Sequence[npt.NDArray[np.float64]]
) -> _BinMeans | None:
    """Return the means in a bin, or None where fewer than half of the networks have enough points in it."""
    n = chosen.sum(axis=1)
    enough = n >= LEAST_POINTS
    if 2 * enough.sum() < len(n):
        return None
    return _BinMeans(low, high, int(n[enough].sum()), [_means_over(loss, chosen) for loss in losses])


def _bins(found: Sequence[_BinMeans | None], largest: float | None) -> list[DistanceBin]:
    """Return the bins that there are, with the intervals of their means."""
    there = [one for one in found if one is not None]
    if largest is not None:
        find_ends((means, largest, 0.0) for one in there for means in one.means)
    return [
        DistanceBin(one.low, one.high, one.n_points, *(_mean_of(means, largest) for means in one.means))
        for one in there
    ]


def build(studies: Sequence[Study]) -> Section:
    """Return the section."""
    names = labels(studies)
    blocks: list[Block] = [
        Paragraph(
            "The same fresh points beyond the range for every network, drawn by the dataset's rule with its noise. "
            "Distance is counted from each network's own training box, in standard deviations of its training inputs; "
            "0 are its own test points in range. Bands are 95 % intervals of the mean over networks, which differ in "
            "data, split, initial weights and order; where no largest loss is known they know of no rare bad network."
        )
    ]
    factors: list[tuple[str, list[StretchLoss]]] = []
    definitions: list[tuple[Cell, ...]] = []
    for study, name, file_name in zip(studies, names, study_files("distance", studies), strict=True):
        model = winner_model(study)
        if isinstance(model, Missing):
            blocks.append(Paragraph(f"{name}: {model.reason}.", "missing"))
            continue
        blocks.append(distance_block(model, study.header.goal, name, file_name))
        factors.append((name, stretch_losses(model)))
        definitions += [definition_cells(one, name) for one in definition_losses(model)]
    if any(losses for _, losses in factors):
        blocks += [Heading("By stretch factor"), *stretch_blocks(factors)]
    if definitions:
        blocks += [
            Heading("By definition of the range"),
            ReportTable(
                "definitions",
                'Does the answer hang on what "in range" means? The same networks and points under three definitions: '
                "the box of the training inputs (the one used everywhere else in this report), the reach of the fifth "
                "nearest training point, and the convex hull. Test points and points beyond alike fall on the side "
                "that the definition puts them. Distances are beyond that range, in training spreads.",
                DEFINITION_COLUMNS,
                tuple(definitions),
            ),
        ]
    return Section("distance", "Loss by distance beyond the range", tuple(blocks))


def definition_cells(one: DefinitionLoss | Missing, name: str) -> tuple[Cell, ...]:
    """Return one definition's row."""
    if isinstance(one, Missing):
        return (name, one, *[""] * 5)
    return (
        name,
        DEFINITION_TITLES[one.name],
        shown(one.in_range),
        one.n_in_range,
        shown(one.out_of_range),
        one.n_out_of_range,
        one.distance,
    )


def stretch_blocks(factors: Sequence[tuple[str, Sequence[StretchLoss]]]) -> list[Block]:
    """Return the table and the picture of the losses by stretch factor."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, one.factor, shown(one.loss), shown(one.floor), shown(one.constant), one.loss.n, one.n_points)
        for name, losses in factors
        for one in losses
    )
    told = "; ".join(
        f"{name} {number_text(losses[0].loss.estimate or 0)} at {losses[0].factor:g} times, "
        f"{number_text(losses[-1].loss.estimate or 0)} at {losses[-1].factor:g} times"
        for name, losses in factors
        if losses
    )
    return [
        ReportTable(
            "stretch",
            "The winners' mean loss out of range where the dataset's own rule is stretched by several factors, with "
            "95 % intervals over n networks. The search was measured at one of them; none was an objective.",
            STRETCH_COLUMNS,
            rows,
        ),
        Picture(
            "stretch-drawn",
            f"Mean loss out of range by stretch factor, with its 95 % band. {told}.",
            f"Mean loss out of range by stretch factor: {told}.",
            lambda: draw_stretches(factors),
            ReportTable("stretch-drawn", "", STRETCH_COLUMNS, rows),
        ),
    ]


def draw_stretches(factors: Sequence[tuple[str, Sequence[StretchLoss]]]) -> Figure:
    """Draw one line with a band for each dataset."""
    from analysis.formats.style import COLORS, framed_axes, new_figure

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.8, 0.55, 2.1, 0.35)
    for i, (name, losses) in enumerate(factors):
        draw_band(
            axes, [one.factor for one in losses], [one.loss for one in losses], COLORS[i % len(COLORS)], name, "o-"
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("stretch factor of the dataset's own rule")
    axes.set_ylabel("mean loss out of range")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def draw_band(
    axes: Axes, x: Sequence[float], intervals: Sequence[Interval], color: str, label: str, style: str
) -> None:
    """Draw estimates as a line and their intervals as a band."""
    estimates = [interval.estimate or 0.0 for interval in intervals]
    low, high = (
        [estimate if end is None else end for estimate, end in zip(estimates, ends, strict=True)]
        for ends in ([one.low for one in intervals], [one.high for one in intervals])
    )
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(x, estimates, style, color=color, label=short(label), markersize=6)


def distance_block(model: WinnerModel, goal: float, name: str, file_name: str) -> Block:
    """Return one study's picture, or why there is none."""
    bins = distance_bins(model)
    if len(bins) < LEAST_BINS:
        return Paragraph(f"{name}: not shown: fewer than {LEAST_POINTS} points at each distance.", "missing")
    data = ReportTable(
        file_name,
        "",
        (
            ReportColumn("distance_low", "From"),
            ReportColumn("distance_high", "To"),
            ReportColumn("n_points", "Points n"),
            ReportColumn("loss", "Loss", "interval"),
            ReportColumn("floor", "Best possible predictor", "interval"),
            ReportColumn("constant", "Constant predictor", "interval"),
        ),
        tuple(
            (one.low, one.high, one.n_points, shown(one.loss), shown(one.floor), shown(one.constant)) for one in bins
        ),
    )
    return Picture(
        file_name,
        f"{name}, n = {model.n_replicas} networks, {N_POINTS} points beyond: {finding(bins)}",
        f"{name}: {finding(bins)}",
        lambda: draw_distance(bins, goal, name),
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
    at = crossing(bins)
    if at is None:
        return f"{text}; everywhere below the constant predictor's."
    return f"{text}; above the constant predictor's {at}."


def crossing(bins: Sequence[DistanceBin]) -> str | None:
    """Return from which distance on the loss first exceeds the constant predictor's, or None where it never does."""
    worse = next((one for one in bins if (one.loss.estimate or 0) > (one.constant.estimate or 0)), None)
    if worse is None:
        return None
    if worse.high == 0:
        return say("already in range")
    return say("{low:g} spreads beyond", low=worse.low) if worse.low > 0 else say("right outside the range")


def draw_distance(bins: Sequence[DistanceBin], goal: float, name: str) -> Figure:
    """Draw loss, floor and constant predictor against distance."""
    from analysis.formats.style import BLACK, BLUE, GRAY, RED, framed_axes, horizontal, new_figure

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.8, 0.55, 2.1, 0.35)
    x = [one.middle for one in bins]
    for part, color, text, style in (
        ("loss", BLUE, "the winner", "o-"),
        ("floor", BLACK, "best possible predictor", "|:"),
        ("constant", GRAY, "constant predictor", "x--"),
    ):
        draw_band(axes, x, [getattr(one, part) for one in bins], color, text, style)
    horizontal(axes, goal, RED, f"goal {goal:g}")
    axes.set_ylim(bottom=0)
    axes.set_title(name)
    axes.set_xlabel("distance beyond the training box, in training spreads (0: in range)")
    axes.set_ylabel("mean loss")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
