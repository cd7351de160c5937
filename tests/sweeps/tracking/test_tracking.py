"""MLflow holds exactly what the logs hold, whatever died or was deleted in between."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_builders as build

from analysis.records.reading import read_sweep
from analysis.records.study import TrialRecord
from sweeps.audit.runs import check_runs
from sweeps.store.log import digest
from sweeps.tracking.answers import every_experiment
from sweeps.tracking.choice import ChoiceError, parse_choice
from sweeps.tracking.database import fold_write_ahead, open_client, resolve_uri, sqlite_uri
from sweeps.tracking.errors import TrackingBusyError, TrackingError
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync, writer_lock
from sweeps.tracking.run_contents import record_content, record_uid, study_uid
from sweeps.tracking.trial_contents import trial_metrics
from sweeps.tracking.writer_process import TrackingProcess

# MLflow's dependencies warn of their own future; that is not ours to mend.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow import MlflowClient
    from mlflow.entities import ViewType
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated database: making one takes seconds, copying it nothing."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    open_client(sqlite_uri(path))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return sqlite_uri(tmp_path / "mlflow.db")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Write a sweep of one study: three search trials, a finalist, two certificates."""
    folder = tmp_path / "results"
    build.write_study(build.finished_study(n_trials=3, n_certificate=20), folder / "homework")
    return folder


def records_of(results: Path) -> dict[str, TrialRecord]:
    studies = read_sweep(results / "homework")
    return {record_uid(record): record for s in studies for records in s.records.values() for record in records}


def runs_of(uri: str, view: int = ViewType.ACTIVE_ONLY) -> list[Any]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("homework")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id], run_view_type=view))


def by_uid(uri: str) -> dict[str, Any]:
    runs = {run.data.tags["sweep.uid"]: run for run in runs_of(uri)}
    assert len(runs) == len(runs_of(uri))
    return runs


def test_runs_and_records_are_one_to_one_below_one_parent(results: Path, uri: str) -> None:
    sync(results, uri)
    runs = by_uid(uri)
    parent = runs.pop(study_uid(build.header()))
    assert set(runs) == set(records_of(results))
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert all(run.info.status == "FINISHED" for run in (parent, *runs.values()))


