"""Put right what an audit found, as far as the log says how it must be; what is replaced is kept."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from analysis.words import speaking
from sweeps.audit.audit import Audit
from sweeps.audit.figures import REPORT_NAME
from sweeps.audit.leftovers import dead_holder, left_behind, logs_of, wrong_end
from sweeps.run.models import SUMS_NAME, write_sums
from sweeps.store.log import MODELS_NAME, SweepLock, mend_end
from sweeps.tracking.database import fold_write_ahead, open_client, sqlite_path
from sweeps.tracking.projection import sync_sweep, writer_lock
from sweeps.tracking.sync_report import SyncReport

KEPT_NAME = ".repairs"
"""Folder in the sweep's for what repairs have replaced, a folder each."""
IN_TRACKING = frozenset({"I3", "I4", "I5", "I6"})


def planned(folder: Path, audit: Audit) -> list[str]:
    """Return what `repair` will do, a line each; empty where the log does not say what would be right.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    audit : Audit
        What was found there.
    """
    if any(finding.rule in ("I1", "I9") for finding in audit.findings):
        return []  # nothing to repair from, or nothing to write to
    lines = [f"delete {path}" for path in left_behind(folder)]
    lines += [f"mend the end of {path}: {wrong_end(path)}" for path in _with_wrong_ends(folder)]
    if dead_holder(folder):
        lines.append(f"clear {folder / 'lock'}")
    lines += [f"write {path}" for path in _without_sums(folder, audit)]
    lines += [f"delete run {run_id} in MLflow: {why}" for run_id, why in audit.runs.wrong.items()]
    lines += [f"close run {run_id} in MLflow again" for run_id in audit.runs.parents]
    if _concerns_runs(audit):
        lines.append("write to MLflow what the log has and it has not")
    if _concerns_report(folder, audit):
        lines.append(f"write {folder / REPORT_NAME} again")
    return lines


def repair(folder: Path, uri: str | None, audit: Audit) -> Path:
    """Do what `planned` says; return the folder that keeps what was there.

    Raises
    ------
    SweepHeldError, TrackingBusyError
        If a driver or a writer is at work.
    TrackingError
        If MLflow cannot be written.
    """
    kept = _new_folder(folder / KEPT_NAME)
    ends = _with_wrong_ends(folder)
    _keep(kept, folder, [*left_behind(folder), *ends])
    with SweepLock(folder), writer_lock(folder):  # the first clears what killed processes left
        for path in ends:
            mend_end(path)
        for path in _without_sums(folder, audit):
            write_sums(path.parent)
        if uri is not None and _concerns_runs(audit):
            _repair_runs(folder, uri, audit, kept)
        if _concerns_report(folder, audit):
            from analysis.report import language_of, write_report

            _keep(kept, folder, [path for path in (folder / REPORT_NAME).rglob("*") if path.is_file()])
            with speaking(language_of(folder / REPORT_NAME / "index.html")):
                write_report([folder])
    return kept


def _new_folder(repairs: Path) -> Path:
    """Make a folder named after the time; where one is there, as after a clock was set back, another number follows."""
    name = time.strftime("%Y%m%dT%H%M%S")
    for i in itertools.count(1):
        kept = repairs / (name if i == 1 else f"{name}-{i}")
        with contextlib.suppress(FileExistsError):
            kept.mkdir(parents=True)
            return kept
    raise AssertionError("numbers do not end")


def _keep(kept: Path, folder: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        copy = kept / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def _with_wrong_ends(folder: Path) -> list[Path]:
    return [path for path in logs_of(folder) if wrong_end(path) is not None]


def _without_sums(folder: Path, audit: Audit) -> list[Path]:
    """Return where digests of models are missing, and the models are those that the log names."""
    missing = [path.parent / MODELS_NAME / SUMS_NAME for path in logs_of(folder)]
    of_models = [finding.text for finding in audit.findings if f"/{MODELS_NAME}/" in finding.text]
    return [
        path
        for path in missing
        if path.parent.is_dir()
        and not path.is_file()
        and not any(text.startswith(f"{path.parent}/") and SUMS_NAME not in text for text in of_models)
    ]


def _concerns_runs(audit: Audit) -> bool:
    return any(finding.rule in IN_TRACKING for finding in audit.runs.findings)


def _concerns_report(folder: Path, audit: Audit) -> bool:
    place = f"{folder / REPORT_NAME}/"
    return any(finding.rule == "I12" and finding.text.startswith(place) for finding in audit.findings)


def _repair_runs(folder: Path, uri: str, audit: Audit, kept: Path) -> None:
    """Delete wrong runs, and let the one writer there is write them again from the log."""
    path = sqlite_path(uri)
    if path is not None:
        with contextlib.closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(kept / path.name)) as copy:
            source.backup(copy)
    client = open_client(uri)
    for run_id in (*audit.runs.wrong, *audit.runs.parents):
        # A run that is deleted while it says RUNNING was half-written, not deleted by a user: it is written again.
        client.update_run(run_id, status="RUNNING")
    for run_id in audit.runs.wrong:
        client.delete_run(run_id)
    sync_sweep(folder, client, uri, SyncReport())
    fold_write_ahead(uri)
