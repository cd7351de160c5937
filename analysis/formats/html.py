"""Blocks as HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Card,
    Cell,
    Entry,
    Link,
    Missing,
    ReportColumn,
    ReportTable,
    number_text,
    printable,
)
from analysis.statistics.intervals import Interval
from analysis.words import say

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
class HtmlFact:
    """One figure of a card, ready for the page."""

    title: str
    cell: HtmlCell
    meaning: str


@dataclass(frozen=True, slots=True)
class HtmlCard:
    """One card, ready for the page; `picture` is None where `no_picture` says why, `link` has no address likewise."""

    place: str
    dataset: str
    verdict: str
    is_certified: bool
    basis: str
    setting: str
    facts: tuple[HtmlFact, ...]
    beyond: str
    picture: HtmlBlock | None
    no_picture: str
    command: str
    has_command: bool
    link: HtmlCell
    why: tuple[str, ...]
    next_steps: tuple[str, ...]
    changes: tuple[str, ...]
    changes_short: str


@dataclass(slots=True)
class Shown:
    """What the page shows of a drawing, filled in once it is drawn."""

    source: str = ""
    width: int = 0
    height: int = 0


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
    cards: tuple[HtmlCard, ...] = ()
    shown: Shown = field(default_factory=Shown)
    alt: str = ""
    options: tuple[str, ...] = ()
    blocks: tuple[HtmlBlock, ...] = ()
    entries: tuple[Entry, ...] = ()
    data: str = ""


def html_table(table: ReportTable, csv_name: str, latex_name: str) -> HtmlBlock:
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


def html_cell(cell: Cell, column: ReportColumn) -> HtmlCell:
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


def html_card(card: Card, place: str, picture: HtmlBlock | None) -> HtmlCard:
    """Return a card ready for the page; `place` is its anchor there."""
    column = ReportColumn("", "")
    return HtmlCard(
        place=place,
        dataset=printable(card.dataset),
        verdict=printable(card.verdict),
        is_certified=card.verdict == say("certified"),
        basis=printable(card.basis),
        setting=html_cell(card.setting, column).text,
        facts=tuple(
            HtmlFact(printable(fact.title), html_cell(fact.value, column), printable(fact.meaning))
            for fact in card.facts
        ),
        beyond=printable(card.beyond),
        picture=picture,
        no_picture=printable(card.picture.reason) if isinstance(card.picture, Missing) else "",
        command=html_cell(card.command, column).text,
        has_command=not isinstance(card.command, Missing),
        link=html_cell(card.link, column),
        why=tuple(map(printable, card.why)),
        next_steps=tuple(map(printable, card.next_steps)),
        changes=tuple(map(printable, card.changes)),
        changes_short=printable(card.changes_short),
    )
