"""Rules choose what they say, the oracle alone looks out of range, and the price is honest."""

import dataclasses
import math

import numpy as np
import pytest
from record_builders import record

from analysis.statistics.selection import (
    LEAST_TRIALS_FOR_IMPORTANCE,
    RULES,
    Candidates,
    candidates,
    choices,
    correlations,
    importances,
    n_parameters,
    price_of_not_knowing,
)

R = 16
BOUNDS = np.full(50, 5.0)


def data(n_trials: int = 12, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    found = candidates([record(rng, number=i, seeds=[str(r) for r in range(R)]) for i in range(n_trials)])
    assert found is not None
    return found


def with_losses(base: Candidates, **tables: np.ndarray) -> Candidates:
    return dataclasses.replace(base, **tables)


def flat(means: list[float], noise: float = 0.0, seed: int = 1) -> np.ndarray:
    return np.array(means)[:, None] + noise * np.random.default_rng(seed).normal(size=(len(means), R))


def test_weights_and_biases_are_counted():
    assert n_parameters({"n_inputs": 2, "hidden_layer_sizes": [4, 2], "n_outputs": 1}) == 12 + 10 + 3


def test_only_complete_search_trials_on_the_shared_draws_compare():
    rng = np.random.default_rng(0)
    shared = [str(r) for r in range(R)]
    records = [
        record(rng, number=2, seeds=shared),
        record(rng, number=0, seeds=shared),
        record(rng, number=1, seeds=shared, state="failed"),
        record(rng, number=3, source=0),
        record(rng, number=0, stage="finalist"),
    ]
    found = candidates(records)
    assert found is not None
    assert [r.number for r in found.records] == [0, 2]
    assert candidates(records[2:]) is None
    assert candidates([]) is None


def test_each_rule_chooses_by_its_own_loss():
    base = data(4)
    found = with_losses(
        base,
        test=flat([1, 2, 3, 4]),
        in_range=flat([2, 1, 3, 4]),
        train=flat([2, 3, 1, 4]),
        out_of_range=flat([2, 3, 4, 1]),
        n_parameters=np.array([9, 9, 9, 9]),
    )
    chosen = {name: rule.choose(found, np.arange(R)) for name, rule in RULES.items()}
    assert chosen == {"test": 0, "in_range": 1, "training": 2, "simplest": 0, "oracle": 3}


def test_only_the_oracle_sees_the_out_of_range_loss():
    found = data()
    turned = with_losses(found, out_of_range=-found.out_of_range)
    for rule in RULES.values():
        same = rule.choose(found, np.arange(R)) == rule.choose(turned, np.arange(R))
        assert same is not rule.oracle


def test_one_standard_error_takes_the_smallest_network_that_is_near_enough():
    losses = flat([1.0, 1.0, 1.0, 2.0])
    losses[0] += np.tile([-0.4, 0.4], R // 2)  # standard error 0.1 about
    losses[1] += 0.09
    losses[2] += 0.15
    found = with_losses(data(4), test=losses, n_parameters=np.array([50, 20, 10, 5]))
    assert RULES["simplest"].choose(found, np.arange(R)) == 1


def test_the_price_is_the_paired_difference_where_the_choice_is_clear():
    outside = flat([3.0, 1.0], noise=0.1)
    found = with_losses(data(2), test=flat([1.0, 2.0]), out_of_range=outside)
    price = price_of_not_knowing(found, RULES["test"], BOUNDS[: len(found.records)])
    assert price.estimate == pytest.approx(float((outside[0] - outside[1]).mean()), rel=1e-12)
    assert price.n == R
    assert price.low is not None
    assert price.low > 0.5  # 2 less what 16 draws cannot exclude below the bound


def test_between_trials_that_do_not_differ_not_knowing_costs_nothing():
    """An oracle judged on the replicas it chose by would seem better here, every time."""
    n_trials, prices, naive = 20, [], []
    for seed in range(40):
        outside = flat([1.0] * n_trials, noise=0.3, seed=seed)
        found = with_losses(
            data(n_trials), test=flat([1.0] * n_trials, noise=0.1, seed=99 + seed), out_of_range=outside
        )
        prices.append(price_of_not_knowing(found, RULES["test"], BOUNDS[: len(found.records)]).estimate or 0.0)
        mine = outside[RULES["test"].choose(found, np.arange(R))].mean()
        naive.append(float(mine - outside.mean(axis=1).min()))
    standard_error = np.std(prices, ddof=1) / math.sqrt(len(prices))
    assert abs(np.mean(prices)) < 3 * standard_error
    assert np.mean(naive) > 10 * np.std(naive, ddof=1) / math.sqrt(len(naive))


def test_the_interval_of_the_price_holds_nothing_where_nothing_is_to_pay():
    """Choosing for each replica by all others would miss in a fifth of these, not in a twentieth."""
    n_missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = with_losses(data(12), test=rng.normal(1, 0.1, (12, R)), out_of_range=rng.normal(1, 0.1, (12, R)))
        price = price_of_not_knowing(found, RULES["test"], BOUNDS[: len(found.records)])
        n_missed += price.low is not None and price.high is not None and not price.low <= 0 <= price.high
    assert n_missed <= 20


def test_a_replica_without_points_out_of_range_does_not_count():
    outside = flat([3.0, 1.0])
    outside[1, 4] = math.nan
    found = with_losses(data(2), test=flat([1.0, 2.0]), out_of_range=outside)
    assert price_of_not_knowing(found, RULES["test"], BOUNDS[: len(found.records)]).n == R - 1
    nothing = with_losses(found, out_of_range=np.full_like(outside, math.nan))
    assert (
        price_of_not_knowing(nothing, RULES["test"], BOUNDS[: len(nothing.records)]).reason
        == "0 replicas with enough points out of range; it takes 4"
    )


def test_every_rule_is_answered_and_the_oracle_costs_nothing():
    found = choices(data(), BOUNDS[: len(data().records)])
    assert [choice.rule.name for choice in found] == list(RULES)
    assert found[-1].price.estimate == 0.0
    assert found[-1].price.reason == "the oracle is what it is compared with"


def test_rank_correlation_is_found_over_all_trials_by_activation_and_by_depth():
    base = data(40)
    means = np.linspace(1, 2, 40)
    found = with_losses(base, in_range=flat(means.tolist()), out_of_range=flat((means**2).tolist(), noise=0.2))
    rows = correlations(found)
    assert rows[0].group == "all trials"
    assert (rows[0].rank_correlation.estimate or 0) > 0.9
    activations = [row for row in rows if row.by == "activation"]
    assert sum(row.rank_correlation.n for row in activations) == 40
    assert {row.group for row in rows if row.by == "depth"} <= {"1 hidden layer", "2 hidden layers", "3 hidden layers"}


def test_a_small_group_gets_a_reason_instead_of_a_number():
    rows = correlations(data(5))
    assert rows[0].rank_correlation.estimate is None
    assert rows[0].rank_correlation.reason == "5 trials with both losses; it takes 8"


def test_the_param_that_makes_the_loss_is_the_most_important_one_on_its_side():
    base = data(60)
    rates = np.log10([float(r.params["training.learning_rate"] or 0) for r in base.records])
    batches = np.array([float(r.params["training.batch_size"] or 0) for r in base.records])
    found = with_losses(
        base, in_range=flat(np.exp(2 * rates).tolist()), out_of_range=flat(np.exp(batches / 10).tolist())
    )
    inside = importances(found, "in_range", np.random.default_rng(0))
    outside = importances(found, "out_of_range", np.random.default_rng(0))
    assert inside.rows[0].param == "training.learning_rate"
    assert outside.rows[0].param == "training.batch_size"
    assert inside.rows[0].share > 10 * abs(inside.rows[-1].share)
    assert inside == importances(found, "in_range", np.random.default_rng(0))


def test_pure_noise_has_no_importances():
    found = importances(
        with_losses(data(60), in_range=flat([1.0] * 60, noise=0.1)), "in_range", np.random.default_rng(0)
    )
    assert found.rows == ()
    assert found.reason is not None
    assert found.reason.endswith("of the loss of held-out ones; it takes 10 %")


def test_too_few_trials_have_no_importances():
    found = importances(data(12), "out_of_range", np.random.default_rng(0))
    assert found.reason == f"12 trials; importance takes {LEAST_TRIALS_FOR_IMPORTANCE}"
