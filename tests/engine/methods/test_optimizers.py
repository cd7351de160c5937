"""Optimizers: first steps worked by hand, trajectories against PyTorch's."""

from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.methods.optimizers import OPTIMIZERS, epsilon_of, weight_decay_of
from engine.network import NetworkConfig
from engine.splits import Split
from engine.training import advance, initial_state

BY_HAND = {
    # gradients 1, -2, 0.5; lr 0.1
    "sgd": (0.1, -0.2, 0.05),
    # v = 1, -1.1, -0.49
    "momentum": (0.1, -0.11, -0.049),
    # 0.1 (g + 0.9 v)
    "nesterov": (0.19, -0.299, 0.0059),
    # s = 1, 5, 5.25
    "adagrad": (0.1, -0.2 / 5**0.5, 0.05 / 5.25**0.5),
    # rho 0.99: s = 0.01, 0.0499, 0.051901
    "rmsprop": (1.0, -0.2 / 0.0499**0.5, 0.05 / 0.051901**0.5),
    # m = 0.1, -0.11, -0.049 over 0.1, 0.19, 0.271; s = 0.001, 0.004999, 0.005244001 over 0.001, 0.001999, 0.002997001
    "adam": (
        0.1,
        -0.1 * (0.11 / 0.19) / (0.004999 / 0.001999) ** 0.5,
        -0.1 * (0.049 / 0.271) / (0.005244001 / 0.002997001) ** 0.5,
    ),
}
BY_HAND["adamw"] = BY_HAND["adam"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_first_three_steps_by_hand(name: str) -> None:
    training = TrainingConfig(optimizer=name, epsilon=0.0)
    moments = tuple(np.zeros(1) for _ in range(OPTIMIZERS[name].n_moments))
    steps = [
        OPTIMIZERS[name].step(np.array([g]), moments, training, 0.1, t)[0]
        for t, g in enumerate((1.0, -2.0, 0.5), start=1)
    ]
    np.testing.assert_allclose(steps, BY_HAND[name], rtol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_codes_and_moments(name: str) -> None:
    names = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
    assert OPTIMIZERS[name].code == names.index(name)


def test_epsilon_and_decay_defaults_are_pytorchs() -> None:
    assert epsilon_of(TrainingConfig(optimizer="adagrad")) == 1e-10
    assert epsilon_of(TrainingConfig(optimizer="adam")) == 1e-8
    assert epsilon_of(TrainingConfig(optimizer="adam", epsilon=1e-3)) == 1e-3
    assert weight_decay_of(TrainingConfig(optimizer="adamw")) == 0.01
    assert weight_decay_of(TrainingConfig(optimizer="adamw", weight_decay=0.1)) == 0.1
    assert weight_decay_of(TrainingConfig(optimizer="adam")) == 0


TRAJECTORIES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"optimizer": "sgd"}, "SGD", {}),
    ({"optimizer": "momentum", "momentum": 0.8}, "SGD", {"momentum": 0.8}),
    ({"optimizer": "nesterov", "momentum": 0.8}, "SGD", {"momentum": 0.8, "nesterov": True}),
    ({"optimizer": "adagrad"}, "Adagrad", {}),
    ({"optimizer": "rmsprop", "rho": 0.97}, "RMSprop", {"alpha": 0.97}),
    ({"optimizer": "adam", "beta_1": 0.8, "beta_2": 0.99}, "Adam", {"betas": (0.8, 0.99)}),
    ({"optimizer": "adamw"}, "AdamW", {}),
    ({"optimizer": "adam", "epsilon": 1e-3, "weight_decay": 0.3}, "AdamW", {"eps": 1e-3, "weight_decay": 0.3}),
    ({"optimizer": "sgd", "max_grad_norm": 0.05}, "SGD", {"clip": 0.05}),
    ({"optimizer": "momentum", "regularizer": "l2", "regularization_rate": 0.02}, "SGD", {"momentum": 0.9, "l2": 0.02}),
    (
        {"optimizer": "adam", "regularizer": "l2_all", "regularization_rate": 0.02},
        "Adam",
        {"l2": 0.02, "on_all": True},
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "options"), TRAJECTORIES, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("activation", ["tanh", "prelu"])
def test_200_steps_equal_pytorch(ours: dict[str, Any], theirs: str, options: dict[str, Any], activation: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    options = dict(options)
    clip, l2, on_all = options.pop("clip", None), options.pop("l2", 0.0), options.pop("on_all", False)
    network = NetworkConfig(3, (6, 4), 2, activation, "linear", "pytorch")
    training = TrainingConfig(loss="mse", learning_rate=0.01, batch_size=10, order="fixed", dtype="float64", **ours)
    rng = np.random.default_rng(11)
    X, y = rng.normal(size=(1, 40, 3)), rng.normal(size=(1, 40, 2))
    parameters = initialize(network, [np.random.default_rng(3)])
    state = initial_state(network, training, parameters, np.zeros(1, dtype=np.uint64))
    advance(state, network, training, Split(X, y), 50, road="numpy")

    weights = [torch.tensor(W[0], requires_grad=True) for W in parameters.weights]
    others = [torch.tensor(b[0], requires_grad=True) for b in parameters.biases]
    biases = list(others)
    slopes = []
    if parameters.slopes is not None:
        slopes = [torch.tensor([a], requires_grad=True) for a in parameters.slopes[0]]
        others += slopes
    groups = [{"params": weights}, {"params": others, **({"weight_decay": 0.0} if theirs == "AdamW" else {})}]
    optimizer = getattr(torch.optim, theirs)(groups, lr=0.01, **options)
    for step in range(200):
        batch = slice(step % 4 * 10, step % 4 * 10 + 10)
        A = torch.tensor(X[0, batch])
        for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
            A = A @ W + b
            if i < 2:
                A = torch.nn.functional.prelu(A, slopes[i]) if slopes else torch.tanh(A)
        objective = torch.nn.functional.mse_loss(A, torch.tensor(y[0, batch]))
        objective = objective + 0.5 * l2 * sum((W * W).sum() for W in (weights + others if on_all else weights))
        optimizer.zero_grad()
        objective.backward()
        if clip is not None:
            # PyTorch adds 1e-6 to the norm it divides by; the rule proper does not.
            norm = torch.sqrt(sum((p.grad**2).sum() for p in (*weights, *others)))
            for p in (*weights, *others):
                p.grad *= torch.clamp(clip / norm, max=1.0)
        optimizer.step()
    for ours_W, W in zip(state.parameters.weights, weights, strict=True):
        np.testing.assert_allclose(ours_W[0], W.detach().numpy(), rtol=0, atol=1e-10)
    for ours_b, b in zip(state.parameters.biases, biases, strict=True):
        np.testing.assert_allclose(ours_b[0], b.detach().numpy(), rtol=0, atol=1e-10)
    for i, slope in enumerate(slopes):
        assert state.parameters.slopes is not None
        assert state.parameters.slopes[0, i] == pytest.approx(slope.item(), abs=1e-10)
