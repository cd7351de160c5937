"""Small networks, points and states of training, a function of their replicas' numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.methods.losses import LOSSES
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.state import TrainingState
from engine.training import advance, initial_state

NETWORK = NetworkConfig(2, (5, 3), 1, initializer="xavier_normal")


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig(**{"dtype": "float64", "learning_rate": 0.1, "batch_size": 4, **changes})


def parameters_of(network: NetworkConfig, replicas: range) -> Parameters:
    return initialize(network, [np.random.default_rng([r, 1]) for r in replicas])


def points(network: NetworkConfig, replicas: range, n: int = 11, loss: str = "half_squared_error") -> Split:
    X, y = [], []
    for r in replicas:
        rng = np.random.default_rng([r, 2])
        X.append(rng.normal(size=(n, network.n_inputs)))
        if LOSSES[loss].targets == "classes":
            y.append(rng.integers(0, network.n_outputs, (n, 1)).astype(float))
        else:
            y.append(rng.uniform(0, 1, (n, network.n_outputs)))
    return Split(np.stack(X), np.stack(y))


def state_of(network: NetworkConfig, training: TrainingConfig, replicas: range) -> TrainingState:
    seeds = np.array(replicas, dtype=np.uint64) + np.uint64(100)
    return initial_state(network, training, parameters_of(network, replicas), seeds)


def arrays(state: TrainingState) -> list[npt.NDArray[Any]]:
    lists = [state.parameters, *state.moments, state.pending]
    slopes = [item.slopes for item in lists if item.slopes is not None]
    return [array for item in lists for array in (*item.weights, *item.biases)] + slopes + list(state.dead)


def ended(network: NetworkConfig, training: TrainingConfig, replicas: range = range(2), n: int = 11) -> TrainingState:
    state = state_of(network, training, replicas)
    advance(state, network, training, points(network, replicas, n, training.loss), 3, road="numpy")
    return state
