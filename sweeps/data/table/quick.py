"""A quick model: what rows tell about each other under one division or another, long before any network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from sweeps.data.table.columns import Column, Target, booleans_of, dates_of
from sweeps.data.table.units import numbered, unit_values

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Split = tuple[Rows, Rows]

N_FOLDS = 5
N_TREES = 24
MOST_ROWS = 3_000
"""Rows that the quick model sees."""
_MOST_WORDS = 60
_MOST_TRIED = 30
"""Inputs that a tree tries for one division, of many."""
_PENALTIES = (1e-2, 1.0, 1e2, 1e4)


@dataclass(frozen=True, slots=True)
class QuickData:
    """The inputs column by column, and the target as numbers.

    Parameters
    ----------
    inputs : dict of str to ndarray (n_rows, n)
        Of each used column.
    y : ndarray (n_rows, n_outputs)
        Standardized, or an indicator a class.
    scale : float
        Standard deviation of the target; 0 for classes.
    """

    inputs: dict[str, FloatArray]
    y: FloatArray
    scale: float

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    def matrix(self, without: str = "") -> FloatArray:
        """Return the inputs side by side, one column of the table left out."""
        chosen = [block for name, block in self.inputs.items() if name != without]
        return np.hstack(chosen) if chosen else np.zeros((self.n_rows, 1))

    def losses(self, predictions: FloatArray) -> FloatArray:
        """Return each row's squared error, (n,)."""
        return np.asarray(((self.y - predictions) ** 2).sum(axis=1))

    def figure(self, predictions: FloatArray, rows: Rows | None = None) -> str:
        """Return RMSE in the target's unit, or accuracy, as text."""
        chosen = slice(None) if rows is None else rows
        if self.scale:
            return f"RMSE {self.scale * float(np.sqrt(self.losses(predictions)[chosen].mean())):.3g}"
        right = predictions[chosen].argmax(axis=1) == self.y[chosen].argmax(axis=1)
        return f"accuracy {float(right.mean()):.2f}"


def quick_data(frame: pd.DataFrame, columns: Sequence[Column], target: Target) -> QuickData:
    """Return what the quick model learns from; nothing in it depends on the division."""
    inputs: dict[str, FloatArray] = {}
    for column in columns:
        series = frame[column.name]
        if column.role == "category":
            inputs[column.name] = _words(series)
        elif column.used:
            inputs[column.name] = _numbers(series, column)[:, None]
    if target.task == "classification":
        y = np.zeros((len(frame), len(target.classes)))
        y[np.arange(len(frame)), target.values.astype(np.intp)] = 1.0
        return QuickData(inputs, y, 0.0)
    scale = float(target.values.std()) or 1.0
    return QuickData(inputs, ((target.values - target.values.mean()) / scale)[:, None], scale)


def _words(series: pd.Series[Any]) -> FloatArray:
    """Return a place in the alphabet, and an indicator for each of a few words."""
    codes = pd.factorize(series, sort=True)[0]
    places = codes[:, None] / max(int(codes.max()), 1)
    n = int(codes.max()) + 1
    return np.hstack([places, codes[:, None] == np.arange(n)]) if n <= _MOST_WORDS else places


