"""The commands of the course: ``lessons`` lists them, ``course`` runs all and writes one report."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from analysis.words import later, say, speaking, translated
from sweeps.commands.options import (
    PROGRAM,
    Commands,
    InputError,
    add_command,
    add_driver_options,
    add_language_option,
    add_size_options,
    size_of,
)

ORDER = (
    "beyond_range", "learning_rate", "batch_size", "split", "nonlinearity", "smallest_network", "repeatability",
    "best_loss", "overfitting", "after_overfitting", "depth", "features", "lucky_search", "optimizers",
    "perceptron", "fashion_textbook",
)  # fmt: skip
"""Lessons that the course begins with; others follow by name."""
COURSE = "course"


@dataclass(frozen=True, slots=True)
class Older:
    """A study that is a lesson in all but its form: listed, and shown in the course where it has been run."""

    name: str
    question: str
    source: str
    minutes: float


OLDER = (
    Older(
        "quadratic",
        later("Can a network that learnt a parabola be trusted beyond its range, and does freezing biases help?"),
        later("article on polynomials (claims 26 to 30)"),
        2.5,
    ),
)


def add_commands(commands: Commands) -> None:
    """Add ``lessons`` and ``course``."""
    listing = add_command(commands, "lessons", "list the lessons: name, question, source, minutes", "lessons")
    add_language_option(listing)
    listing.set_defaults(call=lessons_command)
    course = add_command(
        commands, COURSE, "run all lessons and write one report that reads as a course", "course --quick"
    )
    add_size_options(course)
    add_language_option(course)
    course.add_argument(
        "--claims", type=Path, metavar="FILE", help="write the list of claims and verdicts there, too (Markdown)"
    )
    add_driver_options(course)
    course.set_defaults(call=course_command)


def time_text(one: Older) -> str:
    """Return how long an older study takes."""
    return say("{minutes:g} min", minutes=one.minutes)


def ordered_names() -> list[str]:
    """Return the names of the lessons that have a design, in the course's order."""
    from sweeps.spec.lesson import lesson_names

    names = lesson_names()
    return [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]


def lessons_command(arguments: argparse.Namespace) -> int:
    """Print the lessons."""
    with speaking(arguments.lang):
        print_lessons()
    return 0


def print_lessons() -> None:
    """Print each lesson's name, question and source, and how to run it."""
    from sweeps.run.kinds import load
    from sweeps.spec.lesson import LessonSpec

    for name in ordered_names():
        spec = load(name)
        assert isinstance(spec, LessonSpec)
        minutes = say("{minutes:g} min", minutes=spec.minutes)
        print(f"{name} ({minutes})\n  {translated(spec.question)}\n  {translated(spec.source)}")
    for one in OLDER:
        print(f"{one.name} ({time_text(one)})\n  {one.question}\n  {one.source}")
    print(
        say(
            "`{program} run NAME` runs one (--quick, --full, --set KEY=VALUE), `{program} {course}` all of them",
            program=PROGRAM,
            course=COURSE,
        )
    )


def course_command(arguments: argparse.Namespace) -> int:
    """Run every lesson that has not been run, then write the course; show the record of one that has a shipped one."""
    from sweeps.commands.running import at_hand, drive
    from sweeps.data.table.published.fetching import FetchError
    from sweeps.run.kinds import Changes, kind_of, load

    results = Path(arguments.results)
    _check_writable(arguments.claims)
    from sweeps.run.recorded import RECORDED, unpack

    folders: list[Path] = []
    recorded: list[str] = []
    failed: list[tuple[str, FetchError]] = []
    for name in ordered_names():
        size = size_of(arguments)
        shipped = None if size == "full" else unpack(name, results / COURSE / RECORDED)
        if shipped is not None:
            print(f"lesson {name}: recorded; `{PROGRAM} run {name}` runs it", file=sys.stderr, flush=True)
            folders.append(shipped)
            recorded.append(name)
            continue
        spec = kind_of(load(name)).change(load(name), Changes(size=size))
        print(f"lesson {name}", file=sys.stderr, flush=True)
        try:
            spec = at_hand(spec)
            drive(spec, results, arguments)
        except FetchError as error:  # nothing of it is in a log: the next course tries again
            print(f"lesson {name}: left out: {error}", file=sys.stderr, flush=True)
            failed.append((name, error))
        else:
            folders.append(results / spec.name)
    with speaking(arguments.lang):
        left_out = [(name, say("its data cannot be had: {error}", error=error)) for name, error in failed]
        _write(folders, left_out, recorded, results, arguments.claims)
    return 0


def _check_writable(path: Path | None) -> None:
    """Refuse a file for the claims that cannot be written, before a quarter of an hour is spent on them.

    Raises
    ------
    InputError
        If it is a folder, or lies in none.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"--claims {path}: a folder; name a file in it")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--claims {path}: no folder {path.parent}; make it first, or name a file elsewhere")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise InputError(f"--claims {path}: cannot be written; name a file elsewhere")


def _write(
    folders: list[Path], left_out: list[tuple[str, str]], recorded: list[str], results: Path, claims: Path | None
) -> None:
    """Write the course, and the list of claims where it is wanted; say where they are."""
    from analysis.records.reading import read_sweep
    from analysis.report import write_course
    from sweeps.commands.drawers import all_drawers
    from sweeps.run.recorded import RECORDED, unpack

    for one in OLDER:
        folder = results / one.name
        if any(folder.glob("*/log.jsonl")):
            folders.append(folder)
        elif (shipped := unpack(one.name, results / COURSE / RECORDED)) is not None:
            folders.append(shipped)
            recorded.append(one.name)
        else:
            why = say(
                "{question} It has not been run here ({time}): {command}",
                question=one.question,
                time=time_text(one),
                command=f"{PROGRAM} run {one.name}",
            )
            left_out.append((one.name, why))
    page = write_course(folders, results / COURSE / "report", left_out, recorded, all_drawers())
    print(say("course: {page} (open it in a browser)", page=page))
    if claims is not None:
        from analysis.course.text import claims_document
        from analysis.polynomial.source_claims import judged_study

        studies = [study for folder in folders for study in read_sweep(folder)]
        lessons = [study for study in studies if study.is_lesson]
        others = [judged_study(study, recorded) for study in studies if study.is_polynomial]
        claims.write_text(claims_document(lessons, left_out, recorded=recorded, others=others), encoding="utf-8")
        print(say("claims: {path}", path=claims))
