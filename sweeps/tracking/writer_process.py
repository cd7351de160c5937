"""The process that writes the runs of a running sweep, and the driver's hold on it.

A process of its own, so that no trial waits for MLflow. It follows the logs, ends when the driver has told it to or
has died (its standard input closes), and holds the sweep's writer lock, so that two never write at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sweeps.tracking.database import artifact_root, fold_write_ahead, open_client, sqlite_path
from sweeps.tracking.errors import DatabaseGoneError, TrackingError
from sweeps.tracking.projection import SweepProjection, advance_patiently, writer_lock
from sweeps.tracking.sync_report import SyncReport

FINISH = b"finish\n"
POLL_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_SILENCE_S = 180.0  # longer than a database may be locked, or a server take for one answer
BEAT_S = 5.0
FRUITLESS_ATTEMPTS = 2
GRACE_S = 4.5  # for what is being written when the driver goes; who interrupts a sweep wants it gone
NICENESS = 5  # trials come first
LOG_NAME = "tracking.log"


@dataclass(frozen=True, slots=True)
class TrackingResult:
    """What the writer has done by its end.

    Parameters
    ----------
    n_written : int
        Runs written.
    n_waiting : int or None
        Finished records without a run; None where that is not known.
    problem : str or None
        Why some are waiting.
    """

    n_written: int
    n_waiting: int | None
    problem: str | None


class TrackingProcess:
    """The driver's hold on the writer of one sweep, which starts at once.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``, which exists.
    tracking_uri : str
        As from `sweeps.tracking.database.resolve_uri`.
    log_runs : str or None
        Which search trials get a run, as `sweeps.tracking.choice.parse_choice` reads it; None goes on as begun.
    """

    def __init__(self, folder: Path, tracking_uri: str, log_runs: str | None = None) -> None:
        self._log: IO[bytes] = (folder / LOG_NAME).open("ab")
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            # -P: an engine.py in the working directory is nobody's engine.
            [sys.executable, "-P", "-m", "sweeps.tracking.writer_process", str(folder.absolute()), tracking_uri]
            + ([] if log_runs is None else [log_runs]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is the driver's business; the writer finishes what it is writing
        )

    def finish(self) -> TrackingResult:
        """Tell the writer that the logs are complete, wait for it as long as it gets on, and return what it did."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("started with pipes")
        with self._log, stdout, selectors.DefaultSelector() as talk:  # `select` knows no descriptor beyond 1 023
            talk.register(stdout, selectors.EVENT_READ)
            with contextlib.suppress(BrokenPipeError):  # it has failed; its status says so
                stdin.write(FINISH)
                stdin.flush()
            output = b""
            while talk.select(LONGEST_SILENCE_S):
                piece = os.read(stdout.fileno(), 65536)
                output += piece
                if not piece:
                    break
            else:
                self._process.kill()  # a run it leaves half-written is replaced by the next one to write
                self._process.wait()
                with contextlib.suppress(BrokenPipeError):
                    stdin.close()
                return TrackingResult(0, None, f"MLflow has not got on for {LONGEST_SILENCE_S:g} seconds")
        with contextlib.suppress(BrokenPipeError):
            stdin.close()  # not before: it is how the writer knows that somebody waits
        if self._process.wait() != 0:
            return TrackingResult(0, None, f"its writer failed, see {self._log.name}")
        return TrackingResult(**json.loads(output))

    def abandon(self) -> None:
        """Let the writer end by itself within `GRACE_S`, without waiting for it; `sync` writes what it leaves."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._log.close()


def main(arguments: Sequence[str]) -> int:
    """Follow the logs of one sweep until told to finish; print a `TrackingResult` as JSON."""
    folder, tracking_uri = Path(arguments[0]), arguments[1]
    os.nice(NICENESS)
    # MLflow prints to the standard output now and then; that is where the driver reads the result.
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        log_runs = arguments[2] if len(arguments) > 2 else None
        result = follow(folder, tracking_uri, Driver(sys.stdin.fileno()), output, log_runs)
        with contextlib.suppress(BrokenPipeError):
            output.write(json.dumps(dataclasses.asdict(result)))
            output.flush()
            return 0
        os.dup2(2, output.fileno())  # nobody listens any more; closing must not fail again
    return 0


class Driver:
    """What the driver has said, or that it has gone: then the process ends, however long a request may take.

    Parameters
    ----------
    commands : int
        File descriptor that the driver writes to, and that closes with it.
    """

    def __init__(self, commands: int) -> None:
        self._commands = commands
        self._ended = threading.Event()
        self.has_gone = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="driver").start()

    def has_ended(self, wait_s: float) -> bool:
        """Wait a moment; return whether the logs are complete or the driver has gone."""
        return self._ended.wait(wait_s)

    def _listen(self) -> None:
        said = b""
        while piece := os.read(self._commands, 4096):
            said += piece
            if FINISH in said:
                self._ended.set()
        self.has_gone.set()
        self._ended.set()
        time.sleep(GRACE_S)
        os._exit(0)  # what it was writing is half-written, and is written again


def follow(
    folder: Path, tracking_uri: str, driver: Driver, output: IO[str], log_runs: str | None = None
) -> TrackingResult:
    """Write runs as the logs of `folder` grow, until the driver says that they are complete, or has gone."""
    writer = _Writer(folder, tracking_uri, driver.has_gone, log_runs)
    pause_s, resume_at_s = POLL_S, 0.0
    with writer_lock(folder, wait=True):
        while not driver.has_ended(POLL_S):
            if time.monotonic() >= resume_at_s:
                writer.advance(ended=False)
                pause_s = POLL_S if writer.problem is None else min(LONGEST_PAUSE_S, 2.0 * pause_s)
                resume_at_s = time.monotonic() + (0.0 if writer.problem is None else pause_s)
        threading.Thread(target=_beat, args=(writer.report, output), daemon=True).start()
        n_fruitless = 0
        while n_fruitless < FRUITLESS_ATTEMPTS:
            n_before = writer.report.n_written
            writer.advance(ended=True)
            if writer.problem is None:
                break
            n_fruitless = 0 if writer.report.n_written > n_before else n_fruitless + 1
        fold_write_ahead(tracking_uri)
        return TrackingResult(writer.report.n_written, writer.n_waiting(), writer.problem)


class _Writer:
    """The projection of one sweep, opened when the store can be, and what keeps it from getting on."""

    def __init__(self, folder: Path, tracking_uri: str, stop: threading.Event, log_runs: str | None) -> None:
        self._stop = stop
        self._log_runs = log_runs
        self._folder = folder
        self._uri = tracking_uri
        self._projection: SweepProjection | None = None
        self._gone = False
        self.report = SyncReport()
        self.problem: str | None = None

    def advance(self, ended: bool) -> None:
        """Write what can be written; `problem` says why it is not all."""
        self.problem = None
        try:
            if self._projection is None:
                client, root = open_client(self._uri), artifact_root(self._uri)
                database = sqlite_path(self._uri)
                self._projection = SweepProjection(self._folder, client, root, self.report, database, self._log_runs)
            advance_patiently(self._projection, ended, self._stop)
        except TrackingError as error:
            self.problem = str(error)
            self._gone = isinstance(error, DatabaseGoneError)

    def n_waiting(self) -> int | None:
        """Return how many records have no run; None where that cannot be known."""
        return None if self._projection is None or self._gone else self._projection.n_waiting()


def _beat(report: SyncReport, output: IO[str]) -> None:
    """Let the driver know, as long as runs are written, that waiting is worth it."""
    n_before = -1
    while True:
        n = report.n_steps
        if n != n_before:
            try:
                output.write("\n")  # white space before the JSON of the result
                output.flush()
            except (OSError, ValueError):  # nobody listens any more, or this is the end
                return
        n_before = n
        time.sleep(BEAT_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
