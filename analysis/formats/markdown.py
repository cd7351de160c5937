"""Blocks as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    Card,
    Cell,
    Link,
    Missing,
    ReportTable,
    number_text,
    printable,
)
from analysis.statistics.intervals import Interval
from analysis.words import say

if TYPE_CHECKING:
    pass
from analysis.formats.cells import PLAYGROUND, interval_text

MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def markdown(text: str) -> str:
    """Return `text` with everything escaped that Markdown, or HTML inside it, would take for markup."""
    return MARKDOWN_SIGNS.sub(r"\\\1", printable(text))


def markdown_cell(cell: Cell) -> str:
    """Return a cell as Markdown."""
    if isinstance(cell, Missing):
        return f"*{markdown(cell.reason)}*"
    if isinstance(cell, Interval):
        return markdown(" ".join(interval_text(cell)))
    if isinstance(cell, Link):
        if not cell.url.startswith(PLAYGROUND):
            return markdown(cell.url)
        address = re.sub(
            r"[^\w#=&.,:/-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), cell.url
        )
        return f"[{markdown(cell.text)}]({address})"
    return markdown(cell if isinstance(cell, str) else number_text(cell))


def markdown_table(table: ReportTable) -> str:
    """Return a table as Markdown, its caption above it."""
    lines = [
        f"{markdown(table.caption)} [CSV](data/{table.name}.csv), [LaTeX](data/{table.name}.tex)",
        "",
        "| " + " | ".join(markdown(column.title) for column in table.columns) + " |",
        "|" + "|".join(" :-- " if column.kind == "text" else " --: " for column in table.columns) + "|",
    ]
    lines += ["| " + " | ".join(markdown_cell(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def markdown_card(card: Card, with_meanings: bool = False) -> str:
    """Return a card as Markdown, without its picture."""
    command = f"`{card.command}`" if _is_plain(card.command) else markdown_cell(card.command)
    lines = [
        f"### {markdown(card.dataset)}: {markdown(card.verdict)}",
        "",
        f"**{markdown(card.setting)}**" if isinstance(card.setting, str) else markdown_cell(card.setting),
        "",
        f"{markdown(card.beyond)}",
        "",
        *(
            f"- {markdown(fact.title)}: {markdown_cell(fact.value)}"
            + (f" ({markdown(fact.meaning)})" if with_meanings else "")
            for fact in card.facts
        ),
        say("- Basis: {basis}", basis=markdown(card.basis)),
        say("- Replay: {command}", command=command),
        f"- Playground: {markdown_cell(card.link)}",
        *(say("- Change: {text}", text=markdown(text)) for text in card.changes),
        *(
            say("- Search trials: {text}", text=markdown(text))
            if card.changes
            else say("- Why: {text}", text=markdown(text))
            for text in card.why
        ),
        *(say("- Next: {text}", text=markdown(text)) for text in card.next_steps),
    ]
    return "\n".join(lines)


def _is_plain(command: str | Missing) -> bool:
    """Return whether a command can stand in Markdown's code marks: nothing in it ends them or starts a line."""
    return isinstance(command, str) and printable(command) == command and "`" not in command
