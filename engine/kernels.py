"""The compiled training loop: explicit SIMD vectors, one replica a lane.

Numba lives in this file only, and everything compiled lives in this file, because Numba's cache does not see an edit
in a callee elsewhere.

How it is laid out
------------------
Replicas are innermost: an array is a list of vectors of `LANES` replicas, 16 for float32 and 8 for float64 (one AVX-512
register; LLVM splits it on narrower machines). R replicas make ``ceil(R / LANES)`` groups, the last one filled up with
copies of the last replica. Lanes never mix, every fused multiply-add is written out and there is no fast-math, so what
a replica computes depends neither on R, nor on its neighbors, nor on the processor's vector width.

The three matrix products of a layer are blocked over units and samples: the weights of a few units are loaded once for
up to five samples of the mini-batch, with all sums in registers, where tanh and ReLU and their derivatives are applied
to them. A mini-batch of one sample has functions of its own, one call a layer. A long mini-batch goes through in chunks
that fit the first-level cache.

All parameters of a replica are one list: weights layer by layer, each (fan_in, fan_out), then biases, then learnt
slopes. Moments and gradient sums are shaped the same. Points are (feature, sample), so that a layer's outputs, (unit,
sample), and the inputs look alike.

What it costs to call
---------------------
A `Session` packs state and splits once (transposed copies), trains, and measures losses from the packed parameters,
several looks in one call; the state is unpacked when somebody reads it. `advance` and `mean_losses` pack at each call.

There is one compiled function and it is compiled once for each of the two types; Numba keeps the result on disk, so
later processes load it. `is_compiled` says whether the first call will have to wait, `warm_up` makes that call.

Accuracy
--------
Against SciPy, the largest relative errors in float32 (in float64): tanh 5e-7 (5e-16), where |x| > 7.9 is clamped and
the result 1 - 5e-7; sigmoid, SiLU and ELU 2e-7 (6e-16), softplus 2.5e-7 (6e-16), GELU 2e-7 relative or 3e-7 absolute
(6e-16). The tests hold them to these figures. In float32 the quotients of AdaGrad, RMSprop and Adam come from Newton
steps, good to 5e-7 where the root's argument is a normal number; in float64 from the processor's own root and division.
Float32 is computed with subnormal numbers as zero (`engine.roads.subnormals`), which holds for any vector width.

The quotient of tanh stays the divider's: from Newton steps as in `quick_reciprocal` a 2-8-8-1 network took 9 % longer
on Zen 4, whose divider works beside its multipliers.
"""
# ruff: noqa: ARG001 (Numba and LLVM fix the signatures)

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numba.core.cgutils
import numba.core.typing.templates
import numba.extending
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS, epsilon_of, weight_decay_of
from engine.methods.regularizers import REGULARIZERS
from engine.methods.schedules import learning_rate
from engine.methods.streams import (
    DROPOUT,
    GOLDEN_32,
    GOLDEN_64,
    INPUT_NOISE,
    MIX_32_A,
    MIX_32_B,
    MIX_64_A,
    MIX_64_B,
    SHUFFLE,
)
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState
from engine.roads.compiled.decorators import cgutils, inlined, inner, intrinsic, lower_builtin, models, outer, templates, types
from engine.roads.compiled.vectors import EVALUATION_CHUNK, LANES, TRAINING_CHUNK, _constant, _define_operator, _emit_polynomial, _llvm_call, _llvm_vector, _load, _polynomial, _store, absolute, add_in_double, address, at_address, dropout_factor, exponent, fma, load, mantissa, nearest, offset, offset_keys, power_of_two, quick_reciprocal, rough_inverse_root, splat, sqrt, store, store_random_bits, store_random_indexes, where_greater, with_sign
from engine.roads.compiled.functions import _emit_tanh, clamped, exp, expm1, fast_root, log, normal_cdf, sigmoid, softplus, tanh
from engine.roads.compiled.codes import ADAGRAD, BINARY_CROSS_ENTROPY, DROP, ELU, GELU, HALF_SQUARED_ERROR, HUBER, I_ADJUSTING, I_BATCH, I_CHUNK, I_DROPPING, I_EPOCH, I_FREEZING, I_GENERAL, I_HIDDEN, I_LOSS, I_NOISY, I_N_UNITS, I_N_WEIGHTS, I_OPTIMIZER, I_OUTPUT, I_PARTIAL, I_PENALTY, I_PENDING, I_PENDING_AFTER, I_ROOM, I_SHUFFLED, I_UPDATES, I_UPDATES_AFTER, I_WITH_Z, KEEP, L1, L1_SUBGRADIENT, L2, LEAKY_RELU, LINEAR, MAE, MOMENTUM, MSE, NESTEROV, NO_PENALTY, N_INTS, N_REALS, N_TABLE, PARTIAL_CODES, PRELU, RELU, RMSPROP, R_BETA_1, R_BETA_2, R_DECAY, R_EPSILON, R_MAX_GRAD_NORM, R_MAX_NORM, R_MOMENTUM, R_NOISE, R_OUTPUT_SLOPE, R_RHO, R_SLOPE, R_STRENGTH, SGD, SIGMOID, SILU, SOFTMAX_CROSS_ENTROPY, SOFTPLUS, STEP, TANH, T_N, T_TARGETS, T_WEIGHT, T_X, T_Y
from engine.roads.compiled.products import AS_IS, AS_RELU, AS_TANH, layer_backward, layer_forward, layer_gradient
from engine.roads.compiled.passes import backward, forward, loss_gradient, loss_values
from engine.roads.compiled.updates import general_update, plain_update
from engine.roads.compiled.random import add_input_noise, put_in_order, set_keys, shuffle
from engine.roads.compiled.loop import _run


