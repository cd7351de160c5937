"""The sweep's append-only logs and the lock that keeps a sweep to one driver."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from analysis.records.events import AskedLine, Chapter, Extension, LookLine, Scalar, Verdict
from analysis.records.lines import Chain, RecordError, canonical_json, is_whole, unix_ends
from analysis.records.reading import read_log, read_sweep
from analysis.records.study import Record, Study, StudyHeader, canonical_lines, digest_of, study_name
from analysis.records.values import as_data

LOCK_NAME = "lock"
LOG_NAME = "log.jsonl"
SPEC_NAME = "spec.toml"
BEFORE_NAME = "spec-before.toml"
"""The spec before an extension to another space, until every log has its line about it."""
MODELS_NAME = "models"
SUBMISSION_NAME = "submission.csv"
N_FOLDERS = 4
"""Folders above a log that may be new: the study's, the sweep's, the results', and where that is named."""
LEFT_BEHIND = (".*.tmp", "*/.*.tmp", f"*/{MODELS_NAME}/.*.tmp", f"*/{MODELS_NAME}/.*.part")


class SweepHeldError(RuntimeError):
    """Another driver holds the sweep; the message names its process, host and start."""


class SweepLock:
    """Holds ``<folder>/lock`` for one driver; the kernel lets go when the process ends, however it ends.

    Raises
    ------
    SweepHeldError
        On entering, if another driver holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._stream: FileIO | None = None

    def __enter__(self) -> SweepLock:  # noqa: D105
        stream = self._path.open("a+b", buffering=0)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stream:
                raise _held_error(stream, self._path.parent) from None
        for pattern in LEFT_BEHIND:  # by drivers that were killed while they wrote a whole file
            for path in self._path.parent.glob(pattern):
                path.unlink(missing_ok=True)
        start = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with contextlib.suppress(OSError):  # a full disk is told of by who writes what counts
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()} since {start}\n".encode())
        self._stream = stream
        return self

    def __exit__(  # noqa: D105
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.truncate(0)
            self._stream.close()
            self._stream = None


def check_free(folder: Path) -> None:
    """Say early that another driver holds a sweep; entering `SweepLock` is what decides.

    Raises
    ------
    SweepHeldError
        If one does.
    """
    try:
        stream = (folder / LOCK_NAME).open("rb")
    except OSError:
        return  # no driver has been here, or the folder will not do for other reasons
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held_error(stream, folder) from None


def _held_error(stream: BinaryIO | FileIO, folder: Path) -> SweepHeldError:
    stream.seek(0)
    holder = stream.read().decode(errors="replace").strip() or "a process that has just started"
    return SweepHeldError(f"{folder}: held by {holder}; wait for it, end it, or use another --results")


class StudyLog:
    """One study's log, open for appending; what it holds is in `study` and `points`.

    Parameters
    ----------
    path : Path
        ``<results>/<sweep>/<dataset>/log.jsonl``. Made, with its header, if it does not exist. A torn last line,
        which never counted, is cut off.
    header : StudyHeader
        What this driver asks.
    reopening : callable
        The line with which the log's study goes on with the budget, or the spec, of `header`; None: it is another one.

    Attributes
    ----------
    study : Study
        What the log says.
    points : dict of int to dict
        The sampler's coordinates of each asked trial.
    sources : dict of int to (int or None)
        The earlier trial that each asked trial repeats, or None.

    Raises
    ------
    RecordError
        If a line is damaged, or the log was written by other versions, whose numbers may differ.
    """

    def __init__(
        self,
        path: Path,
        header: StudyHeader,
        reopening: Callable[[Study], Extension | Chapter | None] = lambda _: None,
    ) -> None:
        self.path = path
        self.points: dict[int, dict[str, Any]] = {}
        self.sources: dict[int, int | None] = {}
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        mend_end(path)
        if not path.exists() or path.stat().st_size == 0:
            self.study = Study(header, path=path, chain=Chain(study_name(header)))
            self._log = ChainedLog(path, self.study.chain)
            self._log.append([("study", as_data(header))])
            return
        reader = read_log(path)
        assert reader.study is not None, "or it would not have been read"
        self.study = reader.study
        there = self.study.header
        budget = Extension(header.n_trials, header.until, header.spec_sha256)
        same_budget = dataclasses.replace(
            header, n_trials=there.n_trials, until=there.until, spec_sha256=there.spec_sha256
        )
        line = reopening(self.study) if there == same_budget and budget != self.study.budget else None
        if there != same_budget or (budget != self.study.budget and line is None):
            last = dataclasses.replace(there, **dataclasses.asdict(self.study.budget))
            raise RecordError(f"{path}: line 1: {header_difference(last, header)}")
        for number, asked in reader.chosen.items():
            self.points[number] = asked.point
            self.sources[number] = asked.source
        self._log = ChainedLog(path, self.study.chain)
        if line is not None:
            self._log.append([("chapter" if isinstance(line, Chapter) else "extension", as_data(line))])
            self.study.extend(line)

    def asked(self, number: int, params: dict[str, Scalar], point: dict[str, Any], source: int | None) -> None:
        """Write that a trial was chosen."""
        self.choose(number, params, point, source)
        self.write()

    def record(self, record: Record) -> None:
        """Write a trial's whole record."""
        self.take(record)
        self.write()

    def choose(self, number: int, params: dict[str, Scalar], point: dict[str, Any], source: int | None) -> None:
        """Take note that a trial was chosen; `write` writes it, before it is trained."""
        self._waiting.append(("asked", as_data(AskedLine(number, params, point, source))))
        self.study.asked[number] = params
        self.points[number] = point
        self.sources[number] = source

    def take(self, record: Record) -> None:
        """Take a trial's whole record; `write` writes it, before anybody is told of it."""
        self._waiting.append(("finished" if record.stage == "search" else record.stage, as_data(record)))
        self.study.add(record)

    def write(self) -> None:
        """Write what was chosen and taken since, in that order, all at once: the disk is waited for once."""
        if self._waiting:
            self._log.append(self._waiting)
            self._waiting = []

    def look(self, look: LookLine) -> None:
        """Write that draws which nothing has seen are about to be looked at."""
        self._waiting.append(("look", as_data(look)))
        self.write()
        self.study.looks.append(look)

    def verdict(self, verdict: Verdict) -> None:
        """Write how the study ended, and seal the log with the digest of the study's canonical form.

        Raises
        ------
        RecordError
            If what is on the disk is not what was written.
        """
        self.write()
        there = read_log(self.path).study  # as any reader will see it; a log that will not do is not sealed
        assert there is not None, "or it would not have been read"
        whole = dataclasses.replace(there, verdict=verdict)
        self._log.append([("verdict", as_data(verdict))], canonical=whole.digest)
        self.study.verdict = verdict

    def close(self) -> None:
        """Close the file; every line is already safe."""
        self._log.close()


