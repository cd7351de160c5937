"""Replicas with more and fewer training points share vectors, and each comes out as it does by itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.configuration import TrainingConfig
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig
from engine.roads.compiled.parts import part_of_split, part_of_state
from engine.roads.compiled.rows import NO_END, epoch_ends
from engine.roads.compiled.session import GroupSession
from engine.splits import Split
from engine.training import initial_state
from tests.engine.roads.test_kernels import arrays_of, random_parameters, random_split
from tests.engine.roads.test_single import assert_same


def assert_same_together(network: NetworkConfig, training: TrainingConfig, counts: list[int], scale: float = 1) -> None:
    """Train all together, with not-a-numbers where a replica has no points, and each by itself."""
    n_replicas = len(counts)
    parameters = random_parameters(network, n_replicas, training.dtype)
    seeds = np.arange(n_replicas, dtype=np.uint64) + np.uint64(7)
    split = random_split(network, training.loss, n_replicas, max(counts), training.dtype)
    split = Split(split.X * split.X.dtype.type(scale), split.y)
    padded = Split(split.X.copy(), split.y)
    for r, count in enumerate(counts):
        padded.X[r, count:] = np.nan
    shared = initial_state(network, training, parameters, seeds)
    session = GroupSession(shared, network, training, padded, (), np.array(counts))
    session.advance([3])
    session.advance([1, 1])
    session.read_state()
    first = initial_state(network, training, parameters, seeds)
    for r, count in enumerate(counts):
        state = part_of_state(first, r, r + 1)
        own = part_of_split(split, r, r + 1)
        own = Split(own.X[:, :count].copy(), own.y[:, :count].copy())
        alone = GroupSession(state, network, training, own)
        alone.advance([5])
        alone.read_state()
        for a, b in zip(arrays_of(part_of_state(shared, r, r + 1)), arrays_of(state), strict=True):
            assert_same(a, b)
        assert (shared.n_updates, shared.n_pending) == (state.n_updates, state.n_pending)
        assert shared.diverged_at[r] == state.diverged_at[0]


def test_where_an_epoch_parts() -> None:
    lanes = np.array([[25, 25, 26], [26, 26, 26], [21, 30, 25]])
    assert epoch_ends(lanes, 10, 10).tolist() == [
        [20, 25, 26, NO_END],
        [26, NO_END, NO_END, NO_END],
        [20, 21, 25, 30],
    ]
    assert epoch_ends(np.array([[90, 91]]), 64, 10).tolist() == [[84, 90, 91]]
    assert epoch_ends(np.array([[84, 85]]), 64, 10).tolist() == [[74, 84, 85]]
    assert epoch_ends(np.array([[7, 7]]), 4, 4).tolist() == [[7]]


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_penalty_is_the_same_together(optimizer: str, regularizer: Any) -> None:
    training = TrainingConfig(
        optimizer=optimizer, regularizer=regularizer, regularization_rate=0.03, batch_size=12, frozen=("biases[1]",)
    )
    assert_same_together(NetworkConfig(2, (5, 3), 1), training, [34, 33, 36, 33])
    training = TrainingConfig(optimizer=optimizer, weight_decay=0.1, batch_size=7)
    assert_same_together(NetworkConfig(2, (5, 3), 1), training, [23, 22, 22])


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
@pytest.mark.parametrize("batch_size", [2, 4, 5, 8, 10, 11, 22, 64])
def test_every_batch_is_the_same_together(batch_size: int, order: Any) -> None:
    """Ends of one, two and ten samples, one chunk and several, whole mini-batches and parts."""
    last = 2 * batch_size
    for counts in ([last, last - 1], [last - batch_size + 1, last], [last - 1, last, last - batch_size // 2]):
        for activation in ("tanh", "gelu"):
            training = TrainingConfig(batch_size=batch_size, order=order, partial_batch="keep")
            assert_same_together(NetworkConfig(3, (6,), 1, activation), training, counts)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": (0.3,)},
        {"input_dropout": 0.2},
        {"input_noise": 0.3},
        {"layer_noise": 0.2},
        {"max_norm": 0.5},
        {"max_grad_norm": 0.1},
        {"schedule": "cosine", "optimizer": "adam", "dropout": (0.2, 0.0), "dtype": "float64"},
    ],
    ids=str,
)
def test_noise_and_norms_are_the_same_together(changes: dict[str, Any]) -> None:
    training = TrainingConfig(**{"batch_size": 9, "order": "shuffled", **changes})
    assert_same_together(NetworkConfig(3, (5, 4), 2, "tanh"), training, [25, 26, 24])


def test_one_that_diverges_harms_no_other() -> None:
    training = TrainingConfig(batch_size=8, learning_rate=0.5)
    assert_same_together(NetworkConfig(2, (6,), 1, "relu", "linear"), training, [23, 24, 23], scale=1e8)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_configurations_are_the_same_together(data: st.DataObject) -> None:
    batch_size = data.draw(st.integers(2, 40), "batch_size")
    last = data.draw(st.integers(0, 3), "whole batches") * batch_size
    counts = data.draw(st.lists(st.integers(last + 1, last + batch_size), min_size=2, max_size=18), "counts")
    network = NetworkConfig(
        data.draw(st.integers(1, 9), "n_inputs"),
        tuple(data.draw(st.lists(st.integers(1, 12), max_size=3), "hidden")),
        data.draw(st.integers(2, 4), "n_outputs"),
        data.draw(st.sampled_from(["tanh", "relu", "silu", "leaky_relu", "prelu"]), "activation"),
        data.draw(st.sampled_from(["linear", "tanh"]), "output"),
    )
    training = TrainingConfig(
        loss=data.draw(st.sampled_from(sorted(LOSSES)), "loss"),
        optimizer=data.draw(st.sampled_from(sorted(OPTIMIZERS)), "optimizer"),
        regularizer=data.draw(st.sampled_from(sorted(REGULARIZERS)), "regularizer"),
        regularization_rate=data.draw(st.sampled_from([0.0, 0.3]), "rate"),
        batch_size=batch_size,
        order=data.draw(st.sampled_from(["fixed", "shuffled"]), "order"),
        learning_rate=data.draw(st.sampled_from([0.01, 0.5]), "learning_rate"),
        dropout=data.draw(st.sampled_from([(), (), (0.25,)]) if network.hidden_layer_sizes else st.just(()), "dropout"),
        input_noise=data.draw(st.sampled_from([0.0, 0.0, 0.2]), "input_noise"),
    )
    assert_same_together(network, training, counts)
