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
from sweeps.data.table.grouping import Grouping, compare_units, find_groupings, group_units, is_within
from sweeps.data.table.near_copies import find_near_copies
from sweeps.data.table.settings import APART, AUTO, NEARLY, NONE, ROW_ORDER, TOGETHER, TableData
from sweeps.data.table.table import TableError
from sweeps.data.table.time_order import FEWEST_ROWS, TimeFinding, compare_time, sorted_by
from sweeps.data.table.units import EqualRows, find_equal_rows, joined

Rows = npt.NDArray[np.intp]


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
    names = [column.name for column in columns]
    for name in (data.groups_by, data.ordered_by):
        if name and name not in (*names, *((ROW_ORDER,) if name == data.ordered_by else ())):
            near = nearest(name, names, cutoff=0.0)
            raise TableError(f"no column {name!r} to divide rows by; nearest: {near!r}")
    equal = find_equal_rows(frame, columns, target)
    asked = data.equal_rows
    data = _settle_equal_rows(data, equal, len(frame))
    units = equal.units if equal.together else np.arange(len(frame))
    if equal.together and not data.groups_by:
        data, units = _settle_near_copies(data, frame, columns, target, units, asked)
    data = _settle_groups(data, frame, columns, target, units)
    if data.folds == "grouped":
        units = joined(units, group_units(frame[data.groups_by]))
    return _settle_time(data, frame, columns, target, units)


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


def _settle_near_copies(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target, equal: Rows, asked: str
) -> tuple[TableData, Rows]:
    """Keep rows together that are equal but for a jitter, where a quick model profits from it."""
    units = find_near_copies(frame, columns, equal)
    if units is None:
        return dataclasses.replace(data, equal_rows=TOGETHER) if asked == NEARLY else data, equal
    known, new, matters = compare_units(frame, columns, target, equal, units)
    if not (matters or asked == NEARLY):
        return data, equal
    n_near = int((np.bincount(units)[units] > np.bincount(equal)[equal]).sum())
    text = (
        f"{n_near} of {len(frame)} rows are equal to another but for small differences in numbers "
        f"({int(units.max()) + 1} different rows): a quick model gets {known} where it has seen the other, {new} where "
        "it has not"
    )
    if asked in (TOGETHER, APART):
        return _told(data, f"{text}; divided like others, as asked", "some rows are nearly equal"), equal
    text = f"{text}; such rows stay on one side of every division and count as one (--equal-rows together: not)"
    return _told(data, text, equal_rows=NEARLY), units


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
    alike = "are alike" if one.shown else "are not shown to be alike"
    return (
        f"rows of one {one.column} {alike} ({one.n_groups} of them): a quick model gets {one.known} for another row "
        f"of a known {one.column}, {one.new} for a new {one.column}"
    )


def _alike(one: Grouping) -> str:
    return f"rows of one {one.column} are alike"


def _settle_time(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target, units: Rows
) -> TableData:
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
        found = compare_time(frame, columns, target, times, units)
        if not (found.matters or asked):
            continue
        return _with_time(data, column.name, found, whole=bool(known.all()))
    if (not asked or asked == ROW_ORDER) and not data.groups_by and len(frame) >= FEWEST_ROWS:
        return _settle_row_order(data, frame, columns, target, units)
    return dataclasses.replace(data, folds="time") if asked and data.folds == AUTO else data


def _settle_row_order(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target, units: Rows
) -> TableData:
    """Divide by the order in the file, where rows next to each other are alike and nothing explains why."""
    if not data.ordered_by and sorted_by(frame, columns, target):
        return data
    order = np.arange(len(frame), dtype=np.float64)
    found = compare_time(frame, columns, target, order, units, only_if_serial=not data.ordered_by)
    if not (found.goes_on or data.ordered_by):
        return data
    return _with_time(data, ROW_ORDER, found, whole=True)


def _with_time(data: TableData, name: str, found: TimeFinding, *, whole: bool) -> TableData:
    if name == ROW_ORDER:
        text = (
            "rows next to each other in the file are alike: a quick model gets "
            f"{found.any_time} among rows from anywhere, {found.later} for rows further down"
        )
        suspected, scope, last = "rows next to each other in the file are alike", "rows further down", "last"
    else:
        text = f"a quick model gets {found.any_time} among rows of all times, {found.later} for later rows ({name})"
        suspected, scope, last = f"later rows are harder to predict ({name})", "later rows", "latest"
    by = "the order in the file" if name == ROW_ORDER else "time"
    if data.ordered_by:
        return _told(data, f"{text}; divided by {by}, as asked", folds="time", scope=scope, stretch=found.stretch)
    if data.time_column == NONE or not whole or data.folds != AUTO:
        why = "as asked"
        if data.time_column != NONE and (data.groups_by or not whole):
            why = f"but by {data.groups_by}" if data.groups_by else f"as some rows have no {name}"
        if data.groups_by and data.time_column != NONE:
            suspected += f", and what is divided by is {data.groups_by}"
        return _told(data, f"{text}; not divided by {by}, {why}", suspected)
    return _told(
        data,
        f"{text}; divided by {by}, the {last} rows are the test rows (--time-column none: not)",
        folds="time",
        time_column=name,
        scope=scope,
        stretch=found.stretch,
    )


def _told(data: TableData, line: str, suspected: str = "", **changes: Any) -> TableData:
    """Return the settings with changes and another line of what was found."""
    told = "; ".join(text for text in (data.suspected, suspected) if text)
    return dataclasses.replace(data, found=(*data.found, line), suspected=told, **changes)
