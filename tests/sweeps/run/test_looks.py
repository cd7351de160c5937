"""A second look takes draws that no look has had; the same question has the same ones wherever it is asked."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import record_builders as build
from tiny import tiny_table
from tiny_tables import table_spec

from analysis.formats.blocks import Paragraph
from analysis.records.events import LookLine
from analysis.records.lines import Chain, read_lines
from analysis.records.reading import read_study, read_sweep
from analysis.records.study import Study, canonical_lines
from analysis.records.values import as_data
from analysis.report import render
from analysis.sections.provenance import fresh_look_blocks, fresh_look_rows
from analysis.statistics.comparison import winner_differences
from analysis.statistics.homework import homework_rows, range_rows, winner_record
from analysis.statistics.looks import level_of_all, looks_taken
from sweeps.audit.audit import audit_sweep
from sweeps.audit.records import check_records
from sweeps.commands.printing import trials_text
from sweeps.run.looks import level_of_look, question, seeds_of
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, load_spec, open_source, parse_spec
from sweeps.spec.writing import as_toml, with_overrides
from sweeps.store.log import ChainedLog, digest
from sweeps.toml import SpecError
from sweeps.tracking.database import sqlite_uri
from sweeps.tracking.projection import sync

pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")


def one_set(**changes: Any) -> SweepSpec:
    """Return a tiny sweep of one dataset; `changes` are keys of the whole or of its sections."""
    table = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["search"] |= {"n_trials": 5}
    table["goal"]["below"] = 0.001
    for key, content in changes.items():
        table[key] = {**table[key], **content} if isinstance(content, dict) else content
    return parse_spec(table, "tiny.toml")


SPEC = one_set()
LARGER = with_overrides(SPEC, n_trials=8)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Study:
    (study,) = run_sweep(SPEC, tmp_path_factory.mktemp("first"), workers=1)
    return study


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Study:
    (study,) = run_sweep(LARGER, tmp_path_factory.mktemp("at_once"), workers=1)
    return study


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run with the small budget, then go on with the larger one."""
    results = tmp_path_factory.mktemp("extended")
    run_sweep(SPEC, results, workers=1)
    run_sweep(LARGER, results, workers=2)
    return results / "tiny"


def draws(study: Study, stage: str, number: int) -> set[str]:
    return {seed for record in study.records_of(stage, number) for seed in record.seeds}  # type: ignore[arg-type]


def test_a_second_look_takes_fresh_draws_and_leaves_the_first_as_it_was(extended: Path, first: Study) -> None:
    study = read_study(extended / "gauss" / "log.jsonl")
    assert study.look_number == 2
    for stage in ("finalist", "certificate", "page_certificate"):
        assert draws(study, stage, 1) == draws(first, stage, 1)
        assert len(draws(study, stage, 1)) == len(draws(study, stage, 2))
    blocks = [draws(study, stage, number) for stage in ("finalist", "certificate") for number in (1, 2)]
    blocks.append({seed for trial in study.trials for seed in trial.seeds})
    for one, other in combinations(blocks, 2):
        assert not one & other


def test_growing_a_budget_gives_the_search_that_it_would_have_been_at_once(extended: Path, at_once: Study) -> None:
    study = read_study(extended / "gauss" / "log.jsonl")
    assert study.asked == at_once.asked
    timing = {"started_at_s": 0.0, "duration_s": 0.0, "worker": ""}
    assert [dataclasses.replace(trial, **timing) for trial in study.trials] == [
        dataclasses.replace(trial, **timing) for trial in at_once.trials
    ]
    assert not draws(study, "certificate", 2) & draws(at_once, "certificate", 1)


def test_a_look_is_in_the_log_before_it_is_taken(extended: Path) -> None:
    kinds = [(line.kind, line.data) for line in read_lines(extended / "gauss" / "log.jsonl")]
    announced: list[LookLine] = []
    for kind, data in kinds:
        if kind == "look":
            announced.append(LookLine(**data))
        elif kind not in ("study", "asked", "finished", "verdict", "extension", "page_search"):
            look = next(look for look in announced[::-1] if look.stage == kind)
            assert look.first <= data["number"] < look.first + look.n_records
            assert look.n_draws == len(data["seeds"])
    assert [kind for kind, _ in kinds].count("extension") == 1
    assert [look.n_trials for look in announced if look.stage == "certificate"] == [5, 8]


