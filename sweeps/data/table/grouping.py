"""Columns that name what rows belong to - a patient, a session, a shop - and whether that matters.

An informative category is no group: it has many rows a value, these differ in their other columns, and new rows will
come from it again. A column that names things has few rows a value, in no order; often the other columns are constant
within it, or its name says what it is. What it means for new rows only the user knows; that it matters is measured, by
a quick model in random folds and in folds by that column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from sweeps.data.table.columns import Column, Target
from sweeps.data.table.quick import (
    MOST_ROWS,
    QuickData,
    alike_p,
    fold_splits,
    larger_p,
    predict_constant,
    predict_folds,
    quick_data,
)
from sweeps.data.table.units import joined, numbered

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
Reading = Literal["group", "both"]

FEWEST_GROUPS = 8
MOST_ROWS_A_VALUE = 40
"""Of a column whose name says nothing."""
MOST_CANDIDATES = 6
LEVEL = 0.01
"""Of the tests for one table, shared among its candidates."""
_LEAST_LOSS = 0.02
"""Share of the constant's error by which folds by group must be worse to matter."""
_NEARLY_CONSTANT = 0.05
_ALIKE = 0.25
"""Intraclass correlation of the target from which codes without a telling name are looked at."""
_THINGS = (
    "id|uuid|guid|patient|pat|subject|subj|participant|person|proband|user|customer|client|member|student|pupil|child|"
    "animal|mouse|rat|dog|cow|donor|respondent|individual|family|household|twin|session|batch|lot|device|machine|"
    "engine|sensor|vehicle|driver|player|employee|worker|account|specimen|sample|slide|tumor|litter|speaker|rater|"
    "author|experiment|recording|episode"
)
_PLACES = (
    "shop|store|school|hospital|clinic|site|center|centre|station|plot|field|farm|village|classroom|teacher|company|"
    "firm|film|movie|product|item|sku|building|ship|vessel|team|branch|office|outlet|ward|lake"
)
_HEAD = r"(?:(?:^|[^a-z])(?:{})s?|^(?:{}))(?:[^a-z]*(?:id|no|nr|num|number|code|key|name|label|index))?[^a-z]*$"
"""The last word of a name says what it is: ``lot_area`` is an area, ``Patient-ID`` a patient."""
_NAMES_THINGS = re.compile(_HEAD.format(_THINGS, "group|cluster|case|unit|block"))
_NAMES_PLACES = re.compile(_HEAD.format(_PLACES, "(?!)"))
_CODE = re.compile(r"[A-Za-z]{0,12}[ _.:#-]?[0-9]+[A-Za-z]?|[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]+)*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may name what rows belong to.

    Parameters
    ----------
    name : str
        Its name.
    units : ndarray (n_rows,) of int
        Number of each row's value; a missing one is a value by itself.
    names : str
        ``"thing"``, ``"place"`` or empty, by its name.
    coded : bool
        Whether its values are codes: whole numbers in no order, or letters with a number.
    ordered : bool
        Whether the target or another column rises and falls with its values, as with a measure's and not with a code's.
    few : bool
        Whether it has few rows a value.
    constant : float
        Share of the other used columns that are constant, or nearly, within its values.
    alike : float
        Intraclass correlation of the target.
    """

    name: str
    units: Rows
    names: Literal["thing", "place", ""]
    coded: bool
    ordered: bool
    few: bool
    constant: float
    alike: float

    @property
    def weight(self) -> float:
        """By how much it looks like a name of things."""
        return {"thing": 2.0, "place": 1.5, "": 0.0}[self.names] + self.constant + self.alike


@dataclass(frozen=True, slots=True)
class Grouping:
    """A column by which rows depend on each other.

    Parameters
    ----------
    column : str
        Its name.
    reading : str
        ``"group"``: new rows may well come from new groups. ``"both"``: as well from known ones.
    known, new : str
        What a quick model gets for another row of a known group, and for a row of a new one.
    n_groups : int
        Different values.
    units : ndarray (n_rows,) of int
        Group of each row.
    loss : float
        The quick model's loss in folds by this column, in units of the constant's.
    named : bool
        Whether its name says that it names things.
    shown : bool
        Whether rows of one value are shown to be alike.
    """

    column: str
    reading: Reading
    known: str
    new: str
    n_groups: int
    units: Rows
    loss: float
    named: bool
    shown: bool = True


def group_units(series: pd.Series[Any]) -> Rows:
    """Return the group of each row; a row without a value is a group by itself."""
    codes = pd.factorize(series)[0]
    missing = np.flatnonzero(codes < 0)
    codes[missing] = codes.max(initial=-1) + 1 + np.arange(len(missing))
    return numbered(codes)


def find_groupings(
    frame: pd.DataFrame, columns: Sequence[Column], target: Target, equal: Rows, only: str = ""
) -> list[Grouping]:
    """Return the columns by which rows depend on each other, the one that matters most first.

    Parameters
    ----------
    frame : DataFrame
        The table's rows.
    columns : sequence of Column
        All but the target's; those left out of the inputs are looked at, too.
    target : Target
        Of the same rows.
    equal : ndarray (n_rows,) of int
        Units that stay together in any case.
    only : str
        Look at this column alone, whatever it looks like, and return it whether it matters or not.
    """
    if only:
        candidates = [_candidate(frame, columns, target, next(c for c in columns if c.name == only))]
    else:
        # Of rows that are there several times one speaks: copies would make a name of things of every number.
        one_each = np.sort(np.unique(equal, return_index=True)[1])
        found_candidates = find_candidates(frame.iloc[one_each], columns, _of_rows(target, one_each))
        candidates = [replace(one, units=group_units(frame[one.name])) for one in found_candidates]
        candidates = [one for one in candidates if not is_within(one.units, equal)]
    found: list[Grouping] = []
    data = known = None
    for candidate in candidates:
        rows = _some_rows(candidate.units)
        if data is None or known is None or len(rows) < len(frame):
            data = quick_data(frame.iloc[rows], columns, _of_rows(target, rows))
            known = predict_folds(data, fold_splits(equal[rows]))
        one = _measured(candidate, data, rows, equal[rows], known, len(candidates), bool(only))
        if one is not None:
            found.append(one)
    return sorted(found, key=lambda one: (one.reading == "both", not one.named, -one.loss, one.n_groups))


def is_within(fine: Rows, coarse: Rows) -> bool:
    """Whether all rows of each fine unit are of one coarse unit."""
    return len(np.unique(np.column_stack([fine, coarse]), axis=0)) == len(np.unique(fine))


def find_candidates(frame: pd.DataFrame, columns: Sequence[Column], target: Target) -> list[Candidate]:
    """Return the columns worth a measurement: those that look most like names of things."""
    found = []
    for column in columns:
        if column.role in ("constant", "date", "boolean") or not column.n_distinct < frame[column.name].count():
            continue
        if column.n_distinct < FEWEST_GROUPS:
            continue
        candidate = _candidate(frame, columns, target, column)
        if _may_name(candidate):
            found.append(candidate)
    return sorted(found, key=lambda one: -one.weight)[:MOST_CANDIDATES]


def _may_name(one: Candidate) -> bool:
    if one.names == "thing":
        return True
    if one.ordered:
        return False
    return one.few and (one.names == "place" or (one.coded and one.alike >= _ALIKE) or _is_named_by_rows(one))


def _is_named_by_rows(one: Candidate) -> bool:
    """Whether the rest of the rows says that a value is a thing: other columns, or the target, constant within it."""
    return one.constant >= 0.5 or one.alike >= 0.9


def _candidate(frame: pd.DataFrame, columns: Sequence[Column], target: Target, column: Column) -> Candidate:
    series = frame[column.name]
    units = group_units(series)
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", column.name).lower()
    names: Literal["thing", "place", ""] = ""
    if _NAMES_THINGS.search(spaced):
        names = "thing"
    elif _NAMES_PLACES.search(spaced):
        names = "place"
    y = target.values
    if target.task == "classification":
        y = (y[:, None] == np.arange(len(target.classes))).astype(np.float64)
    repeated = np.bincount(units)[units] > 1
    few = column.n_distinct * MOST_ROWS_A_VALUE >= len(frame) and bool(repeated.mean() >= 0.5)
    ordered = few and not names and series.dtype.kind in "if" and _is_ordered(frame, columns, column, y)
    return Candidate(
        name=column.name,
        units=units,
        names=names,
        coded=_is_coded(series, column),
        ordered=ordered,
        few=few,
        constant=_constant_share(frame, columns, column, units) if few and not ordered else 0.0,
        alike=alike_p(y.reshape(len(frame), -1), units)[1] if few or names else 0.0,
    )


def _is_coded(series: pd.Series[Any], column: Column) -> bool:
    if series.dtype.kind in "if":
        values = series.dropna().to_numpy(np.float64)
        return bool((values == np.rint(values)).all())
    present = [str(cell).strip() for cell in pd.unique(series.dropna())]
    return sum(bool(_CODE.fullmatch(cell)) for cell in present) >= 0.8 * column.n_distinct


def _is_ordered(frame: pd.DataFrame, columns: Sequence[Column], column: Column, y: FloatArray) -> bool:
    """Whether neighbouring values go with more alike means of the target, or of another number, than chance brings."""
    values = frame[column.name].to_numpy(np.float64)
    present = np.isfinite(values)
    ranks = np.unique(values[present], return_inverse=True)[1]
    sizes = np.bincount(ranks)
    others = [c.name for c in columns if c.role == "number" and c.name != column.name]
    outputs = y.reshape(len(frame), -1)[present]
    strengths = [_neighbours(np.bincount(ranks, weights=values) / sizes) for values in outputs.T]
    for name in others:
        cells = frame[name].to_numpy(np.float64)[present]
        cells = np.where(np.isfinite(cells), cells, np.nanmedian(cells) if np.isfinite(cells).any() else 0.0)
        strengths.append(_neighbours(np.bincount(ranks, weights=cells) / sizes))
    tests = len(strengths)
    return max(strengths) > float(special.ndtri(1.0 - LEVEL / tests))


def _neighbours(means: FloatArray) -> float:
    """Return how far the means of neighbouring values are correlated, in standard errors of no correlation."""
    if np.ptp(means) == 0.0:
        return 0.0
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable").astype(np.float64)
    return float(np.corrcoef(ranks[:-1], ranks[1:])[0, 1] * np.sqrt(len(means)))


def _constant_share(frame: pd.DataFrame, columns: Sequence[Column], column: Column, units: Rows) -> float:
    """Return the share of the other used columns that hardly vary within the units."""
    others = [other for other in columns if other.used and other.name != column.name]
    if not others:
        return 0.0
    n_constant = 0
    for other in others:
        series = frame[other.name]
        numeric = series.dtype.kind in "if"
        values = series.to_numpy(np.float64) if numeric else pd.factorize(series)[0].astype(np.float64)
        present = np.isfinite(values)
        if numeric:
            within = _within(values[present], numbered(units[present]))
        else:  # words: how often a row differs from its unit's most frequent one
            words = values[present].astype(np.intp) - int(values[present].min())
            n_words = int(words.max()) + 1
            pairs, counts = np.unique(units[present] * n_words + words, return_counts=True)
            most = np.zeros(int(units.max()) + 1)
            np.maximum.at(most, pairs // n_words, counts)
            n_usual = int(np.bincount(words).max())
            within = (present.sum() - most.sum()) / max(present.sum() - n_usual, 1)
        n_constant += bool(within <= _NEARLY_CONSTANT)
    return n_constant / len(others)


def _within(values: npt.NDArray[np.float64], units: Rows) -> float:
    """Return the share of the variance that is within units."""
    total = float(values.var()) if len(values) else 0.0
    if total == 0.0:
        return 0.0
    means = np.bincount(units, weights=values) / np.bincount(units)
    repeated = np.bincount(units)[units] > 1
    if repeated.sum() < 10:
        return 1.0
    inner = (values - means[units])[repeated]
    n_free = repeated.sum() - len(np.unique(units[repeated]))
    return float((inner**2).sum()) / max(int(n_free), 1) / total


def _measured(
    one: Candidate,
    data: QuickData,
    rows: Rows,
    equal: Rows,
    known: FloatArray,
    n_candidates: int,
    asked: bool,
) -> Grouping | None:
    """Return the candidate as a grouping if rows of one value tell about each other."""
    units = numbered(one.units[rows])
    constant = predict_constant(data, fold_splits(equal))
    new = predict_folds(data, fold_splits(joined(units, numbered(equal))), without=one.name)
    losses = {name: data.losses(values) for name, values in (("known", known), ("new", new), ("constant", constant))}
    base = float(losses["constant"].mean()) or 1.0
    worse = float((losses["new"] - losses["known"]).mean()) / base
    level = LEVEL / n_candidates
    lost = worse >= _LEAST_LOSS and larger_p(losses["new"] - losses["known"], units) < level
    alike, correlation = alike_p(data.y - new, units)
    related = alike < level / 10 and correlation > 0.02
    gain = 1.0 - float(losses["known"].mean()) / base
    reading: Reading | None = None
    if one.names == "thing" or (one.few and _is_named_by_rows(one)):
        reading = "group" if lost or related else None
    elif one.names == "place":
        reading = "both" if lost or related else None
    elif one.coded and lost and worse >= 0.5 * gain:
        reading = "group"
    if reading is None and not asked:
        return None
    n_groups = int(one.units.max()) + 1
    return Grouping(
        one.name,
        reading or "group",
        data.figure(known),
        data.figure(new),
        n_groups,
        one.units,
        float(losses["new"].mean()) / base,
        one.names == "thing",
        reading is not None,
    )


def compare_units(
    frame: pd.DataFrame, columns: Sequence[Column], target: Target, fine: Rows, coarse: Rows
) -> tuple[str, str, bool]:
    """Return what a quick model gets in folds that keep `fine` units whole and `coarse` ones, and if that differs."""
    rows = _some_rows(coarse)
    data = quick_data(frame.iloc[rows], columns, _of_rows(target, rows))
    known = predict_folds(data, fold_splits(fine[rows]))
    new = predict_folds(data, fold_splits(coarse[rows]))
    constant = data.losses(predict_constant(data, fold_splits(coarse[rows]))).mean()
    worse = data.losses(new) - data.losses(known)
    matters = worse.mean() >= _LEAST_LOSS * constant and larger_p(worse, coarse[rows]) < LEVEL
    return data.figure(known), data.figure(new), bool(matters)


def _some_rows(units: Rows) -> Rows:
    """Return up to `MOST_ROWS` rows, a fixed draw of whole units (of one unit's rows, where it has more)."""
    if len(units) <= MOST_ROWS:
        return np.arange(len(units))
    rng = np.random.default_rng(0)
    place = rng.permutation(int(units.max()) + 1)[units]
    few = len(place) / (int(units.max()) + 1) <= MOST_ROWS_A_VALUE
    order = np.lexsort((rng.permutation(len(units)), place)) if few else rng.permutation(len(units))
    return np.sort(order[:MOST_ROWS])


def _of_rows(target: Target, rows: Rows) -> Target:
    return Target(target.name, target.task, target.reason, target.classes, target.values[rows])
