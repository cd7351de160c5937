"""JSON values as the dataclasses that declare them: every field there, known, and of its type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

Where = str | tuple[Any, str | int]
"""Where a value stands: a text, or what it stands in and its name or number there. Few are ever told, and to put each
into words took an eighth of the time to read a log."""
Check = Callable[[Any, Where], Any]
"""Returns a JSON value as its type, given where it stands; raises ValueError where it is not of it."""
LONGEST_SHOWN = 40


def build(kind: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the type that `kind` declares.

    Parameters
    ----------
    kind : type
        A dataclass or another annotation: scalars, ``Any``, ``Literal``, unions, tuples, lists, dicts.
    value : object
        As from `json.loads`.
    where : str
        What the message calls the value.

    Raises
    ------
    ValueError
        If it is not of that type; the message begins with the place: ``where.field[0]``.
    """
    return _check_of(kind)(value, where)


@lru_cache(maxsize=256)
def _check_of(kind: Any) -> Check:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, _: value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass_check(kind)
    if origin is Literal:
        return _one_of(kind, arguments)
    if origin is types.UnionType:
        return _union_check(kind, arguments)
    if origin in (list, tuple):
        return _sequence_check(origin, arguments[0])
    if origin is dict:
        return _dict_check(arguments[1])
    return _scalar_check(kind)


def _dataclass_check(kind: type[Any]) -> Check:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    checks = {name: _check_of(hints[name]) for name in fields}
    needed = {name for name, field in fields.items() if _has_no_default(field)}

    def check(value: Any, where: Where) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{_told(where)}: a {type(value).__name__}; expected an object")
        if wrong := sorted((needed - value.keys()) | (value.keys() - fields.keys())):
            raise ValueError(f"{_told((where, wrong[0]))}: {'missing' if wrong[0] in fields else 'unknown'}")
        return kind(**{name: checks[name](item, (where, name)) for name, item in value.items()})

    return check


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _one_of(kind: Any, arguments: tuple[Any, ...]) -> Check:
    def check(value: Any, where: Where) -> Any:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(kind, value, where)
        return value

    return check


def _union_check(kind: Any, arguments: tuple[Any, ...]) -> Check:
    others = [argument for argument in arguments if argument is not types.NoneType]
    allowed = frozenset(argument for argument in others if argument in (str, int, float, bool))
    if len(allowed) == len(others) > 1:  # Scalar
        return _scalars_check(kind, allowed | {types.NoneType} if len(others) < len(arguments) else allowed)
    (only,) = others
    inner = _check_of(only)
    return lambda value, where: None if value is None else inner(value, where)


def _scalars_check(kind: Any, allowed: frozenset[type]) -> Check:
    def check(value: Any, where: Where) -> Any:
        if type(value) not in allowed or (type(value) is float and not math.isfinite(value)):
            raise _wrong(kind, value, where)
        return value

    return check


def _sequence_check(origin: Any, item_kind: Any) -> Check:
    inner = _check_of(item_kind)
    quick = _QUICK.get(item_kind)

    def check(value: Any, where: Where) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"{_told(where)}: {shown(value)}; expected a list")
        # A record holds hundreds of numbers: their types are looked at all at once, one by one only to say which.
        if quick is None or not quick.issuperset(map(type, value)) or not _are_finite(value, quick):
            value = [inner(item, (where, i)) for i, item in enumerate(value)]
        return tuple(value) if origin is tuple else value

    return check


_QUICK: dict[Any, frozenset[type]] = {
    str: frozenset({str}),
    int: frozenset({int}),
    float: frozenset({int, float}),
    int | None: frozenset({int, types.NoneType}),
    float | None: frozenset({int, float, types.NoneType}),
}
"""What the items of a list may be, where that can be seen without a look at each."""


def _are_finite(values: list[Any], allowed: frozenset[type]) -> bool:
    return float not in allowed or all(map(math.isfinite, filter(None, values)))


def _dict_check(item_kind: Any) -> Check:
    inner = _check_of(item_kind)

    def check(value: Any, where: Where) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{_told(where)}: {shown(value)}; expected an object")
        return {name: inner(item, (where, name)) for name, item in value.items()}

    return check


def _scalar_check(kind: Any) -> Check:
    if kind is float:

        def check_number(value: Any, where: Where) -> Any:
            if type(value) not in (int, float) or not math.isfinite(value):
                raise _wrong(kind, value, where)
            return value

        return check_number
    if kind not in (int, str, bool):
        raise TypeError(f"{kind!r}: no type that a record's field may have")

    def check(value: Any, where: Where) -> Any:
        if type(value) is not kind:
            raise _wrong(kind, value, where)
        return value

    return check


def _told(where: Where) -> str:
    if isinstance(where, str):
        return where
    around, part = where
    return f"{_told(around)}[{part}]" if isinstance(part, int) else f"{_told(around)}.{shown(part)}"


def _wrong(kind: Any, value: Any, where: Where) -> ValueError:
    return ValueError(f"{_told(where)}: {value!r:.{LONGEST_SHOWN}}; expected {getattr(kind, '__name__', kind)}")


def shown(value: Any) -> str:
    """Return a value as a message names it, whatever its length."""
    text = value if isinstance(value, str) else f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
