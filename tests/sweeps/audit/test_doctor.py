"""The doctor says of each thing that it is well, or what would do, and changes nothing."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import record_builders as build

from sweeps.audit import doctor
from sweeps.audit.doctor import examine
from sweeps.commands.main import main
from sweeps.store.log import SweepLock
from sweeps.tracking.database import sqlite_uri


@pytest.fixture
def results(tmp_path: Path) -> Path:
    build.write_study(build.finished_study(n_trials=2, n_certificate=4), tmp_path / "results" / "homework")
    return tmp_path / "results"


def lines_of(results: Path, uri: str | None = None) -> list[tuple[str, str | None]]:
    return [(one.text, one.remedy) for one in examine(results, uri)]


def test_a_machine_that_is_ready_needs_nothing(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(results.parent.rglob("*"))
    assert main(["doctor", "--results", str(results), "--tracking-uri", f"sqlite:///{results.parent}/m.db"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok   ") for line in lines)
    assert "ok   locks: 1 of 1 sweeps free" in lines
    assert f"ok   MLflow {results.parent}/m.db: not there yet; the first run makes it" in lines
    assert sorted(results.parent.rglob("*")) == before
    assert ("locks: 0 of 0 sweeps free", None) in lines_of(results.parent / "nothing" / "yet")


def test_what_is_not_as_it_should_be_has_a_remedy(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results / "homework"
    (folder / "lock").write_text("process 7 on host since 2026-01-01\n")
    database = results.parent / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT, status TEXT, lifecycle_stage TEXT)")
        connection.execute("CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT)")
        connection.execute("INSERT INTO runs VALUES ('a', 'RUNNING', 'active'), ('b', 'RUNNING', 'active')")
        connection.execute("INSERT INTO tags VALUES ('a', 'sweep.study', 'x'), ('b', 'other', 'x')")
    connection.close()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**8))
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no-such-library"))
    found = dict(lines_of(results, sqlite_uri(database)))
    assert found[f"{folder}: names process 7 on host since 2026-01-01, which is gone"] == (
        "its driver was killed: `python -m sweeps resume homework` goes on"
    )
    assert found[f"MLflow {database}: 1 runs of ours are RUNNING"] == (
        "of a sweep at work, or half-written: when none is at work, `python -m sweeps sync` ends them"
    )
    assert found["disk of results: 0.5 GB free"] == "make room: a sweep stops when the disk is full"
    (libraries,) = [text for text in found if text.endswith("; not installed: no-such-library")]
    assert found[libraries] == "install the project again: pip install -e ."
    database.write_bytes(b"no database")
    assert main(["doctor", "--results", str(results), "--tracking-uri", f"sqlite:///{database}"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert f"look MLflow {database}: cannot be read (file is not a database)" in lines
    assert "     move it away, then `python -m sweeps sync` makes it again" in lines


def test_a_folder_that_cannot_be_written_and_a_sweep_at_work_are_named(results: Path) -> None:
    with SweepLock(results / "homework"):
        assert any(
            text.startswith(f"{results}/homework: held by process ") and remedy is None
            for text, remedy in lines_of(results)
        )
    place = results / "homework" / "xor" / "log.jsonl"
    assert (f"results folder {place}/more: {place} cannot be written", "use another --results") in lines_of(
        place / "more"
    )


def test_the_compile_cache_is_the_one_that_compiled_code_is_kept_in(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[tuple[str, str | None]]:
        return [line for line in lines_of(results) if line[0].startswith("compile cache")]

    asked, no_place, home = tmp_path / "asked", tmp_path / "file", tmp_path / "home"
    no_place.touch()
    home.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(asked))
    assert told() == [(f"compile cache {asked}: empty, the first run fills it", None)]
    (asked / "loop_1").mkdir()
    (asked / "loop_1" / "loop.run.nbi").touch()
    assert told() == [(f"compile cache {asked}: 1 compiled functions", None)]
    # A read-only installation: in the user's own cache.
    monkeypatch.setattr(doctor, "FOLDERS", (tmp_path, no_place))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    assert told() == [(f"compile cache {home}/.cache/rangesweep: empty, the first run fills it", None)]
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(no_place / "c"))
    assert told() == [(f"compile cache {home}/.cache/rangesweep: empty, the first run fills it", remedy)]
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr(tempfile, "tempdir", str(no_place))
    assert told() == [("compile cache: nowhere; the training loop is compiled again in every process", remedy)]
