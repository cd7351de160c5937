"""Options, checks and paths that several commands share. Imports nothing heavy: every ``--help`` reads this."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from analysis.words import ENGLISH, LANGUAGES
from engine.names import InputMessageError, cut, nearest, unknown

DEFAULT_RESULTS = "results"
DEFAULT_URI = "sqlite:///mlflow.db"
NO_TRACKING = "none"
PROGRAM = "python -m sweeps"


class InputError(InputMessageError):
    """What a user gave will not do; the message is one line and says what would."""


class Parser(argparse.ArgumentParser):
    """Reports misuse as one line with the nearest valid name, and leaves with status 2."""

    def error(self, message: str) -> NoReturn:
        """Leave with one line."""
        text = cut(" ".join(_with_hint(message, self).split()))
        self.exit(2, f"{self.prog}: {text}; see `{self.prog} --help`\n")


# The one type argparse has for what add_subparsers returns; generic only to type checkers.
if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]
else:
    Commands = argparse._SubParsersAction


def add_command(commands: Commands, name: str, summary: str, example: str) -> Parser:
    """Add a command whose help holds an example that runs."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {PROGRAM} {example}",
        allow_abbrev=False,
    )


def add_results_option(parser: Parser) -> None:
    """Add ``--results``."""
    parser.add_argument(
        "--results", default=DEFAULT_RESULTS, metavar="FOLDER", help="where sweeps leave their logs (default: results)"
    )


def add_driver_options(parser: Parser) -> None:
    """Add what a driver may be told that no result depends on."""
    add_results_option(parser)
    parser.add_argument("--workers", type=positive_int, metavar="N", help="trials at a time (default: usable cores)")
    parser.add_argument(
        "--executor",
        default="local",
        metavar="NAME",
        help="local threads, or a Dask cluster: dask-local[:N] processes here, dask://HOST:PORT (default: local)",
    )
    parser.add_argument(
        "--timeout", type=positive_float, metavar="SECONDS", help="stop after this long; `resume` goes on"
    )
    add_tracking_option(parser, "`none` leaves MLflow out")
    add_log_runs_option(parser)


def add_language_option(parser: Parser) -> None:
    """Add ``--lang``."""
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        default=ENGLISH,
        help="language of what is printed and of the report: en, or ko for Korean (default: en)",
    )


def add_size_options(parser: Parser) -> None:
    """Add ``--quick`` and ``--full``."""
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="a lesson with fewer replicas and shorter training")
    sizes.add_argument("--full", action="store_true", help="a lesson with more replicas and longer training")


def size_of(arguments: argparse.Namespace) -> Literal["default", "quick", "full"]:
    """Return in which size a lesson is asked for."""
    if arguments.quick:
        return "quick"
    return "full" if arguments.full else "default"


def add_tracking_option(parser: Parser, note: str = "a database or server") -> None:
    """Add ``--tracking-uri``."""
    parser.add_argument(
        "--tracking-uri",
        default=DEFAULT_URI,
        metavar="URI",
        help=f"where MLflow keeps the runs (default: {DEFAULT_URI} in this folder; {note})",
    )


def tracking_uri(arguments: argparse.Namespace) -> str | None:
    """Return the store that ``--tracking-uri`` names, in full; None where MLflow is left out."""
    if arguments.tracking_uri == NO_TRACKING:
        return None
    from sweeps.tracking.database import resolve_uri

    return resolve_uri(arguments.tracking_uri, Path.cwd())


def add_log_runs_option(parser: Parser) -> None:
    """Add ``--log-runs``."""
    parser.add_argument(
        "--log-runs",
        type=log_runs,
        metavar="WHICH",
        help="search trials with a run of their own in MLflow: all, or best:N so far (default: as begun, else all)",
    )


def log_runs(text: str) -> str:
    """Read which search trials get a run."""
    if text != "all" and not re.fullmatch("best:[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither all nor best:N, for instance best:500")
    return text


def positive_int(text: str) -> int:
    """Read a whole number of at least 1."""
    value = whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1; give 1 or more")
    return value


def ablation_draws(text: str) -> int:
    """Read a number of draws, or ``"off"``, which is 0."""
    return 0 if text == "off" else positive_int(text)


def whole_number(text: str) -> int:
    """Read a whole number of at least 0."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0; give 0 or more")
    return value


def positive_float(text: str) -> float:
    """Read a finite number above 0."""
    value = nonnegative_float(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def nonnegative_float(text: str) -> float:
    """Read a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not (math.isfinite(value) and value >= 0.0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number of 0 or more")
    return value


def layer_sizes(text: str) -> tuple[int, ...]:
    """Read ``"6,2"`` as hidden layer sizes; an empty text means no hidden layer."""
    return tuple(positive_int(part.strip()) for part in text.split(",")) if text.strip() else ()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep_folder(results: str, sweep: str) -> Path:
    """Return the folder of a sweep that has been run: ``results/homework`` or just ``homework``.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    from analysis.records.reading import check_version  # after parsing, so that --help waits for no records

    for folder in (Path(results) / sweep, Path(sweep)):
        if any(folder.glob("*/log.jsonl")):
            return folder
        check_version(folder)
    known = [folder.name for folder in run_sweeps(Path(results))]
    raise InputError(f"{unknown('sweep', sweep, known)}; `{PROGRAM} list --results {results}` lists what has been run")


def run_sweeps(results: Path) -> list[Path]:
    """Return the folders of all sweeps below a results folder, by name."""
    return sorted({path.parent.parent for path in results.glob("[!.]*/*/log.jsonl")})  # no import's draft


def _with_hint(message: str, parser: argparse.ArgumentParser) -> str:
    given, names = "", list[str]()
    if message.startswith("unrecognized arguments: "):
        given = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
        names = [option for action in parser._actions for option in action.option_strings]
    elif "invalid choice: " in message:
        given = message.partition("invalid choice: '")[2].partition("'")[0]
        names = [name for action in parser._actions for name in action.choices or ()]
    near = nearest(given, names) if given else None
    text = message.partition(" (choose from")[0] if near else message
    return f"{text}; did you mean {near}?" if near else text


def checked_remainder(parser: Parser, rest: Sequence[str]) -> None:
    """Refuse arguments that no option of a command took."""
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
