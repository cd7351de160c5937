"""Verdicts on planted truth: studies in which a claim is true, false, or true under some conditions only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from analysis.course.cells import pooled
from analysis.statistics.verdicts import Claim, Judgment, Sample, judge, median_interval, share_interval

N_STUDIES, N_REPLICAS, N_CONDITIONS = 400, 32, 4
MOST_WRONG = 0.05 + 1.645 * math.sqrt(0.05 * 0.95 / N_STUDIES)
"""At most 5 % wrong verdicts; 400 studies measure that share with a standard error of 1.1 %."""

FloatArray = npt.NDArray[np.float64]


def shares(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Replicas that pass with the probability of each condition, (conditions, replicas)."""
    return (rng.random((len(truth), N_REPLICAS)) < truth[:, None]).astype(np.float64)


def medians(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Skewed differences with the median of each condition; one replica in ten is stuck far off, or diverged."""
    values = rng.exponential(1.0, (len(truth), N_REPLICAS)) - math.log(2.0) + truth[:, None]
    stuck = rng.random(values.shape) < 0.05
    values[stuck & (rng.random(values.shape) < 0.5)] = np.inf
    return values


def correlated(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Pairs of a normal law with the correlation of each condition, (conditions, replicas, 2)."""
    x, e = rng.normal(size=(2, len(truth), N_REPLICAS))
    return np.stack([x, truth[:, None] * x + np.sqrt(1 - truth[:, None] ** 2) * e], axis=-1)


def study(kind: str, values: FloatArray, test: Any, even: float, margin: float = 0.0) -> Judgment:
    if kind == "rank correlation":
        samples = [Sample(f"c{i}", kind, one[:, 0], one[:, 1]) for i, one in enumerate(values)]  # type: ignore[arg-type]
        return judge(Claim("1", "planted", "", test, even, (samples[0],), None, margin))
    samples = [Sample(f"c{i}", kind, one) for i, one in enumerate(values)]  # type: ignore[arg-type]
    over_all = pooled(samples) if len(samples) > 1 else None
    return judge(Claim("1", "planted", "", test, even, tuple(samples), over_all, margin))


def is_wrong(judgment: Judgment, true: list[bool], over_all: bool | None, denied: bool | None = None) -> bool:
    """Whether a verdict says what the planted truth denies; `denied`: whether not-holding is true over all."""
    denied = (not over_all) if denied is None else denied
    under = [condition for condition, _, found in judgment.within if found == "holds"]
    against = [condition for condition, _, found in judgment.within if found == "does not hold"]
    names = [condition for condition, _, _ in judgment.within]
    if judgment.word == "holds":
        return not over_all
    if judgment.word == "does not hold":
        return not denied
    if judgment.word == "holds only under":
        named = any(not true[names.index(one)] for one in under) or any(true[names.index(one)] for one in against)
        return named or all(true)
    return False


SHARES = [
    ([0.8] * 4, "true everywhere"),
    ([0.2] * 4, "false everywhere"),
    ([0.5] * 4, "undecidable"),
    ([0.95, 0.95, 0.05, 0.05], "true under two"),
    ([0.5, 0.5, 0.5, 0.95], "true under one"),
]


@pytest.mark.parametrize(("truth", "name"), SHARES)
def test_verdicts_on_shares_are_wrong_in_at_most_one_study_of_twenty(truth: list[float], name: str) -> None:
    rng = np.random.default_rng([1, *map(ord, name)])
    probabilities = np.array(truth)
    above = [bool(p > 0.5) for p in truth]
    over_all, denied = probabilities.mean() > 0.5, probabilities.mean() < 0.5
    found = [study("share", shares(rng, probabilities), "above", 0.5) for _ in range(N_STUDIES)]
    wrong = sum(is_wrong(one, above, bool(over_all), bool(denied)) for one in found)
    assert wrong / N_STUDIES <= MOST_WRONG
    words = [one.word for one in found]
    expected = {"true everywhere": "holds", "false everywhere": "does not hold", "undecidable": "not decided"}
    if name in expected:
        assert words.count(expected[name]) >= 0.9 * N_STUDIES  # it does decide, where it can
    if name == "true under two":
        assert words.count("holds only under") >= 0.9 * N_STUDIES


@pytest.mark.parametrize(("shift", "word"), [(1.5, "holds"), (-1.0, "does not hold"), (0.0, "not decided")])
def test_verdicts_on_medians_stand_stuck_and_diverged_replicas(shift: float, word: str) -> None:
    rng = np.random.default_rng([2, round(10 * shift) + 100])
    # Stuck replicas move the median of what is measured a little: the planted truth is that median, of one condition.
    big = np.sort(medians(np.random.default_rng(3), np.full(4000, shift)).ravel())
    even = float(np.median(big)) if shift == 0.0 else 0.0
    found = [study("median", medians(rng, np.full(1, shift)), "above", even) for _ in range(N_STUDIES)]
    true = shift > 0
    wrong = sum(is_wrong(one, [true], true if shift else False, (not true) if shift else False) for one in found)
    assert wrong / N_STUDIES <= MOST_WRONG
    assert [one.word for one in found].count(word) >= 0.9 * N_STUDIES  # type: ignore[arg-type]


@pytest.mark.parametrize(("truth", "word"), [(0.8, "holds"), (-0.8, "does not hold"), (0.0, "not decided")])
def test_verdicts_on_rank_correlations(truth: float, word: str) -> None:
    rng = np.random.default_rng([4, round(10 * truth) + 100])
    found = [study("rank correlation", correlated(rng, np.array([truth])), "above", 0.0) for _ in range(N_STUDIES)]
    wrong = sum(is_wrong(one, [truth > 0], truth > 0, truth < 0) for one in found)
    assert wrong / N_STUDIES <= MOST_WRONG
    assert [one.word for one in found].count(word) >= 0.9 * N_STUDIES  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "margin", "word"),
    [(0.5, 0.4, "holds"), (0.95, 0.2, "does not hold"), (0.7, 0.2, "not decided"), (0.3, 0.2, "not decided")],
)
def test_an_equivalence_holds_within_its_margin_only(p: float, margin: float, word: str) -> None:
    rng = np.random.default_rng([5, round(100 * p), round(100 * margin)])
    found = [study("share", shares(rng, np.array([p])), "within", 0.5, margin) for _ in range(N_STUDIES)]
    edge = math.isclose(abs(p - 0.5), margin)
    inside = abs(p - 0.5) < margin and not edge
    wrong = sum(is_wrong(one, [inside], inside, not inside and not edge) for one in found)
    assert wrong / N_STUDIES <= MOST_WRONG
    assert [one.word for one in found].count(word) >= 0.9 * N_STUDIES  # type: ignore[arg-type]


