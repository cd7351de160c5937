"""The plain NumPy road: forward and backward by hand, replicas on a leading axis, batched `matmul`.

It is the reference that the compiled road must equal, and the road for wide networks. A replica's numbers never depend
on which replicas share the call: each matrix product is one product a replica, and every sum runs in a fixed order. The
last digit of a wide product may depend on how many threads BLAS takes: who needs equal bytes gives it one, as a sweep
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.activations import ACTIVATIONS, Activation, Slope
from engine.configuration import TrainingConfig, dropout_rates
from engine.losses import LOSSES
from engine.memory import EVALUATION_ELEMENTS
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.optimizers import OPTIMIZERS, weight_decay_of
from engine.regularizers import REGULARIZERS
from engine.schedules import learning_rate
from engine.splits import Split
from engine.state import TrainingState
from engine.streams import DROPOUT, INPUT_NOISE, Keys, normals, permutations, stream_keys, uniforms


class Session:
    """Networks in training; the interface of `engine.kernels.Session`.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how.
    split : Split
        Training points, without weights.
    evaluate_on : sequence of Split
        What losses are measured on.
    """

    def __init__(
        self,
        state: TrainingState,
        network: NetworkConfig,
        training: TrainingConfig,
        split: Split,
        evaluate_on: Sequence[Split] = (),
    ) -> None:
        self._state, self._network, self._training = state, network, training
        self._split = _cast(split, training.dtype)
        self._splits = [_cast(other, training.dtype) for other in evaluate_on]

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._state.diverged_at.copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps of so many epochs each; return the mean losses after each, (steps, splits, R)."""
        measured = np.empty((len(steps), len(self._splits), len(self._state.seeds)))
        for row, n_epochs in zip(measured, steps, strict=True):
            advance(self._state, self._network, self._training, self._split, n_epochs)
            for i, split in enumerate(self._splits):
                row[i] = mean_losses(self._network, self._state.parameters, split, self._training.loss)
        return measured

    def read_state(self) -> TrainingState:
        """Return the state."""
        return self._state


def _cast(split: Split, dtype: str) -> Split:
    """Return the split in the type of the arithmetic, so that it is copied once and not at every look."""
    return Split(split.X.astype(dtype, copy=False), split.y.astype(dtype, copy=False), split.weight)


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place; see `engine.training.advance`."""
    points = _cast(split, training.dtype)
    with np.errstate(all="ignore"):  # a diverging replica overflows: that is a result, told by `diverged_at`
        for _ in range(n_epochs):
            _run_epoch(state, network, training, points.X, points.y)


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return the mean loss of each replica; see `engine.evaluation.mean_losses`."""
    n, R = split.X.shape[1], parameters.n_replicas
    losses = np.empty((R, n), dtype=np.float64)
    with np.errstate(all="ignore"):
        for start, stop in _chunks(network, n):
            outputs = forward(network, parameters, _points(split.X, parameters, start, stop))
            losses[:, start:stop] = LOSSES[loss].value(
                outputs, split.y[:, start:stop].astype(outputs.dtype, copy=False)
            )
        if split.weight is None:
            return np.asarray(losses.sum(axis=1) / n)
        weight = np.ascontiguousarray(np.broadcast_to(split.weight, (R, n)), dtype=np.float64)
        # A point left out must not count even where the loss of its padding is not finite.
        total = np.where(weight > 0, losses * weight, 0.0).sum(axis=1)
        return np.asarray(total / weight.sum(axis=1))


def predict(network: NetworkConfig, parameters: Parameters, X: FloatArray) -> FloatArray:
    """Return the outputs of each replica; see `engine.evaluation.predict`."""
    outputs = np.empty((parameters.n_replicas, X.shape[1], network.n_outputs), dtype=parameters.weights[0].dtype)
    with np.errstate(all="ignore"):
        for start, stop in _chunks(network, X.shape[1]):
            outputs[:, start:stop] = forward(network, parameters, _points(X, parameters, start, stop))
    return outputs


def forward(network: NetworkConfig, parameters: Parameters, X: FloatArray) -> FloatArray:
    """Return the outputs (R, n, n_outputs) for points X (R or 1, n, n_inputs), without dropout."""
    A = X
    for W, b, (activation, slope) in zip(
        parameters.weights, parameters.biases, _layer_activations(network, parameters), strict=True
    ):
        A = activation.function(_weighted_input(A, W, b), slope)
    return A


def _weighted_input(A: FloatArray, W: FloatArray, b: FloatArray) -> FloatArray:
    Z: FloatArray = A @ W
    Z += b[:, None, :]
    return Z


