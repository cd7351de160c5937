"""Start the MLflow UI for this machine only: loopback, named hosts, no job runner, no telemetry."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from analysis.formats.blocks import printable
from sweeps.tracking import ui_guard
from sweeps.tracking.database import ENVIRONMENT, artifact_root, open_client, sqlite_path
from sweeps.tracking.errors import UiError
from sweeps.tracking.experiments import NAME_TAG
from sweeps.tracking.view import view_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOPBACK = MappingProxyType({"127.0.0.1": socket.AF_INET, "localhost": socket.AF_INET, "::1": socket.AF_INET6})
PORTS_TRIED = 50
LAST_PORT = 65535
STOP_S = 10.0
MOST_ADDRESSES = 10


def serve(tracking_uri: str, host: str, port: int, *, or_next: bool = False) -> int:
    """Serve the UI until it is interrupted or ends by itself; return the exit status.

    Parameters
    ----------
    tracking_uri : str
        As from `sweeps.tracking.projection.resolve_uri`; a database, since a server has its own UI.
    host : str
        A name of this machine's loopback.
    port : int
        Where to listen.
    or_next : bool
        Whether the next free port will do where that one is taken.

    Raises
    ------
    UiError
        If the host is not this machine, the port is taken, there is no database, or the URI is a server's.
    """
    if host not in LOOPBACK:
        raise UiError(
            f"--host {host}: not this machine's loopback, and the UI has no password; use 127.0.0.1 and an SSH tunnel"
        )
    if tracking_uri.startswith("http"):
        raise UiError(f"--tracking-uri {tracking_uri}: a server has its own UI; open that address in a browser")
    path = sqlite_path(tracking_uri)
    if not or_next and (problem := port_problem(host, port)) is not None:
        raise UiError(f"--port {port}: {problem} on {host}; give another, or leave it out for the next free one")
    if path is not None and not path.exists():
        raise UiError(
            f"--tracking-uri {tracking_uri}: no such database; `python -m sweeps run` makes one, `sync` from its logs"
        )
    port = free_port(host, port) if or_next else port
    client = open_client(tracking_uri)  # migrated once, before the server's processes look at it
    runs = run_addresses(client)
    root = artifact_root(tracking_uri)
    place = f"[{host}]" if ":" in host else host
    command = server_command(tracking_uri, host, port)
    if root is not None:
        command += ["--default-artifact-root", root.as_uri()]
    # A group of its own, so that Ctrl-C reaches the server's children through us, and all of them.
    server = subprocess.Popen(command, env={**os.environ, **server_environment()}, start_new_session=True)
    guard = start_guard(server.pid)
    try:
        print(f"MLflow UI: http://{place}:{port} (starting; Ctrl-C ends it)", flush=True)
        for name, address in runs:
            print(f"runs of {name}: http://{place}:{port}/{address}", flush=True)
        return 0 if server.wait() == 0 else 1
    finally:
        stop_group(server)
        guard.communicate()  # closes its standard input: there is nothing left to end


def run_addresses(client: MlflowClient) -> list[tuple[str, str]]:
    """Return each sweep's name with the page of its runs, the newest sweep first."""
    experiments = client.search_experiments(order_by=["last_update_time DESC"])
    return [
        (printable(experiment.name), view_address(experiment.experiment_id, experiment.tags))
        for experiment in experiments
        if NAME_TAG in experiment.tags
    ][:MOST_ADDRESSES]


def start_guard(group: int) -> subprocess.Popen[bytes]:
    """Start a process that ends a group of processes should this one be killed."""
    program = [sys.executable, "-I", "-S", str(Path(ui_guard.__file__)), str(group)]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def server_command(tracking_uri: str, host: str, port: int) -> list[str]:
    """Return the command line of the server."""
    hosts = ",".join(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
    return [
        *(sys.executable, "-P", "-m", "mlflow", "server"),
        *("--backend-store-uri", tracking_uri),
        *("--registry-store-uri", tracking_uri),
        *("--host", host),
        *("--port", str(port)),
        *("--workers", "1"),
        *("--uvicorn-opts", "--log-level warning"),  # a line for every request is nobody's news
        *("--allowed-hosts", hosts),
    ]


def server_environment() -> dict[str, str]:
    """Return what the server's environment adds.

    No jobs, no gateway to language models, no assistant for others than this machine (3.17 has no switch for its own),
    no telemetry, no pickles, no module of the working folder. Warnings of its libraries about each other, which the
    user can do nothing about, are left out unless PYTHONWARNINGS asks for them.
    """
    return {
        **ENVIRONMENT,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore"),
    }


def free_port(host: str, first: int) -> int:
    """Return the first free port from `first` on.

    Raises
    ------
    UiError
        If there is none among the next ones.
    """
    for port in range(first, min(first + PORTS_TRIED, LAST_PORT + 1)):
        if port_problem(host, port) is None:
            return port
    raise UiError(f"--port: none free on {host} from {first} on; give another")


def port_problem(host: str, port: int) -> str | None:
    """Return why a server could not listen at a port of this machine, or None."""
    if port > LAST_PORT:
        return f"no port (they end at {LAST_PORT})"
    with socket.socket(LOOPBACK[host], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself will bind
        try:
            probe.bind((host, port))
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
    return None


def stop_group(server: subprocess.Popen[bytes]) -> None:
    """End a server and every process it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
