"""A lesson's answer as lines for a terminal, and the list of all claims with their verdicts as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from analysis.course.page import ToldLesson, left_out_words, recorded_words, told
from analysis.formats.cells import interval_text
from analysis.formats.markdown import markdown
from analysis.records.study import Study
from analysis.statistics.intervals import COUNTED
from analysis.statistics.verdicts import Judgment
from analysis.words import later, say, translated

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "26": later(
            "judged on the page of the polynomial study, `run quadratic`: the constrained network is better in total "
            "under the article's recipes, not at equal rate and length; see [quadratic.md](quadratic.md)"
        ),
        "29": later("a comparison, on the page of `run quadratic`: polynomial regression of degree 1 to 9"),
        "30": later(
            "judged by the polynomial study, `run quadratic`: the article's figures as printed, from its printed "
            "weights and from scratch"
        ),
        "31 to 64": later(
            "of the textbook and the lecture notes: those that stand in no table above are of lessons "
            "that have not been run here"
        ),
        "68": later("about seconds, which differ from run to run: judged on the page of `run perceptron`"),
    }
)
"""Why claims of the sources have no verdict here."""


SIZES: Mapping[str, str] = MappingProxyType(
    {"default": "", "quick": later(" A quick run: fewer replicas, shorter training."), "full": later(" A full run.")}
)


def effect_text(judgment: Judgment) -> str:
    """Return an effect with its interval."""
    return "-" if judgment.effect.estimate is None else " ".join(interval_text(judgment.effect)).strip()


def answer_text(study: Study) -> str:
    """Return question, answer and verdicts of a lesson."""
    one = told(study)
    size = SIZES[one.settings.size]
    lines = [translated(one.settings.question), f"{one.answer}{size}"]
    for judgment in one.judgments:
        n = "" if judgment.effect.method == COUNTED else f", n = {judgment.effect.n}"
        lines += [
            f"  {judgment.label}: {judgment.verdict}",
            f"    {judgment.claim.measure}: {effect_text(judgment)}{n}",
        ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class JudgedStudy:
    """A study that is no lesson, with its verdicts.

    Parameters
    ----------
    title, name : str
        For the reader, and for the command line.
    question, source : str
    judgments : tuple of Judgment
    note : str
        What else is to be said of its records.
    """

    title: str
    name: str
    question: str
    source: str
    judgments: tuple[Judgment, ...]
    note: str = ""


def claims_document(
    studies: Sequence[Study],
    not_run: Sequence[tuple[str, str]],
    *,
    recorded: Sequence[str] = (),
    others: Sequence[JudgedStudy] = (),
) -> str:
    """Return the document of all claims: source, verdict, effect, n.

    Parameters
    ----------
    studies : sequence of Study
        Of lessons.
    not_run : sequence of (str, str)
        Names of lessons without records here, and why.
    recorded : sequence of str
        Names of lessons whose records came with the package.
    others : sequence of JudgedStudy
        Studies that are no lessons, whose claims are judged in the same way.
    """
    parts = [
        say("# Lessons: what the sources claim, and what the numbers say"),
        say(
            "Written by `python -m sweeps course --claims docs/lessons.md`; do not edit it. Effects are over all "
            "conditions, with the interval that the verdict follows from; each lesson's page has the conditions."
        ),
    ]
    parts += [_lesson_part(told(study), recorded) for study in studies]
    parts += [_other_part(one) for one in others]
    judged = {judgment.claim.number for study in studies for judgment in told(study).judgments}
    judged |= {judgment.claim.number for one in others for judgment in one.judgments}
    reasons = [f"- {numbers}: {why}." for numbers, why in ELSEWHERE.items() if numbers not in judged]
    parts.append(say("## Claims without a verdict here\n\n") + "\n".join(reasons))
    if not_run:
        parts.append(
            say("## Not in this course\n\n") + "\n".join(f"- `{name}`: {markdown(why)}" for name, why in not_run)
        )
    return "\n\n".join(parts) + "\n"


def _lesson_part(one: ToldLesson, recorded: Sequence[str]) -> str:
    size = SIZES[one.settings.size]
    changed = (
        say(" Changed: {changed}.", changed=markdown("; ".join(one.settings.changed))) if one.settings.changed else ""
    )
    if one.settings.left_out:
        changed += f" {markdown(left_out_words(one.settings))}"
    if one.settings.lesson in recorded:
        changed += f" {markdown(recorded_words(one))}"
    lines = [
        f"## {markdown(one.title)} (`{one.settings.lesson}`)",
        "",
        f"{markdown(translated(one.settings.question))} {markdown(one.answer)}{size}{changed}",
        "",
        say("Source: {source}.", source=markdown(translated(one.settings.source))),
        "",
        *_table_lines(one.judgments),
    ]
    return "\n".join(lines)


def _other_part(one: JudgedStudy) -> str:
    heading = f"## {markdown(one.title)} (`{one.name}`)"
    return "\n".join(
        [
            heading,
            "",
            markdown(" ".join(filter(None, (translated(one.question), one.note)))),
            "",
            say("Source: {source}.", source=markdown(translated(one.source))),
            "",
            *_table_lines(one.judgments),
        ]
    )


def _table_lines(judgments: Sequence[Judgment]) -> list[str]:
    lines = [say("| No. | Claim | Verdict | Measured | Effect | n |"), "| :-- | :-- | :-- | :-- | --: | --: |"]
    for judgment in judgments:
        cells = (
            judgment.claim.number or "-",
            judgment.claim.words,
            judgment.verdict,
            judgment.claim.measure,
            effect_text(judgment),
            "-" if judgment.effect.method == COUNTED else str(judgment.effect.n),
        )
        lines.append("| " + " | ".join(markdown(cell) for cell in cells) + " |")
    return lines
