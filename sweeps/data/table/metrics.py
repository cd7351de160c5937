"""What a table's user calls good: metrics in the target's own unit, the losses of single rows behind them, and goals.

Predictions of a regression are numbers (R, n) in the target's unit, those of a classification probabilities (R, n, k);
targets (n,), or (R, n) where replicas have different rows, are numbers or class indices. Weights (n,) or (R, n) of 0
mark rows that do not count. R replicas give R values.

Where a metric follows from a mean over rows, its record has the losses of single rows, so that two models can be
compared in pairs of rows, and the step from the mean to the metric.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from analysis.records.metric_words import METRIC_WORDS, MetricWords, Task
from engine.names import nearest

FloatArray = npt.NDArray[np.float64]


BEAT_BASELINE = "beat the best baseline"
"""The goal of a user who names none."""
DEFAULT_METRIC: Mapping[Task, str] = MappingProxyType({"regression": "rmse", "classification": "accuracy"})
"""The metric of a goal that names none, by task."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Parameters
    ----------
    words : MetricWords
        Its name, what it is for and which way is better.
    row_losses : callable (targets, predictions) -> (R, n), or None
        Losses of single rows whose mean settles the metric; None where there is no such thing.
    from_mean_loss : callable (means (R,), targets, weights (R, n)) -> (R,), or None
        The metric of those means.
    score_rows : callable (targets, predictions, weights (R, n)) -> (R,)
        The metric; use `score`.
    """

    words: MetricWords
    row_losses: Callable[[FloatArray, FloatArray], FloatArray] | None
    from_mean_loss: Callable[[FloatArray, FloatArray, FloatArray], FloatArray] | None
    score_rows: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

    def score(self, targets: FloatArray, predictions: FloatArray, weight: FloatArray | None = None) -> FloatArray:
        """Return the metric of each replica.

        Parameters
        ----------
        targets : ndarray (n,) or (R, n)
            Numbers, or class indices.
        predictions : ndarray (R, n) or (R, n, k)
            Numbers in the target's unit, or probabilities.
        weight : ndarray (n,) or (R, n), optional
            Weights of the rows; default 1 for each.

        Returns
        -------
        ndarray (R,) of float64
            NaN for a replica without rows, or with a prediction that is not a number.

        Raises
        ------
        ValueError
            If a target has no logarithm and the metric takes it.
        """
        weights = np.ones(predictions.shape[:2]) if weight is None else np.broadcast_to(weight, predictions.shape[:2])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self.score_rows(targets, predictions, weights)

    @property
    def name(self) -> str:
        """Key in `METRICS`."""
        return self.words.name

    @property
    def title(self) -> str:
        """What a report calls it."""
        return self.words.title

    @property
    def has_unit(self) -> bool:
        """Whether it is in the target's unit."""
        return self.words.has_unit

    @property
    def task(self) -> Task:
        """What the target must set."""
        return self.words.task

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.words.higher_is_better

    @property
    def highest(self) -> float:
        """No value is above it."""
        return self.words.highest

    def as_loss(self, value: float) -> float:
        """Return a value as a loss; see `analysis.records.metric_words.MetricWords`."""
        return self.words.as_loss(value)

    def is_better(self, value: float, other: float) -> bool:
        """Whether `value` is strictly better than `other`."""
        return self.words.is_better(value, other)


def _mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    # A row that does not count must not spoil the mean with an infinite loss.
    total = np.where(weights > 0, values * weights, 0.0).sum(axis=-1)
    return np.asarray(total / weights.sum(axis=-1))


def _by_rows(
    row_losses: Callable[[FloatArray, FloatArray], FloatArray],
    from_mean_loss: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
) -> Callable[[FloatArray, FloatArray, FloatArray], FloatArray]:
    def score_rows(targets: FloatArray, predictions: FloatArray, weights: FloatArray) -> FloatArray:
        return from_mean_loss(_mean(row_losses(targets, predictions), weights), targets, weights)

    return score_rows


# Regression


