"""The command about somebody's homework table: ``check-homework``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.words import ENGLISH, say, speaking, translated
from sweeps.commands.compiling import compile_loop
from sweeps.commands.options import (
    Commands,
    InputError,
    add_command,
    add_language_option,
    add_results_option,
    add_tracking_option,
    tracking_uri,
    whole_number,
)

if TYPE_CHECKING:
    from analysis.statistics.claimed import CheckedRow
    from sweeps.data.sheet import Setting, SheetRow

CHECKED = "checked"
"""Folder of the reports, below the results."""
ENDINGS = (".csv", ".tsv", ".txt")
FEWEST_DRAWS = 20
"""With fewer no loss whatever is implausible at 5 %: the least that n draws can say is 1 in n + 1."""


def add_commands(commands: Commands) -> None:
    """Add ``check-homework``."""
    check = add_command(
        commands,
        "check-homework",
        "say row by row what a filled homework table really gives, and whether its losses are plausible",
        "check-homework homework.csv",
    )
    check.add_argument("path", type=Path, metavar="FILE.csv|FOLDER", help="a table, or a folder with those of a class")
    check.add_argument(
        "--draws",
        type=enough_draws,
        default=64,
        metavar="N",
        help=f"of each setting (default: 64; {FEWEST_DRAWS} or more)",
    )
    check.add_argument("--seed", type=whole_number, default=1, metavar="N", help="chooses the draws (default: 1)")
    add_language_option(check)
    add_results_option(check)
    add_tracking_option(check, "`none` leaves MLflow out")
    check.set_defaults(call=check_command)


def enough_draws(text: str) -> int:
    """Read a number of draws that can tell an implausible loss."""
    value = whole_number(text)
    if value < FEWEST_DRAWS:
        raise argparse.ArgumentTypeError(f"{text} draws cannot tell an implausible loss; give {FEWEST_DRAWS} or more")
    return value


def check_command(arguments: argparse.Namespace) -> int:
    """Check the rows, print them, and write the report, all of it in the language asked for."""
    with speaking(arguments.lang):
        return check_homework(arguments)


def check_homework(arguments: argparse.Namespace) -> int:
    """Check the rows, print them, and write the report."""
    from analysis.report import pictures_without_font, render_sections, write_pages
    from analysis.sections.handed_in import sections
    from sweeps.commands.drawers import all_drawers
    from sweeps.run.handed_in import check_rows, told_again

    path: Path = arguments.path
    uri = tracking_uri(arguments)
    rows = read_rows(path)
    if not any(row.setting for row in rows):
        raise InputError(next(row.fatal.line for row in rows if row.fatal))
    compile_loop("float64")
    checked = check_rows(rows, seed=arguments.seed, n_draws=arguments.draws, on_setting=tell_setting)
    print(check_text(checked))
    lead = say(
        "{name}: {n_checked} rows, each trained as TensorFlow Playground does, {draws} draws each.",
        name=path.name,
        n_checked=len(checked),
        draws=arguments.draws,
    )
    english = pictures_without_font(lambda: sections(checked))
    pages = render_sections(say("Homework, checked"), lead, sections(checked), english=english, drawers=all_drawers())
    page = write_pages(pages, Path(arguments.results) / CHECKED / path.resolve().stem)
    print(say("report: {page} (open it in a browser)", page=page))
    if uri is not None:
        with speaking(ENGLISH):  # as everything that is recorded
            recorded = told_again(read_rows(path), checked)
        log_rows(uri, path.name, recorded, arguments.seed)
    return 0


def log_rows(uri: str, name: str, rows: Sequence[CheckedRow], seed: int) -> None:
    """Write the rows to MLflow and say where they are, or why they are not: the report has them either way."""
    from sweeps.tracking.errors import TrackingError
    from sweeps.tracking.homework_runs import EXPERIMENT, log_homework

    try:
        with speaking(ENGLISH):
            log_homework(uri, name, rows, seed)
    except TrackingError as error:
        print(error, file=sys.stderr)
    else:
        print(say("MLflow runs: {uri}, experiment {name!r}", uri=uri, name=EXPERIMENT))


def read_rows(path: Path) -> list[SheetRow]:
    """Return the rows of a table, or of all tables in a folder.

    Raises
    ------
    InputError
        If a row of a single table cannot be trained; in a folder such rows are told of in the report.
    TableError
        If a file is no such table.
    """
    from sweeps.data.sheet import read_sheet

    if not path.is_dir():
        rows = read_sheet(path)
        for row in rows:
            if row.fatal is not None:
                raise InputError(row.fatal.line)
        return rows
    files = sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS and one.is_file())
    if not files:
        raise InputError(f"{path}: no table in this folder; expected files that end in {', '.join(ENDINGS)}")
    return [row for file in files for row in read_sheet(file)]


def tell_setting(number: int, n: int, setting: Setting) -> None:
    """Say on stderr which setting begins to train."""
    from sweeps.run.handed_in import rates_of, setting_words

    rates = len(rates_of(setting))
    menu = say(", {rates} learning rates", rates=rates) if rates > 1 else ""
    print(
        say(
            "setting {number} of {n}: {dataset}, {setting_words}{menu} ...",
            number=number,
            n=n,
            dataset=setting.dataset,
            setting_words=setting_words(setting),
            menu=menu,
        ),
        file=sys.stderr,
        flush=True,
    )


def check_text(rows: Sequence[CheckedRow]) -> str:
    """Return the rows as a table for the terminal, then what its words mean, then the mistakes."""
    import textwrap

    from analysis.formats.plain import WIDTH, cell_text, fitted_text
    from analysis.sections.handed_in import (
        GOAL,
        TEST,
        TRAIN,
        claimed_text,
        meaning,
        mistakes_table,
        notes_of,
        place_text,
    )

    several = len({row.source for row in rows}) > 1
    columns = (
        say("line"),
        say("data type"),
        say("setting"),
        translated(TRAIN),
        translated(TEST),
        f"< {GOAL:g}",
        say("claimed losses"),
    )

    def loss_text(row: CheckedRow, loss: str) -> str:
        if not row.losses:
            return claimed_text(row, loss)
        really = row.mean(loss).estimate or 0.0
        place = f", {place_text(row, loss)}" if loss in row.claimed else ""
        return say(
            "{claimed_text}, really {really:.3f}{place}",
            claimed_text=claimed_text(row, loss),
            really=really,
            place=place,
        )

    def place(row: CheckedRow) -> str:
        return f"{row.source}:{row.line}" if several else str(row.line)

    lines = []
    for row in rows:
        share = f"{row.passes(GOAL).estimate or 0.0:.0%}" if row.losses else "-"
        lines.append(
            (place(row), row.dataset, row.setting, loss_text(row, TRAIN), loss_text(row, TEST), share, row.verdict)
        )
    parts = [fitted_text(columns, lines)]
    notes = [
        say("{place}: {notes}", place=place(row), notes="; ".join(seen))
        if several
        else say("line {place}: {notes}", place=place(row), notes="; ".join(seen))
        for row in rows
        if (seen := notes_of(row))
    ]
    parts += ["\n".join(textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in (*notes, *meaning(rows)))]
    mistakes = mistakes_table(rows).rows
    if several and mistakes:
        parts.append(
            fitted_text(
                (say("common mistakes"), say("rows"), say("files")), [tuple(map(cell_text, one)) for one in mistakes]
            )
        )
    return "\n\n".join(parts)
