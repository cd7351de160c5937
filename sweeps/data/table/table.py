"""What a table in memory is, what is refused as one, and within which sizes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import InputMessageError

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""Cells read as missing: the empty one and pandas' words."""


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
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    encoding: str | None
    separator: str | None
    decimal: str | None
    lines: npt.NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.frame.shape[1])


def check_header(source: str, line: int, row: list[str], missing: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the names of the columns, spaces around them cut, and notes; raise TableError where they are none."""
    names, notes = [name.strip() for name in row], []
    if not names[0] and len(names) > 1:
        names[0] = "(row)"
        notes.append("the first column has no name and is called '(row)'")
    whole = [name for name in names if re.fullmatch(r"[0-9]{1,6}", name)]
    counted = len(whole) > 1 and whole == [str(int(whole[0]) + k) for k in range(len(whole))]
    for position, name in enumerate(names, start=1):
        where = f"{source}: line {line}, column {position}:"
        if not name:
            raise TableError(f"{where} no name; expected one for every column")
        if "\n" in name or "\r" in name:
            raise TableError(f"{where} a line break in the name; expected a header on one line (a stray quote?)")
        if len(name) > 1_000:
            raise TableError(f"{where} a name of {len(name):,} characters; expected at most 1,000")
        value = re.fullmatch(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?", name)
        if (value and not (counted and name in whole)) or name in missing:
            raise TableError(f"{where} {name!r} looks like a value, not a name; expected a header line")
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        places = ", ".join(str(k) for k, name in enumerate(names, start=1) if name == repeated[0])
        raise TableError(
            f"{source}: line {line}, columns {places}: all named {repeated[0]!r}; expected different names"
        )
    return names, notes
