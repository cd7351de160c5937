"""The table section: numbers against hand-worked ones, and a sentence wherever there is no number."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import record_builders as build
from table_builders import table_record

from analysis.formats.blocks import Heading, Missing, Paragraph, Picture, ReportTable, number_text
from analysis.records.lines import RecordError
from analysis.records.reading import read_study
from analysis.records.table import TABLE_NAME, PartScores, RowScore, encode_table_record
from analysis.report import lead_sentence, render, write_report
from analysis.sections import answer, selection
from analysis.sections import table as section
from analysis.statistics.bounded import SHARED_ROWS, loss_interval
from analysis.statistics.comparison import arms
from analysis.statistics.homework import winner_record
from analysis.statistics.intervals import Interval
from analysis.statistics.selection import candidates, choices
from analysis.words import speaking


def write(folder, task="regression", with_network=True, network_changes=None, n_test_looks=1, network=0.9, **changes):
    """Write a study with its table's record; return it as read back."""
    record = table_record(task, n_test_looks, network)
    *baselines, last = record.models
    last = dataclasses.replace(last, **(network_changes or {}))
    models = (*baselines, last) if with_network else tuple(baselines)
    record = dataclasses.replace(record, **{"models": models, **changes})
    study = build.finished_study("xor", n_trials=3, n_certificate=15, data={"kind": "table"})
    path = build.write_study(study, folder)
    (path.parent / TABLE_NAME).write_bytes(encode_table_record(record))
    return read_study(path)


def texts(blocks, role=None):
    return [block.text for block in blocks if isinstance(block, Paragraph) and role in (None, block.role)]


def table(blocks, ending):
    return next(block for block in blocks if isinstance(block, ReportTable) and block.name.endswith(ending))


def test_a_study_that_is_of_no_table_has_no_section_in_the_report():
    study = build.finished_study("xor", n_trials=2)
    assert section.build([study]).blocks == ()
    assert "against simple models" not in render([study]).files["report.md"].decode()


def test_a_score_and_its_interval_are_those_of_the_rows(tmp_path):
    one = section.open_table_study(write(tmp_path), "houses")
    row = one.network.parts["test"].scores["rmse"]
    found = section.score_interval(one.network, "test", "rmse")
    assert (found.estimate, found.low, found.high, found.n) == (row.value, row.low, row.high, 50)
    assert section.score_interval(one.network, "later", "rmse").reason == "not measured"


def test_the_answer_for_a_table_stands_in_the_users_metric_beside_the_simple_model(tmp_path):
    study = write(tmp_path)
    one = section.open_table_study(study, "xor")
    blocks = answer.build([study]).blocks
    assert not any(isinstance(block, ReportTable) and block.name == "homework" for block in blocks)
    row = dict(zip([column.key for column in answer.TABLE_COLUMNS], table(blocks, "tables").rows[0], strict=True))
    assert row["metric"] == f"RMSE ({one.table.target.name})"
    assert row["network_test"].estimate == one.network.test["rmse"]
    assert row["baseline_test"].estimate == min(model.test["rmse"] for model in one.baselines)
    assert (row["best"], row["best_test"]) == ("gradient boosting", "gradient boosting")
    assert row["network"].estimate == pytest.approx(np.mean(one.network.validation["rmse"]))
    assert "of 1 table certified" in lead_sentence([study])


def test_a_certificate_that_no_test_row_could_score_does_not_speak_for_its_study(tmp_path):
    study = write(tmp_path)
    assert study.winner is not None
    assert winner_record(study).stage == "finalist"
    judged = dataclasses.replace(study.winner, ensemble={"passed": True})
    study.records["certificate"] = [judged]
    assert winner_record(study) is judged


@pytest.mark.parametrize(("low", "high", "told"), [
    (-3.0, -1.0, "better than gradient boosting"), (1.0, 3.0, "worse than gradient boosting"),
    (-1.0, 3.0, "not to be told apart from gradient boosting at n = 220"),
])  # fmt: skip
def test_better_and_worse_are_said_only_where_the_paired_interval_excludes_zero(tmp_path, low, high, told):
    one = dataclasses.replace(table_record().fold_differences[0], low=low, high=high, difference=(low + high) / 2)
    blocks = section.build([write(tmp_path, fold_differences=(one,))]).blocks
    (found,) = [text for text in texts(blocks, "finding") if text.startswith("XOR: in the folds, RMSE ")]
    assert f"Row by row the network is {told} (squared error a row differs by " in found
    assert found.endswith("The search chose the network by these folds, which flatters it.")


