"""Simulated searches take what can be said of them beforehand, and the wall that was built in is found."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.scale import Costs, Search, first_wall, scale_table, simulate

FREE = Costs([(0, 0.0)], [(0, 0.0)], [(0, 0.0)], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SEARCH = Search(n_workers=10, n_trials=3000, lag=200, sampler="sobol", n_best=None)


def test_with_nothing_else_to_do_workers_are_busy_all_the_time() -> None:
    outcome = simulate(FREE, SEARCH)
    assert outcome.search_s == pytest.approx(300.0, rel=0.05)
    assert outcome.search_s >= outcome.worker_s
    assert first_wall(outcome) == "workers"


def test_a_lag_of_one_trains_one_trial_at_a_time() -> None:
    outcome = simulate(FREE, dataclasses.replace(SEARCH, lag=1))
    assert outcome.search_s == pytest.approx(10 * outcome.worker_s)
    assert first_wall(outcome) == "lag"


@pytest.mark.parametrize(
    ("changes", "wall", "seconds"),
    [
        ({"driver_s": 0.2}, "driver", 600.0),
        ({"sobol": [(0, 0.2)]}, "sampler", 600.0),
        ({"run_s": 0.2}, "MLflow", 600.0),
    ],
)
def test_what_costs_most_is_the_wall(changes: dict[str, object], wall: str, seconds: float) -> None:
    outcome = simulate(dataclasses.replace(FREE, **changes), SEARCH)  # type: ignore[arg-type]
    assert first_wall(outcome) == wall
    assert max(outcome.search_s, outcome.tracked_s) == pytest.approx(seconds, rel=0.02)


def test_only_the_best_so_far_cost_the_writer_anything() -> None:
    costs = dataclasses.replace(FREE, run_s=0.2)
    outcome = simulate(costs, dataclasses.replace(SEARCH, n_best=100))
    expected = 100 + sum(100 / k for k in range(101, 3001))
    assert outcome.writer_s == pytest.approx(0.2 * expected, rel=0.1)


def test_the_table_names_walls_in_turn() -> None:
    costs = dataclasses.replace(FREE, tpe=[(0, 0.05), (10, 0.05)])
    rows = scale_table(costs, [500]).splitlines()
    assert len(rows) == 2 + 3
    assert rows[-1].startswith("| 1000 | 500 | 0 s | ")
    assert "`lag`, the sampler" in rows[3]
