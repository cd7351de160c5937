"""The benchmark of verdicts has every kind of claim, and finds a planted fault."""

from __future__ import annotations

from typing import get_args

import pytest

from analysis.statistics import verdicts
from analysis.statistics.verdicts import Kind, Test
from benchmarks.verdicts import main, planted, report, simulate


def test_every_kind_of_claim_and_every_test_is_simulated():
    assert {case.kind for case in planted()} == set(get_args(Kind))
    assert {case.test for case in planted()} == set(get_args(Test))


def test_verdicts_are_wrong_in_at_most_one_study_of_twenty(capsys: pytest.CaptureFixture[str]):
    assert main(["--studies", "10"]) == 0
    assert "At 0.05 the simulation's own standard error is 0.069." in capsys.readouterr().out


def test_intervals_that_are_too_narrow_are_found(monkeypatch: pytest.MonkeyPatch):
    cases = [case for case in planted() if case.truth == (0.0,) and case.kind == "median" and case.test == "above"]
    monkeypatch.setattr(verdicts, "LEVEL", 0.5)
    ((_, wrong, _),) = simulate(cases, 200, 1)
    assert wrong > 40
    assert "200 studies each" in report([(cases[0], wrong, 200)], 200)
