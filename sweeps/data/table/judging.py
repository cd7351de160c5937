"""The one look at the test rows: what a certificate's networks make of them together, beside the simple models.

The units are the rows, or the groups and stretches of time that `Units` says; bounds and intervals are those of
`sweeps.data.table.row_intervals`, and of `sweeps.data.table.class_bounds` where classes weigh alike. "Better than the
best baseline" has to be shown against every baseline on these very rows: whichever of them is truly the best is then
among those beaten, so that no level is lost to their number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.table import finite_or_none
from sweeps.data.table.class_bounds import class_bounds
from sweeps.data.table.columns import Task
from sweeps.data.table.metrics import METRICS, Metric, MetricGoal, confusion_table, metrics_of, score_all
from sweeps.data.table.row_intervals import LEVEL, Comparison, compare, row_losses, score_predictions, upper_loss
from sweeps.data.table.rows import TableRows
from sweeps.data.table.settings import TableData
from sweeps.data.table.units import TIME_BLOCKS, joined, numbered, time_blocks

FloatArray = npt.NDArray[np.float64]
Sides = Mapping[str, npt.NDArray[np.bool_]]

N_RESAMPLES = 2000
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
    return Units(numbers, words, suspected, _scope(rows, data))


def _scope(rows: TableRows, data: TableData) -> str:
    """Return which new rows the test rows stand for; those of a file of their own may be others than a division's."""
    if not data.test_file:
        return data.scope
    if rows.groups is not None:
        known = np.isin(rows.groups[rows.test], rows.groups[rows.in_range])
        if known.any():
            return f"rows of {'' if known.all() else 'new and '}known {data.groups_by}"
    if rows.times is not None and rows.times[rows.test].min() <= rows.times[rows.in_range].max():
        return ""
    return data.scope


def ensemble_of(predictions: FloatArray) -> FloatArray:
    """Return the mean prediction, or mean probabilities, of R replicas: (R, n) to (n,), (R, n, k) to (n, k).

    Replicas that have diverged are left out, unless all have.
    """
    whole = np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1)
    return np.asarray(predictions[whole].mean(axis=0) if whole.any() else predictions.mean(axis=0), np.float64)


