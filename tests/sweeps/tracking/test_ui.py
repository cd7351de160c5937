"""The MLflow UI answers this machine only, and leaves nothing behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.tracking.ui import free_port, server_command, server_environment

ROOT = Path(__file__).resolve().parents[3]
LONGEST_START_S = 90.0


def status(port: int, host: str) -> int:
    """Return the HTTP status of the front page for a Host header."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("GET", "/", skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def start_ui(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start the UI in a folder; return its process and port as soon as it has named it."""
    port = free_port("127.0.0.1", 5400)
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", "ui", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"MLflow UI: http://127.0.0.1:{port} (starting; Ctrl-C ends it)\n"
    return process, port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process, port = start_ui(tmp_path_factory.mktemp("ui"))
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline:
        try:
            status(port, f"127.0.0.1:{port}")
            break
        except OSError:
            time.sleep(0.2)  # the server has no other way to say that it listens
    yield process, port
    process.terminate()
    process.communicate(timeout=30)


def test_only_loopback_hosts_are_answered_and_ctrl_c_ends_it_all(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert status(port, host) == 200
    evil = ("10.evil.example", "192.168.evil.example", "127.0.0.1.evil.example", "localhost.evil", "192.168.0.1")
    assert {host: status(port, host) for host in evil} == dict.fromkeys(evil, 403)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def lives(number: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at the children through Linux' /proc")
def test_a_killed_ui_leaves_no_server_behind(tmp_path: Path) -> None:
    process, _ = start_ui(tmp_path)
    children = [int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) == 2  # the server and its guard
    process.kill()
    process.communicate()
    deadline = time.monotonic() + LONGEST_START_S
    while any(map(lives, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(lives, children))


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port


def test_the_server_runs_one_worker_no_jobs_and_no_telemetry() -> None:
    command = server_command("sqlite:////x/mlflow.db", "127.0.0.1", 5000)
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    environment = server_environment()
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
