"""What the tests of kills share: the process that forks a command for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import ForkServer, read_schema_once


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Start the fork server once: it takes as long as many kills."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("looks at processes through Linux' /proc")
    read_schema_once()  # the audit after each kill opens the database, too
    with ForkServer() as server:
        yield server
