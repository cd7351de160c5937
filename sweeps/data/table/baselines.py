"""What simple models get from the same rows: a network's score means little without them.

Each baseline learns from the inputs and targets that a fold's networks learn from (same preprocessing, same target
transform, nothing else), on one thread, and nothing is drawn at random that a fixed number does not settle: same rows,
same bytes. Settings that need choosing (ridge's penalty, logistic regression's) are chosen on training rows alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.table import NO_SPLIT
from sweeps.data.table.columns import Task
from sweeps.data.table.metrics import METRICS
from sweeps.data.table.preprocessing import TargetTransform

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[FloatArray], FloatArray]

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-3, 5, 17))
"""Ridge penalties among which the leave-one-out error of the training rows chooses."""
C_VALUES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties among which logistic regression's cross-validated log loss on training rows chooses."""
MOST_ROWS = 100_000
"""Training rows beyond this many are thinned out by a fixed draw."""
_ROWS_TO_CHOOSE = 10_000
_FEWEST_ROWS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be predicted, and by which metric.

    Parameters
    ----------
    task : str
        ``"regression"`` or ``"classification"``.
    metric : str
        Key in `sweeps.data.table.metrics.METRICS`: the best constant depends on it.
    n_classes : int
        0 for regression.
    """

    task: Task
    metric: str
    n_classes: int = 0


@dataclass(frozen=True, slots=True)
class FoldRows:
    """Rows of one fold as the networks get them.

    Parameters
    ----------
    X : ndarray (n, n_inputs)
        Preprocessed training rows.
    y : ndarray (n,)
        Their targets in the target's own unit, or class indices.
    target : TargetTransform or None
        Fitted on these rows; None for classification.
    parts : mapping of str to ndarray (m, n_inputs)
        Rows to predict, by name (``"validation"``, ``"out_of_range"``, ``"test"``); none may be empty of rows too.
    """

    X: FloatArray
    y: FloatArray
    target: TargetTransform | None
    parts: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class FoldBaseline:
    """What one baseline made of one fold.

    Parameters
    ----------
    words : str
        What was fitted, with the settings chosen, for the report.
    predictions : dict of str to ndarray (m,) or (m, n_classes)
        By part, in the target's own unit, or probabilities.
    """

    words: str
    predictions: dict[str, FloatArray]


Fit = Callable[[Problem, FloatArray, FloatArray, TargetTransform | None], tuple[str, Predict]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """One baseline.

    Parameters
    ----------
    name : str
        Key in `BASELINES`.
    titles : mapping of str to str
        What a report calls it, by task.
    fit : callable (problem, X, y, target) -> (words, predict)
        `predict` returns what `FoldBaseline.predictions` holds.
    """

    name: str
    titles: Mapping[Task, str]
    fit: Fit


def run_baseline(problem: Problem, name: str, fold: FoldRows) -> FoldBaseline:
    """Fit one baseline on a fold's training rows and predict its other rows.

    With fewer than five training rows, or only one class among them, it is the constant, and its words say so.
    """
    from threadpoolctl import threadpool_limits

    X, y = np.asarray(fold.X, np.float64), np.asarray(fold.y, np.float64)
    thinned = ""
    if len(y) > MOST_ROWS:
        kept = np.sort(np.random.default_rng(0).permutation(len(y))[:MOST_ROWS])
        thinned = f", on {MOST_ROWS:,} of {len(y):,} training rows"
        X, y = X[kept], y[kept]
    few = len(y) < _FEWEST_ROWS or len(np.unique(y)) < 2
    fit = BASELINES["constant" if few else name].fit
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        words, predict = fit(problem, X, y, fold.target)
        # scikit-learn refuses to predict no rows at all
        predictions = {part: predict(rows if len(rows) else X[:1])[: len(rows)] for part, rows in fold.parts.items()}
    if few and name != "constant":
        words += f", as the {len(y)} training rows are too few or all alike"
    if any("converge" in str(warning.message) for warning in caught):
        words += ", not fully converged"
    return FoldBaseline(words + thinned, predictions)


def best_baseline(scores: Mapping[str, Sequence[float]], metric: str) -> str:
    """Return the baseline with the best mean score over the folds; the first among equals.

    Parameters
    ----------
    scores : mapping of str to sequence of float
        Validation scores by baseline, one a fold; never those of test or out-of-range rows.
    metric : str
        Key in `sweeps.data.table.metrics.METRICS`.
    """
    record = METRICS[metric]
    best, *others = scores
    for name in others:
        if record.is_better(float(np.mean(scores[name])), float(np.mean(scores[best]))):
            best = name
    return best


def _fit_constant(problem: Problem, _: FloatArray, y: FloatArray, __: TargetTransform | None) -> tuple[str, Predict]:
    words, constant = _constant(problem, y)
    return words, lambda rows: np.broadcast_to(constant, (len(rows), *constant.shape)).copy()


def _constant(problem: Problem, y: FloatArray) -> tuple[str, FloatArray]:
    if problem.task == "classification":
        counts = np.bincount(y.astype(np.intp), minlength=problem.n_classes)
        return "the classes' shares among the training rows", counts / len(y)
    if problem.metric == "mae":
        return "the median of the training rows", np.asarray(np.median(y))
    if problem.metric == "log_mse":
        return "the geometric mean of the training rows", np.asarray(np.exp(np.log(y).mean()))
    if problem.metric == "rmsle":
        return "exp(mean of ln(1 + y)) - 1 over the training rows", np.asarray(np.expm1(np.log1p(y).mean()))
    return "the mean of the training rows", np.asarray(y.mean())


def _fit_linear(problem: Problem, X: FloatArray, y: FloatArray, target: TargetTransform | None) -> tuple[str, Predict]:
    return _fit_ridge(X, y, target) if problem.task == "regression" else _fit_logistic(problem, X, y)


def _fit_ridge(X: FloatArray, y: FloatArray, target: TargetTransform | None) -> tuple[str, Predict]:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=ALPHAS)
    predict = _learn_numbers(model, X, y, target)
    return f"ridge regression, alpha {model.alpha_:.3g}", predict


def _fit_logistic(problem: Problem, X: FloatArray, y: FloatArray) -> tuple[str, Predict]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    chosen = np.sort(np.random.default_rng(0).permutation(len(y))[:_ROWS_TO_CHOOSE])
    X_few, y_few = X[chosen], y[chosen]
    rarest = int(np.unique(y_few, return_counts=True)[1].min())
    if rarest < 2 or len(np.unique(y_few)) < 2:
        strength, words = 1.0, "C 1 (too few rows of the rarest class to choose it)"
    else:
        splits = list(StratifiedKFold(min(5, rarest)).split(X_few, y_few))
        losses = [
            np.mean([_log_loss(LogisticRegression(C=C, max_iter=300), X_few, y_few, *split) for split in splits])
            for C in C_VALUES
        ]
        strength = C_VALUES[int(np.argmin(losses))]
        words = f"C {strength:g}"
    model = LogisticRegression(C=strength, max_iter=3000).fit(X, y)
    return f"logistic regression, {words}", _shares_of_all(model, problem.n_classes)


def _log_loss(model: Any, X: FloatArray, y: FloatArray, train: Any, validation: Any) -> float:
    model.fit(X[train], y[train])
    classes = np.searchsorted(model.classes_, y[validation]).astype(np.float64)
    return float(METRICS["log_loss"].score(classes, model.predict_proba(X[validation])[None])[0])


def _fit_boosting(
    problem: Problem, X: FloatArray, y: FloatArray, target: TargetTransform | None
) -> tuple[str, Predict]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    words = "histogram gradient boosting, 100 trees of at most 31 leaves"
    if problem.task == "regression":
        regressor = HistGradientBoostingRegressor(random_state=0, early_stopping=False)
        predict = _learn_numbers(regressor, X, y, target)
        leaf = regressor.min_samples_leaf
    else:
        words += " a class" if problem.n_classes > 2 else ""
        classifier = HistGradientBoostingClassifier(random_state=0, early_stopping=False).fit(X, y)
        predict, leaf = _shares_of_all(classifier, problem.n_classes), classifier.min_samples_leaf
    if np.ptp(predict(X), axis=0).max() == 0:
        words += f": no split leaves {leaf} of the {len(y)} training rows on both sides, so that it {NO_SPLIT}"
    return words, predict


def _learn_numbers(model: Any, X: FloatArray, y: FloatArray, target: TargetTransform | None) -> Predict:
    """Fit a regression to the transformed target and return its predictions in the target's own unit."""
    if target is None:
        model.fit(X, y)
        return lambda rows: np.asarray(model.predict(rows), np.float64)
    model.fit(X, target.forward(y))
    return lambda rows: target.inverse(np.asarray(model.predict(rows), np.float64))


def _shares_of_all(model: Any, n_classes: int) -> Predict:
    """Return the probabilities of all classes, 0 for those that the training rows do not have."""
    seen = model.classes_.astype(np.intp)

    def predict(rows: FloatArray) -> FloatArray:
        shares = np.zeros((len(rows), n_classes))
        shares[:, seen] = model.predict_proba(rows)
        return shares

    return predict


def _both(title: str) -> Mapping[Task, str]:
    return MappingProxyType({"regression": title, "classification": title})


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        baseline.name: baseline
        for baseline in (
            Baseline("constant", _both("constant"), _fit_constant),
            Baseline(
                "linear",
                MappingProxyType({"regression": "ridge regression", "classification": "logistic regression"}),
                _fit_linear,
            ),
            Baseline("boosting", _both("gradient boosting"), _fit_boosting),
        )
    }
)
"""Baselines by name, the simplest first."""
