"""Where the table lies in its text: lines left out, the header, the separator, rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from sweeps.data.table.table import MISSING, Limits, TableError, is_value, shown
from sweeps.data.table.text import SourceText
from sweeps.data.table.told import Told

SEPARATORS = MappingProxyType({",": "','", ";": "';'", "\t": "a tab", "|": "'|'"})
BLANKS = " "
"""As a separator: any run of blanks and tabs."""
_LONGEST_CELL = 131_072  # the csv module's own limit
_SAMPLE = 200
_COMMENTS = ("#", "%", "//", "!")
_BLANK_RUN = re.compile(r'("(?:[^"]|"")*+")|[ \t]++')
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*[\r\n]*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the table begins and what parts its cells.

    Parameters
    ----------
    separator : str
        A key of `SEPARATORS` or `BLANKS`.
    n_skipped : int
        Lines before the table.
    notes : tuple of str
        What was left out or found.
    """

    separator: str
    n_skipped: int
    notes: tuple[str, ...]


class Lines:
    """The lines of a text without those that are left out; `first` is the number of the line a row began on."""

    def __init__(self, text: SourceText, n_skipped: int, told: Told, separator: str) -> None:
        self._lines = islice(enumerate(text.lines(), start=1), n_skipped, None)
        self._comment = told.comment
        self._blanks = separator == BLANKS
        self.first = 0
        self.n_comments = 0

    def begin(self) -> None:
        """Take the next line for the beginning of a row: a comment may stand there, and nowhere within a row."""
        self.first = 0

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line that is not left out."""
        while True:
            number, line = next(self._lines)
            if not self.first and self._comment and line.lstrip().startswith(self._comment):
                self.n_comments += 1
                continue
            self.first = self.first or number
            if not self._blanks:
                return line
            return _BLANK_RUN.sub(lambda run: run[1] or BLANKS, line.strip(" \t\r\n")) + "\n"


def find_layout(source: str, text: SourceText, told: Told) -> Layout:
    """Return where a table begins in its text and what parts its cells.

    Raises
    ------
    TableError
        If lines before the header have to be left out first, or several marks could separate.
    """
    notes = []
    n_skipped = told.skip_rows
    separator = told.separator
    beginning = list(islice(Lines(text, n_skipped, told, ""), 1))
    if beginning and (found := _SEPARATOR_LINE.fullmatch(beginning[0])) and found[1] in SEPARATORS:
        n_skipped += 1
        separator = separator or found[1]
        notes.append(f"line {n_skipped}: 'sep={found[1]}' left out and followed")
    sample = list(islice(Lines(text, n_skipped, told, ""), _SAMPLE))
    header = sample[0] if sample else ""
    if not separator:
        _check_beginning(source, sample, n_skipped, None, told)
        separator = _choose_separator(source, header, told.decimal, n_skipped)
        if _is_in_blanks(sample, separator):
            separator = BLANKS
            notes.append("cells are parted by runs of blanks")
    _check_beginning(source, sample, n_skipped, separator, told)
    if told.skip_rows:
        notes.append(f"--skip-rows {told.skip_rows}: so many lines at the top left out")
    return Layout(separator, n_skipped, tuple(notes))


def read_rows(
    source: str,
    text: SourceText,
    layout: Layout,
    told: Told,
    limits: Limits,
    empty: list[int],
    repeated: list[int],
) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and the cells of the header and of every row, as they stand.

    Rows of nothing but empty cells at the end are not yielded (their lines go into `empty`), nor are empty cells beyond
    the header's that every row ends in, nor rows that repeat the header, as where files were joined (`repeated`).
    """
    separator = layout.separator
    lines = Lines(text, layout.n_skipped, told, separator)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    width, n_beyond, n_rows, n_blank, blank_at = 0, 0, 0, 0, 0
    header: list[str] = []
    waiting: list[tuple[int, list[str]]] = []  # rows without a single value, which may be the last ones
    while True:
        lines.begin()
        try:
            row = next(reader)
        except StopIteration:
            empty.extend(line for line, _ in waiting)
            return
        except csv.Error as error:
            raise TableError(f"{source}: line {lines.first}: {_quote_trouble(str(error), separator)}") from None
        start = lines.first
        if not row or (separator == BLANKS and row == [""]):
            n_blank += 1
            blank_at = blank_at or start
            if not width or n_blank > 100:
                raise TableError(f"{source}: line {start}: blank; expected {'rows' if width else 'a header line'}")
            continue
        if n_blank:
            raise TableError(f"{source}: line {blank_at}: blank; expected {width} cells (write NA for a missing value)")
        if not width:
            width = len(row)
            if width > limits.n_columns:
                raise TableError(f"{source}: line {start}: {width:,} columns; up to {limits.n_columns:,} are read")
        elif n_rows == 1 and len(row) > width and not any(map(str.strip, row[width:])):
            n_beyond = len(row) - width
        if n_rows and len(row) == width + n_beyond and not any(map(str.strip, row[width:])):
            row = row[:width]
        elif n_rows:
            raise TableError(f"{source}: line {start}: {len(row)} cells; expected {width}, as in the header")
        if header and row == header:
            repeated.append(start)
            continue
        if not n_rows and told.header and not any(is_value(cell.strip()) for cell in row):
            header = row[:width]
        n_rows += 1
        if n_rows > limits.n_rows or n_rows * width > limits.n_cells:
            raise TableError(
                f"{source}: line {start}: more than {limits.n_rows:,} rows or {limits.n_cells:,} cells; take fewer"
            )
        if width > 1 and not any(map(str.strip, row)):
            waiting.append((start, row))
            continue
        yield from waiting
        waiting.clear()
        yield start, row


