"""Project the logs of sweeps onto MLflow: idempotent, after the fact, by one writer at a time.

A run is created with all its tags, gets one batch of params and metrics, its artifacts and its dataset, and is then
terminated: that last step commits it. A run that is still RUNNING is therefore half-written and is written again.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records.events import Extension, Verdict
from analysis.records.lesson import CellRecord
from analysis.records.polynomial import NetworkRecord
from analysis.records.reading import StudyReader, anchor_difference
from analysis.records.study import Record, Study, StudyHeader, TrialRecord
from analysis.records.table import TABLE_NAME
from sweeps.store.log import MODELS_NAME, SPEC_NAME, SUBMISSION_NAME
from sweeps.tracking.answers import whole_run
from sweeps.tracking.choice import ALL, CHOICE_TAG, RunChoice, parse_choice
from sweeps.tracking.database import artifact_root, first_line, fold_write_ahead, holders, open_client, sqlite_path
from sweeps.tracking.errors import DatabaseGoneError, StoreFailedError, TrackingBusyError, TrackingError
from sweeps.tracking.experiments import delete_moved, experiment_id, runs_of
from sweeps.tracking.filling import fill_run
from sweeps.tracking.log_tail import FoundRun, LogTail
from sweeps.tracking.log_upload import LogUpload
from sweeps.tracking.report_upload import ReportUpload
from sweeps.tracking.run_contents import (
    DIGEST_TAG,
    FILES_TAG,
    file_tags,
    parent_content,
    record_content,
    record_uid,
    study_uid,
)
from sweeps.tracking.sync_report import SyncReport

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_NAME = "tracking.lock"
BESIDE_LOG = (TABLE_NAME, SUBMISSION_NAME)
"""What a study may keep beside its log, that its parent run keeps as well."""
LOG_PATTERN = "*/log.jsonl"
LONGEST_SILENCE_S = 28.0
"""Without a run written or found, of a server: more than one request takes that times out twice."""
POLL_S = 0.2
BUSY_ATTEMPTS = 3  # each waits as long as MLflow's own busy time-out, 20 s


def sweep_folders(results: Path) -> list[Path]:
    """Return the folders of all sweeps below a results folder, by name."""
    return sorted({path.parent.parent for path in results.glob(f"[!.]*/{LOG_PATTERN}")})  # no import's draft


def sync(results_folder: Path, tracking_uri: str, log_runs: str | None = None) -> SyncReport:
    """Write every run that the logs below `results_folder` have and MLflow has not.

    Parameters
    ----------
    results_folder : Path
        Holds ``<sweep>/<dataset>/log.jsonl``.
    tracking_uri : str
        As from `resolve_uri`.
    log_runs : str or None
        As `sweeps.tracking.choice.parse_choice` reads it; None goes on as the runs that are there were begun.

    Raises
    ------
    TrackingError
        If the store cannot be written, or a server has not got on for `LONGEST_SILENCE_S`.
    TrackingBusyError
        If a running sweep's own writer holds a sweep.
    RecordError
        If a log is damaged.
    """
    report = SyncReport()
    if sqlite_path(tracking_uri) is not None:
        _sync(results_folder, tracking_uri, log_runs, report)
    else:
        _watched(lambda: _sync(results_folder, tracking_uri, log_runs, report), report, tracking_uri)
    return report


def _watched(work: Callable[[], None], report: SyncReport, uri: str) -> None:
    """Do some work on a thread, and give up once it has not got on for a while.

    What cannot be interrupted, a server that drips bytes or none at all, is left to the thread, which ends with the
    process and keeps the writer's lock until then.
    """
    failures: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        ended.set()

    threading.Thread(target=run, daemon=True, name="sync").start()
    n_before, since = -1, time.monotonic()
    while not ended.wait(POLL_S):
        if report.n_steps != n_before:
            n_before, since = report.n_steps, time.monotonic()
        elif time.monotonic() - since > LONGEST_SILENCE_S:
            raise TrackingError(
                f"{uri}: has not got on for {LONGEST_SILENCE_S:g} seconds, with {report.n_written} runs written; the"
                " logs have them all, and `sync` goes on from there once the server answers"
            )
    if failures:
        raise failures[0]


def _sync(results_folder: Path, tracking_uri: str, log_runs: str | None, report: SyncReport) -> None:
    client = open_client(tracking_uri)
    for folder in sweep_folders(results_folder):
        with writer_lock(folder):
            sync_sweep(folder, client, tracking_uri, report, log_runs)
    fold_write_ahead(tracking_uri)


def sync_sweep(
    folder: Path, client: MlflowClient, tracking_uri: str, report: SyncReport, log_runs: str | None = None
) -> None:
    """Write every run that one sweep's logs have and MLflow has not; the caller holds `writer_lock`."""
    root, database = artifact_root(tracking_uri), sqlite_path(tracking_uri)
    try:
        advance_patiently(SweepProjection(folder, client, root, report, database, log_runs), ended=True)
    except StoreFailedError as error:
        raise TrackingError(f"{error}; the logs have every run, `sync` goes on once it can") from None


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
    log_runs : str or None
        As `sweeps.tracking.choice.parse_choice` reads it; None goes on as the runs that are there were begun.
    """

    def __init__(
        self,
        folder: Path,
        client: MlflowClient,
        artifacts: Path | None,
        report: SyncReport,
        database: Path | None = None,
        log_runs: str | None = None,
    ) -> None:
        self._log_runs = log_runs
        self.database = database
        self._database_state = None if database is None else database.stat()
        self._folder = folder
        self._client = client
        self._artifacts = artifacts
        self._report = report
        self._studies: dict[Path, StudyProjection] = {}

    def advance(self, ended: bool, stop: threading.Event | None = None) -> int:
        """Write what the logs have gained, until `stop` is set; return the number of runs written.

        `ended` says that no driver is at work: parents of unfinished studies are then closed as KILLED.

        Raises
        ------
        DatabaseGoneError
            If the database has been deleted or replaced.
        """
        n_before = self._report.n_written
        for study in self._known_studies():
            self.check_database()
            study.advance(ended, stop)
        self.check_database()
        return self._report.n_written - n_before

    def n_waiting(self) -> int:
        """Return how many finished records of the logs have no run yet."""
        return sum(study.n_waiting() for study in self._known_studies())

    def check_database(self) -> None:
        """Raise `DatabaseGoneError` if the database is not the file it was."""
        # An open connection goes on with a file that has no name any more: whatever it writes is lost.
        if self.database is None or self._database_state is None:
            return
        try:
            there = self.database.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, self._database_state):
            raise DatabaseGoneError(f"{self.database}: deleted or replaced while runs were written to it")

    def _known_studies(self) -> list[StudyProjection]:
        paths = sorted(self._folder.glob(LOG_PATTERN))
        for path in paths:
            if path not in self._studies:
                self._studies[path] = StudyProjection(path, self._client, self._artifacts, self._report, self._log_runs)
        return [self._studies[path] for path in paths]


def advance_patiently(projection: SweepProjection, ended: bool, stop: threading.Event | None = None) -> int:
    """Call `SweepProjection.advance`; wait up to a minute for a database that another process has locked.

    Raises
    ------
    StoreFailedError
        If the store cannot be written; the projection can go on later.
    TrackingError
        If a user has to do something about it first.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for n_left in reversed(range(BUSY_ATTEMPTS)):
        try:
            return projection.advance(ended, stop)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            is_locked = "database is locked" in str(error)
            if n_left == 0 or not is_locked:
                projection.check_database()
                if is_locked and projection.database is not None:
                    who = " and ".join(holders(projection.database)) or "another process"
                    raise StoreFailedError(f"{projection.database}: locked by {who} for more than a minute") from None
                raise StoreFailedError(f"MLflow cannot be written: {first_line(error)}") from None
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

    def __init__(
        self,
        path: Path,
        client: MlflowClient,
        artifacts: Path | None,
        report: SyncReport,
        log_runs: str | None = None,
    ) -> None:
        self._tail = LogTail(path)
        self._reader = StudyReader(path)
        self._upload = LogUpload(path, client)
        self._report_upload = ReportUpload(path.parent.parent, client)
        self._client = client
        self._artifacts = artifacts
        self._report = report
        self._user = _user_name()
        self._study: Study | None = None
        self._log_runs = log_runs
        self._choice: RunChoice | None = None
        self._unchosen: list[Record] = []
        self._waiting: list[Record] = []
        self._experiment = ""
        self._present: set[str] = set()
        self._deleted: set[str] = set()
        self._parent: str | None = None
        self._anchor: str | None = None
        self._closed = False
        self._surveyed = False  # false again whenever a write breaks off, as it may have left half a run

    def n_waiting(self) -> int:
        """Return how many records wait for their run."""
        self._read()
        return len(self._unchosen) + len(self._waiting)

    def advance(self, ended: bool, stop: threading.Event | None = None) -> None:
        """Write the runs of all new lines, or until `stop` is set; close the parent when the study is over."""
        self._read()
        study = self._study
        is_new = bool(self._unchosen or self._waiting)
        if study is None or not (is_new or (not self._closed and (ended or study.verdict is not None))):
            self._send_report(ended)
            return
        if not self._surveyed:
            self._survey(study)
        self._surveyed = False
        over = ended or study.verdict is not None
        if over:
            self._check_anchor(study)
        self._choose()
        while self._waiting and not (stop is not None and stop.is_set()):
            self._write_record(study, self._waiting[0])
            del self._waiting[0]
        if self._parent is not None and study_uid(study.header) not in self._deleted:
            self._upload.send(self._parent, self._tail.offset, at_once=over)
        if over and not self._closed:
            self._close_parent(study)
            self._delete_half_written(study.header)
        self._surveyed = True
        self._send_report(ended)

    def _send_report(self, ended: bool) -> None:
        """Let the parent keep the report, which is written once all studies of a sweep are over."""
        if not ended or not self._closed or self._study is None or self._parent is None:
            return
        if study_uid(self._study.header) not in self._deleted:
            self._report_upload.send(self._parent, self._study.header.dataset)

    def _read(self) -> None:
        for line in self._tail.read():
            item = self._reader.take(line)
            self._study = self._reader.study
            if isinstance(item, TrialRecord | NetworkRecord | CellRecord):
                self._unchosen.append(item)
            if isinstance(item, TrialRecord | NetworkRecord | CellRecord | Verdict | Extension):
                self._closed = False

    def _choose(self) -> None:
        """Let those of the new records wait for their run that get one."""
        if self._choice is None:
            self._choice = parse_choice(self._log_runs or ALL)
        chosen = [record for record in self._unchosen if self._choice.takes(record)]
        self._report.n_left_out += len(self._unchosen) - len(chosen)
        self._waiting += chosen
        self._unchosen = []

    def _survey(self, study: Study) -> None:
        """Find the runs that are there, delete half-written ones, and make sure of a parent."""
        header = study.header
        self._experiment = experiment_id(self._client, header, self._artifacts)
        gone = delete_moved(self._client, header)
        found = [FoundRun.of(run) for run in runs_of(self._client, [self._experiment], header)]
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
        self._deleted = ({run.uid for run in whole} | gone) - self._present
        parent = next((run for run in [*parents, *whole] if run.uid == study_uid(header)), None)
        self._upload.go_on_from({} if parent is None else parent.tags)
        self._anchor = None if parent is None else parent.tags.get(DIGEST_TAG)
        self._report_upload.go_on_from({} if parent is None else parent.tags)
        if self._log_runs is None and parent is not None:
            self._log_runs = parent.tags.get(CHOICE_TAG)
        if parent is None:
            self._parent = self._create_parent(study)
            return
        self._parent = parent.run_id
        if parent.deleted:
            self._closed = True
        else:
            files = file_tags(parent_files(self._tail.path))
            self._closed = parent.status == "FINISHED" and parent.tags.get(FILES_TAG) == files.get(FILES_TAG)
            self._report.n_present += 1

    def _check_anchor(self, study: Study) -> None:
        """Make sure that a log is still the one whose digest MLflow has: what differs must not be written over it."""
        difference = None if self._anchor is None else anchor_difference(study, self._anchor, f"run {self._parent}")
        if difference is not None:
            raise TrackingError(difference)

    def _delete_half_written(self, header: StudyHeader) -> None:
        for run in runs_of(self._client, [self._experiment], header, "attributes.status = 'RUNNING'", active_only=True):
            if run.info.run_id != self._parent:
                self._delete_half(run.info.run_id)

    def _delete_half(self, run_id: str) -> None:
        self._client.delete_run(run_id)
        self._report.n_repaired += 1

    def _create_parent(self, study: Study) -> str:
        content = parent_content(study, self._user, parent_files(self._tail.path))
        start_ms = content.start_ms or int(1000 * time.time())
        tags = content.tags | self._choice_tag()
        run = whole_run(self._client.create_run(self._experiment, start_time=start_ms, tags=tags))
        fill_run(self._client, run, content)
        self._report.n_written += 1
        return str(run.info.run_id)

    def _choice_tag(self) -> dict[str, str]:
        return {} if self._log_runs is None else {CHOICE_TAG: self._log_runs}

    def _write_record(self, study: Study, record: Record) -> None:
        uid = record_uid(record)
        if uid in self._deleted:
            self._report.n_deleted += 1
        elif uid in self._present:
            self._report.n_present += 1
        else:
            files = model_files(self._tail.path.parent, record)
            content = record_content(study.header, record, self._user, files)
            tags = content.tags | {"mlflow.parentRunId": str(self._parent)}
            start_ms = content.start_ms or None
            run = whole_run(self._client.create_run(self._experiment, start_time=start_ms, tags=tags))
            fill_run(self._client, run, content)
            self._client.set_terminated(run.info.run_id, content.status, content.end_ms or None)
            self._present.add(uid)
            self._report.n_written += 1

    def _close_parent(self, study: Study) -> None:
        if self._parent is not None and study_uid(study.header) not in self._deleted:
            content = parent_content(study, self._user, parent_files(self._tail.path))
            run = whole_run(self._client.get_run(self._parent), self._parent)
            fill_run(self._client, run, content, content.tags | self._choice_tag())
            self._client.set_terminated(self._parent, content.status, content.end_ms or None)
        self._closed = True


def parent_files(log: Path) -> tuple[Path, ...]:
    """Return what a study's parent run keeps beside the log: the spec, and what the kind of data has to add."""
    paths = (log.parent.parent / SPEC_NAME, *(log.parent / name for name in BESIDE_LOG))
    return tuple(path for path in paths if path.is_file())


def model_files(folder: Path, record: Record) -> tuple[Path, ...]:
    """Return the saved model and curves of a record, where the sweep kept them."""
    return tuple(sorted((folder / MODELS_NAME).glob(f"{record.stage}-{record.number}.*")))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
