"""A lesson as a page, and lessons as a course: question, what was done, guess, picture, table, verdicts, try it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.course.cells import Cells
from analysis.course.judging import judgments
from analysis.course.lesson import Lesson, lesson_of
from analysis.formats.blocks import (
    Block,
    Cell,
    ContentsList,
    Entry,
    Folded,
    Guess,
    Link,
    Missing,
    Paragraph,
    ReportColumn,
    ReportTable,
    Section,
    printable,
)
from analysis.formats.blocks import shown as cell_of
from analysis.records.lesson import LessonSettings, lesson_settings
from analysis.records.study import Study
from analysis.statistics.homework import setting_title
from analysis.statistics.verdicts import Judgment
from analysis.words import ENGLISH, language, later, say, translated

COMMAND = "python -m sweeps run"
TEST_WORDS = {
    "above": later("above {even:g}"),
    "below": later("below {even:g}"),
    "within": later("within {even:g} +- {margin:g}"),
    "equals": later("equal to {even:g}"),
}


@dataclass(frozen=True, slots=True)
class ToldLesson:
    """A lesson with what its records say."""

    study: Study
    settings: LessonSettings
    lesson: Lesson | None
    judgments: tuple[Judgment, ...]

    @property
    def title(self) -> str:
        """The lesson's title, or its name where nobody gave it one."""
        return translated(self.lesson.title) if self.lesson else printable(self.settings.lesson.replace("_", " "))

    @property
    def is_whole(self) -> bool:
        """Whether all cells are trained."""
        return len(self.study.cells) >= self.study.header.n_trials

    @property
    def answer(self) -> str:
        """The answer in one sentence, or why there is none."""
        if not self.is_whole:
            return say(
                "{n_cells} of {n_trials} cells trained; nothing is judged before.",
                n_cells=len(self.study.cells),
                n_trials=self.study.header.n_trials,
            )
        if self.lesson is None:
            return say("No claims are written for this lesson.")
        if self.study.cells and all(cell.reason is not None for cell in self.study.cells):
            return say("No cell could be trained: {reason}.", reason=printable(str(self.study.cells[0].reason)))
        return self.lesson.answer(Cells(self.study), self.judgments)


def told(study: Study) -> ToldLesson:
    """Return a lesson's study with its verdicts."""
    return ToldLesson(study, lesson_settings(study.header.data), lesson_of(study), tuple(judgments(study)))


def lesson_title(study: Study) -> str:
    """Return a lesson's report's title."""
    one = told(study)
    return say("Lesson: {title}", title=one.title)


def lesson_lead(study: Study) -> str:
    """Return a lesson's question."""
    return printable(translated(lesson_settings(study.header.data).question))


def lesson_sections(study: Study) -> list[Section]:
    """Return a lesson's page."""
    return [lesson_section(told(study))]


def recorded_words(one: ToldLesson) -> str:
    """Return that a lesson's records came with the package, and how large they are."""
    n_cells, hours = len(one.study.cells), sum(cell.duration_s for cell in one.study.cells) / 3600
    return say(
        "Recorded, not run here: its full run of {n_cells} cells took {hours:.2g} hours of workers' time elsewhere, "
        "and came with the package. {command} runs it smaller, with --full in this size.",
        n_cells=n_cells,
        hours=hours,
        command=f"{COMMAND} {one.settings.lesson}",
    )


def recorded_study_words(study: Study) -> str:
    """Return that a study's networks came with the package, and how long they took from the first to the last."""
    begun = min(network.started_at_s for network in study.networks)
    minutes = (max(network.started_at_s + network.duration_s for network in study.networks) - begun) / 60
    return say(
        "Recorded, not run here: its {n} networks took {minutes:.2g} minutes elsewhere, and came with the package. "
        "{command} runs it.",
        n=len(study.networks),
        minutes=minutes,
        command=f"{COMMAND} {study.header.sweep}",
    )


def left_out_words(settings: LessonSettings) -> str:
    """Return which datasets a lesson lacks, and how to get them."""
    return say(
        "Not at hand, and left out with all that is said of it: {names}. With a network {command} fetches it; "
        "without one, put its files into a folder and set SWEEPS_DATA to that folder.",
        names=", ".join(settings.left_out),
        command=f"{COMMAND} {settings.lesson}",
    )


