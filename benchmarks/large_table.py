"""Measure what a large table takes until its first trial has run: time, processor time, memory, stage by stage.

``python -m benchmarks.large_table`` writes a CSV of 1 000 000 rows and 20 columns into a temporary folder and prints a
line for each stage; ``--rows N`` takes another number. Wall-clock time is that of this machine in this hour; processor
time is the figure to compare.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records.events import Scalar

N_FEATURES = 19
PARAMS: dict[str, Scalar] = {
    "network.activation": "relu",
    "network.n_hidden_layers": 2,
    "network.hidden_layer_sizes.1": 64,
    "network.hidden_layer_sizes.2": 32,
    "training.optimizer": "adam",
    "training.learning_rate": 0.003,
    "training.batch_size": 128,
    "training.weight_decay": 0.001,
    "training.dropout": 0.1,
}


def write_table(path: Path, n_rows: int) -> None:
    """Write a regression of 19 features, five of which count linearly and one not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)).round(4)
    y = (X[:, :5].sum(axis=1) + np.sin(3 * X[:, 5]) + rng.normal(0.0, 0.5, n_rows)).round(4)
    names = [*(f"x{i}" for i in range(N_FEATURES)), "y"]
    pd.DataFrame(np.column_stack([X, y]), columns=names).to_csv(path, index=False)


def measure(path: Path) -> list[tuple[str, float, float, float]]:
    """Return (stage, wall seconds, processor seconds, GB at the peak so far), each from the start."""
    from sweeps.run.executors import local_executor
    from sweeps.run.setting import search_setting
    from sweeps.run.trial import run_trial
    from sweeps.spec.from_table import build_spec
    from sweeps.spec.sweep import open_source

    wall, processor = time.perf_counter(), time.process_time()
    lines: list[tuple[str, float, float, float]] = []

    def stage(name: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
        lines.append((name, time.perf_counter() - wall, time.process_time() - processor, peak))

    with local_executor(1):  # BLAS on one thread, as in a sweep
        spec = build_spec({"dataset": {"file": str(path), "target": "y"}}, path.name)
        stage("read, divided, spec built")
        source = open_source(spec, spec.datasets[0])
        goal = source.goal
        stage(f"baselines fitted (goal: RMSE {goal:.3f})")
        seeds = source.search_seeds()
        for group in source.groups(seeds):
            source.draws(group)
        stage("rows prepared: the first trial can run")
        record = run_trial(spec, source, "large/table", search_setting(spec, 0, PARAMS, seeds))
        stage(f"first trial trained ({record.state}, RMSE {record.value:.3f})")
    return lines


def main() -> int:
    """Print the stages."""
    parser = argparse.ArgumentParser(description="What a large table takes until its first trial has run.")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        write_table(path, arguments.rows)
        print(f"{arguments.rows} rows, {N_FEATURES + 1} columns, {path.stat().st_size / 1e6:.0f} MB")
        for name, wall, processor, peak in measure(path):
            print(f"{wall:7.1f} s wall, {processor:6.1f} s processor, {peak:5.2f} GB: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
