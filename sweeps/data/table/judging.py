"""The one look at the test rows: what a certificate's networks make of them together, beside the simple models.

The units are the rows, or the groups and stretches of time that `Units` says. Where the metric follows from a mean over
rows, its bound is that of the mean of the units' losses (for accuracy of rows Clopper and Pearson's of the error rate);
a metric without row losses is in `sweeps.data.table.class_bounds`. Against a baseline the units are paired.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.records.table import finite_or_none
from analysis.statistics.intervals import MeanMethod, mean_interval, upper_bound
from sweeps.data.table.class_bounds import class_bounds
from sweeps.data.table.columns import Task
from sweeps.data.table.metrics import METRICS, Goal, Metric, confusion_table, score_all
from sweeps.data.table.rows import TableRows
from sweeps.data.table.settings import TableData
from sweeps.data.table.units import TIME_BLOCKS, joined, numbered, time_blocks, unit_values

FloatArray = npt.NDArray[np.float64]

N_RESAMPLES = 2000
_HALL = "cautious Hall t"
FEWEST_STRETCHES = 4
"""Stretches of time of which the test rows must have as many, or nothing is said with a level."""


@dataclass(frozen=True, slots=True)
class Units:
    """What counts as one observation among the test rows.

    Parameters
    ----------
    numbers : ndarray (n,) of int
        Unit of each test row, numbered 0, 1, ...
    words : str
        What they are called.
    suspected : str
        The dependence that these units do not heed, in words; then nothing is passed.
    scope : str
        Which new rows the test rows stand for, where that has to be said.
    """

    numbers: npt.NDArray[np.intp]
    words: str = "rows"
    suspected: str = ""
    scope: str = ""

    @property
    def n(self) -> int:
        """Number of units."""
        return int(self.numbers.max()) + 1 if len(self.numbers) else 0


def test_units(rows: TableRows, data: TableData) -> Units:
    """Return what counts as one observation among the test rows of a table: rows, groups or stretches of time."""
    numbers, words, suspected = numbered(rows.units[rows.test]), "groups of equal rows", data.suspected
    if rows.times is not None:
        # A stretch is three times as long as rows remain alike, so that what one shows the next does not repeat.
        n_blocks = min(TIME_BLOCKS, len(rows.test) // (3 * max(data.stretch, 1)))
        if n_blocks < FEWEST_STRETCHES:
            longer = (
                f"rows remain alike for about {data.stretch} rows of time, and there are {len(rows.test)} test rows"
            )
            suspected = "; ".join(text for text in (suspected, longer) if text)
        numbers = numbered(joined(time_blocks(rows.times[rows.test], max(n_blocks, 1)), numbers))
        words = "stretches of time"
    elif data.groups_by:
        words = f"groups ({data.groups_by})"
    elif len(np.unique(numbers)) == len(numbers):
        words = "rows"
    return Units(numbers, words, suspected, data.scope)


def ensemble_of(predictions: FloatArray) -> FloatArray:
    """Return the mean prediction, or mean probabilities, of R replicas: (R, n) to (n,), (R, n, k) to (n, k).

    Replicas that have diverged are left out, unless all have.
    """
    whole = np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1)
    return np.asarray(predictions[whole].mean(axis=0) if whole.any() else predictions.mean(axis=0), np.float64)


def judge_test_rows(
    goal: Goal,
    task: Task,
    y: FloatArray,
    predictions: FloatArray,
    baselines: Mapping[str, FloatArray],
    against: str,
    level: float,
    seed: int,
    units: Units | None = None,
) -> dict[str, Any]:
    """Score an ensemble on the test rows and hold it to its goal.

    Parameters
    ----------
    goal : Goal
        A value to be better than, or the best baseline.
    task : str
        What the target sets.
    y : ndarray (n,)
        Targets of the test rows.
    predictions : ndarray (R, n) or (R, n, k)
        Of the networks.
    baselines : mapping of str to ndarray (n,) or (n, k)
        Predictions of each baseline, trained on the same rows.
    against : str
        The best of them by cross-validation.
    level : float
        Of the test.
    seed : int
        Of a bootstrap.
    units : Units, optional
        What counts as one observation; default every row.

    Returns
    -------
    dict
        ``n_units`` and ``units``: their number and name, ``suspected`` and ``scope`` of `Units`, if told;
        ``n_rows``; ``metric``; ``scores`` by metric; ``confusion``; ``baselines``: their scores; ``value``: the
        metric; ``bound``: the worst value it may have at `level`; ``method``; ``goal``: in words; ``against``: the
        baseline and, paired, ``difference``, ``difference_low``, ``difference_high`` of the mean row losses (95 %) and
        ``difference_bound``; ``level``; ``passed``.
    """
    metric = METRICS[goal.metric]
    network = ensemble_of(predictions)
    rng = np.random.default_rng(seed)
    units = Units(np.arange(len(y))) if units is None else units
    rows = _unit_losses(metric, y, network, units)
    other = _unit_losses(metric, y, baselines[against], units)
    found: dict[str, Any] = {
        "n_rows": len(y),
        "n_units": units.n,
        "units": units.words,
        "suspected": units.suspected,
        "scope": units.scope,
        "metric": metric.name,
        "scores": _scores(task, y, network),
        "baselines": {name: _scores(task, y, values) for name, values in baselines.items()},
        "goal": goal.text,
        "against": against,
        "level": level,
        "value": finite_or_none(float(metric.score(y, network[None])[0])),
    }
    if task == "classification":
        found["confusion"] = confusion_table(y, network).tolist()
    if rows is None or other is None:
        loss_bound, gap, found["method"] = class_bounds(metric, y, network, baselines[against], level, rng)
        if units.n < len(y):
            bounds = _unit_bounds(metric, y, network, baselines[against], level, rng, units)
            loss_bound, gap = max(loss_bound, bounds[0]), max(gap, bounds[1])
            found["method"] += f", and over {units.words}; the higher"
        found["difference_bound"] = finite_or_none(gap)
    else:
        loss_bound, found["method"] = _bound(metric, y, rows, level, units)
        differences = rows - other
        interval = mean_interval(differences.tolist(), 0.95, "Student t")
        gap = _difference_bound(metric, differences, level)
        found |= {
            "difference": interval.estimate,
            "difference_low": interval.low,
            "difference_high": interval.high,
            "difference_bound": finite_or_none(gap),
        }
    found["bound"] = finite_or_none(metric.highest - loss_bound if metric.higher_is_better else loss_bound)
    shown = gap < 0 if goal.value is None else loss_bound < metric.as_loss(goal.value)
    found["passed"] = bool(shown and not units.suspected)
    return found


def _row_losses(metric: Metric, y: FloatArray, predictions: FloatArray) -> FloatArray | None:
    if metric.row_losses is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(metric.row_losses(y, predictions[None])[0], np.float64)


def _unit_losses(metric: Metric, y: FloatArray, predictions: FloatArray, units: Units) -> FloatArray | None:
    """Return one loss a unit, their mean that of the rows' losses."""
    losses = _row_losses(metric, y, predictions)
    return losses if losses is None or units.n == len(y) else unit_values(losses, units.numbers)