def lesson_section(one: ToldLesson, *, recorded: bool = False) -> Section:
    """Return a lesson's section, on a page of its own or in a course."""
    settings = one.settings
    blocks: list[Block] = [
        Paragraph(translated(settings.question), "finding"),
        Paragraph(translated(settings.done)),
        Paragraph(how_it_ran(one)),
    ]
    if recorded:
        blocks.append(Paragraph(recorded_words(one), "finding"))
    if settings.changed:
        blocks.append(
            Paragraph(say("Changed on the command line: {changed}.", changed="; ".join(settings.changed)), "finding")
        )
    if settings.left_out:
        blocks.append(Paragraph(left_out_words(settings), "missing"))
    failed = [cell for cell in one.study.cells if cell.reason is not None]
    if failed:
        blocks.append(
            Paragraph(
                say(
                    "{n_failed} cells could not be trained, the first: {reason}",
                    n_failed=len(failed),
                    reason=failed[0].reason,
                ),
                "missing",
            )
        )
    blocks.append(Guess(translated(settings.guess), tuple(map(translated, settings.options))))
    shown: list[Block] = [Paragraph(one.answer, "finding" if one.judgments else "missing")]
    if one.judgments and one.lesson is not None:
        shown += one.lesson.blocks(Cells(one.study))
        shown += [claims_table(one), conditions_table(one)]
    blocks.append(Folded(say("Show the answer"), tuple(shown)))  # type: ignore[arg-type]
    blocks.append(
        Paragraph(say("What would change the answer: {would_change}", would_change=translated(settings.would_change)))
    )
    blocks.append(try_table(one))
    return Section(settings.lesson.replace("_", "-"), one.title, tuple(blocks))


def how_it_ran(one: ToldLesson) -> str:
    """Return in one sentence how much was trained."""
    parts = [
        say(
            "{design}: {n_cells} cells of {n_replicas} replicas, {epochs} epochs",
            design=design["name"],
            n_cells=sum(cell.params["design"] == design["name"] for cell in one.study.cells),
            n_replicas=design["n_replicas"],
            epochs=design["looks"][-1],
        )
        for design in one.settings.designs
    ]
    size = {"default": "", "quick": say("A quick run: fewer replicas, shorter training. "), "full": say("A full run. ")}
    return say(
        "{size}Source: {source}. {parts}.",
        size=size[one.settings.size],
        source=translated(one.settings.source),
        parts="; ".join(parts),
    )


def _number(text: str) -> str:
    return text or "-"


def claims_table(one: ToldLesson) -> ReportTable:
    """Return each claim of the source with its verdict."""
    rows: list[tuple[Cell, ...]] = []
    for judgment in one.judgments:
        claim = judgment.claim
        side = translated(TEST_WORDS[claim.test]).format(even=claim.even, margin=claim.margin)
        rows.append(
            (
                claim.words,
                _number(claim.number),
                judgment.verdict,
                claim.measure,
                side,
                cell_of(judgment.effect),
                judgment.effect.n,
                claim.budget,
            )
        )
    return ReportTable(
        f"{slug(one)}-claims",
        say(
            "What the source says, and what the numbers say. A claim holds if the interval over all conditions lies "
            "where it says and none of the conditions denies it. Intervals of a claim hold together in 95 of 100 "
            "studies."
        ),
        (
            ReportColumn("claim", say("Claim"), "text"),
            ReportColumn("number", say("No."), "text"),
            ReportColumn("verdict", say("Verdict"), "text"),
            ReportColumn("measure", say("Measured"), "text"),
            ReportColumn("claimed", say("Claimed to be"), "text"),
            ReportColumn("effect", say("Found"), "interval"),
            ReportColumn("n", "n"),
            ReportColumn("budget", say("Held equal"), "text"),
        ),
        tuple(rows),
    )


def conditions_table(one: ToldLesson) -> ReportTable:
    """Return what each condition says about each claim."""
    rows = tuple(
        (
            judgment.claim.words,
            condition or say("all"),
            cell_of(interval),
            translated(finding),
            translated(interval.method),
        )
        for judgment in one.judgments
        for condition, interval, finding in judgment.within
    )
    return ReportTable(
        f"{slug(one)}-conditions",
        say("Each claim under each condition."),
        (
            ReportColumn("claim", say("Claim"), "text"),
            ReportColumn("condition", say("Condition"), "text"),
            ReportColumn("effect", say("Found"), "interval"),
            ReportColumn("finding", say("That says"), "text"),
            ReportColumn("method", say("Interval"), "text"),
        ),
        rows,
    )


