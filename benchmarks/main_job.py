"""The main job against the obvious script, side by side in one run.

    python benchmarks/main_job.py [--seed N] [--json]

Both run on the same machine, one after the other, on the four Playground sets; start-up (imports, compiling, creating
the databases) stays aside for both. Printed: seconds until all four sets have an answer (certified here, the first
lucky hit there) and seconds per trained network and per network and epoch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from analysis.records import STAGES, read_sweep

ROOT = Path(__file__).resolve().parent.parent


def run_script(seed: int, folder: Path) -> dict[str, Any]:
    """Run the obvious script in a process of its own and return its totals."""
    command = [sys.executable, str(ROOT / "benchmarks" / "obvious_script.py"), "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--tracking", str(folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "GIT_PYTHON_REFRESH": "quiet"},
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "answers": sum(row["hit_s"] is not None for row in rows),
        "networks": sum(row["networks"] for row in rows),
        "network_epochs": sum(row["network_epochs"] for row in rows),
    }


def run_sweep(seed: int, folder: Path, extra: list[str]) -> dict[str, Any]:
    """Run the main job in a process of its own and return its totals, read from its logs."""
    command = [sys.executable, "-m", "sweeps", "run", "--seed", str(seed), *extra]
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    wall_s = time.perf_counter() - start
    records = [
        r for study in read_sweep(folder / "results" / "homework") for stage in STAGES for r in study.records[stage]
    ]
    first = min(r.started_at_s for r in records)
    last = max(r.started_at_s + r.duration_s for r in records)
    return {
        "seconds": last - first,
        "wall_s": wall_s,
        "answers": sum(
            s.verdict is not None and s.verdict.certified for s in read_sweep(folder / "results" / "homework")
        ),
        "networks": sum(len(r.seeds) for r in records),
        "network_epochs": sum(len(r.seeds) * r.epoch_grid[-1] for r in records if r.epoch_grid),
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("arguments", nargs="*", help="further arguments of `sweeps run`, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        theirs_folder, ours_folder, warm = (Path(scratch) / name for name in ("theirs", "ours", "warm"))
        for folder in (theirs_folder, ours_folder, warm):
            folder.mkdir()
        run_sweep(arguments.seed, warm, ["--trials", "2"])  # compiles, once per machine
        theirs = run_script(arguments.seed, theirs_folder)
        ours = run_sweep(arguments.seed, ours_folder, arguments.arguments)
    per = {
        "seconds per network": (theirs["seconds"] / theirs["networks"], ours["seconds"] / ours["networks"]),
        "microseconds per network and epoch": (
            1e6 * theirs["seconds"] / theirs["network_epochs"],
            1e6 * ours["seconds"] / ours["network_epochs"],
        ),
        "seconds to all answers": (theirs["seconds"], ours["seconds"]),
    }
    if arguments.json:
        print(json.dumps({"script": theirs, "sweeps": ours, "ratios": {k: a / b for k, (a, b) in per.items()}}))
        return
    print(f"{'':36} {'script':>12} {'sweeps':>12} {'ratio':>8}")
    for name, (a, b) in per.items():
        print(f"{name:36} {a:12.4g} {b:12.4g} {a / b:8.1f}")
    print(f"{'networks trained':36} {theirs['networks']:12d} {ours['networks']:12d}")
    print(f"{'answers (lucky hit / certified)':36} {theirs['answers']:12d} {ours['answers']:12d}")
    print(f"{'whole process, wall s':36} {'':12} {ours['wall_s']:12.1f}")


if __name__ == "__main__":
    main()
