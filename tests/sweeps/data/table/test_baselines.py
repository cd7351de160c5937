"""Baselines against scikit-learn's models fitted by hand, hand-worked constants, and rows too few to learn from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import Ridge

from sweeps.data.table.baselines import (
    ALPHAS,
    BASELINES,
    MOST_ROWS,
    FoldBaseline,
    FoldRows,
    Problem,
    best_baseline,
    run_baseline,
)
from sweeps.data.table.metrics import METRICS
from sweeps.data.table.preprocessing import TargetTransform

LOG = TargetTransform("log")


def fitted(problem: Problem, folds: list[FoldRows]) -> dict[str, list[FoldBaseline]]:
    return {name: [run_baseline(problem, name, fold) for fold in folds] for name in BASELINES}


def fold(X, y, n_train, target=None, **parts):
    center, scale = X[:n_train].mean(0), X[:n_train].std(0)
    X = (X - center) / np.where(scale > 0, scale, 1)
    return FoldRows(X[:n_train], y[:n_train], target, {"validation": X[n_train:], **parts}), y[n_train:]


def shuffled(loaded, seed=0):
    order = np.random.default_rng(seed).permutation(len(loaded.target))
    return loaded.data[order], loaded.target[order].astype(float)


def test_diabetes_scores_are_what_scikit_learn_users_know():
    rows, y = fold(*shuffled(load_diabetes()), 353)
    found = fitted(Problem("regression", "rmse"), [rows])
    r2 = {name: METRICS["r2"].score(y, one[0].predictions["validation"][None])[0] for name, one in found.items()}
    assert r2["constant"] == pytest.approx(0, abs=0.05)
    for name in ("linear", "boosting"):
        assert 0.3 < r2[name] < 0.6


def test_ridge_is_the_one_whose_leave_one_out_error_is_lowest():
    X, y = shuffled(load_diabetes())
    rows, _ = fold(X[:60], y[:60], 50, LOG)
    found = fitted(Problem("regression", "rmse"), [rows])["linear"][0]

    def left_out(alpha):
        errors = []
        for i in range(50):
            others = np.arange(50) != i
            model = Ridge(alpha).fit(rows.X[others], np.log(rows.y[others]))
            errors.append(np.log(rows.y[i]) - model.predict(rows.X[i : i + 1])[0])
        return np.mean(np.square(errors))

    alpha = min(ALPHAS, key=left_out)
    assert found.words == f"ridge regression, alpha {alpha:.3g}"
    expected = np.exp(Ridge(alpha).fit(rows.X, np.log(rows.y)).predict(rows.parts["validation"]))
    np.testing.assert_allclose(found.predictions["validation"], expected, rtol=1e-9)


@pytest.mark.parametrize(("load", "lowest"), [(load_breast_cancer, 0.93), (load_wine, 0.88), (load_iris, 0.86)])
def test_classifiers_reach_what_these_sets_are_known_for(load, lowest):
    X, y = shuffled(load())
    n_train = 4 * len(y) // 5
    rows, y_validation = fold(X, y, n_train)
    n_classes = len(np.unique(y))
    found = fitted(Problem("classification", "accuracy", n_classes), [rows])
    for name in ("linear", "boosting"):
        shares = found[name][0].predictions["validation"]
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert METRICS["accuracy"].score(y_validation, shares[None])[0] >= lowest, name
    shares = found["constant"][0].predictions["validation"]
    np.testing.assert_array_equal(shares[0], np.bincount(y[:n_train].astype(int)) / n_train)


@pytest.mark.parametrize(
    ("metric", "constant"),
    [("rmse", 4.25), ("mse", 4.25), ("r2", 4.25), ("mae", 3.0), ("log_mse", 80**0.25), ("rmsle", 330**0.25 - 1)],
)
def test_no_other_constant_has_a_lower_loss_on_the_training_rows(metric, constant):
    y = np.array([1.0, 2.0, 4.0, 10.0])
    rows = FoldRows(np.zeros((4, 1)), y, LOG, {"validation": np.zeros((2, 1))})
    found = fitted(Problem("regression", metric), [rows])["constant"][0]
    np.testing.assert_allclose(found.predictions["validation"], [constant] * 2)
    around = constant + np.array([[-0.01], [0.0], [0.01]])
    losses = METRICS[metric].row_losses(y, np.broadcast_to(around, (3, 4))).mean(axis=1)
    assert losses.argmin() == 1 or losses[1] == pytest.approx(losses.min())  # any number between the middle two for mae


@pytest.mark.parametrize(
    ("y", "n_classes", "words"),
    [
        ([3.0], 0, "the mean of the training rows, as the 1 training rows are too few or all alike"),
        ([3.0] * 9, 0, "the mean of the training rows, as the 9 training rows are too few or all alike"),
        ([1] * 8, 3, "the classes' shares among the training rows, as the 8 training rows are too few or all alike"),
    ],
)
def test_rows_too_few_or_all_alike_give_the_constant_and_say_so(y, n_classes, words):
    task, metric = ("classification", "accuracy") if n_classes else ("regression", "rmse")
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    rows = FoldRows(X, np.array(y, float), None, {"validation": X, "out_of_range": X[:0]})
    found = fitted(Problem(task, metric, n_classes), [rows])
    for name in ("linear", "boosting"):
        assert found[name][0].words == words
        for part, predicted in found[name][0].predictions.items():
            np.testing.assert_array_equal(predicted, found["constant"][0].predictions[part])


def test_a_class_without_training_rows_gets_probability_zero_and_parts_may_be_empty():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 3))
    y = np.where(X[:, 0] > 0, 3.0, 1.0)
    y[0] = 0.0  # one row only: nothing to choose a penalty with
    rows = FoldRows(X, y, None, {"validation": X, "out_of_range": X[:0]})
    found = fitted(Problem("classification", "log_loss", 4), [rows])
    assert found["linear"][0].words == "logistic regression, C 1 (too few rows of the rarest class to choose it)"
    for one in found.values():
        shares = one[0].predictions["validation"]
        assert shares.shape == (40, 4)
        assert (shares[:, 2] == 0).all()
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert one[0].predictions["out_of_range"].shape == (0, 4)


def test_constant_and_repeated_inputs_do_no_harm():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30, 2))
    X = np.hstack([X, X, np.zeros((30, 1))])
    found = fitted(Problem("regression", "rmse"), [FoldRows(X, X[:, 0], None, {"validation": X})])
    np.testing.assert_allclose(found["linear"][0].predictions["validation"], X[:, 0], atol=1e-2)


def test_same_rows_same_bytes_with_any_number_of_threads():
    from threadpoolctl import threadpool_limits

    rows, _ = fold(*shuffled(load_breast_cancer()), 400)
    problem = Problem("classification", "accuracy", 2)
    once = fitted(problem, [rows])
    with threadpool_limits(limits=2):
        again = fitted(problem, [rows])
    for name in BASELINES:
        first, second = once[name][0], again[name][0]
        assert first.words == second.words
        assert first.predictions["validation"].tobytes() == second.predictions["validation"].tobytes()


def test_many_rows_are_thinned_out_and_this_is_told():
    X = np.arange(MOST_ROWS + 5, dtype=float)[:, None] / MOST_ROWS
    rows = FoldRows(X, X[:, 0], None, {"validation": X[:2]})
    found = fitted(Problem("regression", "rmse"), [rows])
    assert found["linear"][0].words.endswith("on 100,000 of 100,005 training rows")


def test_best_baseline_is_best_by_the_mean_over_the_folds():
    scores = {"constant": [3.0, 3.0], "linear": [1.0, 4.0], "boosting": [2.0, 3.0]}
    assert best_baseline(scores, "rmse") == "linear"  # the first among equals
    assert best_baseline(scores, "r2") == "constant"


@pytest.mark.parametrize(("task", "load"), [("regression", load_diabetes), ("classification", load_iris)])
def test_boosting_that_cannot_split_says_that_it_equals_a_constant(task, load):
    X, y = shuffled(load())
    n_classes = len(np.unique(y)) if task == "classification" else 0
    problem = Problem(task, "rmse" if task == "regression" else "accuracy", n_classes)
    rows, _ = fold(X[:60], y[:60], 32)
    few = fitted(problem, [rows])["boosting"][0]
    told = "no split leaves 20 of the 32 training rows on both sides, so that it equals a constant"
    assert few.words.endswith(f": {told}")
    assert np.ptp(few.predictions["validation"], axis=0).max() == 0
    more = fitted(problem, [fold(X[:100], y[:100], 80)[0]])["boosting"][0]
    assert "constant" not in more.words
    assert np.ptp(more.predictions["validation"], axis=0).max() > 0
