"""What one look at the test rows shows, and what it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss, root_mean_squared_error

from analysis.statistics.intervals import upper_bound
from sweeps.data.table.judging import Units, ensemble_of, judge_test_rows
from sweeps.data.table.metrics import MetricGoal

RNG = np.random.default_rng(4)
Y = RNG.normal(10.0, 2.0, 120)
GOOD = Y + RNG.normal(0.0, 0.5, (4, 120))
BAD = Y + RNG.normal(0.0, 1.5, 120)
CLASSES = RNG.integers(0, 3, 200).astype(np.float64)


def shares(y: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return probabilities whose largest is that of the true class where `right`, else of the next one."""
    chosen = np.where(right, y, (y + 1) % 3).astype(int)
    out = np.full((len(y), 3), 0.2)
    out[np.arange(len(y)), chosen] = 0.6
    return out


def judged(
    goal: MetricGoal, y: np.ndarray, predictions: np.ndarray, other: np.ndarray, task: str = "regression"
) -> dict:
    return judge_test_rows(goal, task, y, predictions, {"linear": other}, "linear", 0.05, 1)  # type: ignore[arg-type]


def test_replicas_are_averaged_and_diverged_ones_left_out() -> None:
    predictions = np.array([[1.0, 2.0], [3.0, 6.0], [np.inf, 0.0]])
    np.testing.assert_array_equal(ensemble_of(predictions), [2.0, 4.0])
    assert not np.isfinite(ensemble_of(predictions[2:])).all()


def test_the_rmse_and_its_bound_come_from_the_rows() -> None:
    result = judged(MetricGoal("rmse", 1.0), Y, GOOD, BAD)
    network = GOOD.mean(axis=0)
    assert result["value"] == pytest.approx(root_mean_squared_error(Y, network), rel=1e-12)
    assert result["bound"] == pytest.approx(math.sqrt(upper_bound(((network - Y) ** 2).tolist(), 0.95)), rel=1e-12)
    assert result["passed"]
    assert not judged(MetricGoal("rmse", result["bound"]), Y, GOOD, BAD)["passed"]  # strictly below
    assert result["scores"]["mae"] == pytest.approx(np.abs(network - Y).mean(), rel=1e-12)


def test_against_a_baseline_the_rows_are_paired() -> None:
    result = judged(MetricGoal("rmse", None), Y, GOOD, BAD)
    found = result["comparisons"]["linear"]
    differences = (GOOD.mean(axis=0) - Y) ** 2 - (BAD - Y) ** 2
    interval = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    assert found["bound"] >= stats.ttest_1samp(differences, 0.0).confidence_interval(0.9).high - 1e-12
    assert result["passed"]
    worse = judged(MetricGoal("rmse", None), Y, BAD[None], GOOD.mean(axis=0))
    assert not worse["passed"]
    assert worse["comparisons"]["linear"]["difference"] == pytest.approx(-found["difference"])


def test_an_equal_model_is_not_better() -> None:
    assert not judged(MetricGoal("rmse", None), Y, BAD[None], BAD)["passed"]


def test_accuracy_is_bounded_exactly() -> None:
    right = np.arange(200) >= 7
    result = judged(
        MetricGoal("accuracy", 0.93), CLASSES, shares(CLASSES, right)[None], shares(CLASSES, right), "classification"
    )
    assert result["value"] == pytest.approx(accuracy_score(CLASSES, np.where(right, CLASSES, (CLASSES + 1) % 3)))
    interval = stats.binomtest(7, 200).proportion_ci(0.9, "exact")
    assert result["bound"] == pytest.approx(1 - interval.high)
    assert result["passed"] == (1 - interval.high > 0.93)
    np.testing.assert_array_equal(
        result["confusion"], confusion_matrix(CLASSES, np.where(right, CLASSES, (CLASSES + 1) % 3))
    )


@pytest.mark.parametrize(("n_better", "n_worse"), [(1, 0), (4, 0), (5, 0), (8, 1), (12, 5), (3, 9)])
def test_a_better_classifier_is_shown_by_the_rows_on_which_the_two_disagree(n_better: int, n_worse: int) -> None:
    """One row in thirty is luck: the exact sign test decides, as McNemar's."""
    theirs, ours = np.ones(200, bool), np.ones(200, bool)
    theirs[:n_better] = False
    ours[n_better : n_better + n_worse] = False
    result = judged(
        MetricGoal("accuracy", None), CLASSES, shares(CLASSES, ours)[None], shares(CLASSES, theirs), "classification"
    )
    p = stats.binomtest(n_better, n_better + n_worse, 0.5, alternative="greater").pvalue
    assert result["passed"] == (p <= 0.05)


def test_log_loss_is_scikit_learns() -> None:
    probabilities = RNG.dirichlet(np.ones(3), 200)
    result = judged(MetricGoal("log_loss", 5.0), CLASSES, probabilities[None], probabilities, "classification")
    assert result["value"] == pytest.approx(log_loss(CLASSES, probabilities))


