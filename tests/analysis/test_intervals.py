"""Intervals against SciPy, against hand-worked numbers, and against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.intervals import (
    hall_bound,
    holm,
    mean_interval,
    paired_difference,
    rank_correlation_interval,
    upper_bound,
    wilson,
)

LOSSES = [0.08, 0.09, 0.075, 0.11, 0.07, 0.31, 0.082, 0.094]


def test_students_interval_is_scipys():
    expected = stats.ttest_1samp(LOSSES, 0.0).confidence_interval(0.9)
    interval = mean_interval(LOSSES, 0.9, "Student t")
    assert interval.estimate == pytest.approx(np.mean(LOSSES))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_halls_bound_tends_to_students_on_a_symmetric_sample():
    symmetric = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    student = mean_interval(symmetric, 0.95, "Student t")
    assert student.high is not None
    assert float(hall_bound(symmetric, 0.975)) == pytest.approx(student.high)


def test_halls_upper_bound_is_the_wider_one_on_a_sample_skewed_to_the_right():
    assert upper_bound(LOSSES, 0.95, "Hall t") > upper_bound(LOSSES, 0.95, "Student t")


@pytest.mark.parametrize("values", [[], [0.05], [0.05, math.inf], [None, 0.05]])
def test_nothing_is_below_a_goal_on_fewer_than_two_finite_values(values):
    assert upper_bound(values) == math.inf


def test_a_missing_interval_says_why():
    assert mean_interval([0.1]).reason == "one value has no spread; an interval takes at least 2"
    assert mean_interval([None]).reason == "no value was measured"


@pytest.mark.parametrize(("k", "n"), [(0, 16), (3, 16), (16, 16), (771, 1000)])
def test_wilsons_interval_is_scipys(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    interval = wilson(k, n)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_refuses_more_successes_than_tries():
    with pytest.raises(ValueError, match=r"^k: 5 successes of 4 tries; give 0 <= k <= n$"):
        wilson(5, 4)


def test_pairs_count_only_where_both_were_measured():
    interval = paired_difference([1.0, 2.0, None, 4.0], [0.5, 1.0, 1.0, 2.0])
    assert (interval.n, interval.estimate) == (3, pytest.approx(3.5 / 3))


def test_holms_p_values_are_the_hand_worked_ones():
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    assert rank_correlation_interval(x, y).estimate == pytest.approx(stats.spearmanr(x, y).statistic)


def test_the_certificates_bound_errs_in_at_most_six_percent_of_skewed_samples():
    """Lognormal losses with one replica in a hundred stuck at five times the mean, n = 1000, nominal 5 %."""
    rng = np.random.default_rng(1)
    body = np.exp(rng.normal(-0.5 * 0.33**2, 0.33, size=(3000, 1000)))
    losses = np.where(rng.random(body.shape) < 0.01, 5.0, body)
    truth = 0.99 * 1.0 + 0.01 * 5.0
    bounds = np.array([upper_bound(row) for row in losses])
    assert (bounds < truth).mean() <= 0.06
