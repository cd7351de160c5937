"""Training points that count more or less than others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses
from engine.methods.initializers import initialize
from engine.methods.losses import LOSSES
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.state import TrainingState
from engine.training import advance, initial_state, train

N = 12
COUNTS = np.array([1.0, 3.0, 0.0, 2.0, 1.0, 1.0, 5.0, 0.0, 1.0, 2.0, 4.0, 1.0])


def network_for(loss: str, activation: str = "tanh") -> NetworkConfig:
    n_outputs = 3 if LOSSES[loss].targets == "classes" else 2
    return NetworkConfig(2, (5, 4), n_outputs, activation, "linear", "xavier_normal")


def points(network: NetworkConfig, loss: str, n_replicas: int = 1) -> Split:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_replicas, N, 2))
    if LOSSES[loss].targets == "classes":
        return Split(X, rng.integers(3, size=(n_replicas, N, 1)).astype(float))
    return Split(X, rng.uniform(0, 1, (n_replicas, N, network.n_outputs)))


def first_state(network: NetworkConfig, training: TrainingConfig, replicas: range = range(1)) -> TrainingState:
    parameters = initialize(network, [np.random.default_rng([1, r]) for r in replicas])
    return initial_state(network, training, parameters, np.array(replicas, dtype=np.uint64))


def trained(
    network: NetworkConfig, split: Split, n_epochs: int, replicas: range = range(1), **settings: Any
) -> Parameters:
    training = TrainingConfig(**{"dtype": "float64", "learning_rate": 0.05, **settings})
    state = first_state(network, training, replicas)
    advance(state, network, training, split, n_epochs)
    return state.parameters


def arrays(parameters: Parameters) -> list[Any]:
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def assert_close(one: Parameters, other: Parameters, tolerance: float) -> None:
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(("optimizer", "activation"), [("sgd", "prelu"), ("adam", "tanh")])
def test_whole_weights_train_like_repeated_points(loss: str, optimizer: str, activation: str) -> None:
    network = network_for(loss, activation)
    split = points(network, loss)
    repeats = COUNTS.astype(int)
    repeated = Split(split.X.repeat(repeats, axis=1), split.y.repeat(repeats, axis=1))
    common: dict[str, Any] = {"loss": loss, "optimizer": optimizer, "order": "fixed"}
    weighted = trained(network, Split(split.X, split.y, COUNTS[None]), 30, batch_size=N, **common)
    assert_close(weighted, trained(network, repeated, 30, batch_size=int(COUNTS.sum()), **common), 1e-11)


def test_mini_batches_follow_pytorchs_weighted_loss() -> None:
    torch = pytest.importorskip("torch")
    network = network_for("softmax_cross_entropy")
    split = points(network, "softmax_cross_entropy")
    weight = np.random.default_rng(5).uniform(0, 2, (1, N))
    settings: dict[str, Any] = {"loss": "softmax_cross_entropy", "order": "fixed", "batch_size": 5}
    ours = trained(network, Split(split.X, split.y, weight), 4, **settings)
    first = first_state(network, TrainingConfig(dtype="float64", **settings)).parameters
    tensors = [torch.tensor(array[0], requires_grad=True) for array in arrays(first)]
    W, b = tensors[:3], tensors[3:]
    optimizer = torch.optim.SGD(tensors, lr=0.05)
    X, y, w = torch.tensor(split.X[0]), torch.tensor(split.y[0, :, 0]).long(), torch.tensor(weight[0] / weight.mean())
    for _ in range(4):
        for start in range(0, N, 5):
            batch = slice(start, start + 5)
            optimizer.zero_grad()
            hidden = torch.tanh(torch.tanh(X[batch] @ W[0] + b[0]) @ W[1] + b[1])
            losses = torch.nn.functional.cross_entropy(hidden @ W[2] + b[2], y[batch], reduction="none")
            (w[batch] * losses).mean().backward()
            optimizer.step()
    for own, theirs in zip(arrays(ours), tensors, strict=True):
        np.testing.assert_allclose(own[0], theirs.detach().numpy(), rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_the_weighted_mean_loss() -> None:
    """Central differences of the loss that evaluation reports, in one step of full-batch SGD."""
    network = network_for("mse")
    split = points(network, "mse")
    weighted = Split(split.X, split.y, COUNTS[None])
    training = TrainingConfig(dtype="float64", loss="mse", learning_rate=1.0, batch_size=N, order="fixed")
    before = first_state(network, training).parameters
    after = trained(network, weighted, 1, loss="mse", learning_rate=1.0, batch_size=N, order="fixed")
    rng = np.random.default_rng(2)
    direction = [rng.normal(size=array.shape) for array in arrays(before)]

    def loss_at(step: float) -> float:
        moved = [array + step * d for array, d in zip(arrays(before), direction, strict=True)]
        return float(mean_losses(network, Parameters(moved[:3], moved[3:]), weighted, "mse", road="numpy")[0])

    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    gone = sum(float(((a - b) * d).sum()) for a, b, d in zip(arrays(before), arrays(after), direction, strict=True))
    assert gone == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_weights_change_nothing_at_all(dtype: Any) -> None:
    network = network_for("mae")
    split = points(network, "mae")
    settings: dict[str, Any] = {"loss": "mae", "batch_size": 5, "dtype": dtype}
    plain = TrainingConfig(**settings)
    states = [first_state(network, plain) for _ in range(2)]
    advance(states[0], network, plain, split, 3, road="numpy")
    advance(states[1], network, plain, Split(split.X, split.y, np.full((1, N), 7.0)), 3)
    for a, b in zip(*(arrays(state.parameters) for state in states), strict=True):
        assert a.tobytes() == b.tobytes()


def test_shuffling_takes_the_weights_along() -> None:
    network = network_for("mse")
    split = points(network, "mse")
    weighted = Split(split.X, split.y, COUNTS[None])
    fixed, shuffled = (
        trained(network, weighted, 5, loss="mse", batch_size=N, order=order) for order in ("fixed", "shuffled")
    )
    assert_close(fixed, shuffled, 1e-12)


def test_replicas_have_weights_of_their_own() -> None:
    network = network_for("mse")
    split = points(network, "mse", 2)
    weight = np.random.default_rng(3).uniform(0, 1, (2, N))
    together = trained(network, Split(split.X, split.y, weight), 3, range(2), loss="mse", batch_size=5)
    for r in range(2):
        own = Split(*(array[r : r + 1] for array in (split.X, split.y, weight)))
        alone = trained(network, own, 3, range(r, r + 1), loss="mse", batch_size=5)
        for a, b in zip(arrays(alone), arrays(together.select(slice(r, r + 1))), strict=True):
            assert a.tobytes() == b.tobytes()


def test_weighted_training_takes_the_numpy_road_and_says_so() -> None:
    network, training = network_for("mse"), TrainingConfig(loss="mse", batch_size=5)
    split = points(network, "mse")
    weighted = Split(split.X, split.y, COUNTS[None])
    parameters, seeds = initialize(network, [np.random.default_rng(0)]), np.zeros(1, dtype=np.uint64)
    result = train(network, training, weighted, parameters, seeds, look_at=(1,), evaluate_on={"train": weighted})
    assert result.road == "numpy-float32"
    with pytest.raises(
        ValueError, match=r"^road: 'compiled' trains all points alike; split.weight needs 'numpy', or N"
    ):
        train(network, training, weighted, parameters, seeds, look_at=(1,), evaluate_on={}, road="compiled")


def test_weights_of_another_number_of_replicas_are_refused() -> None:
    network, training = network_for("mse"), TrainingConfig(loss="mse", batch_size=5)
    split = points(network, "mse")
    parameters, seeds = initialize(network, [np.random.default_rng(0)] * 3), np.zeros(3, dtype=np.uint64)
    weighted = Split(split.X, split.y, np.ones((2, N)))
    with pytest.raises(ValueError, match=r"^split.weight: points of 2 replicas; the parameters have 3"):
        train(network, training, weighted, parameters, seeds, look_at=(1,), evaluate_on={})
