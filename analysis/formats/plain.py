"""Plain text, for terminals and text files: tables and intervals."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from analysis.formats import cells
from analysis.formats.blocks import Card, Cell, Link, Missing, number_text, printable
from analysis.statistics.intervals import Interval
from analysis.words import say

WIDTH = 100
CARDS_A_TABLE = 4
HEADING_WIDTH = 13


def interval_text(interval: Interval, digits: int = 4) -> str:
    """Return ``"0.0834 [0.0829, 0.0839]"``, or why there is no figure."""
    if interval.estimate is None:
        return interval.reason or say("not measured")
    if interval.low is None or interval.high is None:
        return say(
            "{estimate:.{digits}f} (no interval: {reason})",
            estimate=interval.estimate,
            digits=digits,
            reason=interval.reason,
        )
    return f"{interval.estimate:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def aligned_text(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table whose columns are as wide as their widest cell."""
    lines = [columns, *rows]
    widths = [max(map(columns_wide, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        " | ".join(padded(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cell_text(cell: Cell) -> str:
    """Return a cell as text: a number as the report writes it, an interval with its ends."""
    if isinstance(cell, Missing):
        return printable(cell.reason)
    if isinstance(cell, Interval):
        return " ".join(cells.interval_text(cell))
    if isinstance(cell, Link):
        return printable(cell.url)
    return printable(cell) if isinstance(cell, str) else number_text(cell)


def cards_text(cards: Sequence[Card]) -> str:
    """Return the cards as tables within `WIDTH` columns, what is a sentence or an address under them."""
    tables = [_cards_table(cards[i : i + CARDS_A_TABLE]) for i in range(0, len(cards), CARDS_A_TABLE)]
    return "\n\n".join([*tables, *map(card_sentences, cards)])


def card_sentences(card: Card) -> str:
    """Return a card's sentences, command and address; only addresses may be longer than `WIDTH`."""
    told = [card.beyond, *(say("Change: {text}", text=text) for text in card.changes)]
    told += [
        say("Search trials: {text}", text=text) if card.changes else say("Why: {text}", text=text) for text in card.why
    ]
    told += [say("Next: {text}", text=text) for text in card.next_steps]
    lines = [printable(card.dataset)]
    for text in told:
        lines += wrapped(printable(text), WIDTH, "  ", "    ")
    command = (
        card.command.reason if isinstance(card.command, Missing) else say("replay: {command}", command=card.command)
    )
    lines.append(f"  {printable(command)}")
    if isinstance(card.link, Link):
        lines += [f"  {printable(card.link.text)}:", f"  {printable(card.link.url)}"]
    return "\n".join(lines)


def _cards_table(cards: Sequence[Card]) -> str:
    """Return a table with a column for each card and a row for each figure, long cells over several lines."""
    width = (WIDTH - HEADING_WIDTH - 3 * len(cards)) // len(cards)
    titles = list(dict.fromkeys(fact.title for card in cards for fact in card.facts))
    rows = [
        ("", [card.dataset for card in cards]),
        (say("Verdict"), [f"{card.verdict}; {card.basis}" for card in cards]),
        (say("Setting"), [cell_text(card.setting) for card in cards]),
    ]
    for title in titles:
        values = [{fact.title: cell_text(fact.value) for fact in card.facts} for card in cards]
        rows.append((title, [value.get(title, "-") for value in values]))
    lines = []
    for i, (title, texts) in enumerate(rows):
        cells = [_cell_lines(text, width) for text in texts]
        for k in range(max(map(len, cells))):
            parts = [padded(one[k] if k < len(one) else "", width) for one in cells]
            lines.append(" | ".join([padded(title if k == 0 else "", HEADING_WIDTH), *parts]).rstrip())
        if i == 0:
            lines.append("-+-".join(["-" * HEADING_WIDTH, *["-" * width] * len(cards)]))
    return "\n".join(lines)


def _cell_lines(text: str, width: int) -> list[str]:
    """Return a cell's lines: an interval's ends on one line if it holds them, else they begin on one of their own."""
    pieces = [""]
    for part in re.split(r"(\([^()]*\))", printable(text)):
        is_long = part.startswith("(") and columns_wide(part) > width
        if is_long:
            pieces.append("")
        pieces[-1] += part.replace(" ", "\N{NO-BREAK SPACE}") if part.startswith("(") and not is_long else part
    lines = [line for piece in pieces for line in wrapped(piece.strip(" "), width)]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines] or [""]


def wrapped(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """Return a text in lines of at most so many columns of a terminal, what the lines begin with included.

    They are parted at blanks; inside a word only where it is longer than a whole line.

    Parameters
    ----------
    text : str
    width : int
        Columns.
    first, others : str
        What the first line and the others begin with.
    """
    if not text.strip():
        return []
    start, *rest = _lines_of(text, width - len(others))
    return [f"{first}{start}", *(f"{others}{line}" for line in rest)]


def padded(text: str, width: int) -> str:
    """Return a text with blanks up to so many columns of a terminal."""
    return text + " " * (width - columns_wide(text))


def columns_wide(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)


def fitted_text(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int = WIDTH) -> str:
    """Return a table of at most `width` columns: the widest cells go over several lines.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : iterable of sequence of str
    width : int
        Columns of the terminal.
    """
    lines = [[printable(cell) for cell in line] for line in (columns, *rows)]
    widths = [max(map(columns_wide, column)) for column in zip(*lines, strict=True)]
    words = [
        min(width // 2, max(map(columns_wide, " ".join(column).split(" ")))) for column in zip(*lines, strict=True)
    ]
    while sum(widths) + 3 * (len(widths) - 1) > width and max(widths) > 4:
        # Columns shrink to their longest word first; only when all have, words are cut.
        spare = [i for i, most in enumerate(widths) if most > words[i]] or range(len(widths))
        widths[max(spare, key=widths.__getitem__)] -= 1
    text = []
    for i, line in enumerate(lines):
        parts = [_lines_of(cell, most) for cell, most in zip(line, widths, strict=True)]
        for k in range(max(map(len, parts))):
            cells = [part[k] if k < len(part) else "" for part in parts]
            text.append(" | ".join(map(padded, cells, widths)).rstrip())
        if i == 0:
            text.append("-+-".join("-" * most for most in widths))
    return "\n".join(text)


def _lines_of(text: str, width: int) -> list[str]:
    """Return a text in lines of at most so many columns, parted at blanks where there are any."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if columns_wide(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if columns_wide(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines
