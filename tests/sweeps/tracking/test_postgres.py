"""An MLflow server on PostgreSQL: restarts, kills, lost replies and a wiped database cost time, not runs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from faulty_proxy import hang_up, proxy
from postgres import MlflowServer, Postgres
from tiny import tiny_table

from analysis.records.reading import read_sweep
from sweeps.audit.runs import check_runs
from sweeps.spec.sweep import parse_spec
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync
from sweeps.tracking.run_contents import record_uid, study_uid

pytest.importorskip("psycopg2")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]

ROOT = Path(__file__).resolve().parents[3]
LOST = 0.04
"""Share of replies that are lost after the server has done what was asked."""
LONGEST_S = 240.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    cluster = Postgres()
    yield cluster
    cluster.close()


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(postgres.uri, tmp_path / "artifacts")
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


@contextmanager
def lossy(port: int, seed: int) -> Iterator[tuple[str, Counter[str]]]:
    """Forward requests to the server, and lose some of its replies once it has done the work."""
    rng, lost = random.Random(seed), Counter[str]()

    def lose(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        if rng.random() >= LOST:
            return False
        lost[handler.path.rpartition("/")[2].partition("?")[0]] += 1
        return hang_up(handler, content)

    with proxy(port, lose) as uri:
        yield uri, lost


def write_spec(folder: Path, name: str, n_trials: int, n_replicas: int, max_epochs: int) -> Path:
    """Write a sweep of one dataset, long enough for something to happen meanwhile."""
    table = tiny_table()
    table["name"], table["datasets"] = name, table["datasets"][:1]
    table["search"] |= {"n_trials": n_trials, "n_replicas": n_replicas}
    table["epochs"] |= {"max_epochs": max_epochs, "grid": [1, max_epochs], "stop_from": max_epochs}
    path = folder / f"{name}.toml"
    path.write_text(as_toml(parse_spec(table, path.name)), encoding="utf-8")
    return path


def start(spec: Path, uri: str, results: str = "results") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sweeps",
            "run",
            spec.name,
            "--tracking-uri",
            uri,
            "--results",
            results,
            "--workers",
            "2",
        ],
        cwd=spec.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def n_finished(log: Path) -> int:
    return log.read_bytes().count(b'"kind":"finished"') if log.is_file() else 0


def wait_for_trials(log: Path, driver: subprocess.Popen[bytes]) -> None:
    """Wait for three more trials of a search that is under way."""
    n = n_finished(log) + 3
    wait_for(lambda: n_finished(log) >= n or driver.poll() is not None)
    assert driver.poll() is None


@contextmanager
def paused(driver: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a driver, and its trials, for a while; its writer goes on."""
    os.kill(driver.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(driver.pid, signal.SIGCONT)


def n_runs(client: MlflowClient, sweep: str) -> int:
    experiment = client.get_experiment_by_name(sweep)
    return 0 if experiment is None else len(client.search_runs([experiment.experiment_id]))


def sync_until_done(results: Path, uri: str) -> int:
    """Call `sync` until it succeeds; any error but a message for the user ends the test. Return its runs."""
    messages: list[str] = []
    for _ in range(60):
        _artifact_repos_cache.clear()  # each `sync` is a process of its own: no address is remembered
        try:
            return sync(results, uri).n_written
        except TrackingError as error:
            messages.append(str(error))
    raise AssertionError(messages)


def expect_one_to_one(folder: Path, uri: str) -> int:
    """Expect one finished run for each record and one parent, all the log's numbers in them; return how many."""
    uids = Counter[str]()
    for study in read_sweep(folder):
        uids.update([study_uid(study.header), *(record_uid(record) for record in study.all_records())])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(run.data.tags["sweep.uid"] for run in runs) == uids
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert check_runs(folder, uri).findings == []
    return len(runs)


@pytest.mark.faults
@pytest.mark.takes(90.0)
def test_restarts_kills_and_lost_replies_in_mid_sweep(
    postgres: Postgres, server: MlflowServer, tmp_path: Path, tally: Tally
) -> None:
    spec = write_spec(tmp_path, "restarts", n_trials=60, n_replicas=32, max_epochs=1000)
    assert start(spec, "none", "undisturbed").wait(LONGEST_S) == 0
    log = tmp_path / "results" / "restarts" / "gauss" / "log.jsonl"
    direct = f"http://127.0.0.1:{server.port}"
    client = MlflowClient(direct)
    with lossy(server.port, seed=5) as (uri, lost):
        driver = start(spec, uri)
        wait_for(lambda: n_finished(log) >= 3)
        with paused(driver):  # however late the writer begins on a busy machine, trials are left
            wait_for(lambda: n_runs(client, "restarts") >= 3)
            postgres.crash()
        wait_for_trials(log, driver)  # they do not wait for the database
        postgres.start()
        wait_for_trials(log, driver)
        server.kill()
        wait_for_trials(log, driver)
        server.start()
        assert driver.wait(LONGEST_S) == 0
        sync_until_done(tmp_path / "results", uri)
    assert sum(lost.values()) > 0
    folder = tmp_path / "results" / "restarts"
    sync_until_done(tmp_path / "results", direct)
    expect_one_to_one(folder, direct)
    assert digest(folder) == digest(tmp_path / "undisturbed" / "restarts")
    import_sweeps(direct, tmp_path / "imported", sweep="restarts")
    assert digest(tmp_path / "imported" / "restarts") == digest(folder)
    what = (
        "MLflow server on PostgreSQL, in mid-sweep both killed and replies lost: runs lost or doubled, another digest"
    )
    tally(what, 2 + sum(lost.values()), 0)


def test_after_a_wiped_database_sync_writes_all_again(postgres: Postgres, server: MlflowServer, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "wiped", n_trials=8, n_replicas=4, max_epochs=20)
    uri = f"http://127.0.0.1:{server.port}"
    assert start(spec, uri).wait(LONGEST_S) == 0
    folder = tmp_path / "results" / "wiped"
    n = expect_one_to_one(folder, uri)
    server.kill()
    postgres.wipe()
    server.start()
    assert sync(tmp_path / "results", uri).n_written == n
    assert expect_one_to_one(folder, uri) == n
    assert sync(tmp_path / "results", uri).n_written == 0
    import_sweeps(uri, tmp_path / "imported", sweep="wiped")
    assert digest(tmp_path / "imported" / "wiped") == digest(folder)
