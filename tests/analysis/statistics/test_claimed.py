"""Claimed losses are placed among draws, and honest ones are called not plausible in at most 5 of 100."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.claimed import CheckedRow, place, plausibility

N, STUDIES = 64, 2000


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return losses of which one in ten is stuck far above the others."""
    good = 0.08 * np.exp(0.2 * rng.normal(size=n))
    return np.where(rng.random(n) < 0.1, 0.4 + 0.01 * rng.normal(size=n), good)


def test_a_place_counts_draws_that_round_to_the_same_number_half():
    found = place(np.array([0.041, 0.049, 0.051, 0.2]), 0.05, 2)
    assert (found.percentile, found.n_below, found.n_equal, found.words) == (50.0, 1, 2, "percentile 50")
    assert place(np.array([0.3, 0.4]), 0.1, 1).words == "below all 2 draws"
    assert place(np.array([0.3, np.inf]), 0.5, 1).words == "percentile 50"
    assert place(np.array([0.3, 0.4]), 0.5, 1).words == "above all 2 draws"


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_at_most_five_of_a_hundred_honest_rows_are_not_plausible(decimals):
    rng = np.random.default_rng(decimals)
    wrong = 0
    for _ in range(STUDIES):
        train = heavy(rng, N + 1)
        test = train * np.exp(0.1 * rng.normal(size=N + 1))
        claimed = [round(float(one[-1]), decimals) for one in (train, test)]
        wrong += plausibility([train[:-1], test[:-1]], claimed, [decimals] * 2) <= 0.05
    assert wrong / STUDIES <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)


def test_losses_below_what_the_setting_gives_are_not_plausible_though_some_draws_are_stuck():
    rng = np.random.default_rng(0)
    found = [plausibility([heavy(rng, N), heavy(rng, N)], [0.02, 0.03], [2, 2]) <= 0.05 for _ in range(200)]
    assert np.mean(found) == 1.0


def test_without_a_rate_a_row_is_plausible_where_it_is_at_one_of_the_rates():
    rng = np.random.default_rng(1)
    good, untrained = 0.08 * np.exp(0.1 * rng.normal(size=N)), np.full(N, 0.5)
    row = CheckedRow(
        "hw.csv", 2, "XOR", "", (0.001, 0.1), {"training loss": np.stack([untrained, good])},
        {"training loss": (0.08, 2)}, {}, (), (),
    )  # fmt: skip
    assert (row.verdict, row.likeliest_rate) == ("plausible", 0.1)
    assert row.place("training loss").percentile < 50