class ChainedLog:
    """A log open for appending, each line chained to the one before.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    chain : Chain or None
        Where the log stands, as read.

    Raises
    ------
    RecordError
        If its lines are of a version that did not chain them.
    """

    def __init__(self, path: Path, chain: Chain | None) -> None:
        if chain is None or not chain.is_chained:
            raise RecordError(
                f"{path}: written by a version that did not chain its lines; it can be read and reported, not gone on"
                " with: run into another --results"
            )
        self._chain = chain
        self._file = AppendOnlyFile(path)

    def append(self, lines: Sequence[tuple[str, Any]], canonical: str | None = None) -> None:
        """Append lines in one piece, each a kind and its data; with `canonical`, the last one seals the log.

        Raises
        ------
        OSError
            If the disk is full or fails; the log then is as before.
        RecordError
            If the file has been deleted or replaced.
        """
        ahead = dataclasses.replace(self._chain, seals=list(self._chain.seals))
        texts = [ahead.encode(kind, data) for kind, data in lines[:-1]]
        texts.append(ahead.encode(*lines[-1], canonical=canonical))
        self._file.append("".join(texts).encode())
        for field in dataclasses.fields(Chain):  # the study's own chain, which others look at
            setattr(self._chain, field.name, getattr(ahead, field.name))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class AppendOnlyFile:
    """A file that grows by whole lines, each on the disk before `append` returns, or not there at all.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        sync_names(path)

    def append(self, content: bytes) -> None:
        """Append whole lines.

        Raises
        ------
        OSError
            If the disk is full or fails; nothing of `content` has been kept.
        RecordError
            If the file has been deleted or replaced: what is written now would be lost.
        """
        size = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
            there = os.stat(self._path)
        except FileNotFoundError:
            raise RecordError(f"{self._path}: deleted while a sweep writes it; restore it, or run again") from None
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next driver cuts it
                os.ftruncate(self._descriptor, size)
            raise OSError(error.errno, os.strerror(error.errno or 0), str(self._path)) from None
        if not os.path.samestat(there, os.fstat(self._descriptor)):
            raise RecordError(f"{self._path}: replaced while a sweep writes it; restore it, or use another --results")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: to a neighbor first, then renamed over."""
    neighbor = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with neighbor.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        neighbor.replace(path)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
    finally:
        neighbor.unlink(missing_ok=True)
    sync_folder(path.parent)


def digest(folder: Path) -> str:
    """Return the SHA-256 of a sweep's canonical form: every study's lines by stage and number, timing left out.

    Equal for equal specs, versions and processor type, whatever the number of workers and of interruptions.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.

    Raises
    ------
    RecordError
        If there is no log, or one is damaged.
    """
    return digest_of(line for study in read_sweep(folder) for line in canonical_lines(study))


def header_difference(there: StudyHeader, here: StudyHeader) -> str:
    """Return in what two headers differ, and what to do about it."""
    old, new = dataclasses.asdict(there), dataclasses.asdict(here)
    old |= {f"versions.{key}": value for key, value in old.pop("versions").items()}
    new |= {f"versions.{key}": value for key, value in new.pop("versions").items()}
    changes = [
        f"{key} {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} here"
        for key in sorted(old.keys() | new.keys())
        if canonical_json(old.get(key)) != canonical_json(new.get(key))
    ]
    return f"written by another setup ({'; '.join(changes)}); resume it there, or run into another --results"


def mend_end(path: Path) -> None:
    r"""Make a log ready to be appended to: cut off a torn last line, and bring line ends back to ``\n``.

    A torn line never counted: its writer died. A whole one that lacks only its end, as some editors leave it, gets it.

    Raises
    ------
    RecordError
        If every line end has been changed to a lone carriage return.
    """
    if not path.exists():
        return
    with path.open("r+b") as stream:
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        tail = content[whole:]
        if tail and not is_whole(tail, path):
            stream.truncate(whole)
            sync_file(path)
            content = content[:whole]
            tail = b""
    if tail or b"\r\n" in content:  # a version-control tool's work, or an editor's; no line has one inside
        write_atomically(path, unix_ends(content.removesuffix(b"\r") + (b"\n" if tail else b"")))


def sync_names(path: Path) -> None:
    """Wait until the names that lead to a file are on the disk: its own, its study's, its sweep's and the results'.

    A power cut may otherwise take a new folder, with all that was flushed to the files in it.
    """
    sync_folder(path.parent)
    for folder in path.absolute().parents[1:N_FOLDERS]:
        with contextlib.suppress(OSError):  # that of others: not to be read, nor new
            sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Wait until what a file or a folder holds is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
    finally:
        os.close(handle)
