"""The commands of the course: ``lessons`` lists them, ``course`` runs all and writes one report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from sweeps.commands.options import PROGRAM, Commands, add_command, add_driver_options, add_size_options, size_of

ORDER = (
    "beyond_range", "learning_rate", "batch_size", "split", "nonlinearity", "smallest_network", "repeatability",
    "best_loss", "overfitting", "after_overfitting", "depth", "features", "lucky_search", "optimizers",
    "perceptron_report",
)  # fmt: skip
"""Lessons that the course begins with; others follow by name."""
COURSE = "course"


@dataclass(frozen=True, slots=True)
class Older:
    """A study that is a lesson in all but its form: listed, and shown in the course where it has been run."""

    name: str
    question: str
    source: str
    minutes: float | None


OLDER = (
    Older(
        "quadratic",
        "Can a network that learnt a parabola be trusted beyond its range, and does freezing biases help?",
        "article on polynomials (claims 26 to 30)",
        2.5,
    ),
    Older(
        "perceptron",
        "Which optimizer, activation, batch size and depth suit a one-dimensional regression?",
        "homework report (claims 65 to 76)",
        None,
    ),
    Older(
        "fashion_textbook",
        "How good are softmax regression, a hidden layer and dropout on Fashion-MNIST?",
        "textbook, multilayer perceptrons (claim 31)",
        None,
    ),
)


def add_commands(commands: Commands) -> None:
    """Add ``lessons`` and ``course``."""
    listing = add_command(commands, "lessons", "list the lessons: name, question, source, minutes", "lessons")
    listing.set_defaults(call=lessons_command)
    course = add_command(
        commands, COURSE, "run all lessons and write one report that reads as a course", "course --quick"
    )
    add_size_options(course)
    course.add_argument(
        "--claims", type=Path, metavar="FILE", help="write the list of claims and verdicts there, too (Markdown)"
    )
    add_driver_options(course)
    course.set_defaults(call=course_command)


def time_text(one: Older) -> str:
    """Return how long an older study takes."""
    return "time not measured" if one.minutes is None else f"{one.minutes:g} min"


def ordered_names() -> list[str]:
    """Return the names of the lessons that have a design, in the course's order."""
    from sweeps.spec.lesson import lesson_names

    names = lesson_names()
    return [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]


def lessons_command(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Print the lessons."""
    from sweeps.run.kinds import load
    from sweeps.spec.lesson import LessonSpec

    for name in ordered_names():
        spec = load(name)
        assert isinstance(spec, LessonSpec)
        print(f"{name} ({spec.minutes:g} min)\n  {spec.question}\n  {spec.source}")
    for one in OLDER:
        print(f"{one.name} ({time_text(one)})\n  {one.question}\n  {one.source}")
    print(f"`{PROGRAM} run NAME` runs one (--quick, --full, --set KEY=VALUE), `{PROGRAM} {COURSE}` all of them")
    return 0


def course_command(arguments: argparse.Namespace) -> int:
    """Run every lesson that has not been run, then write the course; show the record of one that has a shipped one."""
    from analysis.records.reading import read_sweep
    from analysis.report import write_course
    from sweeps.commands.running import drive
    from sweeps.data.table.published.fetching import FetchError
    from sweeps.run.kinds import Changes, kind_of, load

    results = Path(arguments.results)
    from sweeps.run.recorded import RECORDED, unpack

    folders: list[Path] = []
    recorded: list[str] = []
    left_out: list[tuple[str, str]] = []
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
            drive(spec, results, arguments)
        except FetchError as error:  # nothing of it is in a log: the next course tries again
            print(f"lesson {name}: left out: {error}", file=sys.stderr, flush=True)
            left_out.append((name, f"its data cannot be had: {error}"))
        else:
            folders.append(results / spec.name)
    for one in OLDER:
        folder = results / one.name
        if any(folder.glob("*/log.jsonl")):
            folders.append(folder)
        else:
            why = f"{one.question} It has not been run here ({time_text(one)}): {PROGRAM} run {one.name}"
            left_out.append((one.name, why))
    page = write_course(folders, results / COURSE / "report", left_out, recorded)
    print(f"course: {page} (open it in a browser)")
    if arguments.claims is not None:
        from analysis.course.text import claims_document
        from analysis.polynomial.source_claims import judged_study

        studies = [study for folder in folders for study in read_sweep(folder)]
        lessons = [study for study in studies if study.is_lesson]
        others = [judged_study(study) for study in studies if study.is_polynomial]
        text = claims_document(lessons, left_out, recorded=recorded, others=others)
        arguments.claims.write_text(text, encoding="utf-8")
        print(f"claims: {arguments.claims}")
    return 0
