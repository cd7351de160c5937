"""State and points in the layout of the compiled road, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS, epsilon_of, weight_decay_of
from engine.methods.regularizers import REGULARIZERS
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.compiled.codes import (
    I_ADJUSTING,
    I_BATCH,
    I_CHUNK,
    I_DROPPING,
    I_FREEZING,
    I_GENERAL,
    I_HIDDEN,
    I_LAYER_NOISY,
    I_LOSS,
    I_N_UNITS,
    I_N_WEIGHTS,
    I_NOISY,
    I_OPTIMIZER,
    I_OUTPUT,
    I_PARTIAL,
    I_PENALTY,
    I_ROOM,
    I_SHUFFLED,
    I_WEIGHT_DROPPING,
    I_WITH_Z,
    LINEAR,
    N_INTS,
    N_REALS,
    N_TABLE,
    PARTIAL_CODES,
    R_BETA_1,
    R_BETA_2,
    R_DECAY,
    R_EPSILON,
    R_LAYER_NOISE,
    R_MAX_GRAD_NORM,
    R_MAX_NORM,
    R_MOMENTUM,
    R_NOISE,
    R_OUTPUT_SLOPE,
    R_RHO,
    R_SLOPE,
    R_STRENGTH,
    RELU,
    SIGMOID,
    T_N,
    T_TARGETS,
    T_WEIGHT,
    T_X,
    T_Y,
    TANH,
)
from engine.roads.compiled.vectors import (
    EVALUATION_CHUNK,
    LANES,
)
from engine.splits import Split

# ----------------------------------------------------------------------------------------------------------------------
# Packing: from the engine's arrays to lists of vectors and back


@dataclass(frozen=True, slots=True)
class _PackedSplit:
    """A split in the kernel's layout.

    Parameters
    ----------
    X : ndarray (n_groups, n_inputs, n, lanes)
        Features.
    y : ndarray (n_groups, n_targets, n, lanes)
        Targets.
    weight : ndarray (n_groups, n, lanes) or None
        Weights of the points; None means 1.
    total_weight : ndarray (R,) of float64 or None
        Their sum.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None = None
    total_weight: npt.NDArray[np.float64] | None = None


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> FloatArray:
    """Return an uninitialized array that starts on a cache line, as vectors of 64 bytes want."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % 64
    array: FloatArray = raw[start : start + n_bytes].view(dtype).reshape(shape)
    return array


def pack(rows: npt.NDArray[Any], n_groups: int, dtype: str) -> FloatArray:
    """Return rows (R, ...) as (n_groups, ..., lanes); missing replicas are copies of the last."""
    lanes = LANES[dtype]
    packed = aligned((n_groups, *rows.shape[1:], lanes), dtype)
    replicas_last = (*range(1, rows.ndim), 0)
    for group, target in enumerate(packed):
        part = rows[group * lanes : (group + 1) * lanes]
        target[..., : len(part)] = part.transpose(replicas_last)
        if len(part) < lanes:
            target[..., len(part) :] = target[..., len(part) - 1 : len(part)]
    return packed


def count_groups(n_replicas: int, dtype: str) -> int:
    """Return how many groups of lanes R replicas take."""
    return -(-n_replicas // LANES[dtype])


def pack_split(split: Split, n_replicas: int, dtype: str) -> _PackedSplit:
    """Return a split in the layout of the compiled road."""
    n_groups = count_groups(n_replicas, dtype)

    def packed(array: FloatArray) -> FloatArray:
        array = np.broadcast_to(array, (n_replicas, *array.shape[1:]))
        return pack(array.transpose(0, 2, 1), n_groups, dtype)

    if split.weight is None:
        return _PackedSplit(packed(split.X), packed(split.y))
    weight = np.broadcast_to(split.weight, (n_replicas, split.weight.shape[1]))
    total = weight.sum(axis=1, dtype=np.float64)
    return _PackedSplit(packed(split.X), packed(split.y), pack(weight, n_groups, dtype), total)


def points_table(splits: Sequence[_PackedSplit]) -> npt.NDArray[np.int64]:
    """Return the splits as the compiled function wants them: a row each, with addresses."""
    table = np.zeros((len(splits), N_TABLE), dtype=np.int64)
    for row, split in zip(table, splits, strict=True):
        row[T_N], row[T_TARGETS] = split.X.shape[2], split.y.shape[1]
        row[T_X], row[T_Y] = split.X.ctypes.data, split.y.ctypes.data
        row[T_WEIGHT] = 0 if split.weight is None else split.weight.ctypes.data
    return table


def means_of(sums: npt.NDArray[np.float64], splits: Sequence[_PackedSplit], n_replicas: int) -> npt.NDArray[np.float64]:
    """Return mean losses (looks, splits, R) from sums (looks, splits, groups, lanes)."""
    n_looks, n_splits, n_groups, lanes = sums.shape
    means: npt.NDArray[np.float64] = sums.reshape(n_looks, n_splits, n_groups * lanes)[..., :n_replicas]
    with np.errstate(invalid="ignore"):  # a replica whose weights are all 0 has no mean
        for i, split in enumerate(splits):
            means[:, i] /= split.X.shape[2] if split.total_weight is None else split.total_weight
    return means


def arrays_of(parameters: Parameters) -> list[FloatArray]:
    """Return the arrays of parameters in the order in which they are packed."""
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def packed_arrays(arrays: list[Any], dtype: str) -> FloatArray:
    """Return arrays (R, ...) as one list of vectors a group: (n_groups, n, lanes)."""
    n_replicas = arrays[0].shape[0]
    flat = np.concatenate([array.reshape(n_replicas, -1) for array in arrays], axis=1)
    return pack(flat, count_groups(n_replicas, dtype), dtype)


def unpack_arrays(packed: npt.NDArray[Any], arrays: list[Any]) -> None:
    """Write a list of vectors a group back into arrays (R, ...)."""
    flat = packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[: arrays[0].shape[0]]
    start = 0
    for array in arrays:
        size = math.prod(array.shape[1:])
        array[...] = flat[:, start : start + size].reshape(array.shape)
        start += size


def network_numbers(
    network: NetworkConfig, loss: str, chunk: int, evaluate_on: Sequence[Split]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the whole and real numbers that any call needs; `chunk` is for training."""
    hidden, output = ACTIVATIONS[network.activation], ACTIVATIONS[network.output_activation]
    ints = np.zeros(N_INTS, dtype=np.int64)
    ints[I_HIDDEN], ints[I_OUTPUT] = hidden.code, output.code
    ints[I_LOSS] = LOSSES[loss].code
    ints[I_BATCH] = 1
    ints[I_CHUNK] = chunk
    ints[I_ROOM] = max(chunk, *(min(split.X.shape[1], EVALUATION_CHUNK) for split in evaluate_on), 1)
    ints[I_N_WEIGHTS] = sum(a * b for a, b in itertools.pairwise(network.layer_sizes))
    ints[I_N_UNITS] = sum(network.layer_sizes[1:])
    from_outputs = (LINEAR, SIGMOID, TANH, RELU)  # these derivatives need no net input
    ints[I_WITH_Z] = hidden.code not in from_outputs or output.code not in from_outputs
    reals = np.zeros(N_REALS)
    reals[R_SLOPE] = hidden.default_slope if network.activation_slope is None else network.activation_slope
    reals[R_OUTPUT_SLOPE] = output.default_slope
    return ints, reals


