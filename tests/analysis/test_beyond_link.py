"""Every sweep's report names the lesson about what helps beyond the range, with its answer where it was run."""

from __future__ import annotations

import record_builders as build

from analysis.course import elsewhere
from analysis.records.reading import read_sweep
from analysis.report import render

LINE = "Which networks are right beyond their range, how far, and why: python -m sweeps run beyond_range."


def test_the_command_stands_in_every_report(tmp_path):
    folder = build.homework(tmp_path / "results", n_trials=4)
    page = render(read_sweep(folder)).files["report.md"].decode()
    assert page.count(LINE.replace("_", "\\_")) == 1


def test_the_answer_stands_beside_it_where_the_lesson_was_run_to_the_end(tmp_path, monkeypatch):
    studies = read_sweep(build.homework(tmp_path / "results", n_trials=4))
    assert elsewhere.beyond_range_line(studies) == LINE
    lesson = tmp_path / "results" / "beyond_range" / "lesson" / "log.jsonl"
    lesson.parent.mkdir(parents=True)
    lesson.write_text("no record\n")
    assert elsewhere.beyond_range_line(studies).startswith(f"{LINE} Its log cannot be read: ")
