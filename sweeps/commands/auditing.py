"""The commands that look whether all is well: with what a sweep has left, and with this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.commands.options import (
    NO_TRACKING,
    PROGRAM,
    Commands,
    add_command,
    add_results_option,
    add_tracking_option,
    sweep_folder,
)

if TYPE_CHECKING:
    from sweeps.audit.finding import Finding

FINDINGS = 3
"""Exit status where something is not as it must be."""


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    audit = add_command(
        commands, "audit", "compare a sweep's log with all that came of it: models, MLflow, report", "audit homework"
    )
    audit.add_argument("sweep", nargs="?", default="homework", metavar="SWEEP", help="default: homework")
    audit.add_argument(
        "--repair", action="store_true", help="put right what the log says how to; what is replaced is kept"
    )
    add_results_option(audit)
    add_tracking_option(audit, "a database or server, or none")
    audit.set_defaults(call=audit_command)

    doctor = add_command(commands, "doctor", "look whether this machine and the results folder are ready", "doctor")
    add_results_option(doctor)
    add_tracking_option(doctor, "a database or server, or none")
    doctor.set_defaults(call=doctor_command)


def audit_command(arguments: argparse.Namespace) -> int:
    """Print one line for each rule that does not hold."""
    from sweeps.audit.audit import audit_sweep
    from sweeps.audit.repair import planned, repair

    folder = sweep_folder(arguments.results, arguments.sweep)
    uri = _tracking_uri(arguments)
    found = audit_sweep(folder, uri)
    for finding in found.findings:
        print(finding)
    if arguments.repair and found.findings:
        plan = planned(folder, found)
        if not plan:
            print(f"{folder}: nothing that the log allows to repair")
            return FINDINGS
        for line in plan:
            print(f"repair: {line}")
        sys.stdout.flush()
        print(f"repaired; what was there is kept in {repair(folder, uri, found)}")
        found = audit_sweep(folder, uri)
        for finding in found.findings:
            print(finding)
    print(_summary(folder, len(found.findings), found.runs.n_runs, found.runs.n_deleted))
    return FINDINGS if found.findings else 0


def doctor_command(arguments: argparse.Namespace) -> int:
    """Print one line for each thing that a sweep needs."""
    from sweeps.audit.doctor import examine

    results = examine(Path(arguments.results), _tracking_uri(arguments))
    for result in results:
        print(f"{'ok  ' if result.remedy is None else 'look'} {result.text}")
        if result.remedy is not None:
            print(f"     {result.remedy}")
    return 0 if all(result.remedy is None for result in results) else FINDINGS


def warn_of_findings(folder: Path) -> int:
    """Run the auditor's cheap part; print on stderr what it finds and return the exit status that goes with it."""
    from sweeps.audit.records import check_records

    return tell_findings(check_records(folder))


def tell_findings(findings: Sequence[Finding]) -> int:
    """Print on stderr what the auditor has found, and return the exit status that goes with it."""
    for finding in findings:
        print(f"{PROGRAM}: {finding}", file=sys.stderr)
    return FINDINGS if findings else 0


def _summary(folder: Path, n_findings: int, n_runs: int, n_deleted: int) -> str:
    runs = f"{n_runs} runs in MLflow compared" if n_runs else "no runs in MLflow to compare"
    deleted = f", {n_deleted} deleted by a user left out" if n_deleted else ""
    if n_findings:
        return f"{folder}: {n_findings} finding{'' if n_findings == 1 else 's'}; {runs}{deleted}"
    return f"{folder}: all rules hold (I1 to I12); {runs}{deleted}"


def _tracking_uri(arguments: argparse.Namespace) -> str | None:
    if arguments.tracking_uri == NO_TRACKING:
        return None
    from sweeps.tracking.database import resolve_uri

    return resolve_uri(arguments.tracking_uri, Path.cwd())