def test_kills_between_looks_change_nothing(extended: Path, tmp_path: Path) -> None:
    """The log is cut at places all along the second round: going on ends in the same digest."""
    whole = digest(extended)
    lines = (extended / "gauss" / "log.jsonl").read_bytes().splitlines(keepends=True)
    cut_from = next(i for i, line in enumerate(lines) if b'"kind":"extension"' in line)
    log = tmp_path / "tiny" / "gauss" / "log.jsonl"
    log.parent.mkdir(parents=True)
    (tmp_path / "tiny" / "spec.toml").write_text(as_toml(LARGER))
    for n in range(cut_from, len(lines), 6):
        log.write_bytes(b"".join(lines[:n]))
        run_sweep(LARGER, tmp_path, workers=1)
        assert digest(tmp_path / "tiny") == whole


def test_the_same_question_has_the_same_draws_and_another_has_others(first: Study, tmp_path: Path) -> None:
    (renamed,) = run_sweep(with_overrides(SPEC, name="other"), tmp_path, workers=1)
    assert draws(renamed, "certificate", 1) == draws(first, "certificate", 1)
    assert [r.test_loss for r in renamed.records["certificate"]] == [r.test_loss for r in first.records["certificate"]]
    dataset = SPEC.datasets[0]
    same = question(SPEC, dataset, 5)
    both = parse_spec(tiny_table() | {"goal": {"metric": "test_loss", "below": 0.001}}, "t")
    assert question(both, both.datasets[0], 5) == same  # another set beside it is no part of the question
    assert question(with_overrides(SPEC, until="reached", n_trials=7), dataset, 5) == same  # what was searched counts
    others = [
        (SPEC, 6),
        (with_overrides(SPEC, seed=4), 5),
        (with_overrides(SPEC, goal="test_loss < 0.1"), 5),
        (one_set(finalists={"n": 2}), 5),
        (one_set(network={"output_activation": "linear"}), 5),
    ]
    assert same not in {question(spec, spec.datasets[0], n) for spec, n in others}


def test_sweeps_that_name_a_block_are_measured_on_the_same_draws(tmp_path: Path) -> None:
    studies = [
        run_sweep(one_set(name=name, draws="shared", network={"output_activation": output}), tmp_path, workers=1)[0]
        for name, output in (("one", "tanh"), ("two", "linear"))
    ]
    assert draws(studies[0], "certificate", 1) == draws(studies[1], "certificate", 1)
    assert {look.draws for study in studies for look in study.looks} == {"shared:shared"}
    methods = {one.difference.method for one in winner_differences(studies)}
    assert all(method.startswith("paired, imagined draws at -") for method in methods)
    shared = [row[-1] for row in fresh_look_rows(studies[0], "one", studies, ["one", "two"]) if row[1] == "certificate"]
    assert shared == ["two"]
    apart = run_sweep(one_set(name="three", draws="other"), tmp_path, workers=1)[0]
    alone = fresh_look_rows(apart, "three", [apart, *studies], ["three", "one", "two"])
    assert {row[-1] for row in alone} == {"nobody in this report"}
    assert draws(apart, "finalist", 1) != draws(studies[0], "finalist", 1)
    assert load_spec(tmp_path / "one" / "spec.toml").draws == "shared"


