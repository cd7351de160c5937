"""The one way from rows to an interval: of a metric, of a difference, two-sided or one-sided, for every model.

The unit is what is independent of its like: a row, or a group of rows that belong together. Whatever the metric, it
follows from one loss a row, and the interval is that of the rows' mean loss, carried over to the metric, so that it
stays where the metric can be. A model that predicts a row several times (a network's seeds) has the mean of its losses
there, so that networks and simple models have the same units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.records.table import RowScore, finite_or_none
from analysis.statistics.intervals import MeanMethod, mean_interval, upper_bound
from sweeps.data.table.metrics import METRICS, Metric
from sweeps.data.table.units import unit_values as units_of_rows

FloatArray = npt.NDArray[np.float64]
Units = npt.NDArray[np.intp]

LEVEL = 0.95
"""Of every two-sided interval."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against another on the same rows, as mean row losses: below 0, the first is better.

    Parameters
    ----------
    difference, low, high : float or None
        Mean of the first's losses minus the second's, with a 95 % interval; None where there is none.
    bound : float
        Upper bound of the difference, one-sided at the level asked for; below 0 only where that is shown.
    n_units : int
        What is paired.
    method : str
        How the interval was found.
    """

    difference: float | None
    low: float | None
    high: float | None
    bound: float
    n_units: int
    method: str


def row_losses(metric: Metric, y: FloatArray, predictions: FloatArray) -> FloatArray:
    """Return each row's loss, (n,): the mean over the R predictions (R, n) or (R, n, k) of it."""
    of = METRICS["accuracy"].row_losses if metric.name == "balanced_accuracy" else metric.row_losses
    if of is None:
        raise AssertionError(f"{metric.name} follows from no row losses")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(of(y, predictions).mean(axis=0), np.float64)


def has_row_losses(metric: Metric) -> bool:
    """Return whether a metric follows from one loss a row."""
    return metric.row_losses is not None or metric.name == "balanced_accuracy"


def metric_of(metric: Metric, y: FloatArray, losses: FloatArray) -> float:
    """Return the metric of rows with these losses."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if metric.from_mean_loss is None:
            return 1.0 - float(np.mean([losses[y == value].mean() for value in np.unique(y)]))
        return _carried(metric, y, float(losses.mean()))


def score_predictions(metric: Metric, y: FloatArray, predictions: FloatArray, units: Units | None = None) -> RowScore:
    """Return the metric of R models' predictions, (R, n) or (R, n, k), with its interval over units if it has one."""
    if has_row_losses(metric):
        return score_rows(metric, y, row_losses(metric, y, predictions), units)
    values = metric.score(y, predictions)
    return without_interval(values.tolist(), len(y) if units is None else len(np.unique(units)))


def without_interval(values: Sequence[float], n: int) -> RowScore:
    """Return the mean of a metric that is no mean over rows."""
    mean = float(np.mean(values)) if len(values) else math.nan
    return RowScore(finite_or_none(mean), None, None, n, "no interval: the metric is no mean over rows")


def unit_values(losses: FloatArray, units: Units | None) -> FloatArray:
    """Return one value a unit, whose mean is the rows' mean loss and whose spread is that between units.

    Groups of different sizes: the linearized ratio of sums, so that large groups count by their rows.
    """
    if units is None:
        return losses
    return units_of_rows(losses, np.unique(units, return_inverse=True)[1])


def score_rows(
    metric: Metric, y: FloatArray, losses: FloatArray, units: Units | None = None, level: float = LEVEL
) -> RowScore:
    """Return a metric with its two-sided interval over units."""
    n = len(losses) if units is None else len(np.unique(units))
    if not len(losses) or not np.isfinite(losses).all():
        return RowScore(None, None, None, n, "no row" if not len(losses) else "a prediction is not finite")
    value, tail = metric_of(metric, y, losses), (1.0 - level) / 2.0
    if not math.isfinite(value):
        return RowScore(None, None, None, n, "the metric does not exist on these rows")
    if metric.name in ("accuracy", "balanced_accuracy"):
        wrong_low, wrong_high = _share_bounds(y, losses, units, tail, by_class=metric.name == "balanced_accuracy")
        return RowScore(value, 1.0 - wrong_high, 1.0 - wrong_low, n, _share_method(metric))
    found = mean_interval(unit_values(losses, units).tolist(), level)
    if found.low is None or found.high is None:
        return RowScore(value, None, None, n, found.reason or "no interval")
    ends = [_carried(metric, y, max(end, 0.0)) for end in (found.low, found.high)]
    return RowScore(value, min(ends), max(ends), n, f"{found.method}, of the rows' losses")


