"""Full-batch training on a quadrature rule that stands in for thousands of rows, exactly.

Rows enter the full-batch loss of a network with one input only through averages over x. The Gauss rule of the
empirical measure of x has m nodes and integrates every polynomial of degree below 2m over the rows exactly; a smooth
network is a polynomial to rounding error long before that. Targets enter through their projection on polynomials of
degree below m, and what the projection leaves over (noise) is a constant of the loss. So 64 nodes give loss and
gradient of 10 000 rows to about 1e-10, and millions of full-batch steps take seconds.

The network is the one of the polynomial experiment: one input, H units (sigmoid unless an activation is named), a
linear output. The rule is exact for smooth units; a unit with a bend needs a node for every row. The 3 H + 1 numbers
are one vector: the weights w_1 ... w_H into the units, their biases b_1 ... b_H, the weights W_1 ... W_H out of them,
and the output bias B.

References
----------
G. H. Golub and J. H. Welsch, Calculation of Gauss quadrature rules, Math. Comp. 23 (1969) 221-230. W. Gautschi,
Orthogonal Polynomials: Computation and Approximation (2004), section 2.2.3 (Lanczos on a discrete measure).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh_tridiagonal
from scipy.special import expit

from engine.names import look_up
from engine.roads.blas import one_blas_thread

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unit:
    """A hidden unit's activation.

    Parameters
    ----------
    code : int
        As in `engine.methods.activations`; the compiled loop knows it by that.
    function : callable z -> a
    times_slope : callable (x, a) -> x da/dz
        From the output alone; as one product, so that its rounding is that of older records.
    is_smooth : bool
        Whether a network of such units is a polynomial to rounding error, which a Gauss rule integrates exactly.
    """

    code: int
    function: Callable[[FloatArray], FloatArray]
    times_slope: Callable[[FloatArray, FloatArray], FloatArray]
    is_smooth: bool = True


UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "sigmoid": Unit(2, lambda z: np.asarray(expit(z)), lambda x, a: x * a * (1.0 - a)),
        "tanh": Unit(3, np.tanh, lambda x, a: x * (1.0 - a * a)),
        "relu": Unit(4, lambda z: np.maximum(z, 0.0), lambda x, a: x * (a > 0.0), is_smooth=False),
    }
)


@dataclass(frozen=True, slots=True)
class GaussRule:
    """Gauss rules standing in for the rows of R replicas.

    Parameters
    ----------
    nodes : ndarray (R, m)
        Where the network is evaluated.
    weights : ndarray (R, m)
        Share of the rows that each node stands for; they sum to 1.
    targets : ndarray (R, m)
        Projection of the targets on polynomials of degree below m, at the nodes.
    residual : ndarray (R,)
        Mean square of what the projection leaves over: part of every loss, whatever the network.
    """

    nodes: FloatArray
    weights: FloatArray
    targets: FloatArray
    residual: FloatArray

    def select(self, replicas: slice | npt.NDArray[np.int64]) -> GaussRule:
        """Return the rules of some replicas."""
        return GaussRule(self.nodes[replicas], self.weights[replicas], self.targets[replicas], self.residual[replicas])


@dataclass(frozen=True, slots=True)
class FullBatchHistory:
    """What R full-batch trainings left behind.

    Parameters
    ----------
    steps : ndarray (C,)
        Updates done at each checkpoint.
    parameters : ndarray (C, R, 3 H + 1)
        Parameters there.
    loss : ndarray (C, R)
        Mean squared error there.
    lowest, highest : ndarray (C, R)
        Lowest and highest loss of the steps since the checkpoint before.
    thresholds : ndarray (K,)
        Losses whose first passage was looked for, highest first.
    passage_step : ndarray (K, R)
        Updates done when the loss was first at or below each threshold, or -1.
    passage_parameters : ndarray (K, R, 3 H + 1)
        Parameters then; NaN where it never was.
    """

    steps: npt.NDArray[np.int64]
    parameters: FloatArray
    loss: FloatArray
    lowest: FloatArray
    highest: FloatArray
    thresholds: FloatArray
    passage_step: npt.NDArray[np.int64]
    passage_parameters: FloatArray


def gauss_rule(X: FloatArray, y: FloatArray, n_nodes: int = 64) -> GaussRule:
    """Return the Gauss rule of each replica's rows.

    Parameters
    ----------
    X, y : ndarray (R, n)
        Inputs and targets of each replica.
    n_nodes : int
        Nodes m; a replica with fewer distinct inputs cannot have as many.

    Returns
    -------
    GaussRule

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or a replica has fewer than `n_nodes` distinct inputs.
    """
    if X.ndim != 2 or X.shape != y.shape:
        raise ValueError(f"y: shape {y.shape} beside X of shape {X.shape}; give two arrays (replicas, rows)")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("X, y: not all values are finite; leave such rows out")
    with one_blas_thread():
        rules = [_gauss_rule_of_one(x, t, n_nodes) for x, t in zip(X, y, strict=True)]
    nodes, weights, targets, residual = (np.array(part) for part in zip(*rules, strict=True))
    return GaussRule(nodes, weights, targets, residual)


def _gauss_rule_of_one(x: FloatArray, y: FloatArray, m: int) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    n_distinct = len(np.unique(x))
    if not 1 <= m <= n_distinct:
        raise ValueError(f"n_nodes: {m} for {n_distinct} distinct inputs; give 1 to {n_distinct}")
    n = len(x)
    # Lanczos on diag(x) with every new vector orthogonalized twice against all before: columns of Q are the orthonormal
    # polynomials p_0 ... p_(m-1) on the rows, divided by sqrt(n).
    Q = np.empty((n, m))
    Q[:, 0] = 1.0 / np.sqrt(n)
    diagonal, off_diagonal = np.empty(m), np.empty(m - 1)
    for k in range(m):
        v = x * Q[:, k]
        diagonal[k] = Q[:, k] @ v
        if k + 1 < m:
            for _ in range(2):
                v -= Q[:, : k + 1] @ (Q[:, : k + 1].T @ v)
            off_diagonal[k] = np.linalg.norm(v)
            Q[:, k + 1] = v / off_diagonal[k]
    values, U = eigh_tridiagonal(diagonal, off_diagonal)
    nodes = np.asarray(values, np.float64)
    weights = U[0] ** 2
    coefficients = Q.T @ y / np.sqrt(n)
    # p_k at node j is U[k, j] / U[0, j].
    targets = coefficients @ U / U[0]
    residual = float(np.mean((y - Q @ coefficients * np.sqrt(n)) ** 2))
    return nodes, weights, targets, residual


def hidden_outputs(parameters: FloatArray, X: FloatArray, activation: str = "sigmoid") -> FloatArray:
    """Return what the hidden units give.

    Parameters
    ----------
    parameters : ndarray (R, 3 H + 1)
    X : ndarray (R, n) or (1, n)
    activation : str
        Name in `UNITS`.

    Returns
    -------
    ndarray (R, H, n)
    """
    H = n_hidden(parameters)
    w, b = parameters[:, :H, None], parameters[:, H : 2 * H, None]
    return np.asarray(UNITS[activation].function(w * X[:, None, :] + b))


def predict(parameters: FloatArray, X: FloatArray, activation: str = "sigmoid") -> FloatArray:
    """Return the network's outputs, (R, n); arguments as for `hidden_outputs`."""
    H = n_hidden(parameters)
    outputs: FloatArray = np.einsum(
        "rh,rhn->rn", parameters[:, 2 * H : 3 * H], hidden_outputs(parameters, X, activation)
    )
    return outputs + parameters[:, 3 * H :]


