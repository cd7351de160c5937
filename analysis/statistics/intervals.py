"""Intervals and tests for what replicas measure: means, rates, differences, rank correlations.

One rule for missing input, everywhere: None and NaN are values that were not measured; they are left out and `n`
counts what stays. Where what stays cannot carry an interval (nothing left, one value, an infinite one), `low` and
`high` are None and `reason` says why; a number is never made up. The unit is the replica: values must be independent
of one another, so losses of the same replica are first reduced to one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special  # not scipy.stats, which takes half a second to import: the same quantiles

from analysis.words import later, say

Values = Sequence[float | None] | npt.NDArray[np.floating[Any]]
FloatArray = npt.NDArray[np.float64]
BoundRule = Callable[[FloatArray, float], FloatArray]
MeanMethod = Literal["Student t", "Hall t", "cautious Hall t"]
COUNTED: str = later("counted")
"""Method of an interval of no width: what is known exactly."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval.

    Parameters
    ----------
    estimate : float or None
        Point estimate; None where nothing was measured.
    low, high : float or None
        Ends of the interval; None where there is none.
    n : int
        Values behind it, missing ones left out.
    method : str
        How the ends were found, with the level: ``"Student t, 95 %"``.
    reason : str or None
        Why there is no interval, else None.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str | None = None


def student_bound(samples: FloatArray, probability: float) -> FloatArray:
    """Return the upper confidence bound of each row's mean by Student's t.

    Parameters
    ----------
    samples : ndarray (..., n)
        Independent values along the last axis, n at least 2.
    probability : float
        Confidence that the mean is below the bound; 0.025 gives the lower end of a 95 % interval.

    Returns
    -------
    ndarray (...)
    """
    n = samples.shape[-1]
    standard_error = samples.std(axis=-1, ddof=1) / math.sqrt(n)
    bound: FloatArray = samples.mean(axis=-1) + float(special.stdtrit(n - 1, probability)) * standard_error
    return bound


def hall_bound(samples: FloatArray, probability: float, skewness_factor: float = 1.0) -> FloatArray:
    """Return the upper confidence bound of each row's mean by Hall's transformed t.

    Losses are skewed to the right: a sample that missed the bad replicas has both too low a mean and too small a
    spread, so Student's upper bound is passed too often. Hall's monotone cubic takes the skewness out of the
    t statistic; Student's quantile replaces the normal one, for small n.

    Parameters
    ----------
    samples : ndarray (..., n)
        Independent values along the last axis, n at least 2.
    probability : float
        As in `student_bound`.
    skewness_factor : float
        Multiplies the sample's skewness.

    Returns
    -------
    ndarray (...)

    References
    ----------
    P. Hall, On the removal of skewness by transformation, J. R. Statist. Soc. B 54 (1992) 221-228, with a = 1/3 and
    b = 1/6 (the Studentized mean).
    """
    n = samples.shape[-1]
    mean = samples.mean(axis=-1)
    deviations = samples - mean[..., None]
    spread = samples.std(axis=-1, ddof=1)
    standard_error = spread / math.sqrt(n)
    t = float(special.stdtrit(n - 1, 1.0 - probability))
    # The adjusted sample skewness: the plain one is far too small at small n. Rows of 2 values or of equal values have
    # none and fall back on Student's t, which the formula tends to.
    varies = (spread > 0.0) & (n > 2)
    cubes = (deviations**3).mean(axis=-1) * n * n / ((n - 1) * max(n - 2, 1))
    skewness = np.where(varies, skewness_factor * cubes / np.where(varies, spread, 1.0) ** 3, 0.0)
    skewed = np.abs(skewness) > 1e-6
    g = np.where(skewed, skewness, 1.0) / math.sqrt(n)
    transformed = np.where(skewed, 3.0 / g * (np.cbrt(1.0 + g * (t - g / 6.0)) - 1.0), t)
    bound: FloatArray = mean - standard_error * transformed
    return bound


