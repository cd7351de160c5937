"""The compiled road equals the plain one, and no replica's result depends on how it is run."""

import copy
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig, Parameters
from engine.roads import plain
from engine.roads.compiled import session as kernels
from engine.splits import Split
from engine.state import TrainingState
from engine.training import initial_state

TRAINABLE = [name for name, record in ACTIVATIONS.items() if not record.refusal]


def random_parameters(network: NetworkConfig, n_replicas: int, dtype: str, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    sizes = network.layer_sizes
    pairs = list(itertools.pairwise(sizes))
    return Parameters(
        [rng.normal(0, 0.6, (n_replicas, fan_in, fan_out)).astype(dtype) for fan_in, fan_out in pairs],
        [rng.normal(0, 0.3, (n_replicas, fan_out)).astype(dtype) for _, fan_out in pairs],
        rng.uniform(-0.2, 0.4, (n_replicas, len(sizes) - 2)).astype(dtype) if network.activation == "prelu" else None,
    )


def random_split(network: NetworkConfig, loss: str, n_replicas: int, n: int, dtype: str, seed: int = 1) -> Split:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_replicas, n, network.n_inputs)).astype(dtype)
    if LOSSES[loss].targets == "classes":
        return Split(X, rng.integers(0, network.n_outputs, (n_replicas, n, 1)).astype(dtype))
    return Split(X, rng.uniform(0, 1, (n_replicas, n, network.n_outputs)).astype(dtype))


def arrays_of(state: TrainingState) -> list[npt.NDArray[Any]]:
    lists = [state.parameters, state.pending, *state.moments]
    arrays = [array for item in lists for array in (*item.weights, *item.biases)]
    return arrays + [item.slopes for item in lists if item.slopes is not None] + list(state.dead)


def trained(
    road: Any,
    network: NetworkConfig,
    training: TrainingConfig,
    n: int = 23,
    n_replicas: int = 3,
    epochs: tuple[int, ...] = (1, 2),
) -> TrainingState:
    parameters = random_parameters(network, n_replicas, training.dtype)
    state = initial_state(network, training, parameters, np.arange(n_replicas, dtype=np.uint64) + np.uint64(7))
    split = random_split(network, training.loss, n_replicas, n, training.dtype)
    for count in epochs:
        road.advance(state, network, training, split, count)
    return state


def assert_equal_roads(network: NetworkConfig, training: TrainingConfig, n: int = 23) -> None:
    expected, found = (trained(road, network, training, n) for road in (plain, kernels))
    for a, b in zip(arrays_of(expected), arrays_of(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)
    assert (found.epoch, found.n_updates, found.n_pending) == (expected.epoch, expected.n_updates, expected.n_pending)
    np.testing.assert_array_equal(found.diverged_at, expected.diverged_at)


def double(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"dtype": "float64", "learning_rate": 0.05, "batch_size": 5, **settings})


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_hidden_activation_trains_as_in_numpy(name: str) -> None:
    assert_equal_roads(NetworkConfig(2, (5, 3), 2, name, "linear"), double())


