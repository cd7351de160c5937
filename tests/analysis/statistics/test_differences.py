"""Differences of bounded losses: on planted stuck replicas, which Student's and Welch's do not know of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from analysis.statistics import bounded
from analysis.statistics.bounded import bounded_interval
from analysis.statistics.differences import (
    LEAST_P,
    BoundedLosses,
    bounded_difference,
    bounded_p_value,
    paired_p_values,
    recovered_difference,
)
from analysis.statistics.intervals import Interval
from benchmarks.difference_coverage import (
    Pairing,
    apart_ends,
    draw_both,
    examined,
    paired_ends,
    student_ends,
    welch_ends,
)


def losses(rng: np.random.Generator, n: int, mean: float, spread: float = 0.01) -> BoundedLosses:
    return BoundedLosses(np.clip(rng.normal(mean, spread, n), 0.0, 2.0), 2.0)


@pytest.mark.parametrize(("n", "n_simulations"), [(8, 3000), (16, 3000), (64, 2000)])
@pytest.mark.parametrize("other", [0.0, 1 / 3, 1.0], ids="the other setting has {:.2g} as many".format)
def test_the_interval_holds_where_samples_miss_the_stuck_replicas(n: int, n_simulations: int, other: float) -> None:
    pairing, rng = Pairing("", 1.0, other), np.random.default_rng(n)
    for paired, ours, plain in ((True, paired_ends, student_ends), (False, apart_ends, welch_ends)):
        shares = [examined(ours, pairing, count, n, n_simulations, rng, paired=paired)[0] for count in (1.0, 2.6)]
        assert min(shares) >= 0.93 - 3 * math.sqrt(0.93 * 0.07 / n_simulations)
        if other == 0.0:  # the fault it is there to mend
            assert examined(plain, pairing, 1.0, n, n_simulations, rng, paired=paired)[0] < 0.75


@pytest.mark.parametrize("paired", [True, False])
def test_a_setting_that_is_worse_by_rare_stuck_replicas_is_not_called_better(paired: bool) -> None:
    """Its body is a little lower, its mean higher; two samples of 16 in five hold no stuck replica."""
    rng, n_wrong, n_plain = np.random.default_rng(0), 0, 0
    for _ in range(200):
        a, b, truth = draw_both(rng, (1, 16), Pairing("", 1.0, 0.0), 0.9, paired=paired)
        assert truth > 0
        first, second = BoundedLosses(0.7 * a[0], 25.0), BoundedLosses(b[0], 25.0)
        p = bounded_p_value(first, second, paired=paired)
        n_wrong += first.values.mean() < second.values.mean() and p is not None and p < 0.05
        n_plain += float(student_ends(first.values[None], second.values[None], 25.0)[1][0]) < 0
    assert n_wrong == 0
    assert n_plain > 50


@pytest.mark.parametrize("paired", [True, False])
def test_a_difference_that_no_unseen_replica_could_make_is_told(paired: bool) -> None:
    rng = np.random.default_rng(1)
    first, second = losses(rng, 64, 0.1), losses(rng, 64, 0.5)
    found = bounded_difference(first, second, paired=paired)
    assert found.estimate == pytest.approx(-0.4, abs=0.01)
    assert found.high is not None
    assert found.high < 0
    assert (bounded_p_value(first, second, paired=paired) or 1) < 1e-3


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("gap", [0.05, 0.11, 0.2])
def test_the_p_value_is_the_error_at_which_the_interval_ends_at_0(paired: bool, gap: float) -> None:
    rng = np.random.default_rng(2)
    first, second = losses(rng, 64, 0.3 + gap), losses(rng, 64, 0.3)
    p = bounded_p_value(first, second, paired=paired)
    assert p is not None
    if p == 1.0:
        assert bounded_difference(first, second, paired=paired, level=0.6).low < 0  # type: ignore[operator]
        return
    assert bounded_difference(first, second, paired=paired, level=1 - p).low == pytest.approx(0.0, abs=1e-4)
    assert bounded_p_value(second, first, paired=paired) == pytest.approx(p)


def test_p_values_end_at_the_least_and_at_1() -> None:
    rng = np.random.default_rng(3)
    far = losses(rng, 1000, 0.1), losses(rng, 1000, 1.5)
    assert bounded_p_value(*far, paired=True) == LEAST_P
    assert bounded_p_value(far[0], far[0], paired=True) == 1.0


@pytest.mark.parametrize("paired", [True, False])
def test_a_missing_interval_says_why_and_has_no_p_value(paired: bool) -> None:
    one, above = BoundedLosses([0.1], 2.0), BoundedLosses([0.1, 2.5, 0.1], 2.0)
    none = bounded_difference(one, one, paired=paired)
    assert (none.low, none.reason) == (None, "one value has no spread; an interval takes at least 2")
    assert bounded_p_value(one, one, paired=paired) is None
    outside = bounded_difference(above, BoundedLosses([0.1, 0.2, 0.3], 0.2), paired=paired)
    assert (outside.low, outside.high) == (None, None)
    assert outside.reason is not None
    assert outside.reason.startswith("a value is outside of ")


def test_pairs_need_one_of_each() -> None:
    message = r"^b: 3 values against 2; pairs need one of each for every replica$"
    with pytest.raises(ValueError, match=message):
        bounded_difference(BoundedLosses([0.1, 0.2], 2.0), BoundedLosses([0.1, 0.2, 0.3], 2.0), paired=True)


def test_a_pair_counts_only_where_both_were_measured() -> None:
    first, second = BoundedLosses([0.5, None, math.nan, 0.7], 2.0), BoundedLosses([0.1, 0.2, 0.3, 0.1], 5.0)
    found = bounded_difference(first, second, paired=True)
    assert (found.n, found.estimate) == (2, pytest.approx(0.5))
    assert found.method == "paired, imagined draws at -5 and 2, 95 %"


def test_of_other_draws_the_ends_are_recovered_from_both_intervals() -> None:
    rng = np.random.default_rng(4)
    first, second = losses(rng, 30, 0.4), losses(rng, 20, 0.3)
    a, b = (bounded_interval(one.values, one.largest) for one in (first, second))
    found = bounded_difference(first, second, paired=False)
    assert found.n == 20
    assert found.low == pytest.approx(a.estimate - b.estimate - math.hypot(a.estimate - a.low, b.high - b.estimate))
    assert found.high == pytest.approx(a.estimate - b.estimate + math.hypot(a.high - a.estimate, b.estimate - b.low))
    nothing = recovered_difference(a, Interval(0.1, None, None, 1, "", "one value"))
    assert (nothing.low, nothing.reason) == (None, "one value")


def test_many_pairs_at_once_have_the_p_values_and_ends_of_each_alone() -> None:
    rng = np.random.default_rng(3)
    pairs = []
    for n, shift, largest in itertools.product((8, 16), (0.0, 0.02, 0.3), (1.0, 2.0)):
        values = rng.uniform(0.1, 0.4, n)
        worse = BoundedLosses(values + shift * rng.uniform(0.5, 1.5, n), largest)
        pairs += [(worse, BoundedLosses(values, 3.0 - largest)), (BoundedLosses(values, 3.0 - largest), worse)]
    alone = []
    for a, b in pairs:
        bounded._FOUND.clear()
        alone.append((bounded_p_value(a, b, paired=True), bounded_difference(a, b, paired=True)))
    bounded._FOUND.clear()
    together = paired_p_values(pairs)
    assert [(p, bounded_difference(a, b, paired=True)) for p, (a, b) in zip(together, pairs, strict=True)] == alone
    assert len({p for p, _ in alone}) == 4
    assert len(bounded._FOUND) == len(pairs) - 4  # differences of 0 are the same in two pairs of exchanged bounds
