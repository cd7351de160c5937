"""Two spiral arms, one a class. Noise jitters the points within a square."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground.choice import runs_compiled
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

RADIUS = 5.0
TURNS = 1.75
N_CENTERS = 250
"""Points an arm, and so fixed centers an arm, of the page's 500 points."""
ROUNDING = 1e-9


def centers(stretch: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the places the points of both arms are jittered about.

    Parameters
    ----------
    stretch : float
        How far the arms go on, in units of the page's radius.

    Returns
    -------
    ndarray (2, round(250 * stretch), 2)
        The arm of label +1, then that of label -1.
    """
    return _arms(N_CENTERS, round(N_CENTERS * stretch))


def generate(stream: SeedStreams, n: int, noise: float) -> tuple[FloatArray, FloatArray]:
    """Draw `n` points of every stream as the page does.

    Parameters
    ----------
    stream : SeedStreams
        S streams, consumed.
    n : int
        Number of points, even: the arm of label +1 first, from the middle outwards.
    noise : float
        Noise as a fraction, 0 to 0.5: half-width of the jitter.

    Returns
    -------
    points : ndarray (S, n, 2)
        Coordinates.
    labels : ndarray (S, n)
        +1 or -1.
    """
    jitter = (stream.random(2 * n).reshape(stream.n_streams, n, 2) * 2 - 1) * noise
    points = _arms(n // 2, n // 2).reshape(n, 2) + jitter
    labels = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    return points, np.tile(labels, (stream.n_streams, 1))


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane.

    The density of an arm is the number of its centers whose jitter square covers the point. The arms go on outwards for
    ever; up to noise 0.5 no point that both arms reach has a center beyond the page's radius among those near it, so
    this is exact within the range too. Between the arms, where no point can fall, the nearest center decides.

    Raises
    ------
    ValueError
        If a coordinate is not finite.
    """
    points = np.asarray(X[..., :2], np.float64).reshape(-1, 2)
    if not points.size:
        return np.zeros(X.shape[:-1])
    reach = float(np.sqrt((points**2).sum(axis=1)).max()) + 2 * noise + 1.0
    if not math.isfinite(reach):
        raise ValueError("X: some coordinates are not finite")
    arms = centers(max(1.0, reach / RADIUS))
    mean = _counted(arms, points, noise) if runs_compiled() else _found(arms, points, noise)
    return mean.reshape(X.shape[:-1])


def _counted(arms: npt.NDArray[np.float64], points: npt.NDArray[np.float64], noise: float) -> npt.NDArray[np.float64]:
    """Return E[label | point] of points (n, 2), compiled: only centers at about a point's own radius are looked at."""
    from engine.playground import compiled

    mean = np.empty(len(points))
    x, y = np.array(points.T, order="C")
    center_x, center_y = np.array(np.moveaxis(arms, -1, 0), order="C")
    compiled.mean_labels(x, y, center_x, center_y, noise + ROUNDING, ROUNDING, N_CENTERS / RADIUS, mean)
    return mean


def _found(arms: npt.NDArray[np.float64], points: npt.NDArray[np.float64], noise: float) -> npt.NDArray[np.float64]:
    """Return the same by trees of the centers, without the compiler."""
    from scipy.spatial import cKDTree

    trees = [cKDTree(arm) for arm in arms]
    nearest = [np.asarray(tree.query(points, p=np.inf)[0], np.float64) for tree in trees]
    return _mean_label(trees, nearest, points, noise)


def _mean_label(
    trees: Sequence[cKDTree], nearest: Sequence[npt.NDArray[np.float64]], points: npt.NDArray[np.float64], noise: float
) -> npt.NDArray[np.float64]:
    """Return E[label | point] of points (n, 2): by the centers in reach of it, else by the nearest of both arms.

    `nearest` has the distance of each point to both arms; centers are counted only where both are in reach.
    """
    plus, minus = (distance <= noise + ROUNDING for distance in nearest)
    both, neither = plus & minus, ~(plus | minus)
    plus[neither], minus[neither] = (
        (one <= other + ROUNDING)[neither] for one, other in itertools.permutations(nearest)
    )
    mean = plus.astype(np.float64) - minus
    covers = [tree.query_ball_point(points[both], noise + ROUNDING, p=np.inf, return_length=True) for tree in trees]
    n_plus, n_minus = (np.asarray(cover, np.float64) for cover in covers)
    mean[both] = (n_plus - n_minus) / (n_plus + n_minus)
    return mean


def beyond(
    rng: np.random.Generator, n: int, noise: float, stretch: float = 3.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw points from arms that go on to `stretch` times the radius, jittered as much as within the range.

    Parameters
    ----------
    rng : Generator
        Source of all randomness.
    n : int
        Number of points.
    noise : float
        Noise as a fraction, 0 to 0.5.
    stretch : float
        Radius of the arms' ends, in units of the page's.

    Returns
    -------
    points : ndarray (n, 2)
        Coordinates; some still lie within the training range.
    labels : ndarray (n,)
        +1 or -1, with exactly the mean `conditional_mean` at each point.
    """
    arms = centers(stretch)
    arm = rng.integers(2, size=n)
    points = arms[arm, rng.integers(arms.shape[1], size=n)] + noise * rng.uniform(-1, 1, (n, 2))
    return points, np.where(arm == 0, 1.0, -1.0)


@functools.lru_cache(maxsize=4)
def _arms(n_per_radius: int, n: int) -> npt.NDArray[np.float64]:
    """Return `n` centers of both arms, `n_per_radius` of them up to the page's radius; rounded as the page does."""
    step = np.arange(n)
    r = step / n_per_radius * RADIUS
    angle = TURNS * step / n_per_radius * 2 * np.pi + np.array([[0.0], [np.pi]])
    arms = np.stack([r * np.sin(angle), r * np.cos(angle)], axis=-1)
    arms.flags.writeable = False
    return arms


def floor(noise: float) -> float:
    """Return the lowest expected test loss, exactly.

    Sums f+ f- / (f+ + f-) over the cells between the edges of all jitter squares.
    """
    plus, minus = centers()
    if noise == 0:  # point masses: the arms share the places they share
        shared = (plus[:, None] == minus[None]).all(axis=-1).any(axis=1).sum()
        return float(shared / (2 * len(plus)))
    both = np.concatenate([plus, minus])
    edges = [np.unique(np.concatenate([axis - noise, axis + noise])) for axis in both.T]
    n_plus, n_minus = (_cover_counts(arm, noise, edges) for arm in (plus, minus))
    covered = n_plus + n_minus
    harmonic = np.divide(n_plus * n_minus, covered, out=np.zeros_like(covered), where=covered > 0)
    area = np.diff(edges[0])[:, None] * np.diff(edges[1])
    return float((harmonic * area).sum() / (len(plus) * (2 * noise) ** 2))


def _cover_counts(centers: FloatArray, half_width: float, edges: list[FloatArray]) -> npt.NDArray[np.float64]:
    """Return how many squares cover each cell of the grid that their edges make."""
    corners = np.zeros((edges[0].size, edges[1].size))
    for x_side, y_side, sign in ((-1, -1, 1), (1, -1, -1), (-1, 1, -1), (1, 1, 1)):
        i = np.searchsorted(edges[0], centers[:, 0] + x_side * half_width)
        j = np.searchsorted(edges[1], centers[:, 1] + y_side * half_width)
        np.add.at(corners, (i, j), sign)
    counts: npt.NDArray[np.float64] = corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return counts


DATASET = Dataset(
    name="spiral",
    title="spiral",
    problem="classification",
    n_samples=500,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
