"""The report beside a sweep, compared with the one that its records give now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.formats.csv_files import read_csv
from analysis.records.reading import read_sweep
from analysis.report import render
from sweeps.audit.finding import Finding

REPORT_NAME = "report"
LOGS = "data/logs.csv"
COMPARED = (".html", ".md", ".csv", ".tex")
"""Pictures depend on the drawing library, too; what they show stands in the CSV files beside them."""


def check_report(folder: Path) -> Iterator[Finding]:
    """Yield what of a report is not what the records give; nothing where there is no report.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``; its logs can be read.
    """
    out = folder / REPORT_NAME
    if not (out / "index.html").is_file():
        return
    studies = read_sweep(folder)
    if _has_others(out, {study.digest for study in studies}):
        return
    pages = render(studies)
    for name, content in sorted(pages.files.items()):
        if not name.endswith(COMPARED):
            continue
        path = out / name
        if not path.is_file():
            yield Finding("I12", f"{path}: not there; `report {folder.name}` writes it")
        elif path.read_bytes() != content:
            yield Finding("I12", f"{path}: not what the records give; `report {folder.name}` writes it again")


def _has_others(out: Path, digests: set[str]) -> bool:
    """Return whether a report is one of several sweeps, of which this one's records are a part."""
    try:
        rows = read_csv(out / LOGS)
    except (OSError, ValueError):
        return False
    found = {row["digest"] for row in rows if "digest" in row}
    return digests < found
