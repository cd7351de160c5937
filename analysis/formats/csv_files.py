"""Tables as CSV files that no spreadsheet program runs."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Cell,
    Link,
    Missing,
    ReportColumn,
    ReportTable,
)
from analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    pass

# What a spreadsheet takes for a formula, behind any number of apostrophes (so that `read_csv` can undo the guard); some
# languages' programs take the wide signs, too.
FORMULA = re.compile(r"^'*[=+\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]")


def csv_text(table: ReportTable) -> str:
    """Return a table as CSV: full precision, an interval in four columns, text that looks like a formula guarded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names: list[str] = []
    for column in table.columns:
        names += [column.key]
        if column.kind == "interval":
            names += [f"{column.key}_low", f"{column.key}_high", f"{column.key}_n"]
    writer.writerow([guard(name) for name in names])
    for row in table.rows:
        cells: list[str] = []
        for cell, column in zip(row, table.columns, strict=True):
            cells += csv_cells(cell, column)
        writer.writerow(cells)
    return stream.getvalue()


def csv_cells(cell: Cell, column: ReportColumn) -> list[str]:
    """Return the fields one cell fills."""
    if column.kind != "interval" and isinstance(cell, float | int):  # nearly all cells of large files
        return [repr(cell) if math.isfinite(cell) else ""]
    n_fields = 4 if column.kind == "interval" else 1
    if isinstance(cell, Interval):
        ends = ["" if value is None else repr(value) for value in (cell.estimate, cell.low, cell.high)]
        return [*ends, str(cell.n)]
    if isinstance(cell, Missing):
        text = guard(str(cell.reason))
    elif isinstance(cell, Link):
        text = guard(cell.url)
    elif isinstance(cell, str):
        text = guard(str(cell))  # what is told `later` is written in the language
    else:
        text = repr(cell) if isinstance(cell, int) or math.isfinite(cell) else ""
    return [text, *[""] * (n_fields - 1)]


def guard(text: str) -> str:
    """Return text that no spreadsheet runs: an apostrophe before whatever looks like a formula. Numbers are exempt."""
    return "'" + text if FORMULA.match(text) else text


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file of the report back, the guards against formulas removed.

    Returns
    -------
    list of dict of str to str
        One a row, by column name.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        return [{unguard(key): unguard(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def unguard(text: str) -> str:
    """Undo `guard`."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text
