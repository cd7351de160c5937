"""Groups trained in step give what each gives by itself, whether or not they share vectors."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.configuration import TrainingConfig
from engine.groups import Group, train_groups
from engine.network import NetworkConfig
from engine.roads.compiled.sharing import sets_to_share
from engine.splits import Split
from engine.training import Look, TrainResult, train
from tests.engine.roads.test_choice import with_record
from tests.engine.roads.test_kernels import arrays_of, random_parameters, random_split
from tests.engine.roads.test_single import assert_same

NETWORK = NetworkConfig(3, (6, 4), 2, "tanh", "linear")
KEEP = TrainingConfig(batch_size=8, optimizer="adam", partial_batch="keep", dtype="float32")


def groups_of(network: NetworkConfig, training: TrainingConfig, sizes: Sequence[tuple[int, int]]) -> list[Group]:
    """Return groups (replicas, points) that are measured on their own points, and on others with weights."""
    groups = []
    for i, (n_replicas, n) in enumerate(sizes):
        split = random_split(network, training.loss, n_replicas, n + 10 + i, training.dtype)
        train_split = Split(split.X[:, :n].copy(), split.y[:, :n].copy())
        other = Split(split.X[:, n:].copy(), split.y[:, n:].copy())
        weight = np.random.default_rng(i).integers(0, 2, (n_replicas, 10 + i)).astype(np.float64)
        parameters = random_parameters(network, n_replicas, training.dtype)
        seeds = np.arange(n_replicas, dtype=np.uint64) + np.uint64(100 * i)
        splits = {"train": train_split, "test": other, "in_range": Split(other.X, other.y, weight)}
        groups.append(Group(train_split, parameters, seeds, splits))
    return groups


def assert_equal(found: TrainResult, expected: TrainResult) -> None:
    assert (found.epochs, found.road, list(found.losses)) == (expected.epochs, expected.road, list(expected.losses))
    for name, losses in expected.losses.items():
        assert_same(found.losses[name], losses)
    for a, b in zip(arrays_of(found.state), arrays_of(expected.state), strict=True):
        assert_same(a, b)
    assert (found.state.epoch, found.state.n_updates) == (expected.state.epoch, expected.state.n_updates)
    assert_same(found.state.diverged_at, expected.state.diverged_at)


def assert_same_in_step(
    network: NetworkConfig, training: TrainingConfig, groups: list[Group], road: Any = None
) -> None:
    found = train_groups(network, training, groups, look_at=[0, 1, 4], road=road)
    for group, result in zip(groups, found, strict=True):
        alone = train(
            network, training, group.split, group.parameters, group.seeds, look_at=[0, 1, 4],
            evaluate_on=group.evaluate_on, road=road,
        )  # fmt: skip
        assert_equal(result, alone)


FOLDS = [(9, 91), (3, 90), (3, 89)]


def test_folds_share_vectors_where_their_updates_agree_and_it_pays() -> None:
    assert sets_to_share(NETWORK, KEEP, FOLDS) == [(0, 1, 2)]
    assert sets_to_share(NETWORK, KEEP, [(9, 91), (3, 88), (3, 89)]) == [(0, 2), (1,)]  # 88 points are eleven batches
    carry = TrainingConfig(batch_size=8, partial_batch="carry")
    assert sets_to_share(NETWORK, carry, FOLDS) == [(0,), (1,), (2,)]
    thinned = TrainingConfig(batch_size=8, weight_dropout=0.5)
    assert sets_to_share(NETWORK, thinned, FOLDS) == [(0,), (1,), (2,)]
    assert sets_to_share(NETWORK, KEEP, [(16, 91), (16, 90)]) == [(0,), (1,)]  # whole vectors: nothing to gain
    wide = NetworkConfig(4, (100, 100), 3, "relu", "linear")
    assert sets_to_share(wide, KEEP, FOLDS) == [(0,), (1,), (2,)]  # its units fill vectors


def test_folds_whose_ends_are_long_share_only_where_going_through_each_end_pays() -> None:
    """Of two mini-batches of 100 the second has 1 to 100 points, and runs once for each number: 351 points, not 200."""
    training = TrainingConfig(batch_size=100, dtype="float32")
    unequal = [(3, 101), (3, 125), (3, 150), (3, 175), (3, 200)]
    alike = [(3, 196), (3, 197), (3, 198), (3, 199), (3, 200)]
    network = NetworkConfig(4, (28,), 1, "relu", "linear")
    assert sets_to_share(network, training, unequal) == [(0,), (1,), (2,), (3,), (4,)]
    assert sets_to_share(network, training, alike) == [(0, 1, 2, 3, 4)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order": "shuffled", "dropout": (0.2,), "label_noise": 0.3},
        {"regularizer": "l1", "regularization_rate": 0.05, "optimizer": "sgd"},
        {"partial_batch": "carry", "optimizer": "sgd"},
        {"loss": "softmax_cross_entropy", "dtype": "float64", "batch_size": 30},
    ],
    ids=str,
)
def test_groups_are_the_same_in_step(changes: dict[str, Any]) -> None:
    training = TrainingConfig(**{"batch_size": 8, "optimizer": "adam", "dtype": "float32", **changes})
    for road in (None, "numpy"):
        assert_same_in_step(NETWORK, training, groups_of(NETWORK, training, FOLDS), road)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(30, 34)), min_size=1, max_size=4),
    st.sampled_from([4, 8, 16]),
    st.sampled_from(["sgd", "momentum", "adamw"]),
)
def test_any_groups_are_the_same_in_step(sizes: list[tuple[int, int]], batch_size: int, optimizer: str) -> None:
    training = TrainingConfig(batch_size=batch_size, optimizer=optimizer, dtype="float32", weight_decay=0.01)
    assert_same_in_step(NETWORK, training, groups_of(NETWORK, training, sizes))


def test_a_look_shows_every_group_and_can_end_all() -> None:
    groups = groups_of(NETWORK, KEEP, FOLDS)
    seen: list[tuple[int, list[float]]] = []

    def look(looks: Sequence[Look]) -> bool:
        assert [len(one.losses["test"]) for one in looks] == [len(one.diverged_at) for one in looks] == [9, 3, 3]
        seen.append((looks[0].epoch, [float(one.state.parameters.weights[0][0, 0, 0]) for one in looks]))
        return looks[0].epoch == 2

    found = train_groups(NETWORK, KEEP, groups, look_at=[1, 2, 3], on_look=look)
    assert [epoch for epoch, _ in seen] == [1, 2]
    for i, (group, result) in enumerate(zip(groups, found, strict=True)):
        weights = [at_look[i] for _, at_look in seen]
        alone = train(NETWORK, KEEP, group.split, group.parameters, group.seeds, look_at=[2], evaluate_on={})
        assert result.epochs == (1, 2)
        assert weights[1] == alone.state.parameters.weights[0][0, 0, 0] != weights[0]


def test_splits_are_told_by_name_in_whatever_order_each_group_has_them() -> None:
    groups = groups_of(NETWORK, KEEP, FOLDS)
    first, *others = groups
    turned = [dataclasses.replace(one, evaluate_on=dict(reversed(one.evaluate_on.items()))) for one in others]
    expected = train_groups(NETWORK, KEEP, groups, look_at=[1, 2])
    seen: list[tuple[float, ...]] = []

    def look(looks: Sequence[Look]) -> bool:
        seen.append(tuple(float(looks[1].losses[name][0]) for name in ("train", "test")))
        return False

    found = train_groups(NETWORK, KEEP, [first, *turned], look_at=[1, 2], on_look=look)
    for result, its in zip(found, expected, strict=True):
        assert_equal(result, its)
    assert seen == [tuple(float(expected[1].losses[name][i, 0]) for name in ("train", "test")) for i in range(2)]


def test_groups_that_are_not_measured_alike_are_refused() -> None:
    first, second = groups_of(NETWORK, KEEP, [(2, 20), (3, 21)])
    other = dataclasses.replace(second, evaluate_on={"test": second.evaluate_on["test"]})
    text = "groups[1].evaluate_on: 'test'; give the splits that groups[0] has: 'train', 'test', 'in_range'"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        train_groups(NETWORK, KEEP, [first, other], look_at=[1])
    none = dataclasses.replace(second, evaluate_on={})
    text = "groups[1].evaluate_on: nothing; give the splits that groups[0] has: 'train', 'test', 'in_range'"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        train_groups(NETWORK, KEEP, [first, none], look_at=[1])
    with pytest.raises(ValueError, match=r"^groups: none given; give at least one$"):
        train_groups(NETWORK, KEEP, [], look_at=[1])


def test_a_method_without_a_compiled_form_is_refused_where_vectors_would_be_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_record(monkeypatch, "optimizer", "new", 99)
    training = TrainingConfig(batch_size=8, optimizer="new", partial_batch="keep", dtype="float32")
    groups = groups_of(NETWORK, training, FOLDS)
    assert sets_to_share(NETWORK, training, FOLDS) == [(0, 1, 2)]
    text = "the compiled road has no form of optimizer new; train it on the NumPy road"
    with pytest.raises(ValueError, match=f"^{text}$"):
        train_groups(NETWORK, training, groups, look_at=[1], road="compiled")


def test_a_split_that_does_not_fit_is_refused() -> None:
    groups = groups_of(NETWORK, KEEP, [(2, 20), (3, 21)])
    mixed = [groups[0], dataclasses.replace(groups[1], split=groups[0].split)]
    text = "split.X: points of 2 replicas; the parameters have 3 (a leading axis of 1 is shared by all)"
    with pytest.raises(ValueError, match=re.escape(text) + "$"):
        train_groups(NETWORK, KEEP, mixed, look_at=[1])
