"""What in range and out of range mean, and by how much: one definition for the whole project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray

BoolArray = npt.NDArray[np.bool_]


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
        return np.asarray(np.linalg.norm(self._excess(X) / self.spread[:, None], axis=-1), np.float64)

    def _excess(self, X: FloatArray) -> FloatArray:
        """Return by how much each feature sticks out, in its own units, (R, n, d)."""
        return np.maximum(np.maximum(self.low[:, None] - X, X - self.high[:, None]), 0)


def _check_training_inputs(X: npt.NDArray[Any]) -> None:
    if X.ndim != 3 or not X.shape[1] or not X.shape[2]:
        raise ValueError(f"X: shape {X.shape}; give training inputs as (replicas, points, features), none of them 0")
    if not np.isfinite(X).all():
        raise ValueError("X: contains NaN or infinity; remove or impute those points before asking for a range")


def _spread(X: FloatArray) -> npt.NDArray[np.float64]:
    """Return each feature's standard deviation over the training points, (R, d); 1 where that is 0."""
    spread = X.std(axis=1, dtype=np.float64)
    return np.where(spread > 0, spread, 1.0)
