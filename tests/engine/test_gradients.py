"""Back-propagation by hand against central differences of the objective, along random directions."""

import itertools
from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses
from engine.methods.activations import ACTIVATIONS
from engine.methods.initializers import initialize
from engine.methods.losses import LOSSES
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import advance, initial_state

R, N = 2, 7
RATE, LAMBDA = 1e-5, 0.05  # a large step could kill a small weight under the Playground's L1


def arrays(parameters: Parameters) -> list[np.ndarray]:
    return [*parameters.weights, *parameters.biases, *([] if parameters.slopes is None else [parameters.slopes])]


def moved(parameters: Parameters, direction: Parameters, h: float) -> Parameters:
    slopes = None if parameters.slopes is None else parameters.slopes + h * direction.slopes
    return Parameters(
        [W + h * D for W, D in zip(parameters.weights, direction.weights, strict=True)],
        [b + h * d for b, d in zip(parameters.biases, direction.biases, strict=True)],
        slopes,
    )


def random_like(parameters: Parameters, rng: np.random.Generator) -> Parameters:
    slopes = None if parameters.slopes is None else rng.normal(size=parameters.slopes.shape)
    return Parameters(
        [rng.normal(size=W.shape) for W in parameters.weights],
        [rng.normal(size=b.shape) for b in parameters.biases],
        slopes,
    )


def problem(activation: str, loss: str, n_hidden: int) -> tuple[NetworkConfig, Split, Parameters]:
    rng = np.random.default_rng([n_hidden, LOSSES[loss].code, ACTIVATIONS[activation].code])
    takes_logits = LOSSES[loss].targets != "numbers"
    network = NetworkConfig(
        n_inputs=3,
        hidden_layer_sizes=(5, 4, 3)[:n_hidden],
        n_outputs=3,
        activation=activation,
        output_activation="linear" if takes_logits else ("linear" if activation == "prelu" else activation),
        initializer="xavier_normal",
    )
    X = rng.normal(size=(R, N, 3))
    if LOSSES[loss].targets == "classes":
        y = rng.integers(0, 3, (R, N, 1)).astype(float)
    elif takes_logits:
        y = rng.uniform(size=(R, N, 3))
    else:
        y = rng.normal(size=(R, N, 3))
    parameters = initialize(network, [np.random.default_rng([r, 1]) for r in range(R)])
    return network, Split(X, y), moved(parameters, random_like(parameters, rng), 0.1)


def objective(network: NetworkConfig, parameters: Parameters, split: Split, loss: str, regularizer: str) -> Any:
    record = REGULARIZERS[regularizer]
    penalised = arrays(parameters) if record.on_all else parameters.weights
    total = sum(record.penalty(W).reshape(R, -1).sum(axis=1) for W in penalised)
    return mean_losses(network, parameters, split, loss, road="numpy") + LAMBDA * total


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [name for name, record in ACTIVATIONS.items() if not record.refusal])
def test_one_sgd_step_goes_down_the_objective(activation: str, loss: str) -> None:
    for n_hidden, regularizer in itertools.product((0, 1, 3), REGULARIZERS):
        network, split, before = problem(activation, loss, n_hidden)
        training = TrainingConfig(
            loss=loss,
            learning_rate=RATE,
            batch_size=N,
            order="fixed",
            regularizer=regularizer,  # type: ignore[arg-type]
            regularization_rate=LAMBDA,
            dtype="float64",
        )
        state = initial_state(network, training, before, np.zeros(R, dtype=np.uint64))
        advance(state, network, training, split, 1, road="numpy")
        direction = random_like(before, np.random.default_rng(7))
        along = sum(
            ((b - a) / RATE * d).reshape(R, -1).sum(axis=1)
            for b, a, d in zip(arrays(before), arrays(state.parameters), arrays(direction), strict=True)
        )
        h = 1e-6
        ahead, behind = moved(before, direction, h), moved(before, direction, -h)
        expected = (
            objective(network, ahead, split, loss, regularizer) - objective(network, behind, split, loss, regularizer)
        ) / (2 * h)
        np.testing.assert_allclose(along, expected, rtol=1e-6, atol=1e-7, err_msg=f"{n_hidden} {regularizer}")
