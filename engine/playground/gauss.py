"""Two blobs: one Gaussian a class, at (2, 2) and (-2, -2). Noise is their variance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground import steps
from engine.playground.choice import runs_compiled
from engine.playground.dataset import Dataset
from engine.playground.seedrandom import SeedStreams

CENTER = 2.0


def variance(noise: float) -> float:
    """Return the variance of either blob along each axis, 0.5 at no noise and 4 at noise 0.5."""
    t = noise / 0.5
    return 0.5 * (1 - t) + 4 * t


def generate(stream: SeedStreams, n: int, noise: float) -> tuple[FloatArray, FloatArray]:
    """Draw `n` points of every stream as the page does.

    Parameters
    ----------
    stream : SeedStreams
        S streams, consumed.
    n : int
        Number of points, even.
    noise : float
        Noise as a fraction, 0 to 0.5.

    Returns
    -------
    points : ndarray (S, n, 2)
        Coordinates, the positive class first.
    labels : ndarray (S, n)
        +1 or -1.
    """
    deviates = _polar_deviates(stream, 2 * n).reshape(stream.n_streams, n, 2)
    labels = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    points = CENTER * labels[:, None] + np.sqrt(variance(noise)) * deviates
    return points, np.tile(labels, (stream.n_streams, 1))


def conditional_mean(X: FloatArray, noise: float) -> FloatArray:
    """Return E[label | x, y], (..., 2) -> (...), anywhere in the plane."""
    return np.asarray(np.tanh(CENTER * (X[..., 0] + X[..., 1]) / variance(noise)))


def beyond(
    rng: np.random.Generator, n: int, noise: float, stretch: float = 3.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw points from the blobs stretched about the origin, labelled by the odds of the blobs as they are.

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
    center = np.where(rng.random(n) < 0.5, CENTER, -CENTER)
    points = stretch * (center[:, None] + np.sqrt(variance(noise)) * rng.standard_normal((n, 2)))
    p_plus = (1 + conditional_mean(points, noise)) / 2
    return points, np.where(rng.random(n) < p_plus, 1.0, -1.0)


def _polar_deviates(stream: SeedStreams, n: int) -> npt.NDArray[np.float64]:
    """Return `n` standard normal numbers a stream, (S, n): Marsaglia's polar method, the second of each pair unused."""
    n_pairs = int(n * 4 / np.pi + 6 * np.sqrt(n)) + 8
    first, squared = np.empty((2, stream.n_streams, n))
    n_used = np.empty(stream.n_streams, np.int64)
    while True:
        _accept_pairs(stream.peek(2 * n_pairs), first, squared, n_used)
        if n_used.min() >= 0:
            break
        n_pairs *= 2
    stream.skip(n_used)
    return np.asarray(np.sqrt(-2 * np.log(squared) / squared) * first)


def _accept_pairs(numbers: FloatArray, first: FloatArray, squared: FloatArray, n_used: npt.NDArray[np.int64]) -> None:
    """Do `engine.playground.steps.accept_pairs` for each stream."""
    if runs_compiled(len(numbers)):
        from engine.playground import compiled

        compiled.accept_pairs(np.ascontiguousarray(numbers), first, squared, n_used)
        return
    n = first.shape[1]
    for s, row in enumerate(numbers.tolist()):
        a, radius = [0.0] * n, [0.0] * n
        n_used[s] = steps.accept_pairs(row, a, radius)
        first[s], squared[s] = a, radius


def floor(noise: float) -> float:
    """Return the lowest expected test loss.

    Integrates over x + y, given the class normal with mean 4 and variance 2 v; 1 - tanh^2 is even.
    """
    v = variance(noise)
    sd = np.sqrt(2 * v)
    # A trapezoid sum over +-12 deviations of an analytic integrand is exact to rounding well before 4 000 steps.
    z = np.linspace(-12, 12, 8001)
    density = np.exp(-(z**2) / 2)
    conditional = 1 / np.cosh(CENTER * (2 * CENTER + sd * z) / v) ** 2
    return float(0.5 * (density * conditional).sum() / density.sum())


DATASET = Dataset(
    name="gauss",
    title="two blobs",
    problem="classification",
    n_samples=500,
    generate=generate,
    conditional_mean=conditional_mean,
    beyond=beyond,
    floor=floor,
    on_page=True,
)
