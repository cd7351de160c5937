"""The compiled loop gives the same bits whatever vectors the processor has: a record from here replays there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import hashlib
import numpy as np
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig
from engine.splits import Split
from engine.training import train

rng = np.random.default_rng(5)
X = rng.normal(size=(3, 40, 2))
split = Split(X, np.sign(X[..., :1] * X[..., 1:]))
network = NetworkConfig(2, (8, 5), 1, "tanh", "tanh")
training = TrainingConfig(optimizer="adam", batch_size=7, regularizer="l2", regularization_rate=0.01, dropout=(0.1,))
weights = initialize(network, [np.random.default_rng(i) for i in range(3)])
# The second one's weights sink below the normal numbers.
dying = TrainingConfig(optimizer="momentum", batch_size=7, learning_rate=0.1, regularizer="l2", regularization_rate=2.0)
# Plain SGD's own functions, for a full chunk of samples and for one.
whole = [TrainingConfig(batch_size=size, learning_rate=0.1) for size in (10, 1)]
# Normal numbers, for single networks and for a group, and roots.
noisy = [
    TrainingConfig(optimizer=optimizer, batch_size=7, learning_rate=0.01, input_noise=0.4, layer_noise=layer_noise)
    for optimizer, layer_noise in (("rmsprop", 0.0), ("adagrad", 0.3))
]
arrays = []
for settings in (training, dying, *whole, *noisy):
    result = train(network, settings, split, weights, np.arange(3), look_at=[90], evaluate_on={"train": split})
    assert result.road == "compiled-float32", result.road
    parameters = result.state.parameters
    arrays += [*parameters.weights, *parameters.biases, result.losses["train"]]
print(hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest())
"""


def has_avx2() -> bool:
    """Return whether this processor is known to run AVX2."""
    information = Path("/proc/cpuinfo")
    return information.is_file() and "avx2" in information.read_text()


def digest(cache: Path, processor: dict[str, str]) -> str:
    """Train in a process of its own, compiled for a processor."""
    environment = {**os.environ, **processor, "NUMBA_CACHE_DIR": str(cache), "COVERAGE_PROCESS_START": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.skipif(not has_avx2(), reason="no AVX2 here to compile for, or no Linux to ask")
def test_the_width_of_the_vectors_changes_no_bit(tmp_path):
    here = digest(tmp_path / "here", {})
    narrow = digest(tmp_path / "avx2", {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"})
    assert here == narrow
