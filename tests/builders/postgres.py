"""A throw-away PostgreSQL and an MLflow server on it, both on loopback: what docs/server.md sets up."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweeps.tracking.ui import free_port, server_environment

USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package makes this user."""
START_S = 120.0


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs, or skip the test."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").is_file():
            return folder
    pytest.skip("no PostgreSQL here (initdb); Debian: apt-get install postgresql")


class Postgres:
    """A cluster of its own in a temporary folder, with one database `mlflow`.

    Parameters
    ----------
    password : str or None
        What it asks of its user; None: it trusts whoever reaches it.
    """

    def __init__(self, password: str | None = None) -> None:
        self._password = password
        self._bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not below pytest's, which is its user's alone
        self.port = free_port("127.0.0.1", 5540)
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
            self._as_user = ["runuser", "-u", USER, "--"]
        asks = ["--auth=trust"]
        if password is not None:
            (self.folder / "password").write_text(password, encoding="utf-8")
            (self.folder / "password").chmod(0o644)  # for the user that PostgreSQL runs as
            asks = ["--auth=scram-sha-256", f"--pwfile={self.folder / 'password'}"]
        self._call("initdb", *asks, "--no-sync", "--username=mlflow", f"--pgdata={self.folder / 'data'}")
        self.start()
        self._call("createdb", *self._where())

    @property
    def uri(self) -> str:
        """The address for MLflow."""
        return f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/mlflow"

    def start(self) -> None:
        """Start, and wait until it answers; the file of a killed one is no matter to it."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F"
        log = self.folder / "log"
        self._call(
            "pg_ctl", "start", "-w", "-t", "60", f"--pgdata={self.folder / 'data'}", f"--log={log}", f"-o{options}"
        )

    def crash(self) -> None:
        """Stop without a checkpoint, as after a loss of power: connections break, the next start recovers."""
        self._call("pg_ctl", "stop", "-w", "-m", "immediate", f"--pgdata={self.folder / 'data'}")

    def wipe(self) -> None:
        """Make the database anew, empty."""
        self._call("dropdb", "--force", *self._where())
        self._call("createdb", *self._where())

    def close(self) -> None:
        """Stop, and remove the folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self.folder)

    def _where(self) -> Sequence[str]:
        return ("--host=127.0.0.1", f"--port={self.port}", "--username=mlflow", "mlflow")

    def _call(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._bin / program), *arguments]
        # Its output to nowhere: a server that inherits a pipe would keep whoever reads it waiting.
        environment = os.environ if self._password is None else {**os.environ, "PGPASSWORD": self._password}
        subprocess.run(command, cwd="/", env=environment, check=True, timeout=120, stdin=-3, stdout=-3, stderr=-3)


class MlflowServer:
    """An MLflow server on a database, artifacts through it."""

    def __init__(self, database: str, artifacts: Path) -> None:
        self._database = database
        self._artifacts = artifacts
        self.port = free_port("127.0.0.1", 5560)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = [
            *(sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", self._database),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--allowed-hosts", "*"),
            *("--serve-artifacts", "--artifacts-destination", self._artifacts.as_uri()),
        ]
        environment = {**os.environ, **server_environment()}
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=-3, stderr=-3)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "the server ended by itself"
            time.sleep(0.2)  # it has no other way to say that it listens
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        """Kill it and its workers, as ``kill -9`` does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
