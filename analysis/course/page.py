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
from analysis.statistics.verdicts import Judgment

COMMAND = "python -m sweeps run"
TEST_WORDS = {"above": "above", "below": "below", "within": "within", "equals": "equal to"}


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
        return self.lesson.title if self.lesson else printable(self.settings.lesson.replace("_", " "))

    @property
    def is_whole(self) -> bool:
        """Whether all cells are trained."""
        return len(self.study.cells) >= self.study.header.n_trials

    @property
    def answer(self) -> str:
        """The answer in one sentence, or why there is none."""
        if not self.is_whole:
            return f"{len(self.study.cells)} of {self.study.header.n_trials} cells trained; nothing is judged before."
        if self.lesson is None:
            return "No claims are written for this lesson."
        return self.lesson.answer(Cells(self.study), self.judgments)


def told(study: Study) -> ToldLesson:
    """Return a lesson's study with its verdicts."""
    return ToldLesson(study, lesson_settings(study.header.data), lesson_of(study), tuple(judgments(study)))


def lesson_title(study: Study) -> str:
    """Return a lesson's report's title."""
    one = told(study)
    return f"Lesson: {one.title}"


def lesson_lead(study: Study) -> str:
    """Return a lesson's question."""
    return printable(lesson_settings(study.header.data).question)


def lesson_sections(study: Study) -> list[Section]:
    """Return a lesson's page."""
    return [lesson_section(told(study))]


def recorded_words(one: ToldLesson) -> str:
    """Return that a lesson's records came with the package, and how large they are."""
    n_cells, hours = len(one.study.cells), sum(cell.duration_s for cell in one.study.cells) / 3600
    return (
        f"Recorded, not run here: its full run of {n_cells} cells took {hours:.2g} hours of workers' time elsewhere, "
        f"and came with the package. {COMMAND} {one.settings.lesson} runs it smaller, with --full in this size."
    )


def lesson_section(one: ToldLesson, *, recorded: bool = False) -> Section:
    """Return a lesson's section, on a page of its own or in a course."""
    settings = one.settings
    blocks: list[Block] = [
        Paragraph(settings.question, "finding"),
        Paragraph(settings.done),
        Paragraph(how_it_ran(one)),
    ]
    if recorded:
        blocks.append(Paragraph(recorded_words(one), "finding"))
    if settings.changed:
        blocks.append(Paragraph(f"Changed on the command line: {'; '.join(settings.changed)}.", "finding"))
    failed = [cell for cell in one.study.cells if cell.reason is not None]
    if failed:
        blocks.append(Paragraph(f"{len(failed)} cells could not be trained, the first: {failed[0].reason}", "missing"))
    blocks.append(Guess(settings.guess, tuple(settings.options)))
    shown: list[Block] = [Paragraph(one.answer, "finding" if one.judgments else "missing")]
    if one.judgments and one.lesson is not None:
        shown += one.lesson.blocks(Cells(one.study))
        shown += [claims_table(one), conditions_table(one)]
    blocks.append(Folded("Show the answer", tuple(shown)))  # type: ignore[arg-type]
    blocks.append(Paragraph(f"What would change the answer: {settings.would_change}"))
    blocks.append(try_table(one))
    return Section(settings.lesson.replace("_", "-"), one.title, tuple(blocks))


def how_it_ran(one: ToldLesson) -> str:
    """Return in one sentence how much was trained."""
    parts = [
        f"{design['name']}: {sum(cell.params['design'] == design['name'] for cell in one.study.cells)} cells of "
        f"{design['n_replicas']} replicas, {design['looks'][-1]} epochs"
        for design in one.settings.designs
    ]
    size = {"default": "", "quick": "A quick run: fewer replicas, shorter training. ", "full": "A full run. "}
    return f"{size[one.settings.size]}Source: {one.settings.source}. {'; '.join(parts)}."


