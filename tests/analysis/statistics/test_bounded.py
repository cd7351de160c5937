"""Intervals of bounded losses: against exact laws, and on planted stuck replicas."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import record_builders as build
from scipy import stats

from analysis.records.study import TrialRecord
from analysis.statistics.bounded import (
    bounded_ends,
    bounded_interval,
    certificate_bound,
    draws_needed,
    excess_interval,
    floor_interval,
    loss_bound,
    lower_tail,
    weighted_upper,
)
from analysis.statistics.intervals import hall_bound, upper_bound

LOSSES = [0.08, 0.09, 0.075, 0.11, 0.07, 0.31, 0.082, 0.094]
FloatArray = npt.NDArray[np.float64]


def stuck(rng: np.random.Generator, shape: tuple[int, int], share: float, factor: float) -> tuple[FloatArray, float]:
    """Return losses of mean 1 of which a share is at `factor` instead, and their true mean."""
    body = np.minimum(np.exp(rng.normal(-0.5 * 0.33**2, 0.33, shape)), factor)
    return np.where(rng.random(shape) < share, factor, body), 1 - share + share * factor


@pytest.mark.parametrize("n", [2, 8, 64, 1000])
@pytest.mark.parametrize("weight", [0.35, 0.68, 1.0])
def test_equal_values_have_the_beta_laws_quantile(n: int, weight: float) -> None:
    found = weighted_upper(np.full((1, n), 1.0), 0.975, 5.0, weight)[0]
    tail = stats.beta.sf((found - 1.0) / 4.0, weight, n)
    assert tail == pytest.approx(0.025, rel=0.13)


@pytest.mark.parametrize(("bound", "probability"), [(0.4, 0.95), (2.0, 0.975), (2.0, 0.9833)])
def test_the_bound_is_the_quantile_of_means_with_random_weights(bound: float, probability: float) -> None:
    rng = np.random.default_rng(0)
    weights = np.concatenate([rng.gamma(1.0, size=(400_000, 8)), rng.gamma(0.68, size=(400_000, 1))], axis=1)
    means = (weights @ np.array([*LOSSES, bound])) / weights.sum(axis=1)
    found = weighted_upper(np.array([LOSSES]), probability, bound, 0.68)[0]
    assert (means > found).mean() == pytest.approx(1 - probability, rel=0.09)


def test_a_sample_has_the_same_bits_whatever_is_asked_with_it() -> None:
    samples = np.random.default_rng(0).lognormal(0.0, 1.0, (300, 16))
    samples[7], samples[8] = 1.0, 30.0
    together = weighted_upper(samples, 0.975, 30.0, 0.5)
    assert together.tolist() == [float(weighted_upper(row[None], 0.975, 30.0, 0.5)[0]) for row in samples]
    assert together[8] == 30.0


@pytest.mark.parametrize(("n", "n_simulations"), [(8, 4000), (16, 4000), (64, 3000), (256, 800)])
def test_the_interval_holds_where_most_samples_miss_the_stuck_replicas(n: int, n_simulations: int) -> None:
    rng = np.random.default_rng(n)
    for count in (1.0, 2.6, 3.5):
        if count / n > 0.35:
            continue
        samples, truth = stuck(rng, (n_simulations, n), count / n, 25.0)
        low, high = bounded_ends(samples, 25.0)
        covered = ((low <= truth) & (truth <= high)).mean()
        assert covered >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / n_simulations)
        if count == 1.0:  # the fault it is there to mend
            assert ((hall_bound(samples, 0.025) <= truth) & (truth <= hall_bound(samples, 0.975))).mean() < 0.75


def test_the_interval_is_wide_only_by_what_the_sample_cannot_exclude() -> None:
    samples, _ = stuck(np.random.default_rng(1), (2000, 64), 0.0, 5.0)
    low, high = bounded_ends(samples, 5.0)
    student = 2 * stats.t.ppf(0.975, 63) * samples.std(axis=1, ddof=1).mean() / 8
    assert 1.0 < (high - low).mean() / student < 1.3


def test_what_is_saved_at_the_lower_end_of_a_skewed_sample_keeps_both_ends_at_their_error() -> None:
    rng = np.random.default_rng(4)
    for count in (2.0, 2.3, 2.6):
        samples, truth = stuck(rng, (4000, 64), count / 64, 5.0)
        low, high = bounded_ends(samples, 5.0)
        assert ((low <= truth) & (truth <= high)).mean() >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / 4000)
        assert (low > truth).mean() < 0.012
    even = np.tile([0.9, 1.1], (1, 32))
    assert lower_tail(even, 0.025)[0] == 0.025
    assert lower_tail(np.append(even, [[5.0]], axis=1), 0.025)[0] == pytest.approx(0.0075)


def test_both_ends_are_found_in_one_way() -> None:
    samples = np.random.default_rng(5).lognormal(0.0, 0.3, (50, 16))
    low, high = bounded_ends(samples, 5.0, 0.9, -3.0)
    mirrored = bounded_ends(-samples, 3.0, 0.9, -5.0)
    assert (-mirrored[1], -mirrored[0]) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
def test_a_false_certificate_is_as_rare_as_its_level_where_cautious_halls_is_not(level: float) -> None:
    rng = np.random.default_rng(2)
    for share in (0.0025, 0.004, 0.01):
        samples, truth = stuck(rng, (1200, 1000), share, 25.0)
        wrong = (weighted_upper(samples, 1 - level, 25.0, 1.0) < truth).mean()
        assert wrong <= level + 3 * math.sqrt(level / 1200)
    samples, truth = stuck(rng, (400, 1000), 0.0025, 25.0)
    assert np.mean([upper_bound(row, 1 - level) < truth for row in samples]) > level + 0.02


def test_the_certificates_bound_is_gaffkes() -> None:
    assert certificate_bound(LOSSES, 2.0, 0.95) == weighted_upper(np.array([LOSSES]), 0.95, 2.0, 1.0)[0]
    assert certificate_bound([0.1] * 1000, 2.0, 0.95) == pytest.approx(0.1 + 1.9 * (1 - 0.05**0.001), rel=2e-3)


def test_fewer_draws_than_needed_cannot_certify_even_equal_losses() -> None:
    n = draws_needed(0.08, 0.1, 2.0, 0.05)
    assert n == 287
    assert certificate_bound([0.08] * (n - 3), 2.0, 0.95) > 0.1 > certificate_bound([0.08] * (n + 3), 2.0, 0.95)
    assert draws_needed(0.11, 0.1, 2.0, 0.05) is None


@pytest.mark.parametrize("values", [[], [0.05], [0.05, math.inf], [None, 0.05], [0.05, 2.1], [math.nan, 0.05]])
def test_nothing_is_certified_on_fewer_than_two_values_or_one_above_the_bound(values: list[float | None]) -> None:
    assert certificate_bound(values, 2.0, 0.95) == math.inf


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None], "no value was measured"),
        ([0.1], "one value has no spread; an interval takes at least 2"),
        ([0.1, 2.5], "a value is outside of 0 to 2"),
        ([0.1, math.inf], "a value is outside of 0 to 2"),
        ([0.1, -0.1], "a value is outside of 0 to 2"),
    ],
)
def test_a_missing_interval_says_why(values: list[float | None], reason: str) -> None:
    interval = bounded_interval(values, 2.0)
    assert (interval.low, interval.high, interval.reason) == (None, None, reason)


def test_a_level_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"^level: 95; give a number between 0 and 1, such as 0.95$"):
        bounded_interval(LOSSES, 2.0, 95)


def test_the_ends_lie_between_what_there_can_be() -> None:
    interval = bounded_interval(LOSSES, 2.0)
    assert interval.estimate == pytest.approx(np.mean(LOSSES))
    assert 0.0 < interval.low < np.mean(LOSSES) < interval.high < 2.0
    assert interval.high < bounded_interval(LOSSES, 5.0).high
    assert (interval.n, interval.method) == (8, "imagined draw at 2, 95 %")
    assert bounded_interval([2.0, 2.0], 2.0).high == 2.0


def planted_floors(rng: np.random.Generator, shape: tuple[int, int], share: float) -> tuple[FloatArray, FloatArray]:
    """Return losses and floors as on XOR: floors 0.072 +- 0.022, excess 0.010 +- 0.008, a share stuck at 0.5."""
    floors = np.clip(rng.normal(0.072, 0.022, shape), 0.0, 0.144)  # clipped alike on both sides: the mean stays
    losses = np.maximum(floors + rng.normal(0.010, 0.008, shape), 0.0)
    return np.where(rng.random(shape) < share, 0.5, losses), floors


def test_an_exact_floor_makes_the_variance_at_least_four_times_lower() -> None:
    losses, floors = planted_floors(np.random.default_rng(3), (2000, 64), 0.0)
    better = 0.072 + (losses - floors).mean(axis=1)
    assert losses.mean(axis=1).var() > 4 * better.var()
    one = floor_interval(losses[0], floors[0], 0.072, 2.0)
    assert one.estimate == pytest.approx(better[0])
    assert one.low < 0.082 < one.high
    # Of many draws, whose bounds stand out less, the lower end is nearer as well.
    many, their_floors = planted_floors(np.random.default_rng(4), (1, 1000), 0.0)
    plain, by_floor = bounded_interval(many[0], 2.0), floor_interval(many[0], their_floors[0], 0.072, 2.0)
    assert by_floor.estimate - by_floor.low < 0.7 * (plain.estimate - plain.low)


@pytest.mark.parametrize(("n", "share"), [(16, 0.05), (64, 0.05), (64, 0.0)])
def test_floor_and_excess_hold_the_mean_with_stuck_replicas(n: int, share: float) -> None:
    losses, floors = planted_floors(np.random.default_rng(n), (400, n), share)
    truth = (1 - share) * 0.082 + share * 0.5
    found = [floor_interval(a, b, 0.072, 0.5) for a, b in zip(losses, floors, strict=True)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert covered >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / 400)


def test_an_excess_pairs_what_was_measured() -> None:
    interval = excess_interval([0.1, None, 0.3, 0.2], [0.08, 0.1, None, 0.15], 2.0)
    assert (interval.n, interval.estimate) == (2, pytest.approx(0.035))
    assert interval.method == "paired with floors, imagined draw at 2, 95 %"
    with pytest.raises(ValueError, match=r"^floors: 1 values against 2; pairs need one of each$"):
        excess_interval([0.1, 0.2], [0.1], 2.0)


def recorded() -> TrialRecord:
    """Return a record with a cap of ten times the constant predictor's loss."""
    record = build.record(np.random.default_rng(0), diverged_cap=5.0)
    return dataclasses.replace(record, network=record.network | {"output_activation": "tanh"})


def test_a_network_that_stays_within_the_labels_has_losses_of_at_most_2() -> None:
    header, record = build.header(data={"kind": "playground"}), recorded()
    assert record.diverged_cap > 2.0
    assert loss_bound(header, record) == 2.0


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"output_activation": "linear"}},
        {"training": {"loss": "mse"}},
        {"diverged_at": [None, 3]},
        {"test_loss": [0.1, 2.5]},
    ],
    ids=str,
)
def test_any_other_loss_is_bounded_by_the_cap_it_was_recorded_with(changes: dict[str, Any]) -> None:
    record = recorded()
    changed = {
        key: getattr(record, key) | value if isinstance(value, dict) else value for key, value in changes.items()
    }
    record = dataclasses.replace(record, **changed)
    assert loss_bound(build.header(data={"kind": "playground"}), record) == record.diverged_cap


def test_a_regressions_labels_are_not_known_to_stay_within_1() -> None:
    record = recorded()
    assert loss_bound(build.header(dataset="reg-plane", data={"kind": "playground"}), record) == record.diverged_cap
    other = dataclasses.replace(build.header(), data={"kind": "table"})
    assert loss_bound(other, record) == record.diverged_cap
