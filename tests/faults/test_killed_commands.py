"""Any command that writes can be killed at any step: given again, it ends as if it had not been."""

from __future__ import annotations

import random
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fork_server import COUNT_NAME, ForkServer
from small import small_spec
from tally import many

from sweeps.audit.audit import audit_sweep
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.audit.runs import check_runs
from sweeps.run.study import run_sweep
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.database import fold_write_ahead, sqlite_uri
from sweeps.tracking.projection import sync

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished sweep and its runs."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "tiny.toml").write_text(as_toml(small_spec()))
    run_sweep(small_spec(), folder / "results", workers=1)
    sync(folder / "results", sqlite_uri(folder / "mlflow.db"))
    fold_write_ahead(sqlite_uri(folder / "mlflow.db"))
    return folder


def as_it_is(folder: Path) -> None:
    """Leave a copy as it is."""


def without_results(folder: Path) -> None:
    """Keep only what MLflow has."""
    shutil.rmtree(folder / "results")


def damaged(folder: Path) -> None:
    """Plant what `audit --repair` mends: a run left RUNNING, a changed metric, digests of models gone, a dead lock."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        ids = dict(connection.execute("SELECT value, run_uuid FROM tags WHERE key = 'sweep.uid'"))
        connection.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (ids["tiny/gauss:search:0"],))
        connection.execute(
            "UPDATE latest_metrics SET value = 0.001 WHERE key = 'value' AND run_uuid = ?",
            (ids["tiny/gauss:search:1"],),
        )
    connection.close()
    (folder / "results" / "tiny" / "gauss" / "models" / "SHA256SUMS").unlink()
    (folder / "results" / "tiny" / "lock").write_text("process 7 on host since 2026-01-01\n")


def without_database(folder: Path) -> None:
    """Keep the logs alone."""
    (folder / "mlflow.db").unlink()
    shutil.rmtree(folder / "mlartifacts")


@dataclass(frozen=True)
class Case:
    """A command, what it starts from, what goes on with it, how many steps of it are tried in the long suite.

    A command that draws a report at its end can leave it out: that is what `report` is tried for. A long one is tried
    in several calls of the test, each of which takes every `n_parts`-th of the chosen steps.
    """

    arguments: tuple[str, ...]
    prepare: Callable[[Path], None] = as_it_is
    again: tuple[str, ...] = ()
    n_steps: int = 40
    with_report: bool = True
    n_parts: int = 1


CASES = {
    "report": Case(("report", "tiny")),
    "import": Case(("import", "tiny"), without_results),
    "audit --repair": Case(("audit", "tiny", "--repair"), damaged),
    "extend by trials": Case(
        ("extend", "tiny", "--trials", "6"), again=("resume", "tiny"), n_steps=60, with_report=False, n_parts=3
    ),
    "extend in another space": Case(
        ("extend", "tiny", "--trials", "6", "--set", "space.training.learning_rate.high=0.9"),
        again=("resume", "tiny"),
        n_steps=60,
        with_report=False,
        n_parts=3,
    ),
    "sync": Case(("sync",), without_database),
}


LONG = (pytest.mark.faults, pytest.mark.takes(60.0))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("import", None),
        ("audit --repair", None),
        *(pytest.param(name, part, marks=LONG) for name, case in CASES.items() for part in range(case.n_parts)),
    ],
)
def test_a_command_killed_at_any_step_and_given_again_ends_as_if_it_had_not_been(
    server: ForkServer, origin: Path, tmp_path: Path, name: str, part: int | None, tally: Tally
) -> None:
    case, rng = CASES[name], random.Random(name)

    def fresh(place: str) -> Path:
        folder = tmp_path / place
        shutil.copytree(origin, folder, symlinks=True)
        with sqlite3.connect(folder / "mlflow.db") as connection:
            for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
                connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(origin), str(folder)))
        connection.close()
        case.prepare(folder)
        return folder

    whole = fresh("whole")
    options: dict[str, bool] = {"with_report": case.with_report, "with_tables": False}
    assert server.run(whole, *case.arguments, role="driver", **options) == 0, (whole / "output").read_text()
    expected = state(whole)
    n_points = int((whole / COUNT_NAME).read_text())
    steps = rng.sample(range(1, n_points + 1), 1 if part is None else min(n_points, many(case.n_steps)))
    points = steps[part or 0 :: case.n_parts]
    found, n_killed = list[str](), 0
    for i, k in enumerate(sorted(points)):
        folder = fresh(str(k))
        n_killed += server.run(folder, *case.arguments, role="driver", kill_at=k, **options) == -9
        status = server.run(folder, *case.arguments, **options)
        if status == 2 and case.again:  # the spec says so already: what was begun is gone on with
            status = server.run(folder, *case.again, **options)
        output = (folder / "output").read_text()
        problems = [f"exit status {status}: {output[-300:]}"] if status else []
        problems += ["traceback"] if "Traceback" in output else []
        if not status:
            problems += [text for text, whole in zip(state(folder), expected, strict=True) if text != whole][:2]
            problems += findings(server, case, folder, thorough=i % 20 == 10 or len(points) == 1)
        problems += [str(path) for path in (folder / "results").iterdir() if path.name.startswith(".")]
        found += [f"step {k}: {problem}" for problem in problems]
        shutil.rmtree(folder)
    tally(f"`{name}` killed at one of its {n_points} steps, and given again", n_killed, len(found))
    assert found == []
    # What comes in together is written together: a run may have a step or two less than the one that was counted.
    assert n_killed >= 0.9 * len(points)


def findings(server: ForkServer, case: Case, folder: Path, thorough: bool) -> list[str]:
    """Return what the audit finds; unless thorough, without drawing the report and asking samplers anew."""
    sweep = folder / "results" / "tiny"
    if thorough:
        status = 0 if case.with_report else server.run(folder, "report", "tiny")
        found = [str(finding) for finding in audit_sweep(sweep, uri_of(folder)).findings]
        return [*found, f"exit status {status} of report"] if status else found
    light = (*check_records(sweep), *check_leftovers(sweep), *check_runs(sweep, uri_of(folder)).findings)
    return [str(finding) for finding in light]


def uri_of(folder: Path) -> str:
    return sqlite_uri(folder / "mlflow.db")


def state(folder: Path) -> list[str]:
    """Return what a command leaves that does not depend on when it ran."""
    sweep = folder / "results" / "tiny"
    page = sweep / "report" / "report.md"
    with sqlite3.connect(folder / "mlflow.db") as connection:
        runs = connection.execute(
            "SELECT value, status FROM tags JOIN runs USING (run_uuid) WHERE key = 'sweep.uid'"
            " AND lifecycle_stage = 'active' ORDER BY value"
        ).fetchall()
    connection.close()
    return [digest(sweep), page.read_text() if page.exists() else "", str(runs)]