def _number(text: str) -> str:
    return text or "-"


def claims_table(one: ToldLesson) -> ReportTable:
    """Return each claim of the source with its verdict."""
    rows: list[tuple[Cell, ...]] = []
    for judgment in one.judgments:
        claim = judgment.claim
        side = f"{TEST_WORDS[claim.test]} {claim.even:g}" + (f" +- {claim.margin:g}" if claim.margin else "")
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
        "What the source says, and what the numbers say. A claim holds if the interval over all conditions lies where "
        "it says and none of the conditions denies it. Intervals of a claim hold together in 95 of 100 studies.",
        (
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("number", "No.", "text"),
            ReportColumn("verdict", "Verdict", "text"),
            ReportColumn("measure", "Measured", "text"),
            ReportColumn("claimed", "Claimed to be", "text"),
            ReportColumn("effect", "Found", "interval"),
            ReportColumn("n", "n"),
            ReportColumn("budget", "Held equal", "text"),
        ),
        tuple(rows),
    )


def conditions_table(one: ToldLesson) -> ReportTable:
    """Return what each condition says about each claim."""
    rows = tuple(
        (judgment.claim.words, condition or "all", cell_of(interval), finding, interval.method)
        for judgment in one.judgments
        for condition, interval, finding in judgment.within
    )
    return ReportTable(
        f"{slug(one)}-conditions",
        "Each claim under each condition.",
        (
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("condition", "Condition", "text"),
            ReportColumn("effect", "Found", "interval"),
            ReportColumn("finding", "That says", "text"),
            ReportColumn("method", "Interval", "text"),
        ),
        rows,
    )


def try_table(one: ToldLesson) -> ReportTable:
    """Return how a reader tries it: commands, and the Playground's address of some cells."""
    name = one.settings.lesson
    changeable = next((key for design in one.settings.designs for key in design["cross"] if key != "dataset"), None)
    rows: list[tuple[Cell, ...]] = [
        ("The same again", f"{COMMAND} {name}"),
        ("In half a minute", f"{COMMAND} {name} --quick"),
    ]
    if changeable is not None:
        value = one_level(one, changeable)
        rows.append(("One factor at one level", f"{COMMAND} {name} --set {changeable}={value}"))
    rows.append(("One cell again, every bit compared", f"python -m sweeps replay {one.study.header.sweep}/lesson 0"))
    with_page = [cell for cell in one.study.cells if cell.playground_url]
    for cell in with_page[:: max(1, len(with_page) // 4)][:4]:
        text = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in cell.params.items() if key != "design")
        rows.append((text, Link("open on the Playground", str(cell.playground_url))))
    if not with_page:
        rows.append(("On the Playground", Missing("its page has no such setting")))
    return ReportTable(
        f"{slug(one)}-try",
        "Try it yourself. A Playground address opens the setting with the first draw's points.",
        (ReportColumn("what", "What", "text"), ReportColumn("how", "How", "text")),
        tuple(rows),
    )


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
    entries = tuple(Entry(slug(one), one.title, one.settings.question, one.answer) for one in lessons)
    return Section("contents", "Questions and answers", (ContentsList(entries),))


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
        "Claims of the sources that the numbers contradict, everywhere or under some conditions, each with its "
        "measurement.",
        (
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("number", "No.", "text"),
            ReportColumn("verdict", "Verdict", "text"),
            ReportColumn("effect", "Found", "interval"),
            ReportColumn("lesson", "Lesson", "text"),
        ),
        rows,
    )
    blocks: tuple[Block, ...] = (table,) if rows else (Paragraph("No claim is contradicted."),)
    return Section("errata", "Errata: what the numbers contradict", blocks)


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
        "Lessons that are not in this course.",
        (ReportColumn("lesson", "Lesson", "text"), ReportColumn("why", "Why", "text")),
        tuple(left_out),
    )
    return Section("left-out", "Not in this course", (table,))