def n_hidden(parameters: FloatArray) -> int:
    """Return the number of hidden units of parameter vectors (..., 3 H + 1)."""
    n_numbers = int(parameters.shape[-1])
    H, rest = divmod(n_numbers - 1, 3)
    if rest or not H:
        raise ValueError(f"parameters: {n_numbers} numbers a network; H hidden units have 3 H + 1")
    return H


def loss_and_gradient(
    parameters: FloatArray, rule: GaussRule, activation: str = "sigmoid"
) -> tuple[FloatArray, FloatArray]:
    """Return the mean squared error of each replica, (R,), and its gradient, (R, 3 H + 1)."""
    H = n_hidden(parameters)
    a = hidden_outputs(parameters, rule.nodes, activation)
    W = parameters[:, 2 * H : 3 * H]
    error = np.einsum("rh,rhm->rm", W, a) + parameters[:, 3 * H :] - rule.targets
    weighted = 2.0 * rule.weights * error
    delta = UNITS[activation].times_slope(weighted[:, None, :] * W[:, :, None], a)
    gradient = np.concatenate(
        [
            np.einsum("rhm,rm->rh", delta, rule.nodes),
            delta.sum(axis=-1),
            np.einsum("rhm,rm->rh", a, weighted),
            weighted.sum(axis=-1, keepdims=True),
        ],
        axis=1,
    )
    loss: FloatArray = 0.5 * (weighted * error).sum(axis=-1) + rule.residual
    return loss, gradient


