"""All trials as rows, the pages of the best of them, and the JSON that the page's script reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import record_builders as build
from hypothesis import example, given
from hypothesis import strategies as st

from analysis.formats.blocks import number_text
from analysis.formats.workbench import compact, workbench_json, workbench_table
from analysis.report import render
from analysis.sections.workbench import MOST_PAGES, MOST_PAGES_IN_ALL, with_page, workbench
from analysis.statistics.homework import setting_text


@given(st.floats(-1e9, 1e9, allow_nan=False), st.sampled_from([3, 6]))
@example(0.09996, 3)
@example(24.036, 3)
@example(0.3125, 3)
@example(0.123450001, 6)
@example(0.99999999, 6)
def test_fewer_digits_never_change_what_the_report_says(value: float, digits: int) -> None:
    assert number_text(compact([value], digits)[0]) == number_text(value)


def test_what_is_no_finite_number_is_none() -> None:
    assert compact([float("nan"), float("inf"), None]) == [None, None, None]


def test_no_trial_no_table() -> None:
    study = build.finished_study("xor", n_trials=3)
    for records in study.records.values():
        records.clear()
    assert workbench([study]) is None
    assert workbench([]) is None


def test_every_record_of_every_stage_is_a_row_under_an_address_of_its_own() -> None:
    studies = [build.finished_study(name, i, n_trials=12) for i, name in enumerate(("xor", "xor", "gauss"))]
    bench = workbench(studies)
    assert bench is not None
    assert len(bench.rows) == sum(len(study.all_records()) for study in studies)
    assert len(set(bench.keys)) == len(bench.rows)
    assert {len(row) for row in bench.rows} == {len(bench.columns)}
    assert bench.keys[0] == "trial-xor-1-0"
    assert len(workbench_table(bench).rows) == len(bench.rows)


def test_the_best_trials_and_all_on_fresh_draws_have_pages() -> None:
    study = build.finished_study("xor", n_trials=80)
    complete = sorted((t for t in study.trials if t.state == "complete"), key=lambda t: (t.value, t.number))
    best = {(t.study, t.stage, t.number) for t in complete[:MOST_PAGES]}
    fresh = {("homework/xor", stage, 0) for stage in ("finalist", "certificate", "page_certificate")}
    assert with_page([study]) == best | fresh


def test_many_studies_share_the_pages() -> None:
    studies = [build.finished_study(f"set{i}", i, n_trials=30, n_certificate=5) for i in range(25)]
    searched = [one for one in with_page(studies) if one[1] == "search"]
    assert len(searched) == MOST_PAGES_IN_ALL


def test_a_page_has_the_whole_setting_every_replica_and_the_curves() -> None:
    study = build.finished_study("xor", n_trials=5)
    bench = workbench([study])
    assert bench is not None
    page = next(one for one in bench.pages if bench.keys[one.row] == "trial-xor-certificate-0")
    winner = study.winner
    assert winner is not None
    assert page.setting == setting_text(winner)
    assert page.replicas["test"] == winner.test_loss
    assert page.curves["out_of_range"] == winner.curves["out_of_range_loss_mean"]
    assert page.surface == "not shown: networks are kept for a winner only, and there is none yet"


def test_what_diverged_or_failed_has_a_row_without_a_loss() -> None:
    study = build.finished_study("xor", n_trials=2, n_certificate=3)
    rng = np.random.default_rng(0)
    study.records["search"] = [build.diverged(rng, 0), build.failed(rng, 1)]
    bench = workbench([study])
    assert bench is not None
    keys = [column.key for column in bench.columns]
    found = [dict(zip(keys, row, strict=True)) for row in bench.rows[:2]]
    assert [row["result"] for row in found] == ["diverged", "failed"]
    assert all(
        row[key] is None for row in found for key in ("test_loss", "train_loss", "in_range", "pass_rate", "epochs")
    )


def test_a_mean_over_fewer_points_than_the_cards_show_is_not_shown() -> None:
    study = build.finished_study("xor", n_trials=1, n_certificate=3)
    (trial,) = study.trials
    trial.n_out_of_range[:] = [0] * 15 + [9]
    bench = workbench([study])
    assert bench is not None
    keys = [column.key for column in bench.columns]
    row = dict(zip(keys, bench.rows[0], strict=True))
    assert row["out_of_range"] is None
    assert row["in_range"] is not None


def test_a_setting_that_no_search_trial_has_cannot_be_replayed() -> None:
    study = build.finished_study("xor", n_trials=5)
    study.records["page_search"] = [build.record(np.random.default_rng(3), stage="page_search", number=2)]
    bench = workbench([study])
    assert bench is not None
    commands = dict(zip(bench.keys, bench.commands, strict=True))
    assert commands["trial-xor-3"] == "python -m sweeps replay homework/xor 3"
    assert commands["trial-xor-page-search-2"] == ""


@pytest.mark.parametrize("payload", ["</script><script>alert(1)</script>", "<!--<script>", "a & b", "\u2028\x00"])
def test_no_name_ends_the_element_that_holds_the_data(payload: str) -> None:
    study = build.finished_study("xor", n_trials=4)
    for trial in study.trials:
        trial.params[payload] = payload
    bench = workbench([study])
    assert bench is not None
    text = workbench_json(bench, "data/all-trials.csv")
    assert not set(text) & set("<>&\u2028\x00")
    assert len(json.loads(text)["keys"]) == len(bench.rows)


def test_a_report_without_trials_has_no_script() -> None:
    study = build.finished_study("xor", n_trials=4)
    for records in study.records.values():
        records.clear()
    page = render([study]).files["index.html"].decode()
    assert "<script" not in page
    assert "script-src" not in page