@pytest.fixture(scope="module")
def ended_early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two sets, of which the first has its candidates long before its budget is spent."""
    results = tmp_path_factory.mktemp("early")
    run_sweep(EARLY, results, workers=1)
    return results / "tiny"


EARLY = parse_spec(
    tiny_table()
    | {
        "goal": {"metric": "test_loss", "below": 0.2},
        "search": {**tiny_table()["search"], "until": "reached", "n_candidates": 2},
    },
    "tiny.toml",
)


def test_a_budget_that_brings_no_trial_brings_no_look(ended_early: Path, tmp_path: Path) -> None:
    """Else whoever asks again would be given fresh draws for the same answer, until one passes."""
    shutil.copytree(ended_early, tmp_path / "tiny")
    before = {study.header.dataset: study for study in read_sweep(ended_early)}
    sync(tmp_path, sqlite_uri(tmp_path / "mlflow.db"))
    studies = run_sweep(with_overrides(EARLY, n_trials=11), tmp_path, workers=2)
    gauss, xor = (study for study in studies)
    then = before["gauss"]
    assert then.verdict is not None
    assert gauss.verdict is not None
    assert (then.verdict.stopped, len(then.trials)) == ("reached", len(gauss.trials))
    assert gauss.looks == then.looks
    assert {stage: len(records) for stage, records in gauss.records.items()} == {
        stage: len(records) for stage, records in then.records.items()
    }
    assert gauss.verdict == dataclasses.replace(
        then.verdict,
        text=f"{then.verdict.text} The extension brought no trial after {len(then.trials)}, so no other look was "
        "taken: the search has had the candidates that it looks for; --until budget goes on.",
    )
    assert (len(xor.trials), xor.look_number) == (11, 2)
    sync(tmp_path, sqlite_uri(tmp_path / "mlflow.db"))
    assert audit_sweep(tmp_path / "tiny", sqlite_uri(tmp_path / "mlflow.db")).findings == []
    again = run_sweep(with_overrides(EARLY, n_trials=12), tmp_path, workers=1)[0]
    assert (again.looks, again.verdict) == (then.looks, gauss.verdict)
    whole = run_sweep(with_overrides(EARLY, n_trials=12, until="budget"), tmp_path, workers=1)[0]
    assert (len(whole.trials), whole.look_number) == (12, 2)
    assert whole.verdict is not None
    assert "brought no trial" not in whole.verdict.text
    assert audit_sweep(tmp_path / "tiny", None).findings == []


def test_a_second_look_without_a_trial_that_an_earlier_version_took_is_read(ended_early: Path, tmp_path: Path) -> None:
    lines = list(read_lines(ended_early / "gauss" / "log.jsonl"))
    study = read_study(ended_early / "gauss" / "log.jsonl")
    look = study.look_of("finalist")
    assert look is not None
    (tmp_path / "gauss").mkdir()
    log = ChainedLog(tmp_path / "gauss" / "log.jsonl", Chain("tiny/gauss"))
    log.append([(line.kind, line.data) for line in lines[:-1]])
    log.append([(lines[-1].kind, lines[-1].data)], canonical=study.digest)
    log.append([("extension", {"n_trials": 20, "until": "reached", "spec_sha256": "x"})])
    log.append([("look", as_data(dataclasses.replace(look, number=2, first=look.n_records)))])
    log.close()
    there = read_study(tmp_path / "gauss" / "log.jsonl")
    assert (there.look_number, there.rounds) == (2, [len(study.trials)])


def test_a_look_that_an_extension_comes_upon_shares_no_number_with_the_next(tmp_path: Path) -> None:
    """The second finalist was ready first: what follows must not take it for one of the next look."""
    spec = one_set(goal={"metric": "test_loss", "below": 0.4})
    run_sweep(spec, tmp_path / "first", workers=1)
    path = tmp_path / "first" / "tiny" / "gauss" / "log.jsonl"
    lines = [(line.kind, line.data) for line in read_lines(path)]
    begins = next(i for i, (kind, data) in enumerate(lines) if kind == "look" and data["stage"] == "finalist")
    second = next(line for line in lines if line[0] == "finalist" and line[1]["number"] == 1)
    folder = tmp_path / "tiny" / "gauss"
    folder.mkdir(parents=True)
    (folder.parent / "spec.toml").write_text(as_toml(spec))
    log = ChainedLog(folder / "log.jsonl", Chain("tiny/gauss"))
    log.append([*lines[: begins + 1], second])
    log.close()
    (study,) = run_sweep(with_overrides(spec, n_trials=8), tmp_path, workers=1)
    assert [record.number for record in study.records_of("finalist", 1)] == [1]
    assert [record.number for record in study.records_of("finalist", 2)] == [3, 4, 5]
    assert not draws(study, "finalist", 1) & draws(study, "finalist", 2)
    assert digest(tmp_path / "tiny") == study.digest  # it is read
    assert list(check_records(tmp_path / "tiny")) == []


def test_every_stage_of_an_extended_sweep_is_replayed(extended: Path) -> None:
    study = read_study(extended / "gauss" / "log.jsonl")
    for stage in ("finalist", "certificate", "page_search", "page_certificate"):
        last = study.records[stage][-1].number  # type: ignore[index]
        assert replay(extended, "gauss", last, stage).differences == ()  # type: ignore[arg-type]


def test_a_budget_cannot_shrink_and_nothing_else_may_change_with_it(extended: Path) -> None:
    where = extended.parent
    with pytest.raises(SpecError, match=r"this sweep already has a budget of 8 trials; more can be"):
        run_sweep(SPEC, where, workers=1)
    with pytest.raises(SpecError, match=r"holds another sweep \(search.n_replicas: 4 there, 5 here; search.n_trials"):
        run_sweep(with_overrides(LARGER, n_trials=9, n_replicas=5), where, workers=1)


def test_looks_end_when_no_draws_are_left() -> None:
    spec = one_set(certificates={"n_replicas": 9000})
    source = open_source(spec, spec.datasets[0])
    used: set[str] = set()
    for number in range(1, 6):
        blocks = [source.fresh_seeds(stage, f"q/{number}", used) for stage in ("finalist", "certificate")]  # type: ignore[arg-type]
        assert not used & {seed for block in blocks for seed in block}
        used.update(*blocks)
    told = "^gauss: no fresh draws left: earlier looks have had 45040 of 50000 page seeds; give the sweep another seed"
    with pytest.raises(SpecError, match=told):
        source.fresh_seeds("certificate", "q/6", used)


def test_looks_of_one_study_share_no_draw_however_many_they_take() -> None:
    spec = one_set(certificates={"n_replicas": 9000})
    source = open_source(spec, spec.datasets[0])
    study = Study(build.header(spec.name, "gauss"))
    taken = []
    for number in range(1, 5):
        study.looks += [
            LookLine(number, stage, "shared:x", 5, 0, 1, 9000, 0.05) for stage in ("finalist", "certificate")
        ]
        taken += [set(seeds_of(source, study, stage, number, "shared:x")) for stage in ("finalist", "certificate")]
    assert sum(map(len, taken)) == len(set().union(*taken)) == 4 * 9008
    first = set(seeds_of(source, Study(study.header), "certificate", 1, "shared:x"))
    assert first == taken[1]  # what comes later changes nothing in it
    assert not first & set(source.search_seeds())


def test_the_level_of_test_rows_is_shared_among_their_looks() -> None:
    spent = [level_of_look(0.05, number, is_finite=True) for number in range(1, 50)]
    assert spent[:3] == pytest.approx([0.04, 0.008, 0.0016])
    assert sum(spent) <= 0.05 + 1e-12
    assert [level_of_look(0.05, number, is_finite=False) for number in (1, 2, 3)] == [0.05] * 3


def test_a_table_that_goes_on_spends_the_rest_of_its_level(houses: Path, tmp_path: Path) -> None:
    spec = table_spec(houses, "price", goal={"words": "rmse < 0.01"})
    (once,) = run_sweep(spec, tmp_path, workers=1)
    (twice,) = run_sweep(with_overrides(spec, n_trials=5), tmp_path, workers=1)
    assert [record.ensemble["level"] for record in twice.records["certificate"] if record.ensemble] == pytest.approx(
        [0.04, 0.008]
    )
    assert level_of_all(looks_taken(twice)) == pytest.approx(0.048)
    assert once.verdict is not None
    assert twice.verdict is not None
    assert "at level 0.04 (this sweep's first look at these rows; 0.04 of 0.05 is spent)" in once.verdict.text
    assert "at level 0.008 (this sweep's look 2 at these rows; 0.048 of 0.05 is spent)" in twice.verdict.text
    assert twice.winner is not None
    assert twice.winner.number == 1


def test_the_verdict_of_a_second_look_says_what_holds_for_both(extended: Path) -> None:
    study = read_study(extended / "gauss" / "log.jsonl")
    assert study.verdict is not None
    assert "(look 2 at fresh draws; over all 2 at most 0.1)" in study.verdict.text
    told = fresh_look_blocks([study], ["blobs"])[-1]
    assert isinstance(told, Paragraph)
    # Two looks for the winner and two for the page, each at 0.05.
    assert (
        "The 4 looks of this report that claim something find a goal reached that is not with a chance of" in told.text
    )
    assert "at most 0.200 together" in told.text
    assert [line for line in canonical_lines(study) if '"kind":"extension"' in line]


def test_a_search_in_which_everything_diverged_has_no_winner_and_no_loss(tmp_path: Path) -> None:
    table = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["network"]["output_activation"] = "linear"
    table["space"]["network"]["activation"] = {"choice": ["relu"]}
    table["space"]["training"]["learning_rate"] = {"low": 1e5, "high": 1e8, "log": True}
    (study,) = run_sweep(parse_spec(table, "t"), tmp_path, workers=1)
    assert [trial.state for trial in study.trials] == ["diverged"] * 9
    assert study.verdict is not None
    assert (study.verdict.certified, study.winner, study.page_winner) == (False, None, None)
    assert not study.records["finalist"]
    rates = sorted(float(trial.training["learning_rate"]) for trial in study.trials)
    assert study.verdict.text == (
        "No winner: 9 of 9 trials diverged (at least half of their networks have no finite loss). Search learning "
        f"rates below {rates[0]:.2g} (tried: {rates[0]:.2g} to {rates[-1]:.2g}), or first weights that are smaller."
    )
    assert homework_rows([study]) == []
    assert range_rows([study]) == []
    assert winner_record(study) is None
    shown = [line.split("|")[4].strip() for line in trials_text(study.trials).splitlines()[1:]]
    assert shown == ["-"] * 9
    cap = f"{study.trials[0].diverged_cap:.4f}"
    assert cap not in render([study]).files["report.md"].decode()
