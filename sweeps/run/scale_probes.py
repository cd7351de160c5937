"""What lessons measure about derivatives by layer: the Hessian by differences of gradients, each layer's own rate."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses
from engine.network import Parameters
from engine.training import train
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
STEP = 1e-4
BADLY = 8.0
"""Factor by which every second layer's first weights are too large, and the others' too small."""
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TRUST = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Rates of one step for all layers, and of layers whose step is in proportion to their weights: equally many tries."""
N_STEPS = 60


def _gradient(trained: Trained, at: Parameters) -> list[FloatArray]:
    """Return the training loss's gradient at some parameters, weights first, read off one full-batch step at rate 1."""
    split = trained.draws.train
    config = TrainingConfig(
        loss=trained.loss, optimizer="sgd", learning_rate=1.0, batch_size=split.X.shape[1], max_epochs=1, order="fixed",
        dtype="float64",
    )  # fmt: skip
    keys = trained.draws.training_seeds
    after = train(trained.network, config, split, at, keys, look_at=[1], evaluate_on={}).state.parameters
    pairs = zip([*at.weights, *at.biases], [*after.weights, *after.biases], strict=True)
    return [np.asarray(before, np.float64) - now for before, now in pairs]


def _flat(arrays: list[FloatArray]) -> FloatArray:
    return np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)


def _start(trained: Trained) -> Parameters:
    first = trained.draws.initialize(trained.network)
    return Parameters([W.astype(np.float64) for W in first.weights], [b.astype(np.float64) for b in first.biases])


def hessian_asymmetry(trained: Trained) -> FloatArray:
    """Return how far the Hessian at the first weights is from symmetric, over its largest entry.

    It is made of central differences of gradients: two gradients for each of the P weights and biases.
    """
    start = _start(trained)
    columns = []
    for array in (*start.weights, *start.biases):
        for place in np.ndindex(*array.shape[1:]):
            kept = array[(slice(None), *place)].copy()
            ends = []
            for sign in (1.0, -1.0):
                array[(slice(None), *place)] = kept + sign * STEP
                ends.append(_flat(_gradient(trained, start)))
            array[(slice(None), *place)] = kept
            columns.append((ends[0] - ends[1]) / (2.0 * STEP))
    H = np.stack(columns, axis=2)
    largest = np.maximum(np.abs(H).max(axis=(1, 2)), 1e-300)
    return np.asarray(np.abs(H - H.transpose(0, 2, 1)).max(axis=(1, 2)) / largest)


def hessian_gradients(trained: Trained) -> FloatArray:
    """Return how many gradients that Hessian takes: 2 P."""
    start = _start(trained)
    return np.full(start.n_replicas, 2.0 * _flat([*start.weights, *start.biases]).shape[1])  # type: ignore[list-item]


def _descend(trained: Trained, rate: float, *, layerwise: bool) -> FloatArray:
    """Return the training loss after full-batch steps from badly scaled first weights; infinite where it diverged."""
    at = _start(trained)
    for i, W in enumerate(at.weights):
        W *= BADLY if i % 2 == 0 else 1.0 / BADLY
    n_layers = len(at.weights)
    for _ in range(N_STEPS):
        g = _gradient(trained, at)
        for i in range(n_layers):
            step = np.full((len(g[i]), 1), rate)
            if layerwise:
                norms = [
                    np.linalg.norm(one.reshape(len(one), -1), axis=1, keepdims=True) for one in (at.weights[i], g[i])
                ]
                step = rate * norms[0] / np.maximum(norms[1], 1e-12)
            at.weights[i] = at.weights[i] - step[..., None] * g[i]
            at.biases[i] = at.biases[i] - step * g[n_layers + i]
    found = np.asarray(mean_losses(trained.network, at, trained.draws.train, trained.loss), np.float64)
    return np.where(np.isfinite(found), found, np.inf)


def layerwise_gain(trained: Trained) -> FloatArray:
    """Return the training loss with one rate for all layers, less that with a rate of each layer's own.

    Sixty full-batch steps from first weights of which every second layer's are eight times too large and the others'
    too small, each way at the rate of six that ends lowest for the replica. A layer's own step has a length in
    proportion to its weights.

    References
    ----------
    Y. You, I. Gitman, B. Ginsburg, "Large batch training of convolutional networks", arXiv:1708.03888 (2017).
    """
    with np.errstate(all="ignore"):
        one = np.min([_descend(trained, rate, layerwise=False) for rate in RATES], axis=0)
        own = np.min([_descend(trained, rate, layerwise=True) for rate in TRUST], axis=0)
    return np.asarray(one - own)


SCALE_PROBES: Mapping[str, Probe] = MappingProxyType(
    {one.__name__: one for one in (hessian_asymmetry, hessian_gradients, layerwise_gain)}
)
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
