"""What the tests of kills share: the process that forks a command for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import ForkServer


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Start the fork server once: it takes as long as many kills."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("looks at processes through Linux' /proc")
    with ForkServer() as server:
        yield server
