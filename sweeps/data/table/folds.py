"""Who trains on which rows: folds by name, folds x seeds as replicas, rows set aside first, an end held out.

The order of events is fixed: `set_aside` takes the test rows, `hold_out_end` takes the out-of-range end of what is
left, `plan_folds` divides the rest. Everything is drawn before a search starts and depends on the seed alone.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.names import nearest

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]


class EndError(ValueError):
    """Rows that have no such end to hold out, in one line."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to train on, to validate with and, where that differs from fold to fold, out of range; ascending."""

    train: Rows
    validation: Rows
    out_of_range: Rows | None = None


@dataclass(frozen=True, slots=True)
class HeldOutEnd:
    """Rows that no search sees, at one end of the data.

    Parameters
    ----------
    rule : str
        ``"top"``, ``"bottom"`` or ``"farthest"``.
    feature : str or None
        Feature whose end it is; None for ``"farthest"``.
    bound : float
        Rows are out of range beyond this value of the feature, or of the distance.
    in_range, out_of_range : ndarray of int
        Row numbers, ascending.
    value : str
        Value of the feature that rows out of range have (``"value"``), or the values that are so in turn (``"each"``).
    n_kept : int
        Rows beyond the bound that stay in range, as their class would lose more than its share.
    """

    rule: str
    feature: str | None
    bound: float
    in_range: Rows
    out_of_range: Rows
    n_kept: int = 0
    value: str = ""


def plan_folds(
    kind: str,
    n_rows: int,
    n_folds: int = 5,
    *,
    seed: int = 0,
    classes: FloatArray | None = None,
    groups: Sequence[Any] | None = None,
    times: FloatArray | None = None,
    units: Rows | None = None,
) -> tuple[Fold, ...]:
    """Divide rows into folds.

    Parameters
    ----------
    kind : str
        ``"plain"``: shuffled K-fold. ``"stratified"``: shuffled, each class in equal shares (needs `classes`).
        ``"grouped"``: no group on both sides (needs `groups`). ``"contiguous"``: blocks in the order of the rows, as in
        the textbook (the last block takes what does not divide). ``"time"``: each fold validates with the block of time
        after the rows it trains on (needs `times`; the first block is never validated with).
    n_rows : int
        Rows to divide.
    n_folds : int
        At least 2, at most `n_rows` (``"time"``: at most n_rows - 1).
    seed : int
        Of the shuffles; contiguous and time folds do not depend on it.
    classes : ndarray (n_rows,)
        Class index of each row.
    groups : sequence (n_rows,)
        Group of each row.
    times : ndarray (n_rows,)
        Time of each row; rows of equal time stay in their order.
    units : ndarray (n_rows,) of int
        Rows with the same number stay on one side: the units are divided as rows would be (a unit has the class that
        most of its rows have, and the time of its last row). Default: every row is one.

    Returns
    -------
    tuple of Fold
        In a fixed order.

    Raises
    ------
    ValueError
        If the kind is unknown, what it needs is missing, or the rows do not suffice.
    """
    if kind not in FOLDS:
        near = nearest(kind, [*FOLDS], cutoff=0.0)
        raise ValueError(f"folds: {kind!r} is none of {', '.join(FOLDS)}; nearest: {near!r}")
    most = n_rows - 1 if kind == "time" else n_rows
    if not 2 <= n_folds <= most:
        raise ValueError(f"folds: n_folds={n_folds} with {n_rows} rows; expected 2 to {max(most, 2)}")
    needed = {"stratified": ("classes", classes), "grouped": ("groups", groups), "time": ("times", times)}.get(kind)
    if needed is not None:
        name, given = needed
        if given is None or len(given) != n_rows:
            raise ValueError(f"folds: {kind!r} needs {name}, one for each of {n_rows} rows")
    if units is None or len(np.unique(units)) == n_rows:
        return FOLDS[kind](_Plan(n_rows, n_folds, seed, classes, groups, times))
    return _of_units(kind, n_folds, np.unique(units, return_inverse=True)[1], seed, classes, groups, times)