def _squared_errors(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    return np.asarray((predictions - targets) ** 2)


def _absolute_errors(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    return np.asarray(np.abs(predictions - targets))


def _squared_log_errors(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    return _log_errors(targets, predictions, 0.0, "log_mse")


def _squared_log1p_errors(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    return _log_errors(targets, predictions, 1.0, "rmsle")


def _log_errors(targets: FloatArray, predictions: FloatArray, shift: float, name: str) -> FloatArray:
    if (lowest := float(np.min(targets))) <= -shift:
        raise ValueError(f"{name}: a target of {lowest:g} has no logarithm; expected all above {0.0 - shift:g}")
    # A prediction without a logarithm is infinitely wrong; one that is not a number stays so.
    inside = np.where(predictions + shift > 0, predictions + shift, np.where(np.isnan(predictions), np.nan, 0.0))
    with np.errstate(divide="ignore"):
        return np.asarray((np.log(inside) - np.log(targets + shift)) ** 2)


def _itself(means: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:  # noqa: ARG001
    return means


def _root(means: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:  # noqa: ARG001
    return np.sqrt(means)


def _explained(means: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """R2 = 1 - (mean squared error) / (variance of the targets); NaN where they do not vary."""
    rows = np.broadcast_to(targets, weights.shape)
    variance = _mean((rows - _mean(rows, weights)[:, None]) ** 2, weights)
    return np.where(variance > 0, 1.0 - means / np.where(variance > 0, variance, 1.0), np.nan)


# Classification


def predicted_classes(probabilities: FloatArray) -> npt.NDArray[np.intp]:
    """Return the most probable class of each row (the first among equals); (..., n, k) to (..., n)."""
    return np.asarray(np.argmax(probabilities, axis=-1))


def _wrong(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    wrong = (predicted_classes(predictions) != targets).astype(np.float64)
    return np.where(np.isnan(predictions).any(axis=-1), np.nan, wrong)


def _surprise(targets: FloatArray, predictions: FloatArray) -> FloatArray:
    """-ln of the probability of the true class, at least the smallest step of its type, as in scikit-learn."""
    classes = np.broadcast_to(np.asarray(targets, np.intp), predictions.shape[:-1])[..., None]
    shares = np.take_along_axis(predictions, classes, axis=-1)[..., 0]
    return np.asarray(-np.log(np.clip(shares, np.finfo(np.float64).eps, 1.0)))


def _missed(means: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:  # noqa: ARG001
    return 1.0 - means


def _balanced(targets: FloatArray, predictions: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over the classes that occur of the share of their rows found."""
    right = 1.0 - _wrong(targets, predictions)
    rows = np.broadcast_to(targets, weights.shape)
    shares = [_mean(right, weights * (rows == value)) for value in range(predictions.shape[-1])]
    present = [(weights * (rows == value)).sum(axis=-1) > 0 for value in range(predictions.shape[-1])]
    total = np.sum([np.where(here, share, 0.0) for here, share in zip(present, shares, strict=True)], axis=0)
    return np.asarray(total / np.sum(present, axis=0))


def _average_precision(targets: FloatArray, predictions: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over the classes that occur of the average precision of finding one among the others.

    Rows of equal probability are found together, as in scikit-learn. A constant has 1 / (number of classes that occur).
    """
    rows = np.broadcast_to(targets, weights.shape)
    total, n_present = np.zeros(len(weights)), np.zeros(len(weights))
    for value in range(predictions.shape[-1]):
        hits = weights * (rows == value)
        present = hits.sum(axis=-1) > 0
        total += np.where(present, _precision_of_one(hits, weights, predictions[..., value]), 0.0)
        n_present += present
    found = total / np.where(n_present > 0, n_present, np.nan)
    counted = weights > 0
    spoilt = (np.isnan(predictions).any(axis=-1) & counted).any(axis=-1)
    return np.where(spoilt, np.nan, found)


def _precision_of_one(hits: FloatArray, weights: FloatArray, scores: FloatArray) -> FloatArray:
    """Return sum of (gain in recall) x precision, over the different scores from the highest down."""
    order = np.argsort(-scores, axis=-1, kind="stable")
    hits, weights, scores = (np.take_along_axis(values, order, axis=-1) for values in (hits, weights, scores))
    n = scores.shape[-1]
    is_last = np.ones(scores.shape, dtype=bool)
    is_last[:, :-1] = scores[:, :-1] != scores[:, 1:]
    places = np.where(is_last, np.arange(n), n - 1)
    last = np.minimum.accumulate(places[:, ::-1], axis=-1)[:, ::-1]  # of the rows of equal score
    found, seen = (np.take_along_axis(values.cumsum(axis=-1), last, axis=-1) for values in (hits, weights))
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    return np.asarray((hits * precision).sum(axis=-1) / hits.sum(axis=-1))


def _metric(
    name: str,
    row_losses: Callable[[FloatArray, FloatArray], FloatArray],
    from_mean_loss: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
) -> Metric:
    return Metric(METRIC_WORDS[name], row_losses, from_mean_loss, _by_rows(row_losses, from_mean_loss))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _metric("rmse", _squared_errors, _root),
            _metric("mae", _absolute_errors, _itself),
            _metric("mse", _squared_errors, _itself),
            _metric("r2", _squared_errors, _explained),
            _metric("log_mse", _squared_log_errors, _itself),
            _metric("rmsle", _squared_log1p_errors, _root),
            _metric("accuracy", _wrong, _missed),
            Metric(METRIC_WORDS["balanced_accuracy"], None, None, _balanced),
            Metric(METRIC_WORDS["average_precision"], None, None, _average_precision),
            _metric("log_loss", _surprise, _itself),
        )
    }
)
"""Every metric by name: `log_mse` takes ln y, `rmsle` ln(1 + y)."""


def score_all(
    task: Task, targets: FloatArray, predictions: FloatArray, weight: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Return every metric of a task that the targets allow, (R,) each.

    Metrics of logarithms are left out where a target has none. For the arguments see `Metric.score`.
    """
    return {name: METRICS[name].score(targets, predictions, weight) for name in metrics_of(task, targets)}


def metrics_of(task: Task, targets: FloatArray) -> tuple[str, ...]:
    """Return the metrics of a task that the targets allow: those of logarithms only where all have one."""
    lowest = float(np.min(targets)) if task == "regression" else math.inf
    needs = {"log_mse": 0.0, "rmsle": -1.0}
    return tuple(
        name for name, metric in METRICS.items() if metric.task == task and lowest > needs.get(name, -math.inf)
    )


def confusion_table(targets: FloatArray, probabilities: FloatArray) -> npt.NDArray[np.int64]:
    """Return how many rows of each true class (first axis) are taken for each class (second axis).

    Parameters
    ----------
    targets : ndarray (n,)
        Class indices.
    probabilities : ndarray (n, k)
        Of one model.

    Returns
    -------
    ndarray (k, k) of int
    """
    k = probabilities.shape[-1]
    cells = np.asarray(targets, np.int64) * k + predicted_classes(probabilities)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


# Goals


@dataclass(frozen=True, slots=True)
class MetricGoal:
    """What a sweep is to reach.

    Parameters
    ----------
    metric : str
        Key in `METRICS`.
    value : float or None
        Value to be better than; None: the best baseline's.
    """

    metric: str
    value: float | None

    @property
    def text(self) -> str:
        """The goal as `parse_goal` reads it."""
        if self.value is None:
            return f"{BEAT_BASELINE} in {self.metric}"
        return f"{self.metric} {'>' if METRICS[self.metric].higher_is_better else '<'} {self.value:.15g}"


_GOAL = re.compile(r"(?P<metric>[^<>=≤≥]+?)\s*(?P<sign><=|>=|<|>|≤|≥)\s*(?P<value>[^<>=\s]+)\s*(?P<percent>%?)")


def parse_goal(text: str, task: Task) -> MetricGoal:
    """Read a goal in a user's words.

    Parameters
    ----------
    text : str
        ``"rmse < 20000"``, ``"accuracy > 95 %"``, ``"beat the best baseline"``, ``"beat the best baseline in mae"``.
    task : str
        What the target sets.

    Returns
    -------
    Goal

    Raises
    ------
    ValueError
        In one line: what was given, and what would do.
    """
    words = " ".join(text.split())
    if words.casefold().startswith(BEAT_BASELINE):
        rest = words[len(BEAT_BASELINE) :].strip()
        if not rest:
            return MetricGoal(DEFAULT_METRIC[task], None)
        if rest.casefold().startswith("in "):
            return MetricGoal(_metric_for(rest[3:], task).name, None)
    found = _GOAL.fullmatch(words)
    if found is None:
        example = "rmse < 20000" if task == "regression" else "accuracy > 0.95"
        raise ValueError(f"goal: {text!r}; expected words such as {example!r} or {BEAT_BASELINE!r}")
    metric = _metric_for(found["metric"], task)
    wanted = ">" if metric.higher_is_better else "<"
    if (found["sign"] in (">", ">=", "≥")) != metric.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        raise ValueError(
            f"goal: {text!r}: {metric.name} is better when {better}; "
            f"did you mean '{metric.name} {wanted} {found['value']}{found['percent']}'?"
        )
    return MetricGoal(metric.name, _goal_value(text, metric, found["value"], found["percent"]))


def _goal_value(text: str, metric: Metric, number: str, percent: str) -> float:
    percent, number = ("%", number[:-1]) if number.endswith("%") else (percent, number)
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        raise ValueError(f"goal: {text!r}: {number!r} is not a number; expected one such as 20000 or 0.95") from None
    is_share = metric.task == "classification" and metric.higher_is_better
    low = -math.inf if metric.name == "r2" else 0.0
    fits = low <= value < metric.highest and (value > 0 or metric.higher_is_better)
    if not math.isfinite(value) or not fits or (percent and not metric.higher_is_better):
        expected = "from 0, below 1 (or 100 %)" if is_share else "below 1" if metric.name == "r2" else "above 0"
        raise ValueError(f"goal: {text!r}; expected {metric.name} {expected}")
    return value


def _metric_for(name: str, task: Task) -> Metric:
    key = re.sub(r"[\s-]+", "_", name.strip().casefold()).replace("²", "2")
    allowed = [metric.name for metric in METRICS.values() if metric.task == task]
    if key in METRICS and key not in allowed:
        raise ValueError(
            f"goal: {key} is a metric of {METRICS[key].task}, this target sets a {task}; expected {', '.join(allowed)}"
        )
    if key not in METRICS:
        near = nearest(key, allowed, cutoff=0.0)
        raise ValueError(f"goal: unknown metric {name.strip()!r}; nearest: {near!r} (of {', '.join(allowed)})")
    return METRICS[key]
