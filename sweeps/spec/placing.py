"""One setting within a space: read from TOML, checked dimension by dimension, and written again."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from analysis.records.events import Scalar
from sweeps.spec.dimensions import Dimension, check_setting
from sweeps.toml import SpecError, SpecTable, shown

ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,63})?@[0-9a-f]{12}")
SIZES = "network.hidden_layer_sizes"
DEPTH = "network.n_hidden_layers"


def read_origin(root: SpecTable) -> str:
    """Return what a spec says of the sweep whose best settings are tried first; empty where it says nothing."""
    origin = root.text("origin") if "origin" in root else ""
    if origin and not ORIGIN.fullmatch(origin):
        raise SpecError(f"{root.where}: origin: {shown(origin)} must be as --from writes it: a sweep, @, 12 digits")
    return origin


def read_first(table: SpecTable, space: tuple[Dimension, ...]) -> tuple[tuple[tuple[str, Scalar], ...], ...]:
    """Return the params of a search's first settings, each whole and within the space.

    Raises
    ------
    SpecError
        If one does not lie in the space, or is named twice.
    """
    found: list[tuple[tuple[str, Scalar], ...]] = []
    for i, entry in enumerate(table.list("first") if "first" in table else []):
        where = f"{table.where}: first[{i}]"
        params, _ = placed(space, params_of(entry, where), where)
        if tuple(params.items()) in found:
            raise SpecError(f"{where}: is first[{found.index(tuple(params.items()))}] again; name each once")
        found.append(tuple(params.items()))
    return tuple(found)


def params_of(entry: Any, where: str) -> dict[str, Scalar]:
    """Return the params that a table of settings names, as ``{training = {learning_rate = 0.1}}``.

    Raises
    ------
    SpecError
        If a setting is unknown or its value is not of its type.
    """
    if not isinstance(entry, Mapping):
        raise SpecError(f"{where}: must be a table, not {shown(entry)}")
    params: dict[str, Scalar] = {}
    for group, content in entry.items():
        if not isinstance(content, Mapping):
            raise SpecError(f"{where}: {group}: write for instance training.learning_rate = 0.1")
        for field, value in content.items():
            key = f"{group}.{field}"
            check_setting(key, value, where)
            if key == SIZES:
                params |= {f"{SIZES}.{i}": size for i, size in enumerate(value, start=1)}
                params.setdefault(DEPTH, len(value))
            else:
                params[key] = value
    return params


def setting_table(params: Mapping[str, Scalar]) -> dict[str, dict[str, Any]]:
    """Return the table that `params_of` reads."""
    table: dict[str, dict[str, Any]] = {}
    for key, value in params.items():
        group, field = key.split(".", 1)
        if key.startswith(f"{SIZES}."):
            table.setdefault(group, {}).setdefault("hidden_layer_sizes", []).append(value)
        else:
            table.setdefault(group, {})[field] = value
    if DEPTH in params:
        table["network"].setdefault("hidden_layer_sizes", [])
    return table


def placed(
    space: tuple[Dimension, ...], given: Mapping[str, Scalar], where: str
) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """Return params and point of a setting that lies in a space; see `sweeps.search.space.walk`.

    Raises
    ------
    SpecError
        If a setting of the space is missing, outside its bounds, or one that does not exist there.
    """
    params: dict[str, Scalar] = {}
    point: dict[str, Scalar] = {}
    for dimension in space:
        if not all(params.get(key) in values for key, values in dimension.when):
            continue
        keys = [dimension.key]
        if dimension.key == SIZES:
            keys = [f"{SIZES}.{i}" for i in range(1, int(params[DEPTH] or 0) + 1)]
        for key in keys:
            if key not in given:
                raise SpecError(f"{where}: {key} is missing")
            params[key], point[key] = _coordinate(dimension, given[key], params, f"{where}: {key}")
    if extra := [key for key in given if key not in params]:
        raise SpecError(f"{where}: {extra[0]} is not searched there; name what the space has")
    return params, point


def _coordinate(dimension: Dimension, value: Scalar, params: Mapping[str, Scalar], where: str) -> tuple[Scalar, Scalar]:
    """Return a value as the space writes it, and its coordinate."""
    if dimension.kind == "choice":
        for choice in dimension.choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice, choice
        raise SpecError(f"{where}: {shown(value)} is none of {shown(list(dimension.choices))}")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise SpecError(f"{where}: {shown(value)} must be a number")
    low, high = dimension.low, dimension.high
    if dimension.by:
        low, high = next((low, high) for by, low, high in dimension.ranges if by == params[dimension.by])
    if not low <= value <= high:
        text = f"{value:g}" if abs(value) < 1e300 else shown(value)  # no integer that long is a float
        raise SpecError(f"{where}: {text} is outside {low:g} to {high:g}")
    if dimension.kind == "int":
        return value, value
    number = float(value)
    if not dimension.by:
        return number, number
    return number, share(low, high, number, is_log=dimension.log)


def share(low: float, high: float, value: float, *, is_log: bool) -> float:
    """Return how far from `low` to `high` a value lies, from 0 to 1."""
    if low == high:
        return 0.0
    if is_log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return min(max((value - low) / (high - low), 0.0), 1.0)
