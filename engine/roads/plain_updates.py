"""How a gradient changes the parameters on the NumPy road: penalties, clipping, the optimizer's step.

All of it but norms goes number by number, so threads share it: each takes some rows of every wide layer's weights
(`block_of_state`), and the bytes are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.optimizers import OPTIMIZERS, weight_decay_of
from engine.methods.regularizers import REGULARIZERS
from engine.network import FloatArray, Parameters
from engine.state import TrainingState

BLOCK_NUMBERS = 2**16  # of a layer's weights whose update, 30 us with plain SGD, is worth another thread's call


def add_to(total: Parameters, more: Parameters) -> None:
    """Add the second parameters to the first, in place."""
    for array, added in zip(arrays_of(total), arrays_of(more), strict=True):
        array += added


def arrays_of(parameters: Parameters) -> list[FloatArray]:
    """Return every array of parameters that is not empty: weights, biases, slopes."""
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [array for array in (*parameters.weights, *parameters.biases, *slopes) if array.size]


def count_blocks(training: TrainingConfig, parameters: Parameters, n_threads: int) -> int:
    """Return into how many blocks as many threads cut an update: 1 where a norm takes the whole, or a look the time."""
    needs_norms = training.max_grad_norm is not None or training.max_norm is not None
    most_numbers = max(W.size for W in parameters.weights)
    return 1 if needs_norms else max(1, min(n_threads, most_numbers // BLOCK_NUMBERS))


def block_of_weights(weights: Sequence[npt.NDArray[Any]], block: int, n_blocks: int) -> list[npt.NDArray[Any]]:
    """Return a block's rows of each layer's weights, as views; small layers are the first block's."""
    return [W[:, _rows(W.shape[1], W.size, block, n_blocks)] for W in weights]


def _rows(fan_in: int, n_numbers: int, block: int, n_blocks: int) -> slice:
    if n_numbers < BLOCK_NUMBERS:
        return slice(0, fan_in if block == 0 else 0)
    return slice(fan_in * block // n_blocks, fan_in * (block + 1) // n_blocks)


def block_of(parameters: Parameters, block: int, n_blocks: int) -> Parameters:
    """Return a block of the parameters, as views: rows of wide layers; all else is the first block's."""
    all_else = slice(None) if block == 0 else slice(0, 0)
    return Parameters(
        block_of_weights(parameters.weights, block, n_blocks),
        [b[:, all_else] for b in parameters.biases],
        None if parameters.slopes is None else parameters.slopes[:, all_else],
    )


def block_of_state(state: TrainingState, block: int, n_blocks: int) -> TrainingState:
    """Return a block of where training stands, as views; the counts are copies."""
    if n_blocks == 1:
        return state
    return dataclasses.replace(
        state,
        parameters=block_of(state.parameters, block, n_blocks),
        moments=tuple(block_of(moments, block, n_blocks) for moments in state.moments),
        pending=block_of(state.pending, block, n_blocks),
        dead=block_of_weights(state.dead, block, n_blocks),
    )


def _weights_of(parameters: Parameters) -> list[FloatArray]:
    return [W for W in parameters.weights if W.size]


def update_parameters(
    state: TrainingState, training: TrainingConfig, sums: Parameters, n_examples: int, rate: float
) -> None:
    """Apply the eight steps of `TrainingConfig` to every parameter of a block; `sums` is used up.

    The counts of `state` stay as they are: this is update number ``state.n_updates + 1``.
    """
    parameters, regularizer = state.parameters, REGULARIZERS[training.regularizer]
    strength = training.regularization_rate
    for g in arrays_of(sums):
        g /= n_examples
    if regularizer.in_gradient and strength:
        penalised = arrays_of if regularizer.on_all else _weights_of
        for g, W in zip(penalised(sums), penalised(parameters), strict=True):
            g += strength * regularizer.gradient(W)
    if training.regularizer == "l1":
        for g, dead in zip(sums.weights, state.dead, strict=True):
            g[dead] = 0
    for g in _frozen(sums, training.frozen):
        g[...] = 0
    if training.max_grad_norm is not None:
        _clip(sums, training.max_grad_norm)
    t = state.n_updates + 1
    kept = [array.copy() for array in _frozen(parameters, training.frozen)]
    for i, W in enumerate(parameters.weights):
        if W.size:
            _step_weights(state, training, i, W, sums.weights[i], rate)
    for i, b in enumerate(parameters.biases):
        if b.size:
            b -= _decrease(training, sums.biases[i], tuple(m.biases[i] for m in state.moments), rate, t)
    if parameters.slopes is not None and sums.slopes is not None:
        moments = tuple(m.slopes for m in state.moments if m.slopes is not None)
        parameters.slopes -= _decrease(training, sums.slopes, moments, rate, t)
    for array, values in zip(_frozen(parameters, training.frozen), kept, strict=True):
        array[...] = values


def _decrease(
    training: TrainingConfig, g: FloatArray, moments: tuple[FloatArray, ...], rate: float, t: int
) -> FloatArray:
    return OPTIMIZERS[training.optimizer].step(g, moments, training, rate, t)


def _step_weights(
    state: TrainingState, training: TrainingConfig, layer: int, W: FloatArray, g: FloatArray, rate: float
) -> None:
    decrease = _decrease(training, g, tuple(m.weights[layer] for m in state.moments), rate, state.n_updates + 1)
    decay = weight_decay_of(training)
    with_l1 = training.regularizer == "l1" and training.regularization_rate > 0
    pull = rate * training.regularization_rate * np.sign(W) if with_l1 else None
    if decay:
        W *= 1 - rate * decay
    W -= decrease
    if pull is not None:
        pulled = W - pull
        dead = state.dead[layer]
        dead |= np.sign(W) * np.sign(pulled) < 0  # their product could underflow to 0
        pulled[dead] = 0
        W[...] = pulled
    if training.max_norm is not None:
        norms = np.sqrt((W * W).sum(axis=1, keepdims=True))
        W *= np.where(norms > training.max_norm, training.max_norm / norms, 1).astype(W.dtype)


def _clip(sums: Parameters, max_grad_norm: float) -> None:
    squares = np.zeros(sums.n_replicas, dtype=np.float64)
    for g in arrays_of(sums):
        squares += (g.astype(np.float64) ** 2).reshape(len(g), -1).sum(axis=1)
    norms = np.sqrt(squares)
    scale = np.where(norms > max_grad_norm, max_grad_norm / norms, 1.0)
    for g in arrays_of(sums):
        g *= scale.astype(g.dtype).reshape(-1, *[1] * (g.ndim - 1))


def _frozen(parameters: Parameters, names: tuple[str, ...]) -> list[FloatArray]:
    chosen = []
    for name in names:
        kind, _, rest = name.partition("[")
        arrays = parameters.weights if kind == "weights" else parameters.biases
        chosen.append(arrays[int(rest.rstrip("]"))])
    return chosen
