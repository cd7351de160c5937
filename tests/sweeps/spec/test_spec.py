"""A spec is validated once: every fault is one line that says where, what, and what would do."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_spec, tiny_table

from sweeps.run.kinds import spec_difference
from sweeps.spec.builtin import builtin_specs
from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.spec.writing import as_toml, with_overrides
from sweeps.toml import SpecError


def at(table: dict[str, Any], path: str) -> tuple[Any, Any]:
    *parents, last = path.split("/")
    for key in parents:
        table = table[int(key)] if isinstance(table, list) else table[key]
    return table, int(last) if isinstance(table, list) else last


FAULTS = [
    ("space/training/learnin_rate", {"low": 1.0, "high": 2.0},
     "t.toml: space: unknown 'training.learnin_rate'; did you mean 'training.learning_rate'?"),
    ("space/training/learning_rate/low", 2.0, "t.toml: space: training.learning_rate: low 2 is above high 1"),
    ("space/training/learning_rate/low", 0.0,
     "t.toml: space: training.learning_rate: low: log needs a bound above 0, not 0"),
    ("space/training/learning_rate/low", "a", 't.toml: space: training.learning_rate: low: "a" must be a number'),
    ("space/training/learning_rate/low", float("nan"),
     "t.toml: space: training.learning_rate: low: nan must be finite"),
    ("space/training/batch_size/low", 1.5, "t.toml: space: training.batch_size: low: 1.5 must be a whole number"),
    ("space/training/batch_size/low", 0, "t.toml: space: training.batch_size: low: 0 must be at least 1"),
    ("space/network/activation/choice", [], "t.toml: space: network.activation: choice: empty; give at least one"),
    ("space/network/activation/choice", ["tanh", "rleu"],
     "t.toml: space: network.activation: unknown 'rleu'; did you mean 'relu'?"),
    ("space/network/activation", 3, "t.toml: space: network.activation: must be a table, not 3"),
    ("space/networks", {}, "t.toml: space: unknown 'networks'; did you mean 'network'?"),
    ("space/training/regularization_rate/when/training/regularizer", ["l3"],
     "t.toml: space: training.regularization_rate: when: training.regularizer: unknown 'l3'; did you mean 'l2'?"),
    ("space/training/regularization_rate/when/training/regularizer", ["l1"],
     't.toml: space: training.regularization_rate: when: training.regularizer is never "l1"'),
    ("training/learning_rate", 0.1, "t.toml: training: learning_rate is also in the space; fix it or search it"),
    ("training/optimizer", "adm", "t.toml: training.optimizer: unknown 'adm'; did you mean 'adam'?"),
    ("search/n_trials", 0, "t.toml: search: n_trials: 0 is outside 1 to 100000"),
    ("search/n_trials", True, "t.toml: search: n_trials: true must be a whole number"),
    ("search/until", "reachd", "t.toml: search: until: unknown 'reachd'; did you mean 'reached'?"),
    ("search/budget", 3, "t.toml: search: unknown 'budget'; known: sampler, n_trials, until, n_replicas, n_candidates, "
     "lag, n_startup_trials, gain, first"),
    ("goal/below", -1.0, "t.toml: goal: below: -1 must be above 0"),
    ("goal/metric", "tst_loss", "t.toml: goal: metric: unknown 'tst_loss'; did you mean 'test_loss'?"),
    ("datasets/0/noise", 0.9, "t.toml: datasets[0]: noise: 0.9 must be at least 0 and at most 0.8"),
    ("datasets/0/train_share", 1.0, "t.toml: datasets[0]: train_share: 1 must be at least 0.1 and at most 0.9"),
    ("datasets/0/name", "guass", "t.toml: datasets[0]: name: unknown 'guass'; did you mean 'gauss'?"),
    ("datasets/1/name", "gauss", "t.toml: datasets: gauss is named 2 times"),
    ("datasets", [], "t.toml: datasets: empty; name at least one"),
    ("epochs/grid", [5, 2, 20], "t.toml: epochs: grid: [5, 2, 20] must be ascending and not empty"),
    ("epochs/grid", [1, 2], "t.toml: epochs: grid: ends with 2; it must end with max_epochs, 20"),
    ("name", "../up", "t.toml: name: '../up' must be 1 to 64 letters, digits, '_', '.', '-', letter or digit first"),
    ("naem", 1, "t.toml: unknown 'naem'; did you mean 'name'?"),
    ("space", {}, "t.toml: space: empty; search at least one setting"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), FAULTS, ids=[message[8:60] for _, _, message in FAULTS])
def test_a_fault_is_told_in_one_whole_line(path: str, value: object, message: str) -> None:
    table = copy.deepcopy(tiny_table())
    place, key = at(table, path)
    place[key] = value
    with pytest.raises(SpecError) as caught:
        parse_spec(table, "t.toml")
    assert str(caught.value) == message


def test_a_misspelt_table_is_told_before_a_missing_key() -> None:
    table = tiny_table()
    del table["seed"]
    table["serch"] = table.pop("search")
    with pytest.raises(SpecError, match=r"^t.toml: unknown table 'serch'; did you mean 'search'\?$"):
        parse_spec(table, "t.toml")
    table["search"] = table.pop("serch")
    with pytest.raises(SpecError, match=r"^t.toml: seed is missing$"):
        parse_spec(table, "t.toml")


def test_a_missing_key_is_named() -> None:
    table = tiny_table()
    del table["search"]["lag"]
    with pytest.raises(SpecError, match=r"^t.toml: search: lag is missing$"):
        parse_spec(table, "t.toml")


@pytest.mark.parametrize("name", builtin_specs())
def test_a_built_in_spec_comes_back_from_its_own_text(name: str) -> None:
    spec = load_spec(name)
    assert parse_spec(tomllib.loads(as_toml(spec)), name) == spec


def test_the_digest_covers_every_setting() -> None:
    spec = tiny_spec()
    assert spec.sha256 == tiny_spec().sha256
    others = [with_overrides(spec, seed=4), with_overrides(spec, n_trials=8)]
    assert len({spec.sha256, *(other.sha256 for other in others)}) == 3


def test_a_difference_names_the_setting_and_both_values() -> None:
    spec = tiny_spec()
    assert spec_difference(spec, with_overrides(spec, n_trials=8)) == ["search.n_trials: 9 there, 8 here"]


def test_overrides_replace_and_are_validated() -> None:
    spec = with_overrides(tiny_spec(), goal="test_loss < 0.2", until="reached", n_replicas=5)
    assert (spec.goal.below, spec.search.until, spec.search.n_replicas) == (0.2, "reached", 5)
    with pytest.raises(SpecError, match=r"^goal: 'loss 3' is not of the form 'test_loss < 0.1'$"):
        with_overrides(spec, goal="loss 3")


def test_an_unknown_sweep_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("homewrk")
    assert str(caught.value) == "unknown sweep 'homewrk'; did you mean 'homework'? (or name a TOML file)"


def test_a_file_that_is_not_toml_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"name = \xff\n")
    with pytest.raises(SpecError, match=r"^bad.toml: not TOML: [^\n]*$"):
        load_spec(path)
