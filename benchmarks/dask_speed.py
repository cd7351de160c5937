"""Measure what a second Dask worker gains; `benchmarks.scale` has what the driver spends on a trial.

    python -m benchmarks.dask_speed [--trials 40] [--rounds 2] [--waiting]

starts a scheduler and workers as processes of their own and runs searches of real trials, made so long that one takes
about 200 ms of a core, with MLflow left out; one worker and two take turns. That wants two cores that nobody else uses.
With `--waiting` trials are short ones, and a worker waits until 200 ms are over: what then keeps two workers from being
twice as fast as one is the driver and the scheduler alone, on a busy machine, too.

Each search is told whole, and by the further trial: what one of a few trials takes (connecting, the finalist, which
trains alone while the other worker has nothing to do, the verdict) is subtracted, and the rest divided by the trials
that it has more. The driver's processor time is told by the further trial, too.
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
from sweeps.spec.sweep import SweepSpec

TRIAL_S = 0.2
N_REPLICAS = 16
N_TRIED = 6
N_FEW = 8
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


def timed_search(spec: SweepSpec, results: Path, address: str) -> tuple[float, float]:
    """Run a search; return its seconds by the clock and of this process's cores."""
    begin, cpu = time.perf_counter(), time.process_time()
    run_sweep(spec, results, workers=1, executor=address)
    return time.perf_counter() - begin, time.process_time() - cpu


def main() -> int:
    """Run the searches, print a line each, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="default: 40")
    parser.add_argument("--rounds", type=int, default=2, help="default: 2")
    parser.add_argument("--waiting", action="store_true", help="workers wait for most of a trial")
    arguments = parser.parse_args()
    if arguments.trials <= N_FEW:
        parser.error(f"--trials {arguments.trials}: give more than {N_FEW}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        epochs = SHORT if arguments.waiting else long_enough(folder)
        print(f"{epochs} epochs a trial{', then waiting until 200 ms are over' if arguments.waiting else ''}")
        spec = made_spec(arguments.trials, n_replicas=N_REPLICAS, max_epochs=epochs)
        few = made_spec(N_FEW, n_replicas=N_REPLICAS, max_epochs=epochs)
        whole: dict[int, list[float]] = {1: [], 2: []}
        further: dict[int, list[float]] = {1: [], 2: []}
        for number in range(arguments.rounds):
            for n_workers in whole:
                place = folder / f"{number}-{n_workers}"
                place.mkdir()
                with cluster(n_workers, place, "benchmarks.waiting" if arguments.waiting else None) as address:
                    warm = made_spec(N_FEW, n_replicas=N_REPLICAS, max_epochs=6)
                    run_sweep(warm, place / "warm", workers=1, executor=address)
                    small = timed_search(few, place / "few", address)
                    large = timed_search(spec, place / "results", address)
                n_more = arguments.trials - N_FEW
                wall, cpu = ((after - before) / n_more for before, after in zip(small, large, strict=True))
                whole[n_workers].append(large[0])
                further[n_workers].append(wall)
                print(
                    f"{n_workers} worker(s): {large[0]:6.1f} s; a further trial {1e3 * wall:.0f} ms,"
                    f" {1e3 * cpu:.1f} ms of the driver",
                    flush=True,
                )
    for what, took in (("in all", whole), ("by the further trial", further)):
        print(f"two workers are {sum(took[1]) / sum(took[2]):.2f} times as fast as one {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
