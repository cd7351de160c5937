"""What one lesson's file has to say."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.course.cells import Cells
from analysis.formats.blocks import Block
from analysis.records.study import Study
from analysis.statistics.verdicts import Claim, Judgment, judge


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson's claims, what is drawn, and its answer.

    Parameters
    ----------
    title : str
        For the reader.
    claims : callable (Cells) -> list of Claim
        What the sources say, with what was measured about it.
    blocks : callable (Cells) -> list of Block
        Picture and table; names of files begin with the lesson's.
    answer : callable (Cells, judgments) -> str
        The answer in one sentence, made of the numbers.
    """

    title: str
    claims: Callable[[Cells], list[Claim]]
    blocks: Callable[[Cells], list[Block]]
    answer: Callable[[Cells, Sequence[Judgment]], str]


def lesson_of(study: Study) -> Lesson | None:
    """Return the lesson that a study's records are about: the file of its name in `analysis.lessons`, or None."""
    name = str(study.header.data.get("lesson", ""))
    if not name.isidentifier():
        return None
    try:
        module = importlib.import_module(f"analysis.lessons.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"analysis.lessons.{name}":
            raise
        return None
    lesson: Lesson = module.LESSON
    return lesson


def judgments(study: Study) -> list[Judgment]:
    """Return the verdict on each of a lesson's claims; none where not all cells are trained, or nobody wrote any."""
    lesson = lesson_of(study)
    if lesson is None or len(study.cells) < study.header.n_trials:
        return []
    return [judge(claim) for claim in lesson.claims(Cells(study))]
