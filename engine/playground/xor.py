"""Exclusive or: the class is the sign of x * y, looked up at a displaced copy of the point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

HALF_WIDTH = 5.0
GAP = 0.3


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
        Coordinates, 0.3 to 5.3 away from both axes.
    labels : ndarray (S, n)
        +1 or -1.
    """
    numbers = stream.random(4 * n).reshape(stream.n_streams, n, 4) * (2 * HALF_WIDTH) - HALF_WIDTH
    points = _open_gap(numbers[..., :2])
    return points, _labels(points + numbers[..., 2:] * noise)


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane."""
    if noise == 0:
        return _labels(X)
    return np.asarray(np.prod(np.clip(X[..., :2] / (HALF_WIDTH * noise), -1, 1), axis=-1))


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
        +1 or -1, with exactly the mean `conditional_mean` at each point.
    """
    points = stretch * _open_gap(rng.uniform(-HALF_WIDTH, HALF_WIDTH, (n, 2)))
    return points, _labels(points + noise * rng.uniform(-HALF_WIDTH, HALF_WIDTH, (n, 2)))


def _open_gap(points: FloatArray) -> npt.NDArray[np.float64]:
    return np.asarray(points + np.where(points > 0, GAP, -GAP), np.float64)


def _labels(points: FloatArray) -> npt.NDArray[np.float64]:
    return np.asarray(np.where(points[..., 0] * points[..., 1] >= 0, 1.0, -1.0), np.float64)


def floor(noise: float) -> float:
    """Return the lowest expected test loss: a closed form.

    The coordinates are independent, |u| uniform on [0.3, 5.3], c(u) = clip(u / h, -1, 1).
    """
    h = HALF_WIDTH * noise
    low, high = GAP, GAP + HALF_WIDTH
    if h <= low:
        return 0.0
    ramp_end = min(h, high)
    c_squared = ((ramp_end**3 - low**3) / (3 * h**2) + high - ramp_end) / (high - low)
    return float(0.5 * (1 - c_squared**2))


DATASET = Dataset(
    name="xor",
    title="XOR",
    problem="classification",
    n_samples=500,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
