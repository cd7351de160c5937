"""The store behind a tracking URI: MLflow's client, and the SQLite file that is made whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sweeps.store.log import sync_folder
from sweeps.tracking.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_REASON = 160
OTHER_SCHEMA = "out-of-date database schema"
"""What MLflow says of a database that it would have to migrate; it does not do that by itself."""
DISK_FULL = "disk is full"
BUSY_S = 60.0
"""How long another process may lock an SQLite file before it is a failure."""
FIRST_TABLE = "experiments"
VERSION_TABLE = "alembic_version"
FILLED_BY_SCHEMA = (VERSION_TABLE, "workspaces")
"""Tables that MLflow's migrations fill."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a server does not get to send our runs elsewhere
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


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
    """Return a client of a ready store: the database whole, of this MLflow's schema, with a write-ahead log.

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
        # Two processes must not make one database at once; the lock goes with the process, whatever happens.
        with _locked_folder(path.parent):
            if not path.exists() or _is_half_made(path):
                _make_database(path)
            _set_write_ahead(path)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        return client
    except (OSError, sqlite3.Error, MlflowException, SQLAlchemyError) as error:
        raise _unusable(shown or uri, error) from None


def _unusable(name: str, error: Exception) -> TrackingError:
    if OTHER_SCHEMA in str(error):
        return TrackingError(
            f"{name}: made by another version of MLflow; back it up, then `python -m mlflow db upgrade` it, or give"
            " another --tracking-uri"
        )
    if DISK_FULL in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
        return TrackingError(f"{name}: disk full; make room and try again (what the logs hold is safe)")
    return TrackingError(
        f"{name}: cannot be used by MLflow ({first_line(error)}); move the file away or give another --tracking-uri"
    )


def _make_database(path: Path) -> None:
    """Make MLflow's database under another name and move it into place, so that it is there whole or not at all.

    MLflow makes its tables in a hundred steps, and one that was killed between two of them refuses everything.
    """
    folder = path.with_name(f".{path.name}.new")
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed here; the lock is ours
    folder.mkdir()
    try:
        draft, whole = folder / "draft.db", folder / "whole.db"
        let_mlflow_make(draft)
        # MLflow keeps its connections to the draft: a copy has none, so that it can be moved.
        with closing(sqlite3.connect(draft)) as source, closing(sqlite3.connect(whole)) as target:
            source.backup(target)
        with whole.open("rb") as stream:
            os.fsync(stream.fileno())
        whole.replace(path.resolve())
        sync_folder(path.resolve().parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def let_mlflow_make(path: Path) -> None:
    """Let MLflow make its tables in a new file."""
    from mlflow import MlflowClient

    with _unflushed():
        MlflowClient(sqlite_uri(path)).search_experiments(max_results=1)


@contextmanager
def _unflushed() -> Iterator[None]:
    """Let SQLite not wait for the disk after each of a hundred steps: what they make is copied and flushed once."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hasten(connection: sqlite3.Connection, record: object) -> None:  # noqa: ARG001
        connection.execute("PRAGMA synchronous=OFF").close()

    event.listen(Engine, "connect", hasten)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hasten)


def _is_half_made(path: Path) -> bool:
    """Return whether a file is what a killed MLflow leaves of a new database; move it out of the way if so.

    Another program's database is refused: MLflow would add its tables to it.

    Such a file has no experiment, not even the one called Default that MLflow ends with, and no row anywhere but in
    what the schema itself fills. It is kept beside, for whoever wants to see it, unless it has no table at all.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            quoted = ['"' + name.replace('"', '""') + '"' for name in names if name not in FILLED_BY_SCHEMA]
            is_used = any(connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() for name in quoted)
            if names and (FIRST_TABLE not in names or (is_used and VERSION_TABLE not in names)):
                raise TrackingError(f"{path}: another program's database; give another --tracking-uri")
            if is_used:
                return False
            connection.execute("PRAGMA journal_mode=DELETE")  # brings it into its one file
    except sqlite3.DatabaseError:
        return False  # no database: MLflow says so
    if names:
        path.replace(path.with_name(f"{path.name}.half-made"))
    return True


def prepare_environment() -> None:
    """Set what MLflow reads from the environment when it is imported: no telemetry, short waits, no pickles."""
    os.environ.update({key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()})


def artifact_root(uri: str) -> Path | None:
    """Return where artifacts go: beside an SQLite file; None leaves the choice to the server.

    Beside the database, because runs of several results folders may share an experiment, whose place is fixed once.
    """
    path = sqlite_path(uri)
    return None if path is None else path.parent / "mlartifacts"


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
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
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


def holders(path: Path) -> list[str]:
    """Return the other processes that hold an SQLite file locked, as ``"sqlite3 (process 12)"``; Linux tells them."""
    inodes = set()
    for name in (path.name, f"{path.name}-shm", f"{path.name}-journal"):
        with suppress(OSError):
            inodes.add(str(path.with_name(name).stat().st_ino))
    found: dict[str, str] = {}
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    for line in lines:
        fields = line.split()
        # number: POSIX ADVISORY WRITE process major:minor:inode first last
        if len(fields) == 8 and fields[3] == "WRITE" and fields[5].rpartition(":")[2] in inodes:
            number = fields[4]
            if number != str(os.getpid()):
                name = "a process"
                with suppress(OSError):
                    name = Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip()
                found[number] = f"{name} (process {number})"
    return list(found.values())
