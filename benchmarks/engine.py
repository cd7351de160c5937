"""The engine against its peers: microseconds per epoch and network, every peer in one run.

    python benchmarks/engine.py                                  every table, a quarter of an hour
    python benchmarks/engine.py --only wide --only polynomial    some of them
    python benchmarks/engine.py --quick                          all of them, small: does it run?
    python benchmarks/engine.py --json                           a list of objects, one a line of a table
    python benchmarks/engine.py --into docs/performance.md       each table between its marks, as soon as it is done
    python benchmarks/engine.py --only together --draw cost.svg  cost of a network when R train together

Repetitions go round the peers, so that a disturbed second disturbs all; figures are medians. On one core the
processor's time counts, which other work on the machine disturbs less than the wall's; on two the wall's. Peers that
train many networks at once run at several numbers of networks. A loop in C, plain and blocked, is compiled by `cc` if
there is one. One child process for each table and number of cores,
pinned to them. Fashion-MNIST comes from `SWEEPS_DATA` or is fetched as `sweeps` does it; without it, made images take
its place, and the table says so. Peers whose losses disagree are told, and all else is measured; the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if sys.path[0] == str(ROOT / "benchmarks"):  # run as a script: its files have names of packages
    sys.path[0] = str(ROOT)

from benchmarks.c_loops import LANES, c_peers, is_for  # noqa: E402
from benchmarks.engine_tables import Row, draw, machine, markdown, plain_text, write_into  # noqa: E402
from benchmarks.peers import (  # noqa: E402
    Config,
    Peer,
    Problem,
    engine_peer,
    images,
    jax_peer,
    made_images,
    numbers,
    rule_peer,
    sklearn_peer,
    torch_batched_peer,
    torch_peer,
)

TARGET_S = 0.08  # length of one measurement
JAX_COUNTS = (16, 64, 256)
TORCH_COUNTS = (64, 256, 1024)
TOGETHER = (16, 1, 2, 4, 8, 12, 20, 24, 32, 48, 64)

NARROW = (
    Config("2-8-8-1 tanh", (2, 8, 8, 1), "tanh", 10),
    Config("2-8-8-1 tanh", (2, 8, 8, 1), "tanh", 1),
    Config("2-8-8-1 relu", (2, 8, 8, 1), "relu", 10),
    Config("2-8-8-1 relu", (2, 8, 8, 1), "relu", 1),
    Config("2-4-1 relu", (2, 4, 1), "relu", 30),
    Config("2-6-2-1 relu", (2, 6, 2, 1), "relu", 30),
    Config("2-8-8-8-8-8-8-1 tanh", (2, 8, 8, 8, 8, 8, 8, 1), "tanh", 10),
    Config("1-32-32-1 tanh", (1, 32, 32, 1), "tanh", 10),
)
HOMEWORK = (
    Config("1-150-150-1 relu", (1, 150, 150, 1), "relu", 1, rate=0.003, tolerance=1e-4),
    Config("1-150-150-1 relu", (1, 150, 150, 1), "relu", 8, rate=0.003, tolerance=1e-4),
)
WIDE = Config(
    "784-256-10 relu", (784, 256, 10), "relu", 256, "linear", "softmax_cross_entropy", rate=0.1, n_points=60_000,
    order="shuffled", tolerance=1e-2,  # after 705 steps; PyTorch's sums change with its threads
)  # fmt: skip
WIDE_IMAGES = (WIDE, dataclasses.replace(WIDE, name="784-256-256-10 relu", sizes=(784, 256, 256, 10)))
WIDE_TABLES = (
    Config("330-128-1 tanh", (330, 128, 1), "tanh", 32, "linear", rate=1e-3, n_points=1050, order="shuffled"),
    *HOMEWORK,
)
POLYNOMIAL = Config(
    "1-2-1 sigmoid, Adam, all points", (1, 2, 1), "sigmoid", 10_000, "linear", "mse", "adam", 0.01, 10_000,
    tolerance=1e-4,
)  # fmt: skip

SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "shuffled each epoch": {"order": "shuffled"},
    "momentum": {"optimizer": "momentum"},
    "nesterov": {"optimizer": "nesterov"},
    "adagrad": {"optimizer": "adagrad"},
    "rmsprop": {"optimizer": "rmsprop"},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "l1": {"regularizer": "l1", "regularization_rate": 1e-4},
    "l2": {"regularizer": "l2", "regularization_rate": 1e-4},
    "dropout 0.2": {"dropout": (0.2,)},
    "training loss each epoch": {"losses_on": 1},
    "training and test loss each epoch": {"losses_on": 2},
    "float64": {"dtype": "float64"},
}


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured."""

    quick: bool
    repetitions: int
    target_s: float


