"""A plane: the label is (x + y) / 10 at a displaced copy of the point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

RADIUS = 6.0
HALF_RANGE = 10.0


def generate(stream: SeedStreams, n: int, noise: float) -> tuple[FloatArray, FloatArray]:
    """Draw `n` points of every stream as the page does.

    Parameters
    ----------
    stream : SeedStreams
        S streams, consumed.
    n : int
        Number of points.
    noise : float
        Noise as a fraction, 0 to 0.5.

    Returns
    -------
    points : ndarray (S, n, 2)
        Coordinates within [-6, 6).
    labels : ndarray (S, n)
        Numbers, beyond 1 in the corners.
    """
    numbers = stream.random(4 * n).reshape(stream.n_streams, n, 4) * (2 * RADIUS) - RADIUS
    points = numbers[..., :2]
    return points, _labels(points + numbers[..., 2:] * noise)


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:  # noqa: ARG001 - one signature for all datasets
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane: noise averages out."""
    return np.asarray((X[..., 0] + X[..., 1]) / HALF_RANGE)


def beyond(
    rng: np.random.Generator, n: int, noise: float, stretch: float = 3.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw points with stretched coordinates, labelled at a copy displaced as far as within the range.

    Parameters
    ----------
    rng : Generator
        Source of all randomness.
    n : int
        Number of points.
    noise : float
        Noise as a fraction, 0 to 0.5.
    stretch : float
        Factor on the coordinates.

    Returns
    -------
    points : ndarray (n, 2)
        Coordinates; some still lie within the training range.
    labels : ndarray (n,)
        Numbers, with exactly the mean `conditional_mean` at each point.
    """
    points = stretch * rng.uniform(-RADIUS, RADIUS, (n, 2))
    return points, _labels(points + noise * rng.uniform(-RADIUS, RADIUS, (n, 2)))


def _labels(points: FloatArray) -> npt.NDArray[np.float64]:
    t = (points[..., 0] + points[..., 1] + HALF_RANGE) / (2 * HALF_RANGE)
    return np.asarray(-1 * (1 - t) + t)


def floor(noise: float) -> float:
    """Return the lowest expected test loss: half the variance of the sum of two uniform displacements."""
    return float(0.5 * 2 * (RADIUS * noise) ** 2 / 3 / HALF_RANGE**2)


DATASET = Dataset(
    name="reg-plane",
    title="plane",
    problem="regression",
    n_samples=1200,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
