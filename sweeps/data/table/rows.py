"""The rows of a table, read once: who is a test row, who lies beyond the range, what the columns are for."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.records.table import TableFile
from engine.names import unreadable
from sweeps.data.table.columns import Column, Target, Task, dates_of, find_columns, find_target, first_text
from sweeps.data.table.dates import convert_dates, with_dates
from sweeps.data.table.domains import domain_numbers, domain_rows, hold_out_in_turn
from sweeps.data.table.folds import (
    ENDS,
    Fold,
    HeldOutEnd,
    beyond_end,
    hold_out_end,
    plan_folds,
    set_aside,
    set_aside_latest,
    unit_classes,
)
from sweeps.data.table.grouping import group_units
from sweeps.data.table.near_copies import find_near_copies
from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.preprocessing import Preprocessing, find_vocabulary, fit_textbook
from sweeps.data.table.published.named import NAMED_SETS
from sweeps.data.table.reading import read_table
from sweeps.data.table.sentinels import find_sentinels
from sweeps.data.table.settings import APART, AUTO, NEARLY, NO_END, ROW_ORDER, TableData
from sweeps.data.table.table import Table, TableError, with_known_target
from sweeps.data.table.time_order import times_of
from sweeps.data.table.told import EACH, VALUE, Role, Told
from sweeps.data.table.units import EqualRows, find_equal_rows, first_rows, joined, numbered, unit_means

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TableRows:
    """A table as it is divided before any search.

    Parameters
    ----------
    frame : DataFrame
        All rows, those of a test file last.
    files : tuple of TableFile
        Where they come from.
    notes : tuple of str
        What reading noticed.
    target : Target
        What is predicted; NaN where a test row has none.
    columns : tuple of Column
        Every other column and its role.
    vocabulary : dict
        Values of each category among the rows that are no test rows: the layout of the inputs.
    textbook : Preprocessing or None
        The preprocessing fitted on all rows together, where that was asked for.
    test : ndarray of int
        Row numbers of the test part.
    test_origin : str
        Where it comes from.
    test_has_targets : bool
        Whether its targets are known.
    in_range, out_of_range : ndarray of int
        The rest without, and only, the held-out end.
    held_out : HeldOutEnd or None
        Its rule.
    folded : ndarray of int
        The rows in range that folds divide.
    groups : ndarray of int or None
        Group of each row.
    times : ndarray or None
        Time of each row.
    equal : EqualRows
        Which rows are equal.
    units : ndarray of int
        Unit of each row: rows with the same number are on one side of every division.
    text_columns : list of str
        Columns that are text and are to be read as text again.
    formats : tuple of (str, NumberFormat)
        Columns whose numbers are not written plainly, and how they are.
    """

    frame: pd.DataFrame
    files: tuple[TableFile, ...]
    notes: tuple[str, ...]
    target: Target
    columns: tuple[Column, ...]
    vocabulary: Mapping[str, tuple[str | None, ...]]
    textbook: Preprocessing | None
    test: Rows
    test_origin: str
    test_has_targets: bool
    in_range: Rows
    out_of_range: Rows
    held_out: HeldOutEnd | None
    folded: Rows
    groups: npt.NDArray[np.intp] | None
    times: FloatArray | None
    equal: EqualRows
    units: Rows
    text_columns: list[str]
    formats: tuple[tuple[str, NumberFormat], ...]

    def beyond(self, fold: Fold) -> Rows:
        """Return the rows that are out of range for a fold."""
        return self.out_of_range if fold.out_of_range is None else fold.out_of_range

    @property
    def n_inputs(self) -> int:
        """Number of network inputs."""
        if self.textbook is not None:
            return self.textbook.n_outputs
        plain = sum(column.role in ("number", "boolean", "date") for column in self.columns)
        return plain + sum(map(len, self.vocabulary.values()))


def read_data(data: TableData, *, test: bool = False) -> Table:
    """Read the table a spec is about, or its file of test rows; an unchanged file is read once a process.

    Raises
    ------
    TableError
        If the file cannot be read exactly, or is not the one whose digest the spec has.
    """
    name, expected = (data.test_file, data.test_sha256) if test else (data.file, data.sha256)
    table = _read_named(name, test) if is_named(name) else _read_file(name, data, test)
    if expected and table.sha256 != expected:
        raise TableError(
            f"{name}: holds other data (sha256 {table.sha256}) than this sweep is about ({expected}); "
            "bring that file back, or give the sweep another --name"
        )
    return table


def is_named(name: str) -> bool:
    """Return whether a file's name is that of a dataset of `sweeps.data.table.published.named`, and no file's."""
    return name in NAMED_SETS and not Path(name).exists()


@functools.lru_cache(maxsize=4)
def _read_named(name: str, test: bool) -> Table:
    found = NAMED_SETS[name].load()
    table = found.test if test else found.rows
    if table is None:
        raise TableError(f"{name}: has no test rows of its own; name a file of them, or leave test_file out")
    return table


def _read_file(name: str, data: TableData, test: bool) -> Table:
    try:
        state = os.stat(name)
    except OSError as error:
        raise TableError(unreadable(name, error)) from None
    except ValueError:  # a path from a spec may hold what no file's name can
        raise TableError(f"{name!r}: cannot be read: no file's name") from None
    told, target = data.told, "" if test else data.target
    formats: tuple[tuple[str, NumberFormat], ...] = ()
    dates: tuple[tuple[str, str], ...] | None = None
    if test and not is_named(data.file):
        table = read_data(data)
        formats, dates = table.formats, table.date_formats
        told = dataclasses.replace(told, skip_rows=0, units_row=False)
    return _read(name, state.st_mtime_ns, state.st_size, told, formats, target, data.date_format, dates)


@functools.lru_cache(maxsize=4)
def _read(
    name: str,
    mtime_ns: int,  # noqa: ARG001 (a changed file is read again)
    size: int,  # noqa: ARG001
    told: Told,
    formats: tuple[tuple[str, NumberFormat], ...],
    target: str,
    date_format: str,
    dates: tuple[tuple[str, str], ...] | None,
) -> Table:
    table = read_table(name, told, formats=dict(formats))
    table = with_known_target(table, target) if target else table
    if dates is None:
        return with_dates(table, date_format)
    return dataclasses.replace(table, frame=convert_dates(table.frame, dict(dates)), date_formats=dates)


def open_rows(data: TableData, seed: int) -> TableRows:
    """Read a table and divide its rows: the test part first, then the end beyond the range, then the folds' rows.

    Parameters
    ----------
    data : TableData
        With every rule settled (`sweeps.spec.from_table`).
    seed : int
        Of the draws.

    Raises
    ------
    TableError
        If the files do not fit each other or what is asked of them.
    ValueError
        If the rows cannot be divided so.
    """
    read_data(data)  # a file that has changed is refused, whatever was kept of it
    if data.test_file:
        read_data(data, test=True)
    return _open(data.of_rows(), seed)


@functools.lru_cache(maxsize=1)  # a sweep is built, then run: a million rows need not be divided twice
def _open(data: TableData, seed: int) -> TableRows:
    table = read_data(data)
    roles = cast("Mapping[str, Role]", dict(data.roles))
    target = _target(table.frame, data)
    columns = find_columns(table.frame, data.target, roles)
    files = [_file(table, "rows")]
    notes = [*find_sentinels(table.frame, columns, data.target), *table.notes]
    notes += [
        f"column {c.name!r}: text, left out: {c.reason}" for c in columns if c.role == "text" and c.name not in roles
    ]
    frame, n_rows = table.frame, table.n_rows
    test_has_targets = True
    if data.test_file:
        other = read_data(data, test=True)
        frame, target, test_has_targets = _with_test_rows(table, other, columns, target)
        files.append(_file(other, "test"))
        notes += [f"{files[-1].name}: {note}" for note in other.notes]
    groups = None
    if data.groups_by:
        groups = group_units(_named(frame, data.groups_by, table))
        # A group that a network sees by name would let it look up its rows.
        columns = tuple(_unused(c, "groups of the folds") if c.name == data.groups_by else c for c in columns)
    times = times_of(frame, data.ordered_by, columns, table.source) if data.ordered_by else None
    equal = find_equal_rows(frame, columns, target, n_rows)
    units = equal.units if equal.together and data.equal_rows != APART else np.arange(len(frame))
    if data.equal_rows == NEARLY:
        near = find_near_copies(frame, columns, units, n_rows)
        units = units if near is None else near
    copied = np.isin(units[:n_rows], units[n_rows:])
    if copied.any():
        notes.append(f"{copied.sum()} rows that {files[-1].name} has, too, are left out of training")
    if groups is not None:
        groups = units = joined(groups, units)
    away = _domain(data, frame, n_rows, units)
    rest, test, origin = _test_part(data, np.flatnonzero(~copied & ~away), n_rows, target, units, times, seed)
    if data.end_rule == VALUE:
        in_range, out_of_range = rest, np.flatnonzero(away)
        end: HeldOutEnd | None = HeldOutEnd(VALUE, data.end_feature, 0.0, in_range, out_of_range, value=data.end_value)
    else:
        end = _held_out(data, frame.iloc[rest], columns, target.values[rest], target.task, numbered(units[rest]))
        in_range, out_of_range = (rest[end.in_range], rest[end.out_of_range]) if end else (rest, rest[:0])
    folded = in_range
    if data.n_search_rows and data.n_search_rows < len(in_range):
        folded = in_range[_drawn(numbered(units[in_range]), data.n_search_rows, seed)]
    textbook = None
    if data.preprocessing == "textbook":
        textbook = fit_textbook(frame[[column.name for column in columns if column.role != "identifier"]])
    return TableRows(
        frame=frame,
        files=tuple(files),
        notes=tuple(notes),
        target=target,
        columns=columns,
        vocabulary=find_vocabulary(frame.iloc[rest], columns),
        textbook=textbook,
        test=test,
        test_origin=origin,
        test_has_targets=test_has_targets,
        in_range=in_range,
        out_of_range=out_of_range,
        held_out=end,
        folded=folded,
        groups=groups,
        times=times,
        equal=equal,
        units=units,
        text_columns=[c.name for c in columns if c.role == "category" and frame[c.name].dtype == object],
        formats=table.formats,
    )


def _target(frame: pd.DataFrame, data: TableData) -> Target:
    """Return the target; a settled task keeps the rule's reason where the rule comes to the same."""
    if data.task == AUTO:
        return find_target(frame, data.target)
    try:
        found = find_target(frame, data.target)
    except TableError:
        found = None  # more classes than there may be: only a settled task helps, or the next line says what is wrong
    told = find_target(frame, data.target, cast("Task", data.task))
    return found if found is not None and found.task == told.task else told


