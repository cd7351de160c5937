"""A search that ends once it has converged: the same for any number of workers, after any kill, and when it goes on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_table

import sweeps.commands.running
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from analysis.statistics.convergence import SHARING, convergence
from sweeps.audit.audit import audit_sweep
from sweeps.audit.records import check_stop
from sweeps.commands.main import main
from sweeps.data.kinds import KINDS
from sweeps.run.looks import question
from sweeps.run.study import run_sweep
from sweeps.search.stopping import has_converged
from sweeps.spec.sections import UNTIL
from sweeps.spec.sweep import SweepSpec, load_spec, parse_spec
from sweeps.spec.writing import as_table, with_overrides
from sweeps.store.log import digest
from sweeps.toml import SpecError


def searching_table() -> dict[str, Any]:
    table = tiny_table()
    table["seed"] = 6
    table["datasets"] = table["datasets"][:1]
    table["search"] |= {
        "until": "converged",
        "n_trials": 120,
        "sampler": "random",
        "n_replicas": 3,
        "n_candidates": 1000,
    }
    table["epochs"] = {"max_epochs": 5, "grid": [1, 5], "stop_from": 5, "stop_patience": 2}
    table["finalists"] = {"n": 1, "n_replicas": 4}
    table["certificates"]["n"] = 0
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    table["space"]["training"]["batch_size"] = {"low": 10, "high": 30}
    return table


SPEC = parse_spec(searching_table(), "tiny.toml")
N_TOLD = 100


@pytest.fixture(scope="module")
def converged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("converged")
    run_sweep(SPEC, results, workers=1)
    return results / "tiny"


def the(folder: Path) -> Study:
    (study,) = read_sweep(folder)
    return study


def test_a_search_ends_where_the_rule_says_so_first(converged: Path) -> None:
    study = the(converged)
    assert study.verdict is not None
    assert study.verdict.stopped == "converged"
    assert len(study.trials) == N_TOLD + SPEC.search.lag - 1
    asked = [n for n in range(len(study.trials) + 1) if has_converged(SPEC.search, study, n)]
    assert asked == [N_TOLD]
    other = dataclasses.replace(SPEC.search, until="reached")
    assert not has_converged(other, study, N_TOLD)
    assert audit_sweep(converged, None).findings == []


def test_a_search_ends_where_it_has_no_more_to_gain_than_is_asked_for(converged: Path, tmp_path: Path) -> None:
    trials = the(converged).trials
    promised = {n: found.gain for n in range(40, 101, 10) if (found := convergence(trials[:n])) is not None}
    table = as_table(SPEC)
    table["search"]["gain"] = promised[60]
    spec = parse_spec(table, "tiny.toml")
    assert spec.sha256 != SPEC.sha256
    assert as_table(spec)["search"]["gain"] == promised[60]
    assert "gain" not in as_table(SPEC)["search"]
    (study,) = run_sweep(spec, tmp_path, workers=2)
    first = next(n for n in promised if promised[n] <= promised[60])
    assert study.verdict is not None
    assert (study.verdict.stopped, len(study.trials)) == ("converged", first + SPEC.search.lag - 1)
    assert question(spec, spec.datasets[0], 5) == question(SPEC, SPEC.datasets[0], 5)
    assert audit_sweep(tmp_path / "tiny", None).findings == []


def test_later_records_do_not_count(converged: Path) -> None:
    study = the(converged)
    worse = [dataclasses.replace(trial, test_loss=[0.0] * 3, value=0.0) for trial in study.trials[N_TOLD:]]
    study.records["search"][N_TOLD:] = worse
    assert has_converged(SPEC.search, study, N_TOLD)


def test_four_workers_end_where_one_does(converged: Path, tmp_path: Path) -> None:
    run_sweep(SPEC, tmp_path, workers=4)
    assert digest(tmp_path / "tiny") == digest(converged)


@pytest.mark.parametrize("share", [0.3, 0.93, 0.97, 0.995])
def test_a_kill_leaves_no_trace(converged: Path, tmp_path: Path, share: float) -> None:
    """A kill leaves a beginning of the log, the last line of which may be torn."""
    shutil.copytree(converged, tmp_path / "tiny")
    path = tmp_path / "tiny" / "gauss" / "log.jsonl"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    run_sweep(SPEC, tmp_path, workers=2)
    assert digest(tmp_path / "tiny") == digest(converged)


def test_a_larger_budget_brings_nothing_and_says_so(converged: Path, tmp_path: Path) -> None:
    shutil.copytree(converged, tmp_path / "tiny")
    (study,) = run_sweep(with_overrides(SPEC, n_trials=170), tmp_path, workers=2)
    assert study.verdict is not None
    assert len(study.trials) == len(the(converged).trials)
    assert study.verdict.text.endswith(
        " The extension brought no trial after 102, so no other look was taken: the search has converged; "
        "--until budget goes on."
    )
    assert audit_sweep(tmp_path / "tiny", None).findings == []


def test_until_budget_goes_on_as_if_it_had_been_asked_at_once(converged: Path, tmp_path: Path) -> None:
    shutil.copytree(converged, tmp_path / "tiny")
    budget = with_overrides(SPEC, until="budget")
    (after,) = run_sweep(budget, tmp_path, workers=2)
    (at_once,) = run_sweep(budget, tmp_path / "other", workers=1)
    assert len(after.trials) == 120
    assert [trial.test_loss for trial in after.trials] == [trial.test_loss for trial in at_once.trials]


def test_a_search_that_ended_otherwise_goes_on_until_it_has_converged(converged: Path, tmp_path: Path) -> None:
    before = with_overrides(SPEC, until="reached", n_trials=55)
    run_sweep(before, tmp_path, workers=2)
    (study,) = run_sweep(SPEC, tmp_path, workers=2)
    assert study.verdict is not None
    assert (study.verdict.stopped, study.until_since) == ("converged", 55)
    assert study.asked == the(converged).asked
    assert audit_sweep(tmp_path / "tiny", None).findings == []


@pytest.mark.parametrize(("n_before", "stopped", "n_trials"), [(107, "converged", 107), (112, "budget", 120)])
def test_the_rule_is_asked_from_where_another_one_ended(
    tmp_path: Path, n_before: int, stopped: str, n_trials: int
) -> None:
    """Where 96 to 105 trials are known the search has converged: what was asked later is not asked in vain."""
    run_sweep(with_overrides(SPEC, until="reached", n_trials=n_before), tmp_path, workers=2)
    (study,) = run_sweep(SPEC, tmp_path, workers=2)
    assert study.verdict is not None
    assert (study.verdict.stopped, len(study.trials)) == (stopped, n_trials)
    assert ("The extension brought no trial after 107" in study.verdict.text) == (stopped == "converged")
    assert audit_sweep(tmp_path / "tiny", None).findings == []


def test_the_audit_finds_a_search_that_ended_too_early(tmp_path: Path) -> None:
    early = with_overrides(SPEC, until="budget", n_trials=60, name="early")
    run_sweep(early, tmp_path, workers=2)
    study = the(tmp_path / "early")
    assert study.verdict is not None
    study.verdict = dataclasses.replace(study.verdict, stopped="converged")
    (finding,) = check_stop(study, study.verdict, with_overrides(SPEC, name="early"))
    assert finding.text == (
        f"{study.path}: ended as converged after 60 trials; expected it to go on, by the rule and its records"
    )


def test_replicas_that_share_rows_cannot_say_so() -> None:
    assert {name for name, kind in KINDS.items() if not kind.has_ablation} == SHARING
    with pytest.raises(SpecError) as error:
        with_overrides(load_spec("fashion_mnist"), until="converged")
    assert str(error.value) == (
        'fashion_mnist: search: until: "converged"; the replicas of fashion_mnist share its rows, so that their spread '
        'does not say what is noise: use "budget"'
    )


def test_a_grid_cannot_converge() -> None:
    table = as_table(SPEC)
    table["search"] |= {"sampler": "grid", "n_trials": 1}
    table["space"] = {"network": {"activation": {"choice": ["tanh", "relu"]}}}
    table["network"] |= {"hidden_layer_sizes": [2]}
    table["training"] |= {"batch_size": 10, "learning_rate": 0.1}
    with pytest.raises(SpecError) as error:
        parse_spec(table, "tiny.toml")
    assert str(error.value) == (
        'tiny.toml: search: until: "converged" with a grid, whose trials say nothing of the next; use "budget" '
        "or another sampler"
    )


def test_the_command_line_goes_on_from_a_converged_search(
    converged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeps.commands.running.UNTIL == UNTIL
    shutil.copytree(converged, tmp_path / "tiny")
    options = ["--results", str(tmp_path), "--tracking-uri", "none"]
    assert main(["extend", "tiny", "--trials", "+50", *options]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1].endswith("extend tiny: its search has converged; add --until budget")
    )
    assert main(["extend", "tiny", "--until", "budget", *options]) == 0
    assert len(the(tmp_path / "tiny").trials) == 120
    assert main(["extend", "tiny", "--until", "converged", *options]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            'tiny: until: "converged" ends a search before "budget", which this one has; add --trials +N for a chapter '
            "that ends so"
        )
    )
    assert main(["extend", "tiny", "--until", "converged", "--trials", "+20", *options]) == 0
    study = the(tmp_path / "tiny")
    assert study.verdict is not None
    assert (study.verdict.stopped, len(study.trials), len(study.chapters)) == ("budget", 140, 1)
    assert study.budget.until == "converged"
    assert audit_sweep(tmp_path / "tiny", None).findings == []


def test_spec_round_trips() -> None:
    assert isinstance(SPEC, SweepSpec)
    assert as_table(SPEC)["search"]["until"] == "converged"
