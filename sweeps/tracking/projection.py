"""Project the logs of sweeps onto MLflow: idempotent, after the fact, by one writer at a time.

A run is created with all its tags, gets one batch of params and metrics, its artifacts and its dataset, and is then
terminated: that last step commits it. A run that is still RUNNING is therefore half-written and is written again.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import shlex
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from analysis.records.lesson import CellRecord
from analysis.records.lines import Line, canonical_json, decode_raw_line
from analysis.records.polynomial import NetworkRecord
from analysis.records.reading import StudyReader
from analysis.records.study import Record, Study, StudyHeader, TrialRecord, Verdict
from analysis.records.table import TABLE_NAME
from sweeps.store.log import MODELS_NAME, SPEC_NAME, SUBMISSION_NAME
from sweeps.tracking.errors import DatabaseGoneError, TrackingBusyError, TrackingError
from sweeps.tracking.log_upload import LINES_TAG, SHA256_TAG, LogUpload
from sweeps.tracking.run_contents import (
    FILES_TAG,
    RunContent,
    file_tags,
    parent_content,
    record_content,
    record_uid,
    study_digest,
    study_uid,
)
from sweeps.tracking.trial_contents import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOCK_NAME = "tracking.lock"
BESIDE_LOG = (TABLE_NAME, SUBMISSION_NAME)
"""What a study may keep beside its log, that its parent run keeps as well."""
LOG_PATTERN = "*/log.jsonl"
PAGE_SIZE = 500
LONGEST_REASON = 160
OTHER_SCHEMA = "out-of-date database schema"
"""What MLflow says of a database that it would have to migrate; it does not do that by itself."""
BUSY_ATTEMPTS = 3  # each waits as long as MLflow's own busy time-out, 20 s
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a server does not get to send our runs elsewhere
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(slots=True)
class SyncReport:
    """What a synchronisation did.

    Parameters
    ----------
    n_written : int
        Runs written now, parents included.
    n_present : int
        Runs that were there already.
    n_repaired : int
        Half-written runs that were deleted, to be written again.
    n_deleted : int
        Runs that a user has deleted in MLflow; they stay deleted.
    """

    n_written: int = 0
    n_present: int = 0
    n_repaired: int = 0
    n_deleted: int = 0


def resolve_uri(text: str, folder: Path) -> str:
    """Return a tracking URI in full: sqlite paths absolute, from `folder`, and quoted.

    Parameters
    ----------
    text : str
        ``"sqlite:///mlflow.db"``, a server's ``"http://..."``, or another database MLflow knows.
    folder : Path
        Where relative paths start.

    Raises
    ------
    TrackingError
        If MLflow could not store runs there.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme == "file":
        raise TrackingError(
            f"--tracking-uri {text}: MLflow keeps no runs in plain files; give sqlite:///PATH.db or http://HOST:PORT"
        )
    if scheme == "sqlite":
        return sqlite_uri(Path(os.path.abspath(folder / unquote(rest.removeprefix("/")))))
    known = ("http", "https", "postgresql", "mysql", "mssql")
    if scheme.partition("+")[0] not in known:
        raise TrackingError(
            f"--tracking-uri {text}: unknown scheme {scheme!r}; give sqlite:///PATH.db or http://HOST:PORT"
        )
    return text


