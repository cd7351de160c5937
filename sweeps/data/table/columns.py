"""What each column of a table is for: its role by stated rules, and the task its target sets.

The rules, in this order; the caller may overrule any of them by name:

constant
    At most one different value, missing counted as one. Left out.
boolean
    Stored as one, or text of the words of one pair of `BOOLEAN_WORDS`, in any letter case.
date
    Text whose every present cell is an ISO 8601 date or time (``2024-05-31``, ``2024/05/31``, ``2024-05-31T12:30:00``),
    or stored as one. Day-first and month-first dates are not told apart by looking: they stay categories or text.
identifier
    No missing value, all different, at least 20 rows, and either text or whole numbers that count up by one or whose
    name says so (``id``, ``Id``, ``customer_id``, ``uuid``, ``index``, ``(row)``). Left out, but for numbers that only
    count up and are the only column to learn from.
number
    Any other column of numbers.
category
    Text with at most `MOST_CATEGORIES` different values and at most one in twenty rows (20 are always allowed, and up
    to `WELL_FILLED` where there are five rows to each on average).
text
    Any other text. Left out; where its first words would be categories, that is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import nearest
from sweeps.data.table.table import TableError, is_value
from sweeps.data.table.told import ROLES, Role

Task = Literal["regression", "classification"]

USED_ROLES: tuple[Role, ...] = ("number", "category", "boolean", "date")
BOOLEAN_WORDS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))
MOST_CATEGORIES = 1_000
WELL_FILLED = 50
MOST_CLASSES = 100
_IDENTIFIER_NAME = re.compile(r"(?:^|[_\s.-])(?:id|uuid|guid|index|idx|row)$|^\(row\)$|[a-z]I[dD]$|^Unnamed: 0$", re.I)
_ISO_DATE = re.compile(
    r"[0-9]{4}([-/])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table and its role.

    Parameters
    ----------
    name : str
        As in the header.
    role : str
        A key of `ROLES`.
    reason : str
        Why it has that role, for the report.
    n_missing, n_distinct : int
        Missing cells; different values among the present ones.
    """

    name: str
    role: Role
    reason: str
    n_missing: int
    n_distinct: int

    @property
    def used(self) -> bool:
        """Whether a network gets to see it."""
        return self.role in USED_ROLES


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be predicted.

    Parameters
    ----------
    name : str
        Column of the target.
    task : str
        ``"regression"`` or ``"classification"``.
    reason : str
        The rule that told them apart, for the report.
    classes : tuple of str
        Names of the classes in the order of their indices; empty for regression.
    values : ndarray (n_rows,) of float64
        Numbers (regression) or class indices.
    """

    name: str
    task: Task
    reason: str
    classes: tuple[str, ...]
    values: npt.NDArray[np.float64]


def find_columns(frame: pd.DataFrame, target: str, roles: Mapping[str, Role] | None = None) -> tuple[Column, ...]:
    """Return every column but the target with its role.

    Parameters
    ----------
    frame : DataFrame
        A table's frame.
    target : str
        Name of the target column, which is not among the features.
    roles : mapping of str to str, optional
        Roles settled by the user.

    Raises
    ------
    TableError
        If a name is not in the table, a role does not exist or does not fit the column, or no column is left.
    """
    told = dict(roles or {})
    for name in (target, *told):
        _check_name(frame, name)
    columns = tuple(
        _column(str(name), frame[name], told.get(str(name))) for name in frame.columns if str(name) != target
    )
    if not any(column.used for column in columns):
        columns = tuple(_counting(column, frame[column.name], told) for column in columns)
    if not any(column.used for column in columns):
        listed = ", ".join(f"{column.name!r} ({column.role})" for column in columns[:5]) or "none"
        raise TableError(
            f"no column to learn from beside the target {target!r}: {listed}; settle a role: --role COLUMN=number"
        )
    return columns


def find_target(frame: pd.DataFrame, name: str, task: Task | None = None) -> Target:
    """Return the target's values and the task they set.

    Text and booleans are classes. Numbers are classes where they are whole, at most 20 different ones, and at least
    five rows share each on average; else they are to be predicted as numbers. `task` overrules this.

    Raises
    ------
    TableError
        If the column is not there, misses a value, has only one, or cannot be what `task` says.
    """
    _check_name(frame, name)
    series = frame[name]
    if missing := int(series.isna().sum()):
        row = int(np.flatnonzero(series.isna().to_numpy())[0]) + 1
        raise TableError(
            f"target {name!r}: {missing} of {len(series)} values are missing (the first in row {row}); "
            "expected a value in every row (leave those rows out)"
        )
    distinct = pd.unique(series)
    if len(distinct) < 2:
        raise TableError(f"target {name!r}: always {_label(distinct[0])}; expected at least two different values")
    numeric = series.dtype.kind in "if"
    found, reason = _task(series, numeric, len(distinct))
    if task == "regression" and not numeric:
        raise TableError(
            f"target {name!r}: text such as {first_text(series)!r}; expected numbers for --task regression"
        )
    if task is not None:
        found, reason = task, "settled by the user"
    if found == "regression":
        return Target(name, found, reason, (), np.asarray(series, np.float64))
    if len(distinct) > MOST_CLASSES:
        raise TableError(
            f"target {name!r}: {len(distinct)} different values; expected at most {MOST_CLASSES} classes"
            + (" (or --task regression)" if numeric else "")
        )
    ordered = sorted(distinct.tolist())
    codes = pd.Index(ordered, dtype=series.dtype).get_indexer(pd.Index(series))
    return Target(name, found, reason, tuple(_label(value) for value in ordered), codes.astype(np.float64))


def first_text(series: pd.Series[Any]) -> Any:
    """Return the first cell that is no number: the one to blame for a column that is none of numbers."""
    present = [cell for cell in series.tolist() if not pd.isna(cell)]
    return next((cell for cell in present if not is_value(str(cell).strip())), present[0] if present else None)


def dates_of(series: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return a date column as days since 1970-01-01 (UTC where a zone is given), NaN where missing."""
    if series.dtype.kind == "M":
        times = series
    else:
        text = series.astype(object).where(series.notna(), None)
        times = pd.to_datetime(text.str.replace("/", "-"), format="ISO8601", utc=True).dt.tz_localize(None)
    days = (times - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return cast("npt.NDArray[np.float64]", days.to_numpy(np.float64))


def booleans_of(series: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return a boolean column as 0 and 1, NaN where missing."""
    if series.dtype.kind in "bif":
        return series.to_numpy(np.float64)
    value = {word: float(k) for pair in BOOLEAN_WORDS for k, word in enumerate(pair)}
    cells = [np.nan if pd.isna(cell) else value.get(str(cell).strip().lower(), np.nan) for cell in series]
    return np.array(cells, dtype=np.float64)


def _check_name(frame: pd.DataFrame, name: str) -> None:
    names = [str(column) for column in frame.columns]
    if name not in names:
        near = nearest(name, names, cutoff=0.0)
        raise TableError(f"no column {name!r} in the table; nearest: {near!r}" if near else f"no column {name!r}")


def _column(name: str, series: pd.Series[Any], told: Role | None) -> Column:
    n_missing, n_distinct = int(series.isna().sum()), int(series.nunique())
    if told is None:
        role, reason = _role(name, series, n_missing, n_distinct)
    else:
        _check_role(name, series, told)
        role, reason = told, "settled by the user"
    return Column(name, role, reason, n_missing, n_distinct)


def _counting(column: Column, series: pd.Series[Any], told: Mapping[str, Role]) -> Column:
    """Return a number instead of an identifier where only its counting up says that it is one."""
    if column.role != "identifier" or column.name in told or series.dtype.kind != "i":
        return column
    if _IDENTIFIER_NAME.search(column.name):
        return column
    reason = "whole numbers that count up, and the only column to learn from"
    return Column(column.name, "number", reason, column.n_missing, column.n_distinct)


def _role(name: str, series: pd.Series[Any], n_missing: int, n_distinct: int) -> tuple[Role, str]:
    n_rows = len(series)
    if n_distinct + (n_missing > 0) <= 1:
        return "constant", "one value in all rows" if n_distinct else "no value in any row"
    kind = series.dtype.kind
    if kind == "b":
        return "boolean", "stored as true and false"
    if kind == "M":
        return "date", "stored as dates"
    text = kind not in "if"
    present = pd.unique(series.dropna())
    if text:
        words = {str(word).strip().lower() for word in present[:7]} if len(present) <= 6 else set()
        pair = next((pair for pair in BOOLEAN_WORDS if words and words <= set(pair)), None)
        if pair and len(words) == 2:
            return "boolean", f"{pair[1]} or {pair[0]}"
        if all(isinstance(cell, str) and _ISO_DATE.fullmatch(cell.strip()) for cell in present) and _real(present):
            return "date", "ISO dates"
    if not n_missing and n_distinct == n_rows >= 20 and kind != "f":
        if text:
            return "identifier", "text that differs in every row"
        if _IDENTIFIER_NAME.search(name) or (np.diff(np.sort(series.to_numpy())) == 1).all():
            return "identifier", "whole numbers that differ in every row"
    if not text:
        return "number", "numbers"
    if n_distinct <= _most_words(n_rows):
        return "category", f"{n_distinct} different words"
    reason = f"{n_distinct} different texts in {n_rows} rows"
    n_first = len({str(cell).split(maxsplit=1)[0] for cell in present if str(cell).strip()})
    if n_first < n_distinct / 2 and 1 < n_first <= _most_words(n_rows):
        reason += f"; their {n_first} first words would do in a column of their own"
    return "text", reason


def _most_words(n_rows: int) -> int:
    """Return how many different words make a category."""
    return min(MOST_CATEGORIES, max(20, n_rows // 20, min(WELL_FILLED, n_rows // 5)))


def _real(present: Any) -> bool:
    """Whether the calendar has these dates (2023-02-30 is well formed and no date)."""
    try:
        dates_of(pd.Series(present, dtype=object))
    except ValueError:
        return False
    return True


def _check_role(name: str, series: pd.Series[Any], role: Role) -> None:
    if role not in ROLES:
        near = nearest(role, [*ROLES], cutoff=0.0)
        raise TableError(f"column {name!r}: role {role!r} is none of {', '.join(ROLES)}; nearest: {near!r}")
    if role == "number" and series.dtype.kind not in "ifb":
        raise TableError(f"column {name!r}: text such as {first_text(series)!r}; expected numbers for role 'number'")
    present = series.dropna()
    if role == "boolean" and (np.isnan(booleans_of(present)).any() or not set(booleans_of(present)) <= {0.0, 1.0}):
        raise TableError(f"column {name!r}: {present.iloc[0]!r} ...; expected yes and no or 1 and 0 for role 'boolean'")
    if role == "date" and series.dtype.kind != "M" and not (series.dtype == object and _real(pd.unique(present))):
        raise TableError(f"column {name!r}: {present.iloc[0]!r} ...; expected ISO dates (2024-05-31) for role 'date'")


def _task(series: pd.Series[Any], numeric: bool, n_distinct: int) -> tuple[Task, str]:
    if not numeric:
        return "classification", "the target is not a number"
    values = series.to_numpy(np.float64)
    if n_distinct <= 20 and n_distinct * 5 <= len(values) and (values == np.rint(values)).all():
        return "classification", f"the target is one of {n_distinct} whole numbers"
    return "regression", f"the target is a number with {n_distinct} different values"


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
