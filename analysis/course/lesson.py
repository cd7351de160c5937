"""What one lesson's file has to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.course.cells import Cells
from analysis.course.judging import file_of
from analysis.formats.blocks import Block
from analysis.records.study import Study
from analysis.statistics.verdicts import Claim, Judgment


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
    """Return the lesson that a study's records are about, or None."""
    lesson: Lesson | None = file_of(study)
    return lesson
