"""Every point of a space is a setting that can be trained, and holds only what exists there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_spec, tiny_table

from analysis.records.lines import canonical_json
from sweeps.run.study import run_sweep
from sweeps.search.samplers import Proposal, ToldSampler, ToldTrial, make_sampler, startup_point
from sweeps.search.space import DEPTH, SIZES, all_parts, apply, from_unit, grid, walk
from sweeps.spec.samplers import OPTUNA
from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.toml import SpecError

SPEC = load_spec("homework")
KEYS = [part.key for part in all_parts(SPEC.space)]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(KEYS), max_size=len(KEYS)))
def test_every_point_is_within_its_bounds_and_conditions(units: list[float]) -> None:
    u = dict(zip(KEYS, units, strict=True))
    params, point = walk(SPEC.space, lambda part: from_unit(part, u[part.key]))
    network, training = apply(SPEC, params, 2, 1)
    assert 1 <= len(network.hidden_layer_sizes) <= 6
    assert all(1 <= size <= 8 for size in network.hidden_layer_sizes)
    assert sum(key.startswith(f"{SIZES}.") for key in params) == params[DEPTH]
    assert 1 <= training.batch_size <= 30
    assert 1e-3 <= training.learning_rate <= 1
    assert ("training.regularization_rate" in params) == (training.regularizer != "none")
    assert params.keys() == point.keys()


def test_startup_points_fill_every_dimension_evenly() -> None:
    points = [startup_point(SPEC.space, 1, "xor", number) for number in range(16)]
    for key in KEYS:  # 16 points of a scrambled Sobol sequence: one in each sixteenth
        assert sorted(int(16 * point[key]) for point in points) == list(range(16)), key


def test_startup_points_differ_between_datasets_and_seeds() -> None:
    points = [startup_point(SPEC.space, seed, dataset, 0) for seed in (1, 2) for dataset in ("xor", "circle")]
    assert len({tuple(point.values()) for point in points}) == 4


@pytest.mark.parametrize("name", OPTUNA)
def test_a_sampler_rebuilt_from_the_log_proposes_the_same(name: str) -> None:
    if OPTUNA[name].needs:
        pytest.importorskip(OPTUNA[name].needs)
    spec = tiny_spec()
    spec = dataclasses.replace(spec, search=dataclasses.replace(spec.search, sampler=name))
    values = [0.5, 0.3, 0.1, 0.2, 0.4, None, 0.25, 0.15]
    first, asked = ToldSampler(spec, "xor"), []
    for number, value in enumerate(values):
        asked.append(first.ask(number))
        first.tell(number, value)
    again = ToldSampler(spec, "xor")
    for number, value in enumerate(values[:-1]):
        again.add(number, asked[number][1])
        again.tell(number, value)
    assert again.ask(7) == asked[7]


def run_search(sampler: ToldSampler, n: int, lag: int = 3, log: list[Proposal] | None = None) -> list[Proposal]:
    """Ask and tell as a study does; trials that a log has are entered instead."""
    asked: list[Proposal] = []
    for number in range(n):
        if number >= lag:
            told = number - lag
            sampler.tell(told, None if told % 11 == 5 else ((told * 37) % 101) / 100)
        if log is not None and number < len(log):
            sampler.add(number, log[number][1])
            asked.append(log[number])
        else:
            asked.append(sampler.ask(number))
    return asked


def test_a_long_search_models_the_best_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny_spec()
    unbounded = run_search(ToldSampler(spec, "xor"), 40)
    short = dataclasses.replace(OPTUNA["tpe"], window=12)
    monkeypatch.setattr("sweeps.search.samplers.OPTUNA", {"tpe": short})
    sampler = ToldSampler(spec, "xor")
    asked = run_search(sampler, 40)
    assert asked[: short.bounded_from] == unbounded[: short.bounded_from]
    assert asked[short.bounded_from :] != unbounded[short.bounded_from :]
    assert sampler._study is not None
    trials = sampler._study.get_trials(deepcopy=False)  # made anew at the 36th
    assert len(trials) < 24
    values = [trial.value for trial in trials if trial.value is not None]
    best = sorted(((k * 37) % 101) / 100 for k in range(37) if k % 11 != 5)[:6]
    assert best[:6] == sorted(values)[:6]
    for n_logged in (23, 24, 25, 36, 39):  # whenever a search is gone on with
        assert run_search(ToldSampler(spec, "xor"), 40, log=asked[:n_logged]) == asked


def test_trials_of_earlier_chapters_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny_spec()
    monkeypatch.setattr("sweeps.search.samplers.OPTUNA", {"tpe": dataclasses.replace(OPTUNA["tpe"], window=12)})
    asked = run_search(ToldSampler(spec, "xor"), 30)
    told = [ToldTrial(number, *asked[number], value=number / 100) for number in range(30)]
    sampler = ToldSampler(spec, "xor", 30, told=told)
    kept = [trial.value for trial in sampler._made_study().get_trials(deepcopy=False)]
    assert kept == [number / 100 for number in (*range(6), *range(24, 30))]
    with pytest.raises(AssertionError, match=r"^trial 31 was asked out of order, as 30$"):
        sampler.ask(31)


def grid_table() -> dict[str, Any]:
    table = tiny_table()
    table["search"] = {
        "sampler": "grid", "until": "budget", "n_replicas": 2, "n_candidates": 1, "lag": 2,
    }  # fmt: skip
    table["space"] = {
        "network": {
            "activation": {"choice": ["tanh", "relu"]},
            "n_hidden_layers": {"choice": [1, 2]},
            "hidden_layer_sizes": {"low": 3, "high": 4},
        },
        "training": {
            "regularizer": {"choice": ["none", "l2"]},
            "regularization_rate": {"choice": [1e-4, 1e-2], "when": {"training": {"regularizer": ["l2"]}}},
        },
    }
    return table


def test_a_grid_is_every_setting_once_in_a_fixed_order() -> None:
    spec = parse_spec(grid_table(), "t.toml")
    points = [params for params, _ in grid(spec.space)]
    # 2 activations, sizes (3) (4) (3,3) (3,4) (4,3) (4,4), no penalty or l2 with one of two rates.
    assert len(points) == spec.search.n_trials == 2 * 6 * 3
    assert len({canonical_json(params) for params in points}) == 36
    assert [points[i].get("training.regularization_rate") for i in range(3)] == [None, 1e-4, 1e-2]
    assert [points[i]["network.activation"] for i in (0, 17, 18, 35)] == ["tanh", "tanh", "relu", "relu"]
    for params in points:
        apply(spec, params, 2, 1)


def test_a_grid_sweep_tries_all_settings(tmp_path: Path) -> None:
    table = grid_table()
    table["datasets"] = table["datasets"][:1]
    table["epochs"] = {"max_epochs": 2, "grid": [1, 2], "stop_from": 0, "stop_patience": 0}
    table["certificates"] = {"n": 1, "n_replicas": 2, "level": 0.05}
    spec = parse_spec(table, "t.toml")
    [study] = run_sweep(spec, tmp_path, workers=2)
    assert [trial.params for trial in study.trials] == [params for params, _ in grid(spec.space)]
    assert len({tuple(trial.seeds) for trial in study.trials}) == 1  # all on the same draws: they compare in pairs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_trials": 37}, "search: n_trials: 37; the whole grid has 36 settings"),
        ({"sampler": "gird"}, "search: sampler: unknown 'gird'; did you mean 'grid'?"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    table = grid_table()
    table["search"] |= change
    with pytest.raises(SpecError) as caught:
        parse_spec(table, "t.toml")
    assert str(caught.value) == f"t.toml: {message}"


def test_a_grid_refuses_what_cannot_be_counted_by_name() -> None:
    table = grid_table()
    table["space"]["training"]["learning_rate"] = {"low": 0.1, "high": 1.0}
    with pytest.raises(SpecError) as caught:
        parse_spec(table, "t.toml")
    expected = "t.toml: search: sampler: grid: training.learning_rate has no list of values; give choice = [...]"
    assert str(caught.value) == expected
    table = grid_table()
    table["space"]["network"]["n_hidden_layers"] = {"low": 1, "high": 20}
    with pytest.raises(SpecError, match=r"^t.toml: search: sampler: grid: up to \d+ settings; there may be 100000$"):
        parse_spec(table, "t.toml")


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_points_by_number_need_nothing_told(sampler: str) -> None:
    table = tiny_table()
    table["search"]["sampler"] = sampler
    spec = parse_spec(table, "t.toml")
    points = [make_sampler(spec, "xor").ask(number) for number in range(40)]
    again = make_sampler(spec, "xor")
    again.tell(0, 0.1)
    assert again.ask(39) == points[39]
    assert len({canonical_json(params) for params, _ in points}) == 40
    assert make_sampler(spec, "gauss").ask(0) != points[0]
    if sampler == "sobol":
        told = dataclasses.replace(spec, search=dataclasses.replace(spec.search, sampler="tpe"))
        assert points[0] == ToldSampler(told, "xor").ask(0)


def test_a_sampler_whose_package_is_missing_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    spec = tiny_spec()
    spec = dataclasses.replace(spec, search=dataclasses.replace(spec.search, sampler="gp"))
    with pytest.raises(SpecError, match=r"^tiny: search: sampler: gp needs the package torch; install it, or use tpe$"):
        make_sampler(spec, "xor")
