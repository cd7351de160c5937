"""How the numbers of one column are written: marks, currency, percent, units, brackets; found from all its cells.

A column is read in a format only where all its cells agree with it and no other format gives another number for any of
them. Where two do, these decide, in this order:

1. What the caller was told (``decimal``, ``thousands``).
2. The writer of the column: a program that writes 1.630 for 1.63 writes 685.000 for 685, and one that writes 685 writes
   1.63. Where groups of just three digits end in 0, whole numbers stand beside them without a mark, and these all lie
   beyond what the others are as decimals, the mark parts thousands.
3. A plain decimal point (three digits behind it in every cell) is one, unless another column writes a decimal comma.
4. Another column that writes both marks in one cell (``339.989,19``), where no column writes them the other way round.

Else the caller has to choose.

A unit behind the number (``12 kg``) is left out where every cell has the same; a number in brackets is below zero, as
accountants write it, where others of its column have none and none has a minus sign.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NEARLY_ALL = 0.9
"""Share of numbers from which a column is taken for one of numbers, and its odd cells are refused."""
_ENOUGH = 500
"""Cells after which a format that most of them rule out is dropped."""
SPACES = " \u00a0\u202f\u2009"
THOUSANDS = (",", ".", " ", "'")
_SYMBOLS = "$€£¥₩₹₽₺₴₪฿₫₱"
_CURRENCIES = (
    *("USD", "EUR", "GBP", "CHF", "JPY", "KRW", "CNY", "INR", "RUB", "BRL", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK"),
    *("PLN", "CZK", "HUF", "TRY", "ZAR", "MXN", "SGD", "HKD", "THB", "US$", "R$", "Rs.", "Rs", "Fr.", "kr.", "kr"),
    *("zł", "Kč", "원", "円", "元"),
)
_UNIT = "|".join([rf"[{_SYMBOLS}]", *map(re.escape, _CURRENCIES)])
_BLANK = rf"[\t{SPACES}]*"
_WORD = "[A-Za-z\u00b5\u03bc\u00b0\u2126\u03a9][A-Za-z\u00b5\u03bc\u00b0\u2126\u03a9\u00b2\u00b3/]{0,11}"
_FEWEST_MEASURED = 5
"""Different cells with a unit; fewer are words that happen to begin with a digit, as 2wd and 4wd."""
_PARTS = re.compile(
    rf"{_BLANK}(?P<before>[+\-\u2212]?)(?:(?P<prefix>{_UNIT}){_BLANK}(?P<after>[+\-\u2212]?))?"
    rf"(?P<digits>[0-9.,](?:[0-9.,'\u2019{SPACES}]*[0-9.,])?(?:[eE][+-]?[0-9]{{1,4}})?)"
    rf"(?:{_BLANK}(?P<suffix>{_UNIT}|%|{_WORD}(?: {_WORD})?))?{_BLANK}"
)
_BRACKETS = re.compile(rf"{_BLANK}(?:(?P<prefix>{_UNIT}){_BLANK})?\((?P<inside>[^()+\-\u2212]+)\){_BLANK}")
_CURRENCY = re.compile(rf"(?:{_UNIT}|%)?")
_GROUP_CLASS = {",": ",", ".": r"\.", " ": f"[{SPACES}]", "'": "['\u2019]"}


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How numbers are written.

    Parameters
    ----------
    decimal, thousands : str
        Marks; no thousands mark: ``""``.
    prefix, suffix : str
        Currency, percent sign or unit that every cell bears.
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is what Python reads as it stands."""
        return self == NumberFormat()

    def plain(self, cell: str) -> str | None:
        """Return a cell as Python's float reads it, or None where it is not written so."""
        parts = _split(cell)
        if parts is None or parts[0] != (self.prefix, self.suffix):
            return None
        return _plain(parts[1], self.decimal, self.thousands)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cells of a column say about how its numbers are written.

    Parameters
    ----------
    readings : tuple of tuple of NumberFormat
        One for each different way in which all cells are numbers: the formats that come to it.
    shows_decimals, shows_both : bool
        Whether cells show the decimal mark of the only reading, and its thousands mark, too.
    fixed : bool
        Whether every cell has a point with just three digits behind it, or is a whole 0.
    grouped : bool
        Whether the column's writer can only have meant thousands (rule 2).
    example : str
        The first cell over which readings differ, else the first that is not plain, else the first.
    n_changed : mapping
        Of each format, cells that it reads otherwise than Python would.
    odd : (row, cell) or None
        The first cell that is no number, where nearly all are.
    n_odd : int
        Cells that are none there.
    """

    readings: tuple[tuple[NumberFormat, ...], ...]
    shows_decimals: bool = False
    shows_both: bool = False
    fixed: bool = False
    grouped: bool = False
    example: str = ""
    n_changed: Mapping[NumberFormat, int] = field(default_factory=dict)
    odd: tuple[int, str] | None = None
    n_odd: int = 0


class Formats:
    """Gathers in which formats all cells of a column are numbers, told of them by and by.

    Parameters
    ----------
    n_cells : int
        Cells that there will be, missing ones left out.
    """

    def __init__(self, n_cells: int) -> None:
        self._n_cells = n_cells
        self._n_seen = 0
        self._unit: tuple[str, str] | None = None
        self._alive = list(_PATTERNS)
        self._n_missed: Counter[tuple[str, str]] = Counter()
        self._odd: dict[tuple[str, str], tuple[int, str]] = {}
        self._labels = dict.fromkeys(_PATTERNS, 0)  # equal where all numbers are
        self._decimals: set[tuple[str, str]] = set()
        self._differing = self._unusual = self._any = ""
        self._n_changed: Counter[tuple[str, str]] = Counter()
        self._fixed = True
        self._n_padded = self._n_bare = 0
        self._in_brackets = ""
        self._below_zero = self._open = False
        self._measured: set[str] = set()
        self._most_marked, self._least_bare = 0.0, math.inf

    @property
    def alive(self) -> bool:
        """Whether nearly all cells may still be numbers in some format."""
        return bool(self._alive)

    def add_alike(self, cells: Sequence[str]) -> bool:
        """Take cells that only say again what is known, all at once; return whether they were such, else take none."""
        decimals = {decimal for decimal, _ in self._alive}
        if len(decimals) != 1 or self._unit != ("", "") or any(self._n_missed[marks] for marks in self._alive):
            return False
        decimal = decimals.pop()
        marks = (decimal, "") if (decimal, "") in self._alive else self._alive[0]
        if marks not in _COLUMNS or (marks[1] and len(self._alive) > 1):
            return False
        if not _COLUMNS[marks].fullmatch("\n".join(cells) + "\n"):
            return False
        self._open = True
        self._below_zero = self._below_zero or any("-" in cell for cell in cells)
        changing = [mark for mark in (marks[1], decimal.replace(".", "")) if mark]
        n_changed = sum(any(mark in cell for mark in changing) for cell in cells)
        for one in self._alive:  # those that part thousands, too, read cells without such marks as the same numbers
            self._n_changed[one] += n_changed
            if one not in self._decimals and any(decimal in cell for cell in cells):
                self._decimals.add(one)
        return True

    def add(self, cells: Iterable[tuple[str, int, int]]) -> None:
        """Take different cells, each with how often it is there and the row it is first in."""
        split = [(cell, n, row, _split(cell)) for cell, n, row in cells]
        if self._unit is None:
            units: Counter[tuple[str, str]] = Counter()
            for _, n, _, parts in split:
                if parts is not None:
                    units[parts[0]] += n
            self._unit = units.most_common(1)[0][0] if units else None
        for cell, n, row, parts in split:
            text = parts[1] if parts is not None and parts[0] == self._unit else None
            self._add(cell, n, row, text)
        allowed = max((1 - NEARLY_ALL) * self._n_cells, 1)  # one: a row of units
        self._n_seen += sum(n for _, n, _, _ in split)
        if self._n_seen >= _ENOUGH and not all(self._n_missed[marks] for marks in self._alive):
            allowed = min(allowed, self._n_seen / 2)  # what most cells rule out is no rival of what all agree with
        self._alive = [marks for marks in self._alive if self._n_missed[marks] <= allowed]

    def _add(self, cell: str, n: int, row: int, text: str | None) -> None:
        values = {marks: None if text is None else _plain(text, *marks) for marks in self._alive}
        bracketed = "(" in cell
        self._in_brackets = self._in_brackets or (cell if bracketed else "")
        self._open = self._open or not bracketed
        self._below_zero = self._below_zero or (not bracketed and text is not None and text.startswith("-"))
        if len(self._measured) < _FEWEST_MEASURED and text is not None:
            self._measured.add(text)
        self._any = self._any or cell
        for marks, value in values.items():
            if value is None:
                self._n_missed[marks] += n
                self._odd[marks] = min(self._odd.get(marks, (row, cell)), (row, cell))
        if text is None:
            return
        if len({value for value in values.values() if value is not None}) > 1:
            self._differing = self._differing or cell
        if len(set(values.values())) > 1:
            known: dict[tuple[int, str | None], int] = {}
            for marks, value in values.items():
                self._labels[marks] = known.setdefault((self._labels[marks], value), len(known))
        as_it_stands = cell.strip().removeprefix("+")
        self._n_changed.update({marks: n for marks, value in values.items() if value != as_it_stands})
        if not self._unusual and not _PATTERNS[".", ""].fullmatch(cell.strip()):
            self._unusual = cell
        self._decimals.update(marks for marks, value in values.items() if value and "." in value)
        self._weigh(text.lstrip("+-"), n)

    def _weigh(self, digits: str, n: int) -> None:
        """Keep what rules 2 and 3 look at."""
        if digits.isdigit():
            if digits.strip("0"):
                self._fixed = False
                self._n_bare += n
                self._least_bare = min(self._least_bare, float(digits))
            return
        self._fixed = self._fixed and "." in digits
        self._n_padded += n * digits.endswith("0")
        if re.fullmatch("[0-9]{1,3}[.,][0-9]{3}", digits):
            self._most_marked = max(self._most_marked, float(digits.replace(",", ".")))

    def found(self) -> Found:
        """Return what all cells together say."""
        prefix, suffix = self._unit or ("", "")
        whole = [marks for marks in self._alive if not self._n_missed[marks]]
        if self._in_brackets and (self._below_zero or not self._open):
            return Found(())
        measured = not _CURRENCY.fullmatch(suffix)
        if measured and (not whole or len(self._measured) < _FEWEST_MEASURED):
            return Found(())
        if not whole:
            if not self._alive:
                return Found(())
            best = min(self._alive, key=lambda marks: self._n_missed[marks])
            return Found((), example=self._unusual, odd=self._odd[best], n_odd=self._n_missed[best])
        classes: dict[int, list[NumberFormat]] = {}
        for marks in whole:
            classes.setdefault(self._labels[marks], []).append(NumberFormat(*marks, prefix, suffix))
        only = whole[0] if len(classes) == 1 else None
        grouped = self._n_padded > 1 and self._n_bare > 1 and self._least_bare > self._most_marked
        return Found(
            tuple(map(tuple, classes.values())),
            shows_decimals=only in self._decimals,
            shows_both=only is not None and only in self._decimals and only[1] != "",
            fixed=self._fixed,
            grouped=only is None and grouped,
            example=("" if only else self._differing) or self._in_brackets or self._unusual or self._any,
            n_changed={NumberFormat(*marks, prefix, suffix): self._n_changed[marks] for marks in whole},
        )


def settle(found: Found, decimal: str, thousands: str) -> NumberFormat | None:
    """Return the format that a column by itself, or what was told, decides on; None where two are left."""
    if len(found.readings) == 1:
        return found.readings[0][0]
    if decimal or thousands:
        told = [
            next(one for one in forms if _agrees(one, decimal, thousands))
            for forms in found.readings
            if any(_agrees(one, decimal, thousands) for one in forms)
        ]
        if len(told) == 1:
            return told[0]
    if found.grouped:
        return next((forms[0] for forms in found.readings if forms[0].thousands in (",", ".")), None)
    return None


def settle_by_file(found: Found, decimals: set[str], both: set[tuple[str, str]]) -> NumberFormat | None:
    """Return what the file decides on where a column itself leaves two readings, or None.

    Parameters
    ----------
    found : Found
        What the column says.
    decimals : set of str
        Decimal marks that other columns show.
    both : set of (str, str)
        Decimal and thousands marks of the columns that show both.
    """
    plain = next((forms[0] for forms in found.readings if (forms[0].decimal, forms[0].thousands) == (".", "")), None)
    if plain is not None and found.fixed and "," not in decimals:
        return plain
    if len(both) == 1 and len(decimals) == 1:
        decimal, thousands = next(iter(both))
        fits = [
            one for forms in found.readings for one in forms if (one.decimal, one.thousands) == (decimal, thousands)
        ]
        return fits[0] if fits else None
    return None


def option_for(form: NumberFormat) -> str:
    """Return the option of the command line that decides for a format among two."""
    return f"--thousands {form.thousands}" if form.thousands else f"--decimal {form.decimal}"


def _agrees(form: NumberFormat, decimal: str, thousands: str) -> bool:
    return not (decimal and form.decimal != decimal) and not (thousands and form.thousands != thousands)


def _split(cell: str) -> tuple[tuple[str, str], str] | None:
    """Return what stands before and behind a cell's number, and its signed digits, or None where it is none."""
    brackets = _BRACKETS.fullmatch(cell)
    if brackets is not None:
        inside = _PARTS.fullmatch((brackets["prefix"] or "") + brackets["inside"])
        return None if inside is None else ((inside["prefix"] or "", inside["suffix"] or ""), "-" + inside["digits"])
    found = _PARTS.fullmatch(cell)
    if found is None or (found["before"] and found["after"]):
        return None
    sign = (found["before"] or found["after"] or "").replace("\u2212", "-")
    return (found["prefix"] or "", found["suffix"] or ""), sign + found["digits"]


