"""What holds for every test: no file is left in the checkout, an interrupt reaches whom it is sent to, tries count.

With pytest-xdist (``-n 2``) the process in front collects what those behind it have tried, long tests begin first, and
a test that measures time, marked ``alone``, has the machine to itself.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO

import pytest
from dealing import Cost, dealt
from tally import DOCUMENT, IS_WRITTEN, WHOLE, Row, number, summed, with_rows

ROOT = Path(__file__).resolve().parent.parent
UNTRACKED = pytest.StashKey[set[str] | None]()
TRIED = pytest.StashKey[list[Row]]()
HELD = pytest.StashKey[TextIO]()
IS_BEHIND = "PYTEST_XDIST_WORKER" in os.environ
"""Whether pytest-xdist has started this process to run a share of the tests."""


def untracked_files() -> set[str] | None:
    """Return the files that git does not know and does not ignore; None outside a checkout."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return set(listing.stdout.splitlines())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note what lies there before, and let children of a background job be interrupted, too."""
    session.config.stash[UNTRACKED] = untracked_files()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under `nohup`: children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def row_name(nodeid: str) -> str:
    """Return a test as a row of the document calls it, whatever its parameters."""
    return nodeid.partition("[")[0].removeprefix("tests/")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, float | str, float | str], None]:
    """Return how a test says what it has tried, how often, and how often that failed, before it asserts anything."""

    def count(what: str, tried: float | str, failed: float | str) -> None:
        test = row_name(request.node.nodeid)
        told = [cell if isinstance(cell, str) else number(cell) for cell in (tried, failed)]
        request.node.user_properties.append(("tried", [what, *told, test]))

    return count


class Collected:
    """Takes the rows out of the reports of tests, which cross from process to process; a failed test has one, too."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has tried, once it is over."""
        if report.failed:
            self._failed.add(report.nodeid)
        if report.when == "teardown":
            rows = [Row(*map(str, cells)) for name, cells in report.user_properties if name == "tried"]  # type: ignore[call-overload]
            if not rows and report.nodeid in self._failed:
                rows = [Row(WHOLE, "1", "1", row_name(report.nodeid))]
            self._rows += rows


def pytest_configure(config: pytest.Config) -> None:
    """Collect rows from reports."""
    config.stash[TRIED] = []
    config.pluginmanager.register(Collected(config.stash[TRIED]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal the tests to the processes that share them, after whoever has shuffled them."""
    n_processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if n_processes > 1:
        items[:] = [items[i] for i in dealt([cost_of(item) for item in items], n_processes)]


def cost_of(item: pytest.Item) -> Cost:
    """Return what a test's marks say of it."""
    takes = item.get_closest_marker("takes")
    return Cost(0.0 if takes is None else takes.args[0], item.get_closest_marker("alone") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked ``alone`` wait for the others, and them for it.

    Who waits holds the gate meanwhile: nobody begins another test, or the lone one would never have its turn.
    """
    if not IS_BEHIND:
        return (yield)
    with Path(__file__).open() as gate, DOCUMENT.open() as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        item.stash[HELD] = machine
        return (yield)


@pytest.fixture
def is_measured(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Return how a test that is marked ``alone`` says that it has measured: what it does then, others may do, too."""

    def let_others_go_on() -> None:
        machine = request.node.stash.get(HELD, None)
        if machine is not None:
            fcntl.flock(machine, fcntl.LOCK_SH)

    return let_others_go_on


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was tried, and write it into the document where that is asked for."""
    rows = summed(config.stash[TRIED])
    for row in rows:
        terminalreporter.write_line(f"tried {row.tried}, failed {row.failed}: {row.what}")
    if rows and IS_WRITTEN:
        DOCUMENT.write_text(with_rows(DOCUMENT.read_text(encoding="utf-8"), rows), encoding="utf-8")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test has left a file in the checkout."""
    if IS_BEHIND:
        return  # whoever is in front looks once all are done
    before, after = session.config.stash[UNTRACKED], untracked_files()
    if before is not None and after is not None and after - before:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"left in the checkout by a test: {', '.join(sorted(after - before)[:5])}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
