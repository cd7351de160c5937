"""The training loop on the plain road: what a replica's result depends on, batches, noise, constraints, divergence."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_cases import NETWORK, arrays, config, ended, parameters_of, points, state_of

from engine.configuration import TrainingConfig, dropout_rates
from engine.evaluation import mean_losses, predict
from engine.methods.streams import DROPOUT, INPUT_NOISE, normals, stream_keys, uniforms
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.state import TrainingState
from engine.training import advance, initial_state, train, with_label_noise

trainings = st.builds(
    config,
    dtype=st.sampled_from(["float32", "float64"]),
    optimizer=st.sampled_from(["sgd", "nesterov", "rmsprop", "adamw"]),
    loss=st.sampled_from(["half_squared_error", "mae", "softmax_cross_entropy"]),
    batch_size=st.integers(1, 13),
    partial_batch=st.sampled_from(["keep", "drop", "carry"]),
    order=st.sampled_from(["fixed", "shuffled"]),
    regularizer=st.sampled_from(["none", "l1", "l2"]),
    regularization_rate=st.just(0.05),
    dropout=st.sampled_from([(), (0.3,)]),
    input_noise=st.sampled_from([0.0, 0.2]),
    input_dropout=st.sampled_from([0.0, 0.2]),
    weight_dropout=st.sampled_from([0.0, 0.2]),
    layer_noise=st.sampled_from([0.0, 0.2]),
    label_noise=st.sampled_from([0.0, 0.3]),
    max_norm=st.sampled_from([None, 0.8]),
    max_grad_norm=st.sampled_from([None, 0.1]),
)
networks = st.builds(
    NetworkConfig,
    n_inputs=st.integers(1, 4),
    hidden_layer_sizes=st.lists(st.integers(1, 20), max_size=3).map(tuple),
    n_outputs=st.integers(2, 4),
    activation=st.sampled_from(["tanh", "relu", "prelu", "gelu"]),
    output_activation=st.just("linear"),
    initializer=st.just("xavier_normal"),
)


@settings(max_examples=60, deadline=None)
@given(networks, trainings)
def test_a_replica_does_not_depend_on_who_shares_the_call(network: NetworkConfig, training: TrainingConfig) -> None:
    together, alone = ended(network, training, range(5), 13), ended(network, training, range(3, 4), 13)
    for a, b in zip(arrays(together), arrays(alone), strict=True):
        np.testing.assert_array_equal(a[3:4], b)


@settings(max_examples=30, deadline=None)
@given(networks, trainings, st.integers(0, 4))
def test_training_goes_on_bit_for_bit(network: NetworkConfig, training: TrainingConfig, first: int) -> None:
    split = points(network, range(2), 13, training.loss)
    whole, parts = (state_of(network, training, range(2)) for _ in range(2))
    advance(whole, network, training, split, 4, road="numpy")
    advance(parts, network, training, split, first, road="numpy")
    resumed = copy.deepcopy(parts)
    advance(resumed, network, training, split, 4 - first, road="numpy")
    for a, b in zip(arrays(whole), arrays(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (whole.epoch, whole.n_updates, whole.n_pending) == (resumed.epoch, resumed.n_updates, resumed.n_pending)


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
def test_shared_points_equal_copies(order: Any) -> None:
    training = config(order=order, dropout=(0.2,), input_noise=0.1)
    shared = points(NETWORK, range(1))
    copies = Split(np.repeat(shared.X, 3, axis=0), np.repeat(shared.y, 3, axis=0))
    states = [state_of(NETWORK, training, range(3)) for _ in range(2)]
    for state, split in zip(states, (shared, copies), strict=True):
        advance(state, NETWORK, training, split, 2, road="numpy")
    for a, b in zip(arrays(states[0]), arrays(states[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_first_parameters_are_not_changed() -> None:
    parameters = parameters_of(NETWORK, range(2))
    before = copy.deepcopy(parameters)
    state = initial_state(NETWORK, config(), parameters, np.arange(2, dtype=np.uint64))
    advance(state, NETWORK, config(), points(NETWORK, range(2)), 1, road="numpy")
    np.testing.assert_array_equal(parameters.weights[0], before.weights[0])


@pytest.mark.parametrize(("rule", "n_updates", "n_pending"), [("keep", 9, 0), ("drop", 6, 0), ("carry", 6, 3)])
def test_partial_batches(rule: Any, n_updates: int, n_pending: int) -> None:
    state = ended(NETWORK, config(partial_batch=rule))  # 11 points by 4, 3 epochs
    assert (state.n_updates, state.n_pending) == (n_updates, n_pending)


def test_carried_batch_larger_than_the_data_never_updates() -> None:
    state = ended(NETWORK, config(partial_batch="carry", batch_size=12))
    np.testing.assert_array_equal(state.parameters.weights[0], parameters_of(NETWORK, range(2)).weights[0])
    assert state.n_pending == 33


def test_shuffled_full_batch_is_the_same_as_fixed_up_to_rounding() -> None:
    one, other = (ended(NETWORK, config(batch_size=11, order=order)) for order in ("fixed", "shuffled"))
    np.testing.assert_allclose(one.parameters.weights[0], other.parameters.weights[0], rtol=1e-12)


def test_shuffling_changes_the_path() -> None:
    one, other = (ended(NETWORK, config(order=order)) for order in ("fixed", "shuffled"))
    assert not np.array_equal(one.parameters.weights[0], other.parameters.weights[0])


def test_frozen_parameters_keep_their_first_values() -> None:
    training = config(frozen=("biases[0]", "weights[1]"), weight_decay=0.1, max_norm=0.3, optimizer="adam")
    first, state = parameters_of(NETWORK, range(2)), ended(NETWORK, training)
    np.testing.assert_array_equal(state.parameters.biases[0], first.biases[0])
    np.testing.assert_array_equal(state.parameters.weights[1], first.weights[1])
    assert not np.array_equal(state.parameters.weights[0], first.weights[0])


def test_max_norm_bounds_each_units_incoming_weights() -> None:
    state = ended(NETWORK, config(max_norm=0.3, learning_rate=1.0))
    norms = np.concatenate([np.linalg.norm(W, axis=1).ravel() for W in state.parameters.weights])
    assert norms.max() == pytest.approx(0.3)


def test_decoupled_decay_shrinks_weights_only() -> None:
    network = NetworkConfig(1, (), 1, output_activation="linear", initializer="constant")
    training = config(loss="mse", weight_decay=0.5, batch_size=1)
    state = initial_state(network, training, parameters_of(network, range(1)), np.zeros(1, dtype=np.uint64))
    state.parameters.biases[0][...] = 1.0
    still = Split(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))  # output 1 = target: no gradient
    advance(state, network, training, still, 1, road="numpy")
    assert state.parameters.weights[0][0, 0, 0] == pytest.approx(1 - 0.1 * 0.5, abs=1e-15)
    assert state.parameters.biases[0][0, 0] == 1.0


def test_dead_links_stay_dead_whatever_the_optimizer_remembers() -> None:
    training = config(regularizer="l1", regularization_rate=0.3, optimizer="adam")
    state = state_of(NETWORK, training, range(2))
    split = points(NETWORK, range(2))
    advance(state, NETWORK, training, split, 5, road="numpy")
    dead = [mask.copy() for mask in state.dead]
    assert sum(mask.sum() for mask in dead) > 0
    advance(state, NETWORK, training, split, 5, road="numpy")
    for before, after, W in zip(dead, state.dead, state.parameters.weights, strict=True):
        assert after[before].all()
        assert (W[after] == 0).all()


def test_divergence_is_told_with_its_epoch_and_harms_no_other() -> None:
    network = NetworkConfig(1, (), 1, output_activation="linear", initializer="constant")
    training = config(loss="mse", learning_rate=0.4, batch_size=1)
    X = np.array([[[1.0]], [[60.0]]])  # 0.4 * 2 * 60**2 is far beyond what converges
    state = initial_state(network, training, parameters_of(network, range(2)), np.zeros(2, dtype=np.uint64))
    advance(state, network, training, Split(X, np.zeros((2, 1, 1))), 150, road="numpy")
    assert state.diverged_at[0] == -1
    assert 0 < state.diverged_at[1] < 150
    assert np.isfinite(state.parameters.weights[0][0]).all()
    again = initial_state(network, training, parameters_of(network, range(2)), np.zeros(2, dtype=np.uint64))
    advance(again, network, training, Split(X, np.zeros((2, 1, 1))), int(state.diverged_at[1]) - 1, road="numpy")
    assert np.isfinite(again.parameters.weights[0]).all()


def test_dropout_is_inverted_and_off_at_prediction() -> None:
    network = NetworkConfig(1, (2000,), 1, "linear", "linear", "constant")
    parameters = parameters_of(network, range(1))
    training = config(loss="mse", dropout=(0.4,), batch_size=1, learning_rate=1e-9)
    state = initial_state(network, training, parameters, np.array([3], dtype=np.uint64))
    advance(state, network, training, Split(np.ones((1, 1, 1)), np.zeros((1, 1, 1))), 1, road="numpy")
    moved = (parameters.weights[1] - state.parameters.weights[1])[0, :, 0] / 1e-9
    kept = moved != 0
    assert kept.mean() == pytest.approx(0.6, abs=4 * (0.24 / 2000) ** 0.5)
    output = kept.sum() / 0.6
    assert moved[kept] == pytest.approx(np.full(kept.sum(), 2 * output / 0.6), rel=1e-5)
    assert predict(network, parameters, np.ones((1, 1, 1)))[0, 0, 0] == pytest.approx(2000)


def test_one_dropout_rate_means_all_hidden_layers() -> None:
    network = NetworkConfig(2, (3, 3, 3))
    assert dropout_rates(network, config(dropout=(0.5,), input_dropout=0.1)) == (0.1, 0.5, 0.5, 0.5)
    assert dropout_rates(network, config(dropout=(0.5, 0.1, 0.2))) == (0.0, 0.5, 0.1, 0.2)
    assert dropout_rates(network, config()) == (0.0, 0.0, 0.0, 0.0)


def test_input_noise_has_its_standard_deviation() -> None:
    network = NetworkConfig(1, (), 1, output_activation="linear", initializer="zeros")
    training = config(loss="mse", input_noise=0.5, batch_size=1, learning_rate=1.0)
    seeds = np.arange(4000, dtype=np.uint64)
    zeros = np.zeros((4000, 1, 1))
    state = initial_state(network, training, Parameters([zeros], [zeros[:, :, 0]]), seeds)
    advance(state, network, training, Split(np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.5)), 1, road="numpy")
    noise = state.parameters.weights[0].ravel()  # a step of 2 * 0.5 * x
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert abs(noise.mean()) < 4 * 0.5 / 4000**0.5


def test_label_noise_replaces_the_stated_share_by_another_class() -> None:
    network = NetworkConfig(2, (3,), 5, output_activation="linear")
    training = config(loss="softmax_cross_entropy", label_noise=0.3)
    clean = Split(np.zeros((1, 4000, 2)), np.full((1, 4000, 1), 3.0))
    noisy = with_label_noise(clean, network, training, np.arange(3, dtype=np.uint64))
    assert noisy.y.shape == (3, 4000, 1)
    changed = noisy.y != 3
    assert changed.mean(axis=(1, 2)) == pytest.approx([0.3] * 3, abs=4 * (0.21 / 4000) ** 0.5)
    others, counts = np.unique(noisy.y[changed], return_counts=True)
    assert others.tolist() == [0, 1, 2, 4]
    assert counts / counts.sum() == pytest.approx([0.25] * 4, abs=0.04)


@pytest.mark.parametrize("road", ["numpy", "compiled"])
def test_training_sees_the_noisy_labels_and_evaluation_the_clean_ones(road: Any) -> None:
    training, split, seeds = config(label_noise=0.5), points(NETWORK, range(2)), np.arange(2, dtype=np.uint64)
    noisy, parameters = with_label_noise(split, NETWORK, training, seeds), parameters_of(NETWORK, range(2))
    asked = train(NETWORK, training, split, parameters, seeds, look_at=(0, 2), evaluate_on={"train": split}, road=road)
    given = train(NETWORK, config(), noisy, parameters, seeds, look_at=(0, 2), evaluate_on={"train": split}, road=road)
    np.testing.assert_array_equal(asked.losses["train"], given.losses["train"])
    assert not np.array_equal(noisy.y, split.y)


def test_label_noise_flips_shares_and_shifts_numbers() -> None:
    clean = Split(np.zeros((1, 4000, 2)), np.full((1, 4000, 1), 1.0))
    network, seeds = NetworkConfig(2, (3,), 1, output_activation="linear"), np.arange(1, dtype=np.uint64)
    flipped = with_label_noise(clean, network, config(loss="binary_cross_entropy", label_noise=0.2), seeds)
    assert np.unique(flipped.y).tolist() == [0, 1]
    assert 1 - flipped.y.mean() == pytest.approx(0.2, abs=0.03)
    shifted = with_label_noise(clean, network, config(label_noise=0.2), seeds)
    assert shifted.y.mean() == pytest.approx(1.0, abs=0.02)
    assert shifted.y.std() == pytest.approx(0.2, rel=0.05)


def test_weights_of_points_weigh_and_zeros_leave_out() -> None:
    split = points(NETWORK, range(2), 6)
    parameters = parameters_of(NETWORK, range(2))
    X = np.concatenate([split.X, np.full((2, 2, 2), 1e308)], axis=1)
    y = np.concatenate([split.y, np.zeros((2, 2, 1))], axis=1)
    weight = np.array([[1.0, 1, 1, 1, 1, 1, 0, 0], [2.0, 2, 2, 0, 0, 0, 0, 0]])
    weighted = mean_losses(NETWORK, parameters, Split(X, y, weight), "half_squared_error", road="numpy")
    assert weighted[0] == mean_losses(NETWORK, parameters, split, "half_squared_error", road="numpy")[0]
    first = Split(split.X[:, :3], split.y[:, :3])
    assert weighted[1] == pytest.approx(mean_losses(NETWORK, parameters, first, "half_squared_error", road="numpy")[1])


def test_a_replica_with_no_weight_gets_nan() -> None:
    split = points(NETWORK, range(2), 3)
    weight = np.array([[1.0, 1, 1], [0, 0, 0]])
    losses = mean_losses(
        NETWORK, parameters_of(NETWORK, range(2)), Split(split.X, split.y, weight), "half_squared_error", road="numpy"
    )
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1])


def test_evaluation_in_chunks_equals_evaluation_at_once() -> None:
    network = NetworkConfig(2, (4000,), 1, initializer="xavier_normal")
    split = points(network, range(1), 1200)  # 2**21 / 4000 points a chunk
    parameters = parameters_of(network, range(1))
    outputs = predict(network, parameters, split.X)
    parts = [predict(network, parameters, split.X[:, i : i + 300]) for i in range(0, 1200, 300)]
    np.testing.assert_allclose(outputs, np.concatenate(parts, axis=1), rtol=1e-12)
    whole = 0.5 * ((outputs - split.y) ** 2).mean()
    assert mean_losses(network, parameters, split, "half_squared_error", road="numpy")[0] == pytest.approx(whole)


def test_dropout_and_noise_follow_the_documented_stream() -> None:
    """One step against PyTorch's autograd, with masks and noise drawn from the stream's formulas."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    network = NetworkConfig(3, (6, 5), 2, "tanh", "linear", "xavier_normal")
    training = config(
        loss="mse",
        dropout=(0.5, 0.2),
        input_dropout=0.3,
        input_noise=0.4,
        batch_size=4,
        partial_batch="drop",
        order="fixed",
    )
    split, parameters = points(network, range(1), 9), parameters_of(network, range(1))
    state = initial_state(network, training, parameters, np.array([42], dtype=np.uint64))
    advance(state, network, training, split, 1, road="numpy")

    weights = [torch.tensor(W[0], requires_grad=True) for W in parameters.weights]
    biases = [torch.tensor(b[0], requires_grad=True) for b in parameters.biases]
    for start in (0, 4):
        z = normals(stream_keys(state.seeds, 0, INPUT_NOISE), start * 3, 12).reshape(4, 3)
        A = torch.tensor(split.X[0, start : start + 4] + 0.4 * z)
        for layer, (units, rate) in enumerate(((3, 0.3), (6, 0.5), (5, 0.2))):
            u = uniforms(stream_keys(state.seeds, 0, DROPOUT, layer), start * units, 4 * units).reshape(4, units)
            A = A * torch.tensor((u >= np.float32(rate)) / (1 - rate))
            A = A @ weights[layer] + biases[layer]
            A = torch.tanh(A) if layer < 2 else A
        loss = torch.nn.functional.mse_loss(A, torch.tensor(split.y[0, start : start + 4]))
        gradients = torch.autograd.grad(loss, [*weights, *biases])
        with torch.no_grad():
            for parameter, gradient in zip([*weights, *biases], gradients, strict=True):
                parameter -= 0.1 * gradient
    for ours, theirs in zip(state.parameters.weights, weights, strict=True):
        np.testing.assert_allclose(ours[0], theirs.detach().numpy(), rtol=0, atol=1e-14)
    for ours, theirs in zip(state.parameters.biases, biases, strict=True):
        np.testing.assert_allclose(ours[0], theirs.detach().numpy(), rtol=0, atol=1e-14)


