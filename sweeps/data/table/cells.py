"""What the cells of each column are: numbers and how they are written, missing, codes, text; or why none of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sweeps.data.table.numerals import (
    NEARLY_ALL,
    Formats,
    Found,
    NumberFormat,
    option_for,
    settle,
    settle_by_file,
)
from sweeps.data.table.table import MISSING_ANY_CASE, USUAL_MISSING, TableError, missing_option, shown
from sweeps.data.table.told import Told

_SPACE = r"[ \t]*+"
_POWER = "[eE][+-]?[0-9]{1,4}"
# Digits alone are a number up to 15 of them; with a point or a power any digits are.
_DIGITS = rf"(?:0|[1-9][0-9]*+)(?:\.[0-9]*+(?:{_POWER})?|{_POWER})|0|[1-9][0-9]{{0,14}}|\.[0-9]++(?:{_POWER})?"
_NUMBER = re.compile(rf"{_SPACE}[+-]?(?:{_DIGITS}){_SPACE}")
_NUMBERS = re.compile(rf"(?:{_SPACE}[+-]?(?:{_DIGITS}){_SPACE}\n)*+")
# Nothing in such cells says whether the point is one: it may part thousands.
_DOUBTFUL = re.compile(rf"(?:{_SPACE}[+-]?(?:0|[1-9][0-9]*+|[1-9][0-9]{{0,2}}\.[0-9]{{3}}){_SPACE}\n)*+")
_INFINITE = re.compile(rf"{_SPACE}[+-]?(?:inf|infinity|1\.#inf){_SPACE}", re.IGNORECASE)
_CODE = re.compile(rf"{_SPACE}[+-]?(?:0[0-9]+|[1-9][0-9]{{15,}}){_SPACE}")
_SUM = re.compile(r"(?:grand[ -]?)?(?:sub)?(?:total|sum|summe|gesamt|somme|mean|average|mittelwert)s?:?", re.IGNORECASE)
_MOST_WORDS = 200
_MOST_TOLD = 6
"""Columns whose words for missing are told one by one."""


@dataclass(slots=True)
class CellColumn:
    """What the cells of one column are.

    Parameters
    ----------
    name : str
        As in the header.
    n_number, n_missing, n_infinite, n_code, n_other : int
        Cells of each kind: plain numbers, words of `MISSING` or the caller's, and so on.
    n_usual : int
        Words of `USUAL_MISSING`.
    n_blank : int
        Of the missing ones, those without a letter.
    n_any_case : int
        Words of `MISSING` in another case: missing where the rest are numbers.
    words, others : Counter of str
        Words for missing; the first different cells that are no plain number.
    first : dict
        Row and text of the first cell of a kind.
    has_point, proven : bool
        Whether a plain number has a point, and whether one shows that it parts no thousands.
    numeric : bool
        What was decided.
    form : NumberFormat
        How the numbers are written.
    """

    name: str
    n_number: int = 0
    n_missing: int = 0
    n_blank: int = 0
    n_any_case: int = 0
    n_infinite: int = 0
    n_code: int = 0
    n_other: int = 0
    n_usual: int = 0
    words: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    has_point: bool = False
    proven: bool = False
    numeric: bool = False
    form: NumberFormat = field(default_factory=NumberFormat)
    rewritten: bool = False

    def present(self, n_rows: int) -> int:
        """Return how many cells there are besides words that mean, or usually mean, missing."""
        return n_rows - self.n_missing - self.n_any_case - self.n_usual

    def is_missing(self, cell: str, words: frozenset[str]) -> bool:
        """Whether a cell is read as missing."""
        word = cell.strip()
        return word in words or (self.numeric and word.casefold() in MISSING_ANY_CASE)

    def count(self, chunk: tuple[str, ...], row: int, missing: frozenset[str]) -> None:
        """Take the cells of some rows, of which `row` is the first."""
        joined = "\n".join(chunk) + "\n"
        if joined.count("\n") == len(chunk) and _NUMBERS.fullmatch(joined):
            self.n_number += len(chunk)
            if not self.proven and "." in joined:
                self.has_point = True
                self.proven = not _DOUBTFUL.fullmatch(joined)
            return
        kinds: dict[str, str] = {}
        for offset, cell in enumerate(chunk):
            kind = kinds.get(cell)
            if kind is None:
                kind = kinds[cell] = _kind(cell, missing)
                if kind == "number" and "." in cell:
                    self.has_point = True
                    self.proven = self.proven or not _DOUBTFUL.fullmatch(cell + "\n")
            self._take(kind, row + offset, cell)

    def _take(self, kind: str, row: int, cell: str) -> None:
        if kind == "number":
            self.n_number += 1
            return
        if kind == "missing":
            self.n_missing += 1
            word = cell.strip()
            self.n_blank += not word
            if word:
                self.words[word] += 1
            return
        if kind == "any_case":
            self.n_any_case += 1
        elif kind == "infinite":
            self.n_infinite += 1
        elif kind == "code":
            self.n_code += 1
        elif kind == "usual":
            self.n_usual += 1
        else:
            self.n_other += 1
        word = cell.strip()
        if word in self.others or len(self.others) < _MOST_WORDS:
            self.others[word] += 1
        self.first.setdefault(kind, (row, cell))
        if kind in ("infinite", "other"):
            self.first.setdefault("odd", (row, cell))


def _kind(cell: str, missing: frozenset[str]) -> str:
    word = cell.strip()
    if word in missing:
        return "missing"
    if _NUMBER.fullmatch(cell):
        return "number"
    if word.casefold() in MISSING_ANY_CASE:
        return "any_case"
    if word.casefold() in USUAL_MISSING:
        return "usual"
    if _INFINITE.fullmatch(cell):
        return "infinite"
    return "code" if _CODE.fullmatch(cell) else "other"


def needs_formats(column: CellColumn, n_rows: int) -> bool:
    """Whether the numbers of a column may be written otherwise than plainly."""
    if column.n_other:
        return True
    return column.has_point and not column.proven and column.n_number > 0 and column.present(n_rows) > 0


def is_counted(cell: str, missing: frozenset[str]) -> bool:
    """Whether a cell counts where formats are looked for."""
    word = cell.strip()
    return word not in missing and word.casefold() not in USUAL_MISSING


class Decider:
    """Decides what every column is, or refuses the file.

    Parameters
    ----------
    source : str
        Begins every message.
    told : Told
        What the caller was told.
    lines : ndarray of int
        The line of each row.
    first_row : tuple of str
        The first row below the header: does it hold units?
    known : mapping of str to NumberFormat
        Formats that columns of these names have elsewhere.
    """

    def __init__(
        self,
        source: str,
        told: Told,
        lines: npt.NDArray[np.int64],
        first_row: tuple[str, ...],
        known: dict[str, NumberFormat],
    ) -> None:
        self._source, self._told, self._lines, self._first_row, self._known = source, told, lines, first_row, known
        self.notes: list[str] = []

    def decide(self, columns: list[CellColumn], gathered: dict[str, Formats]) -> None:
        """Set what each column is.

        Raises
        ------
        TableError
            If a column of numbers holds something else, or its numbers can be read in two ways.
        """
        found = {name: formats.found() for name, formats in gathered.items()}
        decimals = {"." for column in columns if column.proven and not column.n_other}
        both: set[tuple[str, str]] = set()
        for one in found.values():
            if len(one.readings) == 1 and one.shows_decimals:
                form = one.readings[0][0]
                decimals.add(form.decimal)
                both |= {(form.decimal, form.thousands)} if one.shows_both else set()
        for column in columns:
            self._decide(column, found.get(column.name), decimals, both)
        self._note_words(columns)

    def _decide(self, column: CellColumn, found: Found | None, decimals: set[str], both: set[tuple[str, str]]) -> None:
        present = column.present(len(self._lines))
        if column.name in self._told.text_columns:
            return
        if column.n_code and not column.n_other and not column.n_infinite:
            row, cell = column.first["code"]
            why = "has leading zeros" if cell.strip().lstrip("+-").startswith("0") else "has more than 15 digits"
            self._note(column, f"kept as text, as {cell!r} on line {self._lines[row]} {why}")
            return
        if found is not None and found.readings:
            self._read_as(column, found, decimals, both)
        elif column.n_number == present:
            column.numeric = bool(present) or not column.n_usual
            if column.proven and self._told.decimal == ",":
                self._note(column, "read with decimal points, which its numbers show, though --decimal ,")
        elif found is not None and found.odd is not None and self._is_odd(*found.odd, found.n_odd, present):
            raise self._odd(column, *found.odd, present - found.n_odd, found.example)
        elif column.n_infinite and column.n_number + column.n_infinite == present:
            raise self._refusal(*column.first["infinite"], column, "expected a finite number, or NA")
        elif column.n_number + column.n_infinite >= NEARLY_ALL * present:
            row, cell = column.first["odd" if "odd" in column.first else "code"]
            raise self._odd(column, row, cell, column.n_number, "")
        elif column.n_number:
            row, cell = column.first["odd"] if "odd" in column.first else column.first["code"]
            told = f"kept as text, as {shown(cell)} on line {self._lines[row]} is none of its {column.n_number} numbers"
            self._note(column, told)
        if column.numeric and column.n_usual:
            self._check_usual(column, present)

    def _is_odd(self, row: int, cell: str, n_odd: int, present: int) -> bool:
        """Whether a cell is to blame for a column that is not of numbers."""
        return n_odd <= (1 - NEARLY_ALL) * present or self._are_units(row, cell, n_odd, present)

    def _are_units(self, row: int, cell: str, n_odd: int, present: int) -> bool:
        """Whether the first row, and only it, holds no number."""
        first = row == 0 and n_odd == 1 and present > 2 and not any(map(str.isdigit, cell))
        return first and not any(map(_NUMBER.fullmatch, self._first_row))

    def _read_as(self, column: CellColumn, found: Found, decimals: set[str], both: set[tuple[str, str]]) -> None:
        """Settle how a column of numbers is written."""
        why = ""
        known = self._known.get(column.name)
        form = settle(found, self._told.decimal, self._told.thousands)
        if form is None and known is not None and known in found.n_changed:
            form, why = known, ", as in training"
        if form is None:
            form = settle_by_file(found, decimals, both)
            why = ", as another column of the file writes both marks" if form is not None else ""
        if form is None:
            ways = [f"{_number(found.example, forms[0])} ({option_for(forms[0])})" for forms in found.readings]
            raise TableError(
                f"{self._source}: column {column.name!r}: {shown(found.example)} can be {' or '.join(ways)}; "
                "say which with that option"
            )
        column.numeric, column.form = True, form
        column.rewritten = found.n_changed[form] > 0
        if column.rewritten:
            value, n_cells = _number(found.example, form), found.n_changed[form]
            self._note(column, f"{found.example.strip()!r} read as {value} ({n_cells} cells){why}")

    def _check_usual(self, column: CellColumn, present: int) -> None:
        """Refuse words that usually mean missing among numbers; text they are where numbers are few."""
        if column.n_usual > present:
            column.numeric = column.rewritten = False
            return
        row, cell = column.first["usual"]
        words = [word for word in column.others if word.casefold() in USUAL_MISSING - MISSING_ANY_CASE]
        times = f"{column.n_usual} cells" if len(words) == 1 else f"the first of {column.n_usual} such cells"
        raise self._refusal(
            row,
            cell,
            column,
            f"expected a number, as in {present} of {present + column.n_usual} cells ({times}: "
            f"{missing_option(words[:5])} reads {'it' if len(words) == 1 else 'them'} as missing)",
        )

    def _odd(self, column: CellColumn, row: int, cell: str, n_numbers: int, example: str) -> TableError:
        n_odd = column.present(len(self._lines)) - n_numbers
        like = f"a number like {example.strip()!r}" if example else "a number"
        word = cell.strip()
        if self._are_units(row, cell, n_odd, n_numbers + n_odd):
            advice = "--units-row leaves out a row of units below the header"
        elif row == len(self._lines) - 1 and n_odd == 1 and _SUM.fullmatch(word):
            advice = "a row of sums is none of the data: delete it from a copy of the file"
        elif any(map(str.isdigit, word)) or "," in word:
            advice = f"mend it, write NA, or keep the column as text: --text-column '{column.name}'"
        else:
            advice = (
                f"{missing_option([word])} reads it as missing, --text-column '{column.name}' keeps the column as text"
            )
        expected = f"expected {like}, as in {n_numbers} of {n_numbers + n_odd} cells ({advice})"
        return self._refusal(row, cell, column, expected)

    def _refusal(self, row: int, cell: str, column: CellColumn, expected: str) -> TableError:
        return TableError(f"{self._source}: line {self._lines[row]}, column {column.name!r}: {shown(cell)}; {expected}")

    def _note_words(self, columns: list[CellColumn]) -> None:
        """Say which words were read as missing, and which were not though they often mean it."""
        read: dict[str, Counter[str]] = {}
        for column in columns:
            words = column.words.copy()
            usual = {word: n for word, n in column.others.items() if word.casefold() in USUAL_MISSING}
            if column.numeric:
                words.update({word: n for word, n in usual.items() if word.casefold() in MISSING_ANY_CASE})
            elif kept := {word: n for word, n in usual.items() if word.casefold() not in ("none", "nil")}:
                told = ", ".join(f"{word!r} {n} times" for word, n in list(kept.items())[:3])
                option = missing_option(list(kept)[:3])
                self._note(column, f"kept as words: {told} ({option} reads them as missing)")
            if words:
                read[column.name] = words
        if len(read) > _MOST_TOLD:
            total = sum(read.values(), Counter[str]())
            told = ", ".join(f"{word!r} {n} times" for word, n in total.most_common(3))
            self.notes.append(f"{len(read)} columns: read as missing: {told}")
            return
        for name, words in read.items():
            told = ", ".join(f"{word!r} {n} times" for word, n in words.most_common(3))
            self.notes.append(f"column {name!r}: read as missing: {told}")

    def _note(self, column: CellColumn, text: str) -> None:
        self.notes.append(f"column {column.name!r}: {text}")


def _number(cell: str, form: NumberFormat) -> str:
    """Return a cell's number for a message."""
    return form.plain(cell) or cell