def sqlite_uri(path: Path) -> str:
    """Return the URI of an SQLite file, safe for any character in its path."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def sqlite_path(uri: str) -> Path | None:
    """Return the file behind an sqlite URI, or None for another kind of URI."""
    return Path(unquote(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:///") else None


def open_client(uri: str, shown: str | None = None) -> MlflowClient:
    """Return a client of a ready store: the database created, migrated and set to a write-ahead log.

    Parameters
    ----------
    uri : str
        As from `resolve_uri`.
    shown : str or None
        What messages call the store; None means `uri`.

    Raises
    ------
    TrackingError
        If the file cannot be written or is not MLflow's.
    """
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    path = sqlite_path(uri)
    try:
        if path is None:
            return MlflowClient(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes must not migrate one database at once; the lock goes with the process, whatever happens.
        with _locked_folder(path.parent):
            _set_write_ahead(path)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        return client
    except (OSError, sqlite3.Error, MlflowException, SQLAlchemyError) as error:
        name = shown or uri
        if OTHER_SCHEMA in str(error):
            raise TrackingError(
                f"{name}: made by another version of MLflow; back it up, then `{sys.executable} -m mlflow db upgrade"
                f" {shlex.quote(name)}`, or give another --tracking-uri"
            ) from None
        raise TrackingError(
            f"{name}: cannot be used by MLflow ({first_line(error)}); move the file away or give another --tracking-uri"
        ) from None


def prepare_environment() -> None:
    """Set what MLflow reads from the environment when it is imported: no telemetry, short waits, no pickles."""
    os.environ.update({key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()})


def sweep_folders(results: Path) -> list[Path]:
    """Return the folders of all sweeps below a results folder, by name."""
    return sorted({path.parent.parent for path in results.glob(f"*/{LOG_PATTERN}")})


def sync(results_folder: Path, tracking_uri: str) -> SyncReport:
    """Write every run that the logs below `results_folder` have and MLflow has not.

    Parameters
    ----------
    results_folder : Path
        Holds ``<sweep>/<dataset>/log.jsonl``.
    tracking_uri : str
        As from `resolve_uri`.

    Raises
    ------
    TrackingError
        If the store cannot be written.
    TrackingBusyError
        If a running sweep's own writer holds a sweep.
    RecordError
        If a log is damaged.
    """
    report = SyncReport()
    client = open_client(tracking_uri)
    for folder in sweep_folders(results_folder):
        with writer_lock(folder):
            projection = SweepProjection(folder, client, artifact_root(tracking_uri), report, sqlite_path(tracking_uri))
            advance_patiently(projection, ended=True)
    fold_write_ahead(tracking_uri)
    return report


@contextmanager
def writer_lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the only right to write runs of the sweep in `folder`; a killed holder loses it at once.

    `wait` waits for another holder to end.

    Raises
    ------
    TrackingBusyError
        If another process holds it and `wait` is false.
    """
    with (folder / LOCK_NAME).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrackingBusyError(
                f"{folder}: another process is writing its MLflow runs; try again when it has ended"
            ) from None
        yield


def artifact_root(uri: str) -> Path | None:
    """Return where artifacts go: beside an SQLite file; None leaves the choice to the server.

    Beside the database, because runs of several results folders may share an experiment, whose place is fixed once.
    """
    path = sqlite_path(uri)
    return None if path is None else path.parent / "mlartifacts"


class SweepProjection:
    """The runs of one sweep, kept level with its logs.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    client : MlflowClient
    artifacts : Path or None
        Folder for the artifacts of new experiments; None means the server's own place.
    report : SyncReport
        Counts, added to.
    database : Path or None
        The SQLite file behind the client: once it is deleted or replaced, nothing more can be written.
    """

    def __init__(
        self,
        folder: Path,
        client: MlflowClient,
        artifacts: Path | None,
        report: SyncReport,
        database: Path | None = None,
    ) -> None:
        self._database = database
        self._database_state = None if database is None else database.stat()
        self._folder = folder
        self._client = client
        self._artifacts = artifacts
        self._report = report
        self._studies: dict[Path, StudyProjection] = {}

    def advance(self, ended: bool) -> int:
        """Write what the logs have gained; return the number of runs written.

        `ended` says that no driver is at work: parents of unfinished studies are then closed as KILLED.

        Raises
        ------
        DatabaseGoneError
            If the database has been deleted or replaced.
        """
        n_before = self._report.n_written
        for study in self._known_studies():
            self.check_database()
            study.advance(ended)
        self.check_database()
        return self._report.n_written - n_before

    def n_waiting(self) -> int:
        """Return how many finished records of the logs have no run yet."""
        return sum(study.n_waiting() for study in self._known_studies())

    def check_database(self) -> None:
        """Raise `DatabaseGoneError` if the database is not the file it was."""
        # An open connection goes on with a file that has no name any more: whatever it writes is lost.
        if self._database is None or self._database_state is None:
            return
        try:
            there = self._database.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, self._database_state):
            raise DatabaseGoneError(f"{self._database}: deleted or replaced while runs were written to it")

    def _known_studies(self) -> list[StudyProjection]:
        paths = sorted(self._folder.glob(LOG_PATTERN))
        for path in paths:
            if path not in self._studies:
                self._studies[path] = StudyProjection(path, self._client, self._artifacts, self._report)
        return [self._studies[path] for path in paths]


