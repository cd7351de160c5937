"""How a gradient changes the parameters: optimizers, penalties, clipping."""

from __future__ import annotations

import math
from typing import Any

from engine.compiling.decorators import inner
from engine.roads.compiled.codes import (
    ADAGRAD,
    I_ADJUSTING,
    I_FREEZING,
    I_OPTIMIZER,
    I_PENALTY,
    L1,
    L1_SUBGRADIENT,
    L2,
    L2_ALL,
    MOMENTUM,
    NESTEROV,
    NO_PENALTY,
    R_BETA_1,
    R_BETA_2,
    R_DECAY,
    R_EPSILON,
    R_MAX_GRAD_NORM,
    R_MAX_NORM,
    R_MOMENTUM,
    R_RHO,
    R_STRENGTH,
    RMSPROP,
    SGD,
)
from engine.roads.compiled.vectors import (
    absolute,
    fma,
    load,
    splat,
    sqrt,
    store,
    where_greater,
)

# ----------------------------------------------------------------------------------------------------------------------
# The update


@inner
def plain_update(
    p: Any, g: Any, dead: Any, n_weights: Any, n_params: Any, rate: Any, share: Any, penalty: Any, strength: Any
) -> None:
    """Take a step of SGD, with a penalty at most, from the gradient sums `g` of ``1 / share`` examples; clear them."""
    zero = splat(p, 0.0)
    step = splat(p, -rate * share)
    pull = splat(p, -rate * strength)
    n_penalized = 0 if penalty == NO_PENALTY else n_weights
    if penalty == L1:
        for i in range(n_weights):
            w = load(p, i)
            pull_and_kill(p, dead, i, w, fma(step, load(g, i), w), pull)
            store(g, i, zero)
    elif n_penalized:
        for i in range(n_weights):
            w = load(p, i)
            store(p, i, fma(pull, w if penalty == L2 else sign(w), fma(step, load(g, i), w)))
            store(g, i, zero)
    for i in range(n_penalized, n_params):
        store(p, i, fma(step, load(g, i), load(p, i)))
        store(g, i, zero)


@inner
def sign(x: Any) -> Any:
    """Return -1, 0 or 1."""
    zero, one = splat(x, 0.0), splat(x, 1.0)
    return where_greater(x, zero, one, where_greater(zero, x, -one, zero))


@inner
def pull_and_kill(p: Any, dead: Any, i: Any, w: Any, w1: Any, pull: Any) -> None:
    """Store weight i after the Playground's L1: `w` before the update, `w1` after its step."""
    zero, one = splat(p, 0.0), splat(p, 1.0)
    w2 = fma(pull, sign(w), w1)
    # The product could underflow to 0, so the signs are compared. A strength of 0 kills nothing.
    crossed = where_greater(w1, zero, where_greater(zero, w2, one, zero), zero)
    crossed = where_greater(zero, w1, where_greater(w2, zero, one, zero), crossed)
    killed = where_greater(crossed, zero, where_greater(absolute(pull), zero, one, load(dead, i)), load(dead, i))
    store(dead, i, killed)
    store(p, i, where_greater(killed, zero, zero, w2))


@inner
def adjust_gradient(
    p: Any, g: Any, dead: Any, frozen: Any, n_weights: Any, n_params: Any, mean: Any, penalty: Any, reals: Any
) -> Any:
    """Make the sums `g` means with penalty, without what is dead or frozen; return the factor that clips them."""
    zero, one = splat(p, 0.0), splat(p, 1.0)
    strength = splat(p, reals[R_STRENGTH])
    squares = zero
    for i in range(n_params):
        v = load(g, i) * mean
        if penalty == L2_ALL:
            v = fma(strength, load(p, i), v)
        elif i < n_weights:
            if penalty == L2:
                v = fma(strength, load(p, i), v)
            elif penalty == L1_SUBGRADIENT:
                v = fma(strength, sign(load(p, i)), v)
            elif penalty == L1:
                v = where_greater(load(dead, i), zero, zero, v)
        if frozen[i]:
            v = zero
        squares = fma(v, v, squares)
        store(g, i, v)
    if reals[R_MAX_GRAD_NORM] > 0.0:
        norm, limit = sqrt(squares), splat(p, reals[R_MAX_GRAD_NORM])
        return where_greater(norm, limit, limit / norm, one)
    return one


