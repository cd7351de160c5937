"""``benchmarks/loop.c``: its two forms train as the engine does, and nothing else in the process is touched."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import c_loops
from benchmarks.c_loops import LANES, c_peers, compiled, is_for, loops
from benchmarks.engine import NARROW, check_agreement
from benchmarks.engine_tables import c_loops_text, markdown, plain_text
from benchmarks.peers import Problem, engine_peer, numbers

NAMES = ["a C loop", "a C loop, blocked"]
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler `cc`")


@needs_cc
@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_c_loops_reach_the_loss_of_the_engine(activation: str, batch: int) -> None:
    config = next(c for c in NARROW if (c.sizes, c.activation, c.batch) == ((2, 8, 8, 1), activation, batch))
    in_c = c_peers(config, numbers(config, LANES))
    assert [peer.name for peer in in_c] == NAMES
    own = engine_peer(config, numbers(config, LANES), road="numpy")
    check_agreement(config, [own, *in_c])
    for peer in (own, *in_c):
        peer.run(20)  # until weights are far from where they began
    check_agreement(dataclasses.replace(config, tolerance=1e-4), [own, *in_c])


@needs_cc
def test_every_network_of_a_c_loop_trains_on_its_own_points() -> None:
    config = NARROW[0]
    problem = numbers(config, LANES)
    wanted = []
    for r in range(LANES):
        own = slice(r, r + 1)
        weights, biases = ([values[own] for values in layer] for layer in (problem.weights, problem.biases))
        alone = engine_peer(config, Problem(problem.X[own], problem.y[own], weights, biases), road="numpy")
        alone.run(3)
        assert alone.loss is not None
        wanted.append(alone.loss())
    assert len(set(wanted)) == LANES
    library = compiled(config)
    assert library is not None
    for loop in loops(library, config, problem).values():
        loop.run(3)
        np.testing.assert_allclose(loop.losses(), wanted, rtol=0, atol=config.tolerance)


@needs_cc
def test_loading_a_c_loop_leaves_subnormal_numbers_alone() -> None:
    c_peers(NARROW[0], numbers(NARROW[0], LANES))
    assert np.float32(2e-40) * np.float32(0.5) == np.float32(1e-40) != 0


def test_without_a_compiler_the_rows_are_left_out_and_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(c_loops.shutil, "which", lambda name: None)
    assert c_peers(NARROW[0], numbers(NARROW[0], LANES)) == []
    assert capsys.readouterr().err == "not measured: C loops; there is no C compiler `cc` on PATH\n"
    us = {"us_per_epoch_per_network": 5.0, "ratio": 1.0, "prepare_s": 0.0}
    rows = [{"config": "2-8-8-1 tanh", "batch": 10, "cores": 1, "peer": "this engine"} | us]
    left_out = "Loops in C are left out: they need one core to run on and a C compiler `cc`, for benchmarks/loop.c."
    assert plain_text("narrow", rows).splitlines()[-1] == left_out
    assert left_out in markdown("narrow", rows).splitlines()
    assert "left out" not in c_loops_text([*rows, rows[0] | {"peer": NAMES[0]}])
    assert "Loops in C" not in plain_text("homework", rows)


@needs_cc
def test_a_compiler_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "loop.c"
    source.write_text("#error no such thing\n", encoding="utf-8")
    monkeypatch.setattr(c_loops, "SOURCE", source)
    assert c_peers(NARROW[0], numbers(NARROW[0], LANES)) == []
    said = capsys.readouterr().err
    assert said.startswith("not measured: C loops; ")
    assert "no such thing" in said


def test_networks_that_the_c_loop_does_not_train_are_refused() -> None:
    assert {config.sizes for config in NARROW if is_for(config)} == {(2, 8, 8, 1), (1, 32, 32, 1)}
    three = dataclasses.replace(NARROW[0], batch=3)
    with pytest.raises(ValueError, match=r"^2-8-8-1 tanh, batch 3, 16 networks: loop.c does not train these$"):
        c_peers(three, numbers(three, LANES))
    config = NARROW[0]
    with pytest.raises(ValueError, match=r"^2-8-8-1 tanh, batch 10, 4 networks: loop.c does not train these$"):
        c_peers(config, numbers(config, 4))
