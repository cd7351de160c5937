"""What is searched: one dimension a setting, checked against the fields it sets."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from analysis.records.events import Scalar
from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.initializers import INITIALIZERS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.methods.schedules import SCHEDULES
from engine.names import unknown
from engine.network import NetworkConfig
from sweeps.toml import SpecError, SpecTable, check_name, checked_number, shown

LARGEST_GRID = 100_000


@dataclass(frozen=True, slots=True)
class Dimension:
    """One searched setting.

    Parameters
    ----------
    key : str
        ``"training.<field>"``, ``"network.<field>"``, or ``"network.n_hidden_layers"``. The key
        ``"network.hidden_layer_sizes"`` is one size for each layer there is.
    kind : str
        ``"float"``, ``"int"`` or ``"choice"``.
    low, high : float
        Bounds, both included (numbers).
    log : bool
        Whether to search the logarithm.
    choices : tuple
        What may be chosen (``"choice"``).
    when : tuple of (key, values)
        The dimension exists only where each of these earlier keys has one of the values.
    by : str
        Earlier key whose value picks the bounds from `ranges`; empty means that `low` and `high` hold.
    ranges : tuple of (value, low, high)
        Bounds for each value of `by`.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Scalar, ...] = ()
    when: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    by: str = ""
    ranges: tuple[tuple[Scalar, float, float], ...] = ()

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Everything that may be chosen, in order; empty for numbers that are not whole."""
        return tuple(range(int(self.low), int(self.high) + 1)) if self.kind == "int" else self.choices


def grid_size(space: tuple[Dimension, ...], where: str) -> int:
    """Return how many settings a grid over the space has; it must be one of values that can be counted."""
    for dimension in space:
        if dimension.kind == "float":
            raise SpecError(f"{where}: sampler: grid: {dimension.key} has no list of values; give choice = [...]")
        # Before anything is listed: a list of 2**63 widths would take all memory there is.
        if dimension.kind == "int" and dimension.high - dimension.low >= LARGEST_GRID:
            raise SpecError(
                f"{where}: sampler: grid: {dimension.key} from {dimension.low:g} to {dimension.high:g} is more than the"
                f" {LARGEST_GRID} settings there may be"
            )
    depths = [dimension.values for dimension in space if dimension.key == "network.n_hidden_layers"]
    deepest = max((int(depth or 0) for values in depths for depth in values), default=0)
    most = math.prod(len(d.values) ** (deepest if d.key == "network.hidden_layer_sizes" else 1) for d in space)
    if most > LARGEST_GRID:
        shown = f"up to {most}" if most < 10**18 else "more than 10**18"
        raise SpecError(f"{where}: sampler: grid: {shown} settings; there may be {LARGEST_GRID}")
    return _n_settings(space, {})


def _n_settings(space: tuple[Dimension, ...], chosen: Mapping[str, Scalar]) -> int:
    if not space:
        return 1
    first, rest = space[0], space[1:]
    if not all(chosen.get(key) in values for key, values in first.when):
        return _n_settings(rest, chosen)
    if first.key == "network.hidden_layer_sizes":
        return int(len(first.values) ** int(chosen["network.n_hidden_layers"] or 0)) * _n_settings(rest, chosen)
    return sum(_n_settings(rest, {**chosen, first.key: value}) for value in first.values)


_CONFIGS = MappingProxyType({"network": NetworkConfig, "training": TrainingConfig})
_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        f"{group}.{field}": kind
        for group, config in _CONFIGS.items()
        for field, kind in typing.get_type_hints(config).items()
    }
)
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network.activation": tuple(ACTIVATIONS),
        "network.output_activation": tuple(ACTIVATIONS),
        "network.initializer": tuple(INITIALIZERS),
        "training.loss": tuple(LOSSES),
        "training.optimizer": tuple(OPTIMIZERS),
        "training.schedule": tuple(SCHEDULES),
        "training.regularizer": tuple(REGULARIZERS),
        "training.partial_batch": ("carry", "keep", "drop"),
        "training.order": ("fixed", "shuffled"),
        "training.dtype": ("float32", "float64"),
    }
)
LENGTH = "training.max_epochs"
"""How long a trial trains and its schedule is; only a space has it, as what holds for all trials stands in [epochs]."""
# Set by the data, or by the spec's own [epochs].
_NOT_SETTABLE = ("network.n_inputs", "network.n_outputs", LENGTH)


@functools.cache
def setting_keys() -> tuple[str, ...]:
    """Return every key a spec may fix, and search: ``"network.activation"``, ``"training.learning_rate"``, ..."""
    keys = [f"{group}.{field.name}" for group, config in _CONFIGS.items() for field in dataclasses.fields(config)]
    return ("network.n_hidden_layers", *(key for key in keys if key not in _NOT_SETTABLE))


def space_keys() -> tuple[str, ...]:
    """Return every key that a spec may search."""
    return (*setting_keys(), LENGTH)


def setting_schema(group: str) -> dict[str, Any]:
    """Return the fields of ``"network"`` or ``"training"`` that a spec may fix, as JSON Schema."""
    schema: dict[str, Any] = {}
    for key in setting_keys():
        if not key.startswith(f"{group}."):
            continue
        kind = int if key == "network.n_hidden_layers" else _TYPES[key]
        entry: dict[str, Any] = {"type": "array"}
        if key in _NAMES:
            entry = {"enum": list(_NAMES[key])}
        elif kind is int:
            entry = {"type": "integer", "minimum": 0 if key == "network.n_hidden_layers" else 1}
        elif kind is float or (float in typing.get_args(kind) and Ellipsis not in typing.get_args(kind)):
            entry = {"type": "number", "minimum": 0}
        elif key == "training.dropout":
            entry = {"type": ["array", "number"]}
        schema[key.removeprefix(f"{group}.")] = entry
    return schema


def check_setting(key: str, value: Any, where: str) -> Any:
    """Return `value`, converted to the type of the field `key`.

    Raises
    ------
    SpecError
        If the field does not exist or the value is not of its type or not one of its names.
    """
    check_name(key, space_keys(), where)
    where = f"{where}: {key}"
    if key in _NAMES:
        if not isinstance(value, str):
            raise SpecError(f"{where}: {shown(value)} must be a string")
        check_name(value, _NAMES[key], where)
        return value
    if key == "network.n_hidden_layers":
        kind: Any = int
    else:
        kind = _TYPES[key]
    kinds = typing.get_args(kind)
    if type(None) in kinds and value is None:
        return None
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise SpecError(f"{where}: {shown(value)} must be a whole number")
        if value < (0 if key == "network.n_hidden_layers" else 1):
            raise SpecError(f"{where}: {shown(value)} must be at least {0 if key == 'network.n_hidden_layers' else 1}")
        return value
    if kind is float or (float in kinds and Ellipsis not in kinds):
        return _nonnegative(value, key, where)
    if key == "training.dropout" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = (value,)  # one rate for all hidden layers, which can be searched between two bounds
    if not isinstance(value, (list, tuple)):
        raise SpecError(f"{where}: {shown(value)} must be a list")
    return tuple(_list_item(kinds[0], item, where) for item in value)


def _nonnegative(value: Any, key: str, where: str) -> float:
    number = checked_number(value, where)
    if number < 0 or (number == 0 and key == "training.learning_rate"):
        raise SpecError(f"{where}: {number:g} must be {'above' if key == 'training.learning_rate' else 'at least'} 0")
    return number


def _list_item(kind: Any, item: Any, where: str) -> Any:
    if kind is float:
        return checked_number(item, where)
    if not isinstance(item, kind) or isinstance(item, bool) or (kind is int and item < 1):
        raise SpecError(f"{where}: {shown(item)} must be {'a whole number from 1' if kind is int else 'a string'}")
    return item


def read_fixed(table: SpecTable, config: type, group: str) -> tuple[tuple[str, Any], ...]:
    """Return the fixed settings of a group, checked, in the order of the fields."""
    names = [field.name for field in dataclasses.fields(config)]
    rest = table.rest()
    for key in rest:
        check_name(f"{group}.{key}", setting_keys(), table.where)
    where = table.where.removesuffix(f": {group}")
    return tuple(
        (key, check_setting(f"{group}.{key}", rest[key], where)) for key in [*names, "n_hidden_layers"] if key in rest
    )


def read_space(table: SpecTable) -> tuple[Dimension, ...]:
    """Return the dimensions of a space in the order of choice."""
    where = table.where
    dimensions: list[Dimension] = []
    for group, content in table.rest().items():
        if group not in _CONFIGS:
            raise SpecError(f"{where}: {unknown('', group, _CONFIGS)}")
        if not isinstance(content, Mapping):
            raise SpecError(f"{where}: {group}: must be a table, not {shown(content)}")
        for field, entry in content.items():
            key = f"{group}.{field}"
            check_name(key, space_keys(), where)
            dimensions.append(_dimension(key, SpecTable(entry, f"{where}: {key}")))
    if not dimensions:
        raise SpecError(f"{where}: empty; search at least one setting")
    return _in_order(dimensions, where)


def _dimension(key: str, table: SpecTable) -> Dimension:
    when = _when(table.table("when")) if "when" in table else ()
    if "choice" in table:
        choices = table.list("choice")
        if not choices:
            raise SpecError(f"{table.where}: choice: empty; give at least one")
        for choice in choices:
            check_setting(key, choice, table.where.removesuffix(f": {key}"))
        if len({repr(choice) for choice in choices}) != len(choices):
            raise SpecError(f"{table.where}: choice: {shown(choices)} names something twice")
        table.close()
        return Dimension(key, "choice", choices=tuple(choices), when=when)
    log = table.boolean("log") if "log" in table else False
    if "by" in table:
        return _ranged(key, table, log, when)
    low, high = (_bound(key, table.take(side), side, table.where) for side in ("low", "high"))
    table.close()
    _check_range(low, high, log, table.where)
    kind = "int" if _is_integer(key) else "float"
    return Dimension(key, kind, float(low), float(high), log, when=when)


def _ranged(key: str, table: SpecTable, log: bool, when: tuple[tuple[str, tuple[Scalar, ...]], ...]) -> Dimension:
    by = table.text("by", setting_keys())
    if _is_integer(key):
        raise SpecError(f"{table.where}: by: only for settings that are not whole numbers")
    ranges = []
    for value, bounds in table.table("ranges").rest().items():
        place = f"{table.where}: ranges: {value}"
        check_setting(by, value, f"{table.where}: ranges")
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise SpecError(f"{place}: {shown(bounds)} must be [low, high]")
        low, high = (_bound(key, bound, side, place) for side, bound in zip(("low", "high"), bounds, strict=True))
        _check_range(low, high, log, place)
        ranges.append((value, float(low), float(high)))
    table.close()
    return Dimension(key, "float", log=log, when=when, by=by, ranges=tuple(ranges))


def _when(table: SpecTable) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
    conditions = []
    for group, content in table.rest().items():
        if group not in _CONFIGS or not isinstance(content, Mapping):
            raise SpecError(f'{table.where}: {group}: write for instance training.optimizer = ["sgd"]')
        for field, values in content.items():
            key = f"{group}.{field}"
            if not isinstance(values, list) or not values:
                raise SpecError(f"{table.where}: {key}: {shown(values)} must be a list with at least one value")
            conditions.append((key, tuple(check_setting(key, value, table.where) for value in values)))
    return tuple(conditions)


_INTEGERS = (
    "network.n_hidden_layers",
    "network.hidden_layer_sizes",
    "training.batch_size",
    "training.warmup_epochs",
    "training.schedule_every",
    LENGTH,
)


def _is_integer(key: str) -> bool:
    return key in _INTEGERS


def _bound(key: str, value: Any, side: str, where: str) -> float:
    if _is_integer(key):
        low = 0 if key in ("network.n_hidden_layers", "training.warmup_epochs") else 1
        if not isinstance(value, int) or isinstance(value, bool):
            raise SpecError(f"{where}: {side}: {shown(value)} must be a whole number")
        if value < low:
            raise SpecError(f"{where}: {side}: {shown(value)} must be at least {low}")
        checked_number(value, f"{where}: {side}")
        return value
    if key in _NAMES or key == "training.frozen":
        raise SpecError(f"{where}: {side}: has no numbers; give choice = [...]")
    return checked_number(value, f"{where}: {side}")


def _check_range(low: float, high: float, log: bool, where: str) -> None:
    if low > high:
        raise SpecError(f"{where}: low {low:g} is above high {high:g}")
    if log and low <= 0:
        raise SpecError(f"{where}: low: log needs a bound above 0, not {low:g}")


def _in_order(dimensions: list[Dimension], where: str) -> tuple[Dimension, ...]:
    """Put every dimension behind those it depends on."""
    keys = [dimension.key for dimension in dimensions]
    placed: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        done = {dimension.key for dimension in placed}
        ready = [d for d in waiting if all(need in done for need in _needs(d, keys))]
        if not ready:
            raise SpecError(f"{where}: {waiting[0].key}: depends on itself through when or by")
        placed.append(ready[0])
        waiting.remove(ready[0])
    for dimension in placed:
        for need, what in [(key, "when") for key, _ in dimension.when] + (
            [(dimension.by, "by")] if dimension.by else []
        ):
            if need not in keys:
                raise SpecError(f"{where}: {dimension.key}: {what}: {need} is not searched here")
    by_key = {dimension.key: dimension for dimension in placed}
    for dimension in placed:
        for key, values in dimension.when:
            for value in values:
                if by_key[key].kind == "choice" and value not in by_key[key].choices:
                    raise SpecError(f"{where}: {dimension.key}: when: {key} is never {shown(value)}")
        if dimension.by and {value for value, _, _ in dimension.ranges} != set(by_key[dimension.by].choices):
            raise SpecError(f"{where}: {dimension.key}: ranges: give one for each choice of {dimension.by}")
    if "network.hidden_layer_sizes" in keys and "network.n_hidden_layers" not in keys:
        raise SpecError(f"{where}: network.hidden_layer_sizes: search network.n_hidden_layers too")
    if "network.n_hidden_layers" in keys and "network.hidden_layer_sizes" not in keys:
        raise SpecError(f"{where}: network.n_hidden_layers: search network.hidden_layer_sizes too")
    return tuple(placed)


def _needs(dimension: Dimension, keys: list[str]) -> list[str]:
    needs = [key for key, _ in dimension.when] + ([dimension.by] if dimension.by else [])
    if dimension.key == "network.hidden_layer_sizes":
        needs.append("network.n_hidden_layers")
    return [key for key in needs if key in keys]
