"""Random numbers of compiled code: orders and noise, by replica and epoch."""

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

# ----------------------------------------------------------------------------------------------------------------------
# Random numbers: `engine.methods.streams`, bit for bit


@inner
def mix(z: Any) -> Any:
    """Return SplitMix64's next output."""
    z = z + np.uint64(GOLDEN_64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_64_A)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_64_B)
    return z ^ (z >> np.uint64(31))


@inner
def set_keys(keys: Any, place: Any, seeds: Any, epoch: Any, purpose: Any, layer: Any) -> None:
    """Fill ``keys[place]`` (lo) and ``keys[place + 1]`` (hi) with the stream keys of all lanes."""
    for lane in range(len(seeds)):
        h = mix(mix(mix(seeds[lane]) ^ np.uint64(epoch)) ^ np.uint64((purpose << 32) | layer))
        keys[place, lane] = np.uint32(h & np.uint64(0xFFFFFFFF))
        keys[place + 1, lane] = np.uint32(h >> np.uint64(32))


@inner
def shuffle(like: Any, order: Any, keys: Any, bits: Any) -> None:
    """Set ``order[:, lane]`` to each lane's permutation of the epoch; `bits` (1, lanes) is scratch."""
    n, lanes = order.shape
    for i in range(n):
        for lane in range(lanes):
            order[i, lane] = i
    key, out = address(keys), address(bits)
    for i in range(n - 1, 0, -1):
        store_random_indexes(like, out, key, i)
        for lane in range(lanes):
            j = bits[0, lane]
            here = order[i, lane]
            order[i, lane] = order[j, lane]
            order[j, lane] = here


@inner
def put_in_order(out: Any, rows: Any, order: Any) -> None:
    """Set ``out[row, s, lane]`` to ``rows[row, order[s, lane], lane]``."""
    n_rows, n, lanes = out.shape
    for row in range(n_rows):
        for s in range(n):
            for lane in range(lanes):
                out[row, s, lane] = rows[row, order[s, lane], lane]


@inner
def add_input_noise(like: Any, points: Any, n_inputs: Any, sigma: Any, keys: Any, bits: Any) -> None:
    """Add each lane's normal numbers to the first `n_inputs` rows of `points` (rows, n, lanes)."""
    n, lanes = points.shape[1], points.shape[2]
    key, out_1, out_2 = address(keys), address(bits), address(bits[1:])
    for s in range(n):
        for k in range(n_inputs):
            i = s * n_inputs + k
            store_random_bits(like, out_1, key, 2 * i)
            store_random_bits(like, out_2, key, 2 * i + 1)
            for lane in range(lanes):
                u = (np.float64(bits[0, lane] >> np.uint32(8)) + 1.0) * 2.0**-24
                angle = 2.0 * math.pi * 2.0**-24 * np.float64(bits[1, lane] >> np.uint32(8))
                points[k, s, lane] += points.dtype.type(sigma * math.sqrt(-2.0 * math.log(u)) * math.cos(angle))
