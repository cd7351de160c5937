"""A second-order optimizer for the polynomial experiment's network: damped Gauss-Newton steps.

A network of ten numbers on 64 nodes is a small least-squares problem: a step that knows the curvature costs next to
nothing more than one that does not, and follows the loss's valley where Adam takes millions of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from engine.names import look_up
from engine.polynomial.quadrature import (
    UNITS,
    FullBatchHistory,
    GaussRule,
    Unit,
    hidden_outputs,
    loss_and_gradient,
    n_hidden,
    predict,
)
from engine.roads.blas import one_blas_thread

FloatArray = npt.NDArray[np.float64]
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-15, 1e15
TIGHTER, LOOSER = 3.0, 2.0


def _jacobian(p: FloatArray, x: FloatArray, unit: Unit, activation: str) -> FloatArray:
    """Return the derivatives of one network's outputs (m,) by its numbers, (m, 3 H + 1)."""
    H = n_hidden(p)
    a = hidden_outputs(p[None], x[None], activation)[0]
    slope = unit.times_slope(p[2 * H : 3 * H, None], a)
    return np.concatenate([slope * x, slope, a, np.ones((1, len(x)))]).T


def train_second_order(
    rule: GaussRule,
    parameters: FloatArray,
    trainable: npt.NDArray[np.bool_],
    step_share: FloatArray,
    checkpoints: Sequence[int],
    thresholds: Sequence[float] = (),
    on_look: Callable[[int], None] | None = None,
    activation: str = "sigmoid",
) -> FullBatchHistory:
    """Train R networks by damped Gauss-Newton steps, each by itself.

    A step solves (J'J + d diag(J'J)) s = -J'r and goes the share `step_share` of it; it is taken if the loss falls, and
    the damping d then divided by 3, else it is not and d is doubled. Both count as one step.

    Parameters
    ----------
    rule, parameters, trainable, checkpoints, thresholds, on_look, activation
        As of `engine.polynomial.quadrature.train_full_batch`.
    step_share : ndarray (R,)
        Above 0; 1 is the whole step.

    Returns
    -------
    FullBatchHistory

    References
    ----------
    D. W. Marquardt, SIAM J. Appl. Math. 11 (1963) 431-441; the factors 3 and 2 are those of "delayed gratification",
    M. K. Transtrum and J. P. Sethna, arXiv:1201.5885.
    """
    unit = look_up(UNITS, activation, "activation")
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        runs = []
        for r in range(len(parameters)):
            part = rule.select(slice(r, r + 1))
            start, free, share = parameters[r], trainable[r], float(step_share[r])
            runs.append(_train_one(part, start, free, share, checkpoints, thresholds, unit, activation))
    for step in checkpoints:
        if on_look is not None:
            on_look(step)
    parts = [np.stack(one, axis=1) for one in zip(*runs, strict=True)]
    there, loss, lowest, highest, passage_step, passage_parameters = parts
    return FullBatchHistory(
        steps=np.array(checkpoints, np.int64),
        parameters=there,
        loss=loss,
        lowest=lowest,
        highest=highest,
        thresholds=np.array(thresholds, np.float64),
        passage_step=passage_step.astype(np.int64),
        passage_parameters=passage_parameters,
    )


def _train_one(
    rule: GaussRule,
    first: FloatArray,
    free: npt.NDArray[np.bool_],
    share: float,
    checkpoints: Sequence[int],
    thresholds: Sequence[float],
    unit: Unit,
    activation: str,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return parameters, loss, lowest and highest at each checkpoint, and step and parameters of each passage."""
    x, y, root = rule.nodes[0], rule.targets[0], np.sqrt(rule.weights[0])
    p, damping = first.copy(), FIRST_DAMPING
    value = float(loss_and_gradient(p[None], rule, activation)[0][0])
    step_of, at_passage = np.full(len(thresholds), -1.0), np.full((len(thresholds), len(p)), np.nan)
    there, losses, lowest, highest = [], [], [], []
    low = high = value
    looks = set(checkpoints)
    for step in range(checkpoints[-1] + 1):
        for k, threshold in enumerate(thresholds):
            if step_of[k] < 0 and value <= threshold:
                step_of[k], at_passage[k] = step, p
        if step in looks:
            there.append(p.copy())
            losses.append(value)
            lowest.append(low)
            highest.append(high)
            low, high = np.inf, -np.inf
        low, high = min(low, value), max(high, value)
        if step == checkpoints[-1]:
            break
        J = (root[:, None] * _jacobian(p, x, unit, activation))[:, free]
        r = root * (predict(p[None], x[None], activation)[0] - y)
        normal = J.T @ J
        damped = normal + damping * np.diag(np.maximum(np.diag(normal), 1e-12))
        new = p.copy()
        new[free] -= share * np.linalg.lstsq(damped, J.T @ r, rcond=None)[0]
        found = float(loss_and_gradient(new[None], rule, activation)[0][0])
        if np.isfinite(found) and found < value:
            p, value, damping = new, found, max(damping / TIGHTER, LEAST_DAMPING)
        else:
            damping = min(damping * LOOSER, MOST_DAMPING)
    return np.array(there), np.array(losses), np.array(lowest), np.array(highest), step_of, at_passage