def cautious_hall_bound(samples: FloatArray, probability: float) -> FloatArray:
    """Return Hall's bound with half as much skewness again as the sample shows.

    Where one replica in a hundred is stuck, most samples show less skewness than their law has. The factor keeps
    certificates on 1 000 draws at their level under every law of ``benchmarks/interval_coverage.py``; Hall's own bound
    exceeds it a little where few are stuck.
    """
    return hall_bound(samples, probability, skewness_factor=1.5)


MEAN_METHODS: MappingProxyType[MeanMethod, BoundRule] = MappingProxyType(
    {"Student t": student_bound, "Hall t": hall_bound, "cautious Hall t": cautious_hall_bound}
)


def measured(values: Values) -> FloatArray:
    """Return the values that were measured: None and NaN left out, float64."""
    array = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    return array[~np.isnan(array)]


def mean_interval(values: Values, level: float = 0.95, method: MeanMethod = "Hall t") -> Interval:
    """Return the mean with its two-sided interval.

    Parameters
    ----------
    values : sequence of float or None
        One value a replica.
    level : float
        Nominal coverage, between 0 and 1.
    method : str
        Name in `MEAN_METHODS`. Losses are skewed, hence Hall's.

    Returns
    -------
    Interval
        Without ends for fewer than 2 values, or an infinite one.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    name = f"{method}, {percent_text(level)}"
    array = measured(values)
    n = len(array)
    if n == 0:
        return Interval(None, None, None, 0, name, say("no value was measured"))
    estimate = float(array.mean())
    if not np.isfinite(array).all():
        return Interval(estimate, None, None, n, name, say("a value is infinite"))
    if n == 1:
        return Interval(estimate, None, None, n, name, say("one value has no spread; an interval takes at least 2"))
    rule = MEAN_METHODS[method]
    low, high = (float(rule(array, probability)) for probability in ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return Interval(estimate, low, high, n, name)


def upper_bound(values: Values, level: float = 0.95, method: MeanMethod = "cautious Hall t") -> float:
    """Return the one-sided upper confidence bound of the mean: what candidates and certificates are held to.

    Parameters
    ----------
    values, level, method
        As in `mean_interval`.

    Returns
    -------
    float
        ``inf`` where fewer than 2 values were measured or one is infinite: nothing is below any goal then.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    percent_text(level)
    array = measured(values)
    if len(array) < 2 or not np.isfinite(array).all():
        return math.inf
    return float(MEAN_METHODS[method](array, level))