def _chunks(network: NetworkConfig, n: int) -> list[tuple[int, int]]:
    size = max(1, EVALUATION_ELEMENTS // max(network.layer_sizes))
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def _points(X: FloatArray, parameters: Parameters, start: int, stop: int) -> FloatArray:
    return X[:, start:stop].astype(parameters.weights[0].dtype, copy=False)


def _layer_activations(network: NetworkConfig, parameters: Parameters) -> list[tuple[Activation, Slope]]:
    hidden, output = ACTIVATIONS[network.activation], ACTIVATIONS[network.output_activation]
    fixed = hidden.default_slope if network.activation_slope is None else network.activation_slope
    layers: list[tuple[Activation, Slope]] = []
    for i in range(len(network.hidden_layer_sizes)):
        layers.append((hidden, fixed if parameters.slopes is None else parameters.slopes[:, i, None, None]))
    return [*layers, (output, output.default_slope)]


@dataclass(slots=True)
class _Noise:
    """What one epoch draws: stream keys of its dropout masks and of its input noise, with the rates."""

    rates: tuple[float, ...]  # of the inputs and of each hidden layer
    dropout_keys: list[Keys]
    input_noise: float
    input_keys: Keys


def _epoch_noise(state: TrainingState, network: NetworkConfig, training: TrainingConfig) -> _Noise | None:
    rates = dropout_rates(network, training)
    if not any(rates) and training.input_noise == 0:
        return None
    keys = [stream_keys(state.seeds, state.epoch, DROPOUT, layer) for layer in range(len(rates))]
    return _Noise(rates, keys, training.input_noise, stream_keys(state.seeds, state.epoch, INPUT_NOISE))


def _run_epoch(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, X: FloatArray, y: FloatArray
) -> None:
    n, size = X.shape[1], training.batch_size
    rate = learning_rate(training, state.epoch)
    noise = _epoch_noise(state, network, training)
    orders = permutations(state.seeds, state.epoch, n) if training.order == "shuffled" else None
    for start in range(0, n, size):
        stop = min(start + size, n)
        is_partial = stop - start < size
        if is_partial and training.partial_batch == "drop":
            break
        X_batch = _batch(X, orders, start, stop)
        y_batch = _batch(y, orders, start, stop)
        sums = gradient_sums(network, training.loss, state.parameters, X_batch, y_batch, noise, start)
        if is_partial and training.partial_batch == "carry":
            for kept, added in zip(_arrays(state.pending), _arrays(sums), strict=True):
                kept += added
            state.n_pending += stop - start
            break
        n_examples = stop - start + state.n_pending
        if state.n_pending:
            for total, kept in zip(_arrays(sums), _arrays(state.pending), strict=True):
                total += kept
                kept[...] = 0
            state.n_pending = 0
        _update(state, training, sums, n_examples, rate)
    state.epoch += 1
    _note_divergence(state)


def _batch(values: FloatArray, orders: npt.NDArray[np.intp] | None, start: int, stop: int) -> FloatArray:
    if orders is None:
        return values[:, start:stop]
    chosen = orders[:, start:stop]
    if values.shape[0] == 1:
        return np.asarray(values[0][chosen])
    return np.asarray(values[np.arange(len(chosen))[:, None], chosen])


def _arrays(parameters: Parameters) -> list[FloatArray]:
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def _note_divergence(state: TrainingState) -> None:
    finite = np.ones(len(state.seeds), dtype=np.bool_)
    for array in _arrays(state.parameters):
        finite &= np.isfinite(array).reshape(len(finite), -1).all(axis=1)
    state.diverged_at[~finite & (state.diverged_at < 0)] = state.epoch


def gradient_sums(
    network: NetworkConfig,
    loss: str,
    parameters: Parameters,
    X: FloatArray,
    y: FloatArray,
    noise: _Noise | None = None,
    position: int = 0,
) -> Parameters:
    """Return the gradient of the summed loss of a batch, by hand.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    loss : str
        Name in `engine.losses.LOSSES`.
    parameters : Parameters
        Where the gradient is taken.
    X : ndarray (R or 1, m, n_inputs)
        Points of the batch.
    y : ndarray (R or 1, m, n_targets)
        Their targets.
    noise : _Noise or None
        Dropout and input noise of the epoch; None means none.
    position : int
        Place of the batch's first example in the epoch's order.

    Returns
    -------
    engine.network.Parameters
        Sums over the batch, no penalty, shaped like `parameters`.
    """
    layers = _layer_activations(network, parameters)
    inputs, totals, outputs, masks = [], [], [], []
    A = X if noise is None else _noisy_inputs(X, noise, position)
    for i, (activation, slope) in enumerate(layers):
        mask = None if noise is None else _dropout_mask(noise, i, position, A.shape[1], A.shape[2], A.dtype)
        if mask is not None:
            A = A * mask
        Z = _weighted_input(A, parameters.weights[i], parameters.biases[i])
        masks.append(mask)
        inputs.append(A)
        A = activation.function(Z, slope)
        totals.append(Z)
        outputs.append(A)
    upstream = LOSSES[loss].gradient(A, y)
    weights: list[FloatArray] = []
    biases: list[FloatArray] = []
    slopes = None if parameters.slopes is None else np.zeros_like(parameters.slopes)
    for i in range(len(layers) - 1, -1, -1):
        activation, slope = layers[i]
        if slopes is not None and i < slopes.shape[1]:
            below = np.ascontiguousarray(upstream * np.minimum(totals[i], 0))
            slopes[:, i] = below.reshape(len(below), -1).sum(axis=1)
        delta = upstream if activation.code == 0 else upstream * activation.derivative(totals[i], outputs[i], slope)
        weights.insert(0, inputs[i].swapaxes(1, 2) @ delta)
        biases.insert(0, delta.sum(axis=1))
        if i > 0:
            upstream = delta @ parameters.weights[i].swapaxes(1, 2)
            mask = masks[i]
            if mask is not None:
                upstream = upstream * mask
    return Parameters(weights, biases, slopes)


def _noisy_inputs(X: FloatArray, noise: _Noise, position: int) -> FloatArray:
    if noise.input_noise == 0:
        return X
    n, d = X.shape[1:]
    z = normals(noise.input_keys, position * d, n * d).reshape(-1, n, d)
    return X + (noise.input_noise * z).astype(X.dtype)


def _dropout_mask(
    noise: _Noise, layer: int, position: int, n: int, units: int, dtype: np.dtype[Any]
) -> FloatArray | None:
    rate = noise.rates[layer]
    if rate == 0:
        return None
    u = uniforms(noise.dropout_keys[layer], position * units, n * units).reshape(-1, n, units)
    return np.asarray((u >= np.float32(rate)).astype(dtype) * dtype.type(1 / (1 - rate)))


def _update(state: TrainingState, training: TrainingConfig, sums: Parameters, n_examples: int, rate: float) -> None:
    """Apply the eight steps of `TrainingConfig` to every parameter; `sums` is used up."""
    parameters, regularizer = state.parameters, REGULARIZERS[training.regularizer]
    strength = training.regularization_rate
    for g in _arrays(sums):
        g /= n_examples
    if regularizer.in_gradient and strength:
        for g, W in zip(sums.weights, parameters.weights, strict=True):
            g += strength * regularizer.gradient(W)
    if training.regularizer == "l1":
        for g, dead in zip(sums.weights, state.dead, strict=True):
            g[dead] = 0
    for g in _frozen(sums, training.frozen):
        g[...] = 0
    if training.max_grad_norm is not None:
        _clip(sums, training.max_grad_norm)
    state.n_updates += 1
    kept = [array.copy() for array in _frozen(parameters, training.frozen)]
    for i, W in enumerate(parameters.weights):
        _step_weights(state, training, i, W, sums.weights[i], rate)
    for i, b in enumerate(parameters.biases):
        b -= _decrease(training, sums.biases[i], tuple(m.biases[i] for m in state.moments), rate, state.n_updates)
    if parameters.slopes is not None and sums.slopes is not None:
        moments = tuple(m.slopes for m in state.moments if m.slopes is not None)
        parameters.slopes -= _decrease(training, sums.slopes, moments, rate, state.n_updates)
    for array, values in zip(_frozen(parameters, training.frozen), kept, strict=True):
        array[...] = values


def _decrease(
    training: TrainingConfig, g: FloatArray, moments: tuple[FloatArray, ...], rate: float, t: int
) -> FloatArray:
    return OPTIMIZERS[training.optimizer].step(g, moments, training, rate, t)


def _step_weights(
    state: TrainingState, training: TrainingConfig, layer: int, W: FloatArray, g: FloatArray, rate: float
) -> None:
    decrease = _decrease(training, g, tuple(m.weights[layer] for m in state.moments), rate, state.n_updates)
    decay = weight_decay_of(training)
    with_l1 = training.regularizer == "l1" and training.regularization_rate > 0
    pull = rate * training.regularization_rate * np.sign(W) if with_l1 else None
    if decay:
        W *= 1 - rate * decay
    W -= decrease
    if pull is not None:
        pulled = W - pull
        dead = state.dead[layer]
        dead |= W * pulled < 0
        pulled[dead] = 0
        W[...] = pulled
    if training.max_norm is not None:
        norms = np.sqrt((W * W).sum(axis=1, keepdims=True))
        W *= np.where(norms > training.max_norm, training.max_norm / norms, 1).astype(W.dtype)


def _clip(sums: Parameters, max_grad_norm: float) -> None:
    squares = np.zeros(sums.n_replicas, dtype=np.float64)
    for g in _arrays(sums):
        squares += (g.astype(np.float64) ** 2).reshape(len(g), -1).sum(axis=1)
    norms = np.sqrt(squares)
    scale = np.where(norms > max_grad_norm, max_grad_norm / norms, 1.0)
    for g in _arrays(sums):
        g *= scale.astype(g.dtype).reshape(-1, *[1] * (g.ndim - 1))


def _frozen(parameters: Parameters, names: tuple[str, ...]) -> list[FloatArray]:
    chosen = []
    for name in names:
        kind, _, rest = name.partition("[")
        arrays = parameters.weights if kind == "weights" else parameters.biases
        chosen.append(arrays[int(rest.rstrip("]"))])
    return chosen
