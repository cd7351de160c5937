"""What a table in memory is, what is refused as one, and within which sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import InputMessageError
from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.told import same_form

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""Cells read as missing: the empty one and pandas' words."""
MISSING_ANY_CASE = frozenset(word.casefold() for word in MISSING if word)
"""The same words in any case: read as missing in a column that is otherwise of numbers."""
USUAL_MISSING = frozenset(
    (
        *("?", "??", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "*", "**", "n.a.", "n.d.", "nd", "nil"),
        *("unknown", "missing", "not available", "not known", "no data", "blank", "empty", "undefined", "unspecified"),
        *("#value!", "#div/0!", "#ref!", "#null!", "#num!", "#name?", "(null)", "(missing)", "(blank)", "<null>"),
        *MISSING_ANY_CASE,
    )
)
"""Words (in lower case) that often mean a missing cell: never read so unasked, but named with the option that does."""


class TableError(InputMessageError):
    """A file that is not read, in one line: file, line, column, what was found and what would do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes beyond which a file is refused before its memory is taken.

    Parameters
    ----------
    n_bytes : int
        Bytes of the file, and of its text after decompression.
    n_rows, n_columns, n_cells : int
        Shape of the table.
    line_length : int
        Characters in one line.
    compression : int
        Bytes of text per compressed byte (looked at after the first 64 MiB of text).
    """

    n_bytes: int = 1 << 30
    n_rows: int = 20_000_000
    n_columns: int = 10_000
    n_cells: int = 200_000_000
    line_length: int = 1 << 22
    compression: int = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A table in memory and where it came from.

    Parameters
    ----------
    frame : DataFrame
        Columns of int64 (whole numbers without missing ones), float64 (missing is NaN), bool, datetime64 (from Parquet)
        or Python str (missing is NaN).
    source : str
        The file as it was named.
    sha256 : str
        Digest of the file's bytes.
    encoding, separator, decimal : str or None
        How text was read; None for Parquet.
    lines : ndarray (n_rows,) of int
        The line of the file on which each row begins; row numbers from 1 for Parquet.
    notes : tuple of str
        What a reader of the report should know: words read as missing, codes kept as text, ...
    formats : tuple of (str, NumberFormat)
        Columns whose numbers have marks, and how they are written.
    date_formats : tuple of (str, str)
        Columns of dates that were not written as ISO 8601, and how they were.
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    encoding: str | None
    separator: str | None
    decimal: str | None
    lines: npt.NDArray[np.int64]
    notes: tuple[str, ...]
    formats: tuple[tuple[str, NumberFormat], ...] = ()
    date_formats: tuple[tuple[str, str], ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.frame.shape[1])


def with_known_target(table: Table, target: str) -> Table:
    """Return a table without the rows whose target is missing, which are named in a note.

    A table without the column, or without a single value in it, is returned as it is: that is refused elsewhere.
    """
    if target not in table.frame.columns:
        return table
    known = table.frame[target].notna().to_numpy()
    if known.all() or not known.any():
        return table
    lines = table.lines[~known]
    frame = table.frame[known].reset_index(drop=True)
    which = f"line {lines[0]}" if len(lines) == 1 else f"the first on line {lines[0]}"
    note = (
        f"{len(lines)} of {len(known)} rows have no {target!r} ({which}) and are left out of training; "
        "predict ... --without-target predicts them"
    )
    return replace(table, frame=frame, lines=table.lines[known], notes=(*table.notes, note))


def is_value(text: str) -> bool:
    """Whether a word is a number, and so no name."""
    return re.fullmatch(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?", text) is not None


def check_header(source: str, line: int, row: list[str], missing: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the names of the columns in Unicode's composed form, spaces around them cut, and notes.

    Unnamed columns at the end are returned without a name; that they are empty is the caller's to see.

    Raises
    ------
    TableError
        If they are none.
    """
    names, notes = [same_form(name.strip()) for name in row], []
    n_named = max((position for position, name in enumerate(names, start=1) if name), default=0)
    if not names[0] and n_named > 1:
        names[0] = "(row)"
        notes.append("the first column has no name and is called '(row)'")
    whole = [name for name in names if re.fullmatch(r"[0-9]{1,6}", name)]
    counted = len(whole) > 1 and whole == [str(int(whole[0]) + k) for k in range(len(whole))]
    for position, name in enumerate(names[: max(n_named, 1)], start=1):
        where = f"{source}: line {line}, column {position}:"
        if not name:
            raise TableError(f"{where} no name; expected one for every column")
        if "\n" in name or "\r" in name:
            raise TableError(f"{where} a line break in the name; expected a header on one line (a stray quote?)")
        if len(name) > 1_000:
            raise TableError(f"{where} a name of {len(name):,} characters; expected at most 1,000")
        if (is_value(name) and not (counted and name in whole)) or name in missing:
            raise TableError(
                f"{where} {name!r} looks like a value, not a name; expected a header line (--no-header if there is "
                "none: columns are then called 1, 2, 3)"
            )
    if repeated := [name for name, n in Counter(names[:n_named]).items() if n > 1]:
        places = ", ".join(str(k) for k, name in enumerate(names, start=1) if name == repeated[0])
        raise TableError(
            f"{source}: line {line}, columns {places}: all named {repeated[0]!r}; expected different names"
        )
    return names, notes


def missing_option(words: Sequence[str]) -> str:
    """Return the option of the command line that reads words as missing."""
    listed = ",".join(words)
    return f"--missing='{listed}'" if listed.startswith("-") else f"--missing '{listed}'"


def shown(cell: str) -> str:
    """Return a cell for a message: quoted, cut where it is long."""
    return repr(cell if len(cell) <= 60 else cell[:57] + "...")
