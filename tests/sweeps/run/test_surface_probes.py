"""Losses over two weights, on surfaces whose shape is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.run.surface_probes import (
    first_weight,
    grid,
    least_curvature,
    loss_surface,
    losses_at,
    second_weight,
    weights,
)
from sweeps.run.trained import Trained

LINEAR = NetworkConfig(2, (), 1, "linear", "linear")
HIDDEN = NetworkConfig(1, (1,), 1, "tanh", "linear")


def trained(network: NetworkConfig, R: int = 3, *, held: bool = False) -> Trained:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(R, 40, network.n_inputs))
    if held:
        X = np.repeat(X[:1], R, axis=0)
    split = Split(X, X.sum(axis=2, keepdims=True))
    shapes = [(network.n_inputs, 1)] if network == LINEAR else [(1, 1), (1, 1)]
    W, b = [rng.normal(size=(R, *shape)) for shape in shapes], [np.zeros((R, 1)) for _ in shapes]
    draws = SimpleNamespace(train=split)
    return Trained(network, "half_squared_error", Parameters(W, b), draws)  # type: ignore[arg-type]


def test_a_linear_units_least_curvature_is_the_smallest_eigenvalue_of_its_inputs_products() -> None:
    one = trained(LINEAR)
    X = one.draws.train.X
    exact = [np.linalg.eigvalsh(x.T @ x / len(x))[0] for x in X]
    assert least_curvature(one) == pytest.approx(exact, rel=1e-5)


def test_a_hidden_units_loss_is_a_saddle_at_its_origin() -> None:
    one = trained(HIDDEN)
    saddle = [-float(np.mean(x * y)) for x, y in zip(one.draws.train.X, one.draws.train.y, strict=True)]
    assert (least_curvature(one) <= np.array(saddle) + 1e-4).all()
    assert (least_curvature(one) < 0).all()


def test_replicas_of_one_data_set_share_the_curvature() -> None:
    one = trained(LINEAR, held=True)
    assert len(set(least_curvature(one).tolist())) == 1
    assert len(set(least_curvature(trained(LINEAR)).tolist())) == 3


@pytest.mark.parametrize("network", [LINEAR, HIDDEN])
def test_the_loss_at_the_weights_own_place_is_the_networks_own(network: NetworkConfig) -> None:
    one = trained(network)
    for r in range(3):
        place = np.array([[first_weight(one)[r], second_weight(one)[r]]])
        scores = one.scores(np.asarray(one.draws.train.X))[r]
        own = 0.5 * np.mean((scores - one.draws.train.y[r, :, 0]) ** 2)
        assert losses_at(one, r, place) == pytest.approx([own])


def test_a_hidden_units_surface_is_its_own_mirror_image_and_a_linear_units_is_not() -> None:
    hidden, linear = (loss_surface(trained(network)) for network in (HIDDEN, LINEAR))
    assert hidden == pytest.approx(hidden[::-1])  # both weights turned round: the same network
    assert linear != pytest.approx(linear[::-1])
    assert len(hidden) == len(grid(np.arange(61.0)))


def test_weights_are_kept_replica_by_replica() -> None:
    one = trained(HIDDEN)
    assert weights(one).shape == (3, 4)
    assert weights(one)[:, 0] == pytest.approx(one.parameters.weights[0][:, 0, 0])
    assert weights(one)[:, 1] == pytest.approx(one.parameters.weights[1][:, 0, 0])
