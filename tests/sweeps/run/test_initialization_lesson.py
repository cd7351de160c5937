"""First weights: equal units stay equal to the last bit, unequal output weights part them; signals and products."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.course.cells import by_layer
from analysis.course.layers import evener, has_layers, within
from analysis.lessons.initialization import N_FACTORS, expected_growth, log_singular_values
from analysis.records.lesson import CellRecord
from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import train
from sweeps.run.layer_probes import gradient_size, output_size
from sweeps.run.textbook_probes import backward_kept, layers, signal_kept, units_apart, units_apart_unequal
from sweeps.run.trained import Trained

R, N = 5, 40


def trained(network: NetworkConfig, parameters: Parameters, X: np.ndarray, y: np.ndarray) -> Trained:
    draws = SimpleNamespace(
        train=Split(X, y), initialize=lambda _: parameters, training_seeds=np.arange(R, dtype=np.uint64)
    )
    return Trained(network, "half_squared_error", parameters, draws)  # type: ignore[arg-type]


def points(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(R, N, 2))
    return X, np.sign(X[..., :1] * X[..., 1:])


def constant(activation: str, units: int) -> tuple[NetworkConfig, Parameters]:
    network = NetworkConfig(
        2, (units,), activation=activation, initializer="constant", initializer_scale=0.3, output_activation="linear"
    )
    return network, initialize(network, [np.random.default_rng(r) for r in range(R)])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_symmetric_start_stays_equal_to_the_last_bit_and_unequal_output_weights_part_it(
    activation: str, dtype: str
) -> None:
    X, y = points()
    network, start = constant(activation, 5)

    def after(output: np.ndarray, dropout: tuple[float, ...] = ()) -> np.ndarray:
        config = TrainingConfig(learning_rate=0.1, max_epochs=30, dtype=dtype, dropout=dropout)  # type: ignore[arg-type]
        first = Parameters([start.weights[0], output], start.biases)
        seeds = np.arange(R, dtype=np.uint64)
        done = train(network, config, Split(X, y), first, seeds, look_at=[30], evaluate_on={})
        assert not np.allclose(done.state.parameters.weights[0], start.weights[0])  # it has learnt something
        return units_apart(trained(network, done.state.parameters, X, y))

    assert (after(start.weights[1]) == 0.0).all()
    assert (after(start.weights[1] * np.linspace(0.5, 1.5, 5)[None, :, None]) > 1e-3).all()
    assert (after(start.weights[1], (0.5,)) > 1e-3).all()


def test_the_probe_of_unequal_output_weights_changes_these_alone() -> None:
    X, y = points()
    network, start = constant("tanh", 4)
    before = [W.copy() for W in start.weights]
    assert (units_apart_unequal(trained(network, start, X, y)) > 1e-4).all()
    assert all(np.array_equal(W, old) for W, old in zip(start.weights, before, strict=True))


def test_signals_and_gradients_on_their_way_are_what_finite_differences_give() -> None:
    X, y = points(1)
    network = NetworkConfig(2, (3, 4, 3), activation="tanh", initializer="he_normal", output_activation="linear")
    start = initialize(network, [np.random.default_rng(r) for r in range(R)])
    one = trained(network, start, X, y)
    outputs = [A for A, _ in layers(network, start, X)]
    forward = np.sqrt((outputs[-1] ** 2).mean(axis=(1, 2)) / (outputs[0] ** 2).mean(axis=(1, 2)))
    assert signal_kept(one) == pytest.approx(forward, rel=1e-12)

    def score(layer: int, unit: int, step: float) -> np.ndarray:
        A = X
        for i, (W, b) in enumerate(zip(start.weights, start.biases, strict=True)):
            Z = A @ W + b[:, None, :]
            if i == layer:
                Z = Z + step * np.eye(Z.shape[2])[unit]
            A = np.tanh(Z) if i < 3 else Z
        return A[..., 0]

    def size(layer: int, units: int) -> np.ndarray:
        slopes = [(score(layer, k, 1e-5) - score(layer, k, -1e-5)) / 2e-5 for k in range(units)]
        return np.sqrt((np.stack(slopes) ** 2).mean(axis=(0, 2)))

    assert backward_kept(one) == pytest.approx(size(0, 3) / size(2, 3), rel=1e-7)
    assert np.isnan(signal_kept(trained(*constant("tanh", 3), X, y))).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_sizes_by_layer_are_those_of_outputs_and_of_finite_differences_of_the_loss(weighted: bool) -> None:
    X, y = points(2)
    network = NetworkConfig(2, (3, 4, 2), activation="tanh", initializer="he_normal", output_activation="tanh")
    at = initialize(network, [np.random.default_rng(r) for r in range(R)])
    at = Parameters([W.astype(np.float64) for W in at.weights], [b.astype(np.float64) for b in at.biases])
    one = trained(network, at, X, y)
    if weighted:
        one.draws.train = Split(X, y, np.random.default_rng(3).uniform(0.0, 2.0, size=(R, N)))  # type: ignore[misc]
    sizes = [np.sqrt((A**2).mean(axis=(1, 2))) for A, _ in layers(network, at, X)]
    assert np.array_equal(output_size(one), sizes)

    def loss() -> np.ndarray:
        return mean_losses(network, at, one.draws.train, "half_squared_error")

    found = gradient_size(one)
    assert len(found) == 3
    for W, size in zip(at.weights, found, strict=False):
        slopes = []
        for i, j in np.ndindex(*W.shape[1:]):
            ends = []
            for step in (1e-5, -2e-5):
                W[:, i, j] += step
                ends.append(loss())
            W[:, i, j] += 1e-5
            slopes.append((ends[0] - ends[1]) / 2e-5)
        assert size == pytest.approx(np.sqrt((np.stack(slopes) ** 2).mean(axis=0)), rel=1e-6)


def recorded(sizes: np.ndarray) -> CellRecord:
    """Return a cell with planted gradients, (looks, layers, replicas)."""
    named = {
        f"gradient_size.{i + 1}@{look}": [None if np.isnan(one) else float(one) for one in sizes[k, i]]
        for k, look in enumerate((0, 5))
        for i in range(sizes.shape[1])
    }
    return SimpleNamespace(looks=[0, 5], seeds=["draw0", "draw1", "draw2"], measured=named)  # type: ignore[return-value]


def test_gradients_come_nearer_or_part_as_planted_and_a_diverged_replica_is_no_even_one() -> None:
    before = [[1.0, 1.0, 1.0], [9.0, 9.0, 9.0], [100.0, 2.0, 2.0]]
    after = [[1.0, 1.0, np.nan], [9.0, 9.0, np.nan], [10.0, 0.05, np.nan]]
    cell = recorded(np.array([before, after]))
    assert by_layer(cell, "gradient_size").shape == (2, 3, 3)
    assert evener(cell).tolist() == [1.0, 0.0, 0.0]
    assert within(cell, 10.0).tolist() == [0.0, 0.0, 0.0]
    assert within(cell, 101.0).tolist() == [1.0, 1.0, 0.0]
    assert has_layers(cell)
    assert not has_layers(recorded(np.empty((2, 0, 3))))


def test_singular_values_of_long_products_grow_as_newman_says() -> None:
    logs = log_singular_values() / N_FACTORS
    error = logs.std(axis=0, ddof=1) / np.sqrt(len(logs))
    assert (np.abs(logs.mean(axis=0) - expected_growth()) < 4 * error + 1.5 / N_FACTORS).all()
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=(400, 4, 4)) for _ in range(N_FACTORS)]
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    largest = np.log(np.linalg.svd(product, compute_uv=False)[:, 0])
    gap = largest - N_FACTORS * logs[:, 0]  # minus ln of a cosine: small for most, never far below 0
    assert np.median(np.abs(gap)) < 1.5
    assert gap.min() > -1e-9