_define_operator(operator.add, "fadd", 2)
_define_operator(operator.sub, "fsub", 2)
_define_operator(operator.mul, "fmul", 2)
_define_operator(operator.truediv, "fdiv", 2)
_define_operator(operator.neg, "fneg", 1)


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


def _aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> FloatArray:
    """Return an uninitialized array that starts on a cache line, as vectors of 64 bytes want."""
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % 64
    array: FloatArray = raw[start : start + n_bytes].view(dtype).reshape(shape)
    return array


def _pack(rows: npt.NDArray[Any], n_groups: int, dtype: str) -> FloatArray:
    """Return rows (R, ...) as (n_groups, ..., lanes); missing replicas are copies of the last."""
    lanes = LANES[dtype]
    packed = _aligned((n_groups, *rows.shape[1:], lanes), dtype)
    replicas_last = (*range(1, rows.ndim), 0)
    for group, target in enumerate(packed):
        part = rows[group * lanes : (group + 1) * lanes]
        target[..., : len(part)] = part.transpose(replicas_last)
        if len(part) < lanes:
            target[..., len(part) :] = target[..., len(part) - 1 : len(part)]
    return packed


def _n_groups(n_replicas: int, dtype: str) -> int:
    return -(-n_replicas // LANES[dtype])


def _pack_split(split: Split, n_replicas: int, dtype: str) -> _PackedSplit:
    n_groups = _n_groups(n_replicas, dtype)

    def packed(array: FloatArray) -> FloatArray:
        array = np.broadcast_to(array, (n_replicas, *array.shape[1:]))
        return _pack(array.transpose(0, 2, 1), n_groups, dtype)

    if split.weight is None:
        return _PackedSplit(packed(split.X), packed(split.y))
    weight = np.broadcast_to(split.weight, (n_replicas, split.weight.shape[1]))
    total = weight.sum(axis=1, dtype=np.float64)
    return _PackedSplit(packed(split.X), packed(split.y), _pack(weight, n_groups, dtype), total)


def _table(splits: Sequence[_PackedSplit]) -> npt.NDArray[np.int64]:
    """Return the splits as the compiled function wants them: a row each, with addresses."""
    table = np.zeros((len(splits), N_TABLE), dtype=np.int64)
    for row, split in zip(table, splits, strict=True):
        row[T_N], row[T_TARGETS] = split.X.shape[2], split.y.shape[1]
        row[T_X], row[T_Y] = split.X.ctypes.data, split.y.ctypes.data
        row[T_WEIGHT] = 0 if split.weight is None else split.weight.ctypes.data
    return table


def _means(sums: npt.NDArray[np.float64], splits: Sequence[_PackedSplit], n_replicas: int) -> npt.NDArray[np.float64]:
    """Return mean losses (looks, splits, R) from sums (looks, splits, groups, lanes)."""
    n_looks, n_splits, n_groups, lanes = sums.shape
    means: npt.NDArray[np.float64] = sums.reshape(n_looks, n_splits, n_groups * lanes)[..., :n_replicas]
    with np.errstate(invalid="ignore"):  # a replica whose weights are all 0 has no mean
        for i, split in enumerate(splits):
            means[:, i] /= split.X.shape[2] if split.total_weight is None else split.total_weight
    return means


def _arrays(parameters: Parameters) -> list[FloatArray]:
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def _packed_arrays(arrays: list[Any], dtype: str) -> FloatArray:
    """Return arrays (R, ...) as one list of vectors a group: (n_groups, n, lanes)."""
    n_replicas = arrays[0].shape[0]
    flat = np.concatenate([array.reshape(n_replicas, -1) for array in arrays], axis=1)
    return _pack(flat, _n_groups(n_replicas, dtype), dtype)


def _unpack_arrays(packed: npt.NDArray[Any], arrays: list[Any]) -> None:
    """Write a list of vectors a group back into arrays (R, ...)."""
    flat = packed.transpose(0, 2, 1).reshape(-1, packed.shape[1])[: arrays[0].shape[0]]
    start = 0
    for array in arrays:
        size = math.prod(array.shape[1:])
        array[...] = flat[:, start : start + size].reshape(array.shape)
        start += size


def _network_numbers(
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


def _set_training_numbers(
    ints: npt.NDArray[np.int64], reals: npt.NDArray[np.float64], network: NetworkConfig, training: TrainingConfig
) -> None:
    decay = weight_decay_of(training)
    ints[I_OPTIMIZER] = OPTIMIZERS[training.optimizer].code
    ints[I_BATCH] = training.batch_size
    ints[I_PARTIAL] = PARTIAL_CODES[training.partial_batch]
    ints[I_PENALTY] = REGULARIZERS[training.regularizer].code
    ints[I_SHUFFLED] = training.order == "shuffled"
    ints[I_DROPPING] = any(dropout_rates(network, training))
    ints[I_NOISY] = training.input_noise > 0
    ints[I_FREEZING] = bool(training.frozen)
    ints[I_ADJUSTING] = training.regularizer != "none" or bool(training.frozen) or training.max_grad_norm is not None
    ints[I_GENERAL] = (
        training.optimizer != "sgd"
        or decay != 0
        or training.max_norm is not None
        or training.max_grad_norm is not None
        or bool(training.frozen)
    )
    reals[R_STRENGTH] = training.regularization_rate
    reals[R_MOMENTUM] = training.momentum
    reals[R_BETA_1], reals[R_BETA_2] = training.beta_1, training.beta_2
    reals[R_RHO], reals[R_EPSILON] = training.rho, epsilon_of(training)
    reals[R_DECAY] = decay
    reals[R_MAX_NORM] = training.max_norm or 0.0
    reals[R_MAX_GRAD_NORM] = training.max_grad_norm or 0.0
    reals[R_NOISE] = training.input_noise


def _scratch(ints: npt.NDArray[np.int64], lanes: int, dtype: str) -> FloatArray:
    """Return the place of outputs, deltas, net inputs and, with dropout, masked outputs and masks."""
    n_buffers = 5 if ints[I_DROPPING] else 3
    return _aligned((n_buffers * int(ints[I_N_UNITS] * ints[I_ROOM]) + 1, lanes), dtype)


def _frozen_mask(network: NetworkConfig, training: TrainingConfig, n_params: int) -> npt.NDArray[np.uint8]:
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


def supports(network: NetworkConfig, training: TrainingConfig) -> bool:
    """Return whether the compiled loop can train this network so.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig

    Returns
    -------
    bool
        False only where Numba's compiler is switched off (``NUMBA_DISABLE_JIT=1``): the loop knows every record.
    """
    return not vars(numba.config)["DISABLE_JIT"]


def is_compiled(dtype: str) -> bool:
    """Return whether this process has the machine code for a type, so that no call waits for the compiler or cache."""
    element = types.float32 if dtype == "float32" else types.float64
    return any(bool(signature[0].dtype == element) for signature in _run.signatures)


def warm_up(dtype: str) -> bool:
    """Compile for a type, or load what an earlier process compiled.

    Parameters
    ----------
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    bool
        Whether the compiler had to run (once a machine, and after each change of this file or of Numba).
    """
    if is_compiled(dtype):
        return False
    misses = sum(_run.stats.cache_misses.values())
    network = NetworkConfig(1, (), 1)
    parameters = Parameters([np.zeros((1, 1, 1), dtype)], [np.zeros((1, 1), dtype)])
    mean_losses(network, parameters, Split(np.zeros((1, 1, 1), dtype), np.zeros((1, 1, 1), dtype)), "mse")
    return bool(sum(_run.stats.cache_misses.values()) > misses)


class Session:
    """Networks in training that stay in the kernel's layout from one call to the next.

    Parameters
    ----------
    state : TrainingState
        Where training stands. It falls behind at the first `advance`; `read_state` brings it up to date.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
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
        dtype = training.dtype
        lanes = LANES[dtype]
        self._state, self._training = state, training
        self._n_replicas = state.parameters.n_replicas
        self._is_behind = False
        n_groups = _n_groups(self._n_replicas, dtype)
        points = _pack_split(split, self._n_replicas, dtype)
        self._splits = [
            points if other is split else _pack_split(other, self._n_replicas, dtype) for other in evaluate_on
        ]
        n = points.X.shape[2]
        nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
        P = _packed_arrays(_arrays(state.parameters), dtype)
        if training.partial_batch == "carry":
            G = _packed_arrays(_arrays(state.pending), dtype)
        else:
            G = _aligned(P.shape, dtype)
            G[...] = 0
        self._moments = [_packed_arrays(_arrays(moment), dtype) for moment in state.moments]
        kills = training.regularizer == "l1"
        self._P, self._G = P, G
        self._dead = _packed_arrays(list(state.dead), dtype) if kills else nothing
        chunk = min(training.batch_size, TRAINING_CHUNK)
        self._ints, reals = _network_numbers(network, training.loss, chunk, evaluate_on)
        rates = dropout_rates(network, training)
        _set_training_numbers(self._ints, reals, network, training)
        self._ints[I_PENDING] = state.n_pending
        self._ints[I_EPOCH] = state.epoch
        self._ints[I_UPDATES] = state.n_updates
        own_points = training.order == "shuffled" or training.input_noise > 0 or rates[0] > 0
        n_own = n if own_points else 0
        order = np.empty((n_own, lanes), dtype=np.uint32)
        order[...] = np.arange(n_own, dtype=np.uint32)[:, None]
        self._diverged = _pack_integers(state.diverged_at, n_groups, lanes)
        moments = [*self._moments, nothing, nothing]
        self._before_rates = (
            P,
            G,
            moments[0],
            moments[1],
            self._dead,
            _frozen_mask(network, training, P.shape[1]),
            points.X,
            points.y,
            _aligned((points.X.shape[1] + points.y.shape[1], n_own, lanes), dtype),
            order,
            _scratch(self._ints, lanes, dtype),
            np.zeros((2 * len(rates), lanes), dtype=np.uint32),
            _pack_integers(state.seeds, n_groups, lanes),
            np.array(network.layer_sizes, dtype=np.int64),
            self._ints,
            reals,
        )
        self._after_rates = (
            # A unit is kept where uniform >= rate; both are multiples of 2 ** -24 once the rate is rounded up to one.
            np.array([math.ceil(float(np.float32(rate)) * 2**24) for rate in rates], dtype=np.int64),
            np.array([1.0 / (1.0 - rate) for rate in rates]),
            self._diverged,
        )
        self._table = _table(self._splits)
        self._sums_shape = (len(self._splits), n_groups, lanes)

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._diverged.reshape(-1)[: self._n_replicas].copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps, measuring losses after each.

        Parameters
        ----------
        steps : sequence of int
            Epochs of each step; 0 measures only.

        Returns
        -------
        ndarray (steps, splits, R) of float64
            Mean losses on `evaluate_on`, without penalty.
        """
        epoch, n_epochs = int(self._ints[I_EPOCH]), sum(steps)
        sums = np.zeros((len(steps), *self._sums_shape))
        rates = np.array([learning_rate(self._training, epoch + i) for i in range(n_epochs)])
        looks = np.array(steps, dtype=np.int64)
        with subnormals_are_zero(self._training.dtype):
            _run(*self._before_rates, rates, *self._after_rates, looks, self._table, sums)
        self._ints[I_PENDING] = self._ints[I_PENDING_AFTER]
        self._ints[I_UPDATES] = self._ints[I_UPDATES_AFTER]
        self._ints[I_EPOCH] = epoch + n_epochs
        self._is_behind |= n_epochs > 0
        return _means(sums, self._splits, self._n_replicas)

    def read_state(self) -> TrainingState:
        """Return the state, brought up to date."""
        state = self._state
        if self._is_behind:
            _unpack_arrays(self._P, _arrays(state.parameters))
            for packed, moment in zip(self._moments, state.moments, strict=True):
                _unpack_arrays(packed, _arrays(moment))
            if self._training.regularizer == "l1":
                _unpack_arrays(self._dead > 0, list(state.dead))
            if self._training.partial_batch == "carry":
                _unpack_arrays(self._G, _arrays(state.pending))
            state.n_pending = int(self._ints[I_PENDING])
            state.n_updates = int(self._ints[I_UPDATES])
            state.epoch = int(self._ints[I_EPOCH])
            state.diverged_at[...] = self.diverged_at
            self._is_behind = False
        return state


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split
        Training points, without weights.
    n_epochs : int
        Epochs to do.
    """
    session = Session(state, network, training, split)
    session.advance([n_epochs])
    session.read_state()


def _pack_integers(values: npt.NDArray[Any], n_groups: int, lanes: int) -> npt.NDArray[Any]:
    """Return one whole number a replica as (n_groups, lanes), filled up with the last."""
    packed = np.empty((n_groups, lanes), dtype=values.dtype)
    packed.reshape(-1)[: len(values)] = values
    packed.reshape(-1)[len(values) :] = values[-1]
    return packed


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return each replica's mean loss over the points of a split, without penalty.

    Parameters
    ----------
    network : NetworkConfig
    parameters : Parameters
        R replicas, float32 or float64.
    split : Split
    loss : str
        Name of a loss.

    Returns
    -------
    ndarray (R,) of float64
        Each point's loss is computed in the type of the parameters, their sum in float64.
    """
    dtype = parameters.weights[0].dtype.name
    lanes = LANES[dtype]
    splits = [_pack_split(split, parameters.n_replicas, dtype)]
    P = _packed_arrays(_arrays(parameters), dtype)
    n_groups = len(P)
    nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
    no_points = np.zeros((n_groups, 0, 0, lanes), dtype=dtype)
    ints, reals = _network_numbers(network, loss, 0, [split])
    sums = np.zeros((1, 1, n_groups, lanes))
    arguments = (
        P,
        nothing,
        nothing,
        nothing,
        nothing,
        np.zeros(0, dtype=np.uint8),
        no_points,
        no_points,
        nothing,
        np.zeros((0, lanes), dtype=np.uint32),
        _scratch(ints, lanes, dtype),
        np.zeros((1, lanes), dtype=np.uint32),
        np.zeros((n_groups, lanes), dtype=np.uint64),
        np.array(network.layer_sizes, dtype=np.int64),
        ints,
        reals,
        np.zeros(0),
        np.zeros(1, dtype=np.int64),
        np.zeros(1),
        np.zeros((n_groups, lanes), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        _table(splits),
        sums,
    )
    with subnormals_are_zero(dtype):
        _run(*arguments)
    return np.asarray(_means(sums, splits, parameters.n_replicas)[0, 0])
