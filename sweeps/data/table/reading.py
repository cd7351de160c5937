"""Read a table from a file exactly, or refuse it with one line that says where and why.

A table is a header line and rows of as many cells: CSV or TSV text (also gzipped) or Parquet. The rules are stated here
once, so that nothing is guessed in silence:

- The text is UTF-8, unless a byte-order mark says UTF-8, UTF-16 or UTF-32 or the caller names the encoding.
- The separator is a tab in ``.tsv`` files, else the one of ``, ; tab |`` that the header line holds outside quotes;
  several of them, and the caller has to choose. Where the header holds none of them (or tabs only) and every line has
  as many words between blanks, some of them numbers, any run of blanks separates. A first line ``sep=;`` is followed.
- Every row has as many cells as the header; no name is empty or there twice (an unnamed first column, as pandas writes
  it for row numbers, is called ``(row)``). Columns without a name and a cell at the end, and rows without a cell at the
  end, are left out and named. Names that differ in Unicode form only are one.
- A column is of numbers where every cell that is not missing is one: decimal digits with an optional sign, point and
  exponent, finite; or marks for thousands, a decimal comma, currency or percent by the rules of `numerals`, each such
  column with its note. Where nine tenths are and the rest is not, the file is refused and the first odd cell named.
  Digits with leading zeros or more than 15 of them are codes: the column stays text.
- Missing is an empty cell or a word of `MISSING` (those of pandas; in a column of numbers in any case); which words
  were read so is told in `Table.notes`. Other usual words are named with the option that reads them so.
- Text is kept to the letter.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import nearest
from sweeps.data.table.cells import CellColumn, Decider, is_counted, needs_formats
from sweeps.data.table.layout import BLANKS, SEPARATORS, Layout, find_layout, read_rows
from sweeps.data.table.numerals import THOUSANDS, Formats, NumberFormat
from sweeps.data.table.parquet import read_parquet
from sweeps.data.table.table import MISSING, Limits, Table, TableError, check_header, is_value
from sweeps.data.table.text import ENCODINGS, SourceText, codec_name, open_text, read_bytes
from sweeps.data.table.told import Told, same_form

_CHUNK_ROWS = 20_000
_FEW_ROWS = 500
_SPACE = r"[ \t]*+"
_ZERO = re.compile(rf"{_SPACE}[+-]?[0.,]+(?:[eE][+-]?[0-9]+)?{_SPACE}")

Block = tuple[list[int], list[tuple[str, ...]]]
"""Line numbers and columns of some rows."""


def read_table(
    path: str | os.PathLike[str],
    told: Told = Told(),  # noqa: B008 (frozen)
    *,
    formats: Mapping[str, NumberFormat] | None = None,
    limits: Limits | None = None,
) -> Table:
    """Read a CSV, TSV (either also gzipped) or Parquet file.

    Parameters
    ----------
    path : path
        A regular file. What it is follows from its first bytes (gzip, Parquet), else it is text.
    told : Told
        How it is written, as far as that is known.
    formats : mapping of str to NumberFormat, optional
        How the numbers of columns of these names are written elsewhere: it decides where two readings are possible.
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
    _check_choices(source, told)
    data = read_bytes(source, limits)
    sha256 = hashlib.sha256(data).hexdigest()
    if data[:4] == b"PAR1":
        return read_parquet(source, data, sha256, limits)
    text = open_text(source, data, told.encoding or None, limits)
    survey = _survey(source, text, told, dict(formats or {}), limits)
    if not data.endswith((b"\n", b"\r", b"\0")) and not text.packed:
        survey.notes.append("the last line has no end: a file cut short?")
    frame = _convert(source, survey)
    return Table(
        frame=frame,
        source=source,
        sha256=sha256,
        encoding=text.encoding,
        separator=survey.layout.separator,
        decimal=told.decimal or ".",
        lines=survey.lines,
        notes=tuple(survey.notes),
        formats=tuple(
            (column.name, column.form)
            for column in survey.columns
            if column.numeric and (column.rewritten or column.has_point)
        ),
    )


