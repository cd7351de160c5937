"""Verdicts on a lesson's claims: what a study's own verdict needs of a lesson's file, and nothing that is drawn."""

from __future__ import annotations

import importlib
from typing import Any

from analysis.course.cells import Cells
from analysis.records.study import Study
from analysis.statistics.verdicts import Claim, Judgment, judge


def file_of(study: Study) -> Any | None:
    """Return the `LESSON` of the file in `analysis.lessons` that bears the lesson's name, or None where there is none.

    See `analysis.course.lesson.Lesson`.
    """
    name = str(study.header.data.get("lesson", ""))
    if not name.isidentifier():
        return None
    try:
        module = importlib.import_module(f"analysis.lessons.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"analysis.lessons.{name}":
            raise
        return None
    return module.LESSON


def judgments(study: Study) -> list[Judgment]:
    """Return the verdict on each of a lesson's claims; none where not all cells are trained, or nobody wrote any."""
    lesson = file_of(study)
    if lesson is None or len(study.cells) < study.header.n_trials:
        return []
    claims: list[Claim] = lesson.claims(Cells(study))
    return [judge(claim) for claim in claims]
