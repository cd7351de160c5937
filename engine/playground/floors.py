"""The lowest loss anything that sees only the inputs can expect, where a dataset's law is known.

For a label with conditional mean m(x) the best prediction under half squared error is m(x), and its expected loss, the
floor, is half the mean conditional variance. Labels of +1 and -1 have variance 1 - m^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.names import look_up
from engine.network import FloatArray
from engine.playground import circle, gauss, reg_gauss, reg_plane, spiral, xor


def lowest_loss(dataset: str, noise: float) -> float:
    """Return the lowest expected test loss of a Playground dataset.

    Parameters
    ----------
    dataset : str
        Name in `FLOORS`.
    noise : float
        Noise as a fraction, at least 0.

    Returns
    -------
    float
        In the page's loss, half the squared error. A single test set may come out lower by luck.

    Raises
    ------
    ValueError
        If `dataset` is not in `FLOORS`, or `noise` is negative or not finite.
    """
    floor = look_up(FLOORS, dataset, "dataset")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise: {noise!r}; give a fraction from 0")
    return floor(noise)


def empirical_floor(
    conditional_mean: FloatArray, y: FloatArray, weight: FloatArray | None = None
) -> npt.NDArray[np.float64]:
    """Return the half squared error of the best possible predictor on given points, per replica.

    Parameters
    ----------
    conditional_mean : ndarray (R, n) or (R, n, 1)
        E[label | x] at each point.
    y : ndarray, same size
        The points' labels.
    weight : ndarray (R, n) or None
        Weight of each point in the mean; 0 leaves a point out. None means 1.

    Returns
    -------
    ndarray (R,)
        Weighted mean over points; NaN for a replica without points.
    """
    n_replicas = y.shape[0]
    residual = np.asarray(conditional_mean, np.float64).reshape(n_replicas, -1) - y.reshape(n_replicas, -1)
    weights = np.ones(residual.shape) if weight is None else np.asarray(weight, np.float64)
    total = weights.sum(axis=1)
    sums = (0.5 * weights * residual**2).sum(axis=1)
    return np.asarray(np.divide(sums, total, out=np.full(n_replicas, np.nan), where=total > 0))


def polynomial_floor(noise_sd: float) -> float:
    """Return the lowest expected squared error (MSE) on a polynomial with additive noise: the noise's variance.

    Parameters
    ----------
    noise_sd : float
        Standard deviation of the noise on the labels, at least 0.
    """
    if not 0 <= noise_sd < np.inf:
        raise ValueError(f"noise_sd: {noise_sd!r}; give a standard deviation from 0")
    return noise_sd**2


def _gauss_floor(noise: float) -> float:
    """Integrate over x + y, given the class normal with mean 4 and variance 2 v; 1 - tanh^2 is even."""
    v = gauss.variance(noise)
    sd = np.sqrt(2 * v)
    # A trapezoid sum over +-12 deviations of an analytic integrand is exact to rounding well before 4 000 steps.
    z = np.linspace(-12, 12, 8001)
    density = np.exp(-(z**2) / 2)
    variance = 1 / np.cosh(gauss.CENTER * (2 * gauss.CENTER + sd * z) / v) ** 2
    return float(0.5 * (density * variance).sum() / density.sum())


def _xor_floor(noise: float) -> float:
    """Return the closed form: the coordinates are independent, |u| uniform on [0.3, 5.3], c(u) = clip(u / h, -1, 1)."""
    h = xor.HALF_WIDTH * noise
    low, high = xor.GAP, xor.GAP + xor.HALF_WIDTH
    if h <= low:
        return 0.0
    ramp_end = min(h, high)
    c_squared = ((ramp_end**3 - low**3) / (3 * h**2) + high - ramp_end) / (high - low)
    return float(0.5 * (1 - c_squared**2))


def _circle_floor(noise: float) -> float:
    """Integrate over radius and angle by midpoints; an eighth of the turn stands for all of it."""
    if noise == 0:
        return 0.0
    n_radii, n_angles = 1500, 64
    angle = (np.arange(n_angles) + 0.5) / n_angles * np.pi / 4
    total = 0.0
    for low, high in (circle.INNER, circle.OUTER):
        r = low + (np.arange(n_radii) + 0.5) / n_radii * (high - low)
        X = np.stack([r[:, None] * np.sin(angle), r[:, None] * np.cos(angle)], axis=-1)
        total += float((1 - circle.conditional_mean(X, noise) ** 2).mean())
    return 0.5 * total / 2


def _spiral_floor(noise: float) -> float:
    """Sum f+ f- / (f+ + f-) over the cells between the edges of all jitter squares: exact."""
    plus, minus = spiral.centers()
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


def _reg_plane_floor(noise: float) -> float:
    """Return half the variance of the sum of two uniform displacements, over the plane's slope."""
    return float(0.5 * 2 * (reg_plane.RADIUS * noise) ** 2 / 3 / reg_plane.HALF_RANGE**2)


def _reg_gauss_floor(noise: float) -> float:
    """Integrate the conditional variance by midpoints over a quarter of the square; the other three mirror it."""
    n = 120
    u = (np.arange(n) + 0.5) / n * reg_gauss.RADIUS
    X = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1)
    variance = reg_gauss.conditional_second_moment(X, noise) - reg_gauss.conditional_mean(X, noise) ** 2
    return float(0.5 * variance.mean())


FLOORS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "gauss": _gauss_floor,
        "xor": _xor_floor,
        "circle": _circle_floor,
        "spiral": _spiral_floor,
        "reg-plane": _reg_plane_floor,
        "reg-gauss": _reg_gauss_floor,
    }
)
