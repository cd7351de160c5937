"""What a line of a log holds, a record of one of the dataclasses here, as plain JSON values."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any


def as_data(item: Any) -> dict[str, Any]:
    """Return a record as plain JSON values; what it holds is shared, not copied."""
    return {name: getattr(item, name) for name in _names(type(item))}  # type: ignore[arg-type]  # a class has a hash


@lru_cache(maxsize=32)
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Return the fields of a kind of line: asking for them again costs more than a line's values."""
    return tuple(one.name for one in dataclasses.fields(kind))


@lru_cache(maxsize=32)
def _defaulted(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    """Return those of the fields that have a default."""
    missing = dataclasses.MISSING
    return tuple(
        one for one in dataclasses.fields(kind) if one.default is not missing or one.default_factory is not missing
    )


def told(item: Any) -> dict[str, Any]:
    """Return what a line says beyond the defaults of its kind, as plain values."""
    silent = {one.name for one in _defaulted(type(item)) if _has_default(item, one)}  # type: ignore[arg-type]
    return {key: value for key, value in as_data(item).items() if key not in silent}


def _has_default(item: Any, one: dataclasses.Field[Any]) -> bool:
    if one.default_factory is not dataclasses.MISSING:
        return bool(getattr(item, one.name) == one.default_factory())
    return bool(getattr(item, one.name) == one.default)
