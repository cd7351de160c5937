"""A disc within a ring: the class is whether a displaced copy of the point lies within radius 2.5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground import corner_integrals
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

RADIUS = 5.0
INNER = (0.0, 0.5 * RADIUS)
OUTER = (0.7 * RADIUS, RADIUS)


def generate(stream: SeedStreams, n: int, noise: float) -> tuple[FloatArray, FloatArray]:
    """Draw `n` points of every stream as the page does.

    Parameters
    ----------
    stream : SeedStreams
        S streams, consumed.
    n : int
        Number of points, even: the first half in the disc, the second in the ring.
    noise : float
        Noise as a fraction, 0 to 0.5.

    Returns
    -------
    points : ndarray (S, n, 2)
        Coordinates; radius and angle are uniform, so points crowd towards the middle.
    labels : ndarray (S, n)
        +1 or -1.
    """
    numbers = stream.random(4 * n).reshape(stream.n_streams, n, 4)
    low, high = np.where((np.arange(n) < n // 2)[:, None], INNER, OUTER).T
    points = _place(numbers[..., 0] * (high - low) + low, numbers[..., 1] * (2 * np.pi))
    return points, _labels(points + (numbers[..., 2:] * (2 * RADIUS) - RADIUS) * noise)


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane."""
    if noise == 0:
        return _labels(X)
    p_plus = corner_integrals.square_mean(corner_integrals.disc, X, RADIUS * noise, INNER[1])
    return np.asarray(np.clip(2 * p_plus - 1, -1, 1))


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
        Factor on the coordinates; the true disc keeps its size.

    Returns
    -------
    points : ndarray (n, 2)
        Coordinates; some still lie within the training range.
    labels : ndarray (n,)
        +1 or -1, with exactly the mean `conditional_mean` at each point.
    """
    low, high = np.where((rng.random(n) < 0.5)[:, None], INNER, OUTER).T
    points = stretch * _place(rng.uniform(low, high), rng.uniform(0, 2 * np.pi, n))
    return points, _labels(points + noise * rng.uniform(-RADIUS, RADIUS, (n, 2)))


def _place(r: FloatArray, angle: FloatArray) -> npt.NDArray[np.float64]:
    return np.stack([r * np.sin(angle), r * np.cos(angle)], axis=-1)


def _labels(points: FloatArray) -> npt.NDArray[np.float64]:
    distance = np.sqrt(points[..., 0] * points[..., 0] + points[..., 1] * points[..., 1])
    return np.where(distance < INNER[1], 1.0, -1.0)


def floor(noise: float) -> float:
    """Return the lowest expected test loss.

    Integrates over radius and angle by midpoints; an eighth of the turn stands for all of it.
    """
    if noise == 0:
        return 0.0
    n_radii, n_angles = 1500, 64
    angle = (np.arange(n_angles) + 0.5) / n_angles * np.pi / 4
    total = 0.0
    for low, high in (INNER, OUTER):
        r = low + (np.arange(n_radii) + 0.5) / n_radii * (high - low)
        X = np.stack([r[:, None] * np.sin(angle), r[:, None] * np.cos(angle)], axis=-1)
        total += float((1 - conditional_mean(X, noise) ** 2).mean())
    return 0.5 * total / 2


DATASET = Dataset(
    name="circle",
    title="circle",
    problem="classification",
    n_samples=500,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
