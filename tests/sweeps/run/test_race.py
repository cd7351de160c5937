"""Finalists race; neither kills nor workers leave a trace in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_builders as build
from tiny import tiny_table

from analysis.records.events import Stage
from analysis.records.reading import read_study
from analysis.records.study import TrialRecord, most_measured
from sweeps.run.certificate import decided
from sweeps.run.looks import ROUNDS
from sweeps.run.setting import Setting
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest


def racing_spec(**changes: Any) -> SweepSpec:
    """Return a tiny sweep whose finalists are enough draws for three rounds."""
    table = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["search"] |= {"n_trials": 8, "until": "budget"}
    table["goal"]["below"] = 0.4
    table["finalists"] = {"n": 3, "share": 0.75, "n_replicas": 72}  # six begin, at least three stay
    for key, content in changes.items():
        table[key] = {**table[key], **content}
    return parse_spec(table, "tiny.toml")


SPEC = racing_spec()


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("raced")
    run_sweep(SPEC, results, workers=2)
    return results / SPEC.name


def test_who_is_surely_worse_leaves_early_and_the_rest_run_to_the_end(raced: Path) -> None:
    study = read_study(raced / "gauss" / "log.jsonl")
    finalists = study.records_of("finalist")
    n_seeds = {len(record.seeds) for record in finalists}
    assert n_seeds <= {16, 32, 64, 72}
    assert {16, 72} <= n_seeds
    full = most_measured(finalists)
    best = min(full, key=lambda record: record.value)
    for record in finalists:
        n = len(record.seeds)
        assert record.seeds == best.seeds[:n]
        if n < 72:
            assert record.value > float(np.mean(best.test_loss[:n]))
    certificate = study.records_of("certificate")[0]
    assert certificate.source in {record.source for record in full}


def test_a_share_of_all_trials_races_and_whatever_was_asked_first(tmp_path: Path) -> None:
    first = {"network": {"activation": "relu", "hidden_layer_sizes": [1]},
             "training": {"learning_rate": 0.01, "batch_size": 30, "regularizer": "none"}}  # fmt: skip
    spec = racing_spec(
        finalists={"n": 1, "n_replicas": 16, "share": 0.25}, search={"first": [first]}, goal={"below": 0.5}
    )
    run_sweep(spec, tmp_path, workers=2)
    study = read_study(tmp_path / spec.name / "gauss" / "log.jsonl")
    best = [trial.number for trial in sorted(study.trials, key=lambda trial: trial.value)]
    assert best.index(0) > 1, "the given setting would have been there anyhow"
    assert {record.source for record in study.records_of("finalist")} == {*best[:2], 0}


def test_no_share_is_a_spec_of_earlier_versions() -> None:
    assert "\nshare" not in as_toml(racing_spec(finalists={"share": 0.0}))
    assert SPEC.sha256 != racing_spec(finalists={"share": 0.25}).sha256


def test_kills_anywhere_in_a_race_change_nothing(raced: Path, tmp_path: Path) -> None:
    whole = digest(raced)
    lines = (raced / "gauss" / "log.jsonl").read_bytes().splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if b'"kind":"finalist"' in line]
    log = tmp_path / SPEC.name / "gauss" / "log.jsonl"
    log.parent.mkdir(parents=True)
    (tmp_path / SPEC.name / "spec.toml").write_text(as_toml(SPEC))
    for n in (places[0], places[1], places[3], places[-1]):
        log.write_bytes(b"".join(lines[:n]))
        run_sweep(SPEC, tmp_path, workers=1)
        assert digest(tmp_path / SPEC.name) == whole


def test_pieces_end_where_a_round_does() -> None:
    setting = Setting("finalist", 0, 0, {}, tuple(map(str, range(128))), (1,), rounds=(16, 32, 64))
    assert setting.ends == (16, 32, 64, 128)
    assert [len(setting.chunk(i)) for i in range(setting.n_chunks)] == [16, 16, 32, 64]
    part = setting.after(32)
    assert part.ends == (16, 32)
    assert part.chunk(1) == setting.chunk(1)
    assert Setting("certificate", 0, 0, {}, setting.seeds * 8, (1,), rounds=(512,)).ends == tuple(range(64, 1025, 64))
    assert Setting("search", 0, 0, {}, setting.seeds, (1,), stops_early=True).ends == (128,)


def runners(stage: Stage, means: list[float], n: int, seed: int = 1) -> list[TrialRecord]:
    """Return records on common draws: each draw has its own difficulty, each setting its mean."""
    rng = np.random.default_rng(seed)
    hard = rng.exponential(0.02, n)
    made = []
    for i, mean in enumerate(means):
        losses = (mean - 0.02 + hard + rng.normal(0, 0.002, n)).tolist()
        value = float(np.mean(losses))
        made.append(
            build.record(rng, number=i, stage=stage, n_replicas=n, test_loss=losses, train_loss=losses, value=value)
        )
    return made


def test_equal_settings_hardly_ever_leave_a_race() -> None:
    """Of 400 races of two equal settings at most the 1 % that the rule allows, and its own error, lose one."""
    left = 0
    for seed in range(400):
        records = runners("finalist", [0.08, 0.08], 16, seed)
        left += bool(decided(records, 10))
    assert left <= 2 * 400 * 0.02


def test_who_is_surely_worse_leaves_and_certificates_run_to_their_end() -> None:
    records = runners("finalist", [0.0895, 0.082, 0.082], 64)
    assert decided(records, 10) == {0}
    assert not ROUNDS["certificate"]
    assert not ROUNDS["page_certificate"]


def test_what_has_diverged_leaves() -> None:
    records = runners("finalist", [0.05, 0.05], 16)
    records[1] = dataclasses.replace(records[1], state="diverged")
    assert decided(records, 10) == {1}
    both = [dataclasses.replace(record, state="failed") for record in records]
    assert decided(both, 10) == {0, 1}


def test_of_many_alike_the_worse_half_leaves_but_never_so_many_that_few_are_left() -> None:
    rng, order = np.random.default_rng(1), []
    for i in range(25):  # means that differ by far less than any two can be told apart
        noise = rng.normal(0, 0.01, 16)
        losses = (0.08 + 1e-6 * i + noise - noise.mean()).tolist()
        value = float(np.mean(losses))
        order.append(build.record(rng, number=24 - i, stage="finalist", n_replicas=16, test_loss=losses, value=value))
    records = order[::-1]
    assert decided(records, 10) == {record.number for record in order[13:]}
    assert decided(records, 20) == {record.number for record in order[20:]}
    assert decided(order[:11], 10) == {order[10].number}
    assert decided(order[:10], 10) == set()


def test_the_best_of_forty_wins_its_race() -> None:
    """One is better by what the race's end can tell: in at least 98 of 100 races it comes to the end."""
    lost, means = 0, [0.08 - 0.0015, *[0.08] * 39]
    for seed in range(100):
        there = set(range(40))
        for n in (16, 32, 64):
            records = [record for record in runners("finalist", means, 64, seed) if record.number in there]
            cut = [
                dataclasses.replace(record, test_loss=record.test_loss[:n], value=float(np.mean(record.test_loss[:n])))
                for record in records
            ]
            there -= decided(cut, 10)
        lost += 0 not in there
        assert len(there) <= 10
    assert lost <= 2
