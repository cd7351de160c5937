"""What a field of a spec's dataclass may be: said once, beside the field; reading, documentation and schema follow."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sweeps.toml import SpecError, SpecTable, shown

T = TypeVar("T")
_ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The values of one field.

    Parameters
    ----------
    kind : str
        ``"whole"``, ``"number"``, ``"text"``, ``"flag"``, ``"texts"``, ``"wholes"`` or ``"numbers"`` (lists).
    low, high : float
        Bounds of numbers, both included.
    open_low : bool
        Whether `low` itself is excluded.
    choices : callable or None
        The texts there may be, asked for when they are needed: a registry may stand above the field.
    """

    kind: Literal["whole", "number", "text", "flag", "texts", "wholes", "numbers"]
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    choices: Callable[[], Iterable[str]] | None = None

    def read(self, table: SpecTable, key: str) -> Any:
        """Return the checked value of a key.

        Raises
        ------
        SpecError
            If it is missing or will not do.
        """
        match self.kind:
            case "whole":
                return table.integer(key, int(self.low), int(self.high))
            case "number":
                return table.number(key, self.low, self.high, open_low=self.open_low)
            case "text":
                return table.text(key, None if self.choices is None else self.choices())
            case "flag":
                return table.boolean(key)
            case _:
                return tuple(self._item(item, f"{table.where}: {key}") for item in table.list(key))

    def _item(self, item: Any, where: str) -> Any:
        if self.kind == "texts":
            if not isinstance(item, str):
                raise SpecError(f"{where}: {shown(item)} must be a string")
            return item
        one = SpecTable({"item": item}, where)
        try:
            if self.kind == "wholes":
                return one.integer("item", int(self.low), int(self.high))
            return one.number("item", self.low, self.high, open_low=self.open_low)
        except SpecError as error:
            raise SpecError(str(error).replace(f"{where}: item: ", f"{where}: ")) from None

    def schema(self) -> dict[str, Any]:
        """Return the values as JSON Schema."""
        kind = {"whole": "integer", "number": "number", "text": "string", "flag": "boolean"}
        items = {"texts": "string", "wholes": "integer", "numbers": "number"}
        one: dict[str, Any] = {"type": kind.get(self.kind) or items[self.kind]}
        if self.low > -math.inf:
            one["exclusiveMinimum" if self.open_low else "minimum"] = self.low
        if self.high < math.inf:
            one["maximum"] = self.high
        if self.choices is not None:
            one["enum"] = list(self.choices())
        return {"type": "array", "items": one} if self.kind in items else one


def whole(low: int, high: int, default: Any = dataclasses.MISSING) -> Any:
    """Return a field of whole numbers from `low` to `high`."""
    return _field(Allowed("whole", low, high), default)


def number(low: float, high: float = math.inf, default: Any = dataclasses.MISSING, *, open_low: bool = False) -> Any:
    """Return a field of finite numbers from `low` to `high`."""
    return _field(Allowed("number", low, high, open_low), default)


def text(choices: Callable[[], Iterable[str]] | Iterable[str] | None = None, default: Any = dataclasses.MISSING) -> Any:
    """Return a field of text, one of `choices` if they are given."""
    if choices is None or callable(choices):
        return _field(Allowed("text", choices=choices), default)
    names = tuple(choices)
    return _field(Allowed("text", choices=lambda: names), default)


def flag(default: Any = dataclasses.MISSING) -> Any:
    """Return a field that is true or false."""
    return _field(Allowed("flag"), default)


def texts(default: Any = dataclasses.MISSING) -> Any:
    """Return a field that is a list of texts."""
    return _field(Allowed("texts"), default)


def wholes(low: int, high: int, default: Any = dataclasses.MISSING) -> Any:
    """Return a field that is a list of whole numbers."""
    return _field(Allowed("wholes", low, high), default)


def numbers(low: float, high: float = math.inf, default: Any = dataclasses.MISSING, *, open_low: bool = False) -> Any:
    """Return a field that is a list of numbers."""
    return _field(Allowed("numbers", low, high, open_low), default)


def _field(allowed: Allowed, default: Any) -> Any:
    return dataclasses.field(default=default, metadata={_ALLOWED: allowed})


def read_fields(kind: type[T], table: SpecTable, **known: Any) -> T:
    """Return an instance of a dataclass read from a table; keys that have a default may be left out.

    Parameters
    ----------
    kind : type
        Its fields say what they may be, by `whole`, `number`, `text`, ...
    table : SpecTable
        Left open: other keys may be read from it, or `SpecTable.close` refuses them.
    **known
        Fields that have been read already.

    Raises
    ------
    SpecError
        If a key is missing or its value will not do.
    """
    values = dict(known)
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        if one.name in values or _ALLOWED not in one.metadata:
            continue
        if one.name not in table and one.default is not dataclasses.MISSING:
            continue
        values[one.name] = one.metadata[_ALLOWED].read(table, one.name)
    return kind(**values)


def fields_schema(kind: type) -> dict[str, Any]:
    """Return a dataclass of a spec as JSON Schema, with its docstring's words on each field."""
    words = _field_words(kind)
    properties, required = {}, []
    for one in dataclasses.fields(kind):
        if _ALLOWED not in one.metadata:
            continue
        entry = one.metadata[_ALLOWED].schema()
        if one.name in words:
            entry["description"] = words[one.name]
        if one.default is dataclasses.MISSING:
            required.append(one.name)
        else:
            entry["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
        properties[one.name] = entry
    return {"type": "object", "properties": properties, "required": required}


def _field_words(kind: type) -> dict[str, str]:
    """Return what a class's numpydoc docstring says of each parameter."""
    words: dict[str, str] = {}
    names: list[str] = []
    for line in (kind.__doc__ or "").splitlines():
        heading = re.match(r"    ([a-z_][\w, ]*) : ", line)
        if heading:
            names = [name.strip() for name in heading[1].split(",")]
        elif names and line.startswith("        "):
            for name in names:
                words[name] = f"{words.get(name, '')} {line.strip()}".strip()
        elif line.strip():
            names = []
    return words