def _of_units(
    kind: str,
    n_folds: int,
    units: Rows,
    seed: int,
    classes: FloatArray | None,
    groups: Sequence[Any] | None,
    times: FloatArray | None,
) -> tuple[Fold, ...]:
    """Divide units, numbered 0, 1, ..., and return the folds of their rows."""
    first = np.unique(units, return_index=True)[1]
    order = np.argsort(first, kind="stable")  # units in the order of their first rows, as contiguous folds need them
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    units, first = place[units], first[order]
    if kind == "time":
        assert times is not None
        return _time_of_units(n_folds, units, times)
    folds = plan_folds(
        kind,
        len(first),
        n_folds,
        seed=seed,
        classes=None if classes is None else unit_classes(classes, units),
        groups=None if groups is None else [groups[row] for row in first.tolist()],
    )
    return tuple(
        Fold(np.flatnonzero(np.isin(units, fold.train)), np.flatnonzero(np.isin(units, fold.validation)))
        for fold in folds
    )


def _time_of_units(n_folds: int, units: Rows, times: FloatArray) -> tuple[Fold, ...]:
    """Divide the rows into blocks of equally many rows as far as units allow; a unit's time is that of its last row."""
    last = np.full(int(units.max()) + 1, -np.inf)
    np.maximum.at(last, units, times)
    order = np.lexsort((units, last[units]))
    blocks = np.empty(len(units), np.intp)
    for k, rows in enumerate(np.array_split(order, n_folds + 1)):
        blocks[rows] = k
    start = np.full(len(last), n_folds + 1)
    np.minimum.at(start, units, blocks)
    blocks = start[units]
    if len(np.unique(blocks)) < n_folds + 1:
        raise ValueError(f"folds: too few different rows for {n_folds} folds by time; take fewer (n_folds)")
    return tuple(Fold(np.flatnonzero(blocks <= k), np.flatnonzero(blocks == k + 1)) for k in range(n_folds))


def unit_classes(classes: FloatArray, units: Rows) -> FloatArray:
    """Return the class that most rows of each unit have, the lowest among equals; units are numbered 0, 1, ..."""
    counts = np.zeros((int(units.max()) + 1, int(classes.max()) + 1))
    np.add.at(counts, (units, classes.astype(np.intp)), 1)
    return np.asarray(counts.argmax(axis=1), np.float64)


