"""What networks whose weights a record keeps say about the plane: their regions, the points they learnt, the kinds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analysis.course.cells import Cells, FloatArray
from analysis.records.lesson import CellRecord
from engine.evaluation import predict
from engine.methods.activations import ACTIVATIONS
from engine.network import NetworkConfig, Parameters
from engine.playground.draws import draw, expand

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF, SIDE = 6.0, 25
"""The Playground's plane goes from -6 to 6; regions are read off a grid of this many places a side."""
N_DIRECTIONS = 180
MISPLACED = 0.01
"""Share of the grid that a line may have on the wrong side and still be what the network draws."""
PARALLEL = 0.95
"""Cosine above which two units look in one direction, or in opposite ones."""

Network = tuple[NetworkConfig, Parameters]


@dataclass(frozen=True, slots=True)
class Points:
    """The points of one draw: places (n, 2) and labels (n,) of each split."""

    train: tuple[FloatArray, FloatArray]
    test: tuple[FloatArray, FloatArray]


def network_of(cell: CellRecord) -> Network:
    """Return the cell's trained networks, from the array ``weights``."""
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in cell.network.items()
    }
    network = NetworkConfig(**settings)
    rows = np.array(cell.arrays["weights"], np.float64).reshape(len(cell.seeds), -1)
    shapes = list(itertools.pairwise(network.layer_sizes))
    sizes = [fan_in * fan_out for fan_in, fan_out in shapes] + [fan_out for _, fan_out in shapes]
    parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    weights = [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=False)]
    return network, Parameters(list(weights), list(parts[len(shapes) :]))


def data_of(cells: Cells, cell: CellRecord) -> Mapping[str, object]:
    """Return the settings of a cell's data."""
    own = {key.removeprefix("data."): value for key, value in cell.params.items() if key.startswith("data.")}
    return {**cells.design(str(cell.params["design"]))["data"], **own}


def points_of(cells: Cells, cell: CellRecord, replica: int) -> Points:
    """Return the points that one replica was trained and tested on, drawn again from its seed."""
    data = data_of(cells, cell)
    noise, share = float(str(data["noise"])), float(str(data["train_share"]))
    page = draw(str(cell.params["dataset"]), noise, share, cell.seeds[replica : replica + 1], ("x", "y"))
    return Points(
        (np.asarray(page.train_points[0], np.float64), np.asarray(page.train.y[0, :, 0], np.float64)),
        (np.asarray(page.test_points[0], np.float64), np.asarray(page.test.y[0, :, 0], np.float64)),
    )


def grid(side: int = SIDE) -> FloatArray:
    """Return places of the plane, (side * side, 2), row by row from the lowest."""
    steps = np.linspace(-HALF, HALF, side)
    x, y = np.meshgrid(steps, steps)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def outputs(cells: Cells, cell: CellRecord, side: int = SIDE, replicas: slice = slice(None)) -> FloatArray:
    """Return what each network says on the grid, (R, side * side)."""
    network, parameters = network_of(cell)
    features = tuple(map(str, data_of(cells, cell)["features"]))  # type: ignore[call-overload]
    X = expand(grid(side)[None], features)
    return np.asarray(predict(network, parameters.select(replicas), X)[..., 0], np.float64)