LINE = NetworkConfig(2, (), 1, output_activation="linear", initializer="zeros")


def line_step(training: TrainingConfig, X: list[float], y: float, dead: bool = False) -> TrainingState:
    """One update of ``w1 x1 + w2 x2 + b`` from zeros by one example."""
    state = state_of(LINE, training, range(1))
    state.dead[0][0, 0, 0] = dead
    advance(state, LINE, training, Split(np.array([[X]]), np.array([[[y]]])), 1, road="numpy")
    return state


@pytest.mark.parametrize("changes", [{"regularizer": "l1", "regularization_rate": 1e-9}, {"frozen": ("weights[0]",)}])
def test_gradients_of_dead_and_frozen_parameters_do_not_count_in_the_norm(changes: dict[str, Any]) -> None:
    # Example (3, 0) with target -1: gradients 3, 0 and 1; without the first the norm is 1 and nothing is clipped.
    state = line_step(config(batch_size=1, max_grad_norm=2.0, **changes), [3.0, 0.0], -1.0, dead=True)
    assert state.parameters.biases[0][0, 0] == pytest.approx(-0.1, abs=1e-15)
    assert state.parameters.weights[0][0, 0, 0] == 0


def test_max_grad_norm_scales_down_to_the_norm_exactly() -> None:
    state = line_step(config(batch_size=1, max_grad_norm=0.5), [2.0, 2.0], -1.0)  # gradient (2, 2, 1), norm 3
    moved = [*state.parameters.weights[0].ravel(), *state.parameters.biases[0].ravel()]
    assert moved == pytest.approx([-0.1 / 3, -0.1 / 3, -0.05 / 3], abs=1e-15)


def test_a_weight_of_exactly_zero_does_not_die() -> None:
    # The Playground's test is strict: w1 * w2 < 0.
    state = line_step(config(batch_size=1, regularizer="l1", regularization_rate=0.5), [0.0, 1.0], 1.0)
    assert not state.dead[0].any()
    assert state.parameters.weights[0].ravel().tolist() == [0.0, 0.1]
