"""Full batches of a Gauss rule, network by network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compiling.decorators import inner, outer
from engine.roads.compiled.functions import (
    sigmoid,
    tanh,
)
from engine.roads.compiled.packing import pack
from engine.roads.compiled.sources import SOURCES
from engine.roads.compiled.vectors import (
    LANES,
    address,
    fma,
    load,
    splat,
    sqrt,
    store,
    where_greater,
)

# ----------------------------------------------------------------------------------------------------------------------
# Full-batch Adam on a quadrature rule (`engine.polynomial.quadrature`): one input, units of one kind, a linear output


SIGMOID, TANH = 2, 3  # codes of `engine.methods.activations`; anything else is relu here


@inner
def _run_on_rule_body(
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
    unit_code: Any,
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
            if unit_code == SIGMOID:
                for j in range(n_nodes):
                    store(a, k * n_nodes + j, sigmoid(fma(w, load(x_p, j), b)))
            elif unit_code == TANH:
                for j in range(n_nodes):
                    store(a, k * n_nodes + j, tanh(fma(w, load(x_p, j), b)))
            else:
                for j in range(n_nodes):
                    z = fma(w, load(x_p, j), b)
                    store(a, k * n_nodes + j, where_greater(z, zero, z, zero))
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
                if unit_code == SIGMOID:
                    slope = unit * (one - unit)
                elif unit_code == TANH:
                    slope = one - unit * unit
                else:
                    slope = where_greater(unit, zero, one, zero)
                delta = weighted * load(p, 2 * n_units + k) * slope
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


def _entry(sources: int) -> Any:
    """Return `_run_on_rule_body` as Python calls it; see `engine.roads.compiled.sources.SOURCES`."""

    def run_on_rule(
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
        unit_code: Any,
        loss: Any,
        lowest: Any,
        highest: Any,
    ) -> None:
        if sources < 0:  # never; read here so that it becomes part of the cache's key
            return
        _run_on_rule_body(
            P,
            M1,
            M2,
            G,
            A,
            trainable,
            nodes,
            weights,
            targets,
            residual,
            rates,
            reals,
            thresholds,
            passed,
            passage_step,
            passage_P,
            first_step,
            n_steps,
            unit_code,
            loss,
            lowest,
            highest,
        )

    return outer(run_on_rule)


run_on_rule = _entry(SOURCES)
"""Take `n_steps` steps with one group of replicas; every array but `reals` and `thresholds` ends with the lane."""


class RuleRun:
    """Up to eight replicas in full-batch training on their quadrature rules.

    Parameters
    ----------
    nodes, weights, targets : ndarray (R, m)
        See `engine.polynomial.quadrature.GaussRule`; R at most 8.
    residual : ndarray (R,)
        Added to every loss.
    parameters : ndarray (R, 3 H + 1)
        First values.
    trainable : bool ndarray (R, 3 H + 1)
        False keeps a parameter's first value.
    thresholds : sequence of float
        Losses whose first passage is recorded, highest first.
    unit_code : int
        The units' activation, as `engine.methods.activations` numbers it.
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
        unit_code: int,
    ) -> None:
        self._unit_code = unit_code
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
        run_on_rule(
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
            self._unit_code,
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
        return np.asarray(pack(rows, 1, "float64")[0], np.float64)
