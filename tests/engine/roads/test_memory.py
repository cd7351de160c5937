import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.methods.initializers import initialize
from engine.network import NetworkConfig
from engine.roads.memory import (
    available_bytes,
    check_memory,
    check_network,
    count_parameters,
    count_pieces,
    data_bytes,
    kept_bytes,
    training_bytes,
)
from engine.splits import Split
from engine.training import train


def test_counts_each_bias_once() -> None:
    assert count_parameters(NetworkConfig(1, (150, 150), 1)) == 23_101
    assert count_parameters(NetworkConfig(2, (), 1)) == 3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize(("sizes", "batch"), [((300,), 20), ((40, 40), 400)])
def test_estimate_is_close_to_what_training_takes(optimizer: str, sizes: tuple[int, ...], batch: int) -> None:
    network = NetworkConfig(200, sizes, 5, "relu", "linear", "he_normal")
    training = TrainingConfig(loss="mse", optimizer=optimizer, batch_size=batch, learning_rate=1e-3)
    split = Split(np.zeros((1, 400, 200), dtype=np.float32), np.zeros((1, 400, 5), dtype=np.float32))
    seeds = np.zeros(4, dtype=np.uint64)
    tracemalloc.start()
    parameters = initialize(network, [np.random.default_rng(r) for r in range(4)])
    train(network, training, split, parameters, seeds, look_at=(1,), evaluate_on={"train": split}, road="numpy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = training_bytes(network, training, 4, 400) + data_bytes(split, training, 4, "numpy")
    assert 0.6 < estimate / peak < 2.0


def peak(n_layers: int, batch: int, *, trains: bool) -> int:
    network = NetworkConfig(20, (64,) * n_layers, 5, "relu", "linear", "he_normal")
    training = TrainingConfig(loss="mse", batch_size=batch, learning_rate=1e-3, order="fixed")
    split = Split(np.zeros((1, batch, 20), np.float32), np.zeros((1, batch, 5), np.float32))
    first = initialize(network, [np.random.default_rng(0)])
    seeds = np.zeros(1, dtype=np.uint64)
    tracemalloc.start()
    if trains:
        train(network, training, split, first, seeds, look_at=(1,), evaluate_on={}, road="numpy")
    else:
        predict(network, first, split.X)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_training_keeps_three_numbers_a_unit_and_example_and_prediction_none() -> None:
    # Differences between batches: weights, which are the same for both, cancel out.
    grown = [peak(n, 200, trains=True) - peak(n, 100, trains=True) for n in (4, 8)]
    kept = [kept_bytes(NetworkConfig(20, (64,) * n, 5), 100, "float32") for n in (4, 8)]
    assert grown[1] - grown[0] == pytest.approx(kept[1] - kept[0], rel=0.1)
    predicted = [peak(n, 200, trains=False) - peak(n, 100, trains=False) for n in (4, 8)]
    assert abs(predicted[1] - predicted[0]) < 0.01 * (kept[1] - kept[0])


def test_too_large_a_training_is_refused_with_both_figures() -> None:
    network, training = NetworkConfig(784, (256,), 10), TrainingConfig(optimizer="adam", batch_size=256)
    split = Split(np.zeros((1, 256, 784), dtype=np.float32), np.zeros((1, 256, 10), dtype=np.float32))
    with pytest.raises(ValueError, match=r"^memory: 1000 replicas of 784-256-10 with adam need .* GiB, 1.00 GiB are "):
        check_memory(network, training, 1000, split, "numpy", available=2**30)
    check_memory(network, training, 10, split, "numpy", available=2**30)


def test_a_network_that_is_too_large_is_refused_by_its_shape_alone() -> None:
    network, training = NetworkConfig(2, (1000,), 1), TrainingConfig()
    needed = training_bytes(network, training, 4, 100)
    check_network(network, training, 4, 100, available=needed)
    with pytest.raises(ValueError, match=r"^memory: 4 replicas of 2-1000-1 .*; take fewer units, fewer replicas or"):
        check_network(network, training, 4, 100, available=needed - 1)
    with pytest.raises(ValueError, match=r"^memory: 4 replicas of 2-1000-1 .*; take fewer units or a smaller batch$"):
        check_network(network, training, 4, 100, available=needed // 8)


def test_the_machine_is_asked() -> None:
    assert available_bytes() > 2**20


def test_estimate_is_enough_for_pieces_on_as_many_threads_as_there_may_be() -> None:
    network = NetworkConfig(784, (256,), 10, "relu", "linear", "he_normal")
    training = TrainingConfig(loss="softmax_cross_entropy", optimizer="sgd", batch_size=1024)
    split = Split(np.zeros((1, 1024, 784), dtype=np.float32), np.zeros((1, 1024, 1), dtype=np.float32))
    assert count_pieces(network, 1024) == 8
    with threadpool_limits(8):
        tracemalloc.start()
        parameters, seeds = initialize(network, [np.random.default_rng(0)]), np.zeros(1, dtype=np.uint64)
        train(network, training, split, parameters, seeds, look_at=(1,), evaluate_on={"train": split})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    estimate = training_bytes(network, training, 1, 1024) + data_bytes(split, training, 1, "numpy")
    assert 1.0 <= estimate / peak < 2.0
