"""``benchmarks/first_settings.py``: it compares what the main job asks first, on draws that nobody else has."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks.first_settings import FIRST_SEED, losses, main, shown
from engine.playground.draws import draw
from sweeps.data.playground import N_PAGE_SEEDS
from sweeps.spec.sweep import load_spec, open_source


def test_each_set_has_a_row_with_both_and_their_difference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["first_settings.py", "--draws", "2"])
    main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if re.match(r"\| [a-z]+ \|", line)]
    rows = [row for row in rows if row[0] != "| set"]
    assert [row[0] for row in rows] == ["| gauss", "| xor", "| circle", "| spiral"]
    now = {shown(dict(params)) for params in load_spec("homework").search.first}
    for _, before, old, after, new, difference in rows:
        assert "adam" in before
        assert after in now
        assert float(difference.split(" ±")[0]) == pytest.approx(float(new) - float(old), abs=2e-4)


def test_its_draws_are_no_ones_and_other_draws_are_other_losses() -> None:
    assert FIRST_SEED >= 10 * N_PAGE_SEEDS
    spec = load_spec("homework")
    source = open_source(spec, spec.datasets[0])
    params = dict(spec.search.first[0])
    seeds = tuple(f"0.{FIRST_SEED + k}" for k in range(3))
    found = losses(spec, source, params, seeds)
    assert len(set(found.tolist())) == 3
    np.testing.assert_array_equal(found[:1], losses(spec, source, params, seeds)[:1])
    assert not np.array_equal(draw("gauss", 0.2, 0.7, seeds[:1]).test.X, draw("gauss", 0.2, 0.7, seeds[1:2]).test.X)
