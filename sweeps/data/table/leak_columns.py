"""Columns as the search for leaks sees them, and how well all of them together predict."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import Column, booleans_of, dates_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

N_FOLDS = 5
MOST_NUMBERS = 300
"""Columns of numbers looked at; of more, those that go most with the target."""
_ROWS_OF_REST = 1_500


@dataclass(frozen=True, slots=True)
class LeakColumns:
    """Columns by name.

    Parameters
    ----------
    numbers : mapping of str to ndarray (n,)
        Numbers, dates in days, booleans as 0 and 1; NaN where missing.
    words : mapping of str to ndarray (n,) of int
        Categories as codes; a missing cell has a code of its own.
    """

    numbers: Mapping[str, FloatArray]
    words: Mapping[str, IntArray]

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (*self.numbers, *self.words)

    def without(self, names: Sequence[str]) -> LeakColumns:
        """Return the other columns."""
        return dataclasses.replace(
            self,
            numbers={name: values for name, values in self.numbers.items() if name not in names},
            words={name: codes for name, codes in self.words.items() if name not in names},
        )


def leak_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> LeakColumns:
    """Return the columns that a network gets to see, and only those that vary."""
    numbers: dict[str, FloatArray] = {}
    words: dict[str, IntArray] = {}
    for column in columns:
        cells = frame[column.name]
        if column.role == "category":
            words[column.name] = pd.factorize(cells, use_na_sentinel=False)[0].astype(np.intp)
        elif column.role in ("number", "boolean", "date"):
            convert = {"boolean": booleans_of, "date": dates_of}.get(column.role)
            values = cells.to_numpy(np.float64) if convert is None else convert(cells)
            known = values[np.isfinite(values)]
            if len(known) and np.ptp(known) > 0:
                numbers[column.name] = np.where(np.isfinite(values), values, np.nan)
    return LeakColumns(numbers, words)


def fold_numbers(n: int) -> IntArray:
    """Return the fold of each row, drawn by a fixed draw."""
    return np.asarray(np.random.default_rng(0).permutation(n) % N_FOLDS, np.intp)


def shown(name: str) -> str:
    """Return a column's name, in quotes where it is not one word."""
    return name if re.fullmatch(r"\w+", name) else repr(name)


def joined(names: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    words = [shown(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def error_of(error: float, rest: float) -> str:
    """Return what a near fit leaves, and what the other columns leave."""
    return f"an error of {error:.2g} standard deviations; all other columns together leave {rest:.2g}"


def rest_error(columns: LeakColumns, y: FloatArray, folds: IntArray, n_classes: int | None) -> float:
    """Return the error of the better of a linear model and boosted trees on these columns, over folds.

    Parameters
    ----------
    columns : LeakColumns
        All that is left.
    y : ndarray (n,)
        Numbers, or class indices.
    folds : ndarray (n,) of int
        Fold of each row.
    n_classes : int or None
        None for numbers.

    Returns
    -------
    float
        In standard deviations of `y`, or the mean over classes of the share of wrong rows; that of a constant where
        there is no column.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    constant = 1.0 if n_classes is None else 1.0 - 1.0 / max(n_classes, 1)
    X = design(columns)
    if not X.shape[1]:
        return constant
    some = np.sort(np.random.default_rng(1).permutation(len(y))[:_ROWS_OF_REST])
    X, y, folds = X[some], y[some], folds[some]
    if n_classes is None:
        models = (Ridge(alpha=1e-3), HistGradientBoostingRegressor(random_state=0, min_samples_leaf=5))
    else:
        models = (
            LogisticRegression(C=10.0, max_iter=200, class_weight="balanced"),
            HistGradientBoostingClassifier(random_state=0, max_iter=30, min_samples_leaf=5, class_weight="balanced"),
        )
    errors = [constant]
    for model in models:
        predicted = np.zeros(len(y))
        for k in range(N_FOLDS):
            train, part = folds != k, folds == k
            if n_classes is not None and len(np.unique(y[train])) < 2:
                predicted[part] = y[train][0]
            elif part.any():
                predicted[part] = model.fit(X[train], y[train]).predict(X[part])
        errors.append(
            float(np.sqrt(((predicted - y) ** 2).mean()) / y.std())
            if n_classes is None
            else balanced_error(y, predicted)
        )
    return min(errors)


def design(columns: LeakColumns) -> FloatArray:
    """Return numbers, standardized with missing ones at the mean, missing marks, and an input for each word."""
    parts: list[FloatArray] = []
    for values in columns.numbers.values():
        known = np.isfinite(values)
        centre, spread = values[known].mean(), values[known].std()
        parts.append(np.where(known, (values - centre) / (spread if spread > 0 else 1.0), 0.0))
        if not known.all():
            parts.append((~known).astype(np.float64))
    for codes in columns.words.values():
        common = np.argsort(-np.bincount(codes), kind="stable")[:30]
        parts += [(codes == code).astype(np.float64) for code in common]
    return np.column_stack(parts) if parts else np.zeros((0, 0))


def balanced_error(y: FloatArray, predicted: FloatArray) -> float:
    """Return the mean over the classes that occur of the share of wrong rows."""
    return float(np.mean([(predicted[y == value] != value).mean() for value in np.unique(y)]))
