"""The engine against its peers: microseconds per epoch and network, every peer in one run.

    python benchmarks/engine.py                       the whole table, some minutes
    python benchmarks/engine.py --quick               one configuration, fewer repetitions
    python benchmarks/engine.py --json                the same as a list of objects
    python benchmarks/engine.py --markdown            the table of docs/performance.md

Every peer trains the same network from the same weights on the same 350 points in the same order with the same plain
SGD in float32, and must reach the same loss (scikit-learn excepted, whose output layer is linear). Repetitions go round
the peers, so that a disturbed second disturbs all; figures are medians. On one core the processor's time counts,
which other work on the machine disturbs less than the wall's; on two the wall's. Compile time is measured apart. Peers
that train many networks at once run at several numbers of networks, and their best counts. One child process for each
number of cores, pinned to them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose files have names of packages

N_POINTS = 350
RATE = 0.03
TARGET_S = 0.08  # length of one measurement
JAX_COUNTS = (16, 256)
TORCH_COUNTS = (256, 1024)


@dataclass(frozen=True)
class Config:
    """A network and a batch size."""

    name: str
    sizes: tuple[int, ...]
    activation: str
    batch: int


CONFIGS = (
    Config("2-8-8-1 tanh", (2, 8, 8, 1), "tanh", 10),
    Config("2-8-8-1 tanh", (2, 8, 8, 1), "tanh", 1),
    Config("2-4-1 relu", (2, 4, 1), "relu", 30),
    Config("2-6-2-1 relu", (2, 6, 2, 1), "relu", 30),
    Config("2-8-8-8-8-8-8-1 tanh", (2, 8, 8, 8, 8, 8, 8, 1), "tanh", 10),
    Config("1-32-32-1 tanh", (1, 32, 32, 1), "tanh", 10),
)


@dataclass
class Peer:
    """Something that trains: `run(epochs)` trains `n_networks` networks; `loss()` is the first one's training loss."""

    name: str
    n_networks: int
    run: Callable[[int], None]
    loss: Callable[[], float] | None = None
    prepare_s: float = 0.0
    times_us: list[float] = field(default_factory=list)
    epochs: int = 1


def points(config: Config, n_networks: int) -> tuple[Any, Any, list[Any], list[Any]]:
    """Return X (R, n, d), y (R, n, 1), weights and biases; network 0 is the same for any R."""
    X, y, weights, biases = [], [], [], []
    for r in range(n_networks):
        rng = np.random.default_rng([1, r])
        X.append(rng.uniform(-1, 1, (N_POINTS, config.sizes[0])))
        y.append(np.sign(np.prod(X[-1], axis=1, keepdims=True)) * 0.8)
        weights.append([rng.uniform(-0.5, 0.5, pair) for pair in itertools.pairwise(config.sizes)])
        biases.append([np.full(n, 0.1) for n in config.sizes[1:]])

    def stack(values: list[Any]) -> list[Any]:
        return [np.stack(layer).astype(np.float32) for layer in zip(*values, strict=True)]

    return np.stack(X).astype(np.float32), np.stack(y).astype(np.float32), stack(weights), stack(biases)


def engine_peer(config: Config, n_networks: int, n_threads: int = 1, road: Any = "compiled", **settings: Any) -> Peer:
    """Return this project's engine; with threads, each trains `n_networks` of its own."""
    from engine.configuration import TrainingConfig
    from engine.evaluation import mean_losses
    from engine.network import NetworkConfig, Parameters
    from engine.splits import Split
    from engine.training import advance, initial_state, train

    X, y, weights, biases = points(config, n_networks)
    network = NetworkConfig(config.sizes[0], config.sizes[1:-1], 1, config.activation, "tanh")
    evaluate = settings.pop("evaluate", False)
    training = TrainingConfig(**{"order": "fixed", "learning_rate": RATE, "batch_size": config.batch, **settings})
    split = Split(X.astype(training.dtype), y.astype(training.dtype))
    parameters, seeds = Parameters(weights, biases), np.arange(n_networks, dtype=np.uint64)
    states = [initial_state(network, training, parameters, seeds) for _ in range(n_threads)]
    start = time.perf_counter()
    if road == "compiled":
        from engine import kernels

        kernels.warm_up(training.dtype)
    prepare_s = time.perf_counter() - start

    def work(state: Any, epochs: int) -> None:
        if evaluate:
            looks, splits = range(state.epoch + 1, state.epoch + epochs + 1), {"train": split}
            train(network, training, split, parameters, seeds, look_at=looks, evaluate_on=splits, state=state)
        else:
            advance(state, network, training, split, epochs, road=road)

    pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def run(epochs: int) -> None:
        if pool is None:
            work(states[0], epochs)
        else:
            list(pool.map(lambda state: work(state, epochs), states))

    def loss() -> float:
        return float(mean_losses(network, states[0].parameters, split, training.loss)[0])

    name = "this engine" if road == "compiled" else "this engine, NumPy one at a time"
    return Peer(name, n_networks * n_threads, run, loss, prepare_s)


