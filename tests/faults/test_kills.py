"""A sweep that is killed anywhere, any number of times, ends as one that was not: nothing lost, doubled or altered."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fork_server import COUNT_NAME, ROOT, ForkServer
from small import small_spec
from tally import many, parts

from sweeps.audit.audit import audit_sweep
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.audit.runs import check_runs
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.database import sqlite_uri
from sweeps.tracking.projection import writer_lock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]
RUN = ("run", "tiny.toml")
WHOM = ("driver", "writer", "both")
TAKES_S = 60.0
"""What a part of a long test takes of a core, about: several processes share them."""


@pytest.fixture(scope="module")
def small_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("small")
    run_sweep(small_spec(), results, workers=1)
    return digest(results / "tiny")


class Sweep:
    """A folder in which a sweep is killed and resumed, and what was acknowledged in it so far."""

    def __init__(self, folder: Path, spec: SweepSpec) -> None:
        folder.mkdir()
        self.folder = folder
        self.acknowledged: dict[str, bytes] = {}
        (folder / "tiny.toml").write_text(as_toml(spec))

    def acknowledge(self) -> None:
        """Note the whole lines of the logs: from here on they must stay."""
        for path in self.folder.glob("results/tiny/*/log.jsonl"):
            content = path.read_bytes()
            self.acknowledged[path.parent.name] = content[: content.rfind(b"\n") + 1]

    def violations(self, whole: str, thorough: bool) -> list[str]:
        """Return what is not as if nobody had been killed."""
        folder, uri = self.folder / "results" / "tiny", sqlite_uri(self.folder / "mlflow.db")
        if thorough:
            found = [str(finding) for finding in audit_sweep(folder, uri).findings]
        else:  # what does not draw a report and ask samplers anew
            found = [str(finding) for finding in (*check_records(folder), *check_leftovers(folder))]
            found += [str(finding) for finding in check_runs(folder, uri).findings] if self.is_tracked else []
        found += [] if digest(folder) == whole else ["another digest"]
        for name, content in self.acknowledged.items():
            if not (folder / name / "log.jsonl").read_bytes().startswith(content):
                found.append(f"{name}: lines that had been acknowledged are gone")
        output = (self.folder / "output").read_text()
        found += [line for line in output.splitlines() if line.startswith(("Traceback", "python -m sweeps: "))]
        found += [str(path) for path in self.folder.rglob(".*") if path.suffix in (".tmp", ".part")]
        return found

    @property
    def is_tracked(self) -> bool:
        """Whether there is a database."""
        return (self.folder / "mlflow.db").exists()


def finish(
    server: ForkServer, sweep: Sweep, whole: str, *options: str, thorough: bool = True, with_tables: bool = True
) -> list[str]:
    """Run a sweep to its end and return what is wrong with it; a sound one is removed."""
    sweep.acknowledge()
    status = server.run(sweep.folder, *RUN, *options, with_report=thorough, with_tables=with_tables)
    found = [f"exit status {status}"] if status else []
    if thorough:
        with writer_lock(sweep.folder / "results" / "tiny", wait=True):
            pass  # a killed driver's writer goes on for some seconds: its end was waited for
        status = server.run(sweep.folder, "sync", with_tables=with_tables)
        found += [f"exit status {status} of sync"] if status else []
    found += sweep.violations(whole, thorough)
    if not found:
        shutil.rmtree(sweep.folder)
    return [f"{sweep.folder.name}: {text}" for text in found]


def in_parts(n: int, n_parts: int) -> list[Any]:
    """Return the parameters with which a long test tries `n` kills in some calls, each with its number and share."""
    marks = (pytest.mark.faults, pytest.mark.takes(TAKES_S))
    return [pytest.param(i, size, marks=marks) for i, size in enumerate(parts(n, n_parts))]


@pytest.mark.parametrize(("part", "n"), [("push", 3), *in_parts(many(200), 4)])
def test_random_kills_leave_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, part: int | str, n: int, tally: Tally
) -> None:
    """Kills are dealt over the time that a whole run takes: into the database's making, the search, and the report."""
    rng, n_killed, n_sweeps, found = random.Random(f"{part} of random kills"), 0, 0, list[str]()
    start = time.monotonic()
    server.run(Sweep(tmp_path / "timed", small_spec()).folder, *RUN)
    whole_s = time.monotonic() - start
    while n_killed < n:
        sweep, n_sweeps = Sweep(tmp_path / str(n_sweeps), small_spec()), n_sweeps + 1
        for _ in range(min(12, n - n_killed)):
            process = server.start(sweep.folder, *RUN, "--workers", str(rng.randint(1, 2)))
            n_killed += server.kill_after(process, rng.uniform(0.0, 0.4) * whole_s, rng.choice(WHOM))
            server.wait(process)
            sweep.acknowledge()
        found += finish(server, sweep, small_digest)
    what = "`kill -9` of driver, writer or both at random times, 1 and 2 workers, each sweep begun without a database"
    tally(what, n_killed, len(found))
    assert found == []


def is_killed(
    server: ForkServer, sweep: Sweep, role: str, kill_at: int, *options: str, with_tables: bool = True
) -> bool:
    """Run a sweep whose driver or writer dies at one of its steps; return whether it came to that."""
    status = server.run(
        sweep.folder, *RUN, *options, role=role, kill_at=kill_at, with_report=False, with_tables=with_tables
    )
    output = sweep.folder / "output"
    failed = output.read_text().count("its writer failed") if output.exists() else 0
    output.write_text("")
    return status == -9 if role == "driver" else failed == 1


