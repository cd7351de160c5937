"""What a study's answer is on a terminal, for kinds of data that have one of their own beside the sweep's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from analysis.records.lesson import LESSON
from analysis.records.polynomial import POLYNOMIAL
from analysis.records.study import Study


def table_answer(study: Study, *, is_told: bool = False) -> str | None:
    """Return how a study's network did beside the simple models, in the user's unit; None without a table's record.

    Parameters
    ----------
    study : Study
    is_told : bool
        Whether the same screen has the table's warnings already.
    """
    from analysis.records.table import read_table_record, table_path
    from sweeps.commands.printing import models_text

    path = table_path(study)
    return None if path is None else models_text(study, read_table_record(path), is_told=is_told)


def told_table_answer(study: Study) -> str | None:
    """Return the same for a screen that has the table's warnings already, from before the search."""
    return table_answer(study, is_told=True)


def polynomial_answer(study: Study) -> str:
    """Return what was found for each claim, or how many networks are still to be trained."""
    from analysis.polynomial.question import Question
    from analysis.polynomial.text import answer_text

    if study.verdict is None:
        n, n_all = len(study.networks), study.header.n_trials
        return f"{n} of {n_all} networks trained; nothing is judged before all are"
    return answer_text(Question(study))


def lesson_answer(study: Study) -> str:
    """Return a lesson's answer and its verdicts, or how many cells are still to be trained."""
    from analysis.course.text import answer_text

    return answer_text(study)


ANSWERS: Mapping[str, Callable[[Study], str | None]] = MappingProxyType(
    {"table": table_answer, POLYNOMIAL: polynomial_answer, LESSON: lesson_answer}
)


def kind_of_data(study: Study) -> str:
    """Return what the header says of its data."""
    return str(study.header.data.get("kind", ""))
