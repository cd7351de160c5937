"""A lesson with changes: in another size, or with a factor or a fixed setting as the command line gives it."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Sequence
from typing import Any

from analysis.records.lines import canonical_json
from engine.names import nearest, unknown
from sweeps.data.kinds import KINDS
from sweeps.spec.design import Design
from sweeps.spec.dimensions import setting_keys
from sweeps.spec.lesson import DATA, LessonSpec, Size, check_lesson, checked_levels, checked_setting
from sweeps.spec.works import WORK_PREFIX
from sweeps.toml import SpecError, SpecTable, check_name, shown, toml_text

_FEWEST = 4
"""Replicas of a design in a smaller size."""


def resized(spec: LessonSpec, size: Size) -> LessonSpec:
    """Return a lesson in another size: fewer or more replicas, shorter or longer training."""
    if size == "default":
        return spec
    replicas, epochs = spec.quick if size == "quick" else spec.full
    designs = tuple(_scaled(design, replicas, epochs) if design.scales else design for design in spec.designs)
    if size == "full":
        designs = tuple(map(_in_full, designs))
    return dataclasses.replace(spec, name=f"{spec.name}_{size}", designs=designs, size=size)


def _scaled(design: Design, replicas: float, epochs: float) -> Design:
    last = max(1, round(design.looks[-1] * epochs))
    looks = sorted({look for look in design.looks if look < last} | {last})
    n = max(min(_FEWEST, design.n_replicas), round(design.n_replicas * replicas))
    return dataclasses.replace(design, n_replicas=n, looks=tuple(looks))


def _in_full(design: Design) -> Design:
    """Return a design with the data and levels that a full run has; which others had they is no part of it."""
    return dataclasses.replace(
        design, data={**design.data, **design.data_full}, cross={**design.cross, **design.cross_full}, cross_full={}
    )


def with_setting(spec: LessonSpec, assignment: str) -> LessonSpec:
    """Return a lesson with one factor or fixed setting changed: ``"training.learning_rate=[0.1, 1]"``.

    Raises
    ------
    SpecError
        If it has no such key, or the value will not do.
    """
    key, sign, text = assignment.partition("=")
    key, where = key.strip(), "--set"
    known = list(dict.fromkeys(key for design in spec.designs for key in (*design.keys, *_data_keys(design))))
    own = ("n_replicas", "epochs")
    meant = [one for one in (*own, *known) if one == key or one.rpartition(".")[2] == key]
    if not sign or len(meant) != 1:
        if not sign:
            example = nearest(key, known) or known[0]
            raise SpecError(f"{where} {shown(assignment)}: write KEY=VALUE, as in --set {example}=VALUE")
        raise SpecError(f"{where} {key}: {unknown('setting', key, [*own, *known])}")
    (key,) = meant
    value = _value(text.strip())
    if key in own:
        designs = tuple(_with_number(design, key, value) for design in spec.designs)
    else:
        own_keys = [one for one in known if one.startswith((DATA, WORK_PREFIX))]
        check_name(key, [*setting_keys(), "dataset", *own_keys], where)
        names = value if isinstance(value, list) else [value]
        takers = [design for design in spec.designs if key != "dataset" or _knows(design, names)]
        if not takers:
            raise SpecError(f"{where}: dataset: {_unknown_datasets(spec, names)}")
        designs = tuple(_with_value(one, key, value, where) if one in takers else one for one in spec.designs)
    changed = (*spec.changed, f"{key} = {toml_text(value)}")
    digest = hashlib.sha256(canonical_json(list(changed)).encode()).hexdigest()[:6]
    name = f"{spec.lesson}{'' if spec.size == 'default' else f'_{spec.size}'}_set_{digest}"
    new = dataclasses.replace(spec, designs=designs, changed=changed, name=name)
    check_lesson(new, where)
    return new


def _knows(design: Design, names: Sequence[Any]) -> bool:
    """Return whether the design's kind of data has datasets of all these names."""
    return set(map(str, names)) <= set(_datasets_of(design))


def _datasets_of(design: Design) -> list[str]:
    """Return the datasets that a design may have: its kind's, or, where any name will do, those that it has."""
    own = [str(row["dataset"]) for row in (*design.cells(), design.fixed) if "dataset" in row]
    return list(dict.fromkeys(KINDS[str(design.data["kind"])].names or own))


def _unknown_datasets(spec: LessonSpec, names: Sequence[Any]) -> str:
    """Return what is wrong with datasets that no design has all of."""
    known = list(dict.fromkeys(name for design in spec.designs for name in _datasets_of(design)))
    odd = next((str(name) for name in names if str(name) not in known), None)
    return f"{shown(names)}: no design has all of these" if odd is None else unknown("", odd, known)


def _data_keys(design: Design) -> list[str]:
    return [f"{DATA}{key}" for key in design.data if key != "kind"]


def _value(text: str) -> Any:
    """Return what TOML reads, or the text itself: nobody quotes a name on a command line."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _with_number(design: Design, key: str, value: Any) -> Design:
    where, most = f"--set {key}", 10_000 if key == "n_replicas" else 1_000_000
    number = SpecTable({key: value}, "--set").integer(key, 1, most)
    if not design.scales:
        return design
    if key == "n_replicas":
        return dataclasses.replace(design, n_replicas=number)
    looks = sorted({look for look in design.looks if look < number} | {number})
    if not looks:
        raise SpecError(f"{where}: {number} leaves no look")
    return dataclasses.replace(design, looks=tuple(looks))


def _with_value(design: Design, key: str, value: Any, where: str) -> Design:
    if key in design.cross:
        levels = value if isinstance(value, list) else [value]
        if key == "network.hidden_layer_sizes" and not any(isinstance(item, list) for item in levels):
            levels = [levels]
        return dataclasses.replace(design, cross={**design.cross, key: checked_levels(key, levels, where)})
    if any(key in row for row in design.paired):
        raise SpecError(f"{where}: {key}: varies together with others; change it in a TOML file of your own")
    if key in design.fixed:
        return dataclasses.replace(design, fixed={**design.fixed, key: checked_setting(key, value, where)})
    if key in _data_keys(design):
        return dataclasses.replace(design, data={**design.data, key.removeprefix(DATA): value})
    return design
