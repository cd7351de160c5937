"""Activations: derivatives drawn are those of the functions drawn; dead units are counted where no gradient goes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.lessons.activations import NAMES, curves
from engine.methods.activations import ACTIVATIONS
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.run.textbook_probes import dead_units, off_centre
from sweeps.run.trained import Trained


@pytest.mark.parametrize("name", [name for name in NAMES if name != "step"])
def test_what_is_drawn_is_the_slope_of_what_is_drawn(name: str) -> None:
    z, _, derivative = curves(name)
    activation = ACTIVATIONS[name]
    smooth = np.abs(z) > 1e-3  # kinks are at 0
    h = 1e-6
    slope = activation.function(z + h, activation.default_slope) - activation.function(z - h, activation.default_slope)
    assert derivative[smooth] == pytest.approx((slope / (2 * h))[smooth], abs=1e-8)


def _trained(activation: str, biases: list[float], X: np.ndarray) -> Trained:
    parameters = Parameters(
        [np.ones((1, 1, len(biases))), np.ones((1, len(biases), 1))], [np.array([biases]), np.zeros((1, 1))]
    )
    draws = SimpleNamespace(train=Split(X, X))
    return Trained(NetworkConfig(1, (len(biases),), activation=activation), "mse", parameters, draws)  # type: ignore[arg-type]


def test_a_relu_unit_below_0_at_every_point_is_dead_and_a_leaky_one_is_not() -> None:
    X = np.linspace(-1, 1, 21)[None, :, None]
    biases = [-2.0, -0.5, 0.0, 3.0]
    assert dead_units(_trained("relu", biases, X)) == pytest.approx(0.25)
    assert dead_units(_trained("leaky_relu", biases, X)) == pytest.approx(0.0)
    assert dead_units(_trained("sigmoid", biases, X)) == pytest.approx(0.0)
    assert off_centre(_trained("tanh", [0.0, 0.0], X)) == pytest.approx(0.0, abs=1e-12)
    assert off_centre(_trained("linear", [100.0], X)) == pytest.approx(1.0, abs=1e-4)
