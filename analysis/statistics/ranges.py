"""What in range and out of range mean, and by how much: one definition for the whole project.

The box is the default and what every record was counted by. The nearest neighbors and the convex hull answer the same
two questions, `contains` and `distance`, for whoever wants to see whether the answer hangs on the definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

BoolArray = npt.NDArray[np.bool_]

ROUNDING = 1e-9
MAX_HULL_FEATURES = 3
"""In more dimensions nearly every new point lies outside the hull of any affordable sample."""
MAX_NEIGHBOR_FEATURES = 20
"""In more dimensions the distances to the nearest and to the farthest neighbor hardly differ."""


class Range(Protocol):
    """A definition of the training range of R replicas."""

    def contains(self, X: FloatArray) -> BoolArray:
        """Return which points (R, n, d) are in range, (R, n). A leading axis of 1 stands for all replicas."""
        ...

    def distance(self, X: FloatArray) -> npt.NDArray[np.float64]:
        """Return how far beyond the range each point (R, n, d) lies, in training spreads, (R, n); 0 in range."""
        ...


@dataclass(frozen=True, slots=True)
class Box:
    """The training box: per feature the interval from the smallest to the largest training value.

    A point is in range if every feature lies in its interval, ends included. Its distance beyond the range is the
    Euclidean length of what sticks out, each feature measured in its own standard deviation over the training points.

    Parameters
    ----------
    low, high : ndarray (R, d)
        Ends of the intervals, per replica.
    spread : ndarray (R, d)
        Standard deviation of each feature over the training points; 1 where a feature is constant.
    """

    low: FloatArray
    high: FloatArray
    spread: FloatArray

    @classmethod
    def fit(cls, X: FloatArray) -> Box:
        """Return the box of training inputs (R, n, d).

        Raises
        ------
        ValueError
            If there is no point or a value is not finite.
        """
        _check_training_inputs(X)
        return cls(X.min(axis=1), X.max(axis=1), _spread(X))

    def contains(self, X: FloatArray) -> BoolArray:
        """Return which points (R, n, d) are in range, (R, n). A leading axis of 1 stands for all replicas."""
        return np.asarray((self._excess(X) == 0).all(axis=-1))

    def distance(self, X: FloatArray) -> npt.NDArray[np.float64]:
        """Return how far beyond the range each point (R, n, d) lies, in training spreads, (R, n); 0 in range."""
        # Squares of tiny excesses would vanish; a hypotenuse does not, so distance 0 means in range exactly.
        return np.asarray(np.hypot.reduce(self._excess(X) / self.spread[:, None], axis=-1), np.float64)

    def _excess(self, X: FloatArray) -> FloatArray:
        """Return by how much each feature sticks out, in its own units, (R, n, d)."""
        return np.maximum(np.maximum(self.low[:, None] - X, X - self.high[:, None]), 0)


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """In range is what lies no farther from the training points than they lie from each other.

    Features are divided by their training spreads. A point's own distance is that to its k-th nearest training point;
    the reach is a high quantile of the same distance among the training points themselves (each without itself).

    Parameters
    ----------
    trees : tuple of cKDTree, length R
        Training points in training spreads.
    reach : ndarray (R,)
        Largest distance that counts as in range, in training spreads.
    spread : ndarray (R, d)
        Standard deviation of each feature over the training points; 1 where a feature is constant.
    k : int
        Which neighbor.
    """

    trees: tuple[cKDTree, ...]
    reach: npt.NDArray[np.float64]
    spread: FloatArray
    k: int

    @classmethod
    def fit(cls, X: FloatArray, k: int = 5, quantile: float = 0.99) -> Neighborhood:
        """Return the neighborhood of training inputs (R, n, d).

        Parameters
        ----------
        X : ndarray (R, n, d)
            Training inputs.
        k : int
            Which neighbor's distance is taken, at least 1.
        quantile : float
            Share of the training points that count as in range of the others, above 0 and up to 1.

        Raises
        ------
        ValueError
            If a replica has no more than `k` points, or a value is not finite.
        """
        from scipy.spatial import cKDTree

        _check_training_inputs(X)
        if not 1 <= k < X.shape[1]:
            raise ValueError(f"k: {k}; give a neighbor from 1 to {X.shape[1] - 1}, one less than the training points")
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile: {quantile}; give a share above 0 and up to 1")
        spread = _spread(X)
        scaled = X / spread[:, None]
        trees = tuple(cKDTree(points) for points in scaled)
        # A training point is its own nearest neighbor, so its k-th other one is the one after that.
        own = [np.asarray(tree.query(points, k=[k + 1])[0]) for tree, points in zip(trees, scaled, strict=True)]
        return cls(trees, np.quantile(np.concatenate(own, axis=1), quantile, axis=0), spread, k)

    def contains(self, X: FloatArray) -> BoolArray:
        """Return which points (R, n, d) are in range, (R, n). A leading axis of 1 stands for all replicas."""
        return np.asarray(self.distance(X) == 0)

    def distance(self, X: FloatArray) -> npt.NDArray[np.float64]:
        """Return how much farther than the reach the k-th neighbor of each point (R, n, d) lies, (R, n)."""
        scaled = np.broadcast_to(X, (len(self.trees), *X.shape[1:])) / self.spread[:, None]
        far = [np.asarray(tree.query(p, k=[self.k])[0])[:, 0] for tree, p in zip(self.trees, scaled, strict=True)]
        return np.maximum(np.stack(far) - self.reach[:, None], 0)


@dataclass(frozen=True, slots=True)
class Hull:
    """In range is the convex hull of the training points; for up to `MAX_HULL_FEATURES` features.

    The distance beyond it is the largest excess over the hull's facets, features divided by their training spreads:
    exact beside a facet, a lower bound beside an edge or a corner.

    Parameters
    ----------
    facets : tuple of ndarray (n_facets, d + 1), length R
        Outward unit normals and offsets, in training spreads.
    spread : ndarray (R, d)
        Standard deviation of each feature over the training points.
    """

    facets: tuple[npt.NDArray[np.float64], ...]
    spread: FloatArray

    @classmethod
    def fit(cls, X: FloatArray) -> Hull:
        """Return the hull of training inputs (R, n, d).

        Raises
        ------
        ValueError
            If there are too many features, too few points, points that all lie in a plane, or values not finite.
        """
        _check_training_inputs(X)
        sentence = why_meaningless("hull", X.shape[1], X.shape[2])
        if sentence is not None:
            raise ValueError(f"X: {sentence}")
        spread = _spread(X)
        return cls(tuple(_facets(points) for points in X / spread[:, None]), spread)

    def contains(self, X: FloatArray) -> BoolArray:
        """Return which points (R, n, d) are in range, (R, n). A leading axis of 1 stands for all replicas."""
        return np.asarray(self.distance(X) == 0)

    def distance(self, X: FloatArray) -> npt.NDArray[np.float64]:
        """Return how far beyond the hull each point (R, n, d) lies, in training spreads, (R, n); 0 in range."""
        scaled = np.broadcast_to(X, (len(self.facets), *X.shape[1:])) / self.spread[:, None]
        excess = [(p @ f[:, :-1].T + f[:, -1]).max(axis=1) for p, f in zip(scaled, self.facets, strict=True)]
        beyond = np.stack(excess)
        # The hull's own corners miss its facets by rounding.
        return np.where(beyond > ROUNDING, beyond, 0.0)


RANGES: Mapping[str, type[Box] | type[Neighborhood] | type[Hull]] = MappingProxyType(
    {"box": Box, "neighborhood": Neighborhood, "hull": Hull}
)
"""Every definition by name; ``RANGES[name].fit(X)`` is a `Range`."""


def why_meaningless(name: str, n_points: int, n_features: int) -> str | None:
    """Return why a definition says nothing about such data, in a sentence for the reader, or None where it does.

    Parameters
    ----------
    name : str
        Name in `RANGES`.
    n_points, n_features : int
        Training points of a replica, and features.
    """
    if name == "hull" and n_features > MAX_HULL_FEATURES:
        return (
            f"not shown: the convex hull of {n_points} points in {n_features} dimensions contains almost no new point, "
            f"whatever its place; use the box (the hull is for up to {MAX_HULL_FEATURES} features)"
        )
    if name == "hull" and n_points <= n_features:
        return f"not shown: {n_points} points span no hull in {n_features} dimensions; at least {n_features + 1} do"
    if name == "neighborhood" and n_features > MAX_NEIGHBOR_FEATURES:
        return (
            f"not shown: in {n_features} dimensions all points are about equally far from each other, "
            f"so the nearest neighbors tell little; use the box (they are for up to {MAX_NEIGHBOR_FEATURES} features)"
        )
    return None


def _facets(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return outward unit normals and offsets of the hull of points (n, d)."""
    from scipy.spatial import ConvexHull, QhullError

    if points.shape[1] == 1:  # Qhull wants a plane at least
        return np.array([[1.0, -points.max()], [-1.0, points.min()]])
    try:
        hull = ConvexHull(points)
    except QhullError:
        raise ValueError(
            f"X: the {len(points)} points lie in a plane of fewer than {points.shape[1]} dimensions, so they span no "
            "hull; drop a feature that follows from the others, or use the box"
        ) from None
    return np.asarray(hull.equations, np.float64)


def _check_training_inputs(X: npt.NDArray[Any]) -> None:
    if X.ndim != 3 or not X.shape[1] or not X.shape[2]:
        raise ValueError(f"X: shape {X.shape}; give training inputs as (replicas, points, features), none of them 0")
    if not np.isfinite(X).all():
        raise ValueError("X: contains NaN or infinity; remove or impute those points before asking for a range")


def _spread(X: FloatArray) -> npt.NDArray[np.float64]:
    """Return each feature's standard deviation over the training points, (R, d); 1 where that is 0."""
    spread = X.std(axis=1, dtype=np.float64)
    return np.where(spread > 0, spread, 1.0)
