"""The benchmark of convergence counts gains on the truth, and promises from the first trials alone."""

from __future__ import annotations

import io

import numpy as np
import pytest

from analysis.statistics.convergence import convergence_of
from benchmarks.convergence import N_FRESH, N_TRIALS, Search, held_text, judge, spec_of


def planted() -> Search:
    """Return a search whose trial 100 is truly better by 0.03, and looks it; the others are alike but for noise."""
    rng = np.random.default_rng(1)
    truth = np.full(N_TRIALS, 0.1)
    truth[100] = 0.07
    losses = truth[:, None] + 0.004 * rng.standard_normal((N_TRIALS, 16))
    return Search("planted", losses, {i: np.full(N_FRESH, truth[i]) for i in range(N_TRIALS)})


def test_gains_are_those_of_the_truth() -> None:
    search = planted()
    assert search.gain(40) == 0.0  # to trial 89
    assert search.gain(70) == pytest.approx(0.03)
    assert search.gain_of_finalists(70) == pytest.approx(0.03)


def test_a_promise_rests_on_the_trials_before_it_and_is_counted_as_broken() -> None:
    search, out = planted(), io.StringIO()
    judge([search], out)
    before = convergence_of(search.losses[:70])
    assert before is not None
    assert before.gain < 0.03
    lines = out.getvalue().splitlines()
    assert f"planted 70 {before.gain:.4f} +0.0300 +0.0300 {before.noise:.4f} {before.is_converged}" in lines
    assert any(line.startswith("after 40 trials, the search's choice: held in 1 of 1 (1.000,") for line in lines)
    assert any(line.startswith("after 70 trials, the search's choice: held in 0 of 1 (0.000,") for line in lines)


def test_counts_have_their_exact_interval() -> None:
    assert held_text([(0.1, 0.2)] * 39 + [(0.3, 0.2)]) == "39 of 40 (0.975, 0.868 to 0.999)"


@pytest.mark.parametrize("dataset", ["gauss", "xor", "circle", "spiral"])
def test_searches_are_those_that_were_recorded_whatever_the_homework_asks_first(dataset: str) -> None:
    plain, noisy = spec_of(dataset, 1, "tpe"), spec_of(dataset, 2, "tpe")
    assert plain.search.first == ()
    widths = [[size for key, size in params if ".hidden_layer_sizes" in key] for params in noisy.search.first]
    assert widths == [[8], [8, 8]]
    assert plain.space == noisy.space
    (noises,) = (one.choices for one in plain.space if one.key == "training.input_noise")
    assert noises == (0.0, 0.05, 0.15, 0.3, 0.6)