def set_aside(
    n_rows: int, share: float, *, seed: int, classes: FloatArray | None = None, ordered: bool = False
) -> tuple[Rows, Rows]:
    """Return ``(rest, test)``: the test part is drawn before anything else looks at the rows.

    Parameters
    ----------
    n_rows : int
        Rows of the table.
    share : float
        Share of the test part, above 0 and below 1; at least one row remains on each side.
    seed : int
        Of the draw.
    classes : ndarray (n_rows,), optional
        Draw the same share of every class with at least two rows.
    ordered : bool
        Take the last rows instead of a draw (time).

    Raises
    ------
    ValueError
        If the share is out of range or there are fewer than two rows.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"test_share={share!r}; expected a share above 0 and below 1")
    if n_rows < 2:
        raise ValueError(f"{n_rows} rows; expected at least 2 to set a test part aside")
    n_test = min(max(round(n_rows * share), 1), n_rows - 1)
    if ordered:
        return np.arange(n_rows - n_test), np.arange(n_rows - n_test, n_rows)
    order = np.random.default_rng([seed, 1]).permutation(n_rows)
    if classes is None:
        chosen = order[:n_test]
    else:
        parts = [order[classes[order] == value] for value in np.unique(classes)]
        chosen = np.concatenate([part[: min(round(len(part) * share), len(part) - 1)] for part in parts])
        if not len(chosen):
            chosen = order[:1]
    test = np.zeros(n_rows, dtype=bool)
    test[chosen] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def set_aside_latest(times: FloatArray, units: Rows, share: float) -> tuple[Rows, Rows]:
    """Return ``(rest, test)``: the latest rows, whole units, which are as late as their last row.

    Parameters
    ----------
    times : ndarray (n,)
        Time of each row.
    units : ndarray (n,) of int
        Unit of each row, numbered 0, 1, ...
    share : float
        Share of the rows, as in `set_aside`.
    """
    last = np.full(int(units.max()) + 1, -np.inf)
    np.maximum.at(last, units, times)
    order = np.lexsort((units, last[units]))
    early, late = set_aside(len(times), share, seed=0, ordered=True)
    in_rest = np.isin(units, units[order[early]])
    if in_rest.all():  # one unit reaches over the bound and has the last row
        in_rest = ~np.isin(units, units[order[late]])
    return np.flatnonzero(in_rest), np.flatnonzero(~in_rest)


def hold_out_end(
    X: FloatArray,
    names: Sequence[str],
    y: FloatArray,
    *,
    rule: str,
    share: float,
    feature: str | None = None,
    classes: FloatArray | None = None,
) -> HeldOutEnd:
    """Hold out one end of the data, to see how far predictions can be trusted beyond the range trained on.

    Parameters
    ----------
    X : ndarray (n, n_features)
        Numbers; a missing one is NaN and in range.
    names : sequence of str
        Names of the features.
    y : ndarray (n,)
        Target, for the automatic choice only.
    rule : str
        ``"top"`` or ``"bottom"`` of one feature; ``"farthest"``: from the medians, in units of each feature's median
        absolute deviation (features whose deviation is 0 are left out).
    share : float
        Largest share of rows held out, above 0, at most 0.5; rows tied with the bound stay in range.
    feature : str, optional
        For top and bottom; default the feature of at least 20 different values whose ranks correlate most with the
        target's (in size), the first in order among equals.
    classes : ndarray (n,), optional
        Class index of each row: no class loses more than `share` of its rows, of which the farthest are taken.

    Returns
    -------
    HeldOutEnd
        With at least one row on each side.

    Raises
    ------
    ValueError
        If a name is unknown, the share is out of range, or no bound leaves rows on both sides.
    """
    if rule not in ENDS:
        near = nearest(rule, ENDS, cutoff=0.0)
        raise EndError(f"held-out end: rule {rule!r} is none of {', '.join(ENDS)}; nearest: {near!r}")
    if not 0.0 < share <= 0.5:
        raise EndError(f"held-out end: share={share!r}; expected above 0 and at most 0.5")
    if rule == "farthest":
        feature, values = None, _distances(X)
    else:
        feature = _choose_feature(X, names, y) if feature is None else feature
        if feature not in names:
            near = nearest(feature, [*names], cutoff=0.0)
            hint = f"; nearest: {near!r}" if near else ": no column of numbers or dates is used"
            raise EndError(f"held-out end: no feature {feature!r}{hint}")
        values = X[:, list(names).index(feature)]
    sign = -1.0 if rule == "bottom" else 1.0
    beyond = np.where(np.isnan(values), -np.inf, sign * values)
    bound = float(np.quantile(beyond, 1.0 - share, method="inverted_cdf"))
    out = beyond > bound
    n_kept = 0
    if classes is not None:
        fair = _beyond_own_class(beyond, classes, share)
        n_kept = int((out & ~fair).sum())
        out &= fair
    if n_kept and not out.any():
        raise EndError(
            f"held-out end: the {n_kept} rows beyond the {share:.0%} {rule} of {feature or 'all features'} are of "
            "classes too small to lose one; name another feature or a larger share"
        )
    if not out.any() or not np.isfinite(bound):
        raise EndError(
            f"held-out end: no row lies beyond the {share:.0%} {rule} of {feature or 'all features'}; "
            "name another feature or a larger share"
        )
    return HeldOutEnd(rule, feature, sign * bound, np.flatnonzero(~out), np.flatnonzero(out), n_kept)


ENDS = ("top", "bottom", "farthest")
"""Rules of `hold_out_end`."""


@dataclass(frozen=True, slots=True)
class _Plan:
    n_rows: int
    n_folds: int
    seed: int
    classes: FloatArray | None
    groups: Sequence[Any] | None
    times: FloatArray | None


def _plain(plan: _Plan) -> tuple[Fold, ...]:
    from sklearn.model_selection import KFold

    splits = KFold(plan.n_folds, shuffle=True, random_state=plan.seed).split(np.zeros(plan.n_rows))
    return tuple(Fold(train, validation) for train, validation in splits)


def _stratified(plan: _Plan) -> tuple[Fold, ...]:
    classes = np.asarray(plan.classes)
    most = int(np.unique(classes, return_counts=True)[1].max())
    if most < plan.n_folds:
        raise ValueError(
            f"folds: the largest class has {most} rows; expected at least n_folds={plan.n_folds} (take fewer folds, or "
            "'plain')"
        )
    with warnings.catch_warnings():  # a class of fewer rows than folds is in some of them; the sweep says so first
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return tuple(Fold(train, validation) for train, validation in _stratified_splits(plan, classes))


def _stratified_splits(plan: _Plan, classes: FloatArray) -> list[tuple[Rows, Rows]]:
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(plan.n_folds, shuffle=True, random_state=plan.seed)
    return list(folds.split(np.zeros(plan.n_rows), classes))


def _grouped(plan: _Plan) -> tuple[Fold, ...]:
    from sklearn.model_selection import GroupKFold

    groups = np.asarray(plan.groups)
    n_groups = len(np.unique(groups))
    if n_groups < plan.n_folds:
        raise ValueError(f"folds: {n_groups} groups; expected at least n_folds={plan.n_folds}")
    if plan.classes is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        of_groups = unit_classes(np.asarray(plan.classes), numbers)
        if np.unique(of_groups, return_counts=True)[1].min() >= plan.n_folds:
            return tuple(
                Fold(np.flatnonzero(np.isin(numbers, fold.train)), np.flatnonzero(np.isin(numbers, fold.validation)))
                for fold in _stratified(_Plan(n_groups, plan.n_folds, plan.seed, of_groups, None, None))
            )
    splits = GroupKFold(plan.n_folds, shuffle=True, random_state=plan.seed).split(np.zeros(plan.n_rows), groups=groups)
    return tuple(Fold(train, validation) for train, validation in splits)


def _contiguous(plan: _Plan) -> tuple[Fold, ...]:
    size = plan.n_rows // plan.n_folds
    starts = [k * size for k in range(plan.n_folds)] + [plan.n_rows]
    rows = np.arange(plan.n_rows)
    return tuple(
        Fold(np.concatenate([rows[:start], rows[stop:]]), rows[start:stop])
        for start, stop in itertools.pairwise(starts)
    )


def _by_time(plan: _Plan) -> tuple[Fold, ...]:
    order = np.argsort(np.asarray(plan.times), kind="stable")
    blocks = np.array_split(order, plan.n_folds + 1)
    return tuple(Fold(np.sort(np.concatenate(blocks[: k + 1])), np.sort(blocks[k + 1])) for k in range(plan.n_folds))


FOLDS: MappingProxyType[str, Callable[[_Plan], tuple[Fold, ...]]] = MappingProxyType(
    {
        "plain": _plain,
        "stratified": _stratified,
        "grouped": _grouped,
        "contiguous": _contiguous,
        "time": _by_time,
    }
)
"""Kinds of folds by name."""


def beyond_end(end: HeldOutEnd, X: FloatArray, names: Sequence[str], known: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which other rows lie beyond a held-out end.

    Parameters
    ----------
    end : HeldOutEnd
        Its rule and bound.
    X : ndarray (m, n_features)
        The other rows' numbers.
    names : sequence of str
        Names of the features.
    known : ndarray (n, n_features)
        The rows that `hold_out_end` was given: distances are from their medians.

    Returns
    -------
    ndarray (m,) of bool
    """
    values = _distances(known, X) if end.feature is None else X[:, list(names).index(end.feature)]
    beyond: npt.NDArray[np.bool_] = values < end.bound if end.rule == "bottom" else values > end.bound
    return beyond