def upper_bounds(samples: FloatArray, level: float = 0.95, method: MeanMethod = "cautious Hall t") -> FloatArray:
    """Return `upper_bound` of each row, to the bit, in the time of one.

    Parameters
    ----------
    samples : ndarray (..., n)
        None of them missing.
    level, method
        As in `mean_interval`.

    Returns
    -------
    ndarray (...)
    """
    percent_text(level)
    if samples.shape[-1] < 2:
        return np.full(samples.shape[:-1], math.inf)
    is_finite = np.asarray(np.isfinite(samples).all(axis=-1))
    bounds: FloatArray = MEAN_METHODS[method](np.where(is_finite[..., None], samples, 0.0), level)
    return np.where(is_finite, bounds, math.inf)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Return the rate k / n with Clopper and Pearson's interval, which keeps its level at every rate and n.

    Wilson's is narrower and keeps it on average over rates: of 16 tries at a rate of 0.99 it holds 85 times in 100.

    Parameters
    ----------
    k, n : int
        Successes and tries, 0 <= k <= n.
    level : float
        Least coverage, between 0 and 1.

    Returns
    -------
    Interval
        Without estimate for n = 0.

    Raises
    ------
    ValueError
        If k is not between 0 and n, or `level` not between 0 and 1.

    References
    ----------
    C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.
    """
    name = f"Clopper-Pearson, {percent_text(level)}"
    if not 0 <= k <= n:
        raise ValueError(f"k: {k} successes of {n} tries; give 0 <= k <= n")
    if n == 0:
        return Interval(None, None, None, 0, name, say("no try was made"))
    tail = (1.0 - level) / 2.0
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1.0 - tail))
    return Interval(k / n, low, high, n, name)


def paired_difference(a: Values, b: Values, level: float = 0.95, method: MeanMethod = "Student t") -> Interval:
    """Return the mean of a - b over replicas that share data draws, with its interval.

    Parameters
    ----------
    a, b : sequence of float or None, equally long
        Value of each replica in the two arms. A pair counts only where both were measured.
    level, method
        As in `mean_interval`, but Student's: a difference of two skewed losses is nearly symmetric, and where few
        replicas are stuck Hall's correction does harm.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"b: {len(b)} values against {len(a)}; pairs need one of each for every replica")
    both = [x - y for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    interval = mean_interval(both, level, method)
    return Interval(
        interval.estimate, interval.low, interval.high, interval.n, f"paired {interval.method}", interval.reason
    )


def welch_difference(a: Values, b: Values, level: float = 0.95) -> Interval:
    """Return the mean of a minus the mean of b over replicas that share nothing, with Welch's interval.

    Parameters
    ----------
    a, b : sequence of float or None
        Value of each replica in the two arms.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Interval
        Its `n` is the smaller of the two numbers of values. Without ends for fewer than 2 values on a side, an
        infinite one, or values that do not vary.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.

    References
    ----------
    B. L. Welch, Biometrika 34 (1947) 28-35.
    """
    name = f"Welch, {percent_text(level)}"
    x, y = measured(a), measured(b)
    n = min(len(x), len(y))
    if n == 0:
        return Interval(None, None, None, 0, name, say("no value was measured"))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Interval(None, None, None, n, name, say("a value is infinite"))
    estimate = float(x.mean() - y.mean())
    if n == 1:
        return Interval(estimate, None, None, n, name, say("one value has no spread; an interval takes at least 2"))
    standard_error, freedom = _welch(x, y)
    if standard_error == 0.0:
        return Interval(estimate, None, None, n, name, say("the values do not vary"))
    half = float(special.stdtrit(freedom, (1.0 + level) / 2.0)) * standard_error
    return Interval(estimate, estimate - half, estimate + half, n, name)


def difference_p_value(a: Values, b: Values, *, paired: bool) -> float | None:
    """Return the two-sided p-value of no difference: Student's over pairs, or Welch's over replicas of two arms.

    None where `paired_difference` and `welch_difference` have no interval.
    """
    if paired:
        both = np.array([x - y for x, y in zip(a, b, strict=True) if x is not None and y is not None], np.float64)
        differences = both[~np.isnan(both)]
        if len(differences) < 2 or not np.isfinite(differences).all():
            return None
        estimate, freedom = float(differences.mean()), float(len(differences) - 1)
        standard_error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    else:
        x, y = measured(a), measured(b)
        if min(len(x), len(y)) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        estimate = float(x.mean() - y.mean())
        standard_error, freedom = _welch(x, y)
    if standard_error == 0.0:
        return 1.0 if estimate == 0.0 else None
    return float(2.0 * special.stdtr(freedom, -abs(estimate) / standard_error))


def _welch(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return the standard error of the difference of two means and its degrees of freedom."""
    parts = [float(side.var(ddof=1)) / len(side) for side in (x, y)]
    total = sum(parts)
    below = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (x, y), strict=True))
    return math.sqrt(total), total**2 / below if below > 0.0 else 1.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p-values: reject those below the level and the family-wise error stays below it.

    Parameters
    ----------
    p_values : sequence of float or None
        None and NaN (not tested) stay None and do not count as comparisons.

    Raises
    ------
    ValueError
        If a p-value is not between 0 and 1.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979) 65-70.
    """
    tested = [(p, i) for i, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    for p, i in tested:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_values[{i}]: {p!r}; give a number from 0 to 1")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(sorted(tested)):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = largest
    return adjusted


def percent_text(level: float) -> str:
    """Return a level as text, ``"95 %"``."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: {level!r}; give a number between 0 and 1, such as 0.95")
    return f"{100.0 * level:g} %"
