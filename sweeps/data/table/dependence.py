"""Whether the rows of a table depend on each other, and what follows for their division.

Everything is found before the rows are divided, from the rows alone, and written into the sweep's own spec.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import nearest
from sweeps.data.table.columns import Column, Target, dates_of
from sweeps.data.table.grouping import Grouping, find_groupings, is_within
from sweeps.data.table.quick import (
    MOST_ROWS,
    Split,
    fold_splits,
    larger_p,
    predict_constant,
    predict_folds,
    quick_data,
    serial_length,
    serial_z,
)
from sweeps.data.table.settings import APART, AUTO, NONE, TOGETHER, TableData
from sweeps.data.table.table import TableError
from sweeps.data.table.units import EqualRows, find_equal_rows, joined, time_blocks

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
_BLOCKS = 6
_PARTS_A_BLOCK = 6
_PARTS_PREDICTED = 3


def settle_dependence(data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target) -> TableData:
    """Return the settings with everything settled that follows from how rows depend on each other.

    Parameters
    ----------
    data : TableData
        What was said, the task settled.
    frame : DataFrame
        The table's rows.
    columns : tuple of Column
        From `sweeps.data.table.columns.find_columns`.
    target : Target
        Of the same rows.
    """
    for name in (data.groups_by, data.ordered_by):
        if name and name not in [column.name for column in columns]:
            near = nearest(name, [column.name for column in columns], cutoff=0.0)
            raise TableError(f"no column {name!r} to divide rows by; nearest: {near!r}")
    equal = find_equal_rows(frame, columns, target)
    data = _settle_equal_rows(data, equal, len(frame))
    units = equal.units if equal.together else np.arange(len(frame))
    data = _settle_groups(data, frame, columns, target, units)
    return _settle_time(data, frame, columns, target)


def _settle_equal_rows(data: TableData, equal: EqualRows, n: int) -> TableData:
    if not equal.n_repeated:
        return dataclasses.replace(data, equal_rows=TOGETHER)
    text = f"{equal.n_repeated} of {n} rows have an equal one ({equal.n_distinct} different rows)"
    if equal.together and data.equal_rows != APART:
        return _told(
            data, f"{text}: equal rows stay on one side of every division and count as one", equal_rows=TOGETHER
        )
    if equal.together:
        return _told(data, f"{text}: divided like others, as asked", "equal rows are on both sides of divisions")
    if equal.copied > 1:
        suspected = f"every row is there {equal.copied} times or more"
        return _told(data, f"{text}: too few to be kept on one side of divisions", suspected, equal_rows=APART)
    return _told(
        data,
        f"{text}: the inputs have so few different values that equal rows are on both sides of divisions",
        equal_rows=APART,
    )


def _settle_groups(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target, equal: Rows
) -> TableData:
    """Divide by the groups that were named, or found; say what both readings get."""
    groupings = find_groupings(frame, columns, target, equal, only=data.groups_by)
    if not groupings:
        return data
    first, *others = groupings
    lines, free = _both_figures(first), data.folds in (AUTO, "grouped") and not data.ordered_by
    if first.reading == "group" and (data.groups_by or (data.group_column != NONE and free)):
        data = _told(
            data,
            f"{lines}; divided by {first.column} (--group none: not)",
            folds="grouped",
            group_column=first.column,
            scope=f"rows of a new {first.column}",
        )
        rest = tuple(column for column in columns if column.name != first.column)
        for one in find_groupings(frame, rest, target, joined(equal, first.units)) if others else ():
            if one.reading == "group" and not is_within(first.units, one.units):
                data = _told(data, f"{_both_figures(one)}; not divided by {one.column}, too", _alike(one))
        return data
    if first.reading == "group":
        return _told(data, f"{lines}; not divided by {first.column}, as asked", _alike(first))
    return _told(
        data,
        f"{lines}; what follows is for known ones (--group {first.column}: for new ones)",
        scope=f"other rows of a known {first.column}",
    )


def _both_figures(one: Grouping) -> str:
    return (
        f"rows of one {one.column} are alike ({one.n_groups} of them): a quick model gets {one.known} for another row "
        f"of a known {one.column}, {one.new} for a new {one.column}"
    )


def _alike(one: Grouping) -> str:
    return f"rows of one {one.column} are alike"


@dataclasses.dataclass(frozen=True, slots=True)
class TimeFinding:
    """What a quick model gets for rows of all times, and for later rows, in words.

    Parameters
    ----------
    any_time, later : str
        Its figures.
    matters : bool
        Whether the difference is shown.
    stretch : int
        Over how many rows what a straight line leaves over remains alike.
    """

    any_time: str
    later: str
    matters: bool
    stretch: int


def compare_time(frame: pd.DataFrame, columns: tuple[Column, ...], target: Target, times: FloatArray) -> TimeFinding:
    """Predict stretches of time from earlier rows, and from equally many rows of all times.

    Parameters
    ----------
    frame, columns, target
        As `settle_dependence` takes them.
    times : ndarray (n_rows,)
        Time of each row.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(frame))[:MOST_ROWS])
    data = quick_data(
        frame.iloc[rows],
        columns,
        Target(target.name, target.task, target.reason, target.classes, target.values[rows]),
    )
    blocks = time_blocks(times[rows], _BLOCKS)
    earlier: list[Split] = []
    mixed: list[Split] = []
    for k in range(2, int(blocks.max()) + 1):
        validation, before = np.flatnonzero(blocks == k), np.flatnonzero(blocks < k)
        earlier.append((before, validation))
        for part in np.array_split(rng.permutation(validation), _PARTS_PREDICTED):
            others = rng.permutation(np.setdiff1d(np.arange(len(rows)), part))
            mixed.append((np.sort(others[: len(before)]), np.sort(part)))
    if not earlier:
        return TimeFinding("", "", matters=False, stretch=1)
    later, any_time = predict_folds(data, earlier), predict_folds(data, mixed)
    scored = np.flatnonzero(np.isfinite(later[:, 0]))
    base = data.losses(predict_constant(data, mixed))[scored].mean()
    losses = {"later": data.losses(later)[scored], "any": data.losses(any_time)[scored]}
    worse = float((losses["later"] - losses["any"]).mean()) / base
    p = larger_p(losses["later"] - losses["any"], time_blocks(times[rows][scored], _PARTS_A_BLOCK * len(earlier)))
    # Stretches of time are few and uneven: much worse is shown by less, and so is worse where what a straight line
    # leaves over goes on from one row to the next.
    much = losses["later"].mean() >= _MUCH_WORSE * losses["any"].mean() and p < _LEVEL_IF_MUCH
    left = data.y - predict_folds(data, fold_splits(np.arange(len(rows))), only_trends=True)
    matters = worse >= _LEAST_LOSS and (p < LEVEL or much or serial_z(left, times[rows]) > _SERIAL)
    stretch = round(serial_length(left, times[rows]) * len(frame) / len(rows))
    return TimeFinding(data.figure(any_time, scored), data.figure(later, scored), bool(matters), max(stretch, 1))


