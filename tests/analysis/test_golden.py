"""A whole report, kept as a file that a person has read: any change of it shows as a difference in review.

``RANGESWEEP_WRITE_GOLDEN=1 python -m pytest tests/analysis/test_golden.py`` writes it again.
"""

from __future__ import annotations

import os
from pathlib import Path

import record_builders as build

from analysis.records.study import Study
from analysis.report import render

GOLDEN = Path(__file__).parents[1] / "golden" / "report.md"


def studies() -> list[Study]:
    """Return a finished study with an ablation, one of another sweep on the same dataset, and one not yet begun."""
    return [
        build.ablated(build.finished_study("xor", n_trials=12, n_certificate=24)),
        build.finished_study("xor", n_trials=12, n_certificate=24, sweep="second", seed=2),
        Study(build.header(dataset="circle", position=1)),
    ]


def test_the_report_in_markdown_is_the_one_that_was_read() -> None:
    text = render(studies()).files["report.md"].decode()
    if os.environ.get("RANGESWEEP_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text("utf-8")
