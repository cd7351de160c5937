"""Make a sweep's records again from MLflow alone: its logs, its spec and its certificates' models.

The parent run of each study holds the log in pieces (`sweeps.tracking.log_upload`), the runs of certificates hold
models;
tags in the database say what each file's SHA-256 must be. Nothing that is read is executed, the database is only read,
and no file that is there already is replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from analysis.records.lines import decode_raw_line
from analysis.records.reading import anchor_difference, read_study
from sweeps.run.models import write_sums
from sweeps.store.log import (
    LOCK_NAME,
    LOG_NAME,
    MODELS_NAME,
    SPEC_NAME,
    SweepHeldError,
    SweepLock,
    check_free,
    sync_file,
    sync_folder,
    write_atomically,
)
from sweeps.tracking.answers import every_experiment, fetched, surely
from sweeps.tracking.database import first_line, open_client, prepare_environment, sqlite_path, sqlite_uri
from sweeps.tracking.errors import TrackingError
from sweeps.tracking.experiments import PAGE_SIZE
from sweeps.tracking.log_upload import FOLDER, LINES_TAG, SHA256_TAG, piece_name
from sweeps.tracking.projection import BESIDE_LOG
from sweeps.tracking.run_contents import DIGEST_TAG, FILES_TAG, ID_TAG, study_digest, study_uid

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MLFLOW_TABLES = frozenset({"alembic_version", "experiments", "runs", "tags"})
DRAFT = ".import"
"""Ending of the hidden folder that an import fills before it has the sweep's name."""
MOST_BYTES = 2**32
"""A file of a sweep is read whole; none comes near this."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MODEL = re.compile(r"[a-z_]+-[0-9]+(\.[A-Za-z0-9_-]+)+")
_RUN_ID = re.compile(r"[0-9a-f]{32}")

Fetch = Callable[["Run", str], Path]
"""Returns the local path of one artifact of a run."""


@dataclass(frozen=True, slots=True)
class ImportedSweep:
    """What one sweep's import left.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    n_studies, n_lines, n_model_files : int
        Logs, their lines, and files of certificates.
    n_new : int
        Files written; the others were there already, byte for byte.
    """

    folder: Path
    n_studies: int
    n_lines: int
    n_model_files: int
    n_new: int


def import_sweeps(
    tracking_uri: str,
    results: Path,
    *,
    sweep: str | None = None,
    identity: str | None = None,
    artifacts: Path | None = None,
) -> list[ImportedSweep]:
    """Make the folders of sweeps again from MLflow's runs and artifacts.

    Parameters
    ----------
    tracking_uri : str
        As from `sweeps.tracking.projection.resolve_uri`.
    results : Path
        Where the sweeps' folders go.
    sweep : str or None
        Name of the sweep, which is its experiment's; None means every sweep of the store.
    identity : str or None
        First characters of the tag ``sweep.id``, where a store holds several sweeps of one name.
    artifacts : Path or None
        Folder of the artifacts of an SQLite store; by default where the database says, or ``mlartifacts`` beside it.

    Raises
    ------
    TrackingError
        If the store cannot be read, holds no such sweep or several, or an artifact is missing or altered.
    RecordError
        If a line of a log is damaged.
    SweepHeldError
        If a driver is at work in a folder that would be written.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    prepare_environment()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            client, fetch = _open_store(tracking_uri, artifacts, Path(scratch))
            chosen = _choose(_parents(client), sweep, identity, tracking_uri)
            results.mkdir(parents=True, exist_ok=True)
            return [_import_sweep(client, fetch, name, parents, results) for name, parents in chosen.items()]
        except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
            raise TrackingError(f"{tracking_uri}: cannot be read ({first_line(error)})") from None


def _open_store(uri: str, artifacts: Path | None, scratch: Path) -> tuple[MlflowClient, Fetch]:
    path = sqlite_path(uri)
    if path is None:
        client = open_client(uri)
        downloads = scratch / "downloads"
        downloads.mkdir()

        def download(run: Run, name: str) -> Path:
            folder = downloads / run.info.run_id
            folder.mkdir(exist_ok=True)
            file = fetched(client, run, name, folder)
            return _inside(folder, file.relative_to(folder).as_posix(), run)

        return client, download
    copy = _copy_database(path, scratch)

    def find(run: Run, name: str) -> Path:
        return _inside(_artifact_folder(run, path, artifacts), name, run)

    return open_client(sqlite_uri(copy), shown=uri), find


