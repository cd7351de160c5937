"""Where a command is started changes nothing: other people's files, no home, a folder that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import record_builders as build
from tiny import tiny_spec

from sweeps.spec.writing import as_toml
from sweeps.tracking.writer_process import TrackingProcess

Tally = Callable[[str, float, float], None]
ROOT = Path(__file__).resolve().parents[3]
NAMES = ("engine", "analysis", "numpy", "json", "random", "mlflow")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeps", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture
def strange_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory of files and packages named as what we import, each of which leaves a trace."""
    trace = f"open({str(tmp_path / 'trace')!r}, 'w').close(); raise SystemExit('imported')\n"
    folder = tmp_path / "work"
    for i, name in enumerate(NAMES):
        path = folder / f"{name}.py" if i % 2 else folder / name / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trace)
    build.homework(folder / "results")
    monkeypatch.chdir(folder)
    return folder


def test_files_named_as_our_modules_in_the_working_directory_are_left_alone(
    strange_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = run(strange_folder, "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    shown = run(strange_folder, "show")
    assert (shown.returncode, shown.stderr) == (0, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = TrackingProcess(strange_folder / "results" / "homework", "http://127.0.0.1:9").finish()
    assert result.n_waiting  # it got as far as asking the server
    assert not (strange_folder.parent / "trace").exists()


@pytest.mark.faults
@pytest.mark.takes(60.0)
@pytest.mark.parametrize("with_temporary", [True, False])
def test_a_user_without_a_home_trains_from_a_read_only_installation(
    tmp_path: Path, with_temporary: bool, tally: Tally
) -> None:
    """As in a container started with a bare user number. Files where folders should be stop root as well."""
    for package in ("sweeps", "analysis", "engine"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "engine" / "roads" / "compiled" / "__pycache__").touch()
    (tmp_path / "file").touch()
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir(mode=0o777 if with_temporary else 0o555)
    if not with_temporary:
        (temporary / f"rangesweep-{os.getuid()}").touch()
    result = run(
        *(work, "train", "--dataset", "gauss", "--epochs", "2", "--replicas", "2"),
        HOME=str(tmp_path / "file"),
        XDG_CACHE_HOME=str(tmp_path / "file"),
        NUMBA_CACHE_DIR="",
        TMPDIR=str(temporary),
        MPLCONFIGDIR=str(temporary),
        PYTHONPATH=str(tmp_path),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert result.returncode == 0, result.stderr
    line, *others = result.stderr.splitlines()
    assert set(others) <= {
        "compiling the training loop (once on this machine) ...",
        "training replicas 1 to 2 of 2, 2 epochs ...",
    }
    assert line.startswith("neither the installation nor a home can be written; ")
    assert ("every start compiles anew" in line) != with_temporary
    assert list(work.iterdir()) == []
    tally(
        "a user without a home, a read-only installation, with and without a place for temporary files: refused", 1, 0
    )


WATCH = """
import socket, sys
HERE = ("127.0.0.1", "::1", "localhost", None)
def watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in HERE:
            with open({trace!r}, "a") as stream:
                print(event, address, file=stream)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] not in HERE:
        with open({trace!r}, "a") as stream:
            print(event, arguments[0], file=stream)
sys.addaudithook(watch)
"""


@pytest.mark.faults
def test_a_sweep_its_writer_its_report_and_sync_connect_to_nothing_outside(tmp_path: Path, tally: Tally) -> None:
    """Python tells of every connection, of the sweep's own process and of those that it starts."""
    hooks, trace, work = tmp_path / "hooks", tmp_path / "trace", tmp_path / "work"
    hooks.mkdir()
    work.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH.format(trace=str(trace)))
    path = os.pathsep.join((str(hooks), str(ROOT)))
    (work / "tiny.toml").write_text(as_toml(tiny_spec()))
    # No word that a user has said about telemetry, and none of those by which libraries know a test.
    quiet = dict.fromkeys(("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "CI", "PYTEST_CURRENT_TEST"), "")
    commands = (("run", "tiny.toml"), ("report", "tiny"), ("sync",), ("doctor",), ("audit", "tiny"))
    for command in commands:
        result = run(work, *command, PYTHONPATH=path, **quiet)
        assert result.returncode == 0, result.stderr
    assert not trace.exists(), trace.read_text()
    tally("run, report, sync, doctor, audit: connections beyond this machine", len(commands), 0)
    check = "import socket; socket.socket().connect_ex(('192.0.2.1', 9))"
    planted = subprocess.run(
        [sys.executable, "-c", f"import signal; signal.alarm(5); {check}"], env={"PYTHONPATH": path}
    )
    assert planted.returncode != 1
    assert "192.0.2.1" in trace.read_text()