def _numbers(series: pd.Series[Any], column: Column) -> FloatArray:
    if column.role == "date":
        values = dates_of(series)
    else:
        values = booleans_of(series) if column.role == "boolean" else series.to_numpy(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    values = np.where(np.isnan(values), np.nanmedian(values), values)
    spread = float(values.std())
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def fold_splits(units: Rows, seed: int = 0) -> list[Split]:
    """Return folds that keep units whole; of fewer than five units one is left out at a time."""
    units = numbered(units)
    n = int(units.max()) + 1
    part = np.empty(n, np.intp)
    order = np.random.default_rng(seed).permutation(n)
    part[order] = np.arange(n) % N_FOLDS
    return [
        (np.flatnonzero(part[units] != k), np.flatnonzero(part[units] == k))
        for k in range(min(N_FOLDS, n))
        if (part[units] != k).any()
    ]


def predict_folds(
    data: QuickData, splits: Sequence[Split], without: str = "", *, only_trends: bool = False
) -> FloatArray:
    """Return what is predicted of each row by a model that did not learn from it; NaN where no fold has it.

    The model is the mean of ridge regression and extremely randomized trees: one follows trends beyond what it has
    seen, the other recognizes rows. Classes are predicted as indicators.

    Parameters
    ----------
    data : QuickData
        All rows.
    splits : sequence of (train, validation)
        Row numbers.
    without : str
        Column that the model does not see.
    only_trends : bool
        Ridge regression alone.
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits

    X, found = data.matrix(without), np.full_like(data.y, np.nan)
    share = min(1.0, _MOST_TRIED / X.shape[1])  # one column less must not make other trees
    with threadpool_limits(limits=1):
        for train, validation in splits:
            ridge = RidgeCV(alphas=_PENALTIES).fit(X[train], data.y[train])
            line = np.asarray(ridge.predict(X[validation])).reshape(len(validation), -1)
            if only_trends:
                found[validation] = line
                continue
            found[validation] = (line + _randomized_trees(X[train], data.y[train], X[validation], share)) / 2.0
    return found


def _randomized_trees(X: FloatArray, y: FloatArray, asked: FloatArray, share: float) -> FloatArray:
    """Return what extremely randomized trees predict, as scikit-learn's forest of them does.

    Its forest copies and checks each tree's settings, which takes longer than so small a tree.
    """
    from sklearn.tree import ExtraTreeRegressor

    seeds = np.random.RandomState(0)
    X, asked = np.ascontiguousarray(X, np.float32), np.ascontiguousarray(asked, np.float32)
    y = np.ascontiguousarray(y, np.float64)
    total = np.zeros((len(asked), y.shape[1]))
    for _ in range(N_TREES):
        seed = int(seeds.randint(np.iinfo(np.int32).max))
        tree = ExtraTreeRegressor(min_samples_leaf=2, max_features=share, random_state=seed)
        total += tree.fit(X, y, check_input=False).tree_.predict(asked).reshape(len(asked), -1)
    return total / N_TREES


def predict_constant(data: QuickData, splits: Sequence[Split]) -> FloatArray:
    """Return the mean of the training rows for each validation row; NaN where no fold has it."""
    found = np.full_like(data.y, np.nan)
    for train, validation in splits:
        found[validation] = data.y[train].mean(axis=0)
    return found


def larger_p(differences: FloatArray, units: Rows) -> float:
    """Return the one-sided p-value of a mean above zero: Student's t over units."""
    values = unit_values(differences, numbered(units))
    n, spread = len(values), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if n < 3 or spread == 0.0:
        return 1.0
    return float(1.0 - special.stdtr(n - 1, values.mean() / (spread / np.sqrt(n))))


def serial_z(residuals: FloatArray, times: FloatArray) -> float:
    """Return how far residuals of rows next to each other in time are correlated, in standard errors of none."""
    ordered = residuals[np.argsort(times, kind="stable")]
    ordered = ordered - ordered.mean(axis=0)
    total = float((ordered**2).sum())
    return float((ordered[1:] * ordered[:-1]).sum()) / total * float(np.sqrt(len(ordered))) if total > 0 else 0.0


def serial_length(residuals: FloatArray, times: FloatArray) -> int:
    """Return over how many rows, in the order of time, residuals remain alike; 1 where rows are independent.

    It is the first lag at which the autocorrelation is below a tenth, or within two standard errors of none.
    """
    ordered = residuals[np.argsort(times, kind="stable")]
    ordered = ordered - ordered.mean(axis=0)
    n, total = len(ordered), float((ordered**2).sum())
    if total == 0.0:
        return n
    transform = np.fft.rfft(ordered, 2 * n, axis=0)
    correlation = np.fft.irfft((np.abs(transform) ** 2).sum(axis=1), 2 * n)[:n] / total
    below = np.flatnonzero(correlation < max(0.1, 2.0 / np.sqrt(n)))
    return int(below[0]) if len(below) else n


def alike_p(residuals: FloatArray, units: Rows) -> tuple[float, float]:
    """Return how alike residuals of one unit are: the F test's p-value, and the intraclass correlation.

    Parameters
    ----------
    residuals : ndarray (n, n_outputs)
        Several outputs are taken together (as many observations).
    units : ndarray (n,) of int
    """
    units = numbered(units)
    n, k = len(units), int(units.max()) + 1
    if k < 2 or n <= k:
        return 1.0, 0.0
    sizes = np.bincount(units).astype(np.float64)
    centered = residuals - residuals.mean(axis=0)
    means = np.stack([np.bincount(units, weights=column) / sizes for column in centered.T], axis=1)
    between = float((sizes[:, None] * means**2).sum()) / (k - 1)
    within = float(((centered - means[units]) ** 2).sum()) / (n - k)
    size = (n - float((sizes**2).sum()) / n) / (k - 1)
    if between + (size - 1) * within <= 0:
        return 1.0, 0.0
    share = (between - within) / (between + (size - 1) * within)
    p = 0.0 if within == 0 else float(special.fdtrc(k - 1, n - k, between / within))
    return p, share