BEFORE_TABLES = 30
"""More steps than a writer takes until a copy of MLflow's tables is in place (8), and by which two counts of its steps
may differ (8: lines that come in together are sent together)."""
NO_TRACKING = ("--tracking-uri", "none")


def steps_of(server: ForkServer, folder: Path, role: str, *options: str, with_tables: bool = True) -> int:
    """Return how many steps of a whole sweep reach the disk."""
    sweep = Sweep(folder, small_spec())
    assert server.run(sweep.folder, *RUN, *options, role=role, with_report=False, with_tables=with_tables) == 0
    return int((sweep.folder / COUNT_NAME).read_text())


def every_step(role: str, n_parts: int) -> list[Any]:
    """Return the parameters with which a long test tries every step of a process: each call every `n_parts`-th."""
    marks = (pytest.mark.faults, pytest.mark.takes(TAKES_S))
    return [(role, 0, 0), *(pytest.param(role, part, n_parts, marks=marks) for part in range(n_parts))]


@pytest.mark.parametrize(("role", "part", "n_parts"), [*every_step("driver", 1), *every_step("writer", 6)])
def test_a_kill_before_every_step_that_reaches_the_disk_leaves_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, role: str, part: int, n_parts: int, tally: Tally
) -> None:
    options = NO_TRACKING if role == "driver" else ()
    n_points = steps_of(server, tmp_path / "counted", role, *options)
    n_tables = n_points - steps_of(server, tmp_path / "copied", role, with_tables=False) if role == "writer" else 0
    steps = random.Random(0).sample(range(1, n_points + 1), many(n_points) if n_parts else 2)
    points = [k for k in steps if k % max(n_parts, 1) == part]
    found, n_killed = list[str](), 0
    for i, k in enumerate(sorted(points)):
        sweep, makes_tables = Sweep(tmp_path / str(k), small_spec()), k <= n_tables + BEFORE_TABLES
        # Behind the steps in which MLflow makes its tables, a database begins as a copy of such tables.
        at = k if makes_tables else k - n_tables
        n_killed += is_killed(server, sweep, role, at, *options, with_tables=makes_tables)
        assert makes_tables or role == "driver" or sweep.is_tracked  # the copy was there before the kill
        thorough = i % 20 == 10
        found += finish(
            server, sweep, small_digest, *(() if thorough else options), thorough=thorough, with_tables=False
        )
    tally(f"kill of the {role} before each of {n_points} writes, flushes, renames and commits", n_killed, len(found))
    assert found == []
    assert n_killed >= 0.9 * len(points)  # a part of a suite that tries little may have none


@pytest.mark.parametrize(("part", "n"), [("push", 1), *in_parts(many(300), 6)])
def test_pairs_of_kills_one_in_the_run_and_one_in_the_resumption_leave_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, part: int | str, n: int, tally: Tally
) -> None:
    """The second one comes early: while what the first has left is put in order."""
    n_steps = {role: steps_of(server, tmp_path / role, role, with_tables=False) for role in ("driver", "writer")}
    rng, found, n_pairs, n_sweeps = random.Random(f"{part} of pairs"), list[str](), 0, 0
    while n_pairs < n and n_sweeps < 2 * n + 10:
        sweep, n_killed = Sweep(tmp_path / str(n_sweeps), small_spec()), 0
        for share in (0.9, 0.12):
            role = rng.choice(list(n_steps))
            kill_at = rng.randint(1, round(share * n_steps[role]))
            n_killed += is_killed(server, sweep, role, kill_at, with_tables=False)
        n_pairs += n_killed == 2
        n_sweeps += 1
        found += finish(server, sweep, small_digest, thorough=n_sweeps % 20 == 10, with_tables=False)
    tally("pairs of kills: in a run, and in the resumption that puts its leavings in order", n_pairs, len(found))
    assert found == []
    assert n_pairs == n


@pytest.mark.parametrize(("part", "n"), in_parts(many(40), 2))
def test_kills_through_the_real_command_line_leave_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, part: int, n: int, tally: Tally
) -> None:
    """Interpreters started anew, with their own writer, as a user has them; killed alone: the writer ends by itself."""
    rng, found, n_killed, n_sweeps = random.Random(f"{part} of the command line"), list[str](), 0, 0
    command = [sys.executable, "-m", "sweeps", *RUN]
    while n_killed < n:
        sweep, n_sweeps = Sweep(tmp_path / str(n_sweeps), small_spec()), n_sweeps + 1
        for _ in range(min(10, n - n_killed)):
            log = sweep.folder / "results" / "tiny" / "lock"
            log.unlink(missing_ok=True)
            with (
                (sweep.folder / "output").open("a") as output,
                subprocess.Popen(command, cwd=sweep.folder, env=environment(), stdout=output, stderr=output) as process,
            ):
                deadline = time.monotonic() + 120.0
                while process.poll() is None and not log.exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0.0, 3.0))
                n_killed += process.poll() is None
                process.kill()
            sweep.acknowledge()
        found += finish(server, sweep, small_digest)
    tally("`kill -9` of the real command line", n_killed, len(found))
    assert found == []


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