def has(package: str) -> bool:
    """Return whether a peer is installed, saying so where it is not."""
    if importlib.util.find_spec(package) is not None:
        return True
    print(f"not measured: {package} is not installed; python -m pip install {package}", file=sys.stderr)
    return False


def measure(peers: list[Peer], effort: Effort, clock: Callable[[], float]) -> None:
    """Fill `times_us`, going round the peers."""
    for peer in peers:
        peer.run(1)
        start = clock()
        peer.run(1)
        peer.epochs = max(1, round(effort.target_s / max(clock() - start, 1e-7)))
    for _ in range(effort.repetitions):
        for peer in peers:
            start = clock()
            peer.run(peer.epochs)
            peer.times_us.append((clock() - start) / peer.epochs / peer.n_networks * 1e6)


def check_agreement(config: Config, peers: list[Peer]) -> None:
    """Raise where a peer does not train like the others."""
    losses = {}
    for peer in peers:
        if peer.loss is not None:
            peer.run(3)
            losses[peer.name] = peer.loss()
    if not np.ptp(list(losses.values())) <= config.tolerance:  # NaN disagrees, too
        raise RuntimeError(f"{config.name}, batch {config.batch}: losses differ after 3 epochs: {losses}")


def compare(config: Config, cores: int, peers: list[Peer], effort: Effort, *unchecked: Peer) -> list[Row]:
    """Return the lines of peers that train alike and of some whose losses say nothing; else one that tells why not."""
    try:
        check_agreement(config, peers)
    except RuntimeError as error:
        return [{"config": config.name, "batch": config.batch, "cores": cores, "disagreement": str(error)}]
    return rows_of(config, cores, [*peers, *unchecked], effort)


def rows_of(config: Config, cores: int, peers: list[Peer], effort: Effort, *, wall: bool | None = None) -> list[Row]:
    """Measure and return a line for each peer; `ratio` is how many times the first one's time it takes."""
    in_wall_time = cores > 1 if wall is None else wall
    print(f"  {config.name}, batch {config.batch}, {cores} core(s): {len(peers)} peers", file=sys.stderr, flush=True)
    measure(peers, effort, time.perf_counter if in_wall_time else time.process_time)
    own_us = statistics.median(peers[0].times_us)
    return [
        {
            "config": config.name,
            "batch": config.batch,
            "cores": cores,
            "peer": peer.name,
            "us_per_epoch_per_network": float(f"{(us := statistics.median(peer.times_us)):.4g}"),
            "ratio": float(f"{us / own_us:.4g}"),
            "prepare_s": round(peer.prepare_s, 2),
        }
        for peer in peers
    ]


def narrow(cores: int, effort: Effort) -> list[Row]:
    """Measure every peer on the networks of the main job; this engine trains 16, one trial, on each thread."""
    rows = []
    for config in NARROW[:1] if effort.quick else NARROW:
        peers = [engine_peer(config, numbers(config, 16), cores)]
        if has("torch"):
            peers.append(torch_peer(config, numbers(config, 1)))
        if cores == 1:
            alone = engine_peer(config, numbers(config, 1), road="numpy")
            alone.name = "NumPy, one at a time"
            peers += [alone, sklearn_peer(config, numbers(config, 1))]
            if config.sizes == (2, 8, 8, 1) and is_for(config):
                peers += c_peers(config, numbers(config, LANES))
        if has("torch"):
            peers += [torch_batched_peer(config, numbers(config, n)) for n in TORCH_COUNTS[: 1 if effort.quick else 3]]
        if has("jax"):
            counts = JAX_COUNTS[: 1 if effort.quick else 3]
            peers += [jax_peer(config, numbers(config, n), last) for n in counts for last in (False, True)]
        rows += compare(config, cores, peers, effort)
    return rows


