"""Compare the bytes that a sweep ends in: on one worker, on two, after kills at random moments, through MLflow.

    python -m benchmarks.same_bytes [--trials 12] [--kills 3] [--seed 0]

runs the main job, cut down to minutes, in a folder of its own: with one worker; with two; with two and as many
``kill -9`` as asked for, each at a random moment of what an undisturbed run takes, MLflow's writer included. Then it
makes the records of the last once more from MLflow alone. All four digests must be equal; the status is 1 if they are
not.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweeps.spec.sweep import load_spec, parse_spec
from sweeps.spec.writing import as_table, as_toml

ROOT = Path(__file__).resolve().parent.parent
LONGEST_EPOCHS = 200


def write_spec(path: Path, n_trials: int) -> None:
    """Write the main job with fewer trials, replicas and epochs."""
    table = as_table(load_spec("homework"))
    table["name"] = "same_bytes"
    table["search"] |= {"n_trials": n_trials, "until": "budget", "n_replicas": 8, "n_startup_trials": 6}
    grid = [epoch for epoch in table["epochs"]["grid"] if epoch <= LONGEST_EPOCHS]
    table["epochs"] |= {"max_epochs": LONGEST_EPOCHS, "grid": grid, "stop_from": 50}
    lengths = table["space"]["training"]["max_epochs"]
    lengths["choice"] = [epochs for epochs in lengths["choice"] if epochs in grid]
    first = table["search"]["first"]
    table["search"]["first"] = [trial for trial in first if trial["training"].get("max_epochs", grid[0]) in grid]
    table["finalists"] |= {"n": 4, "n_replicas": 32}
    table["certificates"] |= {"n": 2, "n_replicas": 200}
    path.write_text(as_toml(parse_spec(table, path.name)), encoding="utf-8")


def start(folder: Path, results: str, workers: int, tracking: str) -> subprocess.Popen[bytes]:
    """Start or go on with the sweep below `folder`."""
    options = ("--results", results, "--workers", str(workers), "--tracking-uri", tracking)
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps", "run", "same_bytes.toml", *options],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def environment() -> dict[str, str]:
    """Return the environment in which the product is this source tree's."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def output(folder: Path, *arguments: str) -> str:
    """Run a command of the product to its end; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "sweeps", *arguments], cwd=folder, env=environment(), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip()


def run_whole(folder: Path, results: str, workers: int, tracking: str = "none") -> float:
    """Run the sweep to its end; return the seconds it took."""
    begin = time.monotonic()
    if start(folder, results, workers, tracking).wait() != 0:
        raise SystemExit(f"{results}: the sweep failed")
    return time.monotonic() - begin


def main() -> int:
    """Run all four, print a line each, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12, help="search trials for each dataset (default: 12)")
    parser.add_argument("--kills", type=int, default=3, help="default: 3")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    digests = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_spec(folder / "same_bytes.toml", arguments.trials)

        def tell(what: str, results: str, seconds: float) -> None:
            digests[what] = output(folder, "digest", "same_bytes", "--results", results)
            print(f"{what:34} {seconds:7.1f} s  {digests[what]}", flush=True)

        tell("1 worker", "one", run_whole(folder, "one", 1))
        longest = run_whole(folder, "two", 2)
        tell("2 workers", "two", longest)
        begin = time.monotonic()
        moments = [rng.uniform(0.1, 0.9) * longest / max(arguments.kills, 1) for _ in range(arguments.kills)]
        n_killed = 0
        for moment in moments:
            driver = start(folder, "killed", 2, "sqlite:///mlflow.db")
            try:
                driver.wait(moment)
            except subprocess.TimeoutExpired:
                driver.kill()
                driver.wait()
                n_killed += 1
        run_whole(folder, "killed", 2, "sqlite:///mlflow.db")
        tell(f"2 workers, {n_killed} kills", "killed", time.monotonic() - begin)
        begin = time.monotonic()
        output(folder, "import", "same_bytes", "--results", "imported")
        tell("the same, from MLflow alone", "imported", time.monotonic() - begin)
    same = len(set(digests.values())) == 1
    print("the same bytes" if same else "DIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
