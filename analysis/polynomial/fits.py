"""What a small network makes of a polynomial: errors by range, fits, the shape of its loss around a solution.

Parameters of a network are one vector, as in `engine.polynomial.quadrature`. Fits are ordinary least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.polynomial.quadrature import UNITS, GaussRule, hidden_outputs, loss_and_gradient, n_hidden, predict
from engine.polynomial.rows import PolynomialRows
from engine.roads.blas import one_blas_thread

FloatArray = npt.NDArray[np.float64]

UNEXPLAINED_SHARE = 0.01
HIGHEST_DEGREE = 9
FEWEST_ROWS = 10
"""A mean over fewer is not shown."""


@dataclass(frozen=True, slots=True)
class RangeErrors:
    """Mean squared errors against the noise-free polynomial, one a replica.

    Parameters
    ----------
    total, in_range, out_of_range : ndarray (R,)
        On all stretched rows, on those inside the training range, on those outside.
    training : ndarray (R,)
        On the training rows, against their targets.
    n_in_range, n_out_of_range : ndarray (R,)
        Rows behind the two.
    """

    total: FloatArray
    in_range: FloatArray
    out_of_range: FloatArray
    training: FloatArray
    n_in_range: npt.NDArray[np.int64]
    n_out_of_range: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fit:
    """A polynomial fitted to a curve.

    Parameters
    ----------
    coefficients : tuple of float
        Constant first.
    unexplained : float
        Share of the curve's variance that the polynomial leaves over.
    """

    coefficients: tuple[float, ...]
    unexplained: float

    @property
    def degree(self) -> int:
        """Degree of the polynomial."""
        return len(self.coefficients) - 1


def range_errors(parameters: FloatArray, rows: PolynomialRows, activation: str = "sigmoid") -> RangeErrors:
    """Return the errors of R networks, (R, 3 H + 1), on their rows; NaN where a side has fewer than ten."""
    squares = (predict(parameters, rows.X_stretched, activation) - rows.y_stretched) ** 2
    n_inside, n_outside = rows.in_range.sum(axis=1), (~rows.in_range).sum(axis=1)
    inside, outside = (
        np.where(here, squares, 0.0).sum(axis=1) / np.where(n < FEWEST_ROWS, np.nan, n)
        for here, n in ((rows.in_range, n_inside), (~rows.in_range, n_outside))
    )
    training = ((predict(parameters, rows.X, activation) - rows.y) ** 2).mean(axis=1)
    return RangeErrors(squares.mean(axis=1), inside, outside, training, n_inside, n_outside)


def fit(x: FloatArray, values: FloatArray, degree: int) -> Fit:
    """Return the polynomial of a degree that is closest to the values, (n,) at (n,)."""
    found = np.polynomial.Polynomial.fit(x, values, degree)
    variance = float(np.var(values))
    left_over = float(np.mean((values - found(x)) ** 2))
    coefficients = [float(c) for c in found.convert().coef]
    coefficients += [0.0] * (degree + 1 - len(coefficients))  # `convert` drops zeros at the end
    return Fit(tuple(coefficients), left_over / variance if variance > 0 else 0.0)


def free_fit(x: FloatArray, values: FloatArray) -> Fit:
    """Return the polynomial of the lowest degree that leaves at most 1 % of the variance over (at most degree 9).

    An information criterion has nothing to say here: the values are a smooth function without noise, so that every
    further degree pays for ever.
    """
    for degree in range(1, HIGHEST_DEGREE):
        found = fit(x, values, degree)
        if found.unexplained <= UNEXPLAINED_SHARE:
            return found
    return fit(x, values, HIGHEST_DEGREE)


def recovered_by_truth(
    parameters: FloatArray, x: FloatArray, truth: FloatArray, degrees: Sequence[int], activation: str = "sigmoid"
) -> tuple[float, ...]:
    """Return the article's "polynomial of the prediction", which is not fitted to the prediction.

    It regresses the true targets on the hidden units and puts the units' own polynomials, read off a printed table,
    into that. Kept to reproduce the printed figures.

    Parameters
    ----------
    parameters : ndarray (3 H + 1,)
        One network.
    x, truth : ndarray (n,)
        Inputs and true targets.
    degrees : sequence of int
        Degree of each unit's polynomial.
    activation : str
        Of the units.
    """
    units = hidden_outputs(parameters[None], x[None], activation)[0]
    design = np.vstack([np.ones_like(x), units]).T
    constant, *factors = (as_printed(float(c)) for c in np.linalg.lstsq(design, truth, rcond=None)[0])
    result = [constant] + [0.0] * max(degrees)
    for factor, unit, degree in zip(factors, units, degrees, strict=True):
        for power, coefficient in enumerate(fit(x, unit, degree).coefficients):
            result[power] += factor * as_printed(coefficient)
    return tuple(result)


def as_printed(value: float) -> float:
    """Return a number as statsmodels' tables print it: four decimals, or four digits where it is below 0.0001."""
    return round(value, 4) if abs(value) >= 1e-4 else float(f"{value:.4g}")


