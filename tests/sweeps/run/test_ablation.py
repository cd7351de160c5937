"""The winner with one hyperparameter changed at a time: a stage like the others, after all certificates."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_builders as build
from tiny import tiny_table
from tiny_tables import regression_frame

from analysis.records.events import Scalar
from analysis.records.reading import read_study
from analysis.records.study import Study, TrialRecord
from analysis.statistics.ablation import ablation
from analysis.statistics.homework import winner_record
from sweeps.audit.records import check_study
from sweeps.commands.main import main
from sweeps.run.ablation import ablation_settings, changes
from sweeps.run.kinds import Changes, kind_of, load
from sweeps.run.looks import question
from sweeps.run.progress import Progress
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.run.trials import TrialPlan
from sweeps.spec.sweep import SweepSpec, open_source, parse_spec
from sweeps.spec.writing import as_toml, with_overrides
from sweeps.store.log import digest
from sweeps.toml import SpecError, read_toml
from sweeps.tracking.trial_contents import of_trial

N_DRAWS = 16


def ablated_spec(**data: Any) -> SweepSpec:
    """Return the tiny sweep of two data sets with an ablation."""
    table = tiny_table() | {"ablation": {"n_replicas": N_DRAWS}} | data
    table["search"] |= {"n_trials": 5}
    return parse_spec(table, "tiny.toml")


SPEC = ablated_spec()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("ablated")
    run_sweep(SPEC, results, workers=1)
    return results / SPEC.name


def study_of(folder: Path, dataset: str = "gauss") -> Study:
    return read_study(folder / dataset / "log.jsonl")


def test_the_winner_and_its_changes_share_draws_that_nothing_else_has_seen(run: Path) -> None:
    for dataset in ("gauss", "xor"):
        study = study_of(run, dataset)
        records = study.records["ablation"]
        base, others = records[0], records[1:]
        winner = study.winner
        assert winner is not None
        assert (base.params, base.source, base.epochs) == (winner.params, winner.source, winner.epochs)
        assert (base.changed, base.network, base.training) == (None, winner.network, winner.training)
        assert {tuple(record.seeds) for record in records} == {tuple(base.seeds)}
        seen = {seed for record in study.all_records() if record.stage != "ablation" for seed in record.seeds}  # type: ignore[union-attr]
        assert len(set(base.seeds)) == N_DRAWS
        assert seen.isdisjoint(base.seeds)
        assert len(others) > 6
        assert all(record.changed and record.source is None for record in others)
        assert all(record.epoch_grid == [record.epochs] for record in records)
        found = ablation(study, winner_record(study))
        assert found is not None
        assert [one.record for one in found.changes] == others


def test_certificates_and_verdicts_are_the_same_without_an_ablation(run: Path, tmp_path: Path) -> None:
    without = dataclasses.replace(SPEC, ablation=dataclasses.replace(SPEC.ablation, n_replicas=0))
    assert question(SPEC, SPEC.datasets[0], 5) == question(without, without.datasets[0], 5)
    for plain in run_sweep(without, tmp_path, workers=1):
        study = study_of(run, plain.header.dataset)
        assert plain.verdict == study.verdict
        assert not plain.records["ablation"]
        for stage in ("search", "finalist", "certificate", "page_certificate"):
            assert [one.sha256 for one in plain.records[stage]] == [one.sha256 for one in study.records[stage]]


def test_with_eight_workers_it_waits_for_all_certificates_and_the_digest_is_the_same(run: Path, tmp_path: Path) -> None:
    stages: list[str] = []

    def watch(progress: Progress) -> None:
        if isinstance(progress.record, TrialRecord):
            stages.append(progress.record.stage)

    run_sweep(SPEC, tmp_path, workers=8, on_event=watch)
    assert digest(tmp_path / SPEC.name) == digest(run)
    first = stages.index("ablation")
    assert stages[first:] == ["ablation"] * len(stages[first:])
    assert stages[:first].count("page_certificate") == 2


def test_kills_leave_no_trace(run: Path, tmp_path: Path) -> None:
    whole = digest(run)
    folder = tmp_path / "killed" / SPEC.name
    lines = {name: (run / name / "log.jsonl").read_bytes().splitlines(keepends=True) for name in ("gauss", "xor")}
    places = [i for i, line in enumerate(lines["gauss"]) if b'"stage":"ablation"' in line or b"ablation" in line[:40]]
    for place in (places[0], places[3]):
        for name, content in lines.items():
            log = folder / name / "log.jsonl"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_bytes(b"".join(content[:place] if name == "gauss" else content))
        for path in (run / "gauss" / "models").iterdir():
            target = folder / "gauss" / "models" / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
        (folder / "spec.toml").write_text(as_toml(SPEC))
        run_sweep(SPEC, folder.parent, workers=2)
        assert digest(folder) == whole


def test_every_change_can_be_replayed_and_audited(run: Path) -> None:
    study = study_of(run)
    for record in (study.records["ablation"][0], study.records["ablation"][-1]):
        again = replay(run, "gauss", record.number, "ablation")
        assert again.differences == ()
    assert list(check_study(study, load(run / "spec.toml"))) == []


def test_a_new_winner_gets_a_new_ablation_and_the_same_one_keeps_its_own(tmp_path: Path) -> None:
    small = dataclasses.replace(SPEC, datasets=SPEC.datasets[:1])
    run_sweep(small, tmp_path, workers=2)
    (study,) = run_sweep(with_overrides(small, n_trials=8), tmp_path, workers=2)
    looks = [look for look in study.looks if look.stage == "ablation"]
    bases = [study.records_of("ablation", look.number)[0] for look in looks]
    assert study.winner is not None
    assert bases[-1].network == study.winner.network
    assert bases[-1].training == study.winner.training
    found = ablation(study, study.winner)
    assert found is not None
    assert found.base == bases[-1]
    # Whoever asks again for a winner that has one is given nothing to train.
    source = open_source(small, small.datasets[0])
    again = dataclasses.replace(looks[-1], number=looks[-1].number + 1, first=len(study.records["ablation"]))
    assert ablation_settings(small, source, study, study.winner, again) == []
    at = next(epoch for epoch in small.epochs.grid if epoch not in {base.epochs for base in bases})
    fresh = dataclasses.replace(study.winner, epochs=at)
    settings = ablation_settings(small, source, study, fresh, again)
    seen = {seed for record in study.records["ablation"] for seed in record.seeds}
    assert settings
    assert seen.isdisjoint(settings[0].seeds)


def planted(space: Mapping[str, Any], params: Mapping[str, Scalar], **winner: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the changes of a winner in a space, each with what differs from it."""
    table = tiny_table() | {"space": space}
    table["network"] = {}
    table["training"] = {}
    spec = parse_spec(table, "planted.toml")
    record = _winner_of(spec, params, **winner)
    return [
        (key, {k: one.get(k) for k in {**params, **one} if one.get(k) != params.get(k)})
        for key, one in changes(spec, record)
    ]


