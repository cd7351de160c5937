"""``benchmarks/dead_networks.py``: it runs, covers every setting, and fails above its limit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import dead_networks as benchmark
from benchmarks.dead_networks import CAUSES, PENALTIES, Case, Run, grid, main, with_subnormals
from engine.methods.activations import ACTIVATIONS
from engine.methods.optimizers import OPTIMIZERS
from engine.roads import plain
from engine.roads.compiled import session as kernels


def test_every_optimizer_penalty_and_activation_dies_in_it() -> None:
    cases = [case for _, group in grid(quick=False) for case in group]
    died = {(case.optimizer, case.penalty, case.activation) for case in cases if case.cause == "sinking"}
    assert len(died) == len(OPTIMIZERS) * len(PENALTIES) * (len(ACTIVATIONS) - 1)  # step cannot be trained
    assert {case.cause for case in cases} == set(CAUSES)


def test_a_quick_run_names_the_machine_and_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "sgd, l2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"\d+ cores of .*, load [\d.]+ before it began; Python ", lines[0])
    assert re.fullmatch(r"\| 2-8-8-1, sgd, l2 \| 2 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \w+, sgd, sinking \|", lines[3])
    assert re.fullmatch(r"worst: [\d.]+ × \(limit 1.5\)", lines[4])


def test_above_the_limit_it_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark, "measure", lambda case, *effort: (3.2 if case.activation == "elu" else 2.0, 2.0))
    assert main(["--only", "rmsprop, l2"]) == 1
    assert "| 2-8-8-1, rmsprop, l2 | 10 | 2 | 1.60 | 1.00 | elu, rmsprop, sinking |" in capsys.readouterr().out


def test_a_sinking_network_sinks_below_the_normal_numbers() -> None:
    case = Case(penalty="weight_decay", cause="sinking", n_replicas=1)
    with with_subnormals():
        run = Run(case)
        run.window(120)
    least = np.finfo(np.float32).tiny
    assert any(((W != 0) & (np.abs(W) < least)).any() for W in run.parameters.weights)
    assert kernels.subnormals_are_zero is plain.subnormals_are_zero