def set_training_numbers(
    ints: npt.NDArray[np.int64], reals: npt.NDArray[np.float64], network: NetworkConfig, training: TrainingConfig
) -> None:
    """Write what a training configuration says into the numbers that compiled code reads."""
    decay = weight_decay_of(training)
    ints[I_OPTIMIZER] = OPTIMIZERS[training.optimizer].code
    ints[I_BATCH] = training.batch_size
    ints[I_PARTIAL] = PARTIAL_CODES[training.partial_batch]
    ints[I_PENALTY] = REGULARIZERS[training.regularizer].code
    ints[I_SHUFFLED] = training.order == "shuffled"
    ints[I_DROPPING] = any(dropout_rates(network, training))
    ints[I_NOISY] = training.input_noise > 0
    ints[I_WEIGHT_DROPPING] = training.weight_dropout > 0
    ints[I_LAYER_NOISY] = training.layer_noise > 0
    ints[I_FREEZING] = bool(training.frozen)
    ints[I_ADJUSTING] = training.regularizer != "none" or bool(training.frozen) or training.max_grad_norm is not None
    ints[I_GENERAL] = (
        training.optimizer != "sgd"
        or decay != 0
        or training.max_norm is not None
        or training.max_grad_norm is not None
        or bool(training.frozen)
        or REGULARIZERS[training.regularizer].on_all
    )
    reals[R_STRENGTH] = training.regularization_rate
    reals[R_MOMENTUM] = training.momentum
    reals[R_BETA_1], reals[R_BETA_2] = training.beta_1, training.beta_2
    reals[R_RHO], reals[R_EPSILON] = training.rho, epsilon_of(training)
    reals[R_DECAY] = decay
    reals[R_MAX_NORM] = training.max_norm or 0.0
    reals[R_MAX_GRAD_NORM] = training.max_grad_norm or 0.0
    reals[R_NOISE] = training.input_noise
    reals[R_LAYER_NOISE] = training.layer_noise


