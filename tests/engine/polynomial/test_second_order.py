"""Damped Gauss-Newton steps never rise, leave SciPy nothing to find, stand alone; rates are cut where they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from engine.polynomial.quadrature import UNITS, GaussRule, gauss_rule, loss_and_gradient, predict, train_full_batch
from engine.polynomial.rows import draw_rows, first_parameters, trainable
from engine.polynomial.second_order import _jacobian, train_second_order

SEEDS = [1, 2, 3]
ROWS = draw_rows(SEEDS, n=500)
RULE = gauss_rule(ROWS.X, ROWS.y, 32)
FREE = trainable("unconstrained", 3)


@pytest.mark.parametrize("activation", UNITS)
def test_the_jacobian_is_the_difference_quotient(activation):
    p = np.random.default_rng(1).normal(size=7)
    x = np.linspace(-2, 2, 9)
    J = _jacobian(p, x, UNITS[activation], activation)
    for i in range(7):
        step = np.zeros(7)
        step[i] = 1e-6
        up, down = (predict((p + sign * step)[None], x[None], activation)[0] for sign in (1, -1))
        assert J[:, i] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def scipys_loss(rule: GaussRule, start: np.ndarray) -> float:
    """Return the mean squared error that SciPy's least squares ends at."""
    root = np.sqrt(rule.weights[0])
    return float(
        2 * least_squares(lambda p: root * (predict(p[None], rule.nodes)[0] - rule.targets[0]), start, xtol=1e-12).cost
    )


def test_it_never_rises_and_ends_at_a_minimum_of_scipys():
    looks = [1, 10, 100, 1000]
    first = first_parameters("unconstrained", SEEDS)
    history = train_second_order(RULE, first, FREE, np.ones(3), looks, [5.0, 0.05])
    assert (np.diff(history.loss, axis=0) <= 0).all()
    assert (history.lowest <= history.highest).all()
    for r in range(3):
        part, end = RULE.select(slice(r, r + 1)), history.parameters[-1, r]
        found = scipys_loss(part, end)
        # SciPy, going on from there, finds nothing much lower, unless what is left is the valley's end.
        assert found >= 0.2 * (history.loss[-1, r] - part.residual[0]) or history.loss[-1, r] < 1e-3
        assert loss_and_gradient(end[None], part)[0][0] == pytest.approx(history.loss[-1, r], rel=1e-12)


def test_passages_are_recorded_and_each_network_stands_alone():
    first = first_parameters("unconstrained", SEEDS)
    together = train_second_order(RULE, first, FREE, np.ones(3), [50, 300], [20.0, 5.0])
    part = RULE.select(slice(1, 2))
    alone = train_second_order(part, first[1:2], FREE[1:2], np.ones(1), [300], [20.0, 5.0])
    assert np.array_equal(alone.parameters[-1, 0], together.parameters[-1, 1])
    assert np.array_equal(alone.passage_step[:, 0], together.passage_step[:, 1])
    for k, threshold in enumerate([20.0, 5.0]):
        if alone.passage_step[k, 0] >= 0:
            assert loss_and_gradient(alone.passage_parameters[k], part)[0][0] <= threshold


def test_frozen_numbers_stay():
    first = first_parameters("constrained", SEEDS)
    history = train_second_order(RULE, first, trainable("constrained", 3), np.ones(3), [100])
    assert np.array_equal(history.parameters[-1, :, 2:4], first[:, 2:4])


def test_the_rate_is_cut_tenfold_at_each_drop():
    first = first_parameters("unconstrained", SEEDS)
    whole = train_full_batch(RULE, first, FREE, np.full(3, 0.1), [100, 150, 200], drops=[100, 150])
    plain = train_full_batch(RULE, first, FREE, np.full(3, 0.1), [100, 150, 200])
    assert np.array_equal(whole.parameters[0], plain.parameters[0])
    moves = [np.linalg.norm(np.diff(one.parameters, axis=0), axis=2) for one in (whole, plain)]
    assert (moves[0] < 0.5 * moves[1]).all()
    with pytest.raises(ValueError, match=r"drops: \[120\]; give some of the checkpoints"):
        train_full_batch(RULE, first, FREE, np.full(3, 0.1), [100, 200], drops=[120])
