"""The command line: parse, call one function, turn what it raises into one line and an exit status.

Exit status: 0 done, 1 a bug (with its traceback), 2 input or usage, 3 something is not as it must be (`audit`), 75 held
by another process, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from engine.names import InputMessageError, cut, unreadable
from sweeps.commands import auditing, homework, lessons, one_setting, predict, results, running
from sweeps.commands.interrupting import ending_soon
from sweeps.commands.options import PROGRAM, Commands, Parser, checked_remainder

USAGE, HELD, INTERRUPTED = 2, 75, 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EPILOG = f"""example: {PROGRAM} run --trials 20

exit status: 0 done, 1 a bug, 2 input or usage, 3 findings of the audit, 75 held by another process, 130 interrupted"""


def build_parser() -> tuple[Parser, Commands]:
    """Return the parser and its commands."""
    parser = Parser(
        prog=PROGRAM,
        description="Find hyperparameters that bring a small neural network to its target, certify them on fresh data,"
        " and report what the network is worth beyond the range it was trained on.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    running.add_commands(commands)
    lessons.add_commands(commands)
    homework.add_commands(commands)
    results.add_commands(commands)
    auditing.add_commands(commands)
    one_setting.add_commands(commands)
    predict.add_commands(commands)
    return parser, commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser, commands = build_parser()
    try:
        parsed, rest = parser.parse_known_args(arguments)
        checked_remainder(commands.choices[parsed.command], rest)
    except SystemExit as stop:  # argparse leaves by itself after --help and on misuse
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        with ending_soon():
            status: int = parsed.call(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, RuntimeError) as error:
        expected = _expected_status(error)
        if expected is None:
            raise
        return _fail(str(error), expected)
    except BrokenPipeError:
        # Whoever read the output has enough; Python must not fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None and error.errno not in NO_ROOM:
            raise  # not about anything a user named
        return _fail(_os_message(error), USAGE)
    return status


def _expected_status(error: Exception) -> int | None:
    """Return the exit status of an error that a user can mend, or None for a bug."""
    # Imported here: they bring NumPy along, which no --help should wait for.
    from sweeps.store.log import SweepHeldError
    from sweeps.tracking.errors import TrackingBusyError

    if isinstance(error, (SweepHeldError, TrackingBusyError)):
        return HELD
    return USAGE if isinstance(error, InputMessageError) else None


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {cut(' '.join(message.split()))}\n")
    return status


def _os_message(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in NO_ROOM:
        return f"{place}disk full; what the logs hold is safe, make room and `{PROGRAM} resume`"
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        return unreadable(error.filename, error)
    return f"{place}{error.strerror}"
