"""What holds for every test: no file is left in the checkout, and an interrupt reaches whom it is sent to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tally import DOCUMENT, IS_WRITTEN, Row, number, with_rows

ROOT = Path(__file__).resolve().parent.parent
UNTRACKED = pytest.StashKey[set[str] | None]()
TRIED = pytest.StashKey[list[Row]]()


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
    session.config.stash[TRIED] = []
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under `nohup`: children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, float | str, float | str], None]:
    """Return how a test says what it has tried, how often, and how often that failed, before it asserts anything."""

    def count(what: str, tried: float | str, failed: float | str) -> None:
        test = request.node.nodeid.partition("[")[0].removeprefix("tests/")
        told = [cell if isinstance(cell, str) else number(cell) for cell in (tried, failed)]
        request.config.stash[TRIED].append(Row(what, told[0], told[1], test))

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was tried, and write it into the document where that is asked for."""
    rows = config.stash[TRIED]
    for row in rows:
        terminalreporter.write_line(f"tried {row.tried}, failed {row.failed}: {row.what}")
    if rows and IS_WRITTEN:
        DOCUMENT.write_text(with_rows(DOCUMENT.read_text(encoding="utf-8"), rows), encoding="utf-8")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test has left a file in the checkout."""
    before, after = session.config.stash[UNTRACKED], untracked_files()
    if before is not None and after is not None and after - before:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"left in the checkout by a test: {', '.join(sorted(after - before)[:5])}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
