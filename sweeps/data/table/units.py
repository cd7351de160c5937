"""Rows that belong together: equal ones, those of one group, those of one stretch of time.

Whatever divides a table divides its *units*: no unit is ever on both sides. Whatever is said with a level takes the
unit, not the row, for one observation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import Column, Target, booleans_of, dates_of

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]

FEWEST_UNITS = 10
"""Of fewer distinct rows than this no division is made."""
MOST_STEPS = 100
"""Whole numbers with at most this many different values come in steps, as words do: equal ones need not be copies."""
TIME_BLOCKS = 10
"""Stretches of time into which the test rows fall where rows follow each other."""
_ROW_NUMBER = re.compile(r"(?:^|[_\s.-])(?:id|uuid|guid|index|idx|row|nr|no|num|number|obs|key|seq)$|[a-z]I[dD]$", re.I)


@dataclass(frozen=True, slots=True)
class EqualRows:
    """What equal rows a table has.

    Parameters
    ----------
    units : ndarray (n_rows,) of int
        Number of each row's unit; different where rows are.
    n_repeated : int
        Rows that have an equal one.
    n_distinct : int
        Different rows.
    together : bool
        Whether equal rows can be kept on one side of every division: there are enough different ones, and they are not
        equal merely because the inputs have few possible values.
    copied : int
        Where they cannot: how many times every different row, its target included, is there at least; 1 shows nothing.
    """

    units: Rows
    n_repeated: int
    n_distinct: int
    together: bool
    copied: int = 1


def find_equal_rows(
    frame: pd.DataFrame, columns: Sequence[Column], target: Target, n_known: int | None = None
) -> EqualRows:
    """Return which rows are equal in everything that a network gets to see.

    A running number among the columns tells equal rows apart and nothing else, so it does not count: whole numbers that
    differ in every row, values that rise or fall from row to row, or that are evenly spaced.

    Parameters
    ----------
    frame : DataFrame
        All rows.
    columns : sequence of Column
        Its columns and their roles; only those used are compared.
    target : Target
        Of the same rows. Where the inputs have few possible values a number with many values still tells rows apart.
    n_known : int, optional
        The first rows, from which it is told what counts; default all. The rest are test rows of another file.
    """
    known = frame.iloc[: len(frame) if n_known is None else n_known]
    used = [column for column in columns if column.used]
    running = [column for column in used if is_running(known[column.name], column)]
    plain = [column for column in used if column not in running]
    if running and plain and not _is_coarse(known, plain):
        # A date beside the rows is no number for counting: only rows equal in the target, too, are copies.
        dated = any(column.role == "date" for column in running)
        return _described(_codes(frame, plain, target.values if dated else None), together=True)
    if not _is_coarse(known, used):
        return _described(_codes(frame, used, None), together=True)
    fine = target.task == "regression" and len(np.unique(target.values[: len(known)])) > MOST_STEPS
    if fine:
        return _described(_codes(frame, used, target.values), together=True)
    found = _described(_codes(frame, used, None), together=False)
    counts = np.unique(_codes(frame, used, target.values), return_counts=True)[1]
    copied = int(np.gcd.reduce(counts)) if len(counts) >= FEWEST_UNITS else 1
    return EqualRows(found.units, found.n_repeated, found.n_distinct, found.n_repeated == 0, copied)


def _described(units: Rows, *, together: bool) -> EqualRows:
    counts = np.bincount(units)
    n_distinct, n_repeated = len(counts), int(counts[counts > 1].sum())
    enough = n_distinct >= FEWEST_UNITS or not n_repeated
    smallest = int(np.gcd.reduce(counts)) if n_repeated else 1
    return EqualRows(units, n_repeated, n_distinct, together and enough, 1 if enough else smallest)


def is_running(series: pd.Series[Any], column: Column) -> bool:
    """Whether a column only counts or names the rows."""
    if column.role not in ("number", "date") or column.n_missing or column.n_distinct < len(series) or len(series) < 10:
        return False
    values = dates_of(series) if column.role == "date" else series.to_numpy(np.float64)
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return True
    steps = np.diff(np.sort(values))
    if np.ptp(steps) <= 1e-9 * abs(float(steps.mean())):
        return True
    whole = bool((values == np.rint(values)).all())
    return whole and (bool(_ROW_NUMBER.search(column.name)) or float(np.ptp(values)) < 3 * len(values))


def is_counter(series: pd.Series[Any]) -> bool:
    """Whether a column of numbers counts the rows from one to the next, in even steps or whole ones."""
    values = series.to_numpy(np.float64)
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):  # a missing cell makes neither
        return False
    whole = bool((values == np.rint(values)).all()) and float(np.ptp(values)) < 3 * len(values)
    return whole or float(np.ptp(steps)) <= 1e-6 * abs(float(steps.mean()))


def _is_coarse(frame: pd.DataFrame, columns: Sequence[Column]) -> bool:
    """Whether rows must be equal by chance: fewer combinations of the columns' values than rows."""
    combinations = 1.0
    for column in columns:
        if column.role == "number":
            values = frame[column.name].dropna().to_numpy(np.float64)
            if column.n_distinct > MOST_STEPS or not (values == np.rint(values)).all():
                return False
        elif column.role == "date":
            return False
        combinations *= column.n_distinct + (column.n_missing > 0)
    return combinations <= len(frame)


