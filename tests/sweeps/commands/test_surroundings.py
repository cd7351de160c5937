"""Where a command is started changes nothing: other people's files, no home, a folder that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import record_builders as build

from sweeps.tracking.writer_process import TrackingProcess

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("engine", "analysis", "numpy", "json", "random", "mlflow")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeps", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
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
