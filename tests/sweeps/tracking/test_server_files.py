"""What docs/server.md and deploy/compose.yaml start is what this MLflow takes, and listens on loopback alone."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from postgres import START_S, Postgres
from tiny import tiny_table

from sweeps.audit.runs import check_runs
from sweeps.spec.sweep import parse_spec
from sweeps.spec.writing import as_toml
from sweeps.tracking.ui import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
    from mlflow.cli import server
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")
Tally = Callable[[str, float, float], None]
ROOT = Path(__file__).resolve().parents[3]
SERVICE_KEYS = {
    "image", "restart", "environment", "volumes", "healthcheck", "depends_on", "command", "ports",
}  # fmt: skip
"""Of the Compose specification, those that the file uses."""


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def server_commands() -> dict[str, list[str]]:
    """Return the arguments after ``mlflow server`` in both files."""
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    (in_docs,) = re.findall(r"python -m mlflow server \\\n((?:.*\\\n)*.*)\n```", text)
    shell, option, script = compose()["services"]["mlflow"]["command"]
    assert (shell, option) == ("sh", "-c")
    return {"docs": shlex.split(in_docs), "compose": shlex.split(script.partition("mlflow server ")[2])}


@pytest.mark.parametrize("where", ["docs", "compose"])
def test_every_option_of_the_server_is_one(where: str) -> None:
    known = {name for one in server.params for name in (*one.opts, *one.secondary_opts)}
    given = [word for word in server_commands()[where] if word.startswith("--")]
    assert "--serve-artifacts" in given
    assert set(given) <= known


def test_only_this_machine_is_listened_to() -> None:
    words = server_commands()["docs"]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    services = compose()["services"]
    ports = {name: service.get("ports", []) for name, service in services.items()}
    assert ports == {"postgres": [], "mlflow": ["127.0.0.1:5000:5000"]}  # within the container 0.0.0.0 is its network
    allowed = server_commands()["compose"]
    assert allowed[allowed.index("--allowed-hosts") + 1] == "127.0.0.1:5000,localhost:5000"


def test_the_compose_file_has_keys_of_its_specification_and_names_what_it_uses() -> None:
    loaded = compose()
    assert set(loaded) == {"services", "volumes"}
    for service in loaded["services"].values():
        assert set(service) <= SERVICE_KEYS
        assert set(service.get("depends_on", {})) <= set(loaded["services"])
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(loaded["volumes"])
    environment = loaded["services"]["mlflow"]["environment"]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    assert environment["PGPASSWORD"] == loaded["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]


@pytest.mark.faults
def test_the_compose_files_server_reaches_its_database_with_any_password(tmp_path: Path, tally: Tally) -> None:
    """What its service `mlflow` runs, but for the images: there the database's host is called `postgres`."""
    pytest.importorskip("psycopg2")
    password = "p@ss/w:rd#%20?&='\"\\ $x"
    database, port = Postgres(password), free_port("127.0.0.1", 5570)
    service = compose()["services"]["mlflow"]
    script = service["command"][2].partition("&& ")[2].replace("python", shlex.quote(sys.executable) + " -P")
    changes = {"0.0.0.0": "127.0.0.1", "5000": str(port), "/artifacts": str(tmp_path / "artifacts")}
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    environment = {
        name: value.replace("${MLFLOW_DB_PASSWORD:?give a password}", password)
        .replace("postgres:5432", f"127.0.0.1:{database.port}")
        for name, value in service["environment"].items()
    }  # fmt: skip
    server = subprocess.Popen(
        ["sh", "-c", script],
        cwd=tmp_path,
        env={**os.environ, **environment},
        start_new_session=True,
        stdout=-3,
        stderr=-3,
    )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server)
        run = [sys.executable, "-P", "-m", "sweeps", "run", "tiny.toml", "--results", "results"]
        (tmp_path / "tiny.toml").write_text(as_toml(parse_spec(tiny_table(), "tiny.toml")), encoding="utf-8")
        subprocess.run([*run, "--tracking-uri", f"http://127.0.0.1:{port}"], cwd=tmp_path, check=True, stdout=-3)
        check = check_runs(tmp_path / "results" / "tiny", f"http://127.0.0.1:{port}")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        database.close()
    assert check.findings == []
    assert any((tmp_path / "artifacts").rglob("*"))
    tally("service `mlflow` of deploy/compose.yaml, its database asking for a hostile password", 1, len(check.findings))


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers, unless it ends."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended by itself"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as reply:
            assert reply.read() == b"OK"
            return
        time.sleep(0.5)  # it has no other way to say that it listens
    raise AssertionError("the server does not listen")
