"""One network alone, units in the lanes, gives the bytes that it has among sixteen, replicas in the lanes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig
from engine.roads.compiled import session as kernels
from engine.roads.compiled import single_session
from engine.roads.compiled.parts import part_of_split, part_of_state
from engine.roads.compiled.prices import most_singles
from engine.roads.compiled.session import GroupSession
from engine.roads.compiled.single_session import SingleSession, count_singles, supports_single
from engine.splits import Split
from engine.state import TrainingState
from engine.training import initial_state
from tests.engine.roads.test_kernels import arrays_of, random_parameters, random_split

SINGLES = [name for name, record in ACTIVATIONS.items() if not record.refusal and not record.learns_slope]


def outcome(kind: Any, network: NetworkConfig, training: TrainingConfig, n: int, n_replicas: int, scale: float) -> Any:
    """Return losses at looks, weighted ones too, and the state at the end."""
    parameters = random_parameters(network, n_replicas, training.dtype)
    state = initial_state(network, training, parameters, np.arange(n_replicas, dtype=np.uint64) + np.uint64(7))
    split = random_split(network, training.loss, n_replicas, n, training.dtype)
    split = Split(split.X * np.float32(scale), split.y)
    weight = np.random.default_rng(3).integers(0, 3, (1, n)).astype(np.float64)
    shared = Split(split.X[:1], split.y[:1], weight)
    session = kind(state, network, training, split, [split, shared])
    losses = session.advance([0, 1, 2, 0, 2])
    return losses, session.read_state()


def assert_same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    """Assert equal bytes: zeros with their signs, not-a-numbers of any kind."""
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.signbit(a) & (a == 0), np.signbit(b) & (b == 0))


def assert_same_alone(
    network: NetworkConfig, training: TrainingConfig, n: int = 23, n_replicas: int = 2, scale: float = 1.0
) -> None:
    assert supports_single(network, training)
    (losses, grouped), (alone_losses, alone) = (
        outcome(kind, network, training, n, n_replicas, scale) for kind in (GroupSession, SingleSession)
    )
    assert_same(losses, alone_losses)
    for a, b in zip(arrays_of(grouped), arrays_of(alone), strict=True):
        assert_same(a, b)
    assert (grouped.epoch, grouped.n_updates, grouped.n_pending) == (alone.epoch, alone.n_updates, alone.n_pending)
    np.testing.assert_array_equal(grouped.diverged_at, alone.diverged_at)


@pytest.mark.parametrize("name", SINGLES)
def test_every_activation_is_the_same_alone(name: str) -> None:
    assert_same_alone(NetworkConfig(3, (9, 5), 2, name, name), TrainingConfig(batch_size=7))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_the_same_alone(name: str) -> None:
    assert_same_alone(NetworkConfig(9, (6, 11), 3, "tanh", "linear"), TrainingConfig(loss=name, batch_size=12))


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_with_every_penalty_is_the_same_alone(optimizer: str, regularizer: Any) -> None:
    training = TrainingConfig(
        optimizer=optimizer, regularizer=regularizer, regularization_rate=0.03, frozen=("biases[1]",)
    )
    assert_same_alone(NetworkConfig(2, (8, 8), 1), training)
    assert_same_alone(NetworkConfig(2, (8, 8), 1), TrainingConfig(optimizer=optimizer, weight_decay=0.1, batch_size=1))


@pytest.mark.parametrize("partial", ["keep", "drop", "carry"])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 8, 9, 10, 11, 23])
def test_every_batch_is_the_same_alone(batch_size: int, partial: Any) -> None:
    for order in ("fixed", "shuffled"):
        training = TrainingConfig(batch_size=batch_size, partial_batch=partial, order=order)
        assert_same_alone(NetworkConfig(2, (8, 8), 1), training)


@pytest.mark.parametrize("sizes", [(), (1,), (7,), (16,), (17, 3), (40, 33), (2, 2, 2, 2, 2)], ids=str)
@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(1, 1), (8, 8), (19, 10)])
def test_every_shape_is_the_same_alone(sizes: tuple[int, ...], n_inputs: int, n_outputs: int) -> None:
    for activation in ("relu", "tanh", "gelu"):
        assert_same_alone(NetworkConfig(n_inputs, sizes, n_outputs, activation), TrainingConfig(batch_size=6))


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": (0.3,)},
        {"dropout": (0.5, 0.0)},
        {"dropout": (0.0, 0.5), "batch_size": 1},
        {"input_dropout": 0.2},
        {"input_noise": 0.3},
        {"input_noise": 0.3, "input_dropout": 0.1, "dropout": (0.1, 0.2), "order": "fixed", "optimizer": "adam"},
    ],
    ids=str,
)
def test_dropout_and_noise_are_the_same_alone(changes: dict[str, Any]) -> None:
    for activation in ("tanh", "relu", "gelu"):
        training = TrainingConfig(**{"batch_size": 9, **changes})
        assert_same_alone(NetworkConfig(11, (12, 5), 2, activation), training)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 0.0])
def test_strange_numbers_are_the_same_alone(scale: float) -> None:
    """Huge ones overflow, tiny ones become 0, and 0 has a sign."""
    for training in (TrainingConfig(batch_size=4), TrainingConfig(batch_size=1), TrainingConfig(optimizer="adam")):
        assert_same_alone(NetworkConfig(2, (8, 3), 1, "relu", "linear"), training, scale=scale)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_configurations_are_the_same_alone(data: st.DataObject) -> None:
    network = NetworkConfig(
        data.draw(st.integers(1, 18), "n_inputs"),
        tuple(data.draw(st.lists(st.integers(1, 36), max_size=4), "hidden")),
        data.draw(st.integers(2, 18), "n_outputs"),
        data.draw(st.sampled_from(SINGLES), "activation"),
        data.draw(st.sampled_from(["linear", "tanh", "sigmoid"]), "output"),
    )
    n = data.draw(st.integers(1, 60), "n")
    training = TrainingConfig(
        loss=data.draw(st.sampled_from(sorted(LOSSES)), "loss"),
        optimizer=data.draw(st.sampled_from(sorted(OPTIMIZERS)), "optimizer"),
        regularizer=data.draw(st.sampled_from(sorted(REGULARIZERS)), "regularizer"),
        regularization_rate=data.draw(st.sampled_from([0.0, 0.3]), "rate"),
        batch_size=data.draw(st.integers(1, n), "batch_size"),
        partial_batch=data.draw(st.sampled_from(["keep", "drop", "carry"]), "partial_batch"),
        order=data.draw(st.sampled_from(["fixed", "shuffled"]), "order"),
        learning_rate=data.draw(st.sampled_from([0.01, 0.5]), "learning_rate"),
        dropout=data.draw(st.sampled_from([(), (), (0.25,)]), "dropout"),
        input_noise=data.draw(st.sampled_from([0.0, 0.0, 0.2]), "input_noise"),
    )
    assert_same_alone(network, training, n)


def test_the_last_digits_show_another_order_of_a_sum() -> None:
    """The comparison can fail: samples in another order change them."""
    network, training = NetworkConfig(2, (8, 8), 1), TrainingConfig(order="fixed")
    split = random_split(network, training.loss, 1, 23, "float32")
    turned = Split(split.X[:, ::-1].copy(), split.y[:, ::-1].copy())
    ends = []
    for points in (split, turned):
        state = initial_state(network, training, random_parameters(network, 1, "float32"), np.zeros(1, np.uint64))
        kernels.advance(state, network, TrainingConfig(order="fixed", batch_size=23), points, 20)
        ends.append(state.parameters.weights[1])
    assert not np.array_equal(*ends)
    np.testing.assert_allclose(*ends, rtol=1e-4)


def test_few_left_over_replicas_are_trained_alone_and_many_are_not() -> None:
    network, training = NetworkConfig(2, (8, 8), 1), TrainingConfig()
    most = most_singles(network, training)
    assert 1 <= most < 15
    found = [count_singles(network, training, n) for n in (1, most, most + 1, 15, 16, 17, 32 + most)]
    assert found == [1, most, 0, 0, 0, 1, most]
    assert count_singles(network, TrainingConfig(dtype="float64"), 1) == 0
    assert count_singles(network, TrainingConfig(layer_noise=0.5), 1) == 0


def test_a_group_and_left_over_replicas_make_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    network, training = NetworkConfig(2, (8, 8), 1), TrainingConfig(optimizer="adam", regularizer="l1")
    losses, state = outcome(kernels.CompiledSession, network, training, 23, 18, 1.0)
    monkeypatch.setattr(single_session, "most_singles", lambda network, training: 0)
    expected, grouped = outcome(kernels.CompiledSession, network, training, 23, 18, 1.0)
    assert_same(losses, expected)
    for a, b in zip(arrays_of(state), arrays_of(grouped), strict=True):
        assert_same(a, b)
    np.testing.assert_array_equal(state.diverged_at, np.full(18, -1))
    assert (state.epoch, state.n_updates) == (grouped.epoch, grouped.n_updates) == (5, 15)


def test_losses_of_few_are_those_among_many() -> None:
    network = NetworkConfig(3, (6,), 3, "tanh", "linear")
    parameters = random_parameters(network, 17, "float32")
    split = random_split(network, "softmax_cross_entropy", 17, 70, "float32")
    weight = np.random.default_rng(2).integers(0, 3, (17, 70)).astype(np.float64)
    split = Split(split.X, split.y, weight)
    whole = kernels.mean_losses(network, parameters, split, "softmax_cross_entropy")
    for r in (0, 16):
        one = part_of_split(split, r, r + 1)
        found = kernels.mean_losses(network, parameters.select(slice(r, r + 1)), one, "softmax_cross_entropy")
        assert found.tolist() == whole[r : r + 1].tolist()


def test_a_part_of_a_state_is_a_view() -> None:
    network, training = NetworkConfig(2, (3,), 1), TrainingConfig(optimizer="adam")
    state: TrainingState = initial_state(
        network, training, random_parameters(network, 4, "float32"), np.zeros(4, np.uint64)
    )
    part = part_of_state(state, 1, 3)
    for array in arrays_of(part):
        array[...] = 1
    for array in arrays_of(state):
        assert (array[1:3] == 1).all()
        assert not (array[[0, 3]] == 1).all()


def test_a_sum_of_one_product_keeps_its_zeros_sign() -> None:
    """Where a mini-batch is one sample its products are added to nothing, not to 0: a weight of -0 becomes 0."""
    network, training = NetworkConfig(2, (8, 3), 1, "relu", "linear"), TrainingConfig(batch_size=1)
    split = Split(np.full((1, 5, 2), -1, np.float32), np.ones((1, 5, 1), np.float32))
    signs = []
    for kind in (GroupSession, SingleSession):
        parameters = random_parameters(network, 1, "float32")
        for W, b in zip(parameters.weights[:-1], parameters.biases, strict=False):
            W[...], b[...] = -0.0, -1.0
        state = initial_state(network, training, parameters, np.zeros(1, np.uint64))
        session = kind(state, network, training, split, [])
        session.advance([1])
        signs.append(np.signbit(session.read_state().parameters.weights[0]))
    np.testing.assert_array_equal(*signs)