def test_findings_and_the_table_of_scores_are_told_in_the_language(tmp_path):
    study = write(tmp_path)
    with speaking("ko"):
        blocks = section.build([study]).blocks
    found = texts(blocks, "finding")
    assert any("어떤 탐색도 보지 않은 테스트 행" in text for text in found)
    assert any("행별로 견준 신경망: " in text for text in found)
    scores = table(blocks, "-scores")
    assert scores.rows[0][1].startswith("범위 안: 폴드의 검증 행, n = ")
    assert all(re.search("[가-힣]", text) for text in found if not text.startswith("경고: "))
    assert "at least as good" not in " ".join(texts(blocks))


def test_the_best_simple_model_on_the_test_rows_is_named_as_well_as_that_in_the_folds(tmp_path):
    record = table_record()
    linear = record.model("linear")
    scores = {"rmse": dataclasses.replace(linear.parts["test"].scores["rmse"], value=1.0, low=0.5, high=1.5)}
    better = dataclasses.replace(
        linear, parts={**linear.parts, "test": dataclasses.replace(linear.parts["test"], scores=scores)}
    )
    study = write(tmp_path)
    models = tuple(better if model.name == "linear" else model for model in record.models)
    (study.path.parent / TABLE_NAME).write_bytes(encode_table_record(dataclasses.replace(record, models=models)))
    found = [text for text in texts(section.build([study]).blocks, "finding") if "best simple model there" in text]
    assert "the best simple model there, gradient boosting, has" in found[0]
    assert f"the best simple model there, ridge regression, has {number_text(1)} ({number_text(0.5)} to " in found[1]
    row = dict(
        zip([c.key for c in answer.TABLE_COLUMNS], table(answer.build([study]).blocks, "tables").rows[0], strict=True)
    )
    assert (row["best"], row["best_test"]) == ("gradient boosting", "ridge regression")


def test_test_rows_and_looks_are_told(tmp_path):
    blocks = section.build([write(tmp_path, n_test_looks=3)]).blocks
    told = " ".join(texts(blocks))
    assert "Test rows: 50 (the rows of later.csv), set aside before anything looked; scored 3 times since." in told
    assert (
        "better than ridge regression (squared error a row differs by -0.0500, -0.0800 to -0.0200, Student t, 95 %); "
        "not to be told apart from gradient boosting at n = 50 (squared error a row differs by 0.0100, -0.0300 to "
        "0.0500, Student t, 95 %)."
    ) in told
    assert "Out of range: the 30 rows with area above 180.5, held out beforehand." in told
    rows = [row[1] for row in table(blocks, "-scores").rows if row[0] == "network"]
    assert rows[2:] == ["test rows: all, n = 50", "test rows: in range, n = 44", "test rows: out of range, n = 6"]


def test_what_the_columns_became_and_every_warning_is_shown(tmp_path):
    blocks = section.build([write(tmp_path)]).blocks
    rows = table(blocks, "-columns").rows
    assert [row[:3] for row in rows] == [
        ("Id", "identifier", "left out"),
        ("area", "number", "a number, standardized"),
        ("Größe", "category", "one input for each value"),
        ("동네", "category", "one input for each value"),
    ]
    assert "Warning: 'tax' is the target 'price' in disguise: the correlation of their values is 1." in texts(blocks)


def test_leaking_preprocessing_is_a_finding(tmp_path):
    changes = {"leaks": True, "preprocessing": "fitted on all rows together"}
    blocks = section.build([write(tmp_path, **changes)]).blocks
    assert "Preprocessing: fitted on all rows together." in texts(blocks, "finding")


def test_confusion_table_of_the_network(tmp_path):
    blocks = section.build([write(tmp_path, "classification")]).blocks
    confusion = table(blocks, "-confusion")
    assert [column.title for column in confusion.columns] == [
        "True class", "taken for no", "taken for yes", "Share right",
    ]  # fmt: skip
    assert confusion.rows[0] == ("no", 90, 10, 0.9)
    with_many = {"target": dataclasses.replace(table_record("classification").target, classes=("x",) * 40)}
    blocks = section.build([write(tmp_path / "many", "classification", **with_many)]).blocks
    assert "The confusion table is not shown: 40 classes, up to 12 fit." in texts(blocks, "missing")


def test_before_a_certificate_the_baselines_stand_alone(tmp_path):
    blocks = section.build([write(tmp_path, with_network=False)]).blocks
    assert "The network is not shown beside them: no network has been certified yet." in texts(blocks, "missing")
    models = {row[0] for row in table(blocks, "-scores").rows}
    assert models == {"constant", "ridge regression", "gradient boosting"}
    assert not [text for text in texts(blocks, "finding") if "at least as good" in text]


