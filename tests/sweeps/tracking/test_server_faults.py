"""A tracking server that fails, lies or never answers costs time, not runs: in the end they are one to one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import record_builders as build
from faulty_proxy import FAULTS, answer, hang_up, proxy

from analysis.records.reading import read_sweep
from sweeps.audit.runs import check_runs
from sweeps.store.log import digest
from sweeps.tracking.database import fold_write_ahead, open_client, sqlite_uri
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync
from sweeps.tracking.run_contents import record_uid
from sweeps.tracking.ui import free_port, server_command, server_environment
from sweeps.tracking.writer_process import TrackingProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated database: making one takes seconds, copying it nothing."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    open_client(sqlite_uri(path))
    fold_write_ahead(sqlite_uri(path))
    return path


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return sqlite_uri(tmp_path / "mlflow.db")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    """Start a tracking server as the UI does, artifacts through it, and return its port."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = sqlite_uri(folder / "mlflow.db")
    port = free_port("127.0.0.1", 5500)
    command = [*server_command(uri, "127.0.0.1", port), "--artifacts-destination", (folder / "artifacts").as_uri()]
    command[command.index("--allowed-hosts") + 1] = "*"
    process = subprocess.Popen(
        command, env={**os.environ, **server_environment()}, start_new_session=True, stdout=-3, stderr=-3
    )
    deadline = time.monotonic() + 90.0
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)  # the server has no other way to say that it listens
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.fixture
def results(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write a study of a sweep of its own name, so that one server serves all tests."""
    sweep = "s" + "".join(c for c in request.node.name if c.isalnum())[-50:]
    study = build.finished_study(n_trials=3, n_certificate=20, sweep=sweep)
    build.write_study(study, tmp_path / "results" / sweep)
    return tmp_path / "results"


def audit(results: Path, port: int) -> None:
    """Expect one finished run for each record and one parent, whatever has been tried before."""
    (folder,) = results.iterdir()
    studies = read_sweep(folder)
    client = MlflowClient(f"http://127.0.0.1:{port}")
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    uids = {record_uid(record) for study in studies for records in study.records.values() for record in records}
    assert Counter(run.data.tags["sweep.uid"] for run in runs) == Counter({*uids, f"{folder.name}/xor"})
    assert {run.info.status for run in runs} == {"FINISHED"}
    import_sweeps(f"http://127.0.0.1:{port}", results.parent / "imported", sweep=folder.name)
    assert digest(results.parent / "imported" / folder.name) == digest(folder)


def sync_until_done(results: Path, uri: str) -> None:
    """Call `sync` until it succeeds; any error but a message for the user ends the test."""
    messages = []
    while len(messages) < 200:
        _artifact_repos_cache.clear()  # each `sync` is a process of its own: nothing that was a lie is remembered
        try:
            sync(results, uri)
            break
        except TrackingError as error:
            messages.append(str(error))
    assert len(messages) < 200
    assert not [message for message in messages if "\n" in message]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


QUESTIONS = (
    "experiments/search",
    "experiments/get-by-name",
    "experiments/create",
    "runs/search",
    "runs/get",
    "runs/create",
)
STEP = 15
"""Of a fault of a kind the places are so many requests apart; each kind has others."""
QUICK = ("lost reply", "503 page", "200 page", "half JSON")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.faults) for name in FAULTS]
)
def test_random_faults_end_one_to_one(server: int, results: Path, name: str, tally: Tally) -> None:
    rng = random.Random(name)
    n_faults = [0]

    def sometimes(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        if rng.random() < 0.9:
            return False
        n_faults[0] += 1
        return FAULTS[name](handler, content)

    with proxy(server, sometimes) as uri:
        sync_until_done(results, uri)
    assert n_faults[0] > 0
    audit(results, server)
    tally(f"one in ten of a tracking server's replies a fault of {len(FAULTS)} kinds: not one to one", n_faults[0], 0)


@pytest.mark.faults
@pytest.mark.parametrize("name", FAULTS)
def test_any_request_may_meet_a_fault(server: int, results: Path, name: str, tally: Tally) -> None:
    n_syncs = 0
    n_requests, at = [0], random.Random(name).randrange(1, STEP + 1)

    def once(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        n_requests[0] += 1
        return n_requests[0] == at and FAULTS[name](handler, content)

    (folder,) = results.iterdir()
    client = MlflowClient(f"http://127.0.0.1:{server}")
    with proxy(server, once) as uri:
        n_requests[0] = at
        while n_requests[0] >= at:
            n_requests[0], at, n_syncs = 0, at + STEP, n_syncs + 1
            sync_until_done(results, uri)
            audit(results, server)
            # Runs that are deleted while they are RUNNING are those that were never whole: all is written anew.
            for run in client.search_runs([client.get_experiment_by_name(folder.name).experiment_id]):
                client.update_run(run.info.run_id, status="RUNNING")
                client.delete_run(run.info.run_id)
            shutil.rmtree(results.parent / "imported", ignore_errors=True)
    assert at > 40
    tally(
        f"a request to a tracking server meets one fault, of {len(FAULTS)} kinds, at places all over: not one to one",
        n_syncs,
        0,
    )


def test_every_lost_reply_to_a_new_run_leaves_no_duplicate(
    server: int, results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lost = Counter[str]()

    def lose(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        if not handler.path.endswith(("runs/create", "experiments/create")):
            return False
        lost["all"] += 1
        return lost["all"] % 2 == 1 and hang_up(handler, content)

    with proxy(server, lose) as uri:
        sync_until_done(results, uri)
    assert lost["all"] >= 2 * (1 + 6)  # parent and runs; the experiment may be there from a test before
    audit(results, server)
    assert capfd.readouterr().out == ""  # MLflow likes to print addresses


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_answer_makes_no_run_twice_and_puts_no_file_elsewhere(
    server: int, results: Path, tmp_path: Path, question: str
) -> None:
    """The first sync meets it in whatever it asks first of that kind; so does the second one, which finds all there."""
    n_asked = [0]

    def once(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        if not urlsplit(handler.path).path.endswith(question):
            return False
        n_asked[0] += 1
        return n_asked[0] == 1 and answer(handler, 200, b"{}", "application/json")

    with proxy(server, once) as uri:
        sync_until_done(results, uri)
        assert n_asked[0] > 1 or question in ("experiments/create", "experiments/get-by-name")
        n_asked[0] = 0
        sync_until_done(results, uri)
    audit(results, server)
    (folder,) = results.iterdir()
    assert check_runs(folder, f"http://127.0.0.1:{server}").findings == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imported", "results"]


@pytest.mark.parametrize("question", ["experiments/search", "runs/search"])
def test_the_audit_sees_a_second_run_behind_an_empty_answer(server: int, results: Path, question: str) -> None:
    (folder,) = results.iterdir()
    sync(results, f"http://127.0.0.1:{server}")
    client = MlflowClient(f"http://127.0.0.1:{server}")
    experiment = client.get_experiment_by_name(folder.name).experiment_id
    uid = f"{folder.name}/xor:search:1"
    (run,) = client.search_runs([experiment], f"tags.`sweep.uid` = '{uid}'")
    second = client.create_run(experiment, start_time=run.info.start_time + 1, tags=run.data.tags).info.run_id
    client.set_terminated(second, "FINISHED")
    n_asked = [0]

    def once(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        n_asked[0] += urlsplit(handler.path).path.endswith(question)
        return n_asked[0] == 1 and answer(handler, 200, b"{}", "application/json")

    with proxy(server, once) as uri:
        found = [finding.text for finding in check_runs(folder, uri).findings]
    log = folder / "xor" / "log.jsonl"
    assert found == [f"{log}: {uid}: run {second} is one of 2; expected 1; `audit --repair` deletes it"]


def test_the_audit_believes_no_history_that_is_empty_once(server: int, results: Path) -> None:
    (folder,) = results.iterdir()
    sync(results, f"http://127.0.0.1:{server}")
    n_asked = [0]

    def once(handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        n_asked[0] += urlsplit(handler.path).path.endswith("metrics/get-history")
        return n_asked[0] == 1 and answer(handler, 200, b"{}", "application/json")

    with proxy(server, once) as uri:
        assert check_runs(folder, uri).findings == []
    assert n_asked[0] > 1


def test_a_server_that_answers_every_question_with_nothing_is_told_in_one_line(server: int, results: Path) -> None:
    (folder,) = results.iterdir()
    told = (
        "MLflow names no experiment, not even the one called Default; if there is none, make one"
        " (`mlflow experiments create -n NAME`)"
    )
    with proxy(server, FAULTS["empty JSON"]) as uri:
        with pytest.raises(TrackingError) as caught:
            check_runs(folder, uri)
        assert str(caught.value) == told
        with pytest.raises(TrackingError) as caught:
            sync(results, uri)
    assert str(caught.value) == (
        f"MLflow's answer about experiment {folder.name} is empty; the logs have every run, `sync` goes on once it can"
    )


def test_a_redirect_to_another_host_is_not_followed(server: int, results: Path) -> None:
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen()
        elsewhere.setblocking(False)
        place = f"http://localhost:{elsewhere.getsockname()[1]}/"
        for status in (301, 302, 307, 308):

            def redirect(handler: BaseHTTPRequestHandler, _: bytes, status: int = status) -> bool:
                return answer(handler, status, b"", "text/html", Location=place)

            with proxy(server, redirect) as uri, pytest.raises(TrackingError):
                sync(results, uri)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@contextmanager
def black_hole() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.faults
def test_a_server_that_never_answers_ends_in_a_message(
    results: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with black_hole() as uri:
        with pytest.raises(TrackingError):
            sync(results, uri)
        result = TrackingProcess(next(results.iterdir()), uri).finish()
    assert result.n_waiting == 6
    assert result.problem is not None
    tally("tracking server that never answers: the writer's message does not come", 1, 0)


@pytest.mark.faults
def test_sync_gives_up_a_black_hole_within_thirty_seconds_and_says_how_to_go_on(
    results: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER", "TIMEOUT"):  # as a user has them
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
    begin = time.monotonic()
    with black_hole() as uri, pytest.raises(TrackingError) as caught:
        sync(results, uri)
    took_s = time.monotonic() - begin
    tally(f"`sync` to a server that never answers, given up after {took_s:.0f} s (goal: 30)", 1, took_s >= 30.0)
    assert took_s < 30.0
    assert str(caught.value).endswith("; the logs have every run, `sync` goes on once it can")


def test_sync_gives_up_a_server_that_drips(server: int, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracking.projection.LONGEST_SILENCE_S", 2.0)
    let_go = threading.Event()

    def drip(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n")
        while not let_go.wait(0.2):
            handler.wfile.write(b" ")
        return hang_up(handler, content)

    with proxy(server, drip) as uri:
        with pytest.raises(TrackingError) as caught:
            sync(results, uri)
        let_go.set()
        for thread in threading.enumerate():
            if thread.name == "sync":
                thread.join()
    assert str(caught.value) == (
        f"{uri}: has not got on for 2 seconds, with 0 runs written; the logs have them all, and `sync` goes on from"
        " there once the server answers"
    )


@pytest.mark.faults
def test_a_server_that_drips_is_given_up(
    server: int, results: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.setattr("sweeps.tracking.writer_process.LONGEST_SILENCE_S", 12.0)

    def drip(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n")
        for _ in range(400):
            handler.wfile.write(b" ")
            time.sleep(1.0)
        return True

    with proxy(server, drip) as uri:
        writer = TrackingProcess(next(results.iterdir()), uri)
        result = writer.finish()
    assert result.problem == "MLflow has not got on for 12 seconds"
    assert writer._process.poll() is not None
    sync(results, f"http://127.0.0.1:{server}")
    audit(results, server)
    tally("tracking server that sends a byte a second: the writer does not end, or runs are lost", 1, 0)


def test_a_server_that_is_back_gets_what_it_missed(server: int, results: Path) -> None:
    (folder,) = results.iterdir()
    path = folder / "xor" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    down = threading.Event()

    def refuse(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        return down.is_set() and hang_up(handler, content)

    with proxy(server, refuse) as uri:
        down.set()
        writer = TrackingProcess(folder, uri)
        with path.open("ab") as stream:
            stream.writelines(lines[3:])
        down.clear()
        result = writer.finish()
    assert (result.n_waiting, result.problem) == (0, None)
    audit(results, server)


def test_a_database_deleted_under_the_writer_is_named_and_made_again(
    tmp_path: Path, results: Path, uri: str, empty_database: Path
) -> None:
    (folder,) = results.iterdir()
    path = folder / "xor" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    writer = TrackingProcess(folder, uri)
    runs = sqlite3.connect(tmp_path / "mlflow.db")
    deadline = time.monotonic() + 60.0
    while not runs.execute("SELECT count(*) FROM runs").fetchone()[0] and time.monotonic() < deadline:
        time.sleep(0.1)  # until it has written
    runs.close()
    (tmp_path / "mlflow.db").unlink()
    with path.open("ab") as stream:
        stream.writelines(lines[3:])
    result = writer.finish()
    assert result.n_waiting is None
    assert result.problem == f"{tmp_path}/mlflow.db: deleted or replaced while runs were written to it"
    n_runs = 1 + sum(len(records) for records in read_sweep(folder)[0].records.values())
    shutil.copy(empty_database, tmp_path / "other.db")
    assert sync(results, sqlite_uri(tmp_path / "other.db")).n_written == n_runs


@pytest.mark.faults
def test_a_locked_database_only_delays(tmp_path: Path, results: Path, uri: str, tally: Tally) -> None:
    hold_lock(tmp_path, results, uri, 10.0)
    tally("database locked for 10 s by a writer: more than a delay", 1, 0)


def test_a_database_locked_for_a_moment_only_delays(tmp_path: Path, results: Path, uri: str) -> None:
    hold_lock(tmp_path, results, uri, 1.0)


def hold_lock(tmp_path: Path, results: Path, uri: str, hold_s: float) -> None:
    """Let another connection hold the database while runs are written; expect all of them."""
    holder = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(hold_s, holder.execute, ("COMMIT",))
    release.start()
    assert sync(results, uri).n_written == 7
    release.join()
    holder.close()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 10))])
def test_a_corrupt_database_is_one_line_or_does_no_harm(
    tmp_path: Path, results: Path, uri: str, seed: int, tally: Tally
) -> None:
    sync(results, uri)
    content, rng = (tmp_path / "mlflow.db").read_bytes(), random.Random(seed)
    (folder,) = results.iterdir()
    for i in range(8):
        shutil.rmtree(tmp_path / "imported", ignore_errors=True)
        damaged = bytearray(content)
        at = rng.randrange(0, len(content), 4096)
        if i % 2:
            damaged[at : at + 4096] = bytes(4096)
        else:
            damaged[at:] = b""
        path = tmp_path / f"{i}.db"
        path.write_bytes(damaged)
        try:
            import_sweeps(sqlite_uri(path), tmp_path / "imported")
        except TrackingError:
            continue
        assert digest(tmp_path / "imported" / folder.name) == digest(folder)
    tally("database cut off, or a page of it zeroed, then imported: a traceback or other records", 8, 0)