def torch_peer(config: Config) -> Peer:
    """Return PyTorch eager as everyone writes it: one network, batches by slicing."""
    import torch

    X, y, weights, biases = points(config, 1)
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[config.activation]
    layers: list[Any] = []
    for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
        linear = torch.nn.Linear(W.shape[1], W.shape[2])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W[0].T.copy()))
            linear.bias.copy_(torch.from_numpy(b[0]))
        layers += [linear, activation() if i + 1 < len(weights) else torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    inputs, targets = torch.from_numpy(X[0]), torch.from_numpy(y[0])

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for i in range(0, N_POINTS, config.batch):
                optimizer.zero_grad()
                error = model(inputs[i : i + config.batch]) - targets[i : i + config.batch]
                (0.5 * error * error).mean().backward()
                optimizer.step()

    def loss() -> float:
        with torch.no_grad():
            return float((0.5 * (model(inputs) - targets) ** 2).mean())

    return Peer("PyTorch eager", 1, run, loss)


def torch_batched_peer(config: Config, n_networks: int) -> Peer:
    """Return PyTorch with all networks in one batched product a layer."""
    import torch

    X, y, weights, biases = points(config, n_networks)
    activation = {"tanh": torch.tanh, "relu": torch.relu}[config.activation]
    W = [torch.from_numpy(w).requires_grad_() for w in weights]
    b = [torch.from_numpy(v[:, None, :].copy()).requires_grad_() for v in biases]
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def outputs(a: Any) -> Any:
        for i, (w, v) in enumerate(zip(W, b, strict=True)):
            a = torch.baddbmm(v, a, w)
            a = activation(a) if i + 1 < len(W) else torch.tanh(a)
        return a

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for i in range(0, N_POINTS, config.batch):
                error = outputs(inputs[:, i : i + config.batch]) - targets[:, i : i + config.batch]
                gradients = torch.autograd.grad((0.5 * error * error).mean(dim=(1, 2)).sum(), W + b)
                with torch.no_grad():
                    torch._foreach_add_(W + b, gradients, alpha=-RATE)

    def loss() -> float:
        with torch.no_grad():
            return float((0.5 * (outputs(inputs) - targets) ** 2)[0].mean())

    return Peer(f"PyTorch batched x {n_networks}", n_networks, run, loss)


def jax_peer(config: Config, n_networks: int, replicas_last: bool) -> Peer:
    """Return JAX with `vmap` (replicas first), or written out with the replicas as last axis."""
    import jax
    import jax.numpy as jnp

    X, y, weights, biases = points(config, n_networks)
    hidden = {"tanh": jnp.tanh, "relu": jax.nn.relu}[config.activation]
    n_batches = N_POINTS // config.batch
    n_rest = N_POINTS - n_batches * config.batch

    def one(parameters: Any, a: Any, target: Any) -> Any:
        for i, (W, b) in enumerate(parameters):
            a = a @ W + b
            a = hidden(a) if i + 1 < len(parameters) else jnp.tanh(a)
        return 0.5 * ((a - target) ** 2).mean()

    def last(parameters: Any, a: Any, target: Any) -> Any:
        for i, (W, b) in enumerate(parameters):
            a = (a[:, :, None, :] * W[None]).sum(axis=1) + b
            a = hidden(a) if i + 1 < len(parameters) else jnp.tanh(a)
        return 0.5 * ((a - target) ** 2).mean(axis=(0, 1)).sum()

    if replicas_last:
        parameters = [(jnp.moveaxis(W, 0, -1), jnp.moveaxis(b, 0, -1)) for W, b in zip(weights, biases, strict=True)]
        inputs, targets = jnp.moveaxis(X, 0, -1), jnp.moveaxis(y, 0, -1)
        gradient, axis = jax.grad(last), 0
    else:
        parameters = [(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(weights, biases, strict=True)]
        inputs, targets = jnp.asarray(X), jnp.asarray(y)
        gradient, axis = jax.vmap(jax.grad(one)), 1

    def cut(values: Any) -> tuple[Any, Any]:
        whole = jax.lax.slice_in_dim(values, 0, n_batches * config.batch, axis=axis)
        shape = (*whole.shape[:axis], n_batches, config.batch, *whole.shape[axis + 1 :])
        rest = jax.lax.slice_in_dim(values, n_batches * config.batch, N_POINTS, axis=axis)
        return jnp.moveaxis(whole.reshape(shape), axis, 0), rest

    (batches_x, rest_x), (batches_y, rest_y) = cut(inputs), cut(targets)

    def step(parameters: Any, batch: Any) -> tuple[Any, None]:
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradient(parameters, *batch)), None

    @jax.jit
    def train(parameters: Any, epochs: Any) -> Any:
        def epoch(_: Any, parameters: Any) -> Any:
            parameters, _ = jax.lax.scan(step, parameters, (batches_x, batches_y))
            return step(parameters, (rest_x, rest_y))[0] if n_rest else parameters

        return jax.lax.fori_loop(0, epochs, epoch, parameters)

    start = time.perf_counter()
    jax.block_until_ready(train(parameters, 0))
    prepare_s = time.perf_counter() - start
    state = [parameters]

    def run(epochs: int) -> None:
        state[0] = jax.block_until_ready(train(state[0], epochs))

    def loss() -> float:
        if replicas_last:
            first = [(W[..., 0], b[..., 0]) for W, b in state[0]]
            return float(one(first, inputs[..., 0], targets[..., 0]))
        return float(one([(W[0], b[0]) for W, b in state[0]], inputs[0], targets[0]))

    return Peer(f"JAX {'last' if replicas_last else 'vmap'} x {n_networks}", n_networks, run, loss, prepare_s)


def sklearn_peer(config: Config) -> Peer:
    """Return scikit-learn's MLPRegressor, an epoch a `partial_fit`."""
    from sklearn.neural_network import MLPRegressor

    X, y, _, _ = points(config, 1)
    model = MLPRegressor(
        hidden_layer_sizes=config.sizes[1:-1],
        activation=config.activation,
        solver="sgd",
        alpha=0.0,
        batch_size=config.batch,
        learning_rate_init=RATE,
        momentum=0.0,
        shuffle=False,
        random_state=0,
    )

    def run(epochs: int) -> None:
        for _ in range(epochs):
            model.partial_fit(X[0], y[0, :, 0])

    return Peer("scikit-learn", 1, run)


def measure(peers: list[Peer], repetitions: int, clock: Callable[[], float]) -> None:
    """Fill `times_us`, going round the peers."""
    for peer in peers:
        peer.run(1)
        start = clock()
        peer.run(2)
        peer.epochs = max(1, round(TARGET_S / max((clock() - start) / 2, 1e-7)))
    for _ in range(repetitions):
        for peer in peers:
            start = clock()
            peer.run(peer.epochs)
            elapsed = clock() - start
            peer.times_us.append(elapsed / peer.epochs / peer.n_networks * 1e6)


def check_agreement(config: Config, peers: list[Peer]) -> None:
    """Raise where a peer does not train like the others."""
    losses = {}
    for peer in peers:
        if peer.loss is not None:
            peer.run(3)
            losses[peer.name] = peer.loss()
    if max(losses.values()) - min(losses.values()) > 2e-5:
        raise RuntimeError(f"{config.name}, batch {config.batch}: the peers disagree after 3 epochs: {losses}")


def row(config: Config, cores: int, peer: Peer, own_us: float) -> dict[str, Any]:
    """Return one line of the table; `ratio` is how many times this engine's time the peer takes."""
    us = statistics.median(peer.times_us)
    return {
        "config": config.name,
        "batch": config.batch,
        "cores": cores,
        "peer": peer.name,
        "us_per_epoch_per_network": round(us, 3),
        "ratio": round(us / own_us, 2),
        "prepare_s": round(peer.prepare_s, 2),
    }


def compare_peers(cores: int, quick: bool, repetitions: int) -> list[dict[str, Any]]:
    """Return rows of every configuration."""
    rows = []
    for config in CONFIGS[:1] if quick else CONFIGS:
        # On two cores each thread has 16 networks of its own; on one, 16 networks is what a trial of a sweep trains.
        peers = [engine_peer(config, 16, cores), torch_peer(config)]
        if cores == 1:
            peers += [engine_peer(config, 1, road="numpy"), sklearn_peer(config)]
        peers += [torch_batched_peer(config, count) for count in TORCH_COUNTS]
        peers += [jax_peer(config, count, last) for count in JAX_COUNTS for last in (False, True)]
        check_agreement(config, peers)
        measure(peers, repetitions, time.process_time if cores == 1 else time.perf_counter)
        own = statistics.median(peers[0].times_us)
        rows += [row(config, cores, peer, own) for peer in peers]
    return rows


VARIANTS: dict[str, dict[str, Any]] = {
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
    "float64": {"dtype": "float64"},
    "training loss each epoch": {"evaluate": True},
}


def compare_variants(repetitions: int) -> list[dict[str, Any]]:
    """Return this engine's own price of each setting, as a multiple of plain SGD's."""
    config = CONFIGS[0]
    peers = []
    for name, settings in VARIANTS.items():
        peer = engine_peer(config, 16, **settings)
        peer.name = name
        peers.append(peer)
    measure(peers, repetitions, time.process_time)
    own = statistics.median(peers[0].times_us)
    return [row(config, 1, peer, own) for peer in peers]


def compare_counts(repetitions: int) -> list[dict[str, Any]]:
    """Return the price of a network when 1, 2, ..., 64 train together, as a multiple of that among 16."""
    config = CONFIGS[0]
    peers = []
    for count in (16, 1, 2, 4, 8, 12, 20, 32, 48, 64):
        peer = engine_peer(config, count)
        peer.name = f"{count} networks"
        peers.append(peer)
    measure(peers, repetitions, time.process_time)
    own = statistics.median(peers[0].times_us)
    return [row(config, 1, peer, own) for peer in peers]


def compare_threads(repetitions: int) -> list[dict[str, Any]]:
    """Return the price of a network with one and with two threads, each with 16 networks of its own."""
    config = CONFIGS[0]
    peers = [engine_peer(config, 16, n_threads) for n_threads in (1, 2)]
    peers[0].name, peers[1].name = "1 thread", "2 threads"
    measure(peers, repetitions, time.perf_counter)
    own = statistics.median(peers[0].times_us)
    return [row(config, 2, peer, own) for peer in peers]


def child(cores: int, quick: bool, repetitions: int) -> dict[str, list[dict[str, Any]]]:
    """Measure on a number of cores, in this process."""
    import torch

    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(available[-cores:]))
    torch.set_num_threads(cores)
    warnings.simplefilter("ignore")  # scikit-learn warns that one epoch has not converged
    tables = {"peers": compare_peers(cores, quick, repetitions)}
    if cores == 1:
        tables["variants"] = compare_variants(repetitions)
        tables["networks together"] = compare_counts(repetitions)
    else:
        tables["threads"] = compare_threads(repetitions)
    return tables


