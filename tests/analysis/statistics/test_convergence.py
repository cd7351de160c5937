"""What another 50 trials would gain at most, on searches whose gain is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from record_builders import finished_study, record
from scipy.stats import norm

from analysis.records.study import TrialRecord
from analysis.sections.next_steps import convergence_sentences
from analysis.statistics.convergence import (
    AHEAD,
    CHOICE_LEVEL,
    LEAST_TRIALS,
    LEVEL,
    NORMAL,
    TAIL_LEVEL,
    FloatArray,
    convergence,
    convergence_of,
    probability_beyond,
    tail_bound,
    tail_factor,
)

N_REPLICAS = 16
EVERY = 10
Truth = Callable[[np.random.Generator, int], FloatArray]


def uniform_end(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.07 + 0.02 * rng.gamma(1.0, size=n)


def thin_end(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.07 + 0.02 * rng.gamma(3.0, size=n)


def learning(rng: np.random.Generator, n: int) -> FloatArray:
    """Return losses of a sampler whose trials come nearer to the floor, as 1 / number, a fifth of them anywhere."""
    scale = 0.05 / (1 + np.arange(n) / 10)
    return 0.07 + scale * rng.gamma(2.0, size=n) + np.where(rng.random(n) < 0.2, 0.05 * rng.random(n), 0.0)


def local(rng: np.random.Generator, n: int) -> FloatArray:
    """Return losses of a sampler that varies its best trial, as TPE does, so that no two trials are independent."""
    found = np.empty(n)
    for t in range(n):
        if t < 16 or rng.random() < 0.3:
            found[t] = 0.07 + 0.075 * rng.gamma(2.0)
        else:
            found[t] = 0.07 + (found[:t].min() - 0.07) * math.exp(0.3 * rng.standard_normal()) + 0.002 * rng.gamma(1.0)
    return found


def falling(rng: np.random.Generator, n: int) -> FloatArray:
    return 0.3 * np.exp(-0.01 * np.arange(n)) + 0.01 * rng.gamma(2.0, size=n)


def flat(rng: np.random.Generator, n: int) -> FloatArray:
    """Return losses two fifths of which are at the floor: nothing is left to be gained."""
    return np.where(rng.random(n) < 0.4, 0.07, 0.07 + 0.05 * rng.random(n))


def measured(rng: np.random.Generator, truth: FloatArray, noise: float) -> FloatArray:
    """Return losses by trial and replica: draws that all trials share, and what each makes of them."""
    draws = 0.02 * rng.standard_normal(N_REPLICAS)
    return truth[:, None] + draws + noise * rng.standard_normal((len(truth), N_REPLICAS))


@pytest.mark.parametrize("n_later", [20, 60, 200])
def test_the_tail_bound_is_exact_where_the_tail_is_exponential(n_later: int) -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(4000):
        losses = -rng.exponential(size=n_later + AHEAD)  # P(loss < -t) = exp(-t)
        best = losses[:n_later].min()
        held.append(best - losses.min() <= tail_bound(losses[:n_later], best))
    assert np.mean(held) == pytest.approx(TAIL_LEVEL, abs=0.013)


def test_so_many_trials_that_the_next_are_surely_no_better_gain_nothing() -> None:
    """Of w + 50 alike the best is among the last 50 in 50 of w + 50 cases: fewer than one in twelve from 575 on."""
    assert probability_beyond(0.0, 575) == pytest.approx(AHEAD / (575 + AHEAD))
    assert tail_factor(574) == pytest.approx(0.0, abs=0.003)
    assert 0.0 < tail_factor(574) < tail_factor(570)
    assert [tail_factor(n) for n in (575, 576, 10_000, 100_000)] == [0.0] * 4
    rng = np.random.default_rng(6)
    held = []
    for _ in range(2000):
        losses = -rng.exponential(size=600 + AHEAD)
        best = losses[:600].min()
        assert tail_bound(losses[:600], best) == 0.0
        held.append(best <= losses.min())
    assert np.mean(held) >= TAIL_LEVEL - 0.013
    found = convergence_of(measured(rng, flat(rng, 1200), 0.003))
    assert found is not None
    assert found.tail == 0.0


@pytest.mark.parametrize("truth_of", [uniform_end, thin_end, learning, local, falling, flat])
@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_the_gain_is_within_the_bound_on_nine_searches_of_ten(truth_of: Truth, noise: float) -> None:
    rng = np.random.default_rng(7)
    for n in (60, 100):
        gains, bounds = [], []
        for _ in range(150):
            truth = truth_of(rng, n + AHEAD)
            losses = measured(rng, truth, noise)
            means = losses.mean(axis=1)
            found = convergence_of(losses[:n])
            assert found is not None
            gains.append(truth[np.argmin(means[:n])] - truth[np.argmin(means)])
            bounds.append(found.gain)
        assert np.mean(np.array(gains) <= bounds) >= LEVEL
        pair = noise * math.sqrt(2 / N_REPLICAS)
        assert np.median(bounds) <= 12 * max(float(np.quantile(gains, LEVEL)), pair)  # a bound that says something


@pytest.mark.parametrize("truth_of", [learning, local, flat])
def test_the_gain_is_within_the_bound_where_the_bound_itself_ends_the_search(truth_of: Truth) -> None:
    """Who asks again and again until a search seems to have converged must not find luck."""
    rng = np.random.default_rng(11)
    held = []
    for _ in range(60):
        truth = truth_of(rng, 150 + AHEAD)
        losses = measured(rng, truth, 0.02)
        means = losses.mean(axis=1)
        for n in range(LEAST_TRIALS, 151, EVERY):
            found = convergence_of(losses[:n])
            if found is not None and found.is_converged:
                then = truth[np.argmin(means[: n + AHEAD])]
                held.append(truth[np.argmin(means[:n])] - then <= found.gain)
                break
    assert len(held) > 30
    assert np.mean(held) >= LEVEL


def test_a_search_at_the_floor_has_converged_and_one_that_falls_has_not() -> None:
    rng = np.random.default_rng(3)
    verdicts: dict[str, list[bool]] = {"flat": [], "falling": []}
    for _ in range(50):
        for name, truth_of in (("flat", flat), ("falling", falling)):
            found = convergence_of(measured(rng, truth_of(rng, 200), 0.003))
            assert found is not None
            verdicts[name].append(found.is_converged)
    assert (sum(verdicts["flat"]) > 40, sum(verdicts["falling"])) == (True, 0)


def test_the_noise_is_that_of_pairs_of_draws() -> None:
    """Draws that are easy or hard for every trial alike say nothing against a difference."""
    rng = np.random.default_rng(0)
    noise = [measured(rng, np.full(400, 0.07), 0.004) for _ in range(20)]
    found = [convergence_of(losses) for losses in noise]
    expected = 0.004 * math.sqrt(2 / N_REPLICAS)
    assert np.mean([one.noise for one in found if one is not None]) == pytest.approx(expected, rel=0.1)


def test_the_quantile_is_the_normal_distributions() -> None:
    assert math.isclose(NORMAL, norm.ppf(CHOICE_LEVEL), rel_tol=1e-12)
    assert math.isclose(TAIL_LEVEL + CHOICE_LEVEL - 1, LEVEL)


def trials_of(losses: FloatArray) -> list[TrialRecord]:
    rng = np.random.default_rng(1)
    plain = [record(rng, number=number) for number in range(len(losses))]
    return [
        dataclasses.replace(one, test_loss=row.tolist(), value=float(row.mean()), seeds=plain[0].seeds)
        for one, row in zip(plain, losses, strict=True)
    ]


def test_records_are_asked_as_their_losses_are() -> None:
    rng = np.random.default_rng(2)
    losses = measured(rng, learning(rng, 60), 0.003)
    trials = trials_of(losses)
    assert convergence(trials) == convergence_of(losses)
    assert convergence(trials[: LEAST_TRIALS - 1]) is None
    losses[4] = losses[9] = losses[30] = math.inf
    trials[4] = dataclasses.replace(trials[4], state="failed")
    trials[9] = dataclasses.replace(trials[9], source=2, seeds=[f"other{r}" for r in range(N_REPLICAS)])
    trials[30] = dataclasses.replace(trials[30], state="diverged")
    assert convergence(trials) == convergence_of(losses)
    assert convergence([dataclasses.replace(trial, state="failed") for trial in trials]) is None


def test_trials_in_the_order_of_a_grid_tell_nothing() -> None:
    rng = np.random.default_rng(2)
    params = [{"a": i // 9, "b": i // 3 % 3, "c": i % 3} for i in range(54)]
    trials = trials_of(measured(rng, uniform_end(rng, 54), 0.003))
    listed = [dataclasses.replace(one, params=dict(point)) for one, point in zip(trials, params, strict=True)]
    shuffled = [
        dataclasses.replace(one, params=dict(params[i])) for one, i in zip(trials, rng.permutation(54), strict=True)
    ]
    assert convergence(listed) is None
    assert convergence(shuffled) is not None


def kind_of_order(name: str, n: int) -> list[dict[str, Any]]:
    """Return the params of a grid in its order, or of a sampler in a space where one value mostly changes alone."""
    rng = np.random.default_rng(6)
    rates = 10 ** rng.uniform(-4, 0, n)
    mostly = np.where(rng.random(n) < 0.9, "tanh", "relu")
    layers, widths = np.where(rng.random(n) < 0.9, 2, 1), rng.integers(1, 9, n)
    return {
        "grid, one rising": [{"units": i} for i in range(n)],
        "grid, one falling": [{"rate": 1.0 / (1 + i)} for i in range(n)],
        "grid, two": [{"a": i // 10, "b": i % 10} for i in range(n)],
        "grid, one in one branch": [{"a": i // 4, "b": i % 4} if i // 4 % 2 else {"a": i // 4, "c": i % 4 + 9}
                                    for i in range(n)],
        "sampler, one": [{"rate": float(rate)} for rate in rates],
        "sampler, one and a choice": [{"rate": float(r), "act": str(a)} for r, a in zip(rates, mostly, strict=True)],
        "sampler, whole numbers": [{"layers": int(a), "width": int(b)} for a, b in zip(layers, widths, strict=True)],
        "sampler, one whole number": [{"width": int(b)} for b in widths],
    }[name]  # fmt: skip


@pytest.mark.parametrize("n", [LEAST_TRIALS, 70, 120])
@pytest.mark.parametrize(
    ("name", "is_listed"),
    [
        ("grid, one rising", True),
        ("grid, one falling", True),
        ("grid, two", True),
        ("grid, one in one branch", True),
        ("sampler, one", False),
        ("sampler, one and a choice", False),
        ("sampler, whole numbers", False),
        ("sampler, one whole number", False),
    ],
)
def test_a_sampler_of_a_small_space_is_not_taken_for_a_grid(name: str, is_listed: bool, n: int) -> None:
    rng = np.random.default_rng(2)
    trials = trials_of(measured(rng, uniform_end(rng, n), 0.003))
    trials = [dataclasses.replace(one, params=p) for one, p in zip(trials, kind_of_order(name, n), strict=True)]
    assert (convergence(trials) is None) == is_listed


def test_a_card_says_what_more_trials_would_gain() -> None:
    study = finished_study("xor")
    rng = np.random.default_rng(4)
    said = []
    for truth_of, n in ((flat, 120), (falling, 120), (flat, LEAST_TRIALS - 1)):
        study.records["search"] = trials_of(measured(rng, truth_of(rng, n), 0.003))
        said.append(convergence_sentences(study))
    assert study.verdict is not None
    study.records["search"] = trials_of(measured(rng, uniform_end(rng, 60), 0.003))
    study.verdict = dataclasses.replace(study.verdict, stopped="converged")
    said.append(convergence_sentences(study))
    study.records["search"] = trials_of(measured(rng, flat(rng, 120), 0.003))
    study.header.data["kind"] = "table"
    said.append(convergence_sentences(study))
    study.header.data["kind"], study.verdict = "playground", None
    said.append(convergence_sentences(study))
    assert said == [
        ("The search has converged: another 50 trials would gain at most 0.00265 of test loss (90%).",),
        ("Not converged: another 50 trials may gain up to 0.0789 of test loss (90%).",),
        (),
        ("The search ended as asked: another 50 trials would gain at most 0.0109 of test loss (90%).",),
        (),
        (),
    ]
