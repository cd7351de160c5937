"""MLflow's database is there whole or not at all, wherever the process that makes it is killed."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tally import many

from sweeps.tracking.database import open_client, sqlite_uri
from sweeps.tracking.errors import TrackingError

pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]
CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, forked for every kill.
CONTEXT.set_forkserver_preload(["sweeps.tracking.database", "mlflow.store.tracking.sqlalchemy_store"])


def kill_while(target: Callable[..., Any], arguments: tuple[Any, ...], after_s: float, started: Path) -> bool:
    """Kill a process some time after it has begun to write; return whether it was still at work."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    while process.is_alive() and not list(started.iterdir()):
        time.sleep(0.005)
    process.join(after_s)
    was_at_work = process.is_alive()
    process.kill()
    process.join()
    process.close()
    return was_at_work


def time_of(target: Callable[..., Any], arguments: tuple[Any, ...], started: Path) -> float:
    """Return how long a process takes from its first write to its end: kills are dealt over that, on any machine."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    while process.is_alive() and not list(started.iterdir()):
        time.sleep(0.005)
    start = time.monotonic()
    process.join()
    process.close()
    return time.monotonic() - start


def is_whole(path: Path) -> bool:
    """Return whether a database is whole: MLflow's last step is an experiment called Default."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]


@pytest.mark.parametrize("n", [3, pytest.param(many(30), marks=pytest.mark.faults)])
def test_a_database_is_there_whole_or_not_at_all(tmp_path: Path, n: int, tally: Tally) -> None:
    rng, n_killed, n_half = random.Random(n), 0, 0
    path = tmp_path / "timed" / "mlflow.db"
    path.parent.mkdir()
    whole_s = time_of(open_client, (sqlite_uri(path),), path.parent)
    for i in range(n):
        path = tmp_path / str(i) / "mlflow.db"
        path.parent.mkdir()
        n_killed += kill_while(open_client, (sqlite_uri(path),), rng.uniform(0.0, 0.7) * whole_s, path.parent)
        n_half += path.exists() and not is_whole(path)
    tally("`kill -9` of the process that makes MLflow's database: half a database", n_killed, n_half)
    assert n_half == 0
    assert n_killed > n / 2
    # Whatever the last kill has left does not stop the next process, which leaves nothing but the database.
    open_client(sqlite_uri(path))
    assert is_whole(path)
    assert {file.name for file in path.parent.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}


@pytest.mark.parametrize("n", [2, pytest.param(many(25), marks=pytest.mark.faults)])
def test_one_that_mlflow_itself_has_left_half_made_is_replaced(tmp_path: Path, n: int, tally: Tally) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    rng, n_replaced, n_killed, n_half = random.Random(n), 0, 0, 0
    path = tmp_path / "timed" / "mlflow.db"
    path.parent.mkdir()
    whole_s = time_of(SqlAlchemyStore, (sqlite_uri(path), str(path.parent)), path.parent)
    for i in range(n):
        path = tmp_path / str(i) / "mlflow.db"
        path.parent.mkdir()
        uri = sqlite_uri(path)
        if kill_while(SqlAlchemyStore, (uri, str(path.parent)), rng.uniform(0.2, 0.7) * whole_s, path.parent):
            open_client(uri)
            n_killed += 1
            n_replaced += path.with_name("mlflow.db.half-made").exists()
            n_half += not is_whole(path)
    tally("`kill -9` of MLflow itself while it makes its database, which is then opened", n_killed, n_half)
    assert n_half == 0
    assert n_replaced > 0


def test_an_empty_file_is_taken_for_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    open_client(sqlite_uri(tmp_path / "mlflow.db"))
    assert is_whole(tmp_path / "mlflow.db")


@pytest.mark.parametrize("table", ["notes (text TEXT)", "experiments (name TEXT)"])
def test_another_programs_database_is_never_touched(tmp_path: Path, table: str) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {table}")
        connection.execute(f"INSERT INTO {table.split()[0]} VALUES ('precious')")
    before = path.read_bytes()
    with pytest.raises(TrackingError) as caught:
        open_client(sqlite_uri(path))
    assert str(caught.value) == f"{path}: another program's database; give another --tracking-uri"
    assert path.read_bytes() == before


def test_a_full_disk_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("sweeps.tracking.database._make_database", fill)
    uri = sqlite_uri(tmp_path / "mlflow.db")
    with pytest.raises(TrackingError) as caught:
        open_client(uri)
    assert str(caught.value) == f"{uri}: disk full; make room and try again (what the logs hold is safe)"
