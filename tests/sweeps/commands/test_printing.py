"""What is printed says how much is behind it, once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import record_builders as build
from table_builders import table_record

from analysis.records.study import Study
from analysis.statistics.homework import range_rows
from sweeps.commands.printing import models_text, range_text


def test_the_table_in_and_out_of_range_says_how_many_draws() -> None:
    study = build.finished_study("gauss", 0)
    (row, *_) = range_rows([study])
    heading, line = range_text([row]).splitlines()
    cells = dict(zip(heading.split(" | "), line.split(" | "), strict=True))
    assert cells["n draws"].strip() == str(row.n_replicas) == str(row.in_range.loss.n)
    fewer = dataclasses.replace(row.out_of_range, loss=dataclasses.replace(row.out_of_range.loss, n=3))
    line = range_text([dataclasses.replace(row, out_of_range=fewer)]).splitlines()[1]
    assert line.split(" | ")[2].strip() == f"{row.n_replicas}, 3"


def test_a_table_says_how_many_rows_are_behind_each_column() -> None:
    record = table_record()
    text = models_text(Study(build.header()), record)
    heading = next(line for line in text.splitlines() if line.startswith("  model"))
    n = {part: model.parts[part].n_rows for model in record.models for part in model.parts}
    assert f"validation rows of the folds, n = {n['validation']}" in heading
    assert f"test rows, n = {n['test']}" in heading


@pytest.mark.parametrize(("n", "said"), [(1, "1 warning"), (2, "2 warnings")])
def test_warnings_that_are_on_the_screen_already_are_counted_not_repeated(n: int, said: str) -> None:
    warnings = tuple(f"warning number {k}" for k in np.arange(n))
    record = dataclasses.replace(table_record(), warnings=warnings, notes=("a note", "another"))
    study = Study(build.header())
    first, *others = models_text(study, record, is_told=True).splitlines()
    assert first == f"{study.header.dataset}: {said}, above, before the search"
    assert "  2 notes, in the report" in others
    assert "warning number" not in "".join(others)
    full = models_text(study, record).splitlines()
    assert full[:n] == [f"{study.header.dataset}: {warning}" for warning in warnings]
    assert "  a note" in full