def _codes(frame: pd.DataFrame, columns: Sequence[Column], y: FloatArray | None) -> Rows:
    """Return the number of each row's content."""
    cells: dict[str, Any] = {}
    for k, column in enumerate(columns):
        series = frame[column.name]
        if column.role == "boolean":
            cells[str(k)] = booleans_of(series)
        elif series.dtype.kind in "if":
            cells[str(k)] = series.to_numpy(np.float64) + 0.0  # -0.0 and 0.0 are one value
        else:
            cells[str(k)] = pd.factorize(series)[0]
    if y is not None:
        cells["y"] = y
    return numbered(pd.util.hash_pandas_object(pd.DataFrame(cells, index=frame.index), index=False).to_numpy())


def numbered(values: Any) -> Rows:
    """Return the number of each value, counted in the order in which they first appear."""
    return np.asarray(pd.factorize(values, use_na_sentinel=False)[0], np.intp)


def joined(a: Rows, b: Rows) -> Rows:
    """Return the units of rows that share one of `a` or one of `b`, directly or over others."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n_a, n_b = int(a.max()) + 1, int(b.max()) + 1
    links = coo_matrix((np.ones(len(a)), (a, n_a + b)), shape=(n_a + n_b, n_a + n_b))
    return numbered(connected_components(links, directed=False)[1][a])


def time_blocks(times: FloatArray, n_blocks: int = TIME_BLOCKS) -> Rows:
    """Return the stretch of time of each row: equally many rows each, rows of one moment in one."""
    order = np.argsort(times, kind="stable")
    blocks = np.empty(len(times), np.intp)
    for k, rows in enumerate(np.array_split(order, min(n_blocks, len(times)))):
        blocks[rows] = k
    first = pd.Series(blocks).groupby(times).transform("min").to_numpy()
    return np.unique(first, return_inverse=True)[1].astype(np.intp)


def first_rows(units: Rows) -> Rows:
    """Return the first row of each unit, in the order of the units' numbers (which must be 0, 1, ... all in use)."""
    return np.unique(units, return_index=True)[1].astype(np.intp)


def unit_means(values: FloatArray, units: Rows) -> FloatArray:
    """Return the mean of each unit's values, NaN left out; (n_units,) or (n_units, k)."""
    return np.asarray(pd.DataFrame(values).groupby(units).mean().to_numpy().reshape(-1, *values.shape[1:]))


def unit_values(values: FloatArray, units: Rows) -> FloatArray:
    """Return one value a unit whose mean is that of the rows, and which scatter as the units' contributions do.

    The mean over rows is a ratio of sums over units; these are its linearized parts. Units of one row each give the
    rows' values, units of equal sizes their means.
    """
    sizes = np.bincount(units).astype(np.float64)
    mean = float(values.mean())
    sums = np.bincount(units, weights=values)
    return np.asarray(mean + (sums - mean * sizes) / sizes.mean(), np.float64)
