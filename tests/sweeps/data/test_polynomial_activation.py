"""A polynomial study of other units: asked, refused, and left out where it is the sigmoid of older records."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.polynomial.fits import aligned
from engine.polynomial.quadrature import UNITS, predict
from engine.polynomial.rows import FIXED_BIASES, first_parameters
from sweeps.data.polynomial import parse_polynomial_spec
from sweeps.toml import SpecError

RECIPES = [{"arm": arm, "learning_rate": 0.03, "n_steps": 10} for arm in ("constrained", "unconstrained")]
TABLE = {"kind": "polynomial", "name": "cubic", "coefficients": [0.0, 1.0, 1.0], "recipes": RECIPES}


def test_the_default_activation_writes_the_same_spec_as_none():
    none, named = (parse_polynomial_spec(TABLE | more, "x") for more in ({}, {"activation": "sigmoid"}))
    assert none == named
    assert "activation" not in none.as_table()
    # as it was written before there was a choice
    assert none.sha256 == "78ca63e3eb89a6d098232262d41981f95129ec077752cb64511778906783150d"


def test_another_activation_is_written_and_read_back():
    spec = parse_polynomial_spec(TABLE | {"activation": "tanh"}, "x")
    assert parse_polynomial_spec(spec.as_table(), "x") == spec
    assert spec.as_table()["activation"] == "tanh"
    assert spec.settings.as_data()["activation"] == "tanh"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"activation": "tahn"}, "x: activation: unknown 'tahn'; did you mean 'tanh'?"),
        (
            {"activation": "relu"},
            'x: activation: "relu" bends, and the Gauss rule is exact for smooth units only: n_nodes = 64 must be '
            "n_rows = 10000, at most 1000",
        ),
    ],
)
def test_what_will_not_do_is_refused(more, message):
    with pytest.raises(SpecError) as raised:
        parse_polynomial_spec(TABLE | more, "x")
    assert str(raised.value) == message


def test_a_relu_is_taken_with_a_node_for_every_row():
    spec = parse_polynomial_spec(TABLE | {"activation": "relu", "n_rows": 200, "n_nodes": 200}, "x")
    assert spec.settings.n_nodes == 200


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_fixed_biases_are_where_second_and_third_derivative_vanish(activation):
    h = 1e-3
    linear, quadratic = FIXED_BIASES[activation]
    f = UNITS[activation].function
    second = (f(linear + h) - 2 * f(linear) + f(linear - h)) / h**2
    third = (f(quadratic + 2 * h) - 2 * f(quadratic + h) + 2 * f(quadratic - h) - f(quadratic - 2 * h)) / (2 * h**3)
    assert abs(second) < 1e-5
    assert abs(third) < 1e-4
    constrained = first_parameters("constrained", [1, 2], 2, activation)
    assert constrained[:, 2:4].tolist() == [[linear, quadratic]] * 2


@pytest.mark.parametrize("activation", UNITS)
def test_aligned_networks_compute_the_same(activation):
    p = np.random.default_rng(3).normal(size=(20, 7))
    x = np.random.default_rng(4).normal(size=(20, 30))
    assert predict(aligned(p, activation), x, activation) == pytest.approx(predict(p, x, activation), abs=1e-12)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "adam_drop"}, "x: method: unknown 'adam_drop'; did you mean 'adam_drops'?"),
        (
            {"method": "adam_drops", "recipes": [RECIPES[0], RECIPES[1] | {"n_steps": 20}]},
            'x: recipes: n_steps [10, 20] must be equal: "adam_drops" cuts the rate at half and at three quarters',
        ),
        (
            {"method": "second_order", "recipes": [one | {"n_steps": 50_000} for one in RECIPES]},
            'x: recipes: n_steps 50000 must be at most 20000 with "second_order"; a few thousand do',
        ),
    ],
)
def test_a_method_that_will_not_do_is_refused(more, message):
    with pytest.raises(SpecError) as raised:
        parse_polynomial_spec(TABLE | more, "x")
    assert str(raised.value) == message


def test_a_method_is_written_and_read_back_and_looks_where_the_rate_is_cut():
    recipes = [one | {"n_steps": 1000} for one in RECIPES]
    spec = parse_polynomial_spec(TABLE | {"method": "adam_drops", "recipes": recipes}, "x")
    assert parse_polynomial_spec(spec.as_table(), "x") == spec
    assert {500, 750, 1000} <= set(spec.settings.checkpoints)
    assert "method" not in parse_polynomial_spec(TABLE, "x").as_table()