def read_names(path: str | os.PathLike[str], told: Told) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises
    ------
    TableError
        If its header cannot be read exactly.
    """
    source, limits = os.fspath(path), Limits()
    _check_choices(source, told)
    data = read_bytes(source, limits)
    if data[:4] == b"PAR1":
        return tuple(map(str, read_parquet(source, data, "", limits).frame.columns))
    text = open_text(source, data, told.encoding or None, limits)
    rows = _open_rows(source, text, find_layout(source, text, told), told, limits)
    return tuple(check_header(source, *rows.header, missing=MISSING)[0])


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


def _check_choices(source: str, told: Told) -> None:
    if told.encoding and codec_name(told.encoding) is None:
        near = nearest(told.encoding.lower(), [*ENCODINGS], cutoff=0.0)
        raise TableError(f"{source}: --encoding {told.encoding} is none of {', '.join(ENCODINGS)}; nearest: {near!r}")
    if told.separator and told.separator not in (*SEPARATORS, BLANKS):
        raise TableError(
            f"{source}: --separator {told.separator!r}; expected one of ',', ';', '\\t' (a tab), '|' or ' ' (blanks)"
        )
    if told.decimal not in ("", ".", ","):
        raise TableError(f"{source}: --decimal {told.decimal!r}; expected '.' or ','")
    if told.thousands not in ("", *THOUSANDS):
        raise TableError(f"{source}: --thousands {told.thousands!r}; expected ',', '.', ' ' or \"'\"")
    if told.thousands and told.decimal == told.thousands:
        raise TableError(f"{source}: --decimal and --thousands are both {told.decimal!r}; they cannot be the same")


@dataclass(frozen=True, slots=True)
class _Survey:
    """What the first passes found, and how rows are read again."""

    text: SourceText
    told: Told
    limits: Limits
    layout: Layout
    n_width: int
    columns: list[CellColumn]
    missing: frozenset[str]
    lines: npt.NDArray[np.int64]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a file below its header."""

    header: tuple[int, list[str]]
    body: Iterator[tuple[int, list[str]]]
    empty: list[int]
    """Lines of the rows at the end that have no cell; filled when `body` is through."""
    repeated: list[int]
    """Lines that repeat the header, likewise."""


def _open_rows(source: str, text: SourceText, layout: Layout, told: Told, limits: Limits) -> _Rows:
    empty: list[int] = []
    repeated: list[int] = []
    rows = read_rows(source, text, layout, told, limits, empty, repeated)
    first = next(rows, None)
    if first is None:
        raise TableError(f"{source}: line 1: no text; expected a header line and rows")
    if not told.header:
        rows = chain([first], rows)
        first = (first[0], [str(k) for k in range(1, len(first[1]) + 1)])
    if told.units_row:
        units = next(rows, None)
        value = next((cell for cell in units[1] if is_value(cell.strip())), None) if units else None
        if units and value is not None:
            raise TableError(f"{source}: line {units[0]}: {value!r} is no unit; leave --units-row out")
    return _Rows(first, rows, empty, repeated)


def _survey(source: str, text: SourceText, told: Told, known: dict[str, NumberFormat], limits: Limits) -> _Survey:
    layout = find_layout(source, text, told)
    missing = MISSING | {word.strip() for word in told.missing}
    rows = _open_rows(source, text, layout, told, limits)
    names, notes = check_header(source, *rows.header, missing=MISSING)
    told_text = {same_form(name) for name in told.text_columns}
    if unknown := told_text - set(names):
        near = nearest(min(unknown), names, cutoff=0.0)
        raise TableError(f"{source}: text column {min(unknown)!r} is not in the header; nearest: {near!r}")
    columns = [CellColumn(name) for name in names]
    starts = array("q")
    first_row: tuple[str, ...] = ()
    for lines, block in _chunks(rows.body, len(names)):
        first_row = first_row or tuple(cells[0] for cells in block)
        for column, chunk in zip(columns, block, strict=True):
            column.count(chunk, len(starts), missing)
        starts.extend(lines)
    if not starts:
        raise TableError(f"{source}: line {rows.header[0] + 1}: no row below the header; expected at least one")
    notes = [*layout.notes, *notes]
    if told.units_row:
        notes.append("--units-row: the row below the header left out")
    if rows.empty:
        notes.append(f"{len(rows.empty)} empty rows at the end left out (from line {rows.empty[0]})")
    if rows.repeated:
        times = "the header again" if len(rows.repeated) == 1 else f"the header {len(rows.repeated)} times again"
        notes.append(f"line {rows.repeated[0]}: {times}, left out")
    columns = _without_empty(source, rows.header[0], columns, len(starts), told, notes)
    lines_of_rows = np.frombuffer(starts, dtype=np.int64)
    survey = _Survey(text, told, limits, layout, len(names), columns, missing, lines_of_rows, notes)
    decider = Decider(source, told, lines_of_rows, first_row, known)
    decider.decide(columns, _gather(source, survey))
    notes += decider.notes
    return survey


def _without_empty(
    source: str, line: int, columns: list[CellColumn], n_rows: int, told: Told, notes: list[str]
) -> list[CellColumn]:
    """Leave out columns at the end that have neither name nor cell; refuse one that has no name only."""
    kept = list(columns)
    while len(kept) > 1 and kept[-1].n_blank == n_rows and (not kept[-1].name or not told.header):
        kept.pop()
    if nameless := [position for position, column in enumerate(kept, start=1) if not column.name]:
        raise TableError(f"{source}: line {line}, column {nameless[0]}: no name; expected one for every column")
    if len(kept) < len(columns):
        which = (
            f"column {len(columns)}" if len(kept) + 1 == len(columns) else f"columns {len(kept) + 1} to {len(columns)}"
        )
        notes.append(f"{which}: empty, left out")
    return kept


