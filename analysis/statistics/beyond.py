"""Why a loss changes beyond the training range: how far from the true boundary the points there lie, of which class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.statistics.ranges import Box
from engine.network import FloatArray
from engine.playground.dataset import Dataset
from engine.playground.registry import DATASETS

N_GRID = 400
"""Points of the grid along each axis between which the true boundary is looked for."""
GRID_MARGIN = 1.05


@dataclass(frozen=True, slots=True)
class BeyondPoints:
    """What the points out of range are like, beside those a network was trained on.

    Parameters
    ----------
    farther : float or None
        Share of the points out of range that lie farther from the true boundary than every training point of the same
        draw, mean over draws; None where the rule has no boundary (numbers, or one class everywhere).
    positive : float or None
        Share of label +1 among the points out of range, mean over draws; None for numbers.
    n_points : int
        Points out of range, summed over draws.
    """

    farther: float | None
    positive: float | None
    n_points: int


def beyond_points(
    dataset: str, noise: float, train_points: FloatArray, points: FloatArray, labels: FloatArray
) -> BeyondPoints | None:
    """Describe the points out of range, or return None where no draw has any.

    Parameters
    ----------
    dataset : str
        Name in `engine.playground.registry.DATASETS`.
    noise : float
        Fraction.
    train_points : ndarray (R, n, 2)
        Training points of R draws.
    points : ndarray (1, m, 2)
        Points of the dataset's own rule beyond its range; those inside a draw's training box do not count there.
    labels : ndarray (1, m)
        Their labels.
    """
    rule = DATASETS[dataset]
    outside = ~Box.fit(train_points).contains(points)
    n = outside.sum(axis=1)
    if not n.all():
        return None
    if rule.problem != "classification":
        return BeyondPoints(None, None, int(n.sum()))
    positive = float(np.mean((outside & (labels > 0)).sum(axis=1) / n))
    reach = float(np.abs(points).max()) * GRID_MARGIN
    far, trained = boundary_distance(rule, noise, points, reach), boundary_distance(rule, noise, train_points, reach)
    if far is None or trained is None:
        return BeyondPoints(None, positive, int(n.sum()))
    farther = outside & (far > trained.max(axis=1, keepdims=True))
    return BeyondPoints(float(np.mean(farther.sum(axis=1) / n)), positive, int(n.sum()))


def boundary_distance(rule: Dataset, noise: float, points: FloatArray, reach: float) -> npt.NDArray[np.float64] | None:
    """Return the distance of each point (R, n, 2) to the true boundary, (R, n), or None where the rule has none.

    The boundary is where the true mean label changes sign, found between neighbors of a grid from -reach to reach: a
    distance is right to about a step of that grid.
    """
    from scipy.spatial import cKDTree

    places = _boundary(rule.name, noise, reach)
    if not len(places):
        return None
    return np.asarray(cKDTree(places).query(points)[0], np.float64)


@lru_cache(maxsize=16)
def _boundary(dataset: str, noise: float, reach: float) -> npt.NDArray[np.float64]:
    """Return places (k, 2) halfway between neighbors of the grid whose true mean labels differ in sign."""
    line = np.linspace(-reach, reach, N_GRID)
    x, y = np.meshgrid(line, line)
    grid = np.stack([x, y], axis=-1)
    sign = DATASETS[dataset].conditional_mean(grid, noise) >= 0
    across, along = sign[:, 1:] != sign[:, :-1], sign[1:] != sign[:-1]
    places = [(grid[:, 1:] + grid[:, :-1])[across] / 2, (grid[1:] + grid[:-1])[along] / 2]
    return np.concatenate(places)
