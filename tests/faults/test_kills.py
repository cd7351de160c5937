"""A sweep that is killed anywhere, any number of times, ends as one that was not: nothing lost, doubled or altered."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fork_server import COUNT_NAME, ROOT, ForkServer
from tally import many
from tiny import tiny_table

from sweeps.audit.audit import audit_sweep
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.database import sqlite_uri

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = [
    pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*"),
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes through Linux' /proc"),
]
Tally = Callable[[str, float, float], None]
RUN = ("run", "tiny.toml")
STAGES = ("driver", "writer", "both")


def small_spec() -> SweepSpec:
    """Return a sweep of one dataset with every kind of line, whose steps are few enough to die at each."""
    table: dict[str, Any] = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["goal"] = {"metric": "test_loss", "below": 0.5}
    table["search"] |= {"n_trials": 4, "n_candidates": 1, "n_startup_trials": 2}
    table["epochs"] = {"max_epochs": 5, "grid": [1, 2, 5], "stop_from": 5, "stop_patience": 0}
    table["finalists"] = {"n": 1, "n_replicas": 4}
    table["certificates"] = {"n": 1, "n_replicas": 8, "level": 0.05}
    table["page"] = {"n_best": 1, "n_sgd": 1, "learning_rates": [0.1], "n_finalists": 1}
    return parse_spec(table, "tiny.toml")


def tiny_spec() -> SweepSpec:
    return parse_spec(tiny_table(), "tiny.toml")


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="module")
def small_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("small")
    run_sweep(small_spec(), results, workers=1)
    return digest(results / "tiny")


@pytest.fixture(scope="module")
def tiny_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("tiny")
    run_sweep(tiny_spec(), results, workers=1)
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

    def violations(self, whole: str) -> list[str]:
        """Return what is not as if nobody had been killed."""
        folder, uri = self.folder / "results" / "tiny", sqlite_uri(self.folder / "mlflow.db")
        found = [str(finding) for finding in audit_sweep(folder, uri).findings]
        found += [] if digest(folder) == whole else ["another digest"]
        for name, content in self.acknowledged.items():
            if not (folder / name / "log.jsonl").read_bytes().startswith(content):
                found.append(f"{name}: lines that had been acknowledged are gone")
        output = (self.folder / "output").read_text()
        found += [line for line in output.splitlines() if line.startswith(("Traceback", "python -m sweeps: "))]
        found += [str(path) for path in self.folder.rglob("*.tmp")]
        return found


def finish(server: ForkServer, sweep: Sweep, whole: str) -> list[str]:
    """Run a sweep to its end and return what is wrong with it; a sound one is removed."""
    sweep.acknowledge()
    status = server.run(sweep.folder, *RUN)
    found = [f"exit status {status}"] if status else []
    status = server.run(sweep.folder, "sync")
    found += [f"exit status {status} of sync"] if status else []
    found += sweep.violations(whole)
    if not found:
        shutil.rmtree(sweep.folder)
    return [f"{sweep.folder.name}: {text}" for text in found]


@pytest.mark.parametrize("n", [6, pytest.param(many(200), marks=pytest.mark.faults)])
def test_random_kills_leave_no_trace(server: ForkServer, tmp_path: Path, tiny_digest: str, n: int, tally: Tally) -> None:
    """Kills are dealt over the time that a whole run takes: into the database's making, the search, and the report."""
    rng, n_killed, n_sweeps, found = random.Random(n), 0, 0, list[str]()
    start = time.monotonic()
    server.run(Sweep(tmp_path / "timed", tiny_spec()).folder, *RUN)
    whole_s = time.monotonic() - start
    while n_killed < n:
        sweep, n_sweeps = Sweep(tmp_path / str(n_sweeps), tiny_spec()), n_sweeps + 1
        for _ in range(8):
            process = server.start(sweep.folder, *RUN, "--workers", str(rng.randint(1, 2)))
            n_killed += server.kill_after(process, rng.uniform(0.0, 0.5) * whole_s, rng.choice(STAGES))
            server.wait(process)
            sweep.acknowledge()
        found += finish(server, sweep, tiny_digest)
    what = "`kill -9` of driver, writer or both at random times, 1 and 2 workers, each sweep begun without a database"
    tally(what, n_killed, len(found))
    assert found == []


def n_points(server: ForkServer, folder: Path, spec: SweepSpec, role: str) -> int:
    """Return how many steps of one process reach the disk in an undisturbed run."""
    sweep = Sweep(folder, spec)
    assert server.run(sweep.folder, *RUN, "--workers", "1", role=role) == 0
    return int((sweep.folder / COUNT_NAME).read_text())


@pytest.mark.parametrize("role", ["driver", "writer"])
@pytest.mark.parametrize("share", [0.03, pytest.param(1.0, marks=pytest.mark.faults)])
def test_a_kill_before_every_step_that_reaches_the_disk_leaves_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, role: str, share: float, tally: Tally
) -> None:
    n = n_points(server, tmp_path / "counted", small_spec(), role)
    points = range(1, n + 1) if share == 1.0 else random.Random(0).sample(range(1, n + 1), 3)
    points = sorted(points)[:: max(1, round(len(points) / many(len(points))))]
    found, n_killed = list[str](), 0
    for k in points:
        sweep = Sweep(tmp_path / str(k), small_spec())
        status = server.run(sweep.folder, *RUN, "--workers", "1", role=role, kill_at=k)
        n_killed += status == -9 if role == "driver" else "its writer failed" in (sweep.folder / "output").read_text()
        found += finish(server, sweep, small_digest)
    tally(f"kill before each write, flush, rename and commit of the {role}, in turn", n_killed, len(found))
    assert found == []
    assert n_killed > 0.9 * len(points)


@pytest.mark.parametrize("n", [1, pytest.param(many(300), marks=pytest.mark.faults)])
def test_pairs_of_kills_one_in_the_run_and_one_in_the_resumption_leave_no_trace(
    server: ForkServer, tmp_path: Path, small_digest: str, n: int, tally: Tally
) -> None:
    rng, found, n_pairs = random.Random(1), list[str](), 0
    counts = {role: n_points(server, tmp_path / role, small_spec(), role) for role in ("driver", "writer")}
    for i in range(n):
        sweep, n_killed = Sweep(tmp_path / str(i), small_spec()), 0
        for share in (1.0, 0.3):  # the second one early: while what the first has left is put in order
            role = rng.choice(list(counts))
            kill_at = rng.randint(1, max(1, round(share * counts[role])))
            status = server.run(sweep.folder, *RUN, role=role, kill_at=kill_at)
            n_killed += status == -9 or role == "writer"
        n_pairs += n_killed == 2
        found += finish(server, sweep, small_digest)
    tally("pairs of kills: in a run, and in the resumption that puts its leavings in order", n_pairs, len(found))
    assert found == []


@pytest.mark.faults
def test_kills_through_the_real_command_line_leave_no_trace(
    server: ForkServer, tmp_path: Path, tiny_digest: str, tally: Tally
) -> None:
    """Interpreters started anew, with their own writer, as a user has them; killed with all their children."""
    rng, found, n_killed, n_sweeps, n = random.Random(2), list[str](), 0, 0, many(40)
    command = [sys.executable, "-m", "sweeps", *RUN]
    while n_killed < n:
        sweep, n_sweeps = Sweep(tmp_path / str(n_sweeps), tiny_spec()), n_sweeps + 1
        for _ in range(10):
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
        found += finish(server, sweep, tiny_digest)
    tally("`kill -9` of the real command line", n_killed, len(found))
    assert found == []


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
