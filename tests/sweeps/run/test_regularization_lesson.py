"""Penalties: the notes' example, and what the probes of weights count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.lessons.regularization import example
from engine.network import NetworkConfig, Parameters
from sweeps.run.textbook_probes import weight_size, weight_spread, zero_weights
from sweeps.run.trained import Trained


def test_equal_scores_from_spread_and_peaked_weights() -> None:
    assert example() == {"score": (1.0, 1.0), "L2": (1.0, 0.25), "L1": (1.0, 1.0)}


def test_weights_are_counted_over_all_layers_and_biases_are_not() -> None:
    W = [np.array([[[3.0, -4.0], [0.0, 0.0]]]), np.array([[[0.0], [0.0]]])]
    b = [np.full((1, 2), 7.0), np.full((1, 1), 7.0)]
    one = Trained(NetworkConfig(2, (2,)), "half_squared_error", Parameters(W, b), SimpleNamespace())  # type: ignore[arg-type]
    assert weight_size(one) == pytest.approx((25 / 6) ** 0.5)
    assert zero_weights(one) == pytest.approx(4 / 6)
    assert weight_spread(one) == pytest.approx((7 / 6) ** 2 / (25 / 6))
    even = Parameters([np.sign(w + 0.5) * 2 for w in W], b)
    spread = weight_spread(Trained(NetworkConfig(2, (2,)), "half_squared_error", even, SimpleNamespace()))  # type: ignore[arg-type]
    assert spread == pytest.approx(1.0)