def upper_loss(
    metric: Metric, y: FloatArray, losses: FloatArray, units: Units | None, level: float
) -> tuple[float, str]:
    """Return the worst value of the metric, as a loss, one-sided at 1 - `level`, and how it was found."""
    if not np.isfinite(losses).all():
        return math.inf, "a prediction is not finite"
    if metric.name in ("accuracy", "balanced_accuracy"):
        by_class = metric.name == "balanced_accuracy"
        return _share_bounds(y, losses, units, level, by_class=by_class)[1], _share_method(metric)
    mean = upper_bound(unit_values(losses, units).tolist(), 1.0 - level)
    if not math.isfinite(mean):
        return math.inf, "too few rows"
    return metric.as_loss(_carried(metric, y, mean)), "cautious Hall t of the rows' losses"


def compare(metric: Metric, losses: FloatArray, others: FloatArray, units: Units | None, level: float) -> Comparison:
    """Compare two models by their losses in the same rows, in pairs."""
    n = len(losses) if units is None else len(np.unique(units))
    differences = losses - others
    if len(losses) < 2 or not np.isfinite(differences).all():
        return Comparison(None, None, None, math.inf, n, "no interval: too few rows or a loss that is not finite")
    values = unit_values(differences, units)
    found = mean_interval(values.tolist(), LEVEL, "Student t")
    low, high = found.low, found.high
    bound = _difference_bound(values, level)
    method = f"{found.method}, over pairs of {'rows' if units is None else 'groups'}"
    if metric.name == "accuracy" and low is not None and high is not None:
        # Few units in which the two disagree are too few for any bound by moments: the exact sign test decides.
        better, worse = int((values < 0).sum()), int((values > 0).sum())
        shown = better + worse > 0 and stats.binomtest(better, better + worse, alternative="greater").pvalue <= level
        mean = float(values.mean())
        bound = min(bound, mean) if shown and units is None else max(bound, 0.0 if not shown else bound)
        low, high = _with_sign_test(low, high, better, worse, n)
        method += ", and the exact sign test"
    return Comparison(found.estimate, low, high, bound, n, method)


def _carried(metric: Metric, y: FloatArray, mean: float) -> float:
    if metric.from_mean_loss is None:
        raise AssertionError(f"{metric.name} follows from no mean loss")
    return float(metric.from_mean_loss(np.array([mean]), y, np.ones((1, len(y))))[0])


def _share_bounds(
    y: FloatArray, wrong: FloatArray, units: Units | None, tail: float, *, by_class: bool
) -> tuple[float, float]:
    """Return both ends of the share of wrong rows, each passed with a chance of at most `tail`.

    Clopper and Pearson's, also of shares of several networks, which vary less than ones and noughts. Classes that count
    alike are put together by Zou and Donner's recovery of variances (Statist. Med. 27 (2008) 1693-1702), which knows an
    uncertainty where no row of a class is wrong.
    """
    parts = [y == value for value in np.unique(y)] if by_class else [np.ones(len(y), bool)]
    shares, lows, highs = [], [], []
    for part in parts:
        share = float(wrong[part].mean())
        n = int(part.sum()) if units is None else len(np.unique(units[part]))
        k = min(max(share * n, 0.0), float(n))
        shares.append(share)
        lows.append(float(stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0)
        highs.append(float(stats.beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0)
    mean, K = float(np.mean(shares)), len(parts)
    below = math.sqrt(sum((p - low) ** 2 for p, low in zip(shares, lows, strict=True))) / K
    above = math.sqrt(sum((high - p) ** 2 for p, high in zip(shares, highs, strict=True))) / K
    return max(mean - below, 0.0), min(mean + above, 1.0)


def _share_method(metric: Metric) -> str:
    exact = "Clopper and Pearson's bound of the error rate"
    return exact if metric.name == "accuracy" else f"{exact} of each class, variances recovered"


def _difference_bound(values: FloatArray, level: float) -> float:
    methods: tuple[MeanMethod, ...] = ("Student t", "cautious Hall t")
    if np.ptp(values) == 0:
        return float(values.mean()) if len(values) > 1 else math.inf
    return max(upper_bound(values.tolist(), 1.0 - level, method) for method in methods)


def _with_sign_test(low: float, high: float, better: int, worse: int, n: int) -> tuple[float, float]:
    """Return an interval of a difference of shares widened to what the rows on which the two disagree allow."""
    tail, m = (1.0 - LEVEL) / 2.0, better + worse
    if m == 0:
        half = 1.0 - tail ** (1.0 / n)
        return min(low, -half), max(high, half)
    least = float(stats.beta.ppf(tail, worse, better + 1)) if worse else 0.0
    most = float(stats.beta.ppf(1.0 - tail, worse + 1, better)) if better else 1.0
    return min(low, (2.0 * least - 1.0) * m / n), max(high, (2.0 * most - 1.0) * m / n)
