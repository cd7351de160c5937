"""The two tables, against plain recomputation from the records."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import record_builders as build

from analysis.records.study import Study
from analysis.statistics.homework import homework_rows, range_rows


def test_a_finished_study_gives_a_row_for_the_winner_and_one_for_the_page() -> None:
    rows = homework_rows([build.finished_study()])
    assert [(row.setting, row.stage, row.verdict) for row in rows] == [
        ("winner", "certificate", "certified"),
        ("page", "page_certificate", "certified"),
    ]


def test_the_winners_figures_are_its_certificates() -> None:
    study = build.finished_study()
    certificate = study.records["certificate"][0]
    row = homework_rows([study])[0]
    passed = [a < 0.1 and b < 0.1 for a, b in zip(certificate.train_loss, certificate.test_loss, strict=True)]
    assert row.test_loss.estimate == pytest.approx(np.mean(certificate.test_loss), rel=1e-14)
    assert row.pass_rate.estimate == np.mean(passed)
    assert row.floor == pytest.approx(np.mean(np.array(certificate.floor_test_loss, float)), rel=1e-14)
    assert row.n_replicas == row.test_loss.n == len(certificate.test_loss)


def test_the_search_value_is_that_of_the_trial_the_winner_repeats() -> None:
    study = build.finished_study()
    source = study.records["certificate"][0].source
    assert homework_rows([study])[0].search_value == study.trials[source or 0].value


def test_an_unfinished_study_shows_its_best_trial_and_says_so() -> None:
    study = build.finished_study()
    unfinished = Study(study.header)
    unfinished.records["search"] = study.trials
    row = homework_rows([unfinished])[0]
    assert (row.stage, row.verdict) == ("search", "unfinished: best search so far")
    assert row.record.value == min(trial.value for trial in study.trials)


def test_a_study_without_a_finished_trial_gives_no_row() -> None:
    assert homework_rows([Study(build.header())]) == []
    assert range_rows([Study(build.header())]) == []


def test_the_difference_is_paired_by_replica() -> None:
    study = build.finished_study()
    certificate = study.records["certificate"][0]
    row = range_rows([study])[0]
    pairs = zip(certificate.out_of_range_loss, certificate.in_range_loss, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    assert row.difference.estimate == pytest.approx(np.mean(differences), rel=1e-12)


def test_fewer_than_ten_points_give_a_sentence_in_place_of_a_number() -> None:
    study = build.finished_study()
    certificate = study.records["certificate"][0]
    n = len(certificate.test_loss)
    few = dataclasses.replace(
        certificate, n_out_of_range=[1, 1, 1] + [0] * (n - 3), out_of_range_loss=[0.1] * 3 + [None] * (n - 3)
    )
    study.records["certificate"] = [few]
    row = range_rows([study])[0]
    assert row.out_of_range.loss.estimate is None
    assert row.out_of_range.loss.reason == "not shown: 3 points out of range"
    assert row.difference.reason == "not shown: 3 points out of range"


def test_a_winner_that_did_not_pass_is_not_certified() -> None:
    study = build.finished_study()
    assert study.verdict is not None
    study.verdict = dataclasses.replace(study.verdict, certified=False)
    assert homework_rows([study])[0].verdict == "not certified"
