"""The one look at the test rows: what a certificate's networks make of them together, beside the simple models.

The units are the rows, or groups of rows that belong together; bounds and intervals are those of
`sweeps.data.table.row_intervals`. "Better than the best baseline" has to be shown against every baseline on these very
rows: whichever of them is truly the best is then among those beaten, so that no level is lost to their number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.table import finite_or_none
from sweeps.data.table.class_bounds import class_bounds
from sweeps.data.table.columns import Task
from sweeps.data.table.metrics import METRICS, Goal, Metric, confusion_table, metrics_of, score_all
from sweeps.data.table.row_intervals import (
    LEVEL,
    Comparison,
    Units,
    compare,
    row_losses,
    score_predictions,
    upper_loss,
)

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
    seed: int,
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
    seed : int
        Of a bootstrap, for metrics that are no mean over rows.
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
    comparisons: dict[str, Comparison] = {}
    if metric.row_losses is None:
        rng = np.random.default_rng(seed)
        loss_bound, method = math.inf, "no baseline"
        for name, values in baselines.items():
            comparisons[name], loss_bound, method = _by_class(metric, y, network, values, level, rng)
    else:
        losses = row_losses(metric, y, network[None])
        others = {name: row_losses(metric, y, values[None]) for name, values in baselines.items()}
        comparisons = {name: compare(metric, losses, other, units, level) for name, other in others.items()}
        loss_bound, method = upper_loss(metric, y, losses, units, level)
    parts = {"test": np.ones(len(y), bool), **(sides or {})}
    models = {"network": network[None], "singly": predictions, **{name: one[None] for name, one in baselines.items()}}
    beaten = bool(comparisons) and all(one.bound < 0 for one in comparisons.values())
    found: dict[str, Any] = {
        "n_rows": len(y),
        "n_units": len(y) if units is None else len(np.unique(units)),
        "unit": "row" if units is None else "group",
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
        "passed": beaten if goal.value is None else bool(loss_bound < metric.as_loss(goal.value)),
        "parts": {
            model: {part: part_scores(task, y, values, rows, units) for part, rows in parts.items() if rows.any()}
            for model, values in models.items()
        },
    }
    whole = found["parts"]["network"]["test"]["scores"][metric.name]
    found |= {"low": whole["low"], "high": whole["high"]}
    if task == "classification":
        found["confusion"] = confusion_table(y, network).tolist()
    return found


def part_scores(
    task: Task, y: FloatArray, predictions: FloatArray, rows: npt.NDArray[np.bool_], units: Units | None
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
    metric: Metric, y: FloatArray, network: FloatArray, other: FloatArray, level: float, rng: np.random.Generator
) -> tuple[Comparison, float, str]:
    """Return a comparison in a metric in which classes weigh alike, the bound of the network's loss, and how."""
    tail = (1.0 - LEVEL) / 2.0
    bound, gap, method = class_bounds(metric, y, network, other, level, rng)
    high = class_bounds(metric, y, network, other, tail, rng)[1]
    low = -class_bounds(metric, y, other, network, tail, rng)[1]
    ours, theirs = (metric.as_loss(float(metric.score(y, one[None])[0])) for one in (network, other))
    known = [finite_or_none(end) for end in (low, high)]
    ends = (None, None) if None in known else (known[0], known[1])
    return Comparison(finite_or_none(ours - theirs), *ends, gap, len(y), f"{method}, 95 %"), bound, method


def _best_here(metric: Metric, y: FloatArray, baselines: Mapping[str, FloatArray]) -> str:
    """Return the baseline that is best on these rows, the first among equals."""
    values = {name: metric.as_loss(float(metric.score(y, one[None])[0])) for name, one in baselines.items()}
    return min(values, key=lambda name: (not np.isfinite(values[name]), values[name]))


def _as_plain(one: Comparison) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"bound": finite_or_none(one.bound)}


def _scores(task: Task, y: FloatArray, values: FloatArray) -> dict[str, float | None]:
    return {name: finite_or_none(float(score[0])) for name, score in score_all(task, y, values[None]).items()}
