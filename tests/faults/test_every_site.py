"""Whatever a sweep or its writer of runs asks of the disk may be refused once: it says so and loses nothing."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small import small_spec
from tally import many

from analysis.records.reading import read_study
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.audit.runs import check_runs
from sweeps.run.study import run_sweep
from sweeps.store.log import LOG_NAME, StudyLog, digest, mend_end
from sweeps.tracking.database import fold_write_ahead, open_client, sqlite_uri
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
    from sqlalchemy.engine.default import DefaultDialect
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]
SPEC = small_spec()
CODES = (errno.EIO, errno.ENOSPC)
COMMIT = "commit"
SITES = ("open", "replace", "mkdir", "unlink")
"""What names a file, beside the writes and flushes of `tests/sweeps/store/test_storage_faults.py`."""


class Fault:
    """Refuses the `at`-th call of a kind that is about files below a folder; with 0 it counts them."""

    def __init__(self, root: Path, at: int, code: int) -> None:
        self._root, self._at, self._code = os.path.realpath(root), at, code
        self.n_calls = 0

    def refuse(self, place: Any, error: Callable[[str], Exception] | None = None) -> None:
        """Count a call; raise at the one that fails."""
        if place is not None and not os.path.realpath(os.fspath(place)).startswith(self._root):
            return
        self.n_calls += 1
        if self.n_calls == self._at:
            text = os.strerror(self._code)
            raise OSError(self._code, text, str(place)) if error is None else error(text)


@contextmanager
def failing(site: str, fault: Fault) -> Iterator[None]:
    """Put a fault into a function that reaches the disk."""
    with pytest.MonkeyPatch.context() as patch:
        if site == COMMIT:
            commit = DefaultDialect.do_commit

            def do_commit(dialect: Any, connection: Any) -> None:
                fault.refuse(None, sqlite3.OperationalError)
                commit(dialect, connection)

            patch.setattr(DefaultDialect, "do_commit", do_commit)
        elif site == "open":
            plain_open = io.open

            def opening(place: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
                if set(mode) & set("wax+") and isinstance(place, str | os.PathLike):
                    fault.refuse(place)
                return plain_open(place, mode, *rest, **options)

            patch.setattr(io, "open", opening)
        else:
            plain = getattr(os, site)

            def call(place: Any, *rest: Any, **options: Any) -> Any:
                if options.get("dir_fd") is None and isinstance(place, str | os.PathLike):
                    fault.refuse(place)
                return plain(place, *rest, **options)

            patch.setattr(os, site, call)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole")
    run_sweep(SPEC, results, workers=1)
    return results / "tiny"


@pytest.mark.parametrize(
    ("site", "n"), [("replace", 1), *(pytest.param(site, 0, marks=pytest.mark.faults) for site in SITES)]
)
def test_every_file_that_a_sweep_names_may_be_refused(
    whole: Path, tmp_path: Path, site: str, n: int, tally: Tally
) -> None:
    counting = Fault(tmp_path, 0, errno.EIO)
    with failing(site, counting):
        run_sweep(SPEC, tmp_path / "counted", workers=1)
    places = [(at, code) for at in range(1, counting.n_calls + 1) for code in CODES]
    chosen = random.Random(site).sample(places, min(n or many(len(places)), len(places)))
    found = list[str]()
    for at, code in sorted(chosen):
        results = tmp_path / f"{at}-{errno.errorcode[code]}"
        with failing(site, Fault(tmp_path, at, code)):
            try:
                run_sweep(SPEC, results, workers=1)
            except OSError as error:
                found += [] if error.errno == code and error.filename else [f"{results.name}: {error}"]
        run_sweep(SPEC, results, workers=1)
        folder = results / "tiny"
        found += [f"{results.name}: {finding}" for finding in (*check_records(folder), *check_leftovers(folder))]
        found += [] if digest(folder) == digest(whole) else [f"{results.name}: another digest"]
        shutil.rmtree(results)
    tally(f"EIO and ENOSPC from each `{site}` of a sweep in turn, then resumed", len(chosen), len(found))
    assert found == []
    assert counting.n_calls > 0


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    open_client(sqlite_uri(path))
    fold_write_ahead(sqlite_uri(path))
    return path


@pytest.mark.parametrize(
    ("site", "n"),
    [
        (COMMIT, 1),
        *(pytest.param(site, many(20), marks=pytest.mark.faults) for site in (COMMIT, "open", "replace", "mkdir")),
    ],
)
def test_whatever_the_writer_of_runs_asks_of_the_disk_may_be_refused(
    whole: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str, n: int, tally: Tally
) -> None:
    def fresh(name: str) -> tuple[Path, str]:
        folder = tmp_path / name
        shutil.copytree(whole, folder / "results" / "tiny")
        if site != "replace":  # which moves a database into its place
            shutil.copy(empty_database, folder / "mlflow.db")
        monkeypatch.chdir(folder)
        return folder / "results", sqlite_uri(folder / "mlflow.db")

    counting = Fault(tmp_path, 0, errno.EIO)
    results, uri = fresh("counted")
    with failing(site, counting):
        sync(results, uri)
    assert counting.n_calls > 0
    places = [(at, code) for at in range(1, counting.n_calls + 1) for code in CODES]
    chosen = random.Random(site).sample(places, min(n, len(places)))
    found = list[str]()
    for at, code in sorted(chosen):
        name = f"{at}-{errno.errorcode[code]}"
        results, uri = fresh(name)
        with failing(site, Fault(tmp_path, at, code)):
            try:
                sync(results, uri)
            except TrackingError as error:
                found += [f"{name}: {error}"] if "\n" in str(error) else []
            except OSError as error:  # which the command line tells in one line, too
                found += [] if error.errno == code and error.filename else [f"{name}: {error}"]
        sync(results, uri)
        found += [f"{name}: {finding}" for finding in check_runs(results / "tiny", uri).findings]
        found += [] if digest(results / "tiny") == digest(whole) else [f"{name}: another digest"]
        found += [f"{name}: {path}" for path in (tmp_path / name).rglob(".*") if path.suffix in (".tmp", ".part")]
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(tmp_path / name)
    tally(f"EIO and ENOSPC from `{site}`s of the writer of runs, then `sync` again", len(chosen), len(found))
    assert found == []


@pytest.mark.parametrize("step", [499, pytest.param(1, marks=pytest.mark.faults)])
def test_a_log_that_ends_at_any_byte_has_its_whole_lines(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, tally: Tally
) -> None:
    """All the places of a log's first lines at which it may end; the last lines are `test_power.py`'s."""
    content = (whole / "gauss" / LOG_NAME).read_bytes()
    header = read_study(whole / "gauss" / LOG_NAME).header
    lines = content.splitlines(keepends=True)
    path = tmp_path / "gauss" / LOG_NAME
    path.parent.mkdir()
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of them would take minutes
    short = b"".join(lines[:6])
    cuts = range(0, len(short) + 1, step)
    failed = list[int]()
    for cut in cuts:
        path.write_bytes(short[:cut])
        mend_end(path)
        StudyLog(path, header).close()
        n_whole = sum(end - 1 <= cut for end in _ends(lines[:6]))  # a line that lacks only its end gets it
        expected = b"".join(lines[: max(n_whole, 1)])  # without any, the log is begun anew
        failed += [] if path.read_bytes() == expected else [cut]
    tally("log cut off behind any byte of its first six lines: other than its whole lines", len(cuts), len(failed))
    assert failed == []
    assert len(cuts) > 10


def _ends(lines: list[bytes]) -> list[int]:
    return [sum(map(len, lines[: i + 1])) for i in range(len(lines))]