def dropout_numbers(rates: Sequence[float]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return for each rate the least kept multiple of 2 ** -24, and what is kept is multiplied by."""
    # A unit is kept where uniform >= rate; both are multiples of 2 ** -24 once the rate is rounded up to one.
    thresholds = np.array([math.ceil(float(np.float32(rate)) * 2**24) for rate in rates], dtype=np.int64)
    return thresholds, np.array([1.0 / (1.0 - rate) for rate in rates])


def scratch_room(ints: npt.NDArray[np.int64], lanes: int, dtype: str, n_params: int) -> FloatArray:
    """Return the place of outputs, deltas, net inputs, and of what noise needs.

    With dropout or noise on layers the outputs that the next layer sees and masks, with DropConnect the parameters that
    a mini-batch sees and the gradient there.
    """
    n_buffers = 5 if ints[I_DROPPING] or ints[I_LAYER_NOISY] else 3
    n_seen = 2 * n_params if ints[I_WEIGHT_DROPPING] else 0
    return aligned((n_buffers * int(ints[I_N_UNITS] * ints[I_ROOM]) + 1 + n_seen, lanes), dtype)


def frozen_mask(network: NetworkConfig, training: TrainingConfig, n_params: int) -> npt.NDArray[np.uint8]:
    """Return 1 for each parameter that keeps its value, (n_params,)."""
    mask = np.zeros(n_params, dtype=np.uint8)
    if not training.frozen:
        return mask
    sizes = network.layer_sizes
    names = [f"weights[{i}]" for i in range(len(sizes) - 1)] + [f"biases[{i}]" for i in range(len(sizes) - 1)]
    counts = [a * b for a, b in itertools.pairwise(sizes)] + list(sizes[1:])
    start = 0
    for name, count in zip(names, counts, strict=True):
        mask[start : start + count] = name in training.frozen
        start += count
    return mask


def pack_integers(values: npt.NDArray[Any], n_groups: int, lanes: int) -> npt.NDArray[Any]:
    """Return one whole number a replica as (n_groups, lanes), filled up with the last."""
    packed = np.empty((n_groups, lanes), dtype=values.dtype)
    packed.reshape(-1)[: len(values)] = values
    packed.reshape(-1)[len(values) :] = values[-1]
    return packed
