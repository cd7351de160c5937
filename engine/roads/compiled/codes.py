"""The numbers by which compiled code knows methods, and the places of its arguments."""

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

# ----------------------------------------------------------------------------------------------------------------------
# Codes of the records, and places in the arrays of whole and real numbers that the compiled function gets

LINEAR, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, PRELU, ELU, GELU, SILU, SOFTPLUS = (
    ACTIVATIONS[name].code
    for name in (
        "linear",
        "step",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "prelu",
        "elu",
        "gelu",
        "silu",
        "softplus",
    )
)
HALF_SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY, HINGE = (
    LOSSES[name].code
    for name in ("half_squared_error", "mse", "mae", "huber", "binary_cross_entropy", "softmax_cross_entropy", "hinge")
)
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW = (
    OPTIMIZERS[name].code for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
)
NO_PENALTY, L1, L1_SUBGRADIENT, L2 = (REGULARIZERS[name].code for name in ("none", "l1", "l1_subgradient", "l2"))
KEEP, DROP, CARRY = 0, 1, 2
PARTIAL_CODES = {"keep": KEEP, "drop": DROP, "carry": CARRY}

I_HIDDEN, I_OUTPUT, I_LOSS, I_OPTIMIZER, I_BATCH, I_PARTIAL, I_PENALTY, I_CHUNK = 0, 1, 2, 3, 4, 5, 6, 7
I_PENDING, I_EPOCH, I_UPDATES, I_SHUFFLED, I_DROPPING, I_NOISY, I_GENERAL, I_WITH_Z = 8, 9, 10, 11, 12, 13, 14, 15
I_N_WEIGHTS, I_N_UNITS, I_PENDING_AFTER, I_UPDATES_AFTER, I_ROOM = 16, 17, 18, 19, 20
I_ADJUSTING, I_FREEZING = 21, 22
N_INTS = 23
T_N, T_TARGETS, T_X, T_Y, T_WEIGHT = 0, 1, 2, 3, 4
N_TABLE = 5
R_SLOPE, R_OUTPUT_SLOPE, R_STRENGTH, R_MOMENTUM, R_BETA_1, R_BETA_2, R_RHO, R_EPSILON = 0, 1, 2, 3, 4, 5, 6, 7
R_DECAY, R_MAX_NORM, R_MAX_GRAD_NORM, R_NOISE = 8, 9, 10, 11
N_REALS = 12
