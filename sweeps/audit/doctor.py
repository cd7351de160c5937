"""What a sweep needs of a machine, looked at before it is needed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import sqlite3
import sys
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.compiling.cache import ENGINE, FOLDERS, VARIABLE, choose_cache
from sweeps.audit.leftovers import dead_holder
from sweeps.store.log import SweepHeldError, check_free
from sweeps.tracking.database import sqlite_path
from sweeps.tracking.projection import sweep_folders

LIBRARIES = ("numpy", "numba", "scipy", "optuna", "mlflow", "matplotlib")
LEAST_FREE_BYTES = 10**9
"""A homework sweep with its database, artifacts and report takes a tenth of it."""
_RUNNING = (
    "SELECT COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'sweep.study'"
    " WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'"
)


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at.

    Parameters
    ----------
    text : str
        What is there.
    remedy : str or None
        What would do, where it is not as it should be.
    """

    text: str
    remedy: str | None = None


def examine(results: Path, uri: str | None) -> list[Examined]:
    """Look at this machine and at a results folder; nothing is changed.

    Parameters
    ----------
    results : Path
        Where sweeps leave their logs; it need not exist.
    uri : str or None
        MLflow's store, as from `sweeps.tracking.projection.resolve_uri`.
    """
    found = [_environment(), _libraries(), _folder(results), *_disks(results, uri), _compile_cache(), _browser()]
    found += _locks(results)
    if uri is not None:
        found.append(_tracking(uri))
    return found


def _environment() -> Examined:
    where = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"python {platform.python_version()} in {where}, {platform.system()} {platform.machine()}, {cores} cores"
    return Examined(text)


def _libraries() -> Examined:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = ", ".join(found)
    if missing:
        return Examined(f"{text}; not installed: {', '.join(missing)}", "install the project again: pip install -e .")
    return Examined(text)


def _folder(results: Path) -> Examined:
    place = next(path for path in (results.absolute(), *results.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Examined(f"results folder {results}: {place} cannot be written", "use another --results")
    return Examined(f"results folder {results}: can be written")


def _disks(results: Path, uri: str | None) -> Iterator[Examined]:
    path = None if uri is None else sqlite_path(uri)
    places = {"results": results.absolute()} | ({} if path is None else {"MLflow": path})
    for noun, place in places.items():
        there = next(one for one in (place, *place.parents) if one.exists())
        free = shutil.disk_usage(there).free
        text = f"disk of {noun}: {free / 1e9:.1f} GB free"
        yield Examined(text, None if free >= LEAST_FREE_BYTES else "make room: a sweep stops when the disk is full")


def _compile_cache() -> Examined:
    cache = choose_cache(FOLDERS)  # makes the folder where there is none, as the next run would
    remedy = f"set {VARIABLE} to a folder that can be written" if cache.note else None
    if not cache.is_kept:
        return Examined("compile cache: nowhere; the training loop is compiled again in every process", remedy)
    n = sum(1 for folder in ((cache.folder,) if cache.folder else FOLDERS) for _ in folder.rglob("*.nbi"))
    found = f"{n} compiled functions" if n else "empty, the first run fills it"
    return Examined(f"compile cache {cache.folder or ENGINE}: {found}", remedy)


def _browser() -> Examined:
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return Examined(
            "browser: none that can be opened from here; reports are plain files, to be opened wherever there is one"
        )
    return Examined(f"browser: {getattr(browser, 'name', type(browser).__name__)}")


def _locks(results: Path) -> Iterator[Examined]:
    folders = sweep_folders(results) if results.is_dir() else []
    n_free = 0
    for folder in folders:
        try:
            check_free(folder)
        except SweepHeldError as error:
            yield Examined(str(error).partition(";")[0])
            continue
        holder = dead_holder(folder)
        if holder:
            remedy = f"its driver was killed: `python -m sweeps resume {folder.name}` goes on"
            yield Examined(f"{folder}: names {holder}, which is gone", remedy)
        else:
            n_free += 1
    yield Examined(f"locks: {n_free} of {len(folders)} sweeps free")


def _tracking(uri: str) -> Examined:
    path = sqlite_path(uri)
    if path is None:
        return Examined(f"MLflow {uri}: a server; `python -m sweeps sync` says whether it answers")
    if not path.is_file():
        return Examined(f"MLflow {path}: not there yet; the first run makes it")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (n_running,) = connection.execute(_RUNNING).fetchone()
    except sqlite3.Error as error:
        return Examined(
            f"MLflow {path}: cannot be read ({error})", "move it away, then `python -m sweeps sync` makes it again"
        )
    if n_running:
        remedy = "of a sweep at work, or half-written: when none is at work, `python -m sweeps sync` ends them"
        return Examined(f"MLflow {path}: {n_running} runs of ours are RUNNING", remedy)
    return Examined(f"MLflow {path}: no run of ours is left RUNNING")