def unit_correlation(
    parameters: FloatArray, X: FloatArray, weights: FloatArray | None = None, activation: str = "sigmoid"
) -> FloatArray:
    """Return the correlation of the first two hidden units over inputs, (R,); NaN where one does not vary.

    Parameters
    ----------
    parameters : ndarray (R, 3 H + 1)
    X : ndarray (R, n) or (1, n)
    weights : ndarray like X or None
        Share of each input, as of a rule's nodes; None means equal shares.
    activation : str
        Of the units.
    """
    units = hidden_outputs(parameters, X, activation)[:, :2]
    shares = np.full(X.shape, 1.0 / X.shape[1]) if weights is None else weights
    deviations = units - (units * shares[:, None]).sum(axis=-1, keepdims=True)
    covariance = np.einsum("rin,rjn,rn->rij", deviations, deviations, np.broadcast_to(shares, units[:, 0].shape))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(covariance[:, 0, 1] / np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1]), np.float64)


def loss_on_line(
    a: FloatArray, b: FloatArray, rule: GaussRule, n: int = 101, activation: str = "sigmoid"
) -> FloatArray:
    """Return the loss of one replica at n points from solution a to solution b, (n,).

    Parameters
    ----------
    a, b : ndarray (3 H + 1,)
        The two ends.
    rule : GaussRule
        The data of one replica.
    n : int
        Points, both ends included.
    activation : str
        Of the units.
    """
    share = np.linspace(0.0, 1.0, n)[:, None]
    return np.concatenate(
        [loss_and_gradient(point[None], rule, activation)[0] for point in (1.0 - share) * a + share * b]
    )


def aligned(parameters: FloatArray, activation: str = "sigmoid") -> FloatArray:
    """Return the same functions with their units in one order, by weight into the unit, and that weight positive.

    Exchanging two units changes nothing, nor does sigmoid(-z) = 1 - sigmoid(z), which turns a unit's signs and moves a
    constant to the output bias, nor tanh(-z) = -tanh(z), which moves none (relu has no such symmetry): a line between
    two solutions means something only between like representatives.

    Parameters
    ----------
    parameters : ndarray (R, 3 H + 1)
    activation : str
        Of the units.
    """
    H = n_hidden(parameters)
    w, b, W = (parameters[:, i * H : (i + 1) * H] for i in range(3))
    turned = (w < 0) & (activation != "relu")
    moved = np.where(turned & (activation == "sigmoid"), W, 0.0).sum(axis=1, keepdims=True)
    bias = parameters[:, 3 * H :] + moved
    sign = np.where(turned, -1.0, 1.0)
    w, b, W = sign * w, sign * b, sign * W
    order = np.argsort(b, axis=1)
    return np.concatenate([*(np.take_along_axis(part, order, axis=1) for part in (w, b, W)), bias], axis=1)


def flat_valley(
    parameters: FloatArray,
    rule: GaussRule,
    index: int,
    values: Sequence[float],
    free: npt.NDArray[np.bool_],
    activation: str = "sigmoid",
) -> tuple[FloatArray, FloatArray]:
    """Hold one parameter at each value in turn and re-optimize the rest from where the last value left it.

    Parameters
    ----------
    parameters : ndarray (3 H + 1,)
        A solution, where the walk begins.
    rule : GaussRule
        The data of one replica.
    index : int
        Which parameter is held.
    values : sequence of float
        Its values, in walking order.
    free : bool ndarray (3 H + 1,)
        Which parameters may move (the held one never does).
    activation : str
        Of the units.

    Returns
    -------
    loss : ndarray (V,)
        Lowest loss found at each value.
    solutions : ndarray (V, 3 H + 1)
        Parameters there.
    """
    from scipy.optimize import least_squares  # a tenth of a second: only for whoever fits

    moving = free.copy()
    moving[index] = False
    x, y, root = rule.nodes[0], rule.targets[0], np.sqrt(rule.weights[0])
    p = parameters.copy()
    H = n_hidden(p)
    losses, solutions = [], []

    def residuals(free_values: FloatArray) -> FloatArray:
        p[moving] = free_values
        found: FloatArray = root * (predict(p[None], x[None], activation)[0] - y)
        return found

    def jacobian(free_values: FloatArray) -> FloatArray:
        p[moving] = free_values
        units = hidden_outputs(p[None], x[None], activation)[0]
        slope = UNITS[activation].times_slope(p[2 * H : 3 * H, None], units)
        columns = np.concatenate([slope * x, slope, units, np.ones((1, len(x)))])
        found: FloatArray = (root * columns)[moving].T
        return found

    for value in values:
        p[index] = value
        before = p.copy()
        # SciPy's "lm" is compiled and does not give the same bits twice on problems as ill-conditioned as these.
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):  # a step too long is taken back
            found = least_squares(
                residuals, p[moving], jac=jacobian, x_scale="jac", method="dogbox", xtol=1e-12, ftol=1e-12, gtol=None
            )
        p[moving] = found.x
        if not np.isfinite([*found.x, found.cost]).all():
            p = before
        losses.append(float(loss_and_gradient(p[None], rule, activation)[0][0]))
        solutions.append(p.copy())
    return np.array(losses), np.array(solutions)


def hinge_unexplained(x: FloatArray, values: FloatArray, n_knots: int = 41) -> float:
    """Return the share of variance that the best continuous two-piece line leaves over.

    Parameters
    ----------
    x, values : ndarray (n,)
        The curve.
    n_knots : int
        Knots tried, at quantiles of x; the knot makes it four numbers, as many as a cubic has.
    """
    variance = float(np.var(values))
    if variance == 0:
        return 0.0
    lowest = np.inf
    for knot in np.quantile(x, np.linspace(0.02, 0.98, n_knots)):
        design = np.vstack([np.ones_like(x), x, np.maximum(x - knot, 0.0)]).T
        left_over = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        lowest = min(lowest, float(np.mean(left_over**2)))
    return float(lowest / variance)