def train_full_batch(
    rule: GaussRule,
    parameters: FloatArray,
    trainable: npt.NDArray[np.bool_],
    learning_rate: FloatArray,
    checkpoints: Sequence[int],
    thresholds: Sequence[float] = (),
    epsilon: float = 1e-7,
    n_threads: int = 1,
    on_look: Callable[[int], None] | None = None,
    activation: str = "sigmoid",
    drops: Sequence[int] = (),
) -> FullBatchHistory:
    """Train R networks by full-batch Adam, as Keras writes it (beta 0.9 and 0.999), in float64.

    A step is ``p <- p - lr sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + epsilon)``. What a replica computes depends
    on itself only: neither on the others, nor on `n_threads`, nor on the checkpoints.

    Parameters
    ----------
    rule : GaussRule
        The data of R replicas.
    parameters : ndarray (R, 3 H + 1)
        First values.
    trainable : bool ndarray (R, 3 H + 1)
        False keeps a parameter's first value for ever.
    learning_rate : ndarray (R,)
        Constant rates.
    checkpoints : sequence of int
        Numbers of updates at which to look, ascending; the last one is the length.
    thresholds : sequence of float
        Losses whose first passage is recorded, highest first.
    epsilon : float
        Keras' default is 1e-7.
    n_threads : int
        Threads that share the replicas, eight at a time.
    on_look : callable or None
        Told the updates done at each checkpoint, by every eight replicas; what it raises ends the training.

    activation : str
        Name in `UNITS`.
    drops : sequence of int
        Checkpoints from which on the rate is a tenth of what it was.

    Returns
    -------
    FullBatchHistory

    Raises
    ------
    ValueError
        If shapes disagree, checkpoints or thresholds are not in order, or the activation is unknown.
    """
    unit = look_up(UNITS, activation, "activation")
    R = len(parameters)
    if not (parameters.shape == trainable.shape and len(rule.nodes) == R and learning_rate.shape == (R,)):
        raise ValueError(
            f"parameters: shape {parameters.shape} beside trainable {trainable.shape}, rules of "
            f"{len(rule.nodes)} replicas and rates {learning_rate.shape}; the first axis of all is the replica"
        )
    if not checkpoints or min(np.diff([0, *checkpoints])) < 1:
        raise ValueError(f"checkpoints: {list(checkpoints)}; give ascending numbers of updates, at least 1")
    if not set(drops) <= set(checkpoints):
        raise ValueError(f"drops: {list(drops)}; give some of the checkpoints")
    if any(np.diff(thresholds) >= 0):
        raise ValueError(f"thresholds: {list(thresholds)}; give them descending")
    from engine.roads.compiled.rule import RuleRun  # Numba takes half a second to import
    from engine.roads.compiled.vectors import LANES

    lanes = LANES["float64"]
    groups = [np.arange(start, min(start + lanes, R)) for start in range(0, R, lanes)]

    def train(group: npt.NDArray[np.int64]) -> FullBatchHistory:
        part = rule.select(group)
        run = RuleRun(
            part.nodes, part.weights, part.targets, part.residual, parameters[group], trainable[group], thresholds,
            unit.code,
        )  # fmt: skip
        seen = []
        for before, after in zip([0, *checkpoints[:-1]], checkpoints, strict=True):
            rate = (
                learning_rate[group] * 0.1 ** sum(drop <= before for drop in drops) if drops else learning_rate[group]
            )
            lowest, highest = run.advance(after - before, rate, epsilon)
            seen.append((run.parameters, loss_and_gradient(run.parameters, part, activation)[0], lowest, highest))
            if on_look is not None:
                on_look(after)
        there, loss, lowest, highest = (np.array(item) for item in zip(*seen, strict=True))
        return FullBatchHistory(
            np.array(checkpoints), there, loss, lowest, highest, np.array(thresholds), *run.passages()
        )

    with ThreadPoolExecutor(n_threads) as pool:
        parts = list(pool.map(train, groups))

    def join(name: str) -> npt.NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts], axis=1)

    return FullBatchHistory(
        steps=np.array(checkpoints, np.int64),
        parameters=join("parameters"),
        loss=join("loss"),
        lowest=join("lowest"),
        highest=join("highest"),
        thresholds=np.array(thresholds, np.float64),
        passage_step=join("passage_step").astype(np.int64),
        passage_parameters=join("passage_parameters"),
    )
