"""Audit a sweep: everything that must hold of it, whatever happened to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sweeps.audit.figures import check_report
from sweeps.audit.finding import Finding
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.audit.runs import RunsCheck, check_runs
from sweeps.audit.search import check_search
from sweeps.store.log import check_free
from sweeps.tracking.projection import writer_lock


@dataclass(slots=True)
class Audit:
    """What an audit found.

    Parameters
    ----------
    findings : list of Finding
        Empty where every rule holds.
    runs : RunsCheck
        Of MLflow, if it was looked at.
    """

    findings: list[Finding] = field(default_factory=list)
    runs: RunsCheck = field(default_factory=RunsCheck)


def audit_sweep(folder: Path, uri: str | None) -> Audit:
    """Compare a sweep's log with everything that came of it.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    uri : str or None
        MLflow's store, as from `sweeps.tracking.projection.resolve_uri`; None leaves MLflow out.

    Raises
    ------
    SweepHeldError, TrackingBusyError
        If a driver or a writer is at work.
    TrackingError
        If the store cannot be read.
    """
    check_free(folder)
    with writer_lock(folder):
        found = Audit([*check_records(folder), *check_leftovers(folder)])
        if any(finding.rule == "I1" for finding in found.findings):
            return found  # what follows from a log that is not whole says nothing
        found.findings += check_search(folder)
        if uri is not None:
            found.runs = check_runs(folder, uri)
            found.findings += found.runs.findings
        found.findings += check_report(folder)
    return found
