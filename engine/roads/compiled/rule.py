"""Full batches of a Gauss rule, network by network."""

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
from engine.kernels import _pack

# ----------------------------------------------------------------------------------------------------------------------
# Full-batch Adam on a quadrature rule (`engine.polynomial.quadrature`): one input, sigmoid units, a linear output


@outer
def _run_on_rule(
    P: Any,
    M1: Any,
    M2: Any,
    G: Any,
    A: Any,
    trainable: Any,
    nodes: Any,
    weights: Any,
    targets: Any,
    residual: Any,
    rates: Any,
    reals: Any,
    thresholds: Any,
    passed: Any,
    passage_step: Any,
    passage_P: Any,
    first_step: Any,
    n_steps: Any,
    loss: Any,
    lowest: Any,
    highest: Any,
) -> None:
    """Take `n_steps` steps with one group of replicas; every array but `reals` and `thresholds` ends with the lane."""
    n_params, lanes = P.shape
    n_units = (n_params - 1) // 3
    n_nodes = nodes.shape[0]
    p, m1, m2, g, a = address(P), address(M1), address(M2), address(G), address(A)
    x_p, weight_p, y_p, rate_p = address(nodes), address(weights), address(targets), address(rates)
    mask_p, residual_p, loss_p = address(trainable), address(residual), address(loss)
    one, two, zero = splat(p, 1.0), splat(p, 2.0), splat(p, 0.0)
    beta_1, beta_2 = splat(p, reals[0]), splat(p, reals[1])
    rest_1, rest_2 = splat(p, 1.0 - reals[0]), splat(p, 1.0 - reals[1])
    epsilon = splat(p, reals[2])
    for step in range(n_steps):
        for i in range(n_params):
            store(g, i, zero)
        total = zero
        # All units first: no sigmoid waits for another one there.
        for k in range(n_units):
            w, b = load(p, k), load(p, n_units + k)
            for j in range(n_nodes):
                store(a, k * n_nodes + j, sigmoid(fma(w, load(x_p, j), b)))
        for j in range(n_nodes):
            x = load(x_p, j)
            out = load(p, 3 * n_units)
            for k in range(n_units):
                out = fma(load(p, 2 * n_units + k), load(a, k * n_nodes + j), out)
            error = out - load(y_p, j)
            weighted = load(weight_p, j) * error
            total = fma(weighted, error, total)
            for k in range(n_units):
                unit = load(a, k * n_nodes + j)
                store(g, 2 * n_units + k, fma(weighted, unit, load(g, 2 * n_units + k)))
                delta = weighted * load(p, 2 * n_units + k) * (unit * (one - unit))
                store(g, k, fma(delta, x, load(g, k)))
                store(g, n_units + k, load(g, n_units + k) + delta)
            store(g, 3 * n_units, load(g, 3 * n_units) + weighted)
        store(loss_p, 0, total + load(residual_p, 0))
        for lane in range(lanes):
            value = loss[lane]
            lowest[lane] = min(lowest[lane], value)
            highest[lane] = max(highest[lane], value)
            while passed[lane] < len(thresholds) and value <= thresholds[passed[lane]]:
                passage_step[passed[lane], lane] = first_step + step
                for i in range(n_params):
                    passage_P[passed[lane], i, lane] = P[i, lane]
                passed[lane] += 1
        reals[3] *= reals[0]
        reals[4] *= reals[1]
        rate = load(rate_p, 0) * splat(p, math.sqrt(1.0 - reals[4]) / (1.0 - reals[3]))
        for i in range(n_params):
            v = two * load(g, i)
            m = fma(rest_1, v, beta_1 * load(m1, i))
            s = fma(rest_2 * v, v, beta_2 * load(m2, i))
            store(m1, i, m)
            store(m2, i, s)
            store(p, i, load(p, i) - rate * load(mask_p, i) * m / (sqrt(s) + epsilon))


class RuleRun:
    """Up to eight replicas in full-batch training on their quadrature rules.

    Parameters
    ----------
    nodes, weights, targets : ndarray (R, m)
        See `engine.polynomial.quadrature.Rule`; R at most 8.
    residual : ndarray (R,)
        Added to every loss.
    parameters : ndarray (R, 3 H + 1)
        First values.
    trainable : bool ndarray (R, 3 H + 1)
        False keeps a parameter's first value.
    thresholds : sequence of float
        Losses whose first passage is recorded, highest first.
    """

    def __init__(
        self,
        nodes: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        targets: npt.NDArray[np.float64],
        residual: npt.NDArray[np.float64],
        parameters: npt.NDArray[np.float64],
        trainable: npt.NDArray[np.bool_],
        thresholds: Sequence[float],
    ) -> None:
        self._n_replicas, n_params = parameters.shape
        lanes = LANES["float64"]
        self._P = self._one_group(parameters)
        self._M1, self._M2, self._G = (np.zeros_like(self._P) for _ in range(3))
        self._A = np.zeros(((n_params - 1) // 3 * nodes.shape[1], lanes))
        self._data = [self._one_group(part) for part in (trainable.astype(np.float64), nodes, weights, targets)]
        self._residual = self._one_group(residual)
        self._reals = np.array([0.9, 0.999, 0.0, 1.0, 1.0])  # betas, epsilon, running powers of the betas
        self._thresholds = np.array(thresholds, np.float64)
        self._passed = np.zeros(lanes, np.int64)
        self._passage_step = np.full((len(thresholds), lanes), -1, np.int64)
        self._passage_P = np.full((len(thresholds), n_params, lanes), np.nan)
        self._n_steps = 0

    @property
    def parameters(self) -> npt.NDArray[np.float64]:
        """The parameters now, (R, 3 H + 1), a copy."""
        return self._P.T[: self._n_replicas].copy()

    def advance(
        self, n_steps: int, learning_rate: npt.NDArray[np.float64], epsilon: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Take steps; return the lowest and the highest loss on the way, (R,) each, before each step."""
        lanes = LANES["float64"]
        lowest, highest = np.full(lanes, np.inf), np.full(lanes, -np.inf)
        self._reals[2] = epsilon
        _run_on_rule(
            self._P,
            self._M1,
            self._M2,
            self._G,
            self._A,
            *self._data,
            self._residual,
            self._one_group(learning_rate),
            self._reals,
            self._thresholds,
            self._passed,
            self._passage_step,
            self._passage_P,
            self._n_steps,
            n_steps,
            np.zeros(lanes),
            lowest,
            highest,
        )
        self._n_steps += n_steps
        return lowest[: self._n_replicas], highest[: self._n_replicas]

    def passages(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the step of each first passage, (K, R), -1 for none, and the parameters then, (K, R, 3 H + 1)."""
        n = self._n_replicas
        return self._passage_step[:, :n], self._passage_P.transpose(0, 2, 1)[:, :n]

    @staticmethod
    def _one_group(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(_pack(rows, 1, "float64")[0], np.float64)
