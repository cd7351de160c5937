"""Integrals of round bumps over rectangles, in closed form.

Circle and reg-gauss displace a point uniformly within a square before they look its label up, so what can be known of
the label is the mean of a disc or of a cone over that square. Both are sums over its four corners.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray

Corner = Callable[[FloatArray, FloatArray, float], npt.NDArray[np.float64]]


def disc(a: FloatArray, b: FloatArray, radius: float) -> npt.NDArray[np.float64]:
    """Return the area of the disc about the origin within [0, a] x [0, b], odd in `a` and in `b`."""
    return _polar(a, b, radius, (1.0, 0.0, 0.0))


def cone(a: FloatArray, b: FloatArray, radius: float) -> npt.NDArray[np.float64]:
    """Return the integral of max(0, 1 - r / radius) over [0, a] x [0, b], odd in `a` and in `b`."""
    return _polar(a, b, radius, (1.0, -1.0 / radius, 0.0))


def squared_cone(a: FloatArray, b: FloatArray, radius: float) -> npt.NDArray[np.float64]:
    """Return the integral of max(0, 1 - r / radius)^2 over [0, a] x [0, b], odd in `a` and in `b`."""
    return _polar(a, b, radius, (1.0, -2.0 / radius, 1.0 / radius**2))


def square_mean(corner: Corner, X: FloatArray, half_width: float, radius: float) -> npt.NDArray[np.float64]:
    """Return the mean over the square of half-width `half_width` about each point, (..., 2) -> (...)."""
    left, right = X[..., 0] - half_width, X[..., 0] + half_width
    low, high = X[..., 1] - half_width, X[..., 1] + half_width
    total = corner(right, high, radius) - corner(left, high, radius)
    total += corner(left, low, radius) - corner(right, low, radius)
    return np.asarray(total / (2 * half_width) ** 2)


def _polar(
    a: FloatArray, b: FloatArray, radius: float, coefficients: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    """Integrate ``c0 + c1 r + c2 r^2`` within `radius` over [0, a] x [0, b].

    In polar coordinates the corner falls into three fans: up to the angle where the edge x = |a| leaves the disc, the
    arc, and from the angle where the edge y = |b| enters it.
    """
    sign = np.sign(a) * np.sign(b)
    a, b = np.abs(a), np.abs(b)
    diagonal = np.arctan2(b, a)
    leaves = np.minimum(np.arccos(np.minimum(a / radius, 1.0)), diagonal)
    enters = np.maximum(np.arcsin(np.minimum(b / radius, 1.0)), diagonal)
    c0, c1, c2 = coefficients
    arc = (enters - leaves) * (c0 * radius**2 / 2 + c1 * radius**3 / 3 + c2 * radius**4 / 4)
    total = _fan(a, leaves, coefficients) + arc + _fan(b, np.pi / 2 - enters, coefficients)
    return np.asarray(sign * total)


def _fan(edge: FloatArray, angle: FloatArray, coefficients: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Integrate over the triangle between the origin and an edge at distance `edge`, from its foot up to `angle`."""
    c0, c1, c2 = coefficients
    angle = np.minimum(angle, np.pi / 2 * (1 - 1e-12))  # an edge through the origin spans nothing
    tangent = np.tan(angle)
    total = c0 / 2 * edge**2 * tangent
    if c1:
        secant = 1 / np.cos(angle)
        total = total + c1 / 6 * edge**3 * (secant * tangent + np.arcsinh(tangent))
    if c2:
        total = total + c2 / 4 * edge**4 * (tangent + tangent**3 / 3)
    return np.asarray(total)