def _file(table: Table, use: str) -> TableFile:
    return TableFile(
        Path(table.source).name,
        "test" if use == "test" else "rows",
        table.sha256,
        table.n_rows,
        table.n_columns,
    )


def _with_test_rows(
    table: Table, test: Table, columns: tuple[Column, ...], target: Target
) -> tuple[pd.DataFrame, Target, bool]:
    """Return all rows, all targets, and whether the test rows' are known."""
    there = set(map(str, test.frame.columns))
    for column in columns:
        if column.used and column.name not in there:
            raise TableError(f"{test.source}: no column {column.name!r}, which {table.source} has")
        if column.name in there and table.frame[column.name].dtype.kind in "ifb":
            cells = test.frame[column.name]
            if cells.dtype.kind not in "ifb" and cells.notna().any():
                raise TableError(
                    f"{test.source}: column {column.name!r}: {first_text(cells)!r}; expected numbers as in "
                    f"{table.source}"
                )
    has_targets = target.name in there and bool(test.frame[target.name].notna().all())
    values = np.full(test.n_rows, np.nan)
    if has_targets:
        cells = test.frame[target.name]
        if target.task == "regression":
            if cells.dtype.kind not in "if":
                raise TableError(f"{test.source}: target {target.name!r}: {first_text(cells)!r}; expected numbers")
            values = cells.to_numpy(np.float64)
        else:
            place = {name: float(k) for k, name in enumerate(target.classes)}
            words = [str(int(c)) if isinstance(c, float) and c.is_integer() else str(c) for c in cells.tolist()]
            unknown = [word for word in words if word not in place]
            if unknown:
                raise TableError(
                    f"{test.source}: target {target.name!r}: {unknown[0]!r}; expected a class of {table.source}: "
                    f"{', '.join(target.classes)}"
                )
            values = np.array([place[word] for word in words])
    frame = pd.concat([table.frame, test.frame], ignore_index=True)
    return frame, dataclasses.replace(target, values=np.concatenate([target.values, values])), has_targets


