"""What a dead network costs an epoch, as a multiple of a healthy one with the same settings.

    python benchmarks/dead_networks.py                    every table, some minutes; exit status 1 above the limit
    python benchmarks/dead_networks.py --quick            few settings, no limit: does it run?
    python benchmarks/dead_networks.py --with-subnormals  what it would be without the processor's mode (x86, ARM)

A healthy network learns the XOR set with a weak penalty. A dead one has the targets 0 and a penalty of 2 at a rate of
0.1, so that weights, moments, outputs and gradients sink through all sizes a float32 can have; or it begins with tiny
weights, or with inputs that are tiny, 0 or huge, or its rate of 1e30 destroys it in the first epoch. Both train in
windows of some epochs, several times over; a window's time is the least of them, in processor time, and the ratio is
the *slowest* window of the dead over the median window of the healthy one. The two take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from benchmarks.engine_tables import machine  # noqa: E402
from engine.configuration import TrainingConfig  # noqa: E402
from engine.methods.activations import ACTIVATIONS  # noqa: E402
from engine.methods.initializers import initialize  # noqa: E402
from engine.methods.optimizers import OPTIMIZERS  # noqa: E402
from engine.network import NetworkConfig, Parameters  # noqa: E402
from engine.roads import plain  # noqa: E402
from engine.roads.choice import choose_road  # noqa: E402
from engine.roads.compiled import session as kernels  # noqa: E402
from engine.roads.compiled import single_session  # noqa: E402
from engine.splits import Split  # noqa: E402
from engine.training import initial_state  # noqa: E402

LIMIT = 1.5
PENALTIES = ("none", "l1", "l1_subgradient", "l2", "weight_decay")
CAUSES = ("sinking", "tiny weights", "tiny inputs", "inputs 0", "huge inputs", "rate 1e30")


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and its training, healthy or dead of one of `CAUSES`."""

    sizes: tuple[int, ...] = (2, 8, 8, 1)
    activation: str = "tanh"
    optimizer: str = "sgd"
    penalty: str = "l2"
    batch: int = 10
    n_points: int = 60
    n_replicas: int = 16
    cause: str = ""

    @property
    def network(self) -> NetworkConfig:
        """The network, with tanh as the Playground's output."""
        return NetworkConfig(self.sizes[0], self.sizes[1:-1], self.sizes[-1], self.activation, "tanh")

    @property
    def training(self) -> TrainingConfig:
        """The training, with a penalty that kills where the cause says so."""
        strength = 2.0 if self.cause == "sinking" else 1e-4
        fields: dict[str, Any] = {"weight_decay": strength} if self.penalty == "weight_decay" else {}
        if self.penalty not in {"none", "weight_decay"}:
            fields = {"regularizer": self.penalty, "regularization_rate": strength}
        rate = {"sinking": 0.1, "rate 1e30": 1e30}.get(self.cause, 0.01)
        return TrainingConfig(optimizer=self.optimizer, learning_rate=rate, batch_size=self.batch, **fields)


