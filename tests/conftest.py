"""What holds for every test: no file is left in the checkout, and an interrupt reaches whom it is sent to."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNTRACKED = pytest.StashKey[set[str] | None]()


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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test has left a file in the checkout."""
    before, after = session.config.stash[UNTRACKED], untracked_files()
    if before is not None and after is not None and after - before:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"left in the checkout by a test: {', '.join(sorted(after - before)[:5])}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
