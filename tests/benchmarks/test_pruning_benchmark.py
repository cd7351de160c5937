"""The benchmark of pruning asks for searches that there are."""

from __future__ import annotations

import pytest

from benchmarks.pruning import GRID, KINDS, spec_of


@pytest.mark.parametrize("kind", KINDS)
def test_every_arm_is_the_homeworks_space_on_one_dataset(kind: str) -> None:
    spec = spec_of(kind, "xor", 48, 1)
    assert (spec.pruning.kind, spec.search.n_trials, spec.search.first) == (kind, 48, ())
    assert (spec.epochs.grid, [one.name for one in spec.datasets]) == (GRID, ["xor"])
