"""What pruning by rungs saves, and what it costs: epochs trained and the best trial's loss, without and with it.

    python benchmarks/pruning.py --trials 48 --seeds 2

The same search (the homework's space on one Playground set, no patience) runs in four arms that differ in
``[pruning]`` alone. The best trial's loss is measured again on the finalists' fresh draws, so that no arm profits from
looking more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from analysis.records.study import Study  # noqa: E402
from sweeps.run.study import run_sweep  # noqa: E402
from sweeps.spec.sweep import SweepSpec, load_spec, parse_spec  # noqa: E402
from sweeps.spec.writing import as_table  # noqa: E402

GRID = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 135, 200, 270, 405)
KINDS = ("none", "successive_halving", "hyperband", "racing")


def spec_of(kind: str, dataset: str, n_trials: int, seed: int) -> SweepSpec:
    """Return one arm."""
    table: dict[str, Any] = as_table(load_spec("homework"))
    table["name"] = f"pruning-{kind.replace('_', '-')}-{seed}"
    table["seed"] = seed
    table["datasets"] = [one for one in table["datasets"] if one["name"] == dataset]
    table["search"].pop("first")  # of lengths that this grid has not
    table["space"]["training"]["max_epochs"]["choice"] = [135, 270, 405]
    table["ablation"] = {"n_replicas": 0}
    table["search"] |= {"until": "budget", "n_trials": n_trials, "n_replicas": 8, "lag": 4}
    table["epochs"] = {"max_epochs": GRID[-1], "grid": list(GRID), "stop_from": 0, "stop_patience": 0}
    table["pruning"] = {"kind": kind, "min_epochs": 15, "reduction_factor": 3}
    table["finalists"] = {"n": 1, "n_replicas": 64}
    table["certificates"]["n"] = 0
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    return parse_spec(table, "pruning")


def row_of(kind: str, seed: int, study: Study) -> tuple[str, int, int, int, float]:
    """Return kind, seed, epochs trained, pruned trials, and the finalist's mean test loss on fresh draws."""
    n_epochs = sum(max(trial.epoch_grid) for trial in study.trials if trial.epoch_grid)
    n_pruned = sum(trial.pruned_at is not None for trial in study.trials)
    return kind, seed, n_epochs, n_pruned, study.records["finalist"][0].value


def main() -> None:
    """Run all arms and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="xor")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    sys.stdout.write("kind seed epochs pruned finalist_test_loss\n")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, arguments.seeds + 1):
            for kind in KINDS:
                spec = spec_of(kind, arguments.dataset, arguments.trials, seed)
                [study] = run_sweep(spec, Path(folder), workers=1)
                kind, seed, n_epochs, n_pruned, loss = row_of(kind, seed, study)
                sys.stdout.write(f"{kind} {seed} {n_epochs} {n_pruned} {loss:.4f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
