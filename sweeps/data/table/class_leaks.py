"""Columns that give a class away: a recoding, a threshold on a number, two columns whose difference decides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sweeps.data.table.columns import Target
from sweeps.data.table.leak_columns import (
    MOST_NUMBERS,
    N_FOLDS,
    LeakColumns,
    balanced_error,
    fold_numbers,
    joined,
    rest_error,
    shown,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

NEAR = 0.03
"""One column that leaves at most this share of wrong rows, each class weighing the same, its standard error
added, is suspect ..."""
NEAR_PAIR = 0.005
"""... two columns together at most this ..."""
GAP = 3.0
"""... where all other columns together leave at least this many times as much, and at least ..."""
LEAST_REST = 0.05
"""... this share, ..."""
LEAST_REST_CRISP = 0.01
"""... or this one, where rows crowd at the threshold and none is on the wrong side: nature has a gap there, or errors;
..."""
LEAST_REST_PAIR = 0.1
"""... or this one, where two columns are needed: of many columns some two often separate what is easy to separate."""
HOPELESS = 0.2
"""What gets this share of the first fold's rows wrong is not looked at in the others."""
_FEWEST_A_CLASS = 5
_NEARBY = 10
_COLUMNS_OF_PAIRS = 12


def find_class_leaks(columns: LeakColumns, y: FloatArray, target: Target) -> list[tuple[tuple[str, ...], str]]:
    """Return columns that give the class away and the sentence that says so.

    Parameters
    ----------
    columns : LeakColumns
        What a network sees.
    y : ndarray (n,)
        Class indices.
    target : Target
        Its name and classes.
    """
    # A class of fewer rows than folds cannot be told by anything that learns in folds.
    counts = np.bincount(y.astype(np.intp), minlength=len(target.classes))
    rows = np.flatnonzero(counts[y.astype(np.intp)] >= _FEWEST_A_CLASS)
    columns = LeakColumns(
        {name: values[rows] for name, values in columns.numbers.items()},
        {name: codes[rows] for name, codes in columns.words.items()},
    )
    y = y[rows]
    k = len(np.unique(y))
    if k < 2:
        return []
    folds = _folds(y)
    recoded = [name for name in columns.names if _is_recoding(_codes(columns, name), y)]
    if recoded:
        return [((name,), f"{shown(target.name)} is a recoding of {shown(name)}, exactly") for name in recoded]
    errors = {name: _single_error(columns, name, y, folds) for name in _likeliest(columns, y)}
    copies = {name: error for name, error in errors.items() if _at_most(error, len(y)) <= NEAR}
    if copies:
        best = min(copies, key=lambda name: (copies[name], name))
        rest = rest_error(columns.without(tuple(copies)), y, folds, k)
        crisp = [name for name, error in copies.items() if error == 0 and _is_crisp(columns, name, y)]
        best = crisp[0] if crisp else best
        if rest < max(GAP * _at_most(copies[best], len(y)), LEAST_REST_CRISP if crisp else LEAST_REST):
            return []
        others = [name for name in copies if name != best]
        beside = f" (so does {joined(others[:3])})" if others else ""
        how = "follows from" if copies[best] == 0 else "nearly follows from"
        return [((best,), f"{shown(target.name)} {how} {shown(best)} alone{beside}: {_shares(copies[best], rest)}")]
    return _pairs(columns, y, folds, k, target.name, errors)


def _at_most(error: float, n: int) -> float:
    """Return a share of wrong rows with its standard error: few rows with few errors show little."""
    return error + math.sqrt(error * (1.0 - error) / n)


def _shares(error: float, rest: float) -> str:
    return f"{error:.2g} of the rows wrong, each class weighing the same; all other columns together leave {rest:.2g}"


def _folds(y: FloatArray) -> IntArray:
    """Return folds that each have their share of every class."""
    order = np.argsort(y + 0.5 * (fold_numbers(len(y)) / N_FOLDS), kind="stable")
    folds = np.empty(len(y), np.intp)
    folds[order] = np.arange(len(y)) % N_FOLDS
    return folds


def _codes(columns: LeakColumns, name: str) -> IntArray:
    if name in columns.words:
        return columns.words[name]
    return np.unique(columns.numbers[name], return_inverse=True)[1].astype(np.intp)


def _is_recoding(codes: IntArray, y: FloatArray) -> bool:
    """Whether each value goes with one class and each class with one value."""
    n_values, n_classes = len(np.unique(codes)), len(np.unique(y))
    return n_values == n_classes and len(np.unique(np.column_stack([codes, y]), axis=0)) == n_classes


def _likeliest(columns: LeakColumns, y: FloatArray) -> list[str]:
    """Return the names of the columns to look at: of very many numbers those whose class means differ most."""
    names = list(columns.numbers)
    if len(names) > MOST_NUMBERS:
        size = {}
        for name in names:
            values = np.nan_to_num(columns.numbers[name], nan=float(np.nanmean(columns.numbers[name])))
            means = np.array([values[y == value].mean() for value in np.unique(y)])
            size[name] = float(np.ptp(means) / (values.std() or 1.0))
        names = sorted(names, key=lambda name: -size[name])[:MOST_NUMBERS]
    return [*names, *columns.words]