def _settle_time(data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target) -> TableData:
    """Divide by time where that was asked for, or where later rows are harder to predict."""
    asked = data.ordered_by
    for column in columns:
        if (asked and column.name != asked) or (not asked and column.role != "date") or len(frame) < FEWEST_ROWS:
            continue
        if column.role != "date" and frame[column.name].dtype.kind not in "if":
            continue
        cells = frame[column.name]
        times = dates_of(cells) if column.role == "date" else cells.to_numpy(np.float64)
        known = np.isfinite(times)
        if known.mean() < 0.9:
            continue
        times = np.where(known, times, np.nanmedian(times))
        found = compare_time(frame, columns, target, times)
        if not (found.matters or asked):
            continue
        return _with_time(data, column.name, found, whole=bool(known.all()))
    return dataclasses.replace(data, folds="time") if asked and data.folds == AUTO else data


def _with_time(data: TableData, name: str, found: TimeFinding, *, whole: bool) -> TableData:
    text = f"a quick model gets {found.any_time} among rows of all times, {found.later} for later rows ({name})"
    if data.ordered_by:
        return _told(
            data, f"{text}; divided by time, as asked", folds="time", scope="later rows", stretch=found.stretch
        )
    suspected = f"later rows are harder to predict ({name})"
    if data.time_column == NONE or not whole or data.folds != AUTO:
        why = "as asked" if data.time_column == NONE else f"but by {data.groups_by}" if data.groups_by else ""
        why = why or ("as asked" if whole else f"as some rows have no {name}")
        return _told(data, f"{text}; not divided by time, {why}", suspected)
    return _told(
        data,
        f"{text}; divided by time, the latest rows are the test rows (--time-column none: not)",
        folds="time",
        time_column=name,
        scope="later rows",
        stretch=found.stretch,
    )


def _told(data: TableData, line: str, suspected: str = "", **changes: Any) -> TableData:
    """Return the settings with changes and another line of what was found."""
    told = "; ".join(text for text in (data.suspected, suspected) if text)
    return dataclasses.replace(data, found=(*data.found, line), suspected=told, **changes)
