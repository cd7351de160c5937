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
    """Return whether `loop.c` trains such networks: two hidden layers of one even width, and whole batches."""
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


class Loop:
    """Sixteen networks and a compiled form of the loop that trains them in place."""

    def __init__(self, train: Any, config: Config, problem: Problem) -> None:
        pointer = ctypes.POINTER(ctypes.c_float)
        train.argtypes = [pointer, pointer, pointer, ctypes.c_int, ctypes.c_int, ctypes.c_float]
        train.restype = None
        layers = zip(problem.weights, problem.biases, strict=True)
        flat = np.concatenate([values.reshape(LANES, -1) for layer in layers for values in layer], axis=1)
        self.train, self.config, self.problem = train, config, problem
        self.arrays = [_networks_last(values) for values in (flat, problem.X, problem.y)]
        self.places = [array.ctypes.data_as(pointer) for array in self.arrays]

    def run(self, epochs: int) -> None:
        """Train for some epochs more."""
        self.train(*self.places, self.config.n_points, epochs, self.config.rate)

    def losses(self) -> FloatArray:
        """Return training losses (R,), from the parameters and in float64."""
        a, rest = self.problem.X.astype(np.float64), self.arrays[0].T.astype(np.float64)
        n_layers = len(self.problem.weights)
        for i, W in enumerate(self.problem.weights):
            n_in, n_out = W.shape[1:]
            w, b, rest = np.split(rest, [n_in * n_out, (n_in + 1) * n_out], axis=1)
            a = a @ w.reshape(-1, n_in, n_out) + b[:, None]
            a = np.maximum(a, 0) if self.config.activation == "relu" and i + 1 < n_layers else np.tanh(a)
        return np.asarray((0.5 * (a - self.problem.y) ** 2).mean(axis=(1, 2)))

    def loss(self) -> float:
        """Return the first network's training loss."""
        return float(self.losses()[0])


def loops(library: ctypes.CDLL, config: Config, problem: Problem) -> dict[str, Loop]:
    """Return both forms by name, each with networks of its own."""
    return {
        "a C loop": Loop(library.train_plain, config, problem),
        "a C loop, blocked": Loop(library.train_blocked, config, problem),
    }


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
    return [Peer(name, LANES, loop.run, loop.loss, prepare_s) for name, loop in loops(library, config, problem).items()]


def _networks_last(values: FloatArray) -> FloatArray:
    """Return an aligned copy in float32, the axis of networks last and the others flattened: (values, R)."""
    flat = values.reshape(len(values), -1).T
    room = np.empty(flat.size + ALIGNMENT // 4, dtype=np.float32)
    first = -room.ctypes.data % ALIGNMENT // 4
    aligned = room[first : first + flat.size].reshape(flat.shape)
    aligned[:] = flat
    return aligned
