"""What one cell of a homework table says: names in two languages, numbers as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from analysis.words import say
from engine.names import LONGEST_SHOWN, cut, nearest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
_DATE = re.compile(r"\d+월|[A-Za-z]{3,}|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_NEGATIVE = re.compile(r"(?:^|[,;])\s*-")
"""A minus that stands between nothing: "6, -2"."""
_BETWEEN_SIZES = re.compile(r"\s*[,;/x×*+·、→-]\s*|\s+", re.IGNORECASE)
MOST_DECIMALS = 12


class CellError(Exception):
    """A cell that cannot be used.

    Parameters
    ----------
    message : str
        What was found and what would do.
    kind : str
        The same without the value, so that equal mistakes can be counted.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.message, self.kind = message, kind


@dataclass(frozen=True, slots=True)
class Claimed:
    """A loss as it was written down.

    Parameters
    ----------
    value : float
    decimals : int
        Digits after the point: it stands for every loss that rounds to it.
    """

    value: float
    decimals: int


def folded(text: str) -> str:
    """Return a name as it is compared: composed, without case, marks and blanks."""
    return re.sub(r"[\s_\-:#.]+", "", unicodedata.normalize("NFKC", text)).casefold()


def quoted(text: str) -> str:
    """Return a cell as a message shows it."""
    return cut(repr(text), LONGEST_SHOWN)


def missing(known: str) -> CellError:
    """Return what is wrong with an empty cell."""
    return CellError(say("empty; expected {known}", known=known), say("empty"))


def name(text: str, names: Mapping[str, tuple[str, ...]], known: str) -> str:
    """Return the page's name that a cell means."""
    if not text:
        raise missing(known)
    means = {folded(other): one for one, others in names.items() for other in (one, *others)}
    if (found := means.get(folded(text))) is not None:
        return found
    near = nearest(folded(text), means)
    hint = say("did you mean {means!r}?", means=means[near]) if near else say("known: {names}", names=", ".join(names))
    raise CellError(say("unknown {quoted}; {hint}", quoted=quoted(text), hint=hint), say("unknown name"))


def decimal(text: str) -> Decimal | None:
    """Return the number that a cell holds, or None; a comma may stand before decimals."""
    plain = unicodedata.normalize("NFKC", text).strip().replace("\N{MINUS SIGN}", "-")
    if re.fullmatch(r"[+-]?\d+,\d+", plain):
        plain = plain.replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        return None
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None


def whole(text: str, low: int, high: int, why: str) -> int:
    """Return a whole number; ``"000,156"`` is 156, as the page counts epochs."""
    known = say("a whole number from {low} to {high}", low=low, high=high)
    if not text:
        raise missing(known)
    plain = unicodedata.normalize("NFKC", text).strip()
    plain = plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain
    number = decimal(plain)
    if number is None or number != number.to_integral_value():
        raise CellError(
            say("{quoted} is no whole number; expected {known}", quoted=quoted(text), known=known),
            say("no whole number"),
        )
    if not low <= number <= high:
        near = low if number < low else high
        raise CellError(
            say(
                "{quoted} is outside {low} to {high}{why}; nearest: {near}",
                quoted=quoted(text),
                low=low,
                high=high,
                why=why,
                near=near,
            ),
            say("outside {low} to {high}", low=low, high=high),
        )
    return int(number)


def sizes(text: str, most_layers: int, most_units: int) -> tuple[int, ...]:
    """Return the units of each hidden layer: ``"6, 2"``, ``"6-2"``, ``"[6 2]"``."""
    plain = unicodedata.normalize("NFKC", text).strip().strip("[](){}")
    if not plain:
        return ()
    parts = [part for part in _BETWEEN_SIZES.split(plain) if part]
    if _DATE.search(plain):
        raise CellError(
            say(
                '{quoted} reads like a date that a spreadsheet made of 6-2; expected units by layer, as in "6, 2"',
                quoted=quoted(text),
            ),
            say("a date in the place of layer sizes"),
        )
    if _NEGATIVE.search(plain) or not all(re.fullmatch(r"\d+", part) for part in parts):
        raise CellError(
            say('{quoted}; expected units by layer, as in "6, 2"', quoted=quoted(text)), say("no list of units")
        )
    found = tuple(int(part) for part in parts)
    if found == (0,):
        return ()
    if len(found) > most_layers:
        raise CellError(
            say(
                "{quoted} has {n_found} layers; the page has at most {most_layers}",
                quoted=quoted(text),
                n_found=len(found),
                most_layers=most_layers,
            ),
            say("more than {most_layers} layers", most_layers=most_layers),
        )
    for size in found:
        if not 1 <= size <= most_units:
            near = 1 if size < 1 else most_units
            raise CellError(
                say(
                    "{quoted}: a layer of {size} units; the page has 1 to {most_units}, nearest: {near}",
                    quoted=quoted(text),
                    size=size,
                    most_units=most_units,
                    near=near,
                ),
                say("a layer outside 1 to {most_units} units", most_units=most_units),
            )
    return found


def loss(text: str, largest: float) -> Claimed:
    """Return a loss as it was written down."""
    if not text:
        raise CellError(say("no loss is given"), say("no loss is given"))
    number = decimal(text)
    if number is None:
        raise CellError(say("{quoted} is no number", quoted=quoted(text)), say("no number"))
    if not 0 <= number <= Decimal(str(largest)):
        # The nearest bound is no loss that anybody read off the page: 0.05 is what -0.05 was to be.
        meant = f"{-number}" if number < 0 and -number <= Decimal(str(largest)) else None
        hint = say("did you mean {meant}?", meant=meant) if meant else say("expected the page's number, as in 0.085")
        raise CellError(
            say(
                "{quoted} cannot be: half the squared error of outputs within -1 and 1 is from 0 to {largest:g}; "
                "{hint}",
                quoted=quoted(text),
                largest=largest,
                hint=hint,
            ),
            say("outside 0 to {largest:g}", largest=largest),
        )
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Claimed(float(number), min(max(0, -exponent), MOST_DECIMALS))


def positive(text: str) -> float:
    """Return a finite number above 0."""
    number = decimal(text)
    if number is None or number <= 0 or not 0 < float(number) < 1e6:
        raise CellError(say("{quoted}; expected a number above 0", quoted=quoted(text)), say("no number above 0"))
    return float(number)


def fraction(text: str, low: float, high: float) -> float:
    """Return a share: ``0.2``, ``20`` and ``20 %`` are the same."""
    plain = text.strip().removesuffix("%").strip()
    number = decimal(plain)
    known = say("{low:g} to {high:g} %", low=100 * low, high=100 * high)
    if number is None:
        raise CellError(
            say("{quoted} is no share; expected {known}", quoted=quoted(text), known=known), say("no share")
        )
    percent = float(number) if plain != text.strip() or number >= 1 or number == 0 else 100 * float(number)
    if not 100 * low <= percent <= 100 * high:
        near = low if percent < 100 * low else high
        raise CellError(
            say("{quoted} is outside {known}; nearest: {near:g} %", quoted=quoted(text), known=known, near=100 * near),
            say("outside {known}", known=known),
        )
    return round(percent / 100, 12)