def is_constant(positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which networks give the whole grid one sign, (R,)."""
    return np.asarray(positive.all(axis=1) | ~positive.any(axis=1), np.bool_)


def is_line(positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which networks' regions some straight line divides, but for `MISPLACED` of the grid, (R,).

    Lines in `N_DIRECTIONS` directions are tried, each at every place along it.
    """
    places = grid()
    angles = np.pi * np.arange(N_DIRECTIONS) / N_DIRECTIONS
    n = len(places)
    fewest = np.full(len(positive), n)
    total = positive.sum(axis=1)
    for angle in angles:
        order = np.argsort(places @ (np.cos(angle), np.sin(angle)), kind="stable")
        before = np.cumsum(positive[:, order], axis=1)
        # A line after the k-th place, positive beyond it: what is positive before, and negative beyond.
        wrong = before + (n - np.arange(1, n + 1)) - (total[:, None] - before)
        fewest = np.minimum(fewest, np.minimum(wrong.min(axis=1), (n - wrong).min(axis=1)))
    return np.asarray(fewest <= MISPLACED * n, np.bool_)


def corners_right(positive: npt.NDArray[np.bool_], truth: Sequence[bool], share: float) -> npt.NDArray[np.int64]:
    """Return in how many quadrants at least a share of the grid has the true sign, (R,).

    Parameters
    ----------
    positive : ndarray (R, n)
        On the grid.
    truth : sequence of bool
        Sign of each quadrant: lower left, lower right, upper left, upper right.
    share : float
    """
    places = grid()
    found = np.zeros(len(positive), np.int64)
    for k, wanted in enumerate(truth):
        mine = ((places[:, 0] > 0) == bool(k % 2)) & ((places[:, 1] > 0) == (k >= 2)) & (places != 0).all(axis=1)
        found += (positive[:, mine] == wanted).mean(axis=1) >= share
    return found


def has_dead_unit(cells: Cells, cell: CellRecord) -> npt.NDArray[np.bool_]:
    """Return which networks have a unit of the first layer whose derivative is 0 all over the grid, (R,)."""
    network, parameters = network_of(cell)
    features = tuple(map(str, data_of(cells, cell)["features"]))  # type: ignore[call-overload]
    activation = ACTIVATIONS[network.activation]
    slope = activation.default_slope if network.activation_slope is None else network.activation_slope
    Z = expand(grid()[None], features) @ parameters.weights[0] + parameters.biases[0][:, None, :]
    derivative = activation.derivative(Z, np.asarray(activation.function(Z, slope)), slope)
    return np.asarray((derivative == 0).all(axis=1).any(axis=1), np.bool_)


def has_parallel_units(cell: CellRecord) -> npt.NDArray[np.bool_]:
    """Return which networks have two units of the first layer that look the same way or opposite ways, (R,)."""
    _, parameters = network_of(cell)
    W = parameters.weights[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = np.abs(np.einsum("rik,ril->rkl", unit, unit))
    above = np.triu(np.ones(cosines.shape[1:], np.bool_), k=1)
    return np.asarray(((cosines > PARALLEL) & above).any(axis=(1, 2)), np.bool_)


def draw_region(
    axes: Axes, cells: Cells, cell: CellRecord, replica: int, points: tuple[FloatArray, FloatArray] | None
) -> None:
    """Draw what a network says of the plane in the Playground's colours, its boundary, and points."""
    from analysis.formats.style import BLACK, playground_colors

    side = 61
    values = outputs(cells, cell, side, slice(replica, replica + 1))[0].reshape(side, side)
    steps = np.linspace(-HALF, HALF, side)
    axes.imshow(np.clip(values, -1, 1), origin="lower", extent=(-HALF, HALF, -HALF, HALF), vmin=-1, vmax=1,
                cmap=playground_colors(), interpolation="bilinear", zorder=0)  # fmt: skip
    if (values > 0).any() and (values <= 0).any():
        axes.contour(steps, steps, values, levels=[0.0], colors=BLACK, linewidths=1.2, zorder=2)
    if points is not None:
        scatter(axes, points)
    plane(axes)


def scatter(axes: Axes, points: tuple[FloatArray, FloatArray]) -> None:
    """Draw points in the colours of their labels."""
    from analysis.formats.style import NEGATIVE, POSITIVE

    places, labels = points
    for positive, color in ((False, NEGATIVE), (True, POSITIVE)):
        x, y = places[(labels > 0) == positive].T
        axes.plot(x, y, "o", color=color, markersize=3, markeredgecolor="white", markeredgewidth=0.4, zorder=3)


def plane(axes: Axes) -> None:
    """Give axes the Playground's plane."""
    axes.set_xlim(-HALF, HALF)
    axes.set_ylim(-HALF, HALF)
    axes.set_aspect("equal")
    axes.set_xticks([-5, 0, 5])
    axes.set_yticks([-5, 0, 5])
    axes.tick_params(labelsize=6)
    axes.grid(visible=False)
