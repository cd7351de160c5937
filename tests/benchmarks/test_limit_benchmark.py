"""``benchmarks/limit.py``: on sets whose law is known its figures are what they must be."""

from __future__ import annotations

import pytest

from benchmarks.limit import excess, neighbour_outputs, ridge_outputs, unit_outputs
from engine.playground.registry import DATASETS
from sweeps.data.source import Draws
from sweeps.spec.sweep import load_spec, open_source


def _draws(name: str, n: int) -> Draws:
    spec = load_spec("homework")
    (dataset,) = [one for one in spec.datasets if one.name == name]
    source = open_source(spec, dataset)
    return source.draws(source.fresh_seeds("certificate", "test of the limit")[:n])


@pytest.mark.parametrize("name", ["gauss", "xor", "circle", "spiral"])
def test_who_knows_the_law_is_nothing_above_the_floor(name: str) -> None:
    draws = _draws(name, 4)
    assert excess(DATASETS[name].conditional_mean(draws.test.X, 0.2), draws) == pytest.approx((0.0, 0.0), abs=1e-8)


def test_one_unit_with_the_circles_feature_is_nearer_the_floor_than_whoever_learns_the_circle() -> None:
    draws = _draws("circle", 16)
    (unit,) = unit_outputs("circle", draws).values()
    learnt = ridge_outputs(draws) | neighbour_outputs(draws)
    assert excess(unit, draws)[0] < min(excess(outputs, draws)[0] for outputs in learnt.values())


def test_a_set_without_such_a_feature_has_no_such_row() -> None:
    assert unit_outputs("spiral", _draws("spiral", 2)) == {}
