"""Read a table from a file exactly, or refuse it with one line that says where and why.

A table is a header line and rows of as many cells: CSV or TSV text (also gzipped) or Parquet. The rules are stated here
once, so that nothing is guessed in silence:

- The text is UTF-8, unless a byte-order mark says UTF-8, UTF-16 or UTF-32 or the caller names the encoding.
- The separator is a tab in ``.tsv`` files, else the one of ``, ; tab |`` that the header line holds outside quotes;
  several of them, and the caller has to choose.
- Every row has as many cells as the header; no name is empty or there twice (an unnamed first column, as pandas writes
  it for row numbers, is called ``(row)``).
- A column is of numbers where every cell that is not missing is one: decimal digits with an optional sign, point and
  exponent, finite. Where nine tenths are and the rest is not, the file is refused and the first odd cell named. Digits
  with leading zeros or more than 15 of them are codes: the column stays text.
- Missing is an empty cell or a word of `MISSING` (those of pandas); which words were read so is told in `Table.notes`.
- Text is kept to the letter.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.parquet import read_parquet
from sweeps.data.table.table import MISSING, Limits, Table, TableError, check_header
from sweeps.data.table.text import ENCODINGS, Text, codec_name, open_text, read_bytes

_SEPARATORS = MappingProxyType({",": "','", ";": "';'", "\t": "a tab", "|": "'|'"})
_CHUNK_ROWS = 20_000
_MOSTLY_NUMBERS = 0.9
_LONGEST_CELL = 131_072  # the csv module's own limit
_SPACE = r"[ \t]*+"
_INFINITE = re.compile(rf"{_SPACE}[+-]?(?:inf|infinity|1\.#inf){_SPACE}", re.IGNORECASE)
_CODE = re.compile(rf"{_SPACE}[+-]?(?:0[0-9]+|[1-9][0-9]{{15,}}){_SPACE}")
_ZERO = re.compile(rf"{_SPACE}[+-]?[0.,]+(?:[eE][+-]?[0-9]+)?{_SPACE}")


def read_table(
    path: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
    text_columns: Sequence[str] = (),
    missing: Sequence[str] = (),
    limits: Limits | None = None,
) -> Table:
    """Read a CSV, TSV (either also gzipped) or Parquet file.

    Parameters
    ----------
    path : path
        A regular file. What it is follows from its first bytes (gzip, Parquet), else it is text.
    encoding : str, optional
        A name in `ENCODINGS`; default UTF-8, or what a byte-order mark says.
    separator : str, optional
        ``","``, ``";"``, a tab or ``"|"``; default by the module's rule.
    decimal : str
        ``"."`` or ``","``.
    text_columns : sequence of str
        Columns to keep as text though most of their cells are numbers.
    missing : sequence of str
        More words that mean a missing cell, beside `MISSING`.
    limits : Limits, optional
        Other sizes than the default ones.

    Returns
    -------
    Table
        Every row and every value of the file.

    Raises
    ------
    TableError
        If the file cannot be read exactly; one line with file, line, column and what was expected.
    """
    source = os.fspath(path)
    limits = limits or Limits()
    _check_choices(source, encoding, separator, decimal)
    data = read_bytes(source, limits)
    sha256 = hashlib.sha256(data).hexdigest()
    if data[:4] == b"PAR1":
        return read_parquet(source, data, sha256, limits)
    text = open_text(source, data, encoding, limits)
    words = MISSING | {word.strip() for word in missing}
    layout = _survey(source, text, separator, decimal, frozenset(words), frozenset(text_columns), limits)
    if not data.endswith((b"\n", b"\r", b"\0")) and not text.packed:
        layout.notes.append("the last line has no end: a file cut short?")
    frame = _convert(source, text, layout, limits)
    return Table(
        frame=frame,
        source=source,
        sha256=sha256,
        encoding=text.encoding,
        separator=layout.separator,
        decimal=decimal,
        lines=layout.lines,
        notes=tuple(layout.notes),
    )


def expected_memory(path: str | os.PathLike[str]) -> int:
    """Return roughly how many bytes of memory reading `path` and preparing it will take, before taking them.

    Measured with a million rows of 20 numbers, 148 MB of text, from the file to the first trial: 1.1 GB. Compressed
    files count four times.
    """
    n_bytes = os.stat(path).st_size
    with Path(path).open("rb") as stream:
        start = stream.read(4)
    packed = start[:2] == b"\x1f\x8b" or start == b"PAR1"
    return 300_000_000 + n_bytes * (24 if packed else 6)


def _check_choices(source: str, encoding: str | None, separator: str | None, decimal: str) -> None:
    if encoding is not None and codec_name(encoding) is None:
        near = difflib.get_close_matches(encoding.lower(), [*ENCODINGS], 1, 0.0)
        raise TableError(f"{source}: encoding={encoding!r} is none of {', '.join(ENCODINGS)}; nearest: {near[0]!r}")
    if separator is not None and separator not in _SEPARATORS:
        raise TableError(f"{source}: separator={separator!r}; expected one of ',', ';', '\\t' (a tab), '|'")
    if decimal not in (".", ","):
        raise TableError(f"{source}: decimal={decimal!r}; expected '.' or ','")
    if decimal == separator:
        raise TableError(f"{source}: decimal and separator are both {decimal!r}; a decimal comma needs separator=';'")


@dataclass(slots=True)
class _Cells:
    """What the cells of one column are."""

    name: str
    n_number: int = 0
    n_missing: int = 0
    n_other: int = 0
    n_infinite: int = 0
    n_code: int = 0
    n_comma: int = 0
    words: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    numeric: bool = False

    def note(self, kind: str, row: int, cell: str) -> None:
        """Remember the first cell of a kind: its row from 0 and its text."""
        self.first.setdefault(kind, (row, cell))


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the first pass found."""

    separator: str
    decimal: str
    missing: frozenset[str]
    cells: list[_Cells]
    lines: npt.NDArray[np.int64]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Whole columns at once: cells joined by line ends, matched in one go."""

    numbers: re.Pattern[str]
    number: re.Pattern[str]
    comma: re.Pattern[str]
    missing: frozenset[str]


def _patterns(decimal: str, missing: frozenset[str]) -> _Patterns:
    point = re.escape(decimal)
    power = "[eE][+-]?[0-9]{1,4}"
    whole = "(?:0|[1-9][0-9]*+)"
    # Digits alone are a number up to 15 of them; with a point or a power any digits are.
    digits = rf"{whole}(?:{point}[0-9]*+(?:{power})?|{power})|0|[1-9][0-9]{{0,14}}|{point}[0-9]++(?:{power})?"
    number = rf"{_SPACE}[+-]?(?:{digits}){_SPACE}"
    return _Patterns(
        numbers=re.compile(rf"(?:{number}\n)*+"),
        number=re.compile(number),
        comma=re.compile(rf"{_SPACE}[+-]?[0-9]+,[0-9]+{_SPACE}"),
        missing=missing,
    )


def _survey(
    source: str,
    text: Text,
    separator: str | None,
    decimal: str,
    missing: frozenset[str],
    text_columns: frozenset[str],
    limits: Limits,
) -> _Layout:
    if separator is None:
        separator = _choose_separator(source, next(text.lines(), ""), decimal)
    rows = _rows(source, text, separator, limits)
    header = next(rows, None)
    if header is None:
        raise TableError(f"{source}: line 1: no text; expected a header line and rows")
    names, notes = check_header(source, *header, missing=missing)
    if unknown := text_columns - set(names):
        near = difflib.get_close_matches(min(unknown), names, 1, 0.0)
        raise TableError(f"{source}: text column {min(unknown)!r} is not in the header; nearest: {near[0]!r}")
    cells = [_Cells(name) for name in names]
    starts = array("q")
    patterns = _patterns(decimal, missing)
    for lines, columns in _chunks(rows, len(names)):
        for column, chunk in zip(cells, columns, strict=True):
            _count(column, chunk, len(starts), patterns)
        starts.extend(lines)
    if not starts:
        raise TableError(f"{source}: line 2: no row below the header; expected at least one")
    lines_of_rows = np.frombuffer(starts, dtype=np.int64)
    for column in cells:
        _decide(source, column, lines_of_rows, column.name in text_columns, decimal, notes)
    return _Layout(separator, decimal, missing, cells, lines_of_rows, notes)


def _choose_separator(source: str, header: str, decimal: str) -> str:
    if source.removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    bare = re.sub(r'"[^"]*"', "", header)
    present = [mark for mark in _SEPARATORS if mark in bare]
    if len(present) > 1:
        marks = " and ".join(_SEPARATORS[mark] for mark in present)
        raise TableError(f"{source}: line 1: the header holds {marks}; say which of them separates: separator=...")
    if decimal == ",":
        return present[0] if present and present[0] != "," else ";"
    return present[0] if present else ","


def _rows(source: str, text: Text, separator: str, limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and the cells of the header and of every row."""
    reader = csv.reader(text.lines(), delimiter=separator, strict=True)
    start, width, n_rows, n_blank = 1, 0, 0, 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TableError(f"{source}: line {start}: {_quote_trouble(str(error), separator)}") from None
        if not row:
            n_blank += 1
            if not width or n_blank > 100:
                raise TableError(f"{source}: line {start}: blank; expected {'rows' if width else 'a header line'}")
        elif n_blank:
            raise TableError(
                f"{source}: line {start - n_blank}: blank; expected {width} cells (write NA for a missing value)"
            )
        else:
            if not width:
                width = len(row)
                if width > limits.n_columns:
                    raise TableError(f"{source}: line 1: {width:,} columns; up to {limits.n_columns:,} are read")
            elif len(row) != width:
                raise TableError(f"{source}: line {start}: {len(row)} cells; expected {width}, as in the header")
            n_rows += 1
            if n_rows > limits.n_rows or n_rows * width > limits.n_cells:
                raise TableError(
                    f"{source}: line {start}: more than {limits.n_rows:,} rows or {limits.n_cells:,} cells; take fewer"
                )
            yield start, row
        start = reader.line_num + 1