def advance_patiently(projection: SweepProjection, ended: bool) -> int:
    """Call `SweepProjection.advance`; wait up to a minute for a database that another process has locked.

    Raises
    ------
    TrackingError
        If the store cannot be written; the projection can go on later.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for n_left in reversed(range(BUSY_ATTEMPTS)):
        try:
            return projection.advance(ended)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if n_left == 0 or "database is locked" not in str(error):
                projection.check_database()
                raise TrackingError(f"MLflow cannot be written: {first_line(error)}") from None
    raise AssertionError("unreachable: the last attempt returns or raises")


class StudyProjection:
    """The parent run and the child runs of one study.

    Parameters
    ----------
    path : Path
        The study's log.
    client, artifacts, report
        As in `SweepProjection`.
    """

    def __init__(self, path: Path, client: MlflowClient, artifacts: Path | None, report: SyncReport) -> None:
        self._tail = LogTail(path)
        self._reader = StudyReader(path)
        self._upload = LogUpload(path, client)
        self._client = client
        self._artifacts = artifacts
        self._report = report
        self._user = _user_name()
        self._study: Study | None = None
        self._waiting: list[Record] = []
        self._experiment = ""
        self._present: set[str] = set()
        self._deleted: set[str] = set()
        self._parent: str | None = None
        self._closed = False
        self._surveyed = False  # false again whenever a write breaks off, as it may have left half a run

    def n_waiting(self) -> int:
        """Return how many records wait for their run."""
        self._read()
        return len(self._waiting)

    def advance(self, ended: bool) -> None:
        """Write the runs of all new lines, and close the parent when the study is over."""
        self._read()
        study = self._study
        if study is None or not (self._waiting or (not self._closed and (ended or study.verdict is not None))):
            return
        if not self._surveyed:
            self._survey(study)
        self._surveyed = False
        while self._waiting:
            self._write_record(study, self._waiting[0])
            del self._waiting[0]
        over = ended or study.verdict is not None
        if self._parent is not None and study_uid(study.header) not in self._deleted:
            self._upload.send(self._parent, self._tail.offset, at_once=over)
        if over and not self._closed:
            self._close_parent(study)
            self._delete_half_written(study.header)
        self._surveyed = True

    def _read(self) -> None:
        for line in self._tail.read():
            item = self._reader.take(line)
            self._study = self._reader.study
            if isinstance(item, TrialRecord | NetworkRecord | CellRecord):
                self._waiting.append(item)
            if isinstance(item, TrialRecord | NetworkRecord | CellRecord | Verdict):
                self._closed = False

    def _survey(self, study: Study) -> None:
        """Find the runs that are there, delete half-written ones, and make sure of a parent."""
        header = study.header
        self._experiment = _experiment_id(self._client, header.sweep, self._artifacts)
        found = [_FoundRun.of(run) for run in _runs_of(self._client, self._experiment, header)]
        active = [run for run in found if not run.deleted]
        n_children = Counter(run.parent for run in active)
        # Of several parents, which lost replies leave, the one that was used.
        parents = sorted(
            (run for run in active if run.uid == study_uid(header)),
            key=lambda run: (run.status == "RUNNING", -n_children[run.run_id]),
        )
        half = [run for run in active if run.status == "RUNNING" and run.run_id not in [p.run_id for p in parents[:1]]]
        for run in half:
            self._delete_half(run.run_id)
        self._present = {run.uid for run in active if run not in half}
        # A deleted RUNNING run is one that was half-written once; only a whole one was deleted by a user.
        whole = [run for run in found if run.deleted and run.status != "RUNNING"]
        self._deleted = {run.uid for run in whole} - self._present
        parent = next((run for run in [*parents, *whole] if run.uid == study_uid(header)), None)
        self._upload.go_on_from({} if parent is None else parent.tags)
        if parent is None:
            self._parent = self._create_parent(study)
            return
        self._parent = parent.run_id
        if parent.deleted:
            self._closed = True
        else:
            files = file_tags(self._parent_files())
            self._closed = parent.status == "FINISHED" and parent.tags.get(FILES_TAG) == files.get(FILES_TAG)
            self._report.n_present += 1

    def _delete_half_written(self, header: StudyHeader) -> None:
        for run in _runs_of(self._client, self._experiment, header, "attributes.status = 'RUNNING'", active_only=True):
            if run.info.run_id != self._parent:
                self._delete_half(run.info.run_id)

    def _delete_half(self, run_id: str) -> None:
        self._client.delete_run(run_id)
        self._report.n_repaired += 1

    def _create_parent(self, study: Study) -> str:
        content = parent_content(study, self._user, self._parent_files())
        start_ms = content.start_ms or int(1000 * time.time())
        run = self._client.create_run(self._experiment, start_time=start_ms, tags=content.tags)
        _fill_run(self._client, run.info.run_id, content)
        self._report.n_written += 1
        return str(run.info.run_id)

    def _write_record(self, study: Study, record: Record) -> None:
        uid = record_uid(record)
        if uid in self._deleted:
            self._report.n_deleted += 1
        elif uid in self._present:
            self._report.n_present += 1
        else:
            files = _model_files(self._tail.path.parent, record)
            content = record_content(study.header, record, self._user, files)
            tags = content.tags | {"mlflow.parentRunId": str(self._parent)}
            run = self._client.create_run(self._experiment, start_time=content.start_ms or None, tags=tags)
            _fill_run(self._client, run.info.run_id, content)
            self._client.set_terminated(run.info.run_id, content.status, content.end_ms or None)
            self._present.add(uid)
            self._report.n_written += 1

    def _close_parent(self, study: Study) -> None:
        if self._parent is not None and study_uid(study.header) not in self._deleted:
            content = parent_content(study, self._user, self._parent_files())
            _fill_run(self._client, self._parent, content, with_tags=True)
            self._client.set_terminated(self._parent, content.status, content.end_ms or None)
        self._closed = True

    def _parent_files(self) -> tuple[Path, ...]:
        folder = self._tail.path.parent
        paths = (folder.parent / SPEC_NAME, *(folder / name for name in BESIDE_LOG))
        return tuple(path for path in paths if path.is_file())


@dataclass(frozen=True, slots=True)
class _FoundRun:
    """What of a run in the store decides what is still to be written."""

    uid: str
    run_id: str
    status: str
    deleted: bool
    parent: str | None
    tags: dict[str, str]

    @classmethod
    def of(cls, run: Run) -> _FoundRun:
        tags = {key: value for key, value in run.data.tags.items() if key in (LINES_TAG, SHA256_TAG, FILES_TAG)}
        deleted = run.info.lifecycle_stage == "deleted"
        parent = run.data.tags.get("mlflow.parentRunId")
        return cls(run.data.tags["sweep.uid"], run.info.run_id, run.info.status, deleted, parent, tags)


class LogTail:
    """Reads the lines that a log has gained since the last look.

    Parameters
    ----------
    path : Path
        The log.

    Attributes
    ----------
    offset : int
        Bytes read so far, whole lines all of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._n_lines = 0

    def read(self) -> Iterator[Line]:
        """Yield every new whole line.

        Raises
        ------
        RecordError
            If a whole line is damaged.
        """
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            for raw in stream:
                if not raw.endswith(b"\n"):
                    return  # still being written
                line = decode_raw_line(raw, f"{self.path}: line {self._n_lines + 1}")
                self.offset += len(raw)
                self._n_lines += 1
                yield line


