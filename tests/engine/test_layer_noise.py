"""DropConnect and noise on hidden layers: PyTorch computes the same step from the same random numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from engine.configuration import TrainingConfig, told_fields
from engine.methods.initializers import initialize
from engine.methods.streams import LAYER_NOISE, WEIGHT_DROPOUT, normals, stream_keys, uniforms
from engine.network import NetworkConfig
from engine.splits import Split
from engine.training import train

torch = pytest.importorskip("torch")
NETWORK = NetworkConfig(3, (5, 4), 2, "tanh", "linear", "xavier_normal")
SEEDS = np.array([11, 12], dtype=np.uint64)
N, BATCH = 8, 4


def points() -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.normal(size=(2, N, 3)), rng.normal(size=(2, N, 2)))


def config(**settings: float) -> TrainingConfig:
    return TrainingConfig(
        loss="half_squared_error", learning_rate=0.1, batch_size=BATCH, order="fixed", dtype="float64", **settings
    )


def torch_epoch(r: int, weight_dropout: float, layer_noise: float) -> list[np.ndarray]:
    """Return the parameters of replica r after one epoch by PyTorch's autograd, on the streams' numbers."""
    first, split = initialize(NETWORK, [np.random.default_rng(k) for k in range(2)]), points()
    weights = [torch.tensor(W[r], dtype=torch.float64, requires_grad=True) for W in first.weights]
    biases = [torch.tensor(b[r], dtype=torch.float64, requires_grad=True) for b in first.biases]
    seed = SEEDS[r : r + 1]
    for batch, start in enumerate(range(0, N, BATCH)):
        A = torch.tensor(split.X[r, start : start + BATCH])
        for layer, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
            u = uniforms(stream_keys(seed, 0, WEIGHT_DROPOUT, layer), batch * W.numel(), W.numel())
            mask = torch.tensor((u.reshape(W.shape) >= np.float32(weight_dropout)) / (1.0 - weight_dropout))
            Z = A @ (W * mask) + b
            A = Z
            if layer < len(weights):
                z = normals(stream_keys(seed, 0, LAYER_NOISE, layer), start * Z.shape[1], Z.numel())
                A = torch.tanh(Z) + layer_noise * torch.tensor(z.reshape(Z.shape))
        loss = 0.5 * ((A - torch.tensor(split.y[r, start : start + BATCH])) ** 2).sum(dim=1).mean()
        found = torch.autograd.grad(loss, [*weights, *biases])
        with torch.no_grad():
            for parameter, g in zip([*weights, *biases], found, strict=True):
                parameter -= 0.1 * g
    return [one.detach().numpy() for one in (*weights, *biases)]


@pytest.mark.parametrize("road", ["numpy", "compiled"])
@pytest.mark.parametrize(("weight_dropout", "layer_noise"), [(0.3, 0.0), (0.0, 0.5), (0.4, 0.2)])
def test_an_epoch_is_pytorchs(road: str, weight_dropout: float, layer_noise: float) -> None:
    training = config(weight_dropout=weight_dropout, layer_noise=layer_noise)
    first = initialize(NETWORK, [np.random.default_rng(k) for k in range(2)])
    state = train(NETWORK, training, points(), first, SEEDS, look_at=[1], evaluate_on={}, road=road).state  # type: ignore[arg-type]
    for r in range(2):
        for found, expected in zip(
            [*state.parameters.weights, *state.parameters.biases],
            torch_epoch(r, weight_dropout, layer_noise),
            strict=True,
        ):
            np.testing.assert_allclose(found[r], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("road", ["numpy", "compiled"])
def test_neither_is_on_at_evaluation(road: str) -> None:
    first = initialize(NETWORK, [np.random.default_rng(k) for k in range(2)])
    before = [
        train(NETWORK, training, points(), first, SEEDS, look_at=[0], evaluate_on={"train": points()}, road=road)  # type: ignore[arg-type]
        for training in (config(), config(weight_dropout=0.5, layer_noise=2.0))
    ]
    np.testing.assert_array_equal(before[0].losses["train"], before[1].losses["train"])


def test_a_record_names_them_only_where_they_are_on() -> None:
    assert {"weight_dropout", "layer_noise"}.isdisjoint(told_fields(config()))
    assert told_fields(config(layer_noise=0.5))["layer_noise"] == 0.5
    assert told_fields(config())["dropout"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_dropout": 1.0}, "training.weight_dropout: 1.0; give a finite number from 0 below 1"),
        ({"layer_noise": -1.0}, "training.layer_noise: -1.0; give a finite number from 0"),
    ],
)
def test_what_will_not_do_is_refused(settings: dict[str, float], message: str) -> None:
    first = initialize(NETWORK, [np.random.default_rng(k) for k in range(2)])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(NETWORK, config(**settings), points(), first, SEEDS, look_at=[1], evaluate_on={})
