"""The polynomial experiment's rows are the published ones, and its first weights have Keras' law."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from engine.polynomial.rows import (
    CONSTRAINED_BIASES,
    draw_rows,
    first_parameters,
    trainable,
)


def test_seed_1_draws_the_published_rows():
    rows = draw_rows([1])
    assert rows.X.shape == (1, 10_000)
    assert [rows.X.min(), rows.X.max()] == pytest.approx([-3.65644, 4.02685], abs=5e-6)
    assert rows.y == pytest.approx(1 + 2 * rows.X + 3 * rows.X**2, rel=1e-14)
    assert (rows.X_stretched == 3 * rows.X).all()
    assert [rows.in_range.sum(), (~rows.in_range).sum()] == [7990, 2010]


def test_a_row_of_seeds_is_each_seed_alone():
    together, alone = draw_rows([3, 7], n=50, noise_sd=0.5), draw_rows([7], n=50, noise_sd=0.5)
    assert together.X[1].tobytes() == alone.X[0].tobytes()
    assert together.y[1].tobytes() == alone.y[0].tobytes()


def test_noise_is_on_the_training_targets_only():
    rows = draw_rows([5], (1.0, -1.0), n=20_000, noise_sd=2.0, stretch=2.0)
    assert float((rows.y - (1 - rows.X)).std()) == pytest.approx(2.0, rel=0.03)
    assert rows.y_stretched == pytest.approx(1 - 2 * rows.X, rel=1e-13)


def test_the_constrained_biases_are_where_the_sigmoids_second_and_third_derivatives_vanish():
    s = 1 / (1 + np.exp(-np.array(CONSTRAINED_BIASES)))
    second = s * (1 - s) * (1 - 2 * s)
    third = s * (1 - s) * (1 - 6 * s + 6 * s**2)
    assert second[0] == pytest.approx(0, abs=1e-15)
    assert third[1] == pytest.approx(0, abs=1e-15)


def test_first_weights_have_keras_law():
    parameters = first_parameters("unconstrained", range(2000))
    w, b, W, B = parameters[:, :2], parameters[:, 2:4], parameters[:, 4:6], parameters[:, 6]
    sd = math.sqrt(2) / 0.87962566103423978
    assert stats.kstest(w.ravel(), stats.truncnorm(-2, 2, scale=sd).cdf).pvalue > 0.01
    assert stats.kstest(W.ravel(), stats.uniform(-math.sqrt(2), 2 * math.sqrt(2)).cdf).pvalue > 0.01
    assert not b.any()
    assert not B.any()


def test_the_arms_of_a_seed_differ_in_their_hidden_biases_only():
    constrained, unconstrained = (first_parameters(arm, [4]) for arm in ("constrained", "unconstrained"))
    assert np.flatnonzero(constrained[0] != unconstrained[0]).tolist() == [3]  # the first bias is 0 in both
    assert constrained[0, 2:4].tolist() == list(CONSTRAINED_BIASES)
    assert trainable("constrained", 1)[0].tolist() == [True, True, False, False, True, True, True]
    assert trainable("unconstrained", 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [-1]}, "seeds: -1; give whole numbers from 0 to 4294967295"),
        ({"coefficients": ()}, "coefficients: []; give at least one finite number, the constant first"),
        ({"n": 1}, "n: 1 rows; give at least 2"),
        ({"noise_sd": -1.0}, "noise_sd: -1.0; give a standard deviation from 0"),
        ({"stretch": 0.0}, "stretch: 0.0; give a factor above 0, such as 3"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        draw_rows(**({"seeds": [1]} | arguments))