def _experiment_id(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if artifacts is None else (artifacts / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location, tags={"mlflow.note.content": NOTE}))
        except MlflowException:
            # Made by another sweep's writer in between, or by a request of ours whose reply was lost.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"experiment {name}: deleted in MLflow; restore it (`mlflow experiments restore -x"
            f" {experiment.experiment_id}`) or give another --tracking-uri"
        )
    return str(experiment.experiment_id)


def _runs_of(
    client: MlflowClient,
    experiment: str,
    header: StudyHeader,
    condition: str = "",
    active_only: bool = False,
) -> Iterator[Run]:
    """Yield the runs of one study, page by page."""
    from mlflow.entities import ViewType

    view = ViewType.ACTIVE_ONLY if active_only else ViewType.ALL
    text = f"tags.`sweep.study` = '{study_digest(header)}'" + (f" and {condition}" if condition else "")
    token: str | None = None
    while True:
        page = client.search_runs([experiment], text, view, PAGE_SIZE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _fill_run(client: MlflowClient, run_id: str, content: RunContent, with_tags: bool = False) -> None:
    """Log one batch, the artifacts and the dataset of a run; all of it can be repeated."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    # The time of every point is the run's own end, so that logging it again adds nothing.
    metrics = [Metric(key, value, content.end_ms, step) for key, value, step in content.metrics]
    params = [Param(key, value) for key, value in content.params.items()]
    tags = [RunTag(key, value) for key, value in content.tags.items()] if with_tags else []
    client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
    if content.texts or content.files:
        with tempfile.TemporaryDirectory() as folder:  # one call for all: each asks the store about the run first
            for name, text in content.texts.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            for file in content.files:
                shutil.copy(file, folder)
            client.log_artifacts(run_id, folder)
    dataset = Dataset(
        content.data_name,
        content.data_digest,
        "code",
        canonical_json({"generator": content.data_name}),
        None,
        content.data_profile,
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _model_files(folder: Path, record: Record) -> tuple[Path, ...]:
    """Return the saved model and curves of a record, where the sweep kept them."""
    return tuple(sorted((folder / MODELS_NAME).glob(f"{record.stage}-{record.number}.*")))


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_write_ahead(path: Path) -> None:
    # Kept in the file: readers (the UI) and the one writer then do not wait for each other. SQLite's own default of
    # synchronous=FULL, which every connection has, stays.
    with closing(sqlite3.connect(path, timeout=60.0)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def fold_write_ahead(uri: str) -> None:
    """Bring an SQLite store into its one file, so that copying that file copies all of it; not while others use it."""
    path = sqlite_path(uri)
    if path is not None and path.is_file():
        with closing(sqlite3.connect(path, timeout=0.0)) as connection, suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, of a length that fits a message."""
    text = next(iter(str(error).splitlines()), type(error).__name__)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} ..."


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