def test_before_any_score_a_sentence_says_so(tmp_path):
    changes = {"models": (), "goal_value": None, "held_out": None, "n_test_rows": 0}
    blocks = section.build([write(tmp_path, with_network=False, **changes)]).blocks
    missing = "Scores are not shown: no simple model has been fitted and no network certified."
    assert missing in texts(blocks, "missing")
    assert not [block for block in blocks if isinstance(block, Picture)]
    assert "No test rows. Nothing held out as out of range." in " ".join(texts(blocks))


def test_a_score_that_does_not_exist_is_a_reason_and_no_number(tmp_path):
    scores = {
        "rmse": RowScore(None, None, None, 15, "a prediction is not finite"),
        "mae": RowScore(1.0, 0.5, 2.0, 15, "t"),
    }
    none = {"validation": {"rmse": (None,) * 15, "mae": (1.0,) * 15}, "out_of_range": {}, "test": {}}
    none["parts"] = {"validation": PartScores(15, "row", scores)}
    blocks = section.build([write(tmp_path, network_changes=none)]).blocks
    assert "XOR: the network has no RMSE in some fold; not compared." in texts(blocks, "finding")
    row = table(blocks, "-scores").rows[-1]
    assert row[0] == "network"
    assert isinstance(row[2], Missing)
    assert isinstance(row[3], Interval)
    assert row[3].estimate == 1.0


def test_several_studies_share_no_file_name_and_the_whole_report_is_written(tmp_path):
    studies = [write(tmp_path / "a"), write(tmp_path / "b", "classification")]
    blocks = section.build(studies).blocks
    assert len([block for block in blocks if isinstance(block, Heading)]) == 2
    names = [block.name for block in blocks if isinstance(block, ReportTable | Picture)]
    assert len(set(names)) == len(names) == 9
    page = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "report")
    assert "동네" in page.read_text(encoding="utf-8")


def test_sections_about_drawn_data_leave_tables_out(tmp_path):
    study, other = write(tmp_path), build.finished_study("gauss", n_trials=3)
    alone = render([study]).files["report.md"].decode()
    assert "1 of 1 table certified: the goal reached on test rows that no search had seen." in alone
    assert not [text for text in ("pass rate", "How sure", "Playground page", "fresh draws that no") if text in alone]
    assert "## All trials" in alone
    both = render([other, study]).files["report.md"].decode()
    assert "1 of 1 dataset certified" in both
    assert "## How sure" in both


def test_a_study_whose_record_is_gone_says_so(tmp_path):
    study = write(tmp_path)
    (study.path.parent / TABLE_NAME).unlink()
    told = "XOR: not shown: table.json is not beside its log; the sweep's command writes it again."
    assert texts(section.build([study]).blocks) == [told]


def test_a_damaged_record_names_its_file(tmp_path):
    study = write(tmp_path)
    path = study.path.parent / TABLE_NAME
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match=r"table\.json: line 1: "):
        section.build([study])


def test_networks_that_share_rows_have_means_and_no_intervals(tmp_path):
    """Fifteen networks of five folds are not fifteen observations; search trials do not keep the losses of rows."""
    study = build.finished_study("xor", n_trials=30, data={"kind": "table"})
    arm_sets = arms(study, least=2)
    assert arm_sets
    for arm in (arm for one in arm_sets for arm in one.arms):
        interval = arm.interval("test_loss")
        assert interval.estimate is not None
        assert (interval.low, interval.high, interval.reason) == (None, None, SHARED_ROWS)
    for difference in (difference for one in arm_sets for difference in one.differences):
        assert (difference.difference.low, difference.p_value) == (None, None)
    data = candidates(study.trials)
    assert data is not None
    assert {choice.price.low for choice in choices(data, None) if choice.price.n and choice.price.estimate} <= {None}
    rules = table(selection.build([study]).blocks, "selection")
    assert all(cell.low is None for row in rules.rows for cell in row if isinstance(cell, Interval) and cell.estimate)
    drawn = build.finished_study("xor", n_trials=30)
    assert all(arm.interval("test_loss").low is not None for one in arms(drawn, least=2) for arm in one.arms)
    trial = study.trials[0]
    assert loss_interval(study.header, trial, trial.test_loss).low is None
    assert loss_interval(drawn.header, trial, trial.test_loss).low is not None
