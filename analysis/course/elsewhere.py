"""What the report of a sweep says of the lesson about its own question: the command, and the answer if it was run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.course.page import COMMAND, told
from analysis.records.lines import RecordError
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from analysis.words import say

LESSON = "beyond_range"


def beyond_range_line(studies: Sequence[Study]) -> str:
    """Return which lesson asks what helps beyond the range, and its answer if it stands beside the sweeps' results."""
    line = say(
        "Which networks are right beyond their range, how far, and why: {command} {lesson}.",
        command=COMMAND,
        lesson=LESSON,
    )
    for results in dict.fromkeys(study.path.parents[2] for study in studies if study.path is not None):
        answer = _answer(results / LESSON)
        if answer:
            return f"{line} {answer}"
    return line


def _answer(folder: Path) -> str:
    """Return the lesson's answer, empty where it was not run or not to the end."""
    if not any(folder.glob("*/log.jsonl")):
        return ""
    try:
        (one,) = (told(study) for study in read_sweep(folder))
    except RecordError as error:
        return say("Its log cannot be read: {error}", error=error)
    return one.answer if one.is_whole else ""
