"""A kind of study differs from others in who proposes, what is trained and how it is judged; the driver is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tiny import tiny_table

import sweeps.run.kinds
from analysis.records.events import Stage, Verdict
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from sweeps.run.kinds import STUDY_KINDS, StudyKind, kind_of, load
from sweeps.run.plan import Plan
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.run.trials import TrialPlan
from sweeps.search.samplers import ListSampler, Sampler
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_table, as_toml
from sweeps.store.log import digest
from sweeps.toml import SpecError

RATES = (0.003, 0.3)
OTHERS = {
    "network.activation": "tanh",
    "network.n_hidden_layers": 1,
    "network.hidden_layer_sizes.1": 4,
    "training.batch_size": 10,
    "training.regularizer": "none",
}


@dataclass(frozen=True)
class RatesSpec:
    """Two learning rates side by side: a design, not a search."""

    sweep: SweepSpec

    @property
    def name(self) -> str:
        return self.sweep.name

    @property
    def sha256(self) -> str:
        return self.sweep.sha256

    def without_folders(self) -> RatesSpec:
        return self


class RatesPlan(TrialPlan):
    """Trials of a list; no stage follows, and a claim is judged."""

    stages: tuple[tuple[Stage, ...], ...] = ()

    def proposer(self, study: Study) -> Sampler:
        return ListSampler(lambda number: ({**OTHERS, "training.learning_rate": RATES[number]}, {}))

    def verdict(self, study: Study, stopped: str) -> Verdict:
        slow, fast = (trial.value for trial in study.trials)
        found = {"A hundred times the rate learns more in twenty epochs.": "holds" if fast < slow else "does not hold"}
        return Verdict(False, None, None, False, 0.0, 0, stopped, "Both rates trained.", found)


def parse_rates(table: Mapping[str, Any], where: str) -> RatesSpec:
    return RatesSpec(parse_spec({key: value for key, value in table.items() if key != "kind"}, where))


def rates_plan(spec: RatesSpec, folder: Path, dataset: str) -> Plan:
    return RatesPlan(spec.sweep, spec.sweep.dataset(dataset), folder)


RATES_KIND = StudyKind(
    name="rates",
    spec=RatesSpec,
    folder=".",
    parse=parse_rates,
    as_table=lambda spec: {"kind": "rates", **as_table(spec.sweep)},
    as_toml=lambda spec: f'kind = "rates"\n{as_toml(spec.sweep)}',
    change=lambda spec, _: spec,
    plans=lambda spec, folder: [RatesPlan(spec.sweep, dataset, folder) for dataset in spec.sweep.datasets],
    plan=rates_plan,
    dtype=lambda _: "float32",
    first_sentences=lambda _: [],
)


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> RatesSpec:
    monkeypatch.setattr(sweeps.run.kinds, "STUDY_KINDS", MappingProxyType({**STUDY_KINDS, "rates": RATES_KIND}))
    table = tiny_table() | {"name": "rates"}
    table["search"] |= {"n_trials": len(RATES), "lag": len(RATES)}
    return parse_rates(table, "rates.toml")


def test_a_list_of_trials_is_run_judged_and_replayed_by_what_runs_a_search(spec: RatesSpec, tmp_path: Path) -> None:
    studies = run_sweep(spec, tmp_path / "one", workers=1)
    run_sweep(spec, tmp_path / "two", workers=2)
    folder = tmp_path / "one" / "rates"
    assert digest(folder) == digest(tmp_path / "two" / "rates")
    assert studies == read_sweep(folder)
    for study in studies:
        assert [trial.params["training.learning_rate"] for trial in study.trials] == list(RATES)
        assert len(study.all_records()) == len(RATES)
        assert study.verdict is not None
        assert study.verdict.claims == {"A hundred times the rate learns more in twenty epochs.": "holds"}
        assert study.trials[0].seeds == study.trials[1].seeds  # paired: both rates on the same draws
    assert load(folder / "spec.toml") == spec
    assert replay(folder, "xor", 1).differences == ()


def test_a_list_that_was_cut_goes_on_where_it_stopped(spec: RatesSpec, tmp_path: Path) -> None:
    run_sweep(spec, tmp_path / "whole", workers=1)
    run_sweep(spec, tmp_path / "cut", workers=1, timeout=0.001)
    assert all(study.verdict is None for study in read_sweep(tmp_path / "cut" / "rates"))
    run_sweep(spec, tmp_path / "cut", workers=1)
    assert digest(tmp_path / "cut" / "rates") == digest(tmp_path / "whole" / "rates")


def test_an_unknown_kind_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('kind = "polynomal"\nname = "own"\n')
    with pytest.raises(SpecError, match=r"^own.toml: kind: unknown 'polynomal'; did you mean 'polynomial'\?$"):
        load(path)


def test_every_kind_of_spec_has_one_kind() -> None:
    for name, kind in STUDY_KINDS.items():
        assert kind.name == name
    assert kind_of(load("homework")).name == ""
    assert kind_of(load("quadratic")).name == "polynomial"