def test_all_experiments_of_a_store_are_found_however_many_come_on_a_page(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(uri)
    numbers = {"0", *(client.create_experiment(f"e{i}") for i in range(4))}
    monkeypatch.setattr(client, "search_experiments", partial(client.search_experiments, max_results=2))
    assert {one.experiment_id for one in every_experiment(client)} == numbers


def test_metrics_params_and_the_record_itself_equal_the_log(results: Path, uri: str) -> None:
    sync(results, uri)
    client = MlflowClient(uri)
    runs = by_uid(uri)
    for uid, record in records_of(results).items():
        run = runs[uid]
        expected = Counter(trial_metrics(0.1, record))
        keys = {key for key, _, _ in expected}
        found = Counter(
            (m.key, m.value, m.step) for key in keys for m in client.get_metric_history(run.info.run_id, key)
        )
        assert found == expected
        assert set(run.data.metrics) == keys
        assert run.data.params["training.learning_rate"] == str(record.params["training.learning_rate"])
        names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        assert ("record.json" in names) == (record.candidate or record.stage != "search")
        if "record.json" in names:
            path = client.download_artifacts(run.info.run_id, "record.json")
            assert TrialRecord(**json.loads(Path(path).read_text())) == record
        assert run.inputs.dataset_inputs[0].dataset.name == "xor"


def test_a_second_sync_writes_nothing(results: Path, uri: str) -> None:
    n = sync(results, uri).n_written
    again = sync(results, uri)
    assert (again.n_written, again.n_present) == (0, n)


def test_a_grown_log_adds_only_what_is_new(results: Path, uri: str) -> None:
    path = next(results.glob("*/*/log.jsonl"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:40])  # the last line is torn: it does not count
    assert sync(results, uri).n_written == 1 + 2
    assert by_uid(uri)["homework/xor"].info.status == "KILLED"
    path.write_text("".join(lines))
    sync(results, uri)
    assert set(by_uid(uri)) == {"homework/xor", *records_of(results)}
    assert by_uid(uri)["homework/xor"].info.status == "FINISHED"


def test_a_half_written_run_is_written_again(results: Path, uri: str) -> None:
    sync(results, uri)
    client = MlflowClient(uri)
    run = by_uid(uri)["homework/xor:search:2"]
    client.update_run(run.info.run_id, status="RUNNING")  # as a kill before the last step leaves it
    report = sync(results, uri)
    assert (report.n_written, report.n_repaired) == (1, 1)
    redone = by_uid(uri)["homework/xor:search:2"]
    assert redone.info.run_id != run.info.run_id
    assert redone.data.metrics == run.data.metrics
    assert sync(results, uri).n_written == 0


def test_a_run_that_a_user_has_deleted_stays_deleted(results: Path, uri: str) -> None:
    sync(results, uri)
    MlflowClient(uri).delete_run(by_uid(uri)["homework/xor:search:2"].info.run_id)
    report = sync(results, uri)
    assert (report.n_written, report.n_deleted) == (0, 1)
    assert "homework/xor:search:2" not in by_uid(uri)


def test_another_seed_under_the_same_name_gets_its_own_runs(results: Path, uri: str, tmp_path: Path) -> None:
    n = sync(results, uri).n_written
    study = build.finished_study(n_trials=3, n_certificate=20, seed=2)
    study.header = build.header(n_trials=3, seed=2)
    build.write_study(study, tmp_path / "second" / "homework")
    assert sync(tmp_path / "second", uri).n_written == n
    assert len(runs_of(uri)) == 2 * n


def test_a_deleted_experiment_is_named_with_the_way_back(results: Path, uri: str) -> None:
    sync(results, uri)
    client = MlflowClient(uri)
    client.delete_experiment(client.get_experiment_by_name("homework").experiment_id)
    with pytest.raises(TrackingError) as caught:
        sync(results, uri)
    assert str(caught.value) == (
        "experiment homework: deleted in MLflow; restore it (`mlflow experiments restore -x 1`) or give another"
        " --tracking-uri"
    )


def test_a_renamed_experiment_is_still_the_sweeps(results: Path, uri: str) -> None:
    n = sync(results, uri).n_written
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("homework")
    client.rename_experiment(experiment.experiment_id, "my homework")
    again = sync(results, uri)
    assert (again.n_written, again.n_present) == (0, n)
    assert client.get_experiment_by_name("homework") is None


def test_an_experiment_renamed_before_it_had_a_tag_is_found_by_its_runs(results: Path, uri: str) -> None:
    n = sync(results, uri).n_written
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("homework")
    client.delete_experiment_tag(experiment.experiment_id, "sweep.name")  # as earlier versions left it
    client.rename_experiment(experiment.experiment_id, "my homework")
    assert sync(results, uri).n_present == n
    assert client.get_experiment_by_name("my homework").tags["sweep.name"] == "homework"


def test_a_moved_projects_runs_get_their_artifacts_back(results: Path, empty_database: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copy(empty_database, old / "mlflow.db")
    shutil.move(results, old / "results")
    n = sync(old / "results", sqlite_uri(old / "mlflow.db")).n_written
    client = MlflowClient(sqlite_uri(old / "mlflow.db"))
    client.delete_run(by_uid(sqlite_uri(old / "mlflow.db"))["homework/xor:search:2"].info.run_id)
    fold_write_ahead(sqlite_uri(old / "mlflow.db"))
    old.rename(new)
    uri = sqlite_uri(new / "mlflow.db")
    report = sync(new / "results", uri)
    assert (report.n_written, report.n_deleted) == (n - 1, 1)  # what a user had deleted stays deleted
    runs = by_uid(uri)
    assert set(runs) == {"homework/xor", *records_of(new / "results")} - {"homework/xor:search:2"}
    for uid, run in runs.items():
        names = {artifact.path for artifact in MlflowClient(uri).list_artifacts(run.info.run_id)}
        assert ("log" if uid == "homework/xor" else "record.json") in names or ":search:" in uid
    assert "log" in {artifact.path for artifact in MlflowClient(uri).list_artifacts(runs["homework/xor"].info.run_id)}
    assert check_runs(new / "results" / "homework", uri).findings == []
    before = MlflowClient(uri).get_experiment_by_name("homework (before it was moved, 1)")
    assert MlflowClient(uri).search_runs([before.experiment_id]) == []
    assert sync(new / "results", uri).n_written == 0


def test_only_the_best_so_far_get_runs_where_that_is_asked_and_a_later_sync_goes_on_so(
    tmp_path: Path, uri: str
) -> None:
    study = build.finished_study(n_trials=40, n_certificate=20)
    build.write_study(study, tmp_path / "results" / "homework")
    report = sync(tmp_path / "results", uri, "best:5")
    records = records_of(tmp_path / "results")
    searched = [record for record in records.values() if record.stage == "search"]
    best_so_far: list[float] = []
    expected = {uid for uid, record in records.items() if record.stage != "search"}
    for record in searched:
        is_best = sum(value <= record.value for value in best_so_far) < 5
        best_so_far.append(record.value)
        if is_best or record.candidate:
            expected.add(record_uid(record))
    assert set(by_uid(uri)) == {"homework/xor", *expected}
    assert report.n_left_out == len(records) - len(expected) > 0
    assert {record_uid(r) for r in sorted(searched, key=lambda r: r.value)[:5]} <= expected
    assert check_runs(tmp_path / "results" / "homework", uri).findings == []
    again = sync(tmp_path / "results", uri)
    assert (again.n_written, again.n_left_out) == (0, report.n_left_out)
    best = min(searched, key=lambda record: record.value)
    client = MlflowClient(uri)
    client.update_run(by_uid(uri)[record_uid(best)].info.run_id, status="RUNNING")
    client.delete_run(by_uid(uri)[record_uid(best)].info.run_id)
    (finding,) = check_runs(tmp_path / "results" / "homework", uri).findings
    assert f"{record_uid(best)}: no run in MLflow" in finding.text
    sync(tmp_path / "results", uri)
    assert sync(tmp_path / "results", uri, "all").n_written == report.n_left_out
    import_sweeps(uri, tmp_path / "imported")  # the log has every trial, whatever has a run
    assert digest(tmp_path / "imported" / "homework") == digest(tmp_path / "results" / "homework")


def test_a_choice_of_runs_that_is_none_is_refused() -> None:
    for text in ("best", "best:0", "best:-1", "worst:3", ""):
        with pytest.raises(ChoiceError) as caught:
            parse_choice(text)
        assert str(caught.value) == f"{text!r} is neither all nor best:N, for instance best:500"


def test_late_search_trials_have_slim_runs_and_candidates_whole_ones(tmp_path: Path, uri: str) -> None:
    rng = np.random.default_rng(0)
    study = build.finished_study(n_trials=1, n_certificate=20)
    late = [build.record(rng, number=number) for number in range(98, 104)]
    study.records["search"] = late
    for record in late:
        content = record_content(study.header, record, "me")
        is_slim = record.number >= 100 and not record.candidate
        keys = {key for key, _, _ in content.metrics}
        assert ("by_epoch/train_loss" in keys) == ("sha256" in content.tags) == bool(content.data_name) == (not is_slim)
        assert {"value", "in_range_loss", "out_of_range_loss"} <= keys
        assert content.params["training.learning_rate"] == str(record.params["training.learning_rate"])
        assert {"sweep.uid", "sweep.study", "kind", "state", "number"} <= content.tags.keys()


def test_from_the_thousandth_trial_on_settings_are_tags_and_candidates_are_slim() -> None:
    study = build.finished_study(n_trials=1, n_certificate=20)
    numbered = build.record(np.random.default_rng(0), number=999)
    for candidate in (False, True):
        before = record_content(study.header, dataclasses.replace(numbered, candidate=candidate), "me")
        late = record_content(study.header, dataclasses.replace(numbered, candidate=candidate, number=1000), "me")
        settings = {key: value for key, value in before.params.items() if key in late.tags}
        assert {"training.learning_rate", "hidden_layer_sizes"} <= settings.keys()
        assert {key: late.tags[key] for key in settings} == settings
        assert (late.params, late.texts, late.data_name) == ({}, {}, "")
        assert {key for key, _, _ in late.metrics} == {
            "value", "final_train_loss", "final_test_loss", "in_range_loss", "out_of_range_loss", "pass_rate",
        }  # fmt: skip
        assert late.tags.get("candidate") == ("true" if candidate else None)
        assert bool(before.texts) == candidate
        finalist = dataclasses.replace(numbered, stage="finalist", number=1000)
        assert record_content(study.header, finalist, "me").params


def test_two_writers_of_one_sweep_exclude_each_other(results: Path, uri: str) -> None:
    with writer_lock(results / "homework"), pytest.raises(TrackingBusyError):
        sync(results, uri)


def test_the_database_has_a_write_ahead_log_that_is_flushed(empty_database: Path) -> None:
    connection = sqlite3.connect(empty_database)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()


@pytest.mark.parametrize("name", ["a b", "50%41", "what?", "no#1", "é", "x&y=z"])
def test_any_folder_name_can_hold_the_database(name: str, empty_database: Path, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    MlflowClient(resolve_uri("sqlite:///mlflow.db", folder)).create_experiment("here")
    connection = sqlite3.connect(folder / "mlflow.db")
    assert ("here",) in connection.execute("SELECT name FROM experiments").fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mlruns", "MLflow keeps no runs in plain files; give sqlite:///PATH.db or http://HOST:PORT"),
        ("file:///x", "MLflow keeps no runs in plain files; give sqlite:///PATH.db or http://HOST:PORT"),
        ("sqlit:///x", "unknown scheme 'sqlit'; give sqlite:///PATH.db or http://HOST:PORT"),
    ],
)
def test_a_uri_that_cannot_hold_runs_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError) as caught:
        resolve_uri(text, tmp_path)
    assert str(caught.value) == f"--tracking-uri {text}: {message}"


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"not a database at all, but long enough to be looked at as one" * 20)
    before = path.read_bytes()
    with pytest.raises(TrackingError, match="file is not a database"):
        open_client(sqlite_uri(path))
    assert path.read_bytes() == before


