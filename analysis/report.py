"""Write the report of one or more sweeps: which sections, in which order, on which page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2

from analysis.formats.blocks import (
    Animation,
    Block,
    Cards,
    Folded,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    Stills,
    file_names,
    printable,
    sweep_names,
)
from analysis.formats.collecting import rare_collections
from analysis.formats.drawing import Drawing, FigureFormat, has_letters
from analysis.formats.markdown import markdown
from analysis.formats.pages import Pages, add_section, place
from analysis.formats.side_by_side import ALONE, Drawers, draw_all
from analysis.formats.trial_rows import Workbench
from analysis.records.lesson import LESSON
from analysis.records.polynomial import METHOD_WORDS, POLYNOMIAL, polynomial_settings
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from analysis.records.table import is_table
from analysis.sections.provenance import network_provenance
from analysis.sections.registry import GROUP_OF, OF_DRAWN_DATA, SECTIONS
from analysis.statistics.homework import homework_rows
from analysis.words import ENGLISH, LANGUAGES, language, plural, say, speaking

HERE = Path(__file__).parent
DISTRIBUTION = "rangesweep"
STYLES: Mapping[str, str] = MappingProxyType({"ko": "body { word-break: keep-all; }\n"})
"""What a language adds to the style: Korean words end at blanks, and browsers break lines between any two letters."""


def write_course(
    folders: Sequence[Path],
    out: Path,
    left_out: Sequence[tuple[str, str]] = (),
    recorded: Sequence[str] = (),
    drawers: Drawers = ALONE,
) -> Path:
    """Write the course: one page of lessons, in the order given, then what else belongs to it.

    Parameters
    ----------
    folders : sequence of Path
        Of lessons' results; those of other kinds of study follow the lessons with the sections of their own reports.
    out : Path
        Folder to write to, as `write_report` does.
    left_out : sequence of (str, str)
        Lessons without records, and why.
    recorded : sequence of str
        Lessons whose records came with the package.
    drawers : Drawers
        Who draws the pictures.

    Returns
    -------
    Path
        The page.
    """
    from analysis.course.page import course_sections, left_out_section, recorded_study_words

    studies = [study for folder in folders for study in read_sweep(folder)]
    lessons = [study for study in studies if study.is_lesson]
    others = [study for study in studies if not study.is_lesson]
    slugs = file_names("study", [study.header.sweep for study in others])

    def build() -> list[Section]:
        sections = course_sections(lessons, recorded)
        for slug, study in zip(slugs, others, strict=True):
            own = _own_report(study)
            title = say("Lesson: {title}", title=printable(study.header.sweep))
            its = list(own(study).sections if own else sections_of([study]))
            if study.header.sweep in recorded:
                note = Paragraph(recorded_study_words(study), "finding")
                its[0] = replace(its[0], blocks=(note, *its[0].blocks))
            sections += [named(one, slug, title) for one in its]
        if left_out:
            sections.append(left_out_section(left_out))
        return sections

    lead = say(
        "{n} lessons. Each asks one question, says what was done, and judges what its sources claim.", n=len(studies)
    )
    title = say("A course on small networks")
    return write_pages(
        render_sections(title, lead, build(), english=pictures_without_font(build), drawers=drawers), out
    )


def language_of(page: Path) -> str:
    """Return the language of a report's page; English where it does not say one that is known."""
    try:
        found = re.search(r'<html lang="([a-z]+)"', page.read_text(encoding="utf-8", errors="replace")[:200])
    except OSError:
        return ENGLISH
    return found[1] if found and found[1] in LANGUAGES else ENGLISH


def pictures_without_font(build: Callable[[], Sequence[Section]]) -> dict[str, Drawing]:
    """Return the pictures of a report in English, by name, where no font has the letters of its language.

    Parameters
    ----------
    build : callable
        Makes the sections in the language at hand; called only where it is needed.
    """
    if has_letters(language()):
        return {}
    with speaking(ENGLISH):
        return {block.name: block for section in build() for block in drawings(section.blocks)}


