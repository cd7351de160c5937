"""The real commands draw reports with helpers, and without where a fork would not be safe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from small import small_spec

from sweeps.spec.writing import as_toml

ROOT = Path(__file__).resolve().parents[3]
# Python imports it before anything else. Whoever is forked tells which pictures it has drawn.
CUSTOMIZE = """
import atexit, os, sys, threading

os.sched_getaffinity = lambda pid: {0, 1, 2}  # what is tested does not hang on this machine's cores

def watch():
    module = sys.modules.get("analysis.formats.side_by_side")
    if module is None:
        return
    draw = module.draw
    def told(picture):
        drawn = draw(picture)
        with open(os.environ["DRAWN"], "a") as file:
            file.write(f"{os.getpid()} {picture.name}\\n")
        return drawn
    module.draw = told

os.register_at_fork(after_in_child=watch)
def tell_loaded():
    with open(os.environ["LOADED"], "w") as file:
        file.write(" ".join(sorted({"mlflow", "pandas", "pyarrow", "sklearn"} & set(sys.modules))))
atexit.register(tell_loaded)
if "WITH_THREAD" in os.environ:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process draws")


def drawn_by_helpers(folder: Path, *arguments: str, **settings: str) -> Counter[str]:
    """Run a command; return how many pictures each process that it has forked has drawn."""
    (folder / "sitecustomize.py").write_text(CUSTOMIZE)
    told, loaded = folder / "drawn", folder / "loaded"
    told.write_text("")
    environment = {key: text for key, text in os.environ.items() if not key.endswith("_NUM_THREADS")}
    environment |= {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), "DRAWN": str(told), "LOADED": str(loaded)}
    done = subprocess.run(
        [sys.executable, "-m", "sweeps", *arguments],
        cwd=folder,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert loaded.read_text() == ""  # what a search and a report have no use for
    return Counter(line.split()[0] for line in told.read_text().splitlines())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_and_report_draw_with_helpers_whatever_blas_they_have(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(as_toml(small_spec()))
    assert len(drawn_by_helpers(tmp_path, "run", "tiny.toml", "--tracking-uri", "none", "--workers", "2")) == 2
    assert not drawn_by_helpers(tmp_path, "report", "tiny", "--out", "alone", WITH_THREAD="1")
    assert len(drawn_by_helpers(tmp_path, "report", "tiny", "--out", "plain")) == 2
    assert len(drawn_by_helpers(tmp_path, "report", "tiny", "--out", "pool", OPENBLAS_NUM_THREADS="3")) == 2
    written = contents(tmp_path / "results" / "tiny" / "report")
    assert all(contents(tmp_path / name) == written for name in ("alone", "plain", "pool"))
