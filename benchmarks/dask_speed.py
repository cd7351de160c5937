"""Measure what a second Dask worker gains; `benchmarks.scale` has what the driver spends on a trial.

    python -m benchmarks.dask_speed [--trials 40] [--rounds 2]

starts a scheduler and workers as processes of their own and runs searches of real trials, made so long that one takes
about 200 ms of a core, with MLflow left out; one worker and two take turns. Where other programs share the cores, times
by the clock are those of that moment, and their ratio is what to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made_sweep import made_spec
from benchmarks.scale import cluster
from sweeps.run.study import run_sweep

TRIAL_S = 0.2
N_REPLICAS = 16
N_TRIED = 6
SHORT = 50


def long_enough(folder: Path) -> int:
    """Return the epochs after which a trial has taken `TRIAL_S` of processor time."""
    run_sweep(made_spec(2, n_replicas=N_REPLICAS, max_epochs=SHORT), folder / "compiled", workers=1)
    seconds = []
    for name, epochs in (("short", SHORT), ("long", 10 * SHORT)):
        begin = time.process_time()
        run_sweep(made_spec(N_TRIED, n_replicas=N_REPLICAS, max_epochs=epochs), folder / name, workers=1)
        seconds.append((time.process_time() - begin) / N_TRIED)
    an_epoch = (seconds[1] - seconds[0]) / (9 * SHORT)
    return max(round((TRIAL_S - seconds[0]) / an_epoch) + SHORT, 6)


def main() -> int:
    """Run the searches, print a line each, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="default: 40")
    parser.add_argument("--rounds", type=int, default=2, help="default: 2")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        epochs = long_enough(folder)
        print(f"{epochs} epochs a trial")
        spec = made_spec(arguments.trials, n_replicas=N_REPLICAS, max_epochs=epochs)
        took: dict[int, list[float]] = {1: [], 2: []}
        for number in range(arguments.rounds):
            for n_workers, seconds in took.items():
                place = folder / f"{number}-{n_workers}"
                place.mkdir()
                with cluster(n_workers, place) as address:
                    warm = made_spec(8, n_replicas=N_REPLICAS, max_epochs=6)
                    run_sweep(warm, place / "warm", workers=1, executor=address)
                    begin = time.perf_counter()
                    run_sweep(spec, place / "results", workers=1, executor=address)
                    seconds.append(time.perf_counter() - begin)
                print(f"{n_workers} worker(s): {seconds[-1]:6.1f} s", flush=True)
    print(f"two workers are {sum(took[1]) / sum(took[2]):.2f} times as fast as one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