@pytest.mark.parametrize("name", [name for name in TRAINABLE if name != "prelu"])
def test_every_output_activation_trains_as_in_numpy(name: str) -> None:
    assert_equal_roads(NetworkConfig(2, (4,), 1, "tanh", name), double())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_as_in_numpy(name: str) -> None:
    assert_equal_roads(NetworkConfig(3, (6,), 3, "tanh", "linear"), double(loss=name))


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_penalty_trains_as_in_numpy(optimizer: str, regularizer: Any) -> None:
    training = double(optimizer=optimizer, regularizer=regularizer, regularization_rate=0.03)
    assert_equal_roads(NetworkConfig(2, (8, 8), 1), training)


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": (0.3,)},
        {"dropout": (0.5, 0.0)},
        {"input_dropout": 0.2},
        {"input_noise": 0.3},
        {"input_noise": 0.3, "input_dropout": 0.1, "dropout": (0.1, 0.2), "order": "fixed"},
        {"weight_dropout": 0.3},
        {"weight_dropout": 0.3, "partial_batch": "carry", "optimizer": "adam"},
        {"layer_noise": 0.4},
        {"layer_noise": 0.4, "weight_dropout": 0.2, "dropout": (0.0, 0.3), "input_dropout": 0.1, "input_noise": 0.2},
        {"max_norm": 0.7},
        {"max_grad_norm": 0.05},
        {"weight_decay": 0.1},
        {"frozen": ("weights[0]", "biases[1]")},
        {"partial_batch": "carry"},
        {"partial_batch": "drop"},
        {"partial_batch": "carry", "optimizer": "adam"},
        {"order": "fixed"},
        {"schedule": "cosine", "warmup_epochs": 1},
        {"batch_size": 1},
        {"batch_size": 12},
        {"batch_size": 23},
    ],
    ids=str,
)
def test_every_setting_trains_as_in_numpy(settings: dict[str, Any]) -> None:
    assert_equal_roads(NetworkConfig(2, (7, 3), 1), double(**settings))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 10, 23])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_single_precision_trains_as_in_numpy(activation: str, batch_size: int) -> None:
    """Only in float32 are sums made tanh while they are in registers; each batch size takes other blocks."""
    network = NetworkConfig(3, (11, 6), 2, activation, "tanh")
    training = TrainingConfig(batch_size=batch_size, learning_rate=0.05)
    expected, found = (trained(road, network, training) for road in (plain, kernels))
    for a, b in zip(arrays_of(expected), arrays_of(found), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_configurations_train_as_in_numpy(data: st.DataObject) -> None:
    loss = data.draw(st.sampled_from(sorted(LOSSES)), "loss")
    network = NetworkConfig(
        data.draw(st.integers(1, 5), "n_inputs"),
        tuple(data.draw(st.lists(st.integers(1, 11), max_size=4), "hidden")),
        data.draw(st.integers(2, 4), "n_outputs"),
        data.draw(st.sampled_from(TRAINABLE), "activation"),
        "linear",
    )
    n = data.draw(st.integers(1, 40), "n")
    training = double(
        loss=loss,
        optimizer=data.draw(st.sampled_from(sorted(OPTIMIZERS)), "optimizer"),
        regularizer=data.draw(st.sampled_from(sorted(REGULARIZERS)), "regularizer"),
        regularization_rate=data.draw(st.sampled_from([0.0, 0.01]), "rate"),
        batch_size=data.draw(st.integers(1, n), "batch_size"),
        partial_batch=data.draw(st.sampled_from(["keep", "drop", "carry"]), "partial_batch"),
        order=data.draw(st.sampled_from(["fixed", "shuffled"]), "order"),
        dropout=data.draw(st.sampled_from([(), (0.25,)]), "dropout"),
        weight_dropout=data.draw(st.sampled_from([0.0, 0.0, 0.25]), "weight_dropout"),
        layer_noise=data.draw(st.sampled_from([0.0, 0.0, 0.2]), "layer_noise"),
        max_norm=data.draw(st.sampled_from([None, 1.0]), "max_norm"),
        max_grad_norm=data.draw(st.sampled_from([None, 0.5]), "max_grad_norm"),
        learning_rate=0.01,
        # RMSprop and AdaGrad divide by a root that starts at 0: there a rounding error can turn a whole step around.
        epsilon=1e-2,
    )
    assert_equal_roads(network, training, n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_mean_losses_equal_those_in_numpy(loss: str, weighted: bool) -> None:
    network = NetworkConfig(3, (6,), 3, "tanh", "linear")
    parameters = random_parameters(network, 11, "float64")
    split = random_split(network, loss, 11, 70, "float64")
    weight = np.random.default_rng(2).integers(0, 3, (11, 70)).astype(np.float64) if weighted else None
    split = Split(split.X, split.y, weight)
    expected = plain.mean_losses(network, parameters, split, loss)
    np.testing.assert_allclose(kernels.mean_losses(network, parameters, split, loss), expected, rtol=1e-12)


def test_points_of_weight_zero_may_be_nonsense() -> None:
    network = NetworkConfig(1, (), 1, output_activation="linear")
    split = Split(np.array([[[1.0], [np.inf]]]), np.zeros((1, 2, 1)), np.array([[1.0, 0.0]]))
    parameters = Parameters([np.ones((1, 1, 1))], [np.zeros((1, 1))])
    assert kernels.mean_losses(network, parameters, split, "half_squared_error").tolist() == [0.5]


def test_a_step_network_is_evaluated() -> None:
    network = NetworkConfig(2, (5,), 1, "step", "linear")
    parameters = random_parameters(network, 3, "float64")
    split = random_split(network, "mse", 3, 20, "float64")
    expected = plain.mean_losses(network, parameters, split, "mse")
    np.testing.assert_allclose(kernels.mean_losses(network, parameters, split, "mse"), expected, rtol=1e-12)


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
}
# (relative, absolute), as documented in `engine.roads.compiled.session`; absolute where a tail is a difference of
# larger numbers.
TOLERANCES = {
    "float32": {
        "tanh": (5e-7, 0),
        "sigmoid": (2e-7, 0),
        "softplus": (2.5e-7, 0),
        "elu": (2e-7, 0),
        "silu": (2e-7, 0),
        "gelu": (2e-7, 3e-7),
    },
    "float64": {
        "tanh": (5e-16, 0),
        "sigmoid": (5e-16, 0),
        "softplus": (6e-16, 0),
        "elu": (4e-16, 0),
        "silu": (6e-16, 0),
        "gelu": (6e-16, 6e-16),
    },
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_are_as_accurate_as_documented(name: str, dtype: str) -> None:
    # One point a replica through a network that is nothing but the activation: the loss |output - 0| shows it.
    x = np.concatenate([np.linspace(-30, 30, 6001), np.linspace(-0.01, 0.01, 401), np.geomspace(1e-12, 1, 200)])
    x = x.astype(dtype)
    network = NetworkConfig(1, (), 1, output_activation=name)
    parameters = Parameters([np.ones((len(x), 1, 1), dtype)], [np.zeros((len(x), 1), dtype)])
    split = Split(x[:, None, None], np.zeros((1, 1, 1), dtype))
    found = kernels.mean_losses(network, parameters, split, "mae")
    relative, absolute = TOLERANCES[dtype][name]
    np.testing.assert_allclose(found, np.abs(FUNCTIONS[name](x.astype(np.float64))), rtol=relative, atol=absolute)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "dropout": (0.2,), "dtype": "float32"},
        {"optimizer": "sgd", "partial_batch": "carry", "regularizer": "l1", "regularization_rate": 0.01},
        {"optimizer": "rmsprop", "input_noise": 0.1, "dtype": "float64"},
    ],
    ids=str,
)
def test_a_replica_alone_is_the_same_bit_for_bit(settings: dict[str, Any]) -> None:
    network = NetworkConfig(2, (7, 3), 1)
    training = TrainingConfig(batch_size=7, **settings)
    together = trained(kernels, network, training, n_replicas=20)
    split = random_split(network, training.loss, 20, 23, training.dtype)
    for r in (0, 5, 17):
        one = slice(r, r + 1)
        parameters = random_parameters(network, 20, training.dtype).select(one)
        alone = initial_state(network, training, parameters, np.array([7 + r], dtype=np.uint64))
        kernels.advance(alone, network, training, Split(split.X[one], split.y[one]), 3)
        for a, b in zip(arrays_of(together), arrays_of(alone), strict=True):
            np.testing.assert_array_equal(a[one], b)


