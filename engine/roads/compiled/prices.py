"""What training costs on the compiled road, in groups of vectors and alone: what rules choose by, never a result."""

from __future__ import annotations

import itertools

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from engine.roads.compiled.panels import WIDTH
from engine.roads.compiled.vectors import LANES, TRAINING_CHUNK


def most_singles(network: NetworkConfig, training: TrainingConfig) -> int:
    """Return how many networks, one after the other, take no longer than a group of vectors.

    Both prices are those of a chunk of samples in ns on one core of an AMD EPYC (Zen 4), fitted to 1118 shapes from no
    hidden layer to four of 160 units: the quotient is within 30 % of the measured one for 86 in a hundred, and with one
    to fifteen networks of each the choice costs 0.7 % more than the better one would on average.
    """
    group, single = group_ns(network, training), single_ns(network, training)
    return min(max(int(group / single), 1), LANES["float32"] - 1)


def group_ns(network: NetworkConfig, training: TrainingConfig) -> float:
    """Return what a chunk of samples takes a group."""
    sizes, m = network.layer_sizes, min(training.batch_size, TRAINING_CHUNK)
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    # Plain SGD in small batches goes backward in one call a layer (`engine.roads.compiled.plain_descent.descends`).
    is_small = training.batch_size in (1, TRAINING_CHUNK)
    descends = is_small and network.activation in ("relu", "tanh") and not _update_steps(training)
    a_product = 1.66 if m == 1 and not descends else 0.93
    units = 2.1 * sum(sizes[1:-1]) * _steepness(network) + 4.7 * sizes[-1]
    updates = _update_steps(training) * m / training.batch_size
    return (23 if descends else 82) * (len(sizes) - 1) + m * (a_product * products + units) + 2.3 * products * updates


def single_ns(network: NetworkConfig, training: TrainingConfig) -> float:
    """Return what a chunk of samples takes a network alone."""
    sizes, m = network.layer_sizes, min(training.batch_size, TRAINING_CHUNK)
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    rows = sum(a * _up(b) for a, b in itertools.pairwise(sizes[:-1])) + _up(sizes[-2]) * sizes[-1]
    panels = sum(_up(b) for b in sizes[1:-1]) / WIDTH
    a_row = 2.0 if m == 1 else 0.6  # each sum waits for its own last term
    steps = _update_steps(training)
    update = (27 + 0.19 * products * steps) * m / training.batch_size if steps else 0.0
    return 67 + 40 * (len(sizes) - 1) + m * (a_row * rows / WIDTH + 2.0 * panels * _steepness(network)) + update


def _steepness(network: NetworkConfig) -> int:
    return {"relu": 1, "linear": 1, "tanh": 2}.get(network.activation, 3)


def _update_steps(training: TrainingConfig) -> int:
    return {"sgd": 0, "momentum": 1, "nesterov": 1}.get(training.optimizer, 3)


def _up(n: int) -> int:
    return -(-n // WIDTH) * WIDTH
