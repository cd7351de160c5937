"""From a spec's space to params, and from params to configurations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

from analysis.records.events import Scalar
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from sweeps.spec.dimensions import Dimension, check_setting
from sweeps.spec.placing import DEPTH, SIZES
from sweeps.spec.sweep import SweepSpec
from sweeps.toml import SpecError

Choose = Callable[[Dimension], Scalar]
"""Gives one coordinate of a dimension: a choice, a whole number, or a number (0 to 1 where `by` picks the bounds)."""


def walk(space: tuple[Dimension, ...], choose: Choose) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """Choose one point of a space, dimension by dimension, leaving out what does not exist there.

    Parameters
    ----------
    space : tuple of Dimension
        In an order in which conditions come before what depends on them.
    choose : callable
        See `Choose`.

    Returns
    -------
    params : dict
        By spec key; the size of hidden layer i (from 1) is ``"network.hidden_layer_sizes.i"``.
    point : dict
        The same keys with the coordinates that `choose` gave: what a sampler has to be told.
    """
    params: dict[str, Scalar] = {}
    point: dict[str, Scalar] = {}
    for dimension in space:
        if not all(params.get(key) in values for key, values in dimension.when):
            continue
        for part in parts(dimension, params):
            point[part.key] = choose(part)
            params[part.key] = _value(part, point[part.key], params)
    return params, point


def parts(dimension: Dimension, params: Mapping[str, Scalar]) -> list[Dimension]:
    """Return the dimension itself, or for the layer sizes one for each layer that `params` ask for."""
    if dimension.key != SIZES:
        return [dimension]
    return [dataclasses.replace(dimension, key=f"{SIZES}.{i}") for i in range(1, int(params[DEPTH] or 0) + 1)]


def all_parts(space: tuple[Dimension, ...]) -> list[Dimension]:
    """Return every dimension that can exist anywhere in the space."""
    depths = [depth for d in space if d.key == DEPTH for depth in (*d.choices, d.high)]
    deepest: dict[str, Scalar] = {DEPTH: max((int(depth or 0) for depth in depths), default=0)}
    return [part for dimension in space for part in parts(dimension, deepest)]


def grid(space: tuple[Dimension, ...]) -> Iterator[tuple[dict[str, Scalar], dict[str, Scalar]]]:
    """Yield every point of a space without continuous dimensions as `walk` returns it, the last dimension fastest."""
    path: list[int] = []  # which value of each part of the current point
    while True:
        sizes: list[int] = []

        def choose(part: Dimension, sizes: list[int] = sizes) -> Scalar:
            if len(sizes) == len(path):
                path.append(0)
            sizes.append(len(part.values))
            return part.values[path[len(sizes) - 1]]

        yield walk(space, choose)
        while path and path[-1] + 1 == sizes[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def from_unit(dimension: Dimension, u: float) -> Scalar:
    """Return the coordinate at the fraction `u` (0 <= u < 1) of a dimension."""
    if dimension.kind == "choice":
        return dimension.choices[int(u * len(dimension.choices))]
    if dimension.by:
        return u
    low, high = dimension.low, dimension.high
    if dimension.kind == "int":
        if dimension.log:
            low, high = math.log(low - 0.5), math.log(high + 0.5)
            return min(max(round(math.exp(low + u * (high - low))), int(dimension.low)), int(dimension.high))
        return int(low) + int(u * (high - low + 1))
    return _between(low, high, dimension.log, u)


def apply(
    spec: SweepSpec, params: Mapping[str, Scalar], n_inputs: int, n_outputs: int
) -> tuple[NetworkConfig, TrainingConfig]:
    """Return what `params` mean within a spec: the spec's fixed settings with the chosen ones on top.

    Raises
    ------
    SpecError
        If a param is unknown or of the wrong type.
    """
    network: dict[str, object] = dict(spec.network)
    training: dict[str, object] = {**dict(spec.training), "max_epochs": spec.epochs.max_epochs}
    sizes: dict[int, int] = {}
    for key, value in params.items():
        if key.startswith(f"{SIZES}."):
            sizes[int(key.rsplit(".", 1)[1])] = int(check_setting(SIZES, [value], "params")[0])
            continue
        checked = check_setting(key, value, "params")
        group, field = key.split(".", 1)
        (network if group == "network" else training)[field] = checked
    depth = network.pop("n_hidden_layers", None)
    if depth is not None or sizes:
        if sorted(sizes) != list(range(1, len(sizes) + 1)) or depth not in (None, len(sizes)):
            raise SpecError(f"params: {DEPTH}: {depth} layers, but sizes for {sorted(sizes)}")
        network["hidden_layer_sizes"] = tuple(sizes[i] for i in sorted(sizes))
    network |= {"n_inputs": n_inputs, "n_outputs": n_outputs}
    return NetworkConfig(**network), TrainingConfig(**training)  # type: ignore[arg-type]


def _value(dimension: Dimension, coordinate: Scalar, params: Mapping[str, Scalar]) -> Scalar:
    if not dimension.by:
        return coordinate
    for value, low, high in dimension.ranges:
        if value == params[dimension.by]:
            return _between(low, high, dimension.log, float(coordinate or 0.0))
    raise AssertionError(f"{dimension.key} has no range for {params[dimension.by]}")


def _between(low: float, high: float, log: bool, u: float) -> float:
    """Return the number a fraction `u` of the way, to four digits: nobody sets a rate to seventeen."""
    value = math.exp(math.log(low) + u * (math.log(high) - math.log(low))) if log else low + u * (high - low)
    return min(max(float(f"{value:.4g}"), low), high)