def test_training_in_pieces_is_the_same_bit_for_bit() -> None:
    network = NetworkConfig(2, (7, 3), 1)
    training = TrainingConfig(batch_size=7, optimizer="adam", partial_batch="carry", dropout=(0.1,))
    pieces = trained(kernels, network, training, epochs=(1, 2, 4))
    whole = trained(kernels, network, training, epochs=(7,))
    for a, b in zip(arrays_of(pieces), arrays_of(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_threads_compute_what_one_does() -> None:
    network = NetworkConfig(2, (8, 8), 1)
    configs = [TrainingConfig(batch_size=size, optimizer="adam") for size in (1, 2, 3, 5, 7, 11, 13, 23)]
    one = [trained(kernels, network, config, epochs=(20,)) for config in configs]
    with ThreadPoolExecutor(2) as pool:
        two = list(pool.map(lambda config: trained(kernels, network, config, epochs=(20,)), configs))
    for a, b in zip(one, two, strict=True):
        for x, y in zip(arrays_of(a), arrays_of(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_diverging_replica_is_told_with_its_epoch_and_harms_no_other() -> None:
    network = NetworkConfig(2, (4,), 1, "relu", "linear")
    training = TrainingConfig(learning_rate=0.01, order="fixed")
    split = random_split(network, "half_squared_error", 3, 30, "float32")
    calm = initial_state(network, training, random_parameters(network, 3, "float32"), np.arange(3, dtype=np.uint64))
    wild = copy.deepcopy(calm)
    kernels.advance(calm, network, training, split, 6)
    X = split.X.copy()
    X[1] *= 1e6
    kernels.advance(wild, network, training, Split(X, split.y), 6)
    assert calm.diverged_at.tolist() == [-1, -1, -1]
    assert wild.diverged_at[1] > 0
    assert wild.diverged_at[[0, 2]].tolist() == [-1, -1]
    for a, b in zip(arrays_of(calm), arrays_of(wild), strict=True):
        np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])


def test_replicas_may_share_points() -> None:
    network = NetworkConfig(2, (4,), 1)
    training = TrainingConfig()
    split = random_split(network, "half_squared_error", 1, 30, "float32")
    parameters = random_parameters(network, 5, "float32")
    shared, own = (initial_state(network, training, parameters, np.arange(5, dtype=np.uint64)) for _ in range(2))
    kernels.advance(shared, network, training, split, 2)
    kernels.advance(own, network, training, Split(np.repeat(split.X, 5, 0), np.repeat(split.y, 5, 0)), 2)
    for a, b in zip(arrays_of(shared), arrays_of(own), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_the_warm_up_the_type_is_compiled() -> None:
    kernels.warm_up("float32")
    assert kernels.is_compiled("float32")
    assert not kernels.warm_up("float32")


def test_without_the_compiler_it_supports_nothing() -> None:
    code = (
        "from engine.roads.compiled import session as kernels; from engine.network import NetworkConfig; "
        "from engine.configuration import TrainingConfig; print(kernels.supports(NetworkConfig(2), TrainingConfig()))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