@inner
def take_step(p: Any, g: Any, i: Any, decrease: Any, at_once: Any, is_weight: Any, shrink: Any, zero: Any) -> None:
    """Lower parameter i at once and clear its gradient sum, or put the step in the sum's place."""
    if at_once:
        w = load(p, i)
        store(p, i, (shrink * w if is_weight else w) - decrease)
        store(g, i, zero)
    else:
        store(g, i, decrease)


@inner
def general_update(
    p: Any,
    g: Any,
    m1: Any,
    m2: Any,
    dead: Any,
    frozen: Any,
    sizes: Any,
    n_weights: Any,
    n_params: Any,
    rate: Any,
    share: Any,
    correction_1: Any,
    correction_2: Any,
    ints: Any,
    reals: Any,
) -> None:
    """Take the eight steps of `TrainingConfig` from the gradient sums `g` of ``1 / share`` examples; clear them.

    `correction_1` is ``1 - beta_1 ** t``, `correction_2` is ``1 - beta_2 ** t``.
    """
    penalty, optimizer = ints[I_PENALTY], ints[I_OPTIMIZER]
    factor = splat(p, share)
    if ints[I_ADJUSTING]:
        factor = adjust_gradient(p, g, dead, frozen, n_weights, n_params, factor, penalty, reals)
    # Where nothing stands between a step and its parameter, both are taken at once; else `g` becomes the steps.
    at_once = penalty != L1 and not ints[I_FREEZING]
    zero = splat(p, 0.0)
    lr, shrink = splat(p, rate), splat(p, 1.0 - rate * reals[R_DECAY])
    epsilon = splat(p, reals[R_EPSILON])
    if optimizer == SGD:
        for i in range(n_params):
            take_step(p, g, i, lr * (load(g, i) * factor), at_once, i < n_weights, shrink, zero)
    elif optimizer in (MOMENTUM, NESTEROV):
        mu = splat(p, reals[R_MOMENTUM])
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                velocity = fma(mu, load(m1, i), v)
                store(m1, i, velocity)
                decrease = lr * (fma(mu, velocity, v) if optimizer == NESTEROV else velocity)
                take_step(p, g, i, decrease, at_once, i < n_weights, shrink, zero)
    elif optimizer in (ADAGRAD, RMSPROP):
        is_mean = optimizer == RMSPROP
        kept, new = splat(p, reals[R_RHO] if is_mean else 1.0), splat(p, 1.0 - reals[R_RHO] if is_mean else 1.0)
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                s = fma(new * v, v, kept * load(m1, i))
                store(m1, i, s)
                take_step(p, g, i, lr * v / (sqrt(s) + epsilon), at_once, i < n_weights, shrink, zero)
    else:
        adam_rate, inverse_root = splat(p, rate / correction_1), splat(p, 1.0 / math.sqrt(correction_2))
        beta_1, rest_1 = splat(p, reals[R_BETA_1]), splat(p, 1.0 - reals[R_BETA_1])
        beta_2, rest_2 = splat(p, reals[R_BETA_2]), splat(p, 1.0 - reals[R_BETA_2])
        for i in range(n_params):
            if at_once or not frozen[i]:
                v = load(g, i) * factor
                m = fma(rest_1, v, beta_1 * load(m1, i))
                s = fma(rest_2 * v, v, beta_2 * load(m2, i))
                store(m1, i, m)
                store(m2, i, s)
                decrease = adam_rate * m / fma(sqrt(s), inverse_root, epsilon)
                take_step(p, g, i, decrease, at_once, i < n_weights, shrink, zero)
    if not at_once:
        pull = splat(p, -rate * reals[R_STRENGTH])
        for i in range(n_params):
            w, decrease = load(p, i), load(g, i)
            store(g, i, zero)
            if not frozen[i]:
                w1 = (shrink * w if i < n_weights else w) - decrease
                if penalty == L1 and i < n_weights:
                    pull_and_kill(p, dead, i, w, w1, pull)
                else:
                    store(p, i, w1)
    if reals[R_MAX_NORM] > 0.0:
        one, limit = splat(p, 1.0), splat(p, reals[R_MAX_NORM])
        w_place = 0
        for layer in range(len(sizes) - 1):
            n_in, n_out = sizes[layer], sizes[layer + 1]
            for u in range(n_out):
                squares = zero
                for k in range(n_in):
                    w = load(p, w_place + k * n_out + u)
                    squares = fma(w, w, squares)
                norm = sqrt(squares)
                scale = where_greater(norm, limit, limit / norm, one)
                for k in range(n_in):
                    i = w_place + k * n_out + u
                    if not frozen[i]:
                        store(p, i, load(p, i) * scale)
            w_place += n_in * n_out
