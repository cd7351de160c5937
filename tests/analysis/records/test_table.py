"""A table study's record: written, read back, and refused where it is damaged."""

from __future__ import annotations

import dataclasses
import json

import pytest
from table_builders import table_record

from analysis.records.lines import RecordError, encode_line
from analysis.records.table import TABLE_NAME, encode_table_record, read_table_record, scores_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / TABLE_NAME


def changed(record, change):
    data = json.loads(json.dumps(dataclasses.asdict(record)))
    change(data)
    return encode_line("table", data).encode()


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_what_is_written_is_read_back(path, task):
    record = table_record(task)
    path.write_bytes(encode_table_record(record))
    assert read_table_record(path) == record
    assert encode_table_record(read_table_record(path)) == path.read_bytes()


def test_a_study_that_has_only_begun_has_a_record_too(path):
    record = dataclasses.replace(table_record(), models=(), test_differences=(), goal_value=None, held_out=None)
    path.write_bytes(encode_table_record(record))
    assert read_table_record(path) == record


def test_scores_that_are_not_finite_are_none():
    assert scores_of({"rmse": [1, float("inf"), float("nan")]}) == {"rmse": (1.0, None, None)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("leaks"), "table.leaks: missing; it is not of this version"),
        (lambda data: data.update(more=1), "table.more: unknown; it is not of this version"),
        (lambda data: data.update(n_folds=True), "table.n_folds: True; expected int; it is not of this version"),
        (
            lambda data: data["target"].update(task="ranking"),
            "table.target.task: 'ranking'; expected Literal; it is not of this version",
        ),
        (
            lambda data: data["models"][0]["validation"].update(rmse=["3"]),
            "table.models[0].validation.rmse[0]: '3'; expected float; it is not of this version",
        ),
        (
            lambda data: data.update(held_out=[]),
            "table.held_out: a list; expected an object; it is not of this version",
        ),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_named(path, change, message):
    path.write_bytes(changed(table_record(), change))
    with pytest.raises(RecordError) as caught:
        read_table_record(path)
    assert str(caught.value) == f"{path}: {message}"


def test_an_altered_torn_or_missing_file_is_refused(path):
    with pytest.raises(RecordError, match=r"No such file or directory; run the sweep again$"):
        read_table_record(path)
    content = encode_table_record(table_record())
    path.write_bytes(content.replace(b'"n_folds":5', b'"n_folds":4'))
    with pytest.raises(RecordError, match=r"line 1: altered \(its SHA-256 does not match\)"):
        read_table_record(path)
    path.write_bytes(content[:100])
    with pytest.raises(RecordError, match="line 1: not a log line"):
        read_table_record(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match="not UTF-8"):
        read_table_record(path)
    path.write_bytes(encode_line("verdict", {}).encode())
    with pytest.raises(RecordError, match=r"a 'verdict' record; expected 'table'$"):
        read_table_record(path)