def _plain(text: str, decimal: str, thousands: str) -> str | None:
    """Return signed digits as Python's float reads them, or None where they are not written with these marks."""
    if not _PATTERNS[decimal, thousands].fullmatch(text):
        return None
    if thousands:
        text = re.sub(_GROUP_CLASS[thousands], "", text)
        if sum(map(str.isdigit, text)) > 15:
            return None
    return text.replace(decimal, ".").removeprefix("+")


def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, power = re.escape(decimal), "[eE][+-]?[0-9]{1,4}"
    whole = "(?:0|[1-9][0-9]*+)"
    forms = [rf"{whole}(?:{point}[0-9]*+(?:{power})?|{power})", "0", "[1-9][0-9]{0,14}", rf"{point}[0-9]++(?:{power})?"]
    if thousands:
        mark = _GROUP_CLASS[thousands]
        forms.insert(0, rf"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+(?:{point}[0-9]*+)?")
    if thousands == ",":  # lakhs and crores: 12,34,567
        forms.insert(1, rf"[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}(?:{point}[0-9]*+)?")
    return re.compile(rf"[+-]?(?:{'|'.join(forms)})")


_PATTERNS = {
    (decimal, mark): _pattern(decimal, mark) for decimal in ".," for mark in ("", *THOUSANDS) if mark != decimal
}
_COLUMNS = {
    marks: re.compile(rf"(?:[ \t]*+(?:{_PATTERNS[marks].pattern})[ \t]*+\n)*+")
    for marks in ((",", ""), (",", "."), (".", ","))
}
"""The commonest of them for whole columns, cells joined by line ends."""