def try_table(one: ToldLesson) -> ReportTable:
    """Return how a reader tries it: commands, and the Playground's address of some cells."""
    name = one.settings.lesson
    changeable = next((key for design in one.settings.designs for key in design["cross"] if key != "dataset"), None)
    rows: list[tuple[Cell, ...]] = [
        (say("The same again"), f"{COMMAND} {name}"),
        (say("In half a minute"), f"{COMMAND} {name} --quick"),
    ]
    if changeable is not None:
        value = one_level(one, changeable)
        rows.append(
            (
                say("One factor at one level"),
                f"{COMMAND} {name} --set {changeable}={value}",
            )
        )
    rows.append(
        (
            say("One cell again, every bit compared"),
            f"python -m sweeps replay {one.study.header.sweep}/lesson 0",
        )
    )
    with_page = [cell for cell in one.study.cells if cell.playground_url]
    for cell in with_page[:: max(1, len(with_page) // 4)][:4]:
        text = ", ".join(f"{_key_text(key)} {value}" for key, value in cell.params.items() if key != "design")
        rows.append((text, Link(say("open on the Playground"), str(cell.playground_url))))
    if not with_page:
        rows.append((say("On the Playground"), Missing(say("its page has no such setting"))))
    return ReportTable(
        f"{slug(one)}-try",
        say("Try it yourself. A Playground address opens the setting with the first draw's points."),
        (ReportColumn("what", say("What"), "text"), ReportColumn("how", say("How"), "text")),
        tuple(rows),
    )


def _key_text(key: str) -> str:
    """Return a setting's key as it is typed, or its name in another language than English."""
    name = key.rpartition(".")[2]
    return name if language() == ENGLISH else setting_title(key)


def one_level(one: ToldLesson, key: str) -> str:
    """Return a level of a factor as the command line takes it."""
    for design in one.settings.designs:
        if key in design["cross"]:
            levels = design["cross"][key]
            return str(levels[len(levels) // 2]).replace(" ", "")
    return ""


def slug(one: ToldLesson) -> str:
    """Return what file names of a lesson begin with."""
    return one.settings.lesson.replace("_", "-")


def contents_section(lessons: Sequence[ToldLesson]) -> Section:
    """Return the course's first section: each question with its answer in one sentence."""
    entries = tuple(Entry(slug(one), one.title, translated(one.settings.question), one.answer) for one in lessons)
    return Section("contents", say("Questions and answers"), (ContentsList(entries),))


def contradicted(lessons: Sequence[ToldLesson]) -> Section:
    """Return the errata: what the sources say that the numbers contradict."""
    rows = tuple(
        (judgment.claim.words, _number(judgment.claim.number), judgment.verdict, cell_of(judgment.effect), one.title)
        for one in lessons
        for judgment in one.judgments
        if judgment.word in ("does not hold", "holds only under")
    )
    table = ReportTable(
        "errata",
        say(
            "Claims of the sources that the numbers contradict, everywhere or under some conditions, each with its "
            "measurement."
        ),
        (
            ReportColumn("claim", say("Claim"), "text"),
            ReportColumn("number", say("No."), "text"),
            ReportColumn("verdict", say("Verdict"), "text"),
            ReportColumn("effect", say("Found"), "interval"),
            ReportColumn("lesson", say("Lesson"), "text"),
        ),
        rows,
    )
    blocks: tuple[Block, ...] = (table,) if rows else (Paragraph(say("No claim is contradicted.")),)
    return Section("errata", say("Errata: what the numbers contradict"), blocks)


def course_sections(studies: Sequence[Study], recorded: Sequence[str] = ()) -> list[Section]:
    """Return a course of lessons, in the order given; `recorded` names those that were not run here."""
    lessons = [told(study) for study in studies]
    return [
        contents_section(lessons),
        *(lesson_section(one, recorded=one.settings.lesson in recorded) for one in lessons),
        contradicted(lessons),
    ]


def left_out_section(left_out: Sequence[tuple[str, str]]) -> Section:
    """Return which lessons are not in the course, and why."""
    table = ReportTable(
        "left-out",
        say("Lessons that are not in this course."),
        (ReportColumn("lesson", say("Lesson"), "text"), ReportColumn("why", say("Why"), "text")),
        tuple(left_out),
    )
    return Section("left-out", say("Not in this course"), (table,))
