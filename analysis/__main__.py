"""``python -m analysis RESULTS...``: write the report of finished or unfinished sweeps, without the sweep half."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.records.lines import RecordError


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report and print where it is; return the exit status (0 done, 2 input or usage)."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Write the report of one or more sweeps: HTML, Markdown, and CSV for every table and picture.",
        epilog="example: python -m analysis results/homework",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="folder of a sweep: results/<sweep>")
    parser.add_argument("--out", type=Path, help="folder to write to (default: report/ in the first RESULTS)")
    parser.add_argument("--figures", choices=("pdf", "svg"), help="write every picture to figures/ as well")
    arguments = parser.parse_args(argv)

    from analysis.report import write_report  # after parsing, so that --help needs no jinja2

    try:
        page = write_report(arguments.results, arguments.out, arguments.figures)
    except (RecordError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{page}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