def judge_test_rows(
    goal: MetricGoal,
    task: Task,
    y: FloatArray,
    predictions: FloatArray,
    baselines: Mapping[str, FloatArray],
    against: str,
    level: float,
    seed: int,
    units: Units | None = None,
    *,
    sides: Sides | None = None,
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
        Of a bootstrap, for metrics that are no mean over rows.
    units : Units, optional
        What counts as one observation; default every row.
    sides : mapping of str to ndarray (n,) of bool, optional
        Rows in range and out of range.

    Returns
    -------
    dict
        ``n_rows``; ``n_units`` and ``units``: their number and name, ``suspected`` and ``scope`` of `Units`, if told;
        ``metric``; ``scores`` by metric; ``confusion``;
        ``baselines``: their scores; ``value``: the metric, with ``low`` and ``high`` (95 %); ``bound``: the worst value
        it may have at `level`; ``method``; ``goal``: in words; ``against``: the best baseline in the folds, and
        ``best_here``: on these rows; ``comparisons``: by baseline a `Comparison`; ``parts``: by model (``"network"``,
        ``"singly"`` for the networks one by one, or a baseline) and part (``"test"`` and sides) what
        `analysis.records.table.PartScores` holds; ``level``; ``passed``.
    """
    metric = METRICS[goal.metric]
    network = ensemble_of(predictions)
    units = Units(np.arange(len(y))) if units is None else units
    numbers = None if units.n == len(y) else units.numbers
    comparisons: dict[str, Comparison] = {}
    if metric.row_losses is None:
        rng = np.random.default_rng(seed)
        loss_bound, method = math.inf, "no baseline"
        for name, values in baselines.items():
            comparisons[name], loss_bound, method = _by_class(metric, y, network, values, level, rng, units)
    else:
        losses = row_losses(metric, y, network[None])
        others = {name: row_losses(metric, y, values[None]) for name, values in baselines.items()}
        comparisons = {name: compare(metric, losses, other, numbers, level) for name, other in others.items()}
        loss_bound, method = upper_loss(metric, y, losses, numbers, level)
    shown = loss_bound < metric.as_loss(goal.value) if goal.value is not None else _beaten(comparisons)
    parts = {"test": np.ones(len(y), bool), **(sides or {})}
    models = {"network": network[None], "singly": predictions, **{name: one[None] for name, one in baselines.items()}}
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
        "best_here": _best_here(metric, y, baselines),
        "comparisons": {name: _as_plain(one) for name, one in comparisons.items()},
        "level": level,
        "value": finite_or_none(float(metric.score(y, network[None])[0])),
        "bound": finite_or_none(metric.highest - loss_bound if metric.higher_is_better else loss_bound),
        "method": method,
        "passed": bool(shown and not units.suspected),
        "parts": {
            model: {part: part_scores(task, y, values, rows, numbers) for part, rows in parts.items() if rows.any()}
            for model, values in models.items()
        },
    }
    whole = found["parts"]["network"]["test"]["scores"][metric.name]
    found |= {"low": whole["low"], "high": whole["high"]}
    if task == "classification":
        found["confusion"] = confusion_table(y, network).tolist()
    return found


def _beaten(comparisons: Mapping[str, Comparison]) -> bool:
    """Return whether the network is shown to be better than every baseline."""
    return bool(comparisons) and all(one.bound < 0 for one in comparisons.values())


def part_scores(
    task: Task,
    y: FloatArray,
    predictions: FloatArray,
    rows: npt.NDArray[np.bool_],
    units: npt.NDArray[np.intp] | None,
) -> dict[str, Any]:
    """Return every metric of some rows with its interval, as `analysis.records.table.PartScores` holds it."""
    own = None if units is None else units[rows]
    scores = {
        name: score_predictions(METRICS[name], y[rows], predictions[:, rows], own) for name in metrics_of(task, y[rows])
    }
    return {
        "n_rows": int(rows.sum()),
        "unit": "row" if units is None else "group",
        "scores": {name: dataclasses.asdict(score) for name, score in scores.items()},
    }


def _by_class(
    metric: Metric,
    y: FloatArray,
    network: FloatArray,
    other: FloatArray,
    level: float,
    rng: np.random.Generator,
    units: Units,
) -> tuple[Comparison, float, str]:
    """Return a comparison in a metric in which classes weigh alike, the bound of the network's loss, and how."""

    def bounds(one: FloatArray, two: FloatArray, at: float) -> tuple[float, float, str]:
        bound, gap, method = class_bounds(metric, y, one, two, at, rng)
        if units.n == len(y):
            return bound, gap, method
        drawn = _unit_bounds(metric, y, one, two, at, rng, units)
        return max(bound, drawn[0]), max(gap, drawn[1]), f"{method}, and over {units.words}; the higher"

    tail = (1.0 - LEVEL) / 2.0
    bound, gap, method = bounds(network, other, level)
    ours, theirs = (metric.as_loss(float(metric.score(y, one[None])[0])) for one in (network, other))
    low, high = (finite_or_none(end) for end in (-bounds(other, network, tail)[1], bounds(network, other, tail)[1]))
    if low is None or high is None:
        low = high = None
    found = Comparison(finite_or_none(ours - theirs), low, high, gap, units.n, f"{method}, 95 %")
    return found, bound, method


def _best_here(metric: Metric, y: FloatArray, baselines: Mapping[str, FloatArray]) -> str:
    """Return the baseline that is best on these rows, the first among equals."""
    values = {name: metric.as_loss(float(metric.score(y, one[None])[0])) for name, one in baselines.items()}
    return min(values, key=lambda name: (not np.isfinite(values[name]), values[name]))


def _as_plain(one: Comparison) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"bound": finite_or_none(one.bound)}


def _scores(task: Task, y: FloatArray, values: FloatArray) -> dict[str, float | None]:
    return {name: finite_or_none(float(score[0])) for name, score in score_all(task, y, values[None]).items()}


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
