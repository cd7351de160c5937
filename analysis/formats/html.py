"""Blocks as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Cell,
    Column,
    Link,
    Missing,
    Table,
    number_text,
    printable,
)
from analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    pass
from analysis.formats.cells import PLAYGROUND, interval_text


@dataclass(frozen=True, slots=True)
class HtmlCell:
    """One table cell, ready for the page."""

    text: str
    range: str = ""
    css: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class HtmlBlock:
    """One block, ready for the page; `kind` says which fields are meant."""

    kind: str
    text: str = ""
    role: str = "plain"
    label: str = ""
    caption: str = ""
    csv: str = ""
    latex: str = ""
    gif: str = ""
    columns: tuple[tuple[str, bool], ...] = ()
    rows: tuple[tuple[HtmlCell, ...], ...] = ()
    source: str = ""
    alt: str = ""
    width: int = 0
    height: int = 0
    options: tuple[str, ...] = ()
    blocks: tuple[HtmlBlock, ...] = ()


def html_table(table: Table, csv_name: str, latex_name: str) -> HtmlBlock:
    """Return a table ready for the page."""
    return HtmlBlock(
        "table",
        label=table.name.replace("-", " "),
        caption=printable(table.caption),
        csv=csv_name,
        latex=latex_name,
        columns=tuple((printable(column.title), column.kind != "text") for column in table.columns),
        rows=tuple(
            tuple(html_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
            for row in table.rows
        ),
    )


def html_cell(cell: Cell, column: Column) -> HtmlCell:
    """Return a cell ready for the page."""
    if isinstance(cell, Missing):
        return HtmlCell(printable(cell.reason), css="why")
    if isinstance(cell, Interval):
        estimate, ends = interval_text(cell)
        return HtmlCell(estimate, range=ends, css="number")
    if isinstance(cell, Link):
        safe = cell.url.startswith(PLAYGROUND)
        return HtmlCell(printable(cell.text if safe else cell.url), url=printable(cell.url) if safe else "")
    if isinstance(cell, str):
        return HtmlCell(printable(cell), css="" if len(cell) < 30 else "long")
    return HtmlCell(number_text(cell), css="number" if column.kind != "text" else "")
