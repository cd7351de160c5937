"""The JSON Schema says what the reader says."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from tiny import tiny_table

from sweeps.data.kinds import KINDS
from sweeps.spec.builtin import builtin_specs
from sweeps.spec.schema import SECTIONS, spec_schema
from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.spec.writing import as_table
from sweeps.toml import SpecError

SCHEMA = spec_schema()


@pytest.mark.parametrize("name", builtin_specs())
def test_every_built_in_sweep_fits_the_schema(name: str) -> None:
    jsonschema.validate(as_table(load_spec(name)), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("search/n_trials", 0),
        ("search/n_trials", "many"),
        ("search/until", "reachd"),
        ("certificates/level", 0),
        ("certificates/level", 0.7),
        ("epochs/stop_patience", -1),
        ("page/learning_rates", [0.0]),
        ("datasets/0/kind", "playgruond"),
        ("datasets/0/noise", 0.9),
        ("network/activation", "rleu"),
        ("training/lerning_rate", 0.1),
    ],
)
def test_reader_and_schema_refuse_the_same(path: str, value: Any) -> None:
    table = copy.deepcopy(tiny_table())
    place: Any = table
    *parents, last = path.split("/")
    for key in parents:
        place = place[int(key)] if key.isdigit() else place[key]
    place[last] = value
    with pytest.raises(SpecError):
        parse_spec(table, "t.toml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(table, SCHEMA)


def test_every_key_of_a_section_says_what_it_means() -> None:
    for name in SECTIONS:
        for key, entry in SCHEMA["properties"][name]["properties"].items():
            assert entry.get("description"), f"{name}.{key}"


def test_every_kind_of_data_is_in_the_schema() -> None:
    kinds = [one["properties"]["kind"]["const"] for one in SCHEMA["properties"]["datasets"]["items"]["oneOf"]]
    assert kinds == list(KINDS)