def test_an_exact_claim_is_true_or_not() -> None:
    def verdict(value: float) -> str:
        return judge(Claim("4", "counted", "", "equals", 0.0, (Sample("", "exact", np.array([value])),))).verdict

    assert verdict(0.0) == "holds"
    assert verdict(1.0) == "does not hold"
    assert judge(Claim("4", "none", "", "equals", 0.0, ())).verdict == (
        "not measured: the design has not what it compares"
    )


def test_an_undecided_claim_says_how_many_replicas_would_decide() -> None:
    values = np.array([1.0] * 20 + [0.0] * 12)
    judgment = judge(Claim("1", "", "", "above", 0.5, (Sample("", "share", values),)))
    assert judgment.verdict == "not decided at n = 32; about 64 would decide an effect of this size"
    more = np.tile(values, 3)
    assert judge(Claim("1", "", "", "above", 0.5, (Sample("", "share", more),))).verdict == "holds"


@pytest.mark.parametrize(("k", "n"), [(0, 8), (3, 8), (8, 8), (20, 32)])
def test_a_share_of_zeros_and_ones_has_scipys_exact_interval(k: int, n: int) -> None:
    ours = share_interval([1.0] * k + [0.0] * (n - k))
    exact = binomtest(k, n).proportion_ci(0.95, "exact")
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("draw", [lambda rng, shape: rng.random(shape), lambda rng, shape: rng.random(shape) ** 8])
def test_a_mean_of_shares_is_covered(draw: Callable[..., FloatArray]) -> None:
    rng = np.random.default_rng(6)
    truth = float(draw(np.random.default_rng(7), 1_000_000).mean())
    intervals = [share_interval(one) for one in draw(rng, (N_STUDIES, 16))]
    missed = sum(not (one.low or 0.0) <= truth <= (one.high or 0.0) for one in intervals)
    assert missed / N_STUDIES <= MOST_WRONG


def test_a_median_has_the_order_statistics_interval() -> None:
    # n = 10: the second and ninth of ten enclose the median in 97.85 of 100 samples, the third and eighth in 89.06.
    interval = median_interval([10.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert (interval.estimate, interval.low, interval.high) == (5.5, 2.0, 9.0)
    few = median_interval([1.0, 2.0, 3.0])
    assert (few.low, few.reason) == (None, "3 values; an interval at this level takes 6")
