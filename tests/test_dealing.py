"""Long tests begin first and are shared out, whatever pytest-xdist gives to whom."""

from __future__ import annotations

import random

import pytest
from dealing import Cost, dealt, stretches

pytest.importorskip("xdist")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 94, 100])
@pytest.mark.parametrize("n_processes", [2, 3, 8])
def test_every_test_is_dealt_once_and_the_longest_first(n: int, n_processes: int) -> None:
    rng = random.Random(f"{n} {n_processes}")
    costs = [Cost(rng.choice([0.0, 0.0, 20.0, 60.0, 300.0]), rng.random() < 0.02) for _ in range(n)]
    order = dealt(costs, n_processes)
    assert sorted(order) == list(range(n))
    begin = 0
    for size in stretches(n, n_processes):
        hand = [costs[i] for i in order[begin : begin + size]]
        begin += size
        long = [cost.takes_s for cost in hand if cost.takes_s and not cost.is_alone]
        assert long == sorted(long, reverse=True)
    assert begin == n


def test_who_is_alone_begins_and_waits_for_short_ones_only() -> None:
    costs = [Cost(0.0, False)] * 4 + [
        Cost(60.0, False),
        Cost(0.0, True),
        Cost(90.0, False),
        Cost(30.0, False),
        Cost(0.0, False),
    ]
    assert dealt(costs, 3) == [5, 6, 2, 0, 4, 3, 1, 7, 8]


def test_stretches_are_those_of_pytest_xdist() -> None:
    """The numbers that `xdist.scheduler.worksteal` sends at first, whose first processes get the smaller ones."""
    assert stretches(94, 3) == [31, 31, 32]
    assert stretches(274, 2) == [137, 137]
    assert stretches(5, 3) == [1, 2, 2]
    assert stretches(1, 2) == [0, 1]
