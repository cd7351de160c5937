"""The MLflow UI answers this machine only, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.commands.main import main
from sweeps.tracking.database import open_client
from sweeps.tracking.errors import UiError
from sweeps.tracking.experiments import NAME_TAG
from sweeps.tracking.ui import free_port, run_addresses, serve, server_command, server_environment

ROOT = Path(__file__).resolve().parents[3]
# MLflow's dependencies warn of their own future; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
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
    client = open_client(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("homework", tags={NAME_TAG: "homework"})
    port = free_port("127.0.0.1", 5400)
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", "ui", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"MLflow UI: http://127.0.0.1:{port} (starting; Ctrl-C ends it)\n"
    page = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert process.stdout.readline() == f"runs of homework: {page}\n"
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


HOSTS = {
    "127.0.0.1:{port}": 200, "localhost:{port}": 200, "[::1]:{port}": 200,
    "127.0.0.1": 403, "localhost": 403, "127.0.0.1:1": 403, "10.evil.example": 403, "192.168.evil.example": 403,
    "127.0.0.1.evil.example": 403, "127.0.0.1.evil.example:{port}": 403, "localhost.evil": 403,
    "192.168.0.1:{port}": 403,
    "0.0.0.0:{port}": 403, "evil.example:{port}": 403, "": 403,
}  # fmt: skip
ORIGINS = {
    None: 200, "http://127.0.0.1:{port}": 200, "http://localhost:{port}": 200,
    "http://evil.example": 403, "http://localhost.evil:{port}": 403, "http://127.0.0.1.evil.example": 403,
    "https://10.evil.example": 403,
}  # fmt: skip


def write_status(port: int, origin: str | None) -> int:
    """Return the HTTP status of a request that changes something, as a page of that origin would send it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    name = f"e{random.randrange(10**12)}"
    headers = {"Content-Type": "application/json"} | ({} if origin is None else {"Origin": origin})
    connection.request("POST", "/api/2.0/mlflow/experiments/create", json.dumps({"name": name}), headers)
    found = connection.getresponse().status
    connection.close()
    return found


def listening(process: int) -> set[str]:
    """Return the addresses that a process and its descendants listen at, as the kernel writes them."""
    family = [process, *descendants(process)]
    sockets = set()
    for number in family:
        for link in Path(f"/proc/{number}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                sockets.add(os.readlink(link))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def descendants(number: int) -> list[int]:
    children = [int(n) for n in Path(f"/proc/{number}/task/{number}/children").read_text().split()]
    return [*children, *(n for child in children for n in descendants(child))]


def test_only_loopback_hosts_and_pages_are_answered_and_ctrl_c_ends_it_all(
    server: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = server
    found = {host: status(port, host.format(port=port)) for host in HOSTS}
    assert {host: 403 if code == 400 else code for host, code in found.items()} == HOSTS  # 400: no host at all
    answers = {origin: write_status(port, origin and origin.format(port=port)) for origin in ORIGINS}
    assert answers == ORIGINS
    family: list[int] = []
    if Path("/proc/self/task").is_dir():
        family = descendants(process.pid)
        assert listening(process.pid) <= {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stdout is not None
    (said,) = process.stdout.read().splitlines()  # no warnings, no line for every request
    assert said.startswith("[MLflow] Security middleware enabled. Allowed hosts: 127.0.0.1:")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    deadline = time.monotonic() + 10.0
    while any(map(lives, family)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(lives, family))


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


def test_a_database_that_does_not_exist_is_named_and_not_made(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    message = f"--tracking-uri {uri}: no such database; `python -m sweeps run` makes one, `sync` from its logs"
    with pytest.raises(UiError, match=f"^{re.escape(message)}$"):
        serve(uri, "127.0.0.1", 5400)
    assert list(tmp_path.iterdir()) == []


def test_addresses_are_of_sweeps_only_the_newest_first(tmp_path: Path) -> None:
    client = open_client(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment("of somebody else")
    numbers = []
    for name in ("first", "second"):
        numbers.append(client.create_experiment(name, tags={NAME_TAG: name}))
        time.sleep(0.01)  # MLflow's clock counts milliseconds
    assert run_addresses(client) == [
        (name, f"#/experiments/{number}/runs?workflowType=machine_learning")
        for name, number in [("second", numbers[1]), ("first", numbers[0])]
    ]


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port


def test_a_port_that_was_asked_for_and_is_taken_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    assert main(["ui", "--port", "70000"]) == 2
    remedy = "give another, or leave it out for the next free one"
    assert capsys.readouterr().err == (
        f"python -m sweeps: --port {port}: address already in use on 127.0.0.1; {remedy}\n"
        f"python -m sweeps: --port 70000: no port (they end at 65535) on 127.0.0.1; {remedy}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_server_runs_one_worker_no_jobs_and_no_telemetry() -> None:
    command = server_command("sqlite:////x/mlflow.db", "127.0.0.1", 5000)
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--uvicorn-opts") + 1] == "--log-level warning"
    environment = server_environment()
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_warnings_of_the_servers_libraries_are_shown_to_who_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    assert server_environment()["PYTHONWARNINGS"] == "ignore"
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    assert server_environment()["PYTHONWARNINGS"] == "default"
