import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_friedman1, make_regression
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from engine.estimator import MLPClassifier, MLPRegressor


@parametrize_with_checks([MLPRegressor(n_replicas=3), MLPClassifier(n_replicas=3)])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def friedman() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_friedman1(300, noise=0.3, random_state=0)
    return X, (y - y.mean()) / y.std()


def test_regressor_learns_in_a_pipeline(friedman: tuple[np.ndarray, np.ndarray]) -> None:
    model = make_pipeline(StandardScaler(), MLPRegressor((16,), max_epochs=60, l2=1e-3, random_state=0))
    assert cross_val_score(model, *friedman, cv=3).min() > 0.8


def test_classifier_learns_and_names_its_classes() -> None:
    iris = load_iris(as_frame=True)
    labels = iris.target_names[iris.target]
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_epochs=40, random_state=0)).fit(iris.data, labels)
    assert model.score(iris.data, labels) > 0.95
    assert model[-1].classes_.tolist() == ["setosa", "versicolor", "virginica"]
    shares = model.predict_proba(iris.data)
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_grid_search_finds_that_xor_needs_hidden_units() -> None:
    X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    search = GridSearchCV(
        MLPClassifier(max_epochs=60, n_replicas=2, random_state=0), {"hidden_layer_sizes": [(), (8,)]}, cv=2
    )
    assert search.fit(X, X[:, 0] * X[:, 1] > 0).best_params_ == {"hidden_layer_sizes": (8,)}


def test_spread_grows_outside_the_range_of_the_data() -> None:
    X = np.linspace(-1, 1, 60)[:, None]
    model = MLPRegressor((16,), activation="tanh", n_replicas=8, max_epochs=80, random_state=1).fit(
        X, np.sin(3 * X[:, 0])
    )
    mean, spread = model.predict(np.array([[0.0], [6.0]]), return_std=True)
    replicas = model.predict_replicas(np.array([[0.0], [6.0]]))
    assert replicas.shape == (8, 2)
    np.testing.assert_allclose(mean, replicas.mean(axis=0))
    np.testing.assert_allclose(spread, replicas.std(axis=0))
    assert spread[1] > 3 * spread[0]


def test_more_replicas_keep_the_first_ones(friedman: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = friedman
    few, many = (MLPRegressor((8,), n_replicas=R, max_epochs=3, random_state=5).fit(X, y) for R in (2, 5))
    np.testing.assert_array_equal(few.predict_replicas(X), many.predict_replicas(X)[:2])


def test_several_targets() -> None:
    X, Y = make_regression(100, 4, n_targets=3, random_state=0)
    model = MLPRegressor((), learning_rate=0.1, max_epochs=200, n_replicas=2, random_state=0)
    model.fit(X, Y / 100)
    assert model.predict(X).shape == (100, 3)
    assert model.score(X, Y / 100) > 0.99


def test_early_stopping_keeps_the_best_epoch(friedman: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = friedman
    model = MLPRegressor((32,), early_stopping=True, patience=3, learning_rate=0.05, max_epochs=200, random_state=0)
    model.fit(X[:60], y[:60])
    assert model.n_epochs_ < 200
    assert model.loss_curve_.shape == (model.n_epochs_, 8)


def test_feature_names_are_kept_and_checked() -> None:
    frame = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
    model = MLPRegressor((2,), max_epochs=1, random_state=0).fit(frame, [0.0, 1, 2, 3])
    assert model.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "c"}))


def test_clone_and_pickle_predict_the_same(friedman: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = friedman
    model = MLPRegressor((4,), max_epochs=2, n_replicas=2, random_state=0).fit(X, y)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    np.testing.assert_array_equal(model.predict(X), pickle.loads(pickle.dumps(model)).predict(X))


def test_diverged_replicas_are_left_out_and_all_diverged_is_an_error(friedman: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = friedman
    with pytest.raises(ValueError, match=r"^learning_rate: 1000.0 made every replica diverge; give a smaller one"):
        MLPRegressor(optimizer="sgd", learning_rate=1000.0, activation="linear", max_epochs=40, random_state=0).fit(
            X, y
        )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_replicas": 0}, "^n_replicas: 0; give a whole number, at least 1$"),
        ({"batch_size": 0}, "^batch_size: 0; give a whole number, at least 1$"),
        ({"activation": "rleu"}, r"^network.activation: unknown 'rleu'; did you mean 'relu'\?$"),
        (
            {"early_stopping": True, "validation_fraction": 0.0},
            "^validation_fraction: 0.0; give a finite number above 0",
        ),
    ],
)
def test_bad_settings_are_refused_in_fit(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**setting).fit(np.zeros((4, 1)), np.zeros(4))


def test_sample_weights_give_the_weighted_least_squares_line() -> None:
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(60, 2)), rng.uniform(0, 3, 60)
    y = X @ [1.0, -2.0] + np.where(X[:, 0] > 0, 1.0, 0.0)
    model = MLPRegressor((), learning_rate=0.02, batch_size=60, max_epochs=1500, n_replicas=2, random_state=0)
    model.fit(X, y, sample_weight=weight)
    expected = LinearRegression().fit(X, y, weight)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), atol=1e-6)
    assert np.abs(model.predict(X) - LinearRegression().fit(X, y).predict(X)).max() > 0.01


def test_the_curve_and_early_stopping_use_the_weights() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 1))
    wrong = np.arange(80) % 4 == 0
    y = np.where(wrong, 50.0, X[:, 0])  # rows that must not count
    model = MLPRegressor((), learning_rate=0.05, max_epochs=300, early_stopping=True, n_replicas=2, random_state=0)
    model.fit(X, y, sample_weight=np.where(wrong, 0.0, 2.0))
    assert model.loss_curve_[-1].max() < 0.05
    np.testing.assert_allclose(model.predict(X), X[:, 0], atol=0.3)


@pytest.mark.parametrize(
    ("weight", "settings", "message"),
    [
        ([0.0] * 6, {}, "Sample weights must contain at least one non-zero number"),
        ([1.0, -1, 1, 1, 1, 1], {}, "Negative values in data passed to `sample_weight`"),
        ([1.0] * 5, {}, r"sample_weight.shape == \(5,\), expected \(6,\)"),
        (
            [0.0, 0, 0, 0, 0, 1],
            {"early_stopping": True, "validation_fraction": 0.5},
            "^sample_weight: only zeros among the (training|validation) points; give more points a weight above 0$",
        ),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weight: list[float], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(random_state=0, **settings).fit(np.arange(6.0)[:, None], np.arange(6.0), sample_weight=weight)