def _choose_separator(source: str, header: str, decimal: str, n_skipped: int) -> str:
    if source.removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    bare = re.sub(r'"[^"]*"', "", header)
    present = [mark for mark in SEPARATORS if mark in bare]
    if len(present) > 1:
        marks = " and ".join(SEPARATORS[mark] for mark in present)
        raise TableError(
            f"{source}: line {n_skipped + 1}: the header holds {marks}; say which of them separates: "
            f"--separator '{'TAB' if present[-1] == chr(9) else present[-1]}' for instance"
        )
    if decimal == ",":
        return present[0] if present and present[0] != "," else ";"
    return present[0] if present else ","


def _is_in_blanks(sample: Sequence[str], separator: str) -> bool:
    """Whether every line has as many words between blanks, some of them numbers, where the separator parts fewer."""
    lines = [line.strip() for line in sample if line.strip()]
    if len(lines) < 2 or any(mark in lines[0] for mark in ",;|"):
        return False
    words = [_words(line) for line in lines]
    n_words = len(words[0])
    if n_words < 2 or any(len(one) != n_words for one in words):
        return False
    if n_words <= len(_cells(lines[1], separator)):
        return False
    return any(all(is_value(one[k]) or one[k] in MISSING for one in words[1:]) for k in range(n_words))


def _words(line: str) -> list[str]:
    return _cells(_BLANK_RUN.sub(lambda run: run[1] or BLANKS, line), BLANKS)


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of one line; a quote that does not close makes it one cell."""
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return [line]


def _check_beginning(source: str, sample: Sequence[str], n_skipped: int, separator: str | None, told: Told) -> None:
    """Refuse comments and other lines above the header by name.

    Without a separator, only where the first line holds no mark at all.
    """
    if not told.header or len(sample) < 3:
        return
    if separator is None and any(mark in sample[0] for mark in SEPARATORS):
        return
    separators = [separator] if separator else [*SEPARATORS]
    for mark in separators:
        widths = [len(_words(line) if mark == BLANKS else _cells(line, mark)) for line in sample]
        (width, n_usual), *_ = Counter(widths).most_common(1)
        if width < 2 or width == widths[0] or 2 * n_usual <= len(widths) or (widths[0] > width and separator):
            continue
        begin = widths.index(width)
        names = _words(sample[begin]) if mark == BLANKS else _cells(sample[begin], mark)
        where = f"{source}: line {n_skipped + 1}: {shown(sample[0].strip())}"
        sign = next((sign for sign in _COMMENTS if sample[0].lstrip().startswith(sign)), None)
        if sign is not None:
            raise TableError(
                f"{where}; is this a comment? --comment '{sign}' leaves out lines that begin with {sign!r}"
            )
        if not any(is_value(name.strip()) or name.strip() in MISSING - {""} for name in names) and begin:
            raise TableError(
                f"{where} stands above the table, whose header seems to be line {n_skipped + begin + 1} "
                f"({shown(sample[begin].strip())}); --skip-rows {n_skipped + begin} leaves out what is above it"
            )


def _quote_trouble(error: str, separator: str) -> str:
    mark = SEPARATORS.get(separator, "a blank")
    if "field larger" in error:
        return f"a cell of more than {_LONGEST_CELL:,} characters (a quote that never closes?); expected shorter cells"
    if "unexpected end" in error:
        return 'a quote (") opens here and never closes; expected its partner, or "" for a quote within a quoted cell'
    if "expected after" in error:
        return f'text after a closing quote ("); expected {mark} or the end of the line'
    return f"{error}; expected cells separated by {mark}"