def _winner_of(spec: SweepSpec, params: Mapping[str, Scalar], epochs: int = 20) -> TrialRecord:
    return build.record(np.random.default_rng(0), params=dict(params), epochs=epochs)


def test_names_become_every_other_name_and_numbers_a_factor_within_their_bounds() -> None:
    space = {
        "network": {"activation": {"choice": ["tanh", "relu", "sigmoid"]}},
        "training": {
            "learning_rate": {"low": 0.01, "high": 0.1, "log": True},
            "batch_size": {"low": 1, "high": 30},
            "input_noise": {"choice": [0.0, 0.1, 0.2, 0.4]},
            "input_dropout": {"low": 0.0, "high": 0.8},
        },
    }
    params = {
        "network.activation": "relu",
        "training.learning_rate": 0.05,
        "training.batch_size": 1,
        "training.input_noise": 0.2,
        "training.input_dropout": 0.7,
    }
    assert planted(space, params) == [
        ("network.activation", {"network.activation": "tanh"}),
        ("network.activation", {"network.activation": "sigmoid"}),
        ("training.learning_rate", {"training.learning_rate": 0.01667}),
        ("training.learning_rate", {"training.learning_rate": 0.1}),
        ("training.batch_size", {"training.batch_size": 3}),
        ("training.input_noise", {"training.input_noise": 0.1}),
        ("training.input_noise", {"training.input_noise": 0.0}),
        ("training.input_noise", {"training.input_noise": 0.4}),
        ("training.input_dropout", {"training.input_dropout": 0.5}),
        ("training.input_dropout", {"training.input_dropout": 0.0}),
    ]


def test_layers_come_and_go_and_widths_change_together() -> None:
    sizes = "network.hidden_layer_sizes"
    space = {"network": {"n_hidden_layers": {"low": 1, "high": 3}, "hidden_layer_sizes": {"low": 2, "high": 8}}}
    params = {"network.n_hidden_layers": 2, f"{sizes}.1": 6, f"{sizes}.2": 3}
    assert planted(space, params) == [
        ("network.n_hidden_layers", {"network.n_hidden_layers": 1, f"{sizes}.2": None}),
        ("network.n_hidden_layers", {"network.n_hidden_layers": 3, f"{sizes}.3": 3}),
        (sizes, {f"{sizes}.1": 3, f"{sizes}.2": 2}),
        (sizes, {f"{sizes}.1": 8, f"{sizes}.2": 6}),
    ]


