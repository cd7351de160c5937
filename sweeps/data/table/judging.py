"""The one look at the test rows: what a certificate's networks make of them together, beside the simple models.

The units are the rows, or groups of rows that belong together; bounds and intervals are those of
`sweeps.data.table.row_intervals`. "Better than the best baseline" has to be shown against every baseline on these very
rows: whichever of them is truly the best is then among those beaten, so that no level is lost to their number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.table import finite_or_none
from sweeps.data.table.columns import Task
from sweeps.data.table.metrics import METRICS, Goal, Metric, confusion_table, score_all
from sweeps.data.table.row_intervals import Comparison, Units, compare, metric_of, row_losses, score_rows, upper_loss

FloatArray = npt.NDArray[np.float64]
Sides = Mapping[str, npt.NDArray[np.bool_]]


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
    *,
    units: Units | None = None,
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
    units : ndarray (n,) of int, optional
        Group of each row, where groups and not rows are independent.
    sides : mapping of str to ndarray (n,) of bool, optional
        Rows in range and out of range.

    Returns
    -------
    dict
        ``n_rows``, ``n_units``; ``unit``: ``"row"`` or ``"group"``; ``metric``; ``scores`` by metric; ``confusion``;
        ``baselines``: their scores; ``value``: the metric, with ``low`` and ``high`` (95 %); ``bound``: the worst value
        it may have at `level`; ``method``; ``goal``: in words; ``against``: the best baseline in the folds, and
        ``best_here``: on these rows; ``comparisons``: by baseline a `Comparison`; ``parts``: by model (``"network"``,
        ``"singly"`` for the networks one by one, or a baseline) and part (``"test"`` and sides) what
        `analysis.records.table.PartScores` holds; ``level``; ``passed``.
    """
    metric = METRICS[goal.metric]
    network = ensemble_of(predictions)
    losses = row_losses(metric, y, network[None])
    other_losses = {name: row_losses(metric, y, values[None]) for name, values in baselines.items()}
    comparisons = {name: compare(metric, y, losses, other, units, level) for name, other in other_losses.items()}
    loss_bound, method = upper_loss(metric, y, losses, units, level)
    whole = score_rows(metric, y, losses, units)
    parts = {"test": np.ones(len(y), bool), **(sides or {})}
    models = {"network": network[None], "singly": predictions, **{name: one[None] for name, one in baselines.items()}}
    beaten = bool(comparisons) and all(one.bound < 0 for one in comparisons.values())
    found: dict[str, Any] = {
        "n_rows": len(y),
        "n_units": whole.n_units,
        "unit": "row" if units is None else "group",
        "metric": metric.name,
        "scores": _scores(task, y, network),
        "baselines": {name: _scores(task, y, values) for name, values in baselines.items()},
        "goal": goal.text,
        "against": against,
        "best_here": _best_here(metric, y, other_losses),
        "comparisons": {name: _as_plain(one) for name, one in comparisons.items()},
        "level": level,
        "value": whole.value,
        "low": whole.low,
        "high": whole.high,
        "bound": finite_or_none(metric.highest - loss_bound if metric.higher_is_better else loss_bound),
        "method": method,
        "passed": beaten if goal.value is None else bool(loss_bound < metric.as_loss(goal.value)),
        "parts": {
            model: {part: part_scores(task, y, values, rows, units) for part, rows in parts.items() if rows.any()}
            for model, values in models.items()
        },
    }
    if task == "classification":
        found["confusion"] = confusion_table(y, network).tolist()
    return found


def part_scores(
    task: Task, y: FloatArray, predictions: FloatArray, rows: npt.NDArray[np.bool_], units: Units | None
) -> dict[str, Any]:
    """Return every metric of some rows with its interval, as `analysis.records.table.PartScores` holds it."""
    own = None if units is None else units[rows]
    scores = {
        name: score_rows(METRICS[name], y[rows], row_losses(METRICS[name], y[rows], predictions[:, rows]), own)
        for name in score_all(task, y[rows], predictions[:, rows])
    }
    return {
        "n_rows": int(rows.sum()),
        "unit": "row" if units is None else "group",
        "scores": {name: dataclasses.asdict(score) for name, score in scores.items()},
    }


def _best_here(metric: Metric, y: FloatArray, losses: Mapping[str, FloatArray]) -> str:
    """Return the baseline that is best on these rows, the first among equals."""
    values = {name: metric.as_loss(metric_of(metric, y, one)) for name, one in losses.items()}
    return min(values, key=lambda name: (not np.isfinite(values[name]), values[name]))


def _as_plain(one: Comparison) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"bound": finite_or_none(one.bound)}


def _scores(task: Task, y: FloatArray, values: FloatArray) -> dict[str, float | None]:
    return {name: finite_or_none(float(score[0])) for name, score in score_all(task, y, values[None]).items()}
