"""Places as the out-of-range part: the rows of one hospital, or of each in turn, that nothing has learnt from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import nearest
from sweeps.data.table.folds import Fold
from sweeps.data.table.table import TableError

Rows = npt.NDArray[np.intp]

MOST_DOMAINS = 20
"""Values of a column that are held out in turn: each takes a fold."""


def domain_words(series: pd.Series[Any]) -> list[str]:
    """Return each cell as it is named on the command line; a missing one is empty."""
    return ["" if pd.isna(cell) else _word(cell) for cell in series.tolist()]


def domain_rows(frame: pd.DataFrame, column: str, value: str) -> npt.NDArray[np.bool_]:
    """Return which rows have a value in a column.

    Raises
    ------
    TableError
        If there is no such column, no row has the value, or all have.
    """
    series = _series(frame, column)
    words = np.array(domain_words(series), dtype=object)
    found = np.asarray(words == value, dtype=np.bool_)
    if not found.any():
        if series.isna().all():
            raise TableError(f"out of range: column {column!r} is empty; name one that has values")
        if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
            raise TableError(_no_number(series, column, value))
        near = nearest(value, sorted(set(words.tolist())), cutoff=0.0)
        raise TableError(f"out of range: no row has {value!r} in column {column!r}; nearest: {near!r}")
    if found.all():
        raise TableError(f"out of range: all rows have {value!r} in column {column!r}; expected rows to learn from")
    return found


def domain_numbers(frame: pd.DataFrame, column: str) -> tuple[Rows, list[str]]:
    """Return the number of each row's value in a column, and the values in order.

    Raises
    ------
    TableError
        If there is no such column, a cell is missing, or there are fewer than 2 or more than `MOST_DOMAINS` values.
    """
    words = domain_words(_series(frame, column))
    values = sorted(set(words))
    if "" in values:
        raise TableError(f"out of range: column {column!r}: missing in row {words.index('') + 1}; expected a value")
    if not 2 <= len(values) <= MOST_DOMAINS:
        raise TableError(
            f"out of range: column {column!r} has {len(values)} different values; expected 2 to {MOST_DOMAINS} to hold "
            f"out in turn (one alone: {column}={values[0]})"
        )
    return np.searchsorted(values, words).astype(np.intp), values


def hold_out_in_turn(folds: Sequence[Fold], domains: Rows, n_domains: int) -> tuple[Fold, ...]:
    """Return folds each of which leaves one domain out: fold k knows nothing of domain k, which is out of range for it.

    Parameters
    ----------
    folds : sequence of Fold
        Folds of all rows.
    domains : ndarray (n_rows of the table,) of int
        Domain of each row.
    n_domains : int
        How many; with more folds than that they come round again.

    Raises
    ------
    ValueError
        If a fold has no row left.
    """
    found = []
    for k, fold in enumerate(folds):
        held = k % n_domains
        everything = np.sort(np.concatenate([fold.train, fold.validation]))
        beyond = everything[domains[everything] == held]
        train, validation = (part[domains[part] != held] for part in (fold.train, fold.validation))
        if len(train) < 2 or not len(validation) or not len(beyond):
            raise ValueError("folds: a fold without rows of one domain has none left; take fewer folds (n_folds)")
        found.append(Fold(train, validation, beyond))
    return tuple(found)


def _series(frame: pd.DataFrame, column: str) -> pd.Series[Any]:
    if column not in frame.columns:
        compared = re.fullmatch(r"\s*(.+?)\s*([<>])=?[^<>]*", column)
        if compared and compared[1] in frame.columns and pd.api.types.is_numeric_dtype(frame[compared[1]]):
            end = "top" if compared[2] == ">" else "bottom"
            raise TableError(
                f"out of range: {column!r} is a comparison; give the share of the rows at that end: "
                f"'{compared[1]}:{end}:0.1'"
            )
        near = nearest(column, [str(name) for name in frame.columns], cutoff=0.0)
        raise TableError(f"out of range: no column {column!r}; nearest: {near!r}")
    return frame[column]


def _no_number(series: pd.Series[Any], column: str, value: str) -> str:
    """Return what to say of a column of numbers that has not this one."""
    cells = series.dropna().tolist()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        return (
            f"out of range: column {column!r} has numbers from {_word(min(cells))} to {_word(max(cells))}, not "
            f"{value!r}; for the highest tenth give '{column}:top:0.1', for the lowest '{column}:bottom:0.1'"
        )
    near = _word(min(cells, key=lambda cell: abs(cell - number)))
    return f"out of range: no row has {value!r} in column {column!r}; nearest: {near!r}"


def _word(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
