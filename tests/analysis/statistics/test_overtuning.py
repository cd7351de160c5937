"""What a search promised against what fresh draws gave, on planted truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import record_builders as build

from analysis.formats.blocks import Paragraph, ReportTable
from analysis.records.events import Verdict
from analysis.records.study import Study, TrialRecord
from analysis.sections import overtuning as section
from analysis.statistics.comparison import winner_differences
from analysis.statistics.differences import recovered_difference
from analysis.statistics.intervals import Interval
from analysis.statistics.overtuning import STEPS, mean_loss, over_studies, steps

TRUTH, SPREAD = 0.3, 0.06


def planted(rng: np.random.Generator, n_trials: int = 50, sweep: str = "homework") -> Study:
    """Return a study whose trials all have the same true loss: whatever its best promises beyond that is luck."""
    study = Study(build.header(sweep, floor=None))

    def measured(stage: str, number: int, n: int, source: int | None = None) -> TrialRecord:
        losses = rng.normal(TRUTH, SPREAD, n)
        one = build.record(rng, stage=stage, number=number, n_replicas=n, floor=None, source=source)  # type: ignore[arg-type]
        return dataclasses.replace(one, test_loss=losses.tolist(), value=float(losses.mean()))

    study.records["search"] = [measured("search", i, 16) for i in range(n_trials)]
    order = sorted(study.trials, key=lambda trial: trial.value)
    study.records["finalist"] = [measured("finalist", i, 128, trial.number) for i, trial in enumerate(order[:10])]
    best = sorted(study.records["finalist"], key=lambda record: record.value)[:3]
    study.records["certificate"] = [measured("certificate", i, 1000, one.source) for i, one in enumerate(best)]
    winner = min(study.records["certificate"], key=lambda record: record.value)
    study.verdict = Verdict(True, winner.number, None, False, 0.05, 3, "budget", "planted")
    return study


def test_the_luck_that_a_search_chose_is_found_again() -> None:
    """The lowest of 50 means of 16 is 2.25 standard errors too low on average, the lowest of 10 means of 128 1.54."""
    found = [{step.name: step for step in steps(planted(np.random.default_rng(i)))} for i in range(30)]
    expected = {STEPS[0]: 2.249 * SPREAD / 4, STEPS[1]: 1.539 * SPREAD / math.sqrt(128)}
    for name, luck in expected.items():
        differences = [one[name].difference.estimate for one in found]
        assert np.mean(differences) == pytest.approx(luck, rel=0.15)
    relative = over_studies([one[STEPS[0]] for one in found])
    assert relative.low is not None
    assert relative.high is not None
    assert relative.low < math.exp(np.log(TRUTH / (TRUTH - expected[STEPS[0]]))) - 1 < relative.high


def test_where_nothing_was_chosen_nothing_is_found() -> None:
    found = [steps(planted(np.random.default_rng(100 + i), n_trials=1)) for i in range(30)]
    covered = [one[0].difference.low <= 0 <= one[0].difference.high for one in found]  # type: ignore[operator]
    assert sum(covered) >= 28


def test_a_tables_promise_is_of_folds_and_what_it_gave_of_test_rows() -> None:
    study = planted(np.random.default_rng(1))
    seeds = [f"search0.fold{k}.seed{i}" for k in range(4) for i in range(4)]
    trial = dataclasses.replace(study.trials[0], seeds=seeds)
    folds = np.array(trial.test_loss).reshape(4, 4).mean(axis=1)
    found = mean_loss(study.header, trial)
    assert found.n == 4
    assert found.estimate == pytest.approx(folds.mean())
    score = {"value": 0.9, "low": 0.8, "high": 0.95, "n_units": 70, "method": "Clopper and Pearson's"}
    judged = {"metric": "accuracy", "parts": {"singly": {"test": {"scores": {"accuracy": score}}}}}
    given = mean_loss(study.header, dataclasses.replace(study.records["certificate"][0], ensemble=judged))
    assert (given.estimate, given.low, given.high, given.n) == pytest.approx((0.1, 0.05, 0.2, 70))
    difference = recovered_difference(given, found)
    assert difference.estimate == pytest.approx(0.1 - folds.mean())
    assert found.high is not None
    assert found.estimate is not None
    assert difference.low == pytest.approx(difference.estimate - math.hypot(0.05, found.high - found.estimate))


def test_the_report_tells_every_step_and_the_mean_over_data_sets() -> None:
    studies = [planted(np.random.default_rng(i), sweep=f"sweep{i}") for i in range(4)]
    blocks = section.build([*studies, Study(build.header("new"))]).blocks
    told = [block.text for block in blocks if isinstance(block, Paragraph)]
    rows = next(block.rows for block in blocks if isinstance(block, ReportTable))
    assert len(rows) == 12
    assert all(isinstance(row[5], Interval) for row in rows)
    assert [text.partition(":")[0] for text in told if text.startswith("From ")] == [
        f"From {name}, over 4 data sets" for name in STEPS
    ]
    assert "new/XOR: not shown: nothing has been measured on fresh draws yet." in told
    assert section.build([Study(build.header())]).blocks[-1].role == "missing"  # type: ignore[union-attr]


def test_winners_of_tables_are_not_compared_by_networks_that_share_rows() -> None:
    studies = [build.finished_study(sweep=sweep, data={"kind": "table"}, n_trials=3) for sweep in ("one", "two")]
    told = "not compared: networks of one table share its rows, so that their spread is no measure of it"
    assert {one.difference.reason for one in winner_differences(studies)} == {told}