class Run:
    """Networks in training, from their first weights on."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(1)
        X = rng.uniform(-1, 1, (case.n_replicas, case.n_points, case.sizes[0]))
        y = np.zeros((*X.shape[:2], 1)) if case.cause else np.sign(X[..., :1] * X[..., -1:])
        X *= {"tiny inputs": 1e-38, "inputs 0": 0.0, "huge inputs": 1e30}.get(case.cause, 1.0)
        parameters = initialize(case.network, [np.random.default_rng(r) for r in range(case.n_replicas)])
        if case.cause == "tiny weights":
            for array in (*parameters.weights, *parameters.biases):
                array[...] = 10.0 ** rng.uniform(-44, -36, array.shape)
        split = Split(X.astype(np.float32), y.astype(np.float32))
        state = initial_state(case.network, case.training, parameters, np.arange(case.n_replicas, dtype=np.uint64))
        session = (
            kernels.CompiledSession if choose_road(case.network, case.training) == "compiled" else plain.PlainSession
        )
        self._session = session(state, case.network, case.training, split)
        self._n_replicas = case.n_replicas

    @property
    def parameters(self) -> Parameters:
        """Where training stands."""
        return self._session.read_state().parameters

    def window(self, n_epochs: int) -> float:
        """Train; return the processor time of an epoch and network, in microseconds."""
        start = time.process_time()
        self._session.advance([n_epochs])
        return (time.process_time() - start) / n_epochs / self._n_replicas * 1e6


def measure(case: Case, n_windows: int, n_epochs: int, repetitions: int) -> tuple[float, float]:
    """Return the slowest window of the case and the median window of the healthy one, in microseconds."""
    healthy = dataclasses.replace(case, cause="")
    times: dict[str, list[list[float]]] = {"dead": [], "healthy": []}
    for _ in range(repetitions):
        runs = {"dead": Run(case), "healthy": Run(healthy)}
        windows = {name: [run.window(n_epochs) for _ in range(n_windows)] for name, run in runs.items()}
        for name, row in windows.items():
            times[name].append(row)
    least = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    return max(least["dead"]), statistics.median(least["healthy"])


def ratios(cases: Sequence[Case], effort: tuple[int, int, int]) -> list[tuple[float, float, Case]]:
    """Return (ratio, healthy microseconds, case), largest ratio first; what is above the limit is measured again."""
    rows = []
    for case in cases:
        dead, healthy = measure(case, *effort)
        if dead > LIMIT * healthy:  # a disturbed second, or the truth
            n_windows, n_epochs, repetitions = effort
            dead, healthy = measure(case, n_windows, n_epochs, 3 * repetitions)
        rows.append((dead / healthy, healthy, case))
    return sorted(rows, key=lambda row: row[0], reverse=True)


def grid(quick: bool) -> Iterator[tuple[str, list[Case]]]:
    """Yield the lines of the tables: a name, and the cases whose worst it shows."""
    activations = ("tanh", "relu") if quick else tuple(name for name in ACTIVATIONS if name != "step")
    optimizers = ("sgd", "adam") if quick else tuple(OPTIMIZERS)
    for optimizer in optimizers:
        for penalty in PENALTIES[-2:] if quick else PENALTIES:
            cases = [Case((2, 8, 8, 1), name, optimizer, penalty, cause="sinking") for name in activations]
            yield f"2-8-8-1, {optimizer}, {penalty}", cases
    for cause in CAUSES[1:]:
        cases = [Case((2, 8, 8, 1), name, optimizer, cause=cause) for optimizer in optimizers for name in activations]
        yield f"2-8-8-1, every optimizer, {cause}", cases
    shapes = [Case(batch=1, n_points=20), Case((2, *[8] * 6, 1)), Case((1, 32, 32, 1)), Case((30, 64, 1), batch=32)]
    shapes.append(Case((330, 128, 1), batch=100, n_points=100, n_replicas=1))
    for shape in shapes[:1] if quick else shapes:
        name = "-".join(str(size) for size in shape.sizes)
        road = choose_road(shape.network, shape.training)
        cases = [
            dataclasses.replace(shape, activation=activation, optimizer=optimizer, cause=cause)
            for activation in ("tanh", "relu", "sigmoid")
            for optimizer in ("sgd", "momentum", "adam")
            for cause in CAUSES
        ]
        yield f"{name}, batch {shape.batch}, {road}, every cause", cases[:3] if quick else cases


@contextlib.contextmanager
def with_subnormals() -> Iterator[None]:
    """Train as if there were no such mode."""
    mode = kernels.subnormals_are_zero
    for road in (kernels, single_session, plain):
        road.subnormals_are_zero = lambda dtype: contextlib.nullcontext()  # type: ignore[attr-defined]  # noqa: ARG005
    try:
        yield
    finally:
        for road in (kernels, single_session, plain):
            road.subnormals_are_zero = mode  # type: ignore[attr-defined]


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each group of settings; return 1 where one is above the limit."""
    parser = argparse.ArgumentParser(description="What dead networks cost.")
    parser.add_argument("--quick", action="store_true", help="few settings, short; no limit")
    parser.add_argument("--only", default="", metavar="TEXT", help="lines with this text in their name")
    parser.add_argument("--with-subnormals", action="store_true", help="without the processor's mode")
    args = parser.parse_args(arguments)
    effort = (4, 5, 1) if args.quick else (30, 20, 3)
    kernels.warm_up("float32")
    print(machine(os.getloadavg()[0]))
    print("| cases | settings | healthy, µs an epoch and network | dead ÷ healthy, worst | median | the worst |")
    print("| --- | --: | --: | --: | --: | --- |")
    worst = 0.0
    with with_subnormals() if args.with_subnormals else contextlib.nullcontext():
        for name, cases in grid(args.quick):
            if args.only not in name:
                continue
            rows = ratios(cases, effort)
            ratio, healthy, case = rows[0]
            worst = max(worst, ratio)
            median = statistics.median(row[0] for row in rows)
            who = f"{case.activation}, {case.optimizer}, {case.cause}"
            print(f"| {name} | {len(rows)} | {healthy:.3g} | {ratio:.2f} | {median:.2f} | {who} |", flush=True)
    print(f"worst: {worst:.2f} × (limit {LIMIT})")
    return 1 if worst > LIMIT and not args.quick else 0


if __name__ == "__main__":
    sys.exit(main())
