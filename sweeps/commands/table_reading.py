"""What a command line says about how a table is written: options that ``run`` and ``predict`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweeps.commands.options import InputError, whole_number

if TYPE_CHECKING:
    from sweeps.spec.sweep import SweepSpec

MOST_NOTES = 40
"""Of what was noticed in reading, lines printed before a sweep begins."""
_TABS = ("\\t", "tab")
_BLANKS = ("blank", "blanks", "space", "spaces")
_TEXTS = {
    "encoding": ("NAME", "of the text, where it is not UTF-8: cp949, latin-1, utf-16, ..."),
    "separator": ("CHARACTER", "between cells, where the header does not tell it: , ; | tab or blanks"),
    "decimal": ("CHARACTER", "before decimals, . or , (where a column does not tell it)"),
    "thousands": ("CHARACTER", "between thousands, for instance , or . (where a column does not tell it)"),
    "comment": ("CHARACTERS", "that lines begin with which are left out, for instance #"),
}


def add_reading_options(group: argparse._ActionsContainer) -> None:
    """Add how a file is written."""
    for name, (metavar, text) in _TEXTS.items():
        group.add_argument(f"--{name}", metavar=metavar, help=text)
    group.add_argument(
        "--missing", action="append", metavar="WORDS", help="that mean a missing cell, with commas: '?,unknown' or -200"
    )
    group.add_argument(
        "--text-column", action="append", metavar="COLUMN", help="to keep as text though most of its cells are numbers"
    )
    group.add_argument("--no-header", action="store_true", help="the file has no line of names: they are 1, 2, 3, ...")
    group.add_argument("--skip-rows", type=whole_number, metavar="N", help="lines above the header to leave out")
    group.add_argument("--units-row", action="store_true", help="leave out a row of units below the header")


def reading_changes(arguments: argparse.Namespace, known: Any) -> dict[str, Any]:
    """Return the fields of `sweeps.data.table.told.Told` that the command line sets.

    Parameters
    ----------
    arguments : Namespace
        With what `add_reading_options` adds.
    known : mapping
        The same fields as they are so far: words for missing and columns of text are added to them.
    """
    changes = {name: value for name in (*_TEXTS, "skip_rows") if (value := getattr(arguments, name)) is not None}
    if arguments.separator is not None:
        changes["separator"] = _separator(arguments.separator)
    if arguments.missing:
        words = [word for text in arguments.missing for word in text.split(",")]
        changes["missing"] = [*known.get("missing", ()), *words]
    if arguments.text_column:
        changes["text_columns"] = [*known.get("text_columns", ()), *arguments.text_column]
    if arguments.no_header:
        changes["header"] = False
    if arguments.units_row:
        changes["units_row"] = True
    return changes


def one_target(names: Sequence[str]) -> str:
    """Return the target's name; a sweep has one.

    Raises
    ------
    InputError
        If there are several.
    """
    if len(names) > 1:
        first, *others = dict.fromkeys(names)
        apart = "".join(f" --role {name}=identifier" for name in others)
        raise InputError(
            f"{' '.join(f'--target {name}' for name in names)}: a sweep predicts one column, and the others would be "
            f"inputs; run it once for each, for instance --target {first}{apart} --name {first}"
        )
    return names[0]


def print_notes(spec: SweepSpec, where: str) -> None:
    """Say before anything is trained what was read otherwise than it stands, and what may not be meant as it stands."""
    from sweeps.data.table.rows import open_rows
    from sweeps.data.table.settings import TableData

    for dataset in spec.datasets:
        if isinstance(dataset.data, TableData):
            print_lines(open_rows(dataset.data, spec.seed).notes, where)


def print_lines(notes: Sequence[str], where: str) -> None:
    """Print notes about a file, the first of many."""
    for note in notes[:MOST_NOTES]:
        print(f"{where}: {note}", file=sys.stderr)
    if len(notes) > MOST_NOTES:
        print(f"{where}: ... and {len(notes) - MOST_NOTES} more notes, in the report", file=sys.stderr)
    sys.stderr.flush()


def _separator(text: str) -> str:
    """Return a separator as it was meant: a tab may be written out, a blank stands for any run of blanks."""
    if text.lower() in _TABS:
        return "\t"
    return " " if text.lower() in _BLANKS else text
