"""How long each lesson takes as a quick run, start-up and page included; none may take more than 30 seconds.

    python -m benchmarks.lesson_times                                    all of them, minutes
    python -m benchmarks.lesson_times --into docs/performance.md         the same, into its place there
    python -m benchmarks.lesson_times depth backprop                     some

One after the other, two workers, without MLflow, the training loop compiled before. Seconds of wall time say something
only where nothing else runs; processor time has all children in it. Lessons on Fashion-MNIST and the house prices need
their data at hand (``SWEEPS_DATA``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engine_tables import machine, table, write_into
from benchmarks.main_job import run_process
from sweeps.spec.lesson import lesson_names

GOAL_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a lesson takes longer than the goal, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="names (default: all)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between its marks in a document")
    args = parser.parse_args(arguments)
    if unknown := set(args.lessons) - set(lesson_names()):
        parser.error(f"unknown {', '.join(sorted(unknown))}; give some of {', '.join(lesson_names())}")
    load, lines = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "sweeps", "run", "--quick", "--workers", "2", "--tracking-uri", "none"]
        run_process([*command, "backprop", "--results", "warm"], Path(scratch))
        for name in args.lessons or lesson_names():
            print(f"{name} ...", file=sys.stderr)
            _, wall_s, processor_s = run_process([*command, name], Path(scratch))
            lines.append((wall_s, [name, f"{wall_s:.1f}", f"{processor_s:.1f}"]))
    lines.sort(reverse=True)
    heads = ["lesson", "wall s", "processor s"]
    printed = f"{table(heads, (0,), [line for _, line in lines])}\n\n{machine(load)}"
    if args.into:
        write_into(args.into, "lesson_times", printed)
    else:
        print(printed)
    return int(any(wall_s > GOAL_S for wall_s, _ in lines))


if __name__ == "__main__":
    sys.exit(main())
