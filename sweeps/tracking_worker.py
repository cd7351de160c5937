"""The process that writes the runs of a running sweep, and the driver's hold on it.

A process of its own, so that no trial waits for MLflow. It follows the logs, ends when the driver has told it to or
has died (its standard input closes), and holds the sweep's writer lock, so that two never write at once.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sweeps.tracking import (
    SweepProjection,
    SyncReport,
    advance_patiently,
    artifact_root,
    fold_write_ahead,
    open_client,
    writer_lock,
)
from sweeps.tracking_errors import TrackingError

FINISH = b"finish\n"
POLL_S = 0.5
LONGEST_PAUSE_S = 30.0
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
        As from `sweeps.tracking.resolve_uri`.
    """

    def __init__(self, folder: Path, tracking_uri: str) -> None:
        self._log: IO[bytes] = (folder / LOG_NAME).open("ab")
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sweeps.tracking_worker", str(folder.absolute()), tracking_uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is the driver's business; the writer finishes what it is writing
        )

    def finish(self) -> TrackingResult:
        """Tell the writer that the logs are complete, wait for it, and return what it did."""
        try:
            output, _ = self._process.communicate(FINISH)
        finally:
            self._log.close()
        if self._process.returncode != 0:
            return TrackingResult(0, None, f"its writer failed, see {self._log.name}")
        return TrackingResult(**json.loads(output))

    def abandon(self) -> None:
        """Let the writer end by itself after what it is writing now, without waiting for it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._log.close()


def main(arguments: Sequence[str]) -> int:
    """Follow the logs of one sweep until told to finish; print a `TrackingResult` as JSON."""
    folder, tracking_uri = Path(arguments[0]), arguments[1]
    os.nice(NICENESS)
    # MLflow prints to the standard output now and then; that is where the driver reads the result.
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        result = follow(folder, tracking_uri, sys.stdin.fileno())
        try:
            output.write(
                json.dumps({"n_written": result.n_written, "n_waiting": result.n_waiting, "problem": result.problem})
            )
            output.flush()
        except BrokenPipeError:
            os.dup2(2, output.fileno())  # nobody listens any more; closing must not fail again
    return 0


def follow(folder: Path, tracking_uri: str, commands: int) -> TrackingResult:
    """Write runs as the logs of `folder` grow, until the file descriptor `commands` says or reaches its end."""
    report = SyncReport()
    projection: SweepProjection | None = None
    problem: str | None = None
    pause_s, resume_at_s = POLL_S, 0.0
    with writer_lock(folder, wait=True):
        while True:
            ended = _is_told_to_end(commands)
            if ended or time.monotonic() >= resume_at_s:
                try:
                    if projection is None:
                        projection = SweepProjection(
                            folder, open_client(tracking_uri), artifact_root(tracking_uri), report
                        )
                    advance_patiently(projection, ended)
                    problem, pause_s = None, POLL_S
                except TrackingError as error:
                    problem, pause_s = str(error), min(LONGEST_PAUSE_S, 2.0 * pause_s)
                    resume_at_s = time.monotonic() + pause_s
            if ended:
                n_waiting = None if projection is None else projection.n_waiting()
                fold_write_ahead(tracking_uri)
                return TrackingResult(report.n_written, n_waiting, problem)


def _is_told_to_end(commands: int) -> bool:
    ready, _, _ = select.select([commands], [], [], POLL_S)
    # Either the command to finish, or the end of the stream: the driver has died. Both end it after what is there.
    return bool(ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