def _gather(source: str, survey: _Survey) -> dict[str, Formats]:
    """Look through the columns whose numbers may not be written plainly."""
    n_rows = len(survey.lines)
    doubtful = {
        k: Formats(column.present(n_rows))
        for k, column in enumerate(survey.columns)
        if needs_formats(column, n_rows) and column.name not in survey.told.text_columns
    }
    if not doubtful:
        return {}
    row = 0
    rows = _open_rows(source, survey.text, survey.layout, survey.told, survey.limits)
    for lines, block in _chunks(rows.body, survey.n_width):
        for k, formats in doubtful.items():
            if formats.alive:
                _feed(formats, block[k], row, survey.missing)
        if not any(formats.alive for formats in doubtful.values()):
            break
        row += len(lines)
    return {survey.columns[k].name: formats for k, formats in doubtful.items() if formats.alive}


def _feed(formats: Formats, cells: tuple[str, ...], row: int, missing: frozenset[str]) -> None:
    """Show the cells of some rows to a column's formats: one by one those that say something new."""
    for start in range(0, len(cells), _FEW_ROWS):
        some = cells[start : start + _FEW_ROWS]
        counted = [cell for cell in some if is_counted(cell, missing)]
        if counted and not formats.add_alike(counted):
            firsts: dict[str, int] = {}
            for offset, cell in enumerate(some):
                firsts.setdefault(cell, row + start + offset)
            formats.add([(cell, n, firsts[cell]) for cell, n in Counter(counted).items()])


def _chunks(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[Block]:
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


def _convert(source: str, survey: _Survey) -> pd.DataFrame:
    rows = _open_rows(source, survey.text, survey.layout, survey.told, survey.limits)
    n_rows = len(survey.lines)
    arrays: list[npt.NDArray[Any]] = [
        np.empty(n_rows, dtype=np.float64 if column.numeric else object) for column in survey.columns
    ]
    known: list[dict[str, str]] = [{} for _ in survey.columns]  # one string object for equal cells
    start = 0
    for lines, block in _chunks(rows.body, survey.n_width):
        stop = start + len(lines)
        for column, values, seen, chunk in zip(survey.columns, arrays, known, block, strict=False):
            if column.numeric:
                values[start:stop] = _numbers(source, column, chunk, lines, survey.missing)
            elif column.n_missing:
                values[start:stop] = [
                    np.nan if cell.strip() in survey.missing else seen.setdefault(cell, cell) for cell in chunk
                ]
            else:
                values[start:stop] = [seen.setdefault(cell, cell) for cell in chunk]
        start = stop
    _blank_numbers(survey, arrays)
    series = {
        column.name: pd.Series(_narrow(column, values), dtype=None if column.numeric else object)
        for column, values in zip(survey.columns, arrays, strict=True)
    }
    return pd.DataFrame(series, copy=False)


def _numbers(
    source: str, column: CellColumn, chunk: tuple[str, ...], lines: Sequence[int], missing: frozenset[str]
) -> npt.NDArray[np.float64]:
    cells: Sequence[str] = chunk
    if column.n_missing or column.n_any_case:
        cells = ["nan" if column.is_missing(cell, missing) else cell for cell in chunk]
    if column.rewritten:
        cells = _rewritten(cells, column.form)
    values = np.array(list(map(float, cells)))
    for k in np.flatnonzero(np.isinf(values)).tolist():
        raise TableError(
            f"{source}: line {lines[k]}, column {column.name!r}: {chunk[k]!r}; expected a number below 1.8e308, or NA"
        )
    for k in np.flatnonzero(values == 0.0).tolist():
        if chunk[k] != "0" and not _ZERO.fullmatch(cells[k]):
            raise TableError(
                f"{source}: line {lines[k]}, column {column.name!r}: {chunk[k]!r}; expected 0 or a number beyond 1e-307"
            )
    return values


def _rewritten(cells: Sequence[str], form: NumberFormat) -> Sequence[str]:
    """Return cells of a format as Python's float reads them."""
    simple = not form.prefix and not form.suffix and form.thousands in ("", ",", ".")
    joined = "\n".join(cells)
    simple = simple and "(" not in joined and joined.isascii()
    if simple and joined.count("\n") + 1 == len(cells):  # checked cell by cell when it was found
        bare = joined.replace(form.thousands, "") if form.thousands else joined
        return bare.replace(form.decimal, ".").split("\n")
    return [cell if cell == "nan" else str(form.plain(cell)) for cell in cells]


def _blank_numbers(survey: _Survey, arrays: list[npt.NDArray[Any]]) -> None:
    """Take every cell for missing whose number is one of the words for missing, however it is written."""
    for word in survey.told.missing:
        if not is_value(word.strip()):
            continue
        number = float(word.strip().replace(",", "."))
        for column, values in zip(survey.columns, arrays, strict=True):
            same = values == number if column.numeric else np.zeros(0, dtype=bool)
            if n_same := int(same.sum()):
                values[same] = np.nan
                column.n_missing += n_same
                survey.notes.append(f"column {column.name!r}: read as missing: {word} {n_same} times more")


def _narrow(column: CellColumn, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return whole numbers without missing ones as int64 (exact: they have at most 15 digits), others as they are."""
    if (
        not column.numeric
        or column.n_missing
        or column.n_any_case
        or np.abs(values).max() >= 1e15
        or (values != np.rint(values)).any()
    ):
        return values
    return values.astype(np.int64)