def drawings(blocks: Iterable[Block]) -> Iterator[Drawing]:
    """Yield the pictures among blocks, those within others, too."""
    for block in blocks:
        if isinstance(block, Picture | Animation):
            yield block
        elif isinstance(block, Stills):
            yield block.picture
        elif isinstance(block, Folded):
            yield from drawings(block.blocks)
        elif isinstance(block, Cards):
            yield from (card.picture for card in block.cards if isinstance(card.picture, Picture))


def no_font_sentence() -> str:
    """Return why the pictures are in English, empty where they are not."""
    if has_letters(language()):
        return ""
    return say("The pictures are in English: no font here has the letters of this language.")


def write_pages(pages: Pages, out: Path) -> Path:
    """Write a report's files; return its page."""
    for name, content in pages.files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return out / "index.html"


def write_report(
    folders: Sequence[Path],
    out: Path | None = None,
    figures: FigureFormat | None = None,
    drawers: Drawers = ALONE,
) -> Path:
    """Write the report of some sweeps.

    Parameters
    ----------
    folders : sequence of Path
        ``results/<sweep>`` folders, at least one.
    out : Path or None
        Folder to write to; None means ``report`` in the first sweep's folder.
    figures : "pdf", "svg" or None
        As what every picture is written to ``figures/`` as well, with its numbers beside it; None leaves that out.
    drawers : Drawers
        Who draws the pictures.

    Returns
    -------
    Path
        The page, ``index.html``. Beside it: ``report.md``, ``pictures/`` and ``data/`` with a CSV file for every
        table and picture, and a LaTeX file for every table. The same records give the same bytes.

    Raises
    ------
    ValueError
        If no folder is given.
    RecordError
        If a folder holds no log or a damaged one.
    """
    if not folders:
        raise ValueError("folders: none given; name a folder that `sweeps run` has written, such as results/homework")
    with rare_collections():
        studies = [study for folder in folders for study in read_sweep(folder)]
        return write_pages(render(studies, figures, drawers), report_folder(folders, out))


