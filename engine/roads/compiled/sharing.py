"""Groups of replicas with more and fewer training points in one session, where that is the cheaper way.

A group of vectors costs the same however many of its lanes are used, and folds of a table differ by a row or two: five
folds with three replicas each would take two groups or three, each half empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from engine.configuration import TrainingConfig
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.compiled.codes import refuse_unknown
from engine.roads.compiled.prices import group_ns, single_ns
from engine.roads.compiled.rows import epoch_ends
from engine.roads.compiled.session import GroupSession
from engine.roads.compiled.single_session import count_singles
from engine.roads.compiled.vectors import LANES, TRAINING_CHUNK
from engine.splits import Split
from engine.state import TrainingState


def sets_to_share(
    network: NetworkConfig, training: TrainingConfig, sizes: Sequence[tuple[int, int]]
) -> list[tuple[int, ...]]:
    """Return which groups train in one session: their places, each once.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        As accepted by `engine.roads.compiled.session.supports`.
    sizes : sequence of (int, int)
        Replicas and training points of each group.
    """
    batch = training.batch_size
    sets: dict[int, list[int]] = {}
    for i, (_, n) in enumerate(sizes):
        # Equally many updates, or none would share them; numbers drawn for each weight and mini-batch stay apart.
        is_apart = training.partial_batch != "keep" or training.weight_dropout > 0
        sets.setdefault(-1 - i if is_apart else -(-n // batch), []).append(i)
    found: list[tuple[int, ...]] = []
    for places in sets.values():
        own = [sizes[i] for i in places]
        if _shared_ns(network, training, own) < sum(_own_ns(network, training, *size) for size in own):
            found.append(tuple(places))
        else:
            found += [(i,) for i in places]
    return found


def _own_ns(network: NetworkConfig, training: TrainingConfig, n_replicas: int, n: int) -> float:
    """Return what an epoch takes a group by itself."""
    n_singles = count_singles(network, training, n_replicas)
    n_groups = -(-(n_replicas - n_singles) // LANES[training.dtype])
    a_chunk = n_groups * group_ns(network, training) + n_singles * single_ns(network, training)
    return a_chunk * n / min(training.batch_size, TRAINING_CHUNK)


def _shared_ns(network: NetworkConfig, training: TrainingConfig, sizes: Sequence[tuple[int, int]]) -> float:
    """Return what an epoch takes groups together: its end runs once for each number of points, from a saved state."""
    n_groups = -(-sum(n_replicas for n_replicas, _ in sizes) // LANES[training.dtype])
    chunk = min(training.batch_size, TRAINING_CHUNK)
    points = np.array([[n for _, n in sizes]])
    edges: list[int] = epoch_ends(points, training.batch_size, chunk)[0].tolist()
    start, numbers = edges[0], edges[1:]
    chunks = edges[-1] / chunk
    n_weights = sum(a * b for a, b in itertools.pairwise(network.layer_sizes))
    saving = SAVING_NS * n_weights
    ends = sum(max(1.0, (n - start) / chunk) * group_ns(network, training) + saving for n in numbers[:-1])
    return n_groups * (group_ns(network, training) * chunks + ends)


SAVING_NS = 20.0
"""Of a weight with its moments that is saved, updated once more and chosen by lanes, in a group."""


def joined_state(states: Sequence[TrainingState]) -> TrainingState:
    """Return the replicas of several states side by side, which have done equally many epochs and updates."""
    first = states[0]
    return TrainingState(
        parameters=_joined_parameters([state.parameters for state in states]),
        moments=tuple(map(_joined_parameters, zip(*(state.moments for state in states), strict=True))),
        pending=_joined_parameters([state.pending for state in states]),
        n_pending=first.n_pending,
        dead=[np.concatenate(layers) for layers in zip(*(state.dead for state in states), strict=True)],
        epoch=first.epoch,
        n_updates=first.n_updates,
        seeds=np.concatenate([state.seeds for state in states]),
        diverged_at=np.concatenate([state.diverged_at for state in states]),
    )


def joined_session(
    state: TrainingState,
    network: NetworkConfig,
    training: TrainingConfig,
    splits: Sequence[Split],
    evaluate_on: Sequence[Sequence[Split]],
    n_replicas: Sequence[int],
) -> GroupSession:
    """Return groups in training as one session.

    Parameters
    ----------
    state : TrainingState
        Of `joined_state`.
    network, training : NetworkConfig, TrainingConfig
    splits : sequence of Split
        Each group's training points, without weights.
    evaluate_on : sequence of sequence of Split
        What losses are measured on, each split as it is for every group.
    n_replicas : sequence of int
        Of each group.

    Raises
    ------
    ValueError
        If compiled code has no form of the setting.
    """
    refuse_unknown(network, training, "train it on the NumPy road")
    counts = np.repeat([split.X.shape[1] for split in splits], n_replicas)
    points = joined_split(splits, n_replicas)
    others = [joined_split(split, n_replicas) for split in evaluate_on]
    return GroupSession(state, network, training, Split(points.X, points.y), others, counts)


def joined_split(splits: Sequence[Split], n_replicas: Sequence[int]) -> Split:
    """Return the points of groups side by side; where some have fewer, points of weight 0 fill up."""
    numbers = [split.X.shape[1] for split in splits]
    n = max(numbers)
    is_even = min(numbers) == n and all(split.weight is None for split in splits)
    weights = [
        np.ones((1, k)) if split.weight is None else split.weight for split, k in zip(splits, numbers, strict=True)
    ]
    return Split(
        _side_by_side([split.X for split in splits], n_replicas, n),
        _side_by_side([split.y for split in splits], n_replicas, n),
        None if is_even else _side_by_side(weights, n_replicas, n),
    )


def _side_by_side(arrays: Sequence[FloatArray], n_replicas: Sequence[int], n: int) -> FloatArray:
    joined = np.zeros((sum(n_replicas), n, *arrays[0].shape[2:]), dtype=np.result_type(*arrays))
    first = 0
    for array, count in zip(arrays, n_replicas, strict=True):
        joined[first : first + count, : array.shape[1]] = array
        first += count
    return joined


def _joined_parameters(parameters: Sequence[Parameters]) -> Parameters:
    slopes = [one.slopes for one in parameters if one.slopes is not None]
    return Parameters(
        [np.concatenate(layers) for layers in zip(*(one.weights for one in parameters), strict=True)],
        [np.concatenate(layers) for layers in zip(*(one.biases for one in parameters), strict=True)],
        np.concatenate(slopes) if slopes else None,
    )