def _scores(task: Task, y: FloatArray, values: FloatArray) -> dict[str, float | None]:
    return {name: finite_or_none(float(score[0])) for name, score in score_all(task, y, values[None]).items()}


def _bound(metric: Metric, y: FloatArray, rows: FloatArray, level: float, units: Units) -> tuple[float, str]:
    """Return the upper bound of the metric as a loss, one-sided at 1 - `level`, and how it was found."""
    if not np.isfinite(rows).all():
        return math.inf, "a prediction is not finite"
    if metric.name == "accuracy":
        n, wrong = len(rows), float(rows.sum())
        bound = float(stats.beta.ppf(1 - level, wrong + 1, n - wrong)) if wrong < n else 1.0
        if units.n == len(y):
            return bound, "Clopper and Pearson's bound of the error rate over rows"
        # Groups that are right or wrong as a whole are as many observations as there are groups: no bound is lower.
        return min(max(bound, upper_bound(rows.tolist(), 1 - level)), 1.0), f"{_HALL} of the {units.words}"
    mean = upper_bound(rows.tolist(), 1 - level)
    if metric.from_mean_loss is None or not math.isfinite(mean):
        return math.inf, "too few rows"
    weight = np.ones((1, len(y)))
    value = float(metric.from_mean_loss(np.array([mean]), y, weight)[0])
    return metric.as_loss(value), f"{_HALL} of the losses of {units.words}"


def _difference_bound(metric: Metric, differences: FloatArray, level: float) -> float:
    """Return a bound of the mean difference over rows, one-sided at 1 - `level`; below 0 only where that is shown.

    Where rows are right or wrong, the exact sign test of the rows on which the two disagree decides (McNemar's): a few
    such rows among many equal ones are too few for any bound by moments.
    """
    if len(differences) < 2 or not np.isfinite(differences).all():
        return math.inf
    better, worse = int((differences < 0).sum()), int((differences > 0).sum())
    if better + worse == 0:
        return 0.0
    methods: tuple[MeanMethod, ...] = ("Student t", "cautious Hall t")
    bounds = [upper_bound(differences.tolist(), 1 - level, method) for method in methods]
    bound = max(bounds) if np.ptp(differences) > 0 else float(differences.mean())
    if metric.name == "accuracy":
        shown = stats.binomtest(better, better + worse, 0.5, alternative="greater").pvalue <= level
        return min(bound, float(differences.mean())) if shown else max(bound, 0.0)
    return bound


def _unit_bounds(
    metric: Metric,
    y: FloatArray,
    network: FloatArray,
    other: FloatArray,
    level: float,
    rng: np.random.Generator,
    units: Units,
) -> tuple[float, float]:
    """Return bounds as `class_bounds` does, from whole units drawn again."""
    order = np.argsort(units.numbers, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(units.numbers))[:-1])
    losses, gaps = [], []
    for _ in range(N_RESAMPLES):
        rows = np.concatenate([members[k] for k in rng.integers(0, units.n, units.n).tolist()])
        ours, theirs = (metric.as_loss(float(metric.score(y[rows], one[rows][None])[0])) for one in (network, other))
        losses.append(ours)
        gaps.append(ours - theirs)
    known = np.isfinite(losses) & np.isfinite(gaps)  # a draw may miss a class
    if known.mean() < 1 - level or units.n < 3:
        return math.inf, math.inf
    return float(np.quantile(np.array(losses)[known], 1 - level)), float(np.quantile(np.array(gaps)[known], 1 - level))
