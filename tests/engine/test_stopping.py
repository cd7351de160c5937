from typing import Any

import numpy as np
import pytest

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.state import TrainingState
from engine.stopping import Patience, Plateau, ReachedTarget
from engine.training import Look, initial_state

NETWORK = NetworkConfig(1, (), 1)


def fresh(n_replicas: int) -> TrainingState:
    parameters = Parameters([np.zeros((n_replicas, 1, 1))], [np.zeros((n_replicas, 1))])
    training = TrainingConfig(dtype="float64")
    return initial_state(NETWORK, training, parameters, np.zeros(n_replicas, dtype=np.uint64))


def follow(rule: Any, losses: list[list[float]], split: str, diverged: tuple[int, ...] = ()) -> int:
    """Show losses[epoch][replica] to the rule; the weight of each replica is the epoch. Return where it stopped."""
    state = fresh(len(losses[0]))
    state.diverged_at[list(diverged)] = 1
    for epoch, row in enumerate(losses):
        state.parameters.weights[0][...] = epoch
        if rule(Look(epoch, {split: np.array(row)}, state.diverged_at, lambda: state)):
            return epoch
    return len(losses)


def test_patience_keeps_each_replicas_own_best() -> None:
    rule = Patience("validation", patience=2)
    table = [[3, 3], [2, 4], [1, 5], [2, 1], [2, 0.5], [0.1, 0.4]]
    # Replica 0: best 1 at epoch 2, ends at 4; its 0.1 comes too late. Replica 1: ends at epoch 2, best 3 at epoch 0.
    assert follow(rule, table, "validation") == 4
    assert rule.best_losses.tolist() == [1, 3]
    assert rule.best_epochs.tolist() == [2, 0]
    assert rule.best_parameters.weights[0].ravel().tolist() == [2, 0]


def test_patience_wants_more_than_min_delta() -> None:
    assert follow(Patience(patience=2, min_delta=0.5), [[3.0], [2.8], [2.6], [2.0]], "validation") == 2


def test_patience_takes_an_equal_loss_for_no_improvement() -> None:
    rule = Patience(patience=2)
    assert follow(rule, [[1.0], [1.0], [1.0], [0.5]], "validation") == 2
    assert rule.best_epochs.tolist() == [0]


def test_patience_takes_nan_for_no_improvement_and_does_not_wait_for_the_diverged() -> None:
    assert follow(Patience(patience=2), [[1.0, 1.0], [np.nan, 0.5], [np.inf, 0.6], [0.2, 0.7]], "validation") == 3
    assert follow(Patience(patience=2), [[1.0, 1.0], [2.0, np.nan], [3.0, np.nan]], "validation", diverged=(1,)) == 2


def test_plateau_ends_where_the_loss_stands_still() -> None:
    rule = Plateau(epsilon=0.01)
    assert follow(rule, [[3, 1], [2, 0.995], [1.995, 0.5], [1, 0]], "train") == 2
    assert rule.ended_at.tolist() == [2, 1]
    assert rule.parameters.weights[0].ravel().tolist() == [2, 1]


def test_plateau_that_moves_further_is_not_ended() -> None:
    rule = Plateau(epsilon=0.01)
    assert follow(rule, [[3.0], [2.0], [1.0]], "train") == 3
    assert rule.ended_at.tolist() == [-1]


def test_target_ends_below_the_goal_on_all_splits() -> None:
    rule = ReachedTarget(0.1, ("train", "test"))
    state = fresh(2)
    shown = [([0.05, 0.2], [0.2, 0.2]), ([0.05, 0.09], [0.1, 0.05]), ([0.05, 0.3], [0.09, 0.3])]
    stops = [
        rule(Look(epoch, {"train": np.array(train), "test": np.array(test)}, state.diverged_at, lambda: state))
        for epoch, (train, test) in enumerate(shown)
    ]
    assert stops == [False, False, True]
    assert rule.ended_at.tolist() == [2, 1]


def test_unknown_split_is_refused_with_the_nearest() -> None:
    look = Look(0, {"validation": np.zeros(1)}, fresh(1).diverged_at, lambda: fresh(1))
    with pytest.raises(ValueError, match=r"^split: unknown 'valid'; did you mean 'validation'\?$"):
        Patience("valid")(look)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^patience: 0; give a whole number, at least 1$"):
        Patience(patience=0)
    with pytest.raises(ValueError, match=r"^epsilon: -1; give a finite number from 0$"):
        Plateau(epsilon=-1)
    with pytest.raises(ValueError, match="nothing kept yet"):
        _ = Patience().best_parameters