def homework(cores: int, effort: Effort) -> list[Row]:
    """Measure the perceptron homework's network: 16 together, and one alone."""
    rows = []
    for config in HOMEWORK[1:] if effort.quick else HOMEWORK:
        alone = engine_peer(config, numbers(config, 1))
        alone.name = "this engine, one network"
        peers = [engine_peer(config, numbers(config, 16)), alone]
        if has("torch"):
            peers.append(torch_peer(config, numbers(config, 1)))
        rows += compare(config, cores, peers, effort, sklearn_peer(config, numbers(config, 1)))
    return rows


def wide_problems(effort: Effort) -> Iterator[tuple[Config, Problem]]:
    """Yield networks for Fashion-MNIST, or made images where it is not to be had, and for tables; one when quick."""
    data = None
    if not effort.quick:
        from sweeps.data.table.published.named import load_fashion_images

        try:
            data = load_fashion_images()
        except (ValueError, OSError) as error:
            print(f"Fashion-MNIST: {error}; made images take its place", file=sys.stderr)
    n = 2_560 if effort.quick else WIDE.n_points
    for config in WIDE_IMAGES[: 1 if effort.quick else None]:
        if data is not None:
            yield config, images(config, data.images, data.labels)
        else:
            made = dataclasses.replace(config, name=f"{config.name}, {n} made images", n_points=n, tolerance=1e-4)
            yield made, images(made, *made_images(n))
    for config in () if effort.quick else WIDE_TABLES:
        yield config, numbers(config, 1)


def wide(cores: int, effort: Effort) -> list[Row]:
    """Measure one network at a time against PyTorch on as many cores: images, shuffled anew each epoch, and tables."""
    rows = []
    for config, problem in wide_problems(effort):
        peers = [engine_peer(config, problem)]
        if has("torch"):
            peers.append(torch_peer(config, problem))
        rows += compare(config, cores, peers, effort)
    return rows


def polynomial(cores: int, effort: Effort) -> list[Row]:
    """Measure full-batch steps of the two-unit polynomial network: the plain road, the Gauss rule, PyTorch."""
    config = POLYNOMIAL
    if effort.quick:
        config = dataclasses.replace(config, batch=1000, n_points=1000)
    peers = [engine_peer(config, numbers(config, 16)), rule_peer(config, numbers(config, 16))]
    peers[0].name = "this engine, train x 16"
    if has("torch"):
        peers.append(torch_peer(config, numbers(config, 1)))
    return compare(config, cores, peers, effort)


def settings(cores: int, effort: Effort) -> list[Row]:
    """Measure this engine's own price of each setting, as a multiple of plain SGD's in fixed order."""
    config = NARROW[0]
    peers = []
    for name, changes in SETTINGS.items():
        peer = engine_peer(config, numbers(config, 16), **changes)
        peer.name = name
        peers.append(peer)
    return rows_of(config, cores, peers, effort)


def together(cores: int, effort: Effort) -> list[Row]:
    """Measure the price of a network when 1, 2, ..., 64 train together, as a multiple of that among 16."""
    config = NARROW[0]
    peers = []
    for n in TOGETHER:
        peer = engine_peer(config, numbers(config, n))
        peer.name = str(n)
        peers.append(peer)
    rows = rows_of(config, cores, peers, effort)
    return sorted(rows, key=lambda row: int(row["peer"]))


def threads(cores: int, effort: Effort) -> list[Row]:
    """Measure independent trials of 16 networks on two threads and on one; its ratio is the speed-up."""
    config = NARROW[0]
    peers = [engine_peer(config, numbers(config, 16), n_threads) for n_threads in (2, 1)]
    for peer, name in zip(peers, ("2 threads", "1 thread"), strict=True):
        peer.name = name
    return rows_of(config, cores, peers, effort, wall=True)