def _beyond_own_class(beyond: FloatArray, classes: FloatArray, share: float) -> npt.NDArray[np.bool_]:
    """Return which rows are among the farthest `share` of their own class."""
    fair = np.zeros(len(beyond), dtype=bool)
    for value in np.unique(classes):
        own = classes == value
        fair[own] = beyond[own] > np.quantile(beyond[own], 1.0 - share, method="inverted_cdf")
    return fair


def _distances(X: FloatArray, others: FloatArray | None = None) -> FloatArray:
    """Return the distances of rows from their medians, or those of other rows from the medians of these."""
    medians = np.nanmedian(X, axis=0)
    filled = np.where(np.isnan(X), medians, X)
    middle = np.median(filled, axis=0)
    apart = np.abs(filled - middle)
    spread = np.median(apart, axis=0)
    if others is not None:
        apart = np.abs(np.where(np.isnan(others), medians, others) - middle)
    if not (spread > 0).any():
        raise EndError("held-out end: no feature varies enough for 'farthest'; name a feature's 'top' or 'bottom'")
    distances: FloatArray = np.sqrt(((apart[:, spread > 0] / spread[spread > 0]) ** 2).mean(axis=1))
    return distances


def _choose_feature(X: FloatArray, names: Sequence[str], y: FloatArray) -> str:
    best, strength = None, -1.0
    for k, name in enumerate(names):
        present = ~np.isnan(X[:, k])
        if len(np.unique(X[present, k])) < 20:
            continue
        ranks = [np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (X[present, k], y[present])]
        size = abs(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))
        if size > strength + 1e-12:
            best, strength = name, size
    if best is None:
        raise EndError("held-out end: no feature has 20 different values; name one, or take 'farthest'")
    return best