def _filled(values: FloatArray) -> FloatArray:
    """Return the column with missing cells below all others: that a value is missing may tell the class."""
    known = values[np.isfinite(values)]
    return np.where(np.isfinite(values), values, known.min() - np.ptp(known) - 1.0)


def _single_error(columns: LeakColumns, name: str, y: FloatArray, folds: IntArray) -> float:
    if name in columns.words:
        return _lookup_error(columns.words[name], y, folds)
    X = _filled(columns.numbers[name])[:, None]
    return 0.0 if _is_cut(X, y) else _tree_error(X, y, folds, min(2 * len(np.unique(y)), 24))


def _lookup_error(codes: IntArray, y: FloatArray, folds: IntArray) -> float:
    values = np.unique(y)
    weight = {value: 1.0 / (y == value).sum() for value in values}
    predicted = np.zeros(len(y))
    for k in range(N_FOLDS):
        train, part = folds != k, folds == k
        votes = np.stack([weight[v] * np.bincount(codes[train & (y == v)], minlength=codes.max() + 1) for v in values])
        predicted[part] = values[np.argmax(votes, axis=0)][codes[part]]
    return balanced_error(y, predicted)


def _tree_error(X: FloatArray, y: FloatArray, folds: IntArray, n_leaves: int) -> float:
    from sklearn.tree import DecisionTreeClassifier

    predicted = np.zeros(len(y))
    model = DecisionTreeClassifier(max_leaf_nodes=n_leaves, class_weight="balanced", random_state=0)
    for k in range(N_FOLDS):
        train, part = folds != k, folds == k
        predicted[part] = model.fit(X[train], y[train]).predict(X[part])
        if k == 0 and (predicted[part] != y[part]).mean() > HOPELESS:
            return 1.0
    return balanced_error(y, predicted)


def _is_cut(X: FloatArray, y: FloatArray) -> bool:
    """Whether one threshold between each two classes separates them all.

    In few rows the thresholds of a fold miss by a hair what those of all rows do not.
    """
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_leaf_nodes=len(np.unique(y)), class_weight="balanced", random_state=0)
    return bool((model.fit(X, y).predict(X) == y).all())


def _is_crisp(columns: LeakColumns, name: str, y: FloatArray) -> bool:
    """Whether the classes touch where one column separates them: no gap wider than those between the rows nearby."""
    if name in columns.words:
        return False
    known = np.isfinite(columns.numbers[name])
    order = np.argsort(columns.numbers[name][known], kind="stable")
    x, classes = columns.numbers[name][known][order], y[known][order]
    steps = np.diff(np.unique(x))
    borders = np.flatnonzero(classes[1:] != classes[:-1]) + 1
    if len(borders) != len(np.unique(y)) - 1:
        return False
    for border in borders.tolist():
        near = x[max(border - _NEARBY, 0) : border + _NEARBY]
        spacing = (np.ptp(near) - (x[border] - x[border - 1])) / max(len(near) - 2, 1)
        if x[border] - x[border - 1] > max(6.0 * spacing, 2.0 * steps.min()):
            return False
    return True


def _pairs(
    columns: LeakColumns, y: FloatArray, folds: IntArray, k: int, target: str, errors: dict[str, float]
) -> list[tuple[tuple[str, ...], str]]:
    """Return the two columns that together separate the classes, by a shallow tree or along a line."""
    likely = sorted(errors, key=lambda name: (errors[name], name))[:_COLUMNS_OF_PAIRS]
    best: tuple[float, tuple[str, ...]] | None = None
    for pair in itertools.combinations(likely, 2):
        error = _pair_error(columns, pair, y, folds, k)
        if error <= NEAR_PAIR and (best is None or error < best[0]):
            best = error, pair
    if best is None:
        return []
    rest = rest_error(columns.without(best[1]), y, folds, k)
    if rest < max(GAP * best[0], LEAST_REST_PAIR):
        return []
    how = "follows from" if best[0] == 0 else "nearly follows from"
    return [(best[1], f"{shown(target)} {how} {joined(best[1])}: {_shares(best[0], rest)}")]


def _pair_error(columns: LeakColumns, pair: Sequence[str], y: FloatArray, folds: IntArray, k: int) -> float:
    X = np.column_stack(
        [
            columns.words[name].astype(np.float64) if name in columns.words else _filled(columns.numbers[name])
            for name in pair
        ]
    )
    error = _tree_error(X, y, folds, min(4 * k, 24))
    if error <= NEAR_PAIR or any(name in columns.words for name in pair):
        return error
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    # A threshold on the sum, plain or in standard deviations, must hold for other rows; one on the difference, which is
    # how "later than due" is made, on its own.
    along = np.column_stack([X.sum(axis=1), X[:, 0] - X[:, 1], Z.sum(axis=1), Z[:, 0] - Z[:, 1]])
    return 0.0 if _is_cut(along[:, [1]], y) else min(error, _tree_error(along, y, folds, min(2 * k, 24)))
