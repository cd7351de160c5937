"""Looks of the training loop: where they fall, what they show, and that looking changes nothing."""

import copy
from typing import Any

import numpy as np
import pytest
from training_cases import NETWORK, arrays, config, parameters_of, points

from engine.evaluation import mean_losses
from engine.state import TrainingState
from engine.training import Look, TrainResult, initial_state, train


def test_train_looks_where_it_is_told_and_stops_when_told() -> None:
    split = points(NETWORK, range(2))
    seen: list[int] = []

    def on_look(look: Look) -> bool:
        seen.append(look.epoch)
        assert look.state.epoch == look.epoch
        return look.epoch >= 2

    result = train(
        NETWORK,
        config(),
        split,
        parameters_of(NETWORK, range(2)),
        np.arange(2, dtype=np.uint64),
        look_at=(0, 1, 2, 5),
        evaluate_on={"train": split},
        on_look=on_look,
        road="numpy",
    )
    assert seen == [0, 1, 2]
    assert result.epochs == (0, 1, 2)
    assert result.losses["train"].shape == (3, 2)
    assert result.road == "numpy-float64"
    first = mean_losses(NETWORK, parameters_of(NETWORK, range(2)), split, "half_squared_error", road="numpy")
    np.testing.assert_array_equal(result.losses["train"][0], first)


@pytest.mark.parametrize("road", ["numpy", "compiled"])
def test_looking_more_often_changes_nothing(road: Any) -> None:
    split = points(NETWORK, range(2))

    def run(look_at: tuple[int, ...]) -> TrainingState:
        seeds = np.arange(2, dtype=np.uint64)
        training = config(label_noise=0.2, dropout=(0.1,))
        parameters = parameters_of(NETWORK, range(2))
        evaluate_on = {"train": split}
        return train(
            NETWORK, training, split, parameters, seeds, look_at=look_at, evaluate_on=evaluate_on, road=road
        ).state

    for a, b in zip(arrays(run((6,))), arrays(run((0, 1, 3, 4, 6))), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("road", ["numpy", "compiled"])
def test_a_look_shows_the_state_and_losses_of_a_run_that_ends_there(road: Any) -> None:
    split, other = points(NETWORK, range(3)), points(NETWORK, range(3, 6))
    training = config(optimizer="adam", partial_batch="carry", batch_size=7, regularizer="l1", regularization_rate=0.01)
    parameters, seeds = parameters_of(NETWORK, range(3)), np.arange(3, dtype=np.uint64)
    looks = (0, 2, 3, 7)

    def run(look_at: tuple[int, ...], on_look: Any = None) -> TrainResult:
        return train(
            NETWORK,
            training,
            split,
            parameters,
            seeds,
            look_at=look_at,
            evaluate_on={"a": split, "b": other},
            on_look=on_look,
            road=road,
        )

    seen: dict[int, TrainingState] = {}
    unread = run(looks)

    def on_look(look: Look) -> bool:
        np.testing.assert_array_equal(look.diverged_at, [-1, -1, -1])
        for name, points_there in (("a", split), ("b", other)):
            expected = mean_losses(NETWORK, look.state.parameters, points_there, training.loss, road=road)
            np.testing.assert_array_equal(look.losses[name], expected)
        seen[look.epoch] = copy.deepcopy(look.state)
        return False

    read = run(looks, on_look)
    for name in ("a", "b"):
        np.testing.assert_array_equal(read.losses[name], unread.losses[name])
    for epoch in looks:
        expected = run((epoch,)).state
        assert (seen[epoch].epoch, seen[epoch].n_updates) == (epoch, expected.n_updates)
        assert seen[epoch].n_pending == expected.n_pending
        for a, b in zip(arrays(expected), arrays(seen[epoch]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_many_looks_in_few_calls_measure_what_one_call_each_does() -> None:
    split, seeds = points(NETWORK, range(2)), np.arange(2, dtype=np.uint64)
    results = [
        train(
            NETWORK,
            config(),
            split,
            parameters_of(NETWORK, range(2)),
            seeds,
            look_at=(*range(40), 47, 90),
            evaluate_on={"train": split},
            on_look=on_look,
            road="compiled",
        )
        for on_look in (None, lambda look: False)
    ]
    assert results[0].epochs == results[1].epochs == (*range(40), 47, 90)
    np.testing.assert_array_equal(results[0].losses["train"], results[1].losses["train"])


@pytest.mark.parametrize("road", ["numpy", "compiled"])
def test_an_exception_at_a_look_leaves_the_given_state_there(road: Any) -> None:
    split, seeds = points(NETWORK, range(2)), np.arange(2, dtype=np.uint64)
    parameters = parameters_of(NETWORK, range(2))
    state = initial_state(NETWORK, config(), parameters, seeds)

    def on_look(look: Look) -> bool:
        if look.epoch == 3:
            raise KeyboardInterrupt
        return False

    common: dict[str, Any] = {"evaluate_on": {}, "road": road}
    with pytest.raises(KeyboardInterrupt):
        train(NETWORK, config(), split, parameters, seeds, look_at=(1, 3, 5), on_look=on_look, state=state, **common)
    expected = train(NETWORK, config(), split, parameters, seeds, look_at=(3,), **common).state
    assert state.epoch == 3
    for a, b in zip(arrays(expected), arrays(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_train_goes_on_from_a_state() -> None:
    split, seeds, parameters = (
        points(NETWORK, range(2)),
        np.arange(2, dtype=np.uint64),
        parameters_of(NETWORK, range(2)),
    )
    whole = train(NETWORK, config(), split, parameters, seeds, look_at=(6,), evaluate_on={}, road="numpy")
    half = train(NETWORK, config(), split, parameters, seeds, look_at=(3,), evaluate_on={}, road="numpy")
    rest = train(
        NETWORK, config(), split, parameters, seeds, look_at=(6,), evaluate_on={}, state=half.state, road="numpy"
    )
    np.testing.assert_array_equal(whole.state.parameters.weights[0], rest.state.parameters.weights[0])


@pytest.mark.parametrize("looks", [(), (3, 3), (5, 2), (-1, 2)])
def test_epochs_to_look_at_must_increase(looks: tuple[int, ...]) -> None:
    split = points(NETWORK, range(1))
    with pytest.raises(ValueError, match=r"^look_at: .*; give increasing epochs, none below 0$"):
        train(
            NETWORK,
            config(),
            split,
            parameters_of(NETWORK, range(1)),
            np.zeros(1, dtype=np.uint64),
            look_at=looks,
            evaluate_on={},
        )
