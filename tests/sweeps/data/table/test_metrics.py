"""Metrics against scikit-learn's; goals in a user's words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.records.metric_words import METRIC_WORDS
from sweeps.data.table.metrics import METRICS, MetricGoal, confusion_table, parse_goal, score_all

ORACLES = {
    "rmse": oracle.root_mean_squared_error,
    "mae": oracle.mean_absolute_error,
    "mse": oracle.mean_squared_error,
    "r2": oracle.r2_score,
    "log_mse": lambda y, p, sample_weight: oracle.mean_squared_error(np.log(y), np.log(p), sample_weight=sample_weight),
    "rmsle": oracle.root_mean_squared_log_error,
    "accuracy": lambda y, p, sample_weight: oracle.accuracy_score(y, p.argmax(1), sample_weight=sample_weight),
    "balanced_accuracy": lambda y, p, sample_weight: oracle.balanced_accuracy_score(
        y, p.argmax(1), sample_weight=sample_weight
    ),
    "average_precision": lambda y, p, sample_weight: np.mean(
        [
            oracle.average_precision_score(y == value, p[:, int(value)], sample_weight=sample_weight)
            for value in np.unique(y if sample_weight is None else y[sample_weight > 0])
        ]
    ),
    "log_loss": lambda y, p, sample_weight: oracle.log_loss(
        y, p, labels=range(p.shape[1]), sample_weight=sample_weight
    ),
}


def rows(task, seed, n_replicas=3, n=23, k=4):
    rng = np.random.default_rng(seed)
    if task == "regression":
        return rng.uniform(1, 5, n), rng.uniform(1, 5, (n_replicas, n))
    shares = rng.gamma(1.0, size=(n_replicas, n, k))
    return rng.integers(0, k, n).astype(float), shares / shares.sum(axis=-1, keepdims=True)


def test_every_metric_has_an_oracle():
    assert list(ORACLES) == list(METRICS) == list(METRIC_WORDS)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_metric_equals_scikit_learns(name, weighted):
    y, predictions = rows(METRICS[name].task, 5)
    weight = np.random.default_rng(8).integers(0, 4, predictions.shape[:2]).astype(float) if weighted else None
    found = METRICS[name].score(y, predictions, weight)
    expected = [
        ORACLES[name](y, one, sample_weight=None if weight is None else weight[r]) for r, one in enumerate(predictions)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", [m.name for m in METRICS.values() if m.row_losses])
def test_mean_of_row_losses_settles_the_metric(name):
    metric = METRICS[name]
    y, predictions = rows(metric.task, 9)
    losses = metric.row_losses(y, predictions)
    assert losses.shape == predictions.shape[:2]
    means = losses.mean(axis=1)
    np.testing.assert_allclose(
        metric.from_mean_loss(means, y, np.ones_like(losses)), metric.score(y, predictions), rtol=1e-12
    )


@pytest.mark.parametrize("name", METRICS)
def test_replicas_may_have_their_own_rows_and_rows_without_weight_say_nothing(name):
    metric = METRICS[name]
    y, predictions = rows(metric.task, 2)
    own = np.stack([y, y[::-1], y])
    weight = np.ones(predictions.shape[:2])
    weight[:, 20:] = 0
    spoiled = predictions.copy()
    spoiled[:, 20:] = np.nan
    expected = [metric.score(own[r, :20], predictions[r : r + 1, :20])[0] for r in range(3)]
    np.testing.assert_allclose(metric.score(own, spoiled, weight), expected, rtol=1e-12)


@given(st.integers(0, 10_000), st.sampled_from(sorted(METRICS)))
@settings(max_examples=60, deadline=None)
def test_as_loss_orders_as_is_better_does(seed, name):
    metric = METRICS[name]
    y, predictions = rows(metric.task, seed, n_replicas=2)
    a, b = metric.score(y, predictions).tolist()
    assert metric.is_better(a, b) == (metric.as_loss(a) < metric.as_loss(b))
    assert not metric.is_better(math.nan, a)
    assert a <= metric.words.highest


def test_hand_worked_classification():
    y = np.array([0, 0, 0, 1.0])
    p = np.array([[[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2]]])
    scores = score_all("classification", y, p)
    assert scores["accuracy"] == 0.75  # a tie goes to the first class
    assert scores["balanced_accuracy"] == 0.5  # (3/3 + 0/1) / 2
    assert scores["log_loss"][0] == pytest.approx(-math.log(0.9 * 0.6 * 0.5 * 0.2) / 4)
    assert confusion_table(y, p[0]).tolist() == [[3, 0], [1, 0]]


@pytest.mark.parametrize("k", [2, 3])
def test_average_precision_takes_equal_scores_together_and_a_constant_has_one_of_k(k):
    rng = np.random.default_rng(6)
    y = rng.integers(0, k, 80).astype(float)
    p = np.round(rng.dirichlet(np.ones(k), (2, 80)), 1)
    expected = [ORACLES["average_precision"](y, one, None) for one in p]
    np.testing.assert_allclose(METRICS["average_precision"].score(y, p), expected, rtol=1e-12)
    rare = np.array([0.0] * 97 + [1.0] * 2 + [k - 1.0])
    share = len(np.unique(rare))
    constant = np.broadcast_to(np.linspace(0.1, 0.9, k), (1, 100, k))
    assert METRICS["average_precision"].score(rare, constant)[0] == pytest.approx(1 / share)


def test_confusion_table_equals_scikit_learns():
    y, p = rows("classification", 3, n=200)
    np.testing.assert_array_equal(confusion_table(y, p[1]), oracle.confusion_matrix(y, p[1].argmax(1)))


def test_a_prediction_without_a_logarithm_is_infinitely_wrong_and_one_that_is_no_number_stays_so():
    y = np.array([1.0, 2.0])
    assert METRICS["log_mse"].score(y, np.array([[0.0, 2.0]]))[0] == math.inf
    assert METRICS["rmsle"].score(y, np.array([[-1.0, 2.0]]))[0] == math.inf
    assert math.isnan(METRICS["log_mse"].score(y, np.array([[np.nan, 2.0]]))[0])
    assert math.isnan(METRICS["accuracy"].score(y, np.full((1, 2, 3), np.nan))[0])


def test_targets_without_a_logarithm_leave_its_metrics_out():
    y = np.array([0.0, 2.0, 3.0])
    predictions = np.array([[1.0, 2.0, 2.0]])
    assert set(score_all("regression", y, predictions)) == {"rmse", "mae", "mse", "r2", "rmsle"}
    with pytest.raises(ValueError, match=r"^log_mse: a target of 0 has no logarithm; expected all above 0$"):
        METRICS["log_mse"].score(y, predictions)


def test_r2_of_targets_that_do_not_vary_is_not_a_number():
    assert math.isnan(METRICS["r2"].score(np.array([2.0, 2.0]), np.array([[1.0, 2.0]]))[0])


@pytest.mark.parametrize(
    ("text", "task", "goal"),
    [
        ("rmse < 20000", "regression", MetricGoal("rmse", 20000.0)),
        ("RMSE<2e4", "regression", MetricGoal("rmse", 20000.0)),
        ("log mse <= 0.0158", "regression", MetricGoal("log_mse", 0.0158)),
        ("R² > 0.5", "regression", MetricGoal("r2", 0.5)),
        ("r2 > -1", "regression", MetricGoal("r2", -1.0)),
        ("accuracy > 0.95", "classification", MetricGoal("accuracy", 0.95)),
        ("accuracy ≥ 95 %", "classification", MetricGoal("accuracy", 0.95)),
        ("balanced-accuracy > 80%", "classification", MetricGoal("balanced_accuracy", 0.8)),
        ("log_loss < 0.3", "classification", MetricGoal("log_loss", 0.3)),
        ("beat the best baseline", "regression", MetricGoal("rmse", None)),
        (" Beat the best  baseline ", "classification", MetricGoal("accuracy", None)),
        ("beat the best baseline in log_mse", "regression", MetricGoal("log_mse", None)),
    ],
)
def test_goal_in_words(text, task, goal):
    assert parse_goal(text, task) == goal
    assert parse_goal(goal.text, task) == goal


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (
            "rmse > 3",
            "regression",
            "goal: 'rmse > 3': rmse is better when lower; did you mean 'rmse < 3'?",
        ),
        (
            "accuracy < 95%",
            "classification",
            "goal: 'accuracy < 95%': accuracy is better when higher; did you mean 'accuracy > 95%'?",
        ),
        (
            "rsme < 3",
            "regression",
            "goal: unknown metric 'rsme'; nearest: 'rmse' (of rmse, mae, mse, r2, log_mse, rmsle)",
        ),
        (
            "accuracy > 0.9",
            "regression",
            "goal: accuracy is a metric of classification, this target sets a regression; "
            "expected rmse, mae, mse, r2, log_mse, rmsle",
        ),
        (
            "rmse < cheap",
            "regression",
            "goal: 'rmse < cheap': 'cheap' is not a number; expected one such as 20000 or 0.95",
        ),
        ("rmse < -1", "regression", "goal: 'rmse < -1'; expected rmse above 0"),
        ("rmse < 5 %", "regression", "goal: 'rmse < 5 %'; expected rmse above 0"),
        ("mae < nan", "regression", "goal: 'mae < nan'; expected mae above 0"),
        ("accuracy > 95", "classification", "goal: 'accuracy > 95'; expected accuracy from 0, below 1 (or 100 %)"),
        ("r2 > 1", "regression", "goal: 'r2 > 1'; expected r2 below 1"),
        (
            "good",
            "classification",
            "goal: 'good'; expected words such as 'accuracy > 0.95' or 'beat the best baseline'",
        ),
        (
            "beat the best baseline by far",
            "regression",
            "goal: 'beat the best baseline by far'; expected words such as 'rmse < 20000' or 'beat the best baseline'",
        ),
        ("", "regression", "goal: ''; expected words such as 'rmse < 20000' or 'beat the best baseline'"),
    ],
)
def test_a_goal_that_cannot_be_meant_is_refused_in_one_line(text, task, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        parse_goal(text, task)
    assert str(caught.value) == message
