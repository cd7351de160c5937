"""Whether later rows are harder to predict than rows of all times, measured by a quick model before any training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import Column, Target, dates_of
from sweeps.data.table.quick import (
    MOST_ROWS,
    QuickData,
    Split,
    fold_splits,
    larger_p,
    predict_constant,
    predict_folds,
    quick_data,
    serial_length,
    serial_z,
)
from sweeps.data.table.settings import ROW_ORDER
from sweeps.data.table.table import TableError
from sweeps.data.table.units import is_counter, time_blocks

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]

LEVEL = 0.01
"""Of the test whether later rows are harder to predict than rows of all times."""
FEWEST_ROWS = 60
"""Of fewer rows nothing is said about time."""
_LEAST_LOSS = 0.02
"""Share of the constant's loss by which later rows must be worse to matter."""
_MUCH_WORSE = 1.25
_LEVEL_IF_MUCH = 0.05
_SERIAL = 4.0
_FEWEST_STRETCHES = 20
"""Of rows that remain alike for so large a part of the table too few are independent, whatever a model makes of it."""
_BLOCKS = 6
_PARTS_A_BLOCK = 6
_PARTS_PREDICTED = 3
_ONE_WAY = 0.85
"""Share of steps in one direction from which a file is sorted by a column, perhaps within another."""
_NAMES_TIME = re.compile(
    r"(?:^|[^a-z])(?:t|time|timestamp|datetime|date|day|hour|minute|second|month|week|quarter|year|step|cycle|tick)s?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TimeFinding:
    """What a quick model gets for rows of all times, and for later rows, in words.

    Parameters
    ----------
    any_time, later : str
        Its figures.
    matters : bool
        Whether the difference is shown.
    goes_on : bool
        Whether what a straight line leaves over goes on from one row to the next, and that makes later rows worse or
        lasts for long.
    stretch : int
        Over how many rows what a straight line leaves over remains alike.
    """

    any_time: str
    later: str
    matters: bool
    goes_on: bool
    stretch: int


def compare_time(
    frame: pd.DataFrame,
    columns: tuple[Column, ...],
    target: Target,
    times: FloatArray,
    units: Rows,
    *,
    only_if_serial: bool = False,
) -> TimeFinding:
    """Predict stretches of time from earlier rows, and from equally many rows of all times.

    Parameters
    ----------
    frame, columns, target
        As `sweeps.data.table.dependence.settle_dependence` takes them.
    times : ndarray (n_rows,)
        Time of each row.
    units : ndarray (n_rows,) of int
        Rows that are kept together in any case: no model sees a row of a unit that it is to predict.
    only_if_serial : bool
        Look no further where what a straight line leaves over does not go on from row to row.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(frame))[:MOST_ROWS])
    data = quick_data(
        frame.iloc[rows],
        columns,
        Target(target.name, target.task, target.reason, target.classes, target.values[rows]),
    )
    left = _left_over(data, units[rows])
    serial = serial_z(left, times[rows]) > _SERIAL
    blocks = time_blocks(times[rows], _BLOCKS)
    earlier, mixed = _splits(blocks, units[rows], rng)
    if not earlier or (only_if_serial and not serial):
        return TimeFinding("", "", matters=False, goes_on=False, stretch=1)
    later, any_time = predict_folds(data, earlier), predict_folds(data, mixed)
    scored = np.flatnonzero(np.isfinite(later[:, 0]))
    base = data.losses(predict_constant(data, mixed))[scored].mean()
    losses = {"later": data.losses(later)[scored], "any": data.losses(any_time)[scored]}
    worse = float((losses["later"] - losses["any"]).mean()) / base
    parts = _PARTS_A_BLOCK * int(blocks.max() - 1)
    p = larger_p(losses["later"] - losses["any"], time_blocks(times[rows][scored], parts))
    # Stretches of time are few and uneven: much worse is shown by less, and so is worse where what a straight line
    # leaves over goes on from one row to the next.
    much = losses["later"].mean() >= _MUCH_WORSE * losses["any"].mean() and p < _LEVEL_IF_MUCH
    length = serial_length(left, times[rows])
    goes_on = serial and (worse >= _LEAST_LOSS or length >= len(rows) / _FEWEST_STRETCHES)
    matters = goes_on or (worse >= _LEAST_LOSS and (p < LEVEL or much))
    stretch = round(length * len(frame) / len(rows))
    figures = data.figure(any_time, scored), data.figure(later, scored)
    return TimeFinding(*figures, matters=bool(matters), goes_on=bool(goes_on), stretch=max(stretch, 1))


def _left_over(data: QuickData, units: Rows) -> FloatArray:
    """Return what a straight line leaves over, less the mean of each unit of several rows."""
    left = data.y - predict_folds(data, fold_splits(np.arange(data.n_rows)), only_trends=True)
    sizes = np.bincount(units, minlength=int(units.max()) + 1)
    means = np.stack([np.bincount(units, weights=column) / np.maximum(sizes, 1) for column in left.T], axis=1)
    return np.asarray(np.where(sizes[units][:, None] > 1, left - means[units], left))


def _splits(blocks: Rows, units: Rows, rng: np.random.Generator) -> tuple[list[Split], list[Split]]:
    """Return divisions by time, and others that learn from equally many rows of all times; both keep units whole."""
    earlier: list[Split] = []
    mixed: list[Split] = []
    numbers = np.arange(len(blocks))
    whole = len(np.unique(units)) < len(units)
    for k in range(2, int(blocks.max()) + 1):
        validation, before = np.flatnonzero(blocks == k), np.flatnonzero(blocks < k)
        if not whole:
            earlier.append((before, validation))
            for part in np.array_split(rng.permutation(validation), _PARTS_PREDICTED):
                others = rng.permutation(np.setdiff1d(numbers, part))
                mixed.append((np.sort(others[: len(before)]), np.sort(part)))
            continue
        for some in np.array_split(rng.permutation(np.unique(units[validation])), _PARTS_PREDICTED):
            theirs = np.isin(units, some)
            part, known = validation[theirs[validation]], before[~theirs[before]]
            others = rng.permutation(numbers[~theirs])
            if len(known) >= 10 and len(part):
                earlier.append((known, part))
                mixed.append((np.sort(others[: len(known)]), part))
    return earlier, mixed


def times_of(frame: pd.DataFrame, name: str, columns: Sequence[Column], source: str) -> FloatArray:
    """Return the time of each row: a column's, or its place in the file.

    Raises
    ------
    TableError
        If there is no such column, or it does not order the rows.
    """
    if name not in frame.columns:
        if name == ROW_ORDER:
            return np.arange(len(frame), dtype=np.float64)
        raise TableError(f"{source}: no column {name!r}")
    cells = frame[name]
    if cells.isna().any():
        row = int(np.flatnonzero(cells.isna().to_numpy())[0]) + 1
        raise TableError(f"{source}: column {name!r}: missing in row {row}; expected a value in every row")
    role = next(column.role for column in columns if column.name == name)
    if role == "date":
        return dates_of(cells)
    if cells.dtype.kind in "if":
        return cells.to_numpy(np.float64)
    raise TableError(f"{source}: column {name!r}: {cells.iloc[0]!r}; expected dates or numbers to order rows by")


def sorted_by(frame: pd.DataFrame, columns: Sequence[Column], target: Target) -> str:
    """Return what a file is sorted by, the target or a column, or an empty text: order then says nothing more.

    Most steps go one way, or equal values stand together. A column that merely counts the rows does not count, nor one
    whose name says that it is a time.
    """
    if _is_sorted(target.values, ordered=target.task == "regression"):
        return target.name
    for column in columns:
        series = frame[column.name]
        if column.role in ("constant", "identifier") or (column.role != "date" and _NAMES_TIME.search(column.name)):
            continue
        numeric = series.dtype.kind in "if" or column.role == "date"
        if numeric:
            if column.role != "date" and is_counter(series):
                continue
            values = dates_of(series) if column.role == "date" else series.to_numpy(np.float64)
        else:
            values = pd.factorize(series, sort=True)[0].astype(np.float64)
        if _is_sorted(values, ordered=column.n_distinct > 2):
            return column.name
    return ""


def _is_sorted(values: FloatArray, *, ordered: bool) -> bool:
    values = values[np.isfinite(values)]
    if len(values) < FEWEST_ROWS // 2:
        return False
    steps = np.diff(values)
    n_steps = int((steps != 0).sum())
    if not n_steps:
        return False
    n_distinct = len(np.unique(values))
    if n_distinct <= len(values) // 4 and n_steps < 2 * n_distinct:
        return True
    up = int((steps > 0).sum()) / n_steps
    return ordered and n_steps >= 10 and max(up, 1.0 - up) >= _ONE_WAY