def report_folder(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Return where the report of these sweeps goes: to `out`, or into the first one's folder."""
    return folders[0] / "report" if out is None else out


def render(studies: Sequence[Study], figures: FigureFormat | None = None, drawers: Drawers = ALONE) -> Pages:
    """Return the report of some studies, nothing written yet: `Pages.files` holds every file by its relative name.

    Where studies with a report of their own stand beside others, their sections and files carry their names.
    """
    one = report_of(studies)
    english = pictures_without_font(lambda: report_of(studies).sections)
    return render_sections(one.title, one.lead, one.sections, figures, english, drawers)


def report_of(studies: Sequence[Study]) -> Report:
    """Return the report of some studies as sections; see `render`."""
    apart = [study for study in studies if _own_report(study) is not None]
    studies = [study for study in studies if _own_report(study) is None]
    parts = [report(study) for study in apart if (report := _own_report(study)) is not None]
    if studies or not parts:
        names = dict.fromkeys(printable(name) for name in sweep_names(studies))
        own = Report(say("Sweep report: {names}", names=", ".join(names)), lead_sentence(studies), sections_of(studies))
        if not parts:
            return own
        parts.insert(0, own)
    elif len(parts) == 1:
        return parts[0]
    sections = []
    slugs = ["", *file_names("study", [study.header.sweep for study in apart])][0 if studies else 1 :]
    for slug, part in zip(slugs, parts, strict=True):
        sections += [named(section, slug, part.title) if slug else section for section in part.sections]
    if side_by_side := beside_each_other(apart, parts[-len(apart) :]):
        sections.append(side_by_side)
    leads = " ".join(f"{part.title}. {part.lead}" for part in parts)
    return Report(say("{n} reports in one", n=len(parts)), leads, sections)


@dataclass(frozen=True, slots=True)
class Report:
    """One report's title, first sentences and sections."""

    title: str
    lead: str
    sections: Sequence[Section]


def named(section: Section, slug: str, title: str) -> Section:
    """Return a section whose place on the page, files and title are its study's own."""

    def table(one: ReportTable) -> ReportTable:
        return replace(one, name=f"{slug}-{one.name}")

    blocks: list[Block] = []
    for block in section.blocks:
        if isinstance(block, ReportTable):
            blocks.append(table(block))
        elif isinstance(block, Picture | Animation):
            blocks.append(replace(block, name=f"{slug}-{block.name}", data=table(block.data)))
        elif isinstance(block, Stills):
            own = replace(block.picture, name=f"{slug}-{block.picture.name}", data=table(block.picture.data))
            blocks.append(replace(block, picture=own))
        elif isinstance(block, Workbench):
            keys = tuple(f"{key}-of-{slug}" for key in block.keys)
            blocks.append(replace(block, name=f"{slug}-{block.name}", keys=keys))
        else:
            blocks.append(block)
    return Section(f"{slug}-{section.key}", f"{title}: {section.title}", tuple(blocks))


def beside_each_other(studies: Sequence[Study], reports: Sequence[Report]) -> Section | None:
    """Return the errors of several polynomial studies in one table, or None where fewer than two have any."""
    found = [
        (printable(study.header.sweep), block)
        for study, report in zip(studies, reports, strict=True)
        for section in report.sections
        for block in section.blocks
        if isinstance(block, ReportTable) and block.name == "errors"
    ]
    if len(found) < 2 or len({table.columns for _, table in found}) > 1:
        return None
    columns = (ReportColumn("study", "Study", "text"), *found[0][1].columns)
    rows = tuple((name, *row) for name, table in found for row in table.rows)
    caption = "The errors of all polynomial studies by recipe, as in their own sections."
    return Section(
        "polynomials", "Polynomial studies side by side", (ReportTable("polynomials", caption, columns, rows),)
    )


def sections_of(studies: Sequence[Study]) -> list[Section]:
    """Return the sections that have something to say about these studies, in reading order."""
    drawn = [study for study in studies if not is_table(study)]
    sections = []
    for key, build in SECTIONS.items():
        chosen = drawn if key in OF_DRAWN_DATA else studies
        if chosen or not studies:
            sections.append(replace(build(chosen), group=GROUP_OF.get(key, "")))
    # A section without blocks is about another kind of study.
    sections = [section for section in sections if section.blocks]
    about_range = next((i for i, one in enumerate(sections) if one.key in ("ranges", "table")), None)
    if about_range is not None:
        from analysis.course.elsewhere import beyond_range_line

        one = sections[about_range]
        sections[about_range] = replace(one, blocks=(*one.blocks, Paragraph(beyond_range_line(studies))))
    return sections


def polynomial_report(study: Study) -> Report:
    """Return the report of a polynomial study."""
    from analysis.polynomial.question import Question
    from analysis.polynomial.sections import sections
    from analysis.polynomial.tables import polynomial_text

    settings = polynomial_settings(study.header.data)
    noise = f" with noise {settings.noise_sd:g}" if settings.noise_sd else ""
    lead = (
        f"{len(study.networks)} of {study.header.n_trials} networks trained: {settings.n_hidden} "
        f"{settings.activation} units, {METHOD_WORDS[settings.method]}, {settings.n_seeds} seeds a recipe, "
        f"{settings.n_rows} rows of {polynomial_text(settings.coefficients)}{noise}. "
        "Can they be trusted outside the range they were trained on, and is that the merit of the constraint?"
    )
    parts = [*sections(Question(study)), network_provenance(study)]
    return Report(f"Polynomial study: {printable(study.header.sweep)}", lead, parts)


def lesson_report(study: Study) -> Report:
    """Return the report of a lesson."""
    from analysis.course.page import lesson_lead, lesson_sections, lesson_title

    return Report(lesson_title(study), lesson_lead(study), lesson_sections(study))


OWN_REPORTS: Mapping[str, Callable[[Study], Report]] = MappingProxyType(
    {POLYNOMIAL: polynomial_report, LESSON: lesson_report}
)
"""By kind of data; studies of other kinds share the sections of `analysis.sections.registry`."""


def _own_report(study: Study) -> Callable[[Study], Report] | None:
    return OWN_REPORTS.get(str(study.header.data.get("kind", "")))


def render_sections(
    title: str,
    lead: str,
    sections: Sequence[Section],
    figures: FigureFormat | None = None,
    english: Mapping[str, Drawing] | None = None,
    drawers: Drawers = ALONE,
) -> Pages:
    """Return a report of some sections, nothing written yet.

    `english` as `pictures_without_font` returns it.
    """
    pages = Pages(markdown=[f"# {markdown(title)}", markdown(lead)], figures=figures, english=english or {})
    all_drawings = drawings(block for section in sections for block in section.blocks)
    pictures = [one for one in all_drawings if isinstance(one, Picture)]

    def meanwhile() -> None:
        drawers.meanwhile()
        for section in sections:
            add_section(pages, section)

    drawn = draw_all([pages.shown(one) for one in pictures], replace(drawers, meanwhile=meanwhile))
    place(pages, dict(zip((one.name for one in pictures), drawn, strict=True)))
    style = (HERE / "report.css").read_text(encoding="utf-8") + STYLES.get(language(), "")
    has_script = any(block.kind == "workbench" for _, _, blocks in pages.sections for block in blocks)
    script = page_script() if has_script else ""
    # Autoescaping is what keeps names, error texts and params from becoming markup; nothing is marked safe but the
    # project's own style sheet and script (in the template), whose hashes the page's policy names, and the trials'
    # JSON, which has no sign that ends an element.
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    html = environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead,
        first=pages.sections[0][0] if pages.sections else "",
        folds=folds_of(pages),
        style=style,
        style_hash=policy_hash(style),
        script=script,
        script_hash=policy_hash(script),
        version=project_version(),
        language=language(),
        no_font=no_font_sentence(),
        say=say,
    )
    pages.files["index.html"] = html.encode()
    pages.files["report.md"] = ("\n\n".join(pages.markdown) + "\n").encode()
    return pages