def compiler(cores: int, effort: Effort) -> list[Row]:
    """Measure processor time of the compiler, once a machine and type, and of loading what it made, once a process."""
    rows = []
    code = (
        "import sys, time\nfrom engine.roads.compiled import session\n"
        "t = time.process_time()\nsession.warm_up(sys.argv[1])\n"
        "print(time.process_time() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
        for dtype in ("float32",) if effort.quick else ("float32", "float64"):
            for what in ("compile", "load"):
                command = [sys.executable, "-c", code, dtype]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                seconds = round(float(done.stdout), 2)
                rows.append({"config": dtype, "batch": None, "cores": cores, "peer": what} | _no_time(seconds))
    return rows


def _no_time(prepare_s: float) -> Row:
    return {"us_per_epoch_per_network": None, "ratio": None, "prepare_s": prepare_s}


TABLES: dict[str, tuple[Callable[[int, Effort], list[Row]], tuple[int, ...]]] = {
    "narrow": (narrow, (1, 2)),
    "homework": (homework, (1,)),
    "wide": (wide, (1, 2)),
    "polynomial": (polynomial, (1,)),
    "settings": (settings, (1,)),
    "together": (together, (1,)),
    "threads": (threads, (2,)),
    "compiler": (compiler, (1,)),
}


def child(name: str, cores: int, effort: Effort) -> list[Row]:
    """Measure one table on a number of cores, in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-cores:]))
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(cores)
    warnings.simplefilter("ignore")  # scikit-learn warns that one epoch has not converged
    return [{"table": name, **row} for row in TABLES[name][0](cores, effort)]


def run_table(name: str, effort: Effort, n_available: int) -> tuple[list[Row], int]:
    """Measure a table in one child for each number of cores; say what failed, and return how much did."""
    rows: list[Row] = []
    n_failed = 0
    for cores in TABLES[name][1][: 1 if effort.quick else None]:
        if cores > n_available:
            print(f"not measured: {name} on {cores} cores; this process has {n_available}", file=sys.stderr)
            continue
        print(f"{name}, {cores} core(s)", file=sys.stderr, flush=True)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(cores),
            "OPENBLAS_NUM_THREADS": str(cores),
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if cores > 1 else 'false'}",
            "JAX_PLATFORMS": "cpu",
        }
        command = [sys.executable, __file__, "--child", name, str(cores), "--repetitions", str(effort.repetitions)]
        command += ["--quick"] * effort.quick
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"failed: {name} on {cores} core(s), exit status {done.returncode}; see above", file=sys.stderr)
            n_failed += 1
            continue
        for row in json.loads(done.stdout.splitlines()[-1]):
            if "disagreement" in row:
                print(f"failed: {row['disagreement']}", file=sys.stderr)
                n_failed += 1
            else:
                rows.append(row)
    return rows, n_failed


def main(arguments: list[str] | None = None) -> int:
    """Measure the tables asked for and print or write them; return the exit status."""
    parser = argparse.ArgumentParser(description="The engine against its peers, in one run.")
    parser.add_argument("--only", action="append", choices=list(TABLES), help="a table; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="small: fewer peers, points and repetitions")
    parser.add_argument("--repetitions", type=int, help="measurements of each peer (default 7, quick 2)")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write each table between its marks in a document")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the table `together`; PNG, SVG or PDF by name")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    repetitions = args.repetitions or (2 if args.quick else 7)
    effort = Effort(args.quick, repetitions, 0.01 if args.quick else TARGET_S)
    if args.child:
        print(json.dumps(child(args.child[0], int(args.child[1]), effort)))
        return 0
    names = [name for name in TABLES if args.only is None or name in args.only]
    if args.draw and "together" not in names:
        parser.error("--draw: draws the table `together`; give --only together, too")
    n_available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    everything: list[Row] = []
    n_failed = 0
    for name in names:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        rows, n_failed_here = run_table(name, effort, n_available)
        everything += rows
        n_failed += n_failed_here
        if not rows:
            continue
        text = f"{machine(load)}\n\n{markdown(name, rows)}"
        if args.into:
            write_into(args.into, name, text)
        if args.draw and name == "together":
            draw(rows, args.draw)
        if args.markdown:
            print(f"\n### {name}\n\n{text}", flush=True)
        elif not args.json and not args.into:
            print(f"\n{machine(load)}{plain_text(name, rows)}", flush=True)
    if args.json:
        print(json.dumps(everything, indent=1))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
