"""The report's network with a right gradient is the engine's; with its own it is wrong in the two ways it says."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.course.kept import n_parameters
from analysis.lessons.perceptron import WIDTHS
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.training import train
from sweeps.data.asked import Asked
from sweeps.data.kinds import KINDS
from sweeps.run.trained import Trained
from sweeps.run.wrong_gradient import WrongNetwork, train_wrongly
from sweeps.toml import SpecTable


def draws(n: int = 2):
    kind = KINDS["perceptron"]
    table = SpecTable({"first_split": 10, "train_share": 0.8, "stretch": 2.0, "n_fresh": 50}, "data")
    source = kind.open(
        Asked("perceptron", 10, "", "test_loss", 0.1, "mse", "float64", n, 2, 2, 0, 0.05), kind.parse(table), None
    )
    return source.draws(source.search_seeds())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("activation", ["sigmoid", "leaky_relu"])
def test_with_a_right_gradient_it_is_the_engines(optimizer, batch_size, activation):
    network = NetworkConfig(1, (5, 4), 1, activation, "linear", "bias_row")
    config = TrainingConfig(
        loss="mse", optimizer=optimizer, learning_rate=0.01, batch_size=batch_size, max_epochs=3, order="fixed",
        dtype="float64",
    )  # fmt: skip
    data = draws()
    start = data.initialize(network)
    result = train(
        network, config, data.train, start, data.training_seeds, look_at=[3], evaluate_on={"test": data.test}
    )
    trained = Trained(network, "mse", result.state.parameters, data, config)
    assert train_wrongly(trained, config, is_right=True) == pytest.approx(result.losses["test"][-1], rel=1e-8)
    assert (np.abs(train_wrongly(trained, config) / result.losses["test"][-1] - 1) > 1e-6).all()


def test_batch_one_without_a_hidden_layer_has_no_mistake_and_batch_two_has():
    network = NetworkConfig(1, (), 1, "relu", "linear")
    config = TrainingConfig(loss="mse", learning_rate=0.1, batch_size=1, order="fixed")
    start = Parameters([np.full((1, 1, 1), 0.5)], [np.zeros((1, 1))])
    for n, same in ((1, True), (2, False)):
        X, y = np.array([[[1.0], [-2.0]]])[:, :n], np.array([[[1.0], [3.0]]])[:, :n]
        right, wrong = (WrongNetwork(network, config, start, is_right=one) for one in (True, False))
        for one in (right, wrong):
            one.step(X, y)
        assert (right.loss(X, y) == wrong.loss(X, y)).all() == same


def test_the_report_counts_its_biases_twice():
    assert n_parameters(WIDTHS) == 23_101
    assert 23_402 - n_parameters(WIDTHS) == sum(WIDTHS[1:])