def test_a_database_of_another_mlflow_is_left_alone_with_the_command_that_migrates_it(uri: str, results: Path) -> None:
    path = Path(uri.removeprefix("sqlite:///"))
    old = path.with_name("old.db")
    shutil.copy(path, old)
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = old.read_bytes()
    for action in (lambda: sync(results, sqlite_uri(old)), lambda: import_sweeps(sqlite_uri(old), results)):
        with pytest.raises(TrackingError) as caught:
            action()
        assert str(caught.value) == (
            f"sqlite:///{old}: made by another version of MLflow; back it up, then `python -m mlflow db upgrade` it, or"
            " give another --tracking-uri"
        )
    assert old.read_bytes() == before


@pytest.fixture
def many_files() -> Iterator[None]:
    """Hold more files open than `select` has numbers for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < 1100:
        pytest.skip(f"this process may have {most} files open")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000 if most < 0 else min(2000, most), most))
    with ExitStack() as held:
        for _ in range(1030):
            held.enter_context(Path(os.devnull).open())
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_the_writer_follows_a_log_until_it_is_told_to_finish(results: Path, uri: str) -> None:
    path = next(results.glob("*/*/log.jsonl"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    writer = TrackingProcess(results / "homework", uri)
    with path.open("a") as stream:
        stream.writelines(lines[3:])
    result = writer.finish()
    assert (result.n_waiting, result.problem) == (0, None)
    assert set(by_uid(uri)) == {"homework/xor", *records_of(results)}


def test_a_server_that_is_gone_costs_no_run_but_a_message(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    writer = TrackingProcess(results / "homework", "http://127.0.0.1:9")
    result = writer.finish()
    assert result.n_waiting == len(records_of(results))
    assert result.problem is not None


def test_the_writer_ends_by_itself_when_its_driver_is_gone(results: Path, uri: str) -> None:
    writer = TrackingProcess(results / "homework", uri)
    writer.abandon()
    assert writer._process.wait(60) == 0
    assert all(run.info.status != "RUNNING" for run in runs_of(uri))


LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


@contextmanager
def locked(uri: str, seconds: float) -> Iterator[int]:
    """Let another process hold the database locked for some time; yield its number."""
    command = [sys.executable, "-c", LOCK, uri.removeprefix("sqlite:///"), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=(pytest.mark.faults, pytest.mark.takes(30.0)))])
def test_a_locked_database_is_only_a_delay(results: Path, uri: str, seconds: float, tally: Tally) -> None:
    begin = time.monotonic()
    with locked(uri, seconds):
        sync(results, uri)
    assert time.monotonic() - begin > seconds - 1.0
    assert set(by_uid(uri)) == {"homework/xor", *records_of(results)}
    tally(f"database locked for {seconds:.0f} s by another process: more than a delay", 1, 0)


@pytest.mark.faults
@pytest.mark.takes(60.0)
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="Linux alone says who holds a lock")
def test_a_database_that_stays_locked_is_named_with_its_holder(results: Path, uri: str, tally: Tally) -> None:
    path = Path(uri.removeprefix("sqlite:///"))
    with locked(uri, 300.0) as number:
        name = Path(f"/proc/{number}/comm").read_text().strip()
        with pytest.raises(TrackingError) as caught:
            sync(results, uri)
    assert str(caught.value) == (
        f"{path}: locked by {name} (process {number}) for more than a minute; the logs have every run, `sync` goes on"
        " once it can"
    )
    sync(results, uri)
    assert set(by_uid(uri)) == {"homework/xor", *records_of(results)}
    tally("database locked for longer than a minute: its holder is not named, or runs are lost", 1, 0)


def test_times_are_the_trials_own(uri: str, tmp_path: Path) -> None:
    study = build.finished_study(n_trials=1, n_certificate=20)
    started = time.time() - 1000.0
    study.records["search"] = [build.record(np.random.default_rng(0), number=0, started_at_s=started, duration_s=2.0)]
    build.write_study(study, tmp_path / "results" / "homework")
    sync(tmp_path / "results", uri)
    info = by_uid(uri)["homework/xor:search:0"].info
    assert (info.start_time, info.end_time) == (int(1000 * started), int(1000 * started) + 2000)
