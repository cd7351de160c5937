"""What an ablation says of a winner's changes, on planted truth."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import record_builders as build
from scipy import stats

from analysis.records.events import LookLine, Scalar
from analysis.records.study import Study, TrialRecord
from analysis.statistics.ablation import LEVEL, Ablation, ablation, largest_of_rest, mcnemar_p_value

N_DRAWS = 32
FLOAT = npt.NDArray[np.float64]
BASE: dict[str, Scalar] = {"network.activation": "tanh", "training.learning_rate": 0.03}


def ablated(losses: Mapping[str, tuple[FLOAT, FLOAT]], base: tuple[FLOAT, FLOAT], goal: float = 0.1) -> Study:
    """Return a study whose winner and changes of an activation had these losses in range and out of range."""
    study = Study(build.header(goal=goal))
    plain = build.record(np.random.default_rng(0), n_replicas=len(base[0]), stage="ablation", params=BASE)
    rows: list[tuple[Scalar, tuple[FLOAT, FLOAT]]] = [("tanh", base), *losses.items()]
    for number, (value, (inside, outside)) in enumerate(rows):
        study.records["ablation"].append(
            dataclasses.replace(
                plain,
                number=number,
                params=BASE | {"network.activation": value},
                changed="network.activation" if number else None,
                train_loss=inside.tolist(),
                test_loss=inside.tolist(),
                in_range_loss=inside.tolist(),
                out_of_range_loss=outside.tolist(),
            )
        )
    study.looks.append(LookLine(1, "ablation", "q", 5, 0, len(rows), len(base[0]), 0.0))
    return study


def winner(study: Study) -> TrialRecord:
    return study.records["ablation"][0]


def found_of(study: Study) -> Ablation:
    found = ablation(study, winner(study))
    assert found is not None
    return found


def draws_of(rng: np.random.Generator, n: int = N_DRAWS) -> FLOAT:
    """Return how hard each draw is, which all settings share."""
    return np.asarray(0.08 * np.exp(0.3 * rng.normal(size=n)))


def losses_of(hard: FLOAT, shift: float, rng: np.random.Generator) -> FLOAT:
    """Return losses of a setting: the draw's, the setting's own shift, long-tailed noise, one draw in twenty stuck."""
    n = len(hard)
    noise = 0.01 * rng.standard_t(2, size=n)
    return np.asarray(np.where(rng.random(n) < 0.05, 0.5, hard + noise)) + shift


def simulated(rng: np.random.Generator, effect: float, n_null: int = 20) -> Study:
    """Return an ablation in which one change matters, in range and (the other way) out of range, and the others not."""
    inside, outside = draws_of(rng), draws_of(rng)
    changes = {"matters": (losses_of(inside, effect, rng), losses_of(outside, -effect, rng))}
    for i in range(n_null):
        changes[f"null{i}"] = (losses_of(inside, 0.0, rng), losses_of(outside, 0.0, rng))
    return ablated(changes, (losses_of(inside, 0.0, rng), losses_of(outside, 0.0, rng)))


def is_wrong(found: Ablation, effect: float) -> bool:
    """Return whether anything that is said of the changes is not so."""
    truth = {"matters": effect}
    for one in found.changes:
        shift = truth.get(str(one.after), 0.0)
        sides = ((one.in_range, shift, one.in_range_sign), (one.out_of_range, -shift, one.out_of_range_sign))
        for interval, true, sign in sides:
            assert interval.low is not None
            assert interval.high is not None
            if not interval.low <= true <= interval.high or sign not in (0, np.sign(true)):
                return True
        if one.pass_sign and not (shift > 0 and one.pass_sign > 0):
            return True
    most = largest_of_rest(found)
    return most is not None and any(abs(truth.get(str(one.after), 0.0)) > most for one in found.rest)


def test_where_one_hyperparameter_matters_at_most_one_ablation_in_twenty_says_anything_wrong() -> None:
    n, wrong, told = 300, 0, 0
    for seed in range(n):
        effect = (0.03, 0.005)[seed % 2]
        found = found_of(simulated(np.random.default_rng(seed), effect))
        wrong += is_wrong(found, effect)
        told += seed % 2 == 0 and found.told[:1] == [found.changes[0]]
    assert stats.binomtest(wrong, n, LEVEL, alternative="greater").pvalue > 0.01, wrong
    assert wrong <= LEVEL * n
    assert told > 0.6 * n / 2  # it is no use to say nothing


def test_a_level_that_is_not_shared_is_wrong_far_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.statistics.ablation.LEVEL", 0.05 * 3 * 21)
    wrong = sum(is_wrong(found_of(simulated(np.random.default_rng(seed), 0.02)), 0.02) for seed in range(40))
    assert wrong > 20


def test_differences_are_paired_and_tell_which_way() -> None:
    rng = np.random.default_rng(2)
    hard = np.exp(rng.normal(size=N_DRAWS))
    noise = 0.001 * rng.normal(size=N_DRAWS)
    found = found_of(ablated({"relu": (hard + 0.05 + noise, hard - 0.02 + noise)}, (hard, hard)))
    (relu,) = found.changes
    assert (relu.param, relu.before, relu.after, relu.along) == ("network.activation", "tanh", "relu", ())
    assert (relu.in_range_sign, relu.out_of_range_sign) == (1, -1)
    assert relu.in_range.estimate == pytest.approx(0.05, abs=0.001)
    assert relu.out_of_range.estimate == pytest.approx(-0.02, abs=0.001)
    assert relu.level == pytest.approx(0.05 / 3)


def test_draws_that_get_stuck_show_in_the_draws_that_pass_and_not_in_the_median() -> None:
    fine = np.full(N_DRAWS, 0.05)
    stuck = np.where(np.arange(N_DRAWS) < 12, 0.5, fine)
    (change,) = found_of(ablated({"relu": (stuck, fine)}, (fine, fine))).changes
    assert change.in_range_sign == 0
    assert change.pass_sign == 1
    assert change.matters
    assert change.passes is not None
    assert (change.passes.before, change.passes.after, change.passes.n) == (32, 20, 32)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 5), (12, 1), (0, 9), (30, 12)])
def test_pass_rates_are_compared_by_mcnemars_exact_test(lost: int, gained: int) -> None:
    n = lost + gained
    expected = 1.0 if n == 0 else stats.binomtest(lost, n, 0.5).pvalue
    assert mcnemar_p_value(lost, gained) == pytest.approx(expected)


def test_an_ablation_belongs_to_the_winner_that_it_changed_and_counts_only_whole() -> None:
    rng = np.random.default_rng(3)
    study = simulated(rng, 0.02, 2)
    base = winner(study)
    assert ablation(study, dataclasses.replace(base, stage="certificate", number=7)) is not None
    assert ablation(study, dataclasses.replace(base, training=base.training | {"learning_rate": 0.5})) is None
    assert ablation(study, dataclasses.replace(base, epochs=base.epochs + 1)) is None
    assert ablation(study, None) is None
    study.records["ablation"].pop()
    assert ablation(study, base) is None


def test_widths_are_told_together_and_what_comes_along_is_told_apart() -> None:
    rng = np.random.default_rng(4)
    study = simulated(rng, 0.0, 1)
    base, one, other = study.records["ablation"]
    depth: dict[str, Scalar] = {"network.n_hidden_layers": 2}
    study.records["ablation"] = [
        dataclasses.replace(base, params=depth | {"training.optimizer": "adam", "training.learning_rate": 0.01}),
        dataclasses.replace(
            one,
            params={"network.n_hidden_layers": 1, "training.optimizer": "adam", "training.learning_rate": 0.01},
            network=one.network | {"hidden_layer_sizes": [4]},
            changed="network.n_hidden_layers",
        ),
        dataclasses.replace(
            other,
            params=depth | {"training.optimizer": "sgd", "training.learning_rate": 0.05},
            changed="training.optimizer",
        ),
    ]
    shallow, sgd = found_of(study).changes
    sizes = ", ".join(map(str, base.network["hidden_layer_sizes"]))
    assert (shallow.param, shallow.before, shallow.after) == ("network.hidden_layer_sizes", sizes, "4")
    assert shallow.along == ()
    assert (sgd.param, sgd.after) == ("training.optimizer", "sgd")
    assert sgd.along == (("training.learning_rate", 0.01, 0.05),)


def test_a_change_that_failed_says_so_and_the_others_are_told() -> None:
    rng = np.random.default_rng(5)
    study = simulated(rng, 0.05, 1)
    study.records["ablation"][2] = dataclasses.replace(
        build.failed(rng), stage="ablation", number=2, changed="network.activation", params=BASE
    )
    mattering, failed = found_of(study).changes
    assert failed.reason == "not measured: no memory"
    assert not failed.matters
    assert mattering.matters
    assert largest_of_rest(found_of(study)) is None


def test_few_points_out_of_range_are_not_compared() -> None:
    study = simulated(np.random.default_rng(6), 0.05, 1)
    n = [0] * (N_DRAWS - 3) + [1, 1, 1]
    study.records["ablation"] = [dataclasses.replace(one, n_out_of_range=n) for one in study.records["ablation"]]
    change = found_of(study).changes[0]
    assert change.out_of_range.reason == "not shown: 3 points out of range"
    assert list(itertools.compress("ab", (change.in_range_sign, change.out_of_range_sign))) == ["a"]
