"""A spec as plain values and as TOML, with changes, and compared with another."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sweeps.spec.dimensions import Dimension
from sweeps.spec.placing import setting_table
from sweeps.spec.sections import SearchSpec
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.toml import SpecError, shown, toml_text

TOP = ("name", "seed", "draws", "origin", "probes")
"""Keys of a spec that belong to no section."""
_GOAL = re.compile(r"\s*([A-Za-z_]+)\s*<\s*([0-9.eE+-]+)\s*")


def with_overrides(
    spec: SweepSpec,
    *,
    n_trials: int | None = None,
    goal: str | None = None,
    until: str | None = None,
    n_replicas: int | None = None,
    seed: int | None = None,
    name: str | None = None,
    draws: str | None = None,
    n_ablation: int | None = None,
) -> SweepSpec:
    """Return the spec with some settings replaced, validated again; None keeps what the spec says.

    Parameters
    ----------
    n_trials : int
        ``search.n_trials``, for each dataset.
    goal : str
        For instance ``"test_loss < 0.1"``.
    until : str
        ``"reached"``, ``"converged"`` or ``"budget"``.
    n_replicas : int
        ``search.n_replicas``.
    seed : int
        The sweep's seed.
    name : str
        The sweep's name.
    draws : str
        Name of a common block of draws.
    n_ablation : int
        ``ablation.n_replicas``; 0 leaves the stage out.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    table = as_table(spec)
    given: list[tuple[dict[str, Any], str, Any]] = [
        (table["search"], "n_trials", n_trials),
        (table["search"], "until", until),
        (table["search"], "n_replicas", n_replicas),
        (table, "seed", seed),
        (table, "name", name),
        (table, "draws", draws),
    ]
    for place, key, value in given:
        if value is not None:
            place[key] = value
    if n_ablation is not None:
        table["ablation"] = {"n_replicas": n_ablation}
    if goal is not None and spec.goal.words:
        table["goal"] = {"words": goal}
    elif goal is not None:
        match = _GOAL.fullmatch(goal)
        if match is None:
            raise SpecError(f"goal: {goal!r} is not of the form 'test_loss < 0.1'")
        try:
            below = float(match[2])
        except ValueError:
            raise SpecError(f"goal: {match[2]!r} is not a number; write for instance 'test_loss < 0.1'") from None
        table["goal"] = {"metric": match[1], "below": below}
    return parse_spec(table, spec.name)


def as_table(spec: SweepSpec) -> dict[str, Any]:
    """Return the spec as the plain table that `parse_spec` reads."""
    page = dataclasses.asdict(spec.page)
    return {
        "name": spec.name,
        "seed": spec.seed,
        **({"draws": spec.draws} if spec.draws else {}),
        **({"origin": spec.origin} if spec.origin else {}),
        **({"probes": list(spec.probes)} if spec.probes else {}),
        "goal": {"words": spec.goal.words}
        if spec.goal.words
        else {"metric": spec.goal.metric, "below": spec.goal.below},
        "search": _search_table(spec.search),
        "epochs": {**dataclasses.asdict(spec.epochs), "grid": list(spec.epochs.grid)},
        "pruning": dataclasses.asdict(spec.pruning),
        "finalists": spec.finalists.as_table(),
        "certificates": dataclasses.asdict(spec.certificates),
        "page": {**page, "learning_rates": list(spec.page.learning_rates)},
        **({"ablation": dataclasses.asdict(spec.ablation)} if spec.ablation.n_replicas else {}),
        "datasets": [
            {"name": dataset.name, "kind": dataset.kind, **dataset.data.as_table()} for dataset in spec.datasets
        ],
        "network": {key: _plain(value) for key, value in spec.network},
        "training": {key: _plain(value) for key, value in spec.training},
        "space": _space_table(spec.space),
    }


def _search_table(search: SearchSpec) -> dict[str, Any]:
    table = dataclasses.asdict(dataclasses.replace(search, first=()))
    del table["first"]
    if not search.gain:
        del table["gain"]
    return {**table, **({"first": [setting_table(dict(params)) for params in search.first]} if search.first else {})}


def as_toml(spec: SweepSpec) -> str:
    """Return the spec as TOML text; reading it gives an equal spec."""
    table = as_table(spec)
    datasets, space = table.pop("datasets"), table.pop("space")
    lines = [f"{key} = {toml_text(table.pop(key))}" for key in TOP if key in table]
    for section, content in table.items():
        lines += ["", f"[{section}]", *(f"{key} = {toml_text(value)}" for key, value in content.items())]
    for dataset in datasets:
        lines += ["", "[[datasets]]", *(f"{key} = {toml_text(value)}" for key, value in dataset.items())]
    lines += ["", "[space]"]
    for group, content in space.items():
        lines += [f"{group}.{key} = {toml_text(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"


def table_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return ``"search.n_trials: 100 there, 200 here"`` for each setting in which two specs' tables differ."""
    there, here = (dict(_flatten(table)) for table in (old, new))
    return [
        f"{key}: {shown(there[key]) if key in there else 'absent'} there, "
        f"{shown(here[key]) if key in here else 'absent'} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) or (key in there) != (key in here)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _space_table(space: tuple[Dimension, ...]) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for dimension in space:
        group, field = dimension.key.split(".", 1)
        table.setdefault(group, {})[field] = _dimension_table(dimension)
    return table


def _dimension_table(dimension: Dimension) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if dimension.kind == "choice":
        entry["choice"] = list(dimension.choices)
    elif dimension.by:
        entry |= {"by": dimension.by, "log": dimension.log}
        entry["ranges"] = {str(value): [low, high] for value, low, high in dimension.ranges}
    else:
        low, high = dimension.low, dimension.high
        entry |= {"low": int(low), "high": int(high)} if dimension.kind == "int" else {"low": low, "high": high}
        entry["log"] = dimension.log
    for key, values in dimension.when:
        group, field = key.split(".", 1)
        entry.setdefault("when", {}).setdefault(group, {})[field] = list(values)
    return entry


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for i, item in enumerate(value):
                yield from _flatten(item, f"{prefix}{key}[{i}].")
        else:
            yield f"{prefix}{key}", value
