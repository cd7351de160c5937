"""The report beside a sweep, compared with the one that its records give now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.formats.csv_files import read_csv
from analysis.records.reading import read_sweep
from analysis.report import language_of, render
from analysis.words import speaking
from sweeps.audit.finding import Finding

REPORT_NAME = "report"
LOGS = "data/logs.csv"
MOST_NAMED = 3
"""Files with a line of their own; more of them have one reason, and one line."""
COMPARED = (".html", ".md", ".csv", ".tex")
"""Pictures depend on the drawing library, too; what they show stands in the CSV files beside them."""


def check_report(folder: Path) -> Iterator[Finding]:
    """Yield what of a report is not what the records give; nothing where there is no report.

    One line a file, or one for all where they are many: as of a sweep that has gone on since.

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
    with speaking(language_of(out / "index.html")):
        rendered = render(studies).files
    files = {name: content for name, content in sorted(rendered.items()) if name.endswith(COMPARED)}
    missing = [name for name in files if not (out / name).is_file()]
    other = [name for name in files if name not in missing and (out / name).read_bytes() != files[name]]
    if len(missing) + len(other) > MOST_NAMED:
        yield Finding(
            "I12",
            f"{out}/: {len(missing) + len(other)} of its {len(files)} files are not what the records give; the sweep"
            f" has gone on since, or they were changed: `report {folder.name}` writes them again",
        )
        return
    for name in files:
        if name in missing:
            yield Finding("I12", f"{out / name}: not there; `report {folder.name}` writes it")
        elif name in other:
            yield Finding("I12", f"{out / name}: not what the records give; `report {folder.name}` writes it again")


def _has_others(out: Path, digests: set[str]) -> bool:
    """Return whether a report is one of several sweeps, of which this one's records are a part."""
    try:
        rows = read_csv(out / LOGS)
    except (OSError, ValueError):
        return False
    found = {row["digest"] for row in rows if "digest" in row}
    return digests < found
