"""Intervals against SciPy, against hand-worked numbers, and against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import (
    clopper_pearson,
    difference_p_value,
    hall_bound,
    holm,
    mean_interval,
    paired_difference,
    upper_bound,
    upper_bounds,
    welch_difference,
)
from analysis.statistics.resampling import rank_correlation_interval

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


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16, 100])
def test_bounds_of_rows_are_to_the_bit_those_of_each(n):
    rows = np.random.default_rng(n).lognormal(-3.0, 2.0, (5, n))
    rows[1] = 0.25
    rows[2, -1] = math.inf
    assert upper_bounds(rows).tolist() == [upper_bound(row) for row in rows]


def test_a_missing_interval_says_why():
    assert mean_interval([0.1]).reason == "one value has no spread; an interval takes at least 2"
    assert mean_interval([None]).reason == "no value was measured"


@pytest.mark.parametrize(("k", "n"), [(0, 16), (3, 16), (16, 16), (771, 1000)])
def test_clopper_and_pearsons_interval_is_scipys(k, n):
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    interval = clopper_pearson(k, n)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_rate_refuses_more_successes_than_tries():
    with pytest.raises(ValueError, match=r"^k: 5 successes of 4 tries; give 0 <= k <= n$"):
        clopper_pearson(5, 4)


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


def test_welchs_interval_and_p_value_are_scipys():
    other = [0.2, 0.11, 0.09]
    expected = stats.ttest_ind(LOSSES, other, equal_var=False)
    ends = expected.confidence_interval(0.95)
    interval = welch_difference(LOSSES, other)
    assert (interval.low, interval.high, interval.n) == (pytest.approx(ends.low), pytest.approx(ends.high), 3)
    assert difference_p_value(LOSSES, other, paired=False) == pytest.approx(expected.pvalue)


def test_the_paired_p_value_is_scipys():
    other = [0.081, 0.1, 0.07, 0.12, 0.07, 0.3, 0.09, 0.1]
    expected = stats.ttest_rel(LOSSES, other).pvalue
    assert difference_p_value(LOSSES, other, paired=True) == pytest.approx(expected)
    assert difference_p_value([*LOSSES, None], [*other, 1.0], paired=True) == pytest.approx(expected)


@pytest.mark.parametrize("paired", [True, False])
def test_arms_that_never_differ_have_p_value_one(paired):
    assert difference_p_value([0.5, 0.5], [0.5, 0.5], paired=paired) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([], [1.0, 2.0], "no value was measured"),
        ([1.0], [1.0, 2.0], "one value has no spread; an interval takes at least 2"),
        ([1.0, 1.0], [2.0, 2.0], "the values do not vary"),
        ([1.0, math.inf], [2.0, 3.0], "a value is infinite"),
    ],
)
def test_a_difference_without_an_interval_says_why(a, b, reason):
    interval = welch_difference(a, b)
    assert (interval.low, interval.high, interval.reason) == (None, None, reason)
    assert difference_p_value(a, b, paired=False) is None


def test_ranks_of_ties_are_shared():
    x, y = [1.0, 1.0, 2.0, 3.0, 3.0, 3.0], [2.0, 1.0, 2.0, 5.0, 4.0, 4.0]
    assert rank_correlation_interval(x, y).estimate == pytest.approx(stats.spearmanr(x, y).statistic)
