"""Peers in C for `benchmarks/engine.py`: `loop.c`, compiled where they are measured, 16 networks at once on one core.

The plain form is what a patient programmer writes and leaves to the compiler; the blocked form keeps sums in registers.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import Config, FloatArray, Peer, Problem

SOURCE = Path(__file__).with_name("loop.c")
FLAGS = ("-O3", "-march=native", "-ffast-math")
LANES = 16
ALIGNMENT = 64  # bytes of a vector of 16


def is_for(config: Config) -> bool:
    """Return whether `loop.c` trains such networks: two hidden layers of one even width, tanh or ReLU, whole batches."""
    return (
        len(config.sizes) == 4
        and config.sizes[1] == config.sizes[2]
        and config.sizes[1] % 2 == 0
        and config.sizes[3] == 1
        and config.activation in {"tanh", "relu"}
        and (config.output, config.loss, config.optimizer, config.order)
        == ("tanh", "half_squared_error", "sgd", "fixed")
        and config.batch <= 16
        and config.n_points % config.batch == 0
    )


def compiled(config: Config) -> ctypes.CDLL | None:
    """Return `loop.c` compiled for a network and batch, or None, saying so, where `cc` is missing or fails."""
    cc = shutil.which("cc")
    if cc is None:
        print("not measured: C loops; there is no C compiler `cc` on PATH", file=sys.stderr)
        return None
    defined = [f"-DINPUTS={config.sizes[0]}", f"-DHIDDEN={config.sizes[1]}", f"-DBATCH={config.batch}"]
    defined += ["-DTANH"] * (config.activation == "tanh")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        objects, library = f"{folder}/loop.o", f"{folder}/loop.so"
        # Linked without -ffast-math: with it GCC adds code that, on loading, flushes this whole process's subnormals.
        for command in (
            [cc, *FLAGS, *defined, "-fPIC", "-c", str(SOURCE), "-o", objects],
            [cc, "-shared", objects, "-lm", "-o", library],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"not measured: C loops; {' '.join(command)} failed: {done.stderr.strip()}", file=sys.stderr)
                return None
        return ctypes.CDLL(library)


def c_peers(config: Config, problem: Problem) -> list[Peer]:
    """Return the plain and the blocked form for 16 networks, or none without a compiler.

    Raises
    ------
    ValueError
        If `loop.c` does not train such networks, or not as many.
    """
    if not is_for(config) or len(problem.X) != LANES:
        raise ValueError(f"{config.name}, batch {config.batch}, {len(problem.X)} networks: loop.c does not train these")
    start = time.perf_counter()  # the compiler is another process, whose time this one's does not hold
    library = compiled(config)
    if library is None:
        return []
    prepare_s = time.perf_counter() - start
    return [
        _peer("a C loop", library.train_plain, config, problem, prepare_s),
        _peer("a C loop, blocked", library.train_blocked, config, problem, prepare_s),
    ]


def _peer(name: str, train: Any, config: Config, problem: Problem, prepare_s: float) -> Peer:
    pointer = ctypes.POINTER(ctypes.c_float)
    train.argtypes = [pointer, pointer, pointer, ctypes.c_int, ctypes.c_int, ctypes.c_float]
    train.restype = None
    layers = zip(problem.weights, problem.biases, strict=True)
    parameters = _networks_last(np.concatenate([v.reshape(LANES, -1) for layer in layers for v in layer], axis=1))
    inputs, targets = _networks_last(problem.X), _networks_last(problem.y)
    places = [array.ctypes.data_as(pointer) for array in (parameters, inputs, targets)]

    def run(epochs: int) -> None:
        train(*places, config.n_points, epochs, config.rate)

    def loss() -> float:
        a, rest = problem.X[0].astype(np.float64), parameters[:, 0].astype(np.float64)
        for i, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            n_in, n_out = W.shape[1:]
            w, v, rest = np.split(rest, [W[0].size, W[0].size + b[0].size])
            a = a @ w.reshape(n_in, n_out) + v
            is_relu = config.activation == "relu" and i + 1 < len(problem.weights)
            a = np.maximum(a, 0) if is_relu else np.tanh(a)
        return float((0.5 * (a - problem.y[0]) ** 2).mean())

    return Peer(name, LANES, run, loss, prepare_s)


def _networks_last(values: FloatArray) -> FloatArray:
    """Return an aligned copy in float32, the axis of networks last and the others flattened: (values, R)."""
    flat = values.reshape(len(values), -1).T
    room = np.empty(flat.size + ALIGNMENT // 4, dtype=np.float32)
    first = -room.ctypes.data % ALIGNMENT // 4
    aligned = room[first : first + flat.size].reshape(flat.shape)
    aligned[:] = flat
    return aligned
