"""How much of a sweep's time its safety takes: chained lines, flushes, files written whole, the log read once more.

    python -m benchmarks.safety [--trials 20]

Prints the share of wall time and of processor time that the thread spends in them, of a homework sweep without MLflow.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import sweeps.run.models
import sweeps.run.study
import sweeps.store.log
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import load_spec
from sweeps.spec.writing import with_overrides

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Spent:
    """Time spent: by the clock, and by the thread's own processor time, in seconds."""

    wall_s: float = 0.0
    processor_s: float = 0.0
    n_calls: int = 0

    def timed(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with its time added here."""

        def call(*arguments: P.args, **options: P.kwargs) -> T:
            wall, processor = time.monotonic(), time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.wall_s += time.monotonic() - wall
                self.processor_s += time.thread_time() - processor
                self.n_calls += 1

        return call


def measure(n_trials: int, workers: int) -> tuple[Spent, Spent]:
    """Return what safety took of a homework sweep, and what all of it took."""
    safety = Spent()
    for module, name in (
        (sweeps.store.log.ChainedLog, "append"),
        (sweeps.store.log.StudyLog, "verdict"),
        (sweeps.run.models, "write_atomically"),
        (sweeps.run.models, "write_sums"),
        (sweeps.run.study, "write_atomically"),
    ):
        setattr(module, name, safety.timed(getattr(module, name)))
    spec = with_overrides(load_spec("homework"), n_trials=n_trials, until="budget")
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(with_overrides(spec, n_trials=1, name="warm"), Path(folder), workers=workers)
        safety.wall_s = safety.processor_s = safety.n_calls = 0
        wall, processor = time.monotonic(), time.process_time()
        run_sweep(spec, Path(folder), workers=workers)
        return safety, Spent(time.monotonic() - wall, time.process_time() - processor)


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="search trials a dataset")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    safety, whole = measure(arguments.trials, arguments.workers)
    print(
        f"{safety.n_calls} calls in a sweep of {whole.wall_s:.1f} s by the clock, {whole.processor_s:.1f} s processor"
    )
    print(f"wall time: {safety.wall_s:.2f} s, {safety.wall_s / whole.wall_s:.2%}")
    print(f"processor time: {safety.processor_s:.2f} s, {safety.processor_s / whole.processor_s:.2%}")


if __name__ == "__main__":
    main()
