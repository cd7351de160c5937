"""Intervals over rows stay where the metric can be, and hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.records.metric_words import METRIC_WORDS
from sweeps.data.table.metrics import METRICS
from sweeps.data.table.row_intervals import compare, metric_of, score_rows, unit_values


@pytest.mark.parametrize("name", ["rmse", "mae", "mse", "r2", "accuracy", "balanced_accuracy", "log_loss"])
@pytest.mark.parametrize("n", [2, 3, 8, 40])
def test_no_end_is_where_the_metric_cannot_be(name: str, n: int) -> None:
    rng = np.random.default_rng([n, len(name)])
    metric, words = METRICS[name], METRIC_WORDS[name]
    is_share = name.endswith("accuracy")
    for _ in range(50):
        y = np.arange(n) % 2.0 if is_share else rng.normal(size=n)
        losses = (rng.random(n) < 0.1).astype(float) if is_share else rng.lognormal(0.0, 3.0, n)
        found = score_rows(metric, y, losses)
        assert found.value == pytest.approx(metric_of(metric, y, losses))
        assert found.low is not None
        assert found.high is not None
        assert words.lowest <= found.low <= found.value <= found.high <= words.highest
        assert not is_share or found.low < found.high  # no wrong row in forty is no certainty


def test_an_accuracy_has_the_exact_interval() -> None:
    wrong = (np.arange(60) < 7).astype(float)
    interval = stats.binomtest(53, 60).proportion_ci(0.95, "exact")
    found = score_rows(METRICS["accuracy"], np.zeros(60), wrong)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_intervals_of_groups_hold_the_truth_where_those_of_rows_do_not() -> None:
    """Rows of a group share their error: 40 groups of 1 to 12 rows."""
    rng = np.random.default_rng(5)
    covered = {"rows": 0, "groups": 0}
    for _ in range(400):
        groups = np.repeat(np.arange(40), rng.integers(1, 13, 40))
        losses = rng.gamma(3.0, 1.0, 40)[groups]
        y = np.zeros(len(groups))
        for name, units in (("rows", None), ("groups", groups)):
            found = score_rows(METRICS["mse"], y, losses, units)
            assert found.low is not None
            assert found.high is not None
            covered[name] += found.low <= 3.0 <= found.high
    assert covered["groups"] >= 0.90 * 400
    assert covered["rows"] < 0.75 * 400


def test_unit_values_have_the_rows_mean() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 9, 50)
    losses = rng.random(50)
    assert unit_values(losses, groups).mean() == pytest.approx(losses.mean())
    np.testing.assert_allclose(unit_values(losses, np.arange(50)), losses)


@pytest.mark.parametrize(
    ("better", "worse", "told"), [(5, 0, False), (6, 0, True), (9, 1, True), (8, 2, False), (0, 0, False)]
)
def test_a_difference_of_accuracies_is_told_only_where_the_sign_test_tells_it(
    better: int, worse: int, told: bool
) -> None:
    ours, theirs = np.zeros(400), np.zeros(400)
    theirs[:better] = 1.0
    ours[better : better + worse] = 1.0
    found = compare(METRICS["accuracy"], ours, theirs, None, 0.05)
    assert found.high is not None
    assert (found.high < 0) == told == (better + worse > 0 and stats.binomtest(better, better + worse).pvalue < 0.05)
    assert found.low is not None
    assert found.low < 0