def _named(frame: pd.DataFrame, name: str, table: Table) -> pd.Series[Any]:
    if name not in frame.columns:
        raise TableError(f"{table.source}: no column {name!r}")
    return frame[name]


def _unused(column: Column, reason: str) -> Column:
    return dataclasses.replace(column, role="identifier", reason=reason)


def _test_part(
    data: TableData,
    rows: Rows,
    n_table: int,
    target: Target,
    units: Rows,
    times: FloatArray | None,
    seed: int,
) -> tuple[Rows, Rows, str]:
    """Return the rows to learn from, the test rows and where these come from; `rows` are the table's own."""
    if data.test_file:
        if len(rows) < 2:
            raise TableError(
                f"{data.test_file}: holds the rows of {data.file}; expected rows to test on that it has not"
            )
        return rows, np.arange(n_table, len(units)), f"all rows of {Path(data.test_file).name}"
    if data.test_share == 0:
        return rows, rows[:0], ""
    units = numbered(units[rows])
    share = f"{data.test_share:.0%} of the rows"
    if times is not None:
        rest, test = set_aside_latest(times[rows], units, data.test_share)
        return rows[rest], rows[test], f"the {'last' if data.ordered_by == ROW_ORDER else 'latest'} {share}"
    classes = unit_classes(target.values[rows], units) if target.task == "classification" else None
    rest, test = set_aside(int(units.max()) + 1, data.test_share, seed=seed, classes=classes)
    origin = f"{share}, drawn{' from each class' if classes is not None else ''}"
    if data.groups_by:
        origin = f"{data.test_share:.0%} of the groups, drawn"
    return rows[np.isin(units, rest)], rows[np.isin(units, test)], origin