def markdown(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for title, rows in tables.items():
        lines += [
            f"\n### {title}\n",
            "| network | batch | cores | who | µs per epoch and network | × ours | compile s |",
        ]
        lines += ["|---|--:|--:|---|--:|--:|--:|"]
        lines += [
            f"| {r['config']} | {r['batch']} | {r['cores']} | {r['peer']} | {r['us_per_epoch_per_network']:.3g} | "
            f"{r['ratio']:.3g} | {r['prepare_s'] or ''} |"
            for r in rows
        ]
    return "\n".join(lines)


def main() -> None:
    """Run one child for each number of cores and print what they measured."""
    parser = argparse.ArgumentParser(description="The engine against its peers, in one run.")
    parser.add_argument("--quick", action="store_true", help="one configuration")
    parser.add_argument("--repetitions", type=int, default=7, help="measurements of each peer (default %(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=None, help="numbers of cores (default: 1 and 2)")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child, args.quick, args.repetitions)))
        return
    tables: dict[str, list[dict[str, Any]]] = {}
    for cores in args.cores or ([1, 2] if len(os.sched_getaffinity(0)) > 1 else [1]):
        command = [sys.executable, __file__, "--child", str(cores), "--repetitions", str(args.repetitions)]
        flags = f"--xla_cpu_multi_thread_eigen={'true' if cores > 1 else 'false'}"
        environment = {**os.environ, "XLA_FLAGS": flags, "OMP_NUM_THREADS": str(cores), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            command + ["--quick"] * args.quick, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        for title, rows in json.loads(done.stdout.splitlines()[-1]).items():
            tables.setdefault(title, []).extend(rows)
    if args.json:
        print(json.dumps([{"table": title, **r} for title, rows in tables.items() for r in rows], indent=1))
    elif args.markdown:
        print(markdown(tables))
    else:
        for title, rows in tables.items():
            print(f"\n{title}")
            for r in rows:
                where = f"  {r['config']:22s} batch {r['batch']:3d}  {r['cores']} core(s)  {r['peer']:34s}"
                compiling = f"   (compile {r['prepare_s']:.1f} s)" if r["prepare_s"] else ""
                print(f"{where}{r['us_per_epoch_per_network']:12.2f} us {r['ratio']:10.2f} x{compiling}")


if __name__ == "__main__":
    main()