def test_balanced_accuracy_is_bounded_class_by_class() -> None:
    right = np.arange(200) % 10 > 0
    guess = np.where(right, CLASSES, (CLASSES + 1) % 3)
    network, other = shares(CLASSES, right), shares(CLASSES, np.arange(200) % 3 > 0)
    result = judged(MetricGoal("balanced_accuracy", 0.8), CLASSES, network[None], other, "classification")
    assert result["value"] == pytest.approx(balanced_accuracy_score(CLASSES, guess))
    assert 0.8 < result["bound"] < result["value"]
    assert result["passed"]
    assert judged(MetricGoal("balanced_accuracy", None), CLASSES, network[None], other, "classification")["passed"]
    few = np.array([0.0] * 40 + [1.0] * 3)  # three rows of a class, all found: little is known of it
    perfect = judged(
        MetricGoal("balanced_accuracy", 0.9),
        few,
        shares(few, few >= 0)[None, :, :],
        shares(few, few < 0),
        "classification",
    )
    assert perfect["value"] == 1.0
    assert perfect["bound"] < 0.75
    assert not perfect["passed"]


def test_better_than_the_best_baseline_is_better_than_every_one() -> None:
    """The best in the folds is clearly beaten, another one ties on these rows: nothing is certified."""
    tie = GOOD.mean(axis=0)
    result = judge_test_rows(
        MetricGoal("rmse", None), "regression", Y, GOOD, {"linear": BAD, "boosting": tie}, "linear", 0.05, 1
    )
    assert result["comparisons"]["linear"]["bound"] < 0
    assert not result["passed"]
    assert (result["against"], result["best_here"]) == ("linear", "boosting")
    clear = judge_test_rows(
        MetricGoal("rmse", None), "regression", Y, GOOD, {"linear": BAD, "boosting": BAD + 0.5}, "linear", 0.05, 1
    )
    assert clear["passed"]


def test_where_a_baseline_is_as_good_as_the_network_at_most_the_level_is_certified() -> None:
    """Planted truth: networks and one baseline have the same error law, two others are far worse."""
    rng = np.random.default_rng(11)
    n_passed = 0
    for _ in range(400):
        y = rng.normal(size=60)
        network, equal = (y + rng.normal(0.0, 1.0, 60) for _ in range(2))
        others = {"constant": np.zeros(60) + 9.0, "linear": y + rng.normal(0.0, 3.0, 60), "boosting": equal}
        n_passed += judge_test_rows(
            MetricGoal("rmse", None), "regression", y, network[None], others, "linear", 0.05, 1
        )["passed"]
    assert n_passed <= stats.binom.ppf(0.999, 400, 0.05)
    assert n_passed > 0


def test_test_rows_are_scored_in_range_and_out_of_range_beside_the_total() -> None:
    beyond = np.arange(120) >= 90
    sides = {"test_in_range": ~beyond, "test_out_of_range": beyond}
    result = judge_test_rows(
        MetricGoal("rmse", 1.0), "regression", Y, GOOD, {"linear": BAD}, "linear", 0.05, 1, sides=sides
    )
    for part, rows in {"test": np.ones(120, bool), **sides}.items():
        found = result["parts"]["network"][part]
        assert found["n_rows"] == rows.sum()
        expected = root_mean_squared_error(Y[rows], GOOD.mean(axis=0)[rows])
        assert found["scores"]["rmse"]["value"] == pytest.approx(expected, rel=1e-12)
        assert result["parts"]["linear"][part]["scores"]["rmse"]["value"] == pytest.approx(
            root_mean_squared_error(Y[rows], BAD[rows])
        )


def test_groups_and_not_rows_are_the_unit_where_rows_hang_together() -> None:
    """Eight copies of each row: the interval is that of one row each."""
    y, network, other = (np.repeat(values, 8) for values in (Y[:15], GOOD[0, :15], BAD[:15]))
    groups = np.repeat(np.arange(15), 8)
    copied = judge_test_rows(
        MetricGoal("rmse", None),
        "regression",
        y,
        network[None],
        {"linear": other},
        "linear",
        0.05,
        1,
        Units(groups, "groups"),
    )
    once = judge_test_rows(
        MetricGoal("rmse", None), "regression", Y[:15], GOOD[:1, :15], {"linear": BAD[:15]}, "linear", 0.05, 1
    )
    for key in ("difference", "low", "high", "bound", "n_units"):
        assert copied["comparisons"]["linear"][key] == pytest.approx(once["comparisons"]["linear"][key])
    assert (copied["low"], copied["high"]) == pytest.approx((once["low"], once["high"]))
    assert (copied["n_rows"], copied["n_units"], copied["units"]) == (120, 15, "groups")


def test_predictions_that_are_not_finite_show_nothing() -> None:
    result = judged(MetricGoal("rmse", 1e9), Y, np.full((2, 120), np.inf), BAD)
    assert result["value"] is None
    assert result["bound"] is None
    assert not result["passed"]


def test_one_row_shows_nothing() -> None:
    assert not judged(MetricGoal("rmse", None), Y[:1], GOOD[:, :1], BAD[:1])["passed"]