def page_script() -> str:
    """Return the page's own script: the parts in `analysis/script`, in the order of their names."""
    parts = [path.read_text(encoding="utf-8") for path in sorted((HERE / "script").glob("*.js"))]
    return '(() => {\n"use strict";\n\n' + "\n".join(parts) + "})();\n"


def policy_hash(text: str) -> str:
    """Return how a Content-Security-Policy names an inline style sheet or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def folds_of(pages: Pages) -> list[dict[str, Any]]:
    """Return the page's sections by the question they are folded away under, in reading order.

    A fold without a title stands open.
    """
    folds: list[dict[str, Any]] = []
    for key, name, blocks in pages.sections:
        group = pages.groups.get(key, "")
        if not folds or not group or folds[-1]["title"] != str(group):
            folds.append({"title": str(group), "sections": []})
        folds[-1]["sections"].append({"key": key, "title": name, "blocks": blocks})
    return folds


def lead_sentence(studies: Sequence[Study]) -> str:
    """Return the report's first sentence: for how many datasets the question was answered."""
    tables = [study for study in studies if is_table(study)]
    drawn = [study for study in studies if not is_table(study)]
    sentences = []
    if drawn or not tables:
        certified = {row.study for row in homework_rows(drawn) if row.certified and row.setting == "winner"}
        goals = sorted({f"{study.header.goal:g}" for study in drawn})
        sentences.append(
            say(
                "{n_certified} of {n} dataset{s} certified: training and test loss below {goals} on fresh draws that "
                "no search had seen.",
                n_certified=len(certified),
                n=len(drawn),
                s=plural(len(drawn)),
                goals=", ".join(goals),
            )
        )
    if tables:
        n_certified = sum(study.verdict is not None and study.verdict.certified for study in tables)
        sentences.append(
            say(
                "{n_certified} of {n} table{s} certified: the goal reached on test rows that no search had seen.",
                n_certified=n_certified,
                n=len(tables),
                s=plural(len(tables)),
            )
        )
    if unfinished := sum(study.verdict is None for study in studies):
        sentences.append(say("{unfinished} not finished yet.", unfinished=unfinished))
    return " ".join(sentences)


def project_version() -> str:
    """Return the installed version of the project."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"
