"""Six cones of alternating sign: the label is the highest cone at a displaced copy of the point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground import corner_integrals
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

RADIUS = 6.0
CONES = ((-4.0, 2.5, 1.0), (0.0, 2.5, -1.0), (4.0, 2.5, 1.0), (-4.0, -2.5, -1.0), (0.0, -2.5, 1.0), (4.0, -2.5, -1.0))
"""Center and sign of each."""
CONE_RADIUS = 2.0
"""The centers are at least twice as far apart, so no two cones overlap and their sum is the highest of them."""


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
        Numbers from -1 to 1, about half of them 0.
    """
    numbers = stream.random(4 * n).reshape(stream.n_streams, n, 4) * (2 * RADIUS) - RADIUS
    points = numbers[..., :2]
    return points, _labels(points + numbers[..., 2:] * noise)


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane."""
    if noise == 0:
        return _labels(X)
    total = np.zeros(X.shape[:-1])
    for x, y, sign in CONES:
        shifted = X[..., :2] - np.array([x, y])
        total += sign * corner_integrals.square_mean(corner_integrals.cone, shifted, RADIUS * noise, CONE_RADIUS)
    return total


def conditional_second_moment(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label^2 | x, y], (..., 2) -> (...), anywhere in the plane."""
    if noise == 0:
        return _labels(X) ** 2
    total = np.zeros(X.shape[:-1])
    for x, y, _ in CONES:
        shifted = X[..., :2] - np.array([x, y])
        total += corner_integrals.square_mean(corner_integrals.squared_cone, shifted, RADIUS * noise, CONE_RADIUS)
    return total


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
    label = np.zeros(points.shape[:-1])
    for x, y, sign in CONES:
        dx, dy = points[..., 0] - x, points[..., 1] - y
        candidate = sign * (1 - np.minimum(1.0, np.sqrt(dx * dx + dy * dy) / CONE_RADIUS))
        label = np.where(np.abs(candidate) > np.abs(label), candidate, label)
    return label


def floor(noise: float) -> float:
    """Return the lowest expected test loss.

    Integrates the conditional variance by midpoints over a quarter of the square; the other three mirror it.
    """
    n = 120
    u = (np.arange(n) + 0.5) / n * RADIUS
    X = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1)
    variance = conditional_second_moment(X, noise) - conditional_mean(X, noise) ** 2
    return float(0.5 * variance.mean())


DATASET = Dataset(
    name="reg-gauss",
    title="six cones",
    problem="regression",
    n_samples=1200,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
