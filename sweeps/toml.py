"""Tables of a spec while they are read: every key is asked for once, every message is one line that says where."""

from __future__ import annotations

import codecs
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from engine.names import LONGEST_SHOWN, InputMessageError, cut, nearest, unknown

DEEPEST = 16
"""Tables and lists in each other; no spec needs a third of it, and Python's own stack ends at about a thousand."""

_WIDE = (
    ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-32"),  # before UTF-16, whose little-endian mark begins it
    ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "UTF-16"),
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Of sweeps, studies and datasets: they are names of folders, too."""


LONGEST_INTEGER = 128
"""Bits of a whole number that is written in decimal digits."""


class SpecError(InputMessageError):
    """A sweep that cannot be asked; the message is one line: place, value, what would do."""


def read_toml(content: bytes, where: str) -> dict[str, Any]:
    """Return the table that a TOML file holds.

    Parameters
    ----------
    content : bytes
        The whole file.
    where : str
        Begins every message.

    Raises
    ------
    SpecError
        If it is not TOML, or nests deeper than `DEEPEST`.
    """
    try:
        table = tomllib.loads(_toml_source(content, where))
    except RecursionError:
        raise _depth_error(where) from None
    except SpecError:
        raise
    except ValueError as error:  # not UTF-8, not TOML, or a number of more digits than Python reads
        raise SpecError(f"{where}: not TOML: {(str(error).splitlines() or [''])[0]}") from None
    check_depth(table, where)
    return table


def check_depth(value: Any, where: str) -> None:
    """Raise SpecError if tables and lists nest deeper than `DEEPEST`."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, (Mapping, list, tuple))
            for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
    if level:
        raise _depth_error(where)


def _depth_error(where: str) -> SpecError:
    return SpecError(f"{where}: tables or lists nest deeper than {DEEPEST}; write them out flat")


def _toml_source(content: bytes, where: str) -> str:
    """Return the text of a TOML file without its byte-order mark."""
    for marks, name in _WIDE:
        if content.startswith(marks):
            raise SpecError(f"{where}: {name} text; TOML is UTF-8: save it as UTF-8")
    if b"\0" in content[:4]:  # beside or before every English letter, where no mark says so
        name = "UTF-16" if content[:4].count(0) < 3 else "UTF-32"
        raise SpecError(f"{where}: {name} text; TOML is UTF-8: save it as UTF-8")
    return content.decode("utf-8-sig")


class SpecTable:
    """One TOML table while it is read: every key is asked for once, what is left over is unknown.

    `tables` names tables that it may have: one of another name that is much like one of them is told before a key that
    is missing.
    """

    def __init__(self, table: Any, where: str, tables: tuple[str, ...] = ()) -> None:
        if not isinstance(table, Mapping):
            raise SpecError(f"{where}: must be a table, not {shown(table)}")
        self.where = where
        self._left = dict(table)
        self._known: list[str] = []
        self._tables = tables

    def __contains__(self, key: str) -> bool:
        """Return whether a key is given and has not been asked for yet."""
        self._known.append(key)  # what may be left out is known, too
        return key in self._left

    def take(self, key: str) -> Any:
        """Return the value of a key, which must be there."""
        self._known.append(key)
        if key not in self._left:
            for given in self._left:  # a misspelt key is a better message than a missing one
                if given not in self._known and nearest(given, [key], cutoff=0.75):
                    raise SpecError(f"{self.where}: {unknown('', given, [key])}")
            self._check_tables()
            raise SpecError(f"{self.where}: {key} is missing")
        return self._left.pop(key)

    def _check_tables(self) -> None:
        """Refuse a table whose name is much like one there may be: what follows from that misleads."""
        for given, value in self._left.items():
            is_other = isinstance(value, Mapping) and given not in self._tables and given not in self._known
            if is_other and nearest(given, self._tables, cutoff=0.75):
                raise SpecError(f"{self.where}: {unknown('table', given, self._tables)}")

    def text(self, key: str, choices: Iterable[str] | None = None) -> str:
        """Return a string, one of `choices` if they are given."""
        value = self.take(key)
        if not isinstance(value, str):
            raise SpecError(f"{self.where}: {key}: {shown(value)} must be a string")
        if choices is not None:
            check_name(value, choices, f"{self.where}: {key}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise SpecError(f"{self.where}: {key}: {shown(value)} must be a whole number")
        if not low <= value <= high:
            raise SpecError(f"{self.where}: {key}: {shown(value)} is outside {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> float:
        """Return a finite number from `low` to `high`, open ends excluded."""
        value = checked_number(self.take(key), f"{self.where}: {key}")
        if value < low or value > high or (open_low and value == low) or (open_high and value == high):
            bounds = f"{'above' if open_low else 'at least'} {low:g}"
            if high < math.inf:
                bounds += f" and {'below' if open_high else 'at most'} {high:g}"
            raise SpecError(f"{self.where}: {key}: {value:g} must be {bounds}")
        return value

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            raise SpecError(f"{self.where}: {key}: {shown(value)} must be true or false")
        return value

    def list(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.take(key)
        if not isinstance(value, list):
            raise SpecError(f"{self.where}: {key}: {shown(value)} must be a list")
        return value

    def table(self, key: str) -> SpecTable:
        """Return a table inside this one."""
        return SpecTable(self.take(key), f"{self.where}: {key}")

    def rest(self) -> dict[str, Any]:
        """Return everything that has not been asked for."""
        rest, self._left = self._left, {}
        return rest

    def close(self) -> None:
        """Raise SpecError if something has not been asked for: nobody knows it."""
        if self._left:
            known = list(dict.fromkeys(self._known))
            raise SpecError(f"{self.where}: {unknown('', next(iter(self._left)), known)}")


def study_name(table: SpecTable) -> str:
    """Return the name that a spec gives itself."""
    name = table.text("name")
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{table.where}: name: {name!r} must be 1 to 64 letters, digits, '_', '.', '-', letter or digit first"
        )
    return name


def check_name(value: str, choices: Iterable[str], where: str) -> None:
    """Raise SpecError, naming the nearest choice, unless `value` is one of `choices`."""
    names = list(choices)
    if value not in names:
        raise SpecError(f"{where}: {unknown('', value, names)}")


def checked_number(value: Any, where: str) -> float:
    """Return a finite number, or raise SpecError."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise SpecError(f"{where}: {shown(value)} must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"{where}: {shown(value)} must be finite")
    return number


def toml_text(value: Any) -> str:
    """Return a value as TOML text (keys bare where they may be)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(str(key))} = {toml_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
        return hex(value)  # Python refuses to write more than 4300 decimal digits
    return repr(value) if isinstance(value, (int, float)) else str(value)


def shown(value: Any) -> str:
    """Return a value as a message shows it: as TOML text, shortened."""
    return cut(toml_text(value), LONGEST_SHOWN)


def toml_key(key: str) -> str:
    """Return a key bare where it may be, else quoted."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_text(key)
