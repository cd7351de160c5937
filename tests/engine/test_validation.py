"""Bad input: one line naming argument, value and what would do."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import initial_state, train
from engine.validation import check_parameters, validate

NETWORK = NetworkConfig(2, (4,), 1)
TRAINING = TrainingConfig()
SPLIT = Split(np.zeros((1, 12, 2)), np.zeros((1, 12, 1)))


def refuses(message: str, network: NetworkConfig, training: TrainingConfig, split: Split = SPLIT) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        validate(network, training, split)


def test_good_input_passes() -> None:
    validate(NETWORK, TRAINING, SPLIT)
    validate(NETWORK, TrainingConfig(batch_size=13, partial_batch="carry"), SPLIT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_inputs": 0}, "network.n_inputs: 0; give a whole number, at least 1"),
        ({"hidden_layer_sizes": (4, 0)}, "network.hidden_layer_sizes[1]: 0; give a whole number, at least 1"),
        ({"hidden_layer_sizes": (2.5,)}, "network.hidden_layer_sizes[0]: 2.5; give a whole number, at least 1"),
        ({"n_outputs": True}, "network.n_outputs: True; give a whole number, at least 1"),
        ({"activation": "tahn"}, "network.activation: unknown 'tahn'; did you mean 'tanh'?"),
        (
            {"activation": "step"},
            "network.activation: 'step' cannot be trained: its derivative is 0 everywhere, so no gradient reaches a "
            "weight; use 'sigmoid'",
        ),
        (
            {"output_activation": "prelu"},
            "network.output_activation: 'prelu' learns a slope only in hidden layers; use 'linear'",
        ),
        ({"initializer": "he"}, "network.initializer: unknown 'he'; did you mean 'he_uniform'?"),
        (
            {"activation_slope": 0.1},
            "network.activation_slope: 'tanh' has no free number; give None, or use 'leaky_relu'",
        ),
        (
            {"initializer": "he_normal", "initializer_scale": 0.1},
            "network.initializer_scale: 'he_normal' has no free number; leave it None, or use 'normal'",
        ),
    ],
)
def test_bad_networks(change: dict[str, Any], message: str) -> None:
    refuses(message, dataclasses.replace(NETWORK, **change), TRAINING)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "training.learning_rate: 0.0; give a finite number above 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate: nan; give a finite number above 0"),
        ({"momentum": 1.0}, "training.momentum: 1.0; give a finite number from 0 below 1"),
        ({"epsilon": -1e-8}, "training.epsilon: -1e-08; give a finite number from 0"),
        ({"batch_size": 0}, "training.batch_size: 0; give a whole number, at least 1"),
        ({"batch_size": 13}, "training.batch_size: 13 is more than the 12 training points; give 1 to 12"),
        ({"regularization_rate": -0.1}, "training.regularization_rate: -0.1; give a finite number from 0"),
        ({"optimizer": "adamm"}, "training.optimizer: unknown 'adamm'; did you mean 'adam'?"),
        ({"loss": "crossentropy"}, "training.loss: unknown 'crossentropy'; did you mean 'binary_cross_entropy'?"),
        ({"partial_batch": "flush"}, "training.partial_batch: unknown 'flush'; known: carry, keep, drop"),
        ({"order": "shuffle"}, "training.order: unknown 'shuffle'; did you mean 'shuffled'?"),
        ({"dtype": "float16"}, "training.dtype: unknown 'float16'; did you mean 'float64'?"),
        (
            {"dropout": (0.1, 0.2, 0.3)},
            "training.dropout: (0.1, 0.2, 0.3); give none, one rate, or 1, one a hidden layer",
        ),
        ({"dropout": (1.0,)}, "training.dropout[0]: 1.0; give a finite number from 0 below 1"),
        ({"max_norm": 0.0}, "training.max_norm: 0.0; give a finite number above 0"),
        ({"frozen": ("bias[0]",)}, "training.frozen: unknown 'bias[0]'; give 'weights[i]' or 'biases[i]', i below 2"),
        (
            {"frozen": ("biases[2]",)},
            "training.frozen: unknown 'biases[2]'; give 'weights[i]' or 'biases[i]', i below 2",
        ),
        (
            {"loss": "binary_cross_entropy"},
            "network.output_activation: 'tanh' under 'binary_cross_entropy', which takes logits; use 'linear'",
        ),
    ],
)
def test_bad_trainings(change: dict[str, Any], message: str) -> None:
    refuses(message, NETWORK, dataclasses.replace(TRAINING, **change))


def test_classes_need_an_output_each() -> None:
    network = dataclasses.replace(NETWORK, output_activation="linear")
    refuses("network.n_outputs: 1 under 'hinge'; give one output a class", network, TrainingConfig(loss="hinge"))


def with_value(value: float) -> np.ndarray:
    X = np.zeros((1, 12, 2))
    X[0, 3, 1] = value
    return X


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(with_value(np.nan), SPLIT.y), "split.X: nan at (0, 3, 1); give finite numbers"),
        (Split(with_value(-np.inf), SPLIT.y), "split.X: -inf at (0, 3, 1); give finite numbers"),
        (Split(with_value(-1e39), SPLIT.y), "split.X: up to 1e+39; give float32's range, or use 'float64'"),
        (Split(SPLIT.X.astype(np.float16), SPLIT.y), "split.X: type float16; give float32 or float64"),
        (Split(SPLIT.X.astype(object), SPLIT.y), "split.X: type object; give float32 or float64"),
        (Split(SPLIT.X, [[0.0]]), "split.y: a list; give a float32 or float64 array"),  # type: ignore[arg-type]
        (Split(SPLIT.X[0], SPLIT.y), "split.X: 2 axes (12, 2); give 3"),
        (Split(SPLIT.X[:, :0], SPLIT.y[:, :0]), "split.X: shape (1, 0, 2) is empty; give at least one point"),
        (Split(SPLIT.X[..., :1], SPLIT.y), "split.X: 1 features; the network takes 2"),
        (Split(SPLIT.X, SPLIT.y[:, :5]), "split.y: shape (1, 5, 1); with X (1, 12, 2) give (1, 12, 1)"),
        (
            Split(SPLIT.X, SPLIT.y, np.zeros((1, 12))),
            "split.weight: only zeros for replica 0; give a training point a weight above 0",
        ),
    ],
)
def test_bad_points(split: Split, message: str) -> None:
    refuses(message, NETWORK, TRAINING, split)


def test_bad_classes_and_shares() -> None:
    network = NetworkConfig(2, (4,), 3, output_activation="linear")
    for value in (3.0, -1.0, 0.5):
        refuses(
            "split.y: give classes as whole numbers 0 to 2",
            network,
            TrainingConfig(loss="softmax_cross_entropy"),
            Split(SPLIT.X, np.full((1, 12, 1), value)),
        )
    refuses(
        "split.y: from -1.0 to -1.0; 'binary_cross_entropy' takes targets within [0, 1]",
        dataclasses.replace(network, n_outputs=1),
        TrainingConfig(loss="binary_cross_entropy"),
        Split(SPLIT.X, np.full((1, 12, 1), -1.0)),
    )


def test_points_of_the_wrong_number_of_replicas() -> None:
    parameters = initialize(NETWORK, [np.random.default_rng(r) for r in range(3)])
    split = Split(np.zeros((2, 12, 2)), np.zeros((2, 12, 1)))
    with pytest.raises(ValueError, match=r"^split.X: points of 2 replicas; the parameters have 3 \(a leading axis"):
        train(NETWORK, TRAINING, split, parameters, np.zeros(3, dtype=np.uint64), look_at=(1,), evaluate_on={})


def test_parameters_that_do_not_fit() -> None:
    parameters = initialize(NETWORK, [np.random.default_rng(0)])
    with pytest.raises(
        ValueError, match=r"^parameters.weights: shapes .* the network needs \[\(1, 2, 5\), \(1, 5, 1\)\]"
    ):
        check_parameters(NetworkConfig(2, (5,), 1), parameters)
    with pytest.raises(ValueError, match=r"^parameters.biases: shapes"):
        check_parameters(NETWORK, Parameters(parameters.weights, parameters.biases[::-1]))
    with pytest.raises(ValueError, match=r"^parameters.slopes: shape None; 'prelu' needs \(1, 1\)$"):
        check_parameters(dataclasses.replace(NETWORK, activation="prelu"), parameters)
    with pytest.raises(ValueError, match=r"^seeds: shape \(2,\); 1 replicas need \(1,\)$"):
        initial_state(NETWORK, TRAINING, parameters, np.zeros(2, dtype=np.uint64))
