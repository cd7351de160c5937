"""Subnormal numbers are zero while float32 is computed, on both roads and in BLAS; float64 keeps them."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses, predict
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.roads.choice import Road
from engine.roads.subnormals import PLACES, subnormals_are_zero
from engine.splits import Split
from engine.training import TrainResult, train

ROOT = Path(__file__).parents[3]
LEAST = np.finfo(np.float32).tiny
ROADS: tuple[Road, Road] = ("compiled", "numpy")
NETWORK = NetworkConfig(2, (8, 5), 1, "tanh", "tanh")


def product(dtype: type = np.float32) -> float:
    """Return a subnormal product of two normal numbers."""
    least = np.full(3, np.finfo(dtype).tiny, dtype)
    return float((least * dtype(0.5))[0])


IS_KNOWN = sys.platform == "win32" or (sys.platform, platform.machine()) in PLACES
pytestmark = pytest.mark.skipif(not IS_KNOWN, reason="this processor's mode is not known to `engine.roads.subnormals`")


def trained(road: Road, n_epochs: int, X: Any = None, network: NetworkConfig = NETWORK, **settings: Any) -> TrainResult:
    """Train three replicas for 0 everywhere, so that nothing holds up what decays."""
    points = np.random.default_rng(4).uniform(-1, 1, (3, 30, 2)) if X is None else X
    split = Split(points, np.zeros((3, 30, 1)))
    weights = initialize(network, [np.random.default_rng(i) for i in range(3)])
    training = TrainingConfig(**({"batch_size": 10, "learning_rate": 0.1} | settings))
    looks = {"train": split}
    return train(network, training, split, weights, np.arange(3), look_at=[n_epochs], evaluate_on=looks, road=road)


def n_subnormal(*groups: Parameters) -> int:
    """Return how many numbers are neither 0 nor normal."""
    arrays = [array for group in groups for array in (*group.weights, *group.biases)]
    return sum(int(((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)).sum()) for array in arrays)


def test_numpys_limits_are_found_before_the_mode_is_set() -> None:
    """NumPy finds those of its masked arrays when they are imported, which Numba does at its first call."""
    program = "import sys, engine.roads.subnormals; print('numpy.ma' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_the_mode_holds_inside_and_is_given_back() -> None:
    before = product()
    with subnormals_are_zero("float32"):
        assert product() == 0
        with subnormals_are_zero("float32"):
            assert product() == 0
        assert product() == 0
    with pytest.raises(KeyError), subnormals_are_zero("float32"):
        raise KeyError("inside")
    assert before == product() == float(LEAST / 2) > 0


def test_operands_count_as_zero() -> None:
    with subnormals_are_zero("float32"):
        assert (np.full(40, 1e-40, np.float32) * np.float32(1e20)).max() == 0
    assert (np.full(40, 1e-40, np.float32) * np.float32(1e20)).min() > 0


def test_float64_is_left_alone() -> None:
    with subnormals_are_zero("float64"):
        assert product(np.float64) > 0


def test_the_mode_is_this_threads_alone() -> None:
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with subnormals_are_zero("float32"):
            entered.set()
            assert leave.wait(10)
            seen.append(product())

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    assert product() > 0
    leave.set()
    thread.join()
    assert seen == [0.0]


def test_blas_works_in_it() -> None:
    a = np.full((70, 80), 1e-20, np.float32)
    with subnormals_are_zero("float32"):
        assert (a @ a.T).max() == 0
    assert (a @ a.T).min() > 0


DYING: tuple[dict[str, Any], ...] = (
    {"regularizer": "l2", "regularization_rate": 2.0},
    {"optimizer": "momentum", "regularizer": "l2", "regularization_rate": 2.0},
    {"optimizer": "nesterov", "weight_decay": 2.0},
    {"optimizer": "adam", "weight_decay": 2.0},
    {"optimizer": "rmsprop", "weight_decay": 2.0, "rho": 0.5},
)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("settings", DYING)
def test_a_dead_network_keeps_no_subnormal_number(road: Road, settings: dict[str, Any]) -> None:
    state = trained(road, 200, **settings).state
    assert n_subnormal(state.parameters, *state.moments) == 0


@pytest.mark.parametrize("settings", DYING[:2])
def test_both_roads_let_weights_die_alike(settings: dict[str, Any]) -> None:
    one, other = (trained(road, 600, **settings) for road in ROADS)
    for parameters in (one.state.parameters, other.state.parameters):
        assert n_subnormal(parameters) == 0
        # NumPy rounds the step before it subtracts it: nothing is left of it already at some 10 times the least number.
        assert all(np.abs(W).max() < 20 * LEAST for W in parameters.weights)
    np.testing.assert_allclose(one.losses["train"], other.losses["train"], rtol=0, atol=1e-30)


@pytest.mark.parametrize("road", ROADS)
def test_in_float64_weights_still_become_subnormal(road: Road) -> None:
    decayed = {"regularizer": "l2", "regularization_rate": 6.0, "dtype": "float64"}
    counts = [n_subnormal(trained(road, epochs, **decayed).state.parameters) for epochs in (540, 550, 560, 570)]
    assert max(counts) > 0


@pytest.mark.parametrize("road", ROADS)
def test_l1_kills_however_small_the_weight(road: Road) -> None:
    # W times the pulled weight is 1e-33 * 1e-6, no float32: the signs are compared.
    network = NetworkConfig(1, (), 1, "tanh", "linear")
    split = Split(np.zeros((1, 4, 1)), np.zeros((1, 4, 1)))
    first = Parameters([np.full((1, 1, 1), 1e-33, np.float32)], [np.zeros((1, 1), np.float32)])
    training = TrainingConfig(batch_size=4, learning_rate=0.01, regularizer="l1", regularization_rate=1e-4)
    done = train(network, training, split, first, np.arange(1), look_at=[3], evaluate_on={"train": split}, road=road)
    assert done.state.parameters.weights[0].item() == 0
    assert done.state.dead[0].all()


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-40, 1e-38])
def test_inputs_too_small_to_count_are_zeros(road: Road, size: float) -> None:
    X = np.full((3, 30, 2), size)
    got, zeros = trained(road, 5, X), trained(road, 5, np.zeros_like(X))
    np.testing.assert_array_equal(got.losses["train"], zeros.losses["train"])
    parameters = got.state.parameters
    np.testing.assert_array_equal(predict(NETWORK, parameters, X), predict(NETWORK, parameters, np.zeros_like(X)))
    measured = mean_losses(NETWORK, parameters, Split(X, np.ones((3, 30, 1))), "mse", road=road)
    nothing = mean_losses(NETWORK, parameters, Split(0 * X, np.ones((3, 30, 1))), "mse", road=road)
    np.testing.assert_array_equal(measured, nothing)


@pytest.mark.parametrize("road", ROADS)
def test_huge_inputs_and_rates_end_as_a_result(road: Road) -> None:
    network = NetworkConfig(2, (8, 5), 1, "relu", "linear")
    huge = trained(road, 5, np.full((3, 30, 2), 1e38), network)
    assert (huge.state.diverged_at == 1).all()
    at_once = trained(road, 5, None, network, learning_rate=1e30)
    assert (at_once.state.diverged_at == 1).all()
    assert product() > 0