def test_a_rate_keeps_its_place_among_an_optimizers_and_a_penalty_comes_with_its_own() -> None:
    space = {
        "training": {
            "optimizer": {"choice": ["sgd", "adam"]},
            "learning_rate": {
                "by": "training.optimizer", "log": True, "ranges": {"sgd": [0.01, 1.0], "adam": [0.001, 0.1]},
            },
            "regularizer": {"choice": ["none", "l2"]},
            "regularization_rate": {
                "low": 1e-4, "high": 1e-2, "log": True, "when": {"training": {"regularizer": ["l2"]}},
            },
        }
    }  # fmt: skip
    params = {"training.optimizer": "adam", "training.learning_rate": 0.01, "training.regularizer": "none"}
    found = planted(space, params)
    assert found[0] == ("training.optimizer", {"training.optimizer": "sgd", "training.learning_rate": 0.1})
    assert ("training.regularizer", {"training.regularizer": "l2", "training.regularization_rate": 0.001}) in found
    assert ("training.learning_rate", {"training.learning_rate": 0.003333}) in found
    assert len(found) == 4


def test_a_winner_that_the_space_no_longer_holds_has_no_changes() -> None:
    assert planted({"training": {"batch_size": {"low": 1, "high": 8}}}, {"training.batch_size": 9}) == []


def test_a_spec_says_it_in_one_section_and_is_silent_where_there_is_none() -> None:
    assert parse_spec(read_toml(as_toml(SPEC).encode(), "x"), "x") == SPEC
    silent = with_overrides(SPEC, n_ablation=0)
    assert "ablation" not in as_toml(silent)
    assert silent.sha256 == parse_spec(tiny_table() | {"search": tiny_table()["search"] | {"n_trials": 5}}, "t").sha256
    assert TrialPlan(silent, silent.datasets[0], Path("nowhere")).last == ()
    assert load("homework").ablation.n_replicas == 32  # type: ignore[attr-defined]


def test_few_draws_and_data_whose_replicas_share_rows_are_refused() -> None:
    with pytest.raises(SpecError) as few:
        ablated_spec(ablation={"n_replicas": 8})
    assert str(few.value) == (
        "tiny.toml: ablation: n_replicas: 8; so few draws show no change: give at least 16, or 0 for none"
    )
    table = load("fashion_mnist")
    with pytest.raises(SpecError) as shared:
        kind_of(table).change(table, Changes(n_ablation=32))
    assert str(shared.value) == (
        "fashion_mnist: ablation: n_replicas: 32; the replicas of fashion_mnist share its rows, so that they cannot"
        " show what a change does: leave [ablation] out"
    )
    lesson = load("learning_rate")
    with pytest.raises(SpecError) as listed:
        kind_of(lesson).change(lesson, Changes(n_ablation=0))
    assert str(listed.value) == "--ablation off: only for sweeps, which have a winner to change"


def test_other_kinds_of_data_have_draws_of_their_own_for_it() -> None:
    table = tiny_table() | {"ablation": {"n_replicas": N_DRAWS}}
    table["datasets"] = [{"name": "bowl", "kind": "bowl", "curvatures": [1.0, 10.0]}]
    spec = parse_spec(table, "bowl.toml")
    source = open_source(spec, spec.datasets[0])
    blocks = [set(source.fresh_seeds(stage, "block")) for stage in ("finalist", "certificate", "ablation")]
    assert len(blocks[2]) == N_DRAWS
    assert len(set.union(*blocks)) == sum(map(len, blocks))


def test_its_runs_in_mlflow_say_their_stage_and_what_was_changed(run: Path) -> None:
    study = study_of(run)
    record = study.records["ablation"][1]
    shown = of_trial(study.header, record)
    assert shown.name.startswith("gauss ablation 1 ")
    assert shown.tags["changed"] == record.changed
    assert json.dumps(dict(shown.params))


def test_a_table_has_none_and_may_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "homes.csv"
    regression_frame().to_csv(file, index=False)
    arguments = ["run", str(file), "--target", "price", "--ablation", "32", "--results", str(tmp_path / "results")]
    assert main(arguments) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            "--ablation 32: the networks of a table share its rows, so that they cannot show what a change"
            " does; leave it out"
        )
    )
