"""The road of wide networks: equal bytes whoever shares the call and however many threads there are."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses, predict
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.roads.choice import choose_road
from engine.roads.memory import count_pieces
from engine.splits import Split
from engine.training import advance, initial_state

NETWORK = NetworkConfig(784, (256,), 10, "relu", "linear", "he_uniform")
TRAINING = TrainingConfig(
    loss="softmax_cross_entropy", optimizer="adam", learning_rate=0.01, batch_size=256, partial_batch="carry"
)
N_POINTS = 600


def points(n_replicas: int) -> Split:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_replicas, N_POINTS, 784)).astype(np.float32)
    return Split(X, rng.integers(10, size=(n_replicas, N_POINTS, 1)).astype(np.float32))


def trained(split: Split, replicas: slice, n_threads: int = 1, **settings: Any) -> Parameters:
    training = dataclasses.replace(TRAINING, **settings)
    rngs = [np.random.default_rng([1, r]) for r in range(5)]
    parameters = initialize(NETWORK, rngs).select(replicas)
    state = initial_state(NETWORK, training, parameters, np.arange(5, dtype=np.uint64)[replicas])
    own = Split(*(a if len(a) == 1 else a[replicas] for a in (split.X, split.y)))
    with threadpool_limits(n_threads):
        advance(state, NETWORK, training, own, 2)
    assert (state.epoch, state.n_updates, state.n_pending) == (2, 4, 88)
    return state.parameters


def assert_same_bytes(one: Parameters, other: Parameters) -> None:
    for a, b in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
        assert a.tobytes() == b.tobytes()


def test_this_network_takes_this_road_in_pieces() -> None:
    assert choose_road(NETWORK, TRAINING) == "numpy"
    assert count_pieces(NETWORK, 256) == 2


def test_more_than_two_pieces_keep_enough_examples() -> None:
    deeper = NetworkConfig(784, (256, 256), 10)
    assert [count_pieces(deeper, n) for n in (64, 256, 511, 512, 1024)] == [1, 2, 2, 4, 8]
    assert count_pieces(NetworkConfig(2000, (2000,), 10), 32) == 2


@pytest.mark.parametrize("n_shared", [1, 5])
@pytest.mark.parametrize("settings", [{}, {"dropout": (0.2,), "input_noise": 0.1}], ids=["plain", "noisy"])
def test_a_replica_alone_and_any_number_of_threads_give_the_same_bytes(n_shared: int, settings: Any) -> None:
    split = points(n_shared)
    together = trained(split, slice(0, 5), n_threads=1, **settings)
    for n_threads in (2, 3):
        assert_same_bytes(trained(split, slice(0, 5), n_threads, **settings), together)
    for r in (0, 4):
        for n_threads in (1, 2):
            alone = trained(split, slice(r, r + 1), n_threads, **settings)
            assert_same_bytes(alone, together.select(slice(r, r + 1)))


UPDATES: dict[str, dict[str, Any]] = {
    "l1 and momentum": {"optimizer": "momentum", "regularizer": "l1", "regularization_rate": 1e-3},
    "l2_all, some frozen": {
        "regularizer": "l2_all",
        "regularization_rate": 1e-3,
        "frozen": ("biases[0]", "weights[1]"),
    },
    "wide layer frozen": {"optimizer": "adagrad", "frozen": ("weights[0]",)},
    "clipped": {"max_grad_norm": 0.5, "weight_decay": 0.1},
    "max norm": {"optimizer": "rmsprop", "max_norm": 1.0},
    "DropConnect": {"weight_dropout": 0.2, "layer_noise": 0.1},
}


@pytest.mark.parametrize("settings", UPDATES.values(), ids=UPDATES)
def test_threads_share_any_update_and_leave_the_same_bytes(settings: Any) -> None:
    split, one = points(1), slice(0, 1)
    alone = trained(split, one, n_threads=1, **settings)
    for n_threads in (2, 3):
        assert_same_bytes(trained(split, one, n_threads, **settings), alone)


def test_a_learnt_slope_is_the_same_on_any_number_of_threads() -> None:
    network = NetworkConfig(300, (300, 300), 10, "prelu", "linear", "he_uniform")
    assert count_pieces(network, 512) == 4
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1, N_POINTS, 300)).astype(np.float32)
    split = Split(X, rng.integers(10, size=(1, N_POINTS, 1)).astype(np.float32))
    results = []
    for n_threads in (1, 2, 3):
        training = dataclasses.replace(TRAINING, batch_size=512)
        state = initial_state(
            network, training, initialize(network, [np.random.default_rng(1)]), np.zeros(1, dtype=np.uint64)
        )
        with threadpool_limits(n_threads):
            advance(state, network, training, split, 2)
        results.append([array.tobytes() for array in (*state.parameters.weights, state.parameters.slopes)])
    assert results[0] == results[1] == results[2]


def test_evaluation_is_the_same_on_any_number_of_threads() -> None:
    split = points(2)
    parameters = initialize(NETWORK, [np.random.default_rng(r) for r in range(2)])
    results = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads):
            losses = mean_losses(NETWORK, parameters, split, TRAINING.loss, road="numpy")
            results.append((losses.tobytes(), predict(NETWORK, parameters, split.X).tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_training_follows_pytorch(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    split = points(1)
    rngs = [np.random.default_rng(3)]
    parameters = initialize(NETWORK, rngs)
    training = TrainingConfig(
        loss="softmax_cross_entropy", learning_rate=0.1, batch_size=256, order="fixed", dtype=dtype
    )
    state = initial_state(NETWORK, training, parameters, np.zeros(1, dtype=np.uint64))
    with threadpool_limits(2):
        advance(state, NETWORK, training, split, 3)
    tensors = [torch.tensor(a[0].astype(dtype), requires_grad=True) for a in (*parameters.weights, *parameters.biases)]
    W1, W2, b1, b2 = tensors
    X, y = torch.tensor(split.X[0].astype(dtype)), torch.tensor(split.y[0, :, 0].astype(np.int64))
    optimizer = torch.optim.SGD(tensors, lr=0.1)
    for _ in range(3):
        for start in range(0, N_POINTS, 256):
            optimizer.zero_grad()
            logits = torch.relu(X[start : start + 256] @ W1 + b1) @ W2 + b2
            torch.nn.functional.cross_entropy(logits, y[start : start + 256]).backward()
            optimizer.step()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for ours, theirs in zip((*state.parameters.weights, *state.parameters.biases), tensors, strict=True):
        np.testing.assert_allclose(ours[0], theirs.detach().numpy(), atol=tolerance)