def _quote_trouble(error: str, separator: str) -> str:
    if "field larger" in error:
        return f"a cell of more than {_LONGEST_CELL:,} characters (a quote that never closes?); expected shorter cells"
    if "unexpected end" in error:
        return 'a quote (") opens here and never closes; expected its partner, or "" for a quote within a quoted cell'
    if "expected after" in error:
        return f'text after a closing quote ("); expected {_SEPARATORS[separator]} or the end of the line'
    return f"{error}; expected cells separated by {_SEPARATORS[separator]}"


def _chunks(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
    """Yield line numbers and columns of some thousand rows at a time (fewer of wide tables)."""
    size = max(100, min(_CHUNK_ROWS, 2_000_000 // width))
    lines: list[int] = []
    block: list[list[str]] = []
    for line, row in rows:
        lines.append(line)
        block.append(row)
        if len(block) == size:
            yield lines, list(zip(*block, strict=True))
            lines, block = [], []
    if block:
        yield lines, list(zip(*block, strict=True))


def _count(column: _Cells, chunk: tuple[str, ...], row: int, patterns: _Patterns) -> None:
    joined = "\n".join(chunk) + "\n"
    if joined.count("\n") == len(chunk) and patterns.numbers.fullmatch(joined):
        column.n_number += len(chunk)
        return
    kinds: dict[str, str] = {}
    for offset, cell in enumerate(chunk):
        kind = kinds.get(cell)
        if kind is None:
            kind = kinds[cell] = _kind(cell, patterns)
        if kind == "number":
            column.n_number += 1
            continue
        if kind == "missing":
            column.n_missing += 1
            if word := cell.strip():
                column.words[word] += 1
            continue
        if kind == "infinite":
            column.n_infinite += 1
        elif kind == "code":
            column.n_code += 1
        elif kind == "comma":
            column.n_comma += 1
        else:
            column.n_other += 1
        column.note(kind, row + offset, cell)
        if kind != "code":
            column.note("odd", row + offset, cell)


def _kind(cell: str, patterns: _Patterns) -> str:
    if cell.strip() in patterns.missing:
        return "missing"
    if patterns.number.fullmatch(cell):
        return "number"
    if _INFINITE.fullmatch(cell):
        return "infinite"
    if _CODE.fullmatch(cell):
        return "code"
    return "comma" if patterns.comma.fullmatch(cell) else "other"


def _decide(
    source: str, column: _Cells, lines: npt.NDArray[np.int64], as_text: bool, decimal: str, notes: list[str]
) -> None:
    """Set whether a column is of numbers, or refuse it."""
    if column.words:
        told = ", ".join(f"{word!r} {n} times" for word, n in column.words.most_common(3))
        notes.append(f"column {column.name!r}: read as missing: {told}")
    present = len(lines) - column.n_missing
    if as_text:
        return

    def refuse(kind: str, expected: str) -> TableError:
        row, cell = column.first[kind]
        shown = cell if len(cell) <= 60 else cell[:57] + "..."
        return TableError(f"{source}: line {lines[row]}, column {column.name!r}: {shown!r}; {expected}")

    if column.n_comma and column.n_number + column.n_comma + column.n_infinite == present and decimal == ".":
        raise refuse("comma", "expected a number with a decimal point (name decimal=',' if the comma is one)")
    odd = column.n_other + column.n_comma
    if column.n_code and not odd and not column.n_infinite:
        row, cell = column.first["code"]
        why = "has leading zeros" if cell.strip().lstrip("+-").startswith("0") else "has more than 15 digits"
        notes.append(f"column {column.name!r}: kept as text, as {cell!r} on line {lines[row]} {why}")
        return
    numeric = column.n_number + column.n_infinite
    if column.n_infinite and numeric == present:
        raise refuse("infinite", "expected a finite number, or NA")
    if numeric < _MOSTLY_NUMBERS * present or not present:
        if numeric:
            row, cell = column.first["odd"] if "odd" in column.first else column.first["code"]
            told = f"kept as text, as {cell!r} on line {lines[row]} is none of its {numeric} numbers"
            notes.append(f"column {column.name!r}: {told}")
        column.numeric = not present  # nothing but missing cells
        return
    if numeric < present:
        kind = "odd" if "odd" in column.first else "code"
        raise refuse(kind, f"expected a number, as in {numeric} of {present} cells (or name it in text_columns, or NA)")
    column.numeric = True


def _convert(source: str, text: Text, layout: _Layout, limits: Limits) -> pd.DataFrame:
    rows = _rows(source, text, layout.separator, limits)
    next(rows)
    n_rows = len(layout.lines)
    arrays: list[npt.NDArray[Any]] = [
        np.empty(n_rows, dtype=np.float64 if column.numeric else object) for column in layout.cells
    ]
    known: list[dict[str, str]] = [{} for _ in layout.cells]  # one string object for equal cells
    start = 0
    for lines, columns in _chunks(rows, len(layout.cells)):
        stop = start + len(lines)
        for column, values, seen, chunk in zip(layout.cells, arrays, known, columns, strict=True):
            if column.numeric:
                values[start:stop] = _numbers(source, column, chunk, lines, layout)
            elif column.n_missing:
                values[start:stop] = [
                    np.nan if cell.strip() in layout.missing else seen.setdefault(cell, cell) for cell in chunk
                ]
            else:
                values[start:stop] = [seen.setdefault(cell, cell) for cell in chunk]
        start = stop
    series = {
        column.name: pd.Series(_narrow(column, values), dtype=None if column.numeric else object)
        for column, values in zip(layout.cells, arrays, strict=True)
    }
    return pd.DataFrame(series, copy=False)


def _numbers(
    source: str, column: _Cells, chunk: tuple[str, ...], lines: Sequence[int], layout: _Layout
) -> npt.NDArray[np.float64]:
    cells: Sequence[str] = chunk
    if column.n_missing:
        cells = ["nan" if cell.strip() in layout.missing else cell for cell in chunk]
    if layout.decimal == ",":
        cells = [cell.replace(",", ".") for cell in cells]
    values = np.array(list(map(float, cells)))
    for k in np.flatnonzero(np.isinf(values)).tolist():
        raise TableError(
            f"{source}: line {lines[k]}, column {column.name!r}: {chunk[k]!r}; expected a number below 1.8e308, or NA"
        )
    for k in np.flatnonzero(values == 0.0).tolist():
        if chunk[k] != "0" and not _ZERO.fullmatch(chunk[k]):
            raise TableError(
                f"{source}: line {lines[k]}, column {column.name!r}: {chunk[k]!r}; expected 0 or a number beyond 1e-307"
            )
    return values


def _narrow(column: _Cells, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return whole numbers without missing ones as int64 (exact: they have at most 15 digits), others as they are."""
    if not column.numeric or column.n_missing or np.abs(values).max() >= 1e15 or (values != np.rint(values)).any():
        return values
    return values.astype(np.int64)