def _copy_database(path: Path, scratch: Path) -> Path:
    """Return a copy of an MLflow database, so that reading it changes nothing: neither its schema nor its journal."""
    if not path.is_file():
        raise TrackingError(f"{path}: no such file; give --tracking-uri sqlite:///PATH.db of a database that exists")
    copy = scratch / "mlflow.db"
    source = contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))
    target = contextlib.closing(sqlite3.connect(copy))
    with source as original, target as copied:
        try:
            original.backup(copied)
            tables = {name for (name,) in copied.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise TrackingError(f"{path}: cannot be read ({error}); restore the file") from None
    if not tables >= MLFLOW_TABLES:
        raise TrackingError(f"{path}: not a database of MLflow's; give the one that `sweeps run` has written")
    return copy


def _artifact_folder(run: Run, database: Path, artifacts: Path | None) -> Path:
    """Return the local folder of a run's artifacts, wherever database and artifacts have been moved together."""
    run_id = run.info.run_id
    if not _RUN_ID.fullmatch(run_id):
        raise TrackingError(f"{database}: run {run_id!r}: not a run of MLflow's")
    sweep = str(run.data.tags.get("sweep", ""))
    if not _NAME.fullmatch(sweep):
        raise TrackingError(f"{database}: run {run_id}: {sweep!r} cannot be the name of a sweep's folder")
    uri = str(run.info.artifact_uri)
    parts = urlsplit(uri)
    if artifacts is not None:
        places: list[Path] = [artifacts / sweep / run_id / "artifacts"]
    elif parts.scheme in ("", "file") and not parts.netloc:
        places = [Path(unquote(parts.path)), database.parent / "mlartifacts" / sweep / run_id / "artifacts"]
    else:  # a database somebody sent must not make us ask any address it likes
        raise TrackingError(f"{database}: run {run_id}: its artifacts are at {uri}; fetch them and give --artifacts")
    for place in places:
        if place.is_dir():
            return place
    missing = " nor ".join(str(place) for place in places)
    raise TrackingError(f"{database}: run {run_id}: no artifacts at {missing}; name their folder with --artifacts")


def _inside(folder: Path, name: str, run: Run) -> Path:
    """Return a file below a folder; one that a link puts elsewhere is refused."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise TrackingError(f"run {run.info.run_id}: artifact {name}: leads out of {folder}; not read")
    if not file.is_file():  # a pipe or a device is none
        raise TrackingError(f"run {run.info.run_id}: artifact {name}: not in {folder}; restore it")
    if (size := file.stat().st_size) > MOST_BYTES:
        raise TrackingError(f"run {run.info.run_id}: artifact {name}: {size} bytes, no file of a sweep; not read")
    return file


def _parents(client: MlflowClient) -> list[Run]:
    """Return the parent runs of all studies in the store."""
    experiments = [one.experiment_id for one in every_experiment(client) if one.lifecycle_stage == "active"]
    return list(_search(client, experiments, "tags.kind = 'study'"))


def _search(client: MlflowClient, experiments: list[str], condition: str) -> Iterator[Run]:
    token: str | None = None
    while experiments:
        ask = partial(client.search_runs, experiments, condition, max_results=PAGE_SIZE, page_token=token)
        page = surely(client, ask)
        yield from page
        token = page.token
        if not token:
            return


def _choose(parents: list[Run], sweep: str | None, identity: str | None, uri: str) -> dict[str, list[Run]]:
    """Return the parent runs of each wanted sweep, by its name."""
    named: dict[str, dict[str, list[Run]]] = {}
    for run in parents:
        tags = run.data.tags
        if ID_TAG in tags and LINES_TAG in tags:
            named.setdefault(tags.get("sweep", ""), {}).setdefault(tags[ID_TAG], []).append(run)
    known = sorted(named)
    if sweep is not None:
        named = {name: named[name] for name in known if name == sweep}
    if not named:
        what = "no sweep with its log" if sweep is None else f"no sweep {sweep!r} with its log"
        hint = f"; there is {', '.join(known)}" if known else "; `sweeps sync`, where the logs are, writes them"
        raise TrackingError(f"{uri}: {what}{hint}")
    chosen = {}
    for name, groups in sorted(named.items()):
        if not _NAME.fullmatch(name):
            raise TrackingError(f"{uri}: {name!r} cannot be the name of a sweep's folder; not imported")
        wanted = {key: runs for key, runs in groups.items() if key.startswith(identity or "")}
        if len(wanted) != 1:
            every = ", ".join(f"{key} (seed {runs[0].data.tags.get('seed')})" for key, runs in sorted(groups.items()))
            raise TrackingError(f"{uri}: {len(wanted)} sweeps named {name} fit; choose one with --id: {every}")
        chosen[name] = next(iter(wanted.values()))
    return chosen


def _import_sweep(client: MlflowClient, fetch: Fetch, name: str, parents: list[Run], results: Path) -> ImportedSweep:
    """Bring one sweep together in a folder beside its own, then move it there."""
    folder = results / name
    _clear_drafts(results)
    draft = results / f".{name}.{os.getpid()}{DRAFT}"
    draft.mkdir()
    try:
        with SweepLock(draft):
            n_lines = n_files = 0
            for run in parents:
                log = draft / _dataset_name(run) / LOG_NAME
                log.parent.mkdir(exist_ok=True)
                n_lines += _fetch_log(run, fetch, log)
                _check_study(run, log, name)
                beside = {SPEC_NAME: draft, **dict.fromkeys(BESIDE_LOG, log.parent)}
                _fetch_files(run, fetch, beside.get)
                n_files += _fetch_models(client, fetch, run, log.parent / MODELS_NAME)
            return ImportedSweep(folder, len(parents), n_lines, n_files, _settle(draft, folder))
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _clear_drafts(results: Path) -> None:
    """Remove what imports that were killed have left; one that is at work holds its draft."""
    for draft in results.glob(f".*{DRAFT}"):
        with contextlib.suppress(SweepHeldError):
            check_free(draft)
            shutil.rmtree(draft, ignore_errors=True)


def _dataset_name(run: Run) -> str:
    name = str(run.data.tags.get("dataset", ""))
    if not _NAME.fullmatch(name):
        raise TrackingError(f"run {run.info.run_id}: {name!r} cannot be the name of a dataset's folder; not imported")
    return name


def _model_runs(run: Run) -> str:
    digest = run.data.tags.get("sweep.study", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise TrackingError(f"run {run.info.run_id}: tag sweep.study is {digest!r}; run `sweeps sync` where the log is")
    return f"tags.`sweep.study` = '{digest}' and tags.kind = 'trial' and tags.`{FILES_TAG}` != ''"


def _fetch_log(run: Run, fetch: Fetch, target: Path) -> int:
    """Write a study's log from its pieces; return its number of lines."""
    tags, run_id = run.data.tags, run.info.run_id
    promised = tags.get(LINES_TAG, "")
    n_lines = int(promised) if re.fullmatch("[0-9]{1,12}", promised) else 0
    digest, n_read = hashlib.sha256(), 0
    with target.open("wb") as log:
        while n_read < n_lines:
            name = f"{FOLDER}/{piece_name(n_read + 1)}"
            content = fetch(run, name).read_bytes()
            lines = content.splitlines(keepends=True)
            if not content.endswith(b"\n") or n_read + len(lines) > n_lines:
                raise TrackingError(f"run {run_id}: artifact {name}: altered (torn, or too long); restore it")
            for i, line in enumerate(lines, start=1):
                decode_raw_line(line, f"run {run_id}: artifact {name}: line {i}")
            digest.update(content)
            log.write(content)
            n_read += len(lines)
    if digest.hexdigest() != tags.get(SHA256_TAG):
        raise TrackingError(f"run {run_id}: artifacts in {FOLDER}/: altered (as a whole); restore them")
    return n_lines


def _check_study(run: Run, log: Path, sweep: str) -> None:
    """Make sure that a log is what its run says it is: reports believe the log."""
    study = read_study(log)
    header, anchor = study.header, run.data.tags.get(DIGEST_TAG)
    elsewhere = header.dataset != log.parent.name or header.sweep != sweep
    if elsewhere or study_digest(header) != run.data.tags.get("sweep.study"):
        raise TrackingError(
            f"run {run.info.run_id}: artifacts in {FOLDER}/: the log of {study_uid(header)}, not of what the run's tags"
            " say; not imported"
        )
    if anchor is not None and (difference := anchor_difference(study, anchor, f"run {run.info.run_id}")) is not None:
        raise TrackingError(difference)


def _fetch_files(run: Run, fetch: Fetch, place: Callable[[str], Path | None]) -> int:
    """Copy the files that a run's tag names into the folders they belong to; return how many."""
    run_id = run.info.run_id
    digests = _json_table(run.data.tags.get(FILES_TAG, "{}"))
    for name, digest in digests.items():
        folder = place(name)
        if folder is None:
            raise TrackingError(f"run {run_id}: artifact {name!r}: no name that a sweep's file has; not imported")
        content = fetch(run, name).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise TrackingError(f"run {run_id}: artifact {name}: altered (its SHA-256 does not match); restore it")
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return len(digests)


def _fetch_models(client: MlflowClient, fetch: Fetch, parent: Run, folder: Path) -> int:
    """Copy what the runs below a parent keep of models and curves; return how many files."""

    def place(name: str) -> Path | None:
        return folder if _MODEL.fullmatch(name) else None

    runs = _search(client, [parent.info.experiment_id], _model_runs(parent))
    n_files = sum(_fetch_files(run, fetch, place) for run in runs)
    if n_files:
        write_sums(folder)
    return n_files


def _json_table(text: str) -> Mapping[str, object]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise TrackingError(f"tag {FILES_TAG}: {text[:40]!r} is not what `sweeps sync` writes; not imported")
    return table


def _settle(draft: Path, folder: Path) -> int:
    """Move a draft's files to where they belong; return how many were not there. Files that are there stay."""
    files = [path for path in draft.rglob("*") if path.is_file() and path.name != LOCK_NAME]
    names = sorted(path.relative_to(draft) for path in files)
    if not folder.exists():
        for path in files:  # on the disk before the name that says they are all there
            sync_file(path)
        draft.rename(folder)
        sync_folder(folder.parent)
        return len(names)
    with SweepLock(folder):
        missing = [name for name in names if not (folder / name).exists()]
        for name in names:
            if name not in missing and (folder / name).read_bytes() != (draft / name).read_bytes():
                raise TrackingError(f"{folder / name}: differs from MLflow's; nothing written, use another --results")
        for name in missing:
            (folder / name).parent.mkdir(exist_ok=True)
            write_atomically(folder / name, (draft / name).read_bytes())
    return len(missing)
