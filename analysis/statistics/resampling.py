"""Intervals by resampling: of any statistic, and of a rank correlation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import: the same quantiles

from analysis.statistics.intervals import FloatArray, Interval, Values, percent_text
from analysis.words import say


def bootstrap_interval(
    values: Values,
    statistic: Callable[..., Any],
    rng: np.random.Generator,
    level: float = 0.95,
    strata: Sequence[Any] | None = None,
    n_resamples: int = 9999,
) -> Interval:
    """Return a statistic with its bootstrap interval (BCa; percentile where BCa cannot be had).

    Parameters
    ----------
    values : sequence of float or None
        One value a replica.
    statistic : callable
        ``statistic(samples, axis=-1)``, reducing the last axis: ``np.mean``, ``np.median``, ...
    rng : numpy.random.Generator
        Draws the resamples.
    level : float
        Nominal coverage, between 0 and 1.
    strata : sequence or None
        Label of each value; resampling keeps the number of each label. None means one stratum.
    n_resamples : int
        Resamples.

    Returns
    -------
    Interval
        Without ends for fewer than 2 values, values all equal, an infinite one, or a stratum of one value.

    Raises
    ------
    ValueError
        If `strata` is not as long as `values`, or `level` not between 0 and 1.

    References
    ----------
    B. Efron, Better bootstrap confidence intervals, J. Am. Statist. Assoc. 82 (1987) 171-185.
    """
    from scipy.stats import bootstrap

    percent = percent_text(level)
    name = say("{strata}bootstrap BCa, {percent}", strata="stratified " if strata is not None else "", percent=percent)
    if strata is not None and len(strata) != len(values):
        raise ValueError(f"strata: {len(strata)} labels for {len(values)} values; give one each")
    labels = [0] * len(values) if strata is None else list(strata)
    kept: dict[Any, list[float]] = {}
    for value, label in zip(values, labels, strict=True):
        if value is not None and not math.isnan(value):
            kept.setdefault(label, []).append(float(value))
    groups = [np.array(group, dtype=np.float64) for group in kept.values()]
    n = sum(len(group) for group in groups)
    if n == 0:
        return Interval(None, None, None, 0, name, say("no value was measured"))
    pooled = np.concatenate(groups)
    estimate = float(statistic(pooled, axis=-1))
    if not np.isfinite(pooled).all():
        return Interval(estimate, None, None, n, name, say("a value is infinite"))
    if min(len(group) for group in groups) < 2:
        return Interval(estimate, None, None, n, name, say("one value has no spread; an interval takes at least 2"))
    if all(np.ptp(group) == 0.0 for group in groups):
        return Interval(estimate, None, None, n, name, say("all {n} values are equal within their stratum", n=n))

    def pooled_statistic(*samples: FloatArray, axis: int = -1) -> Any:
        return statistic(np.concatenate(samples, axis=axis), axis=axis)

    def ends(method: Literal["BCa", "percentile"]) -> tuple[float, float]:
        with warnings.catch_warnings():
            # SciPy warns where BCa has no acceleration or bias; it then returns NaN, which is looked for below.
            warnings.simplefilter("ignore")
            result = bootstrap(
                groups,
                pooled_statistic,
                confidence_level=level,
                n_resamples=n_resamples,
                method=method,
                vectorized=True,
                rng=rng,
            )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)

    low, high = ends("BCa")
    if math.isnan(low) or math.isnan(high):
        low, high = ends("percentile")
        name = name.replace("BCa", "percentile")
    return Interval(estimate, low, high, n, name)


def rank_correlation_interval(x: Values, y: Values, level: float = 0.95) -> Interval:
    """Return Spearman's rank correlation of pairs, with the Bonett-Wright interval.

    Parameters
    ----------
    x, y : sequence of float or None, equally long
        A pair counts only where both were measured; infinite values take the highest rank.
    level : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    Interval
        Without ends for fewer than 4 pairs; without estimate where one side does not vary.

    Raises
    ------
    ValueError
        If the lengths differ or `level` is not between 0 and 1.

    References
    ----------
    D. G. Bonett and T. A. Wright, Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
    Psychometrika 65 (2000) 23-28: variance (1 + r^2 / 2) / (n - 3) of Fisher's z.
    """
    name = say("Spearman, Bonett-Wright, {percent_text}", percent_text=percent_text(level))
    if len(x) != len(y):
        raise ValueError(f"y: {len(y)} values against {len(x)}; pairs need one of each")
    pairs = np.array(
        [
            (u, v)
            for u, v in zip(x, y, strict=True)
            if u is not None and v is not None and not math.isnan(u) and not math.isnan(v)
        ],
        dtype=np.float64,
    ).reshape(-1, 2)
    n = len(pairs)
    if n < 2:
        return Interval(None, None, None, n, name, say("{n} pairs; a rank correlation takes at least 2", n=n))
    ranks_x, ranks_y = _ranks(pairs[:, 0]), _ranks(pairs[:, 1])
    if np.ptp(ranks_x) == 0.0 or np.ptp(ranks_y) == 0.0:
        return Interval(None, None, None, n, name, say("one side does not vary"))
    r = min(1.0, max(-1.0, float(np.corrcoef(ranks_x, ranks_y)[0, 1])))
    if n < 4:
        return Interval(r, None, None, n, name, say("{n} pairs; an interval takes at least 4", n=n))
    if abs(r) == 1.0:
        return Interval(r, None, None, n, name, say("the ranks agree perfectly; the method has no interval there"))
    half = float(special.ndtri((1.0 + level) / 2.0)) * math.sqrt((1.0 + r * r / 2.0) / (n - 3))
    return Interval(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), n, name)


def _ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value, equal ones sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