def _drawn(units: Rows, n_rows: int, seed: int) -> Rows:
    """Return the rows of whole units, drawn until `n_rows` are there."""
    sizes = np.bincount(units)
    order = np.random.default_rng([seed, 2]).permutation(len(sizes))
    return np.flatnonzero(np.isin(units, order[np.cumsum(sizes[order]) <= n_rows]))


def make_folds(data: TableData, rows: TableRows, seed: int) -> tuple[Fold, ...]:
    """Divide the rows of the folds; the folds hold numbers of rows of the whole table.

    Raises
    ------
    ValueError
        If the rows do not suffice for these folds.
    """
    of = rows.folded
    folds = plan_folds(
        data.folds,
        len(of),
        data.n_folds,
        seed=seed,
        classes=rows.target.values[of] if rows.target.task == "classification" else None,
        groups=None if rows.groups is None else rows.groups[of].tolist(),
        times=None if rows.times is None else rows.times[of],
        units=rows.units[of],
    )
    found = tuple(Fold(of[fold.train], of[fold.validation]) for fold in folds)
    if data.end_rule != EACH:
        return found
    domains, values = domain_numbers(rows.frame.iloc[: max(int(of.max()) + 1, 1)], data.end_feature)
    return hold_out_in_turn(found, domains, len(values))


def _domain(data: TableData, frame: pd.DataFrame, n_rows: int, units: Rows) -> npt.NDArray[np.bool_]:
    """Return which rows of the table are of the domain held out; whole units are."""
    if data.end_rule != VALUE:
        return np.zeros(n_rows, dtype=np.bool_)
    there = domain_rows(frame.iloc[:n_rows], data.end_feature, data.end_value)
    return np.isin(units[:n_rows], units[:n_rows][there])


def number_columns(frame: pd.DataFrame, columns: tuple[Column, ...]) -> tuple[FloatArray, list[str]]:
    """Return the numbers and dates among the columns, (n_rows, n) with NaN where missing, and their names."""
    found = {
        column.name: dates_of(frame[column.name]) if column.role == "date" else frame[column.name].to_numpy(np.float64)
        for column in columns
        if column.role in ("number", "date")
    }
    return np.column_stack([*found.values()]) if found else np.zeros((len(frame), 0)), list(found)


def rows_beyond(rows: TableRows, numbers: Rows) -> npt.NDArray[np.bool_] | None:
    """Return which rows lie beyond the held-out end, or None where no end is held out."""
    end = rows.held_out
    if end is None or end.rule not in ENDS:
        return None
    X, names = number_columns(rows.frame, rows.columns)
    return beyond_end(end, X[numbers], names, X[np.sort(np.concatenate([rows.in_range, rows.out_of_range]))])


def _held_out(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], y: FloatArray, task: Task, units: Rows
) -> HeldOutEnd | None:
    """Return the end beyond the range; whole units lie there, by their means."""
    if data.end_rule == NO_END:
        return None
    if data.end_rule == EACH:
        values = ", ".join(domain_numbers(frame, data.end_feature)[1])
        return HeldOutEnd(EACH, data.end_feature, 0.0, np.arange(len(y)), np.arange(0), value=values)
    X, names = number_columns(frame, columns)
    classes = y if task == "classification" else None
    whole = len(first_rows(units)) == len(units)
    if not whole:
        X, y = unit_means(X, units), unit_means(y, units)
        classes = None if classes is None else unit_classes(classes, units)
    end = hold_out_end(
        X,
        names,
        y,
        rule=data.end_rule,
        share=data.end_share,
        feature=data.end_feature or None,
        classes=classes,
    )
    if whole:
        return end
    inside = np.isin(units, end.in_range)
    return dataclasses.replace(end, in_range=np.flatnonzero(inside), out_of_range=np.flatnonzero(~inside))
