"""What docs/server.md and deploy/compose.yaml start is what this MLflow takes, and listens on loopback alone."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
    from mlflow.cli import server
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
    uri = loaded["services"]["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert uri.partition("@")[2] == "postgres:5432/mlflow"
    assert uri.partition(":")[0] == "postgresql+psycopg2"
