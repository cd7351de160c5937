"""A study's log as artifacts of its parent run, piece by piece: what `sweeps import` makes the log again from.

The pieces are whole lines in the log's order, named by the number of their first line. Two tags of the run commit
them: how many lines are there, and the SHA-256 of all their bytes. A piece without them does not count.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records.lines import unix_ends
from sweeps.tracking.answers import log_files, whole_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "log"
LINES_TAG = "log.lines"
SHA256_TAG = "log.sha256"
PAUSE_S = 30.0


def piece_name(first_line: int) -> str:
    """Return the file name of the piece that begins with that line of the log, counted from 1."""
    return f"{first_line:08d}.jsonl"


class LogUpload:
    """Sends what a log has gained to its parent run.

    Parameters
    ----------
    path : Path
        The log.
    client : MlflowClient
    """

    def __init__(self, path: Path, client: MlflowClient) -> None:
        self._path = path
        self._client = client
        self._n_lines = 0
        self._offset = 0
        self._digest = hashlib.sha256()
        self._not_before_s = 0.0

    def go_on_from(self, tags: Mapping[str, str]) -> None:
        """Begin after the lines that the parent run's tags promise, or at the first where they are not the log's."""
        self._n_lines, self._offset, self._digest = 0, 0, hashlib.sha256()
        promised = tags.get(LINES_TAG, "")
        n_lines = int(promised) if promised.isdecimal() else 0
        digest, offset = hashlib.sha256(), 0
        with self._path.open("rb") as stream:
            for _ in range(n_lines):
                raw = stream.readline()
                digest.update(unix_ends(raw))
                offset += len(raw)
        if n_lines and digest.hexdigest() == tags.get(SHA256_TAG):
            self._n_lines, self._offset, self._digest = n_lines, offset, digest

    def send(self, run_id: str, end: int, at_once: bool) -> None:
        """Send the lines before byte `end`, if there are any; not oftener than twice a minute unless `at_once`."""
        if end <= self._offset or not (at_once or time.monotonic() >= self._not_before_s):
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            piece = unix_ends(stream.read(end - self._offset))
        digest, n_lines = self._digest.copy(), self._n_lines + piece.count(b"\n")
        digest.update(piece)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / piece_name(self._n_lines + 1)
            file.write_bytes(piece)
            log_files(self._client, whole_run(self._client.get_run(run_id), run_id), Path(folder), FOLDER)
        self._commit(run_id, n_lines, digest.hexdigest())
        self._n_lines, self._offset, self._digest = n_lines, end, digest
        self._not_before_s = time.monotonic() + PAUSE_S

    def _commit(self, run_id: str, n_lines: int, digest: str) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(LINES_TAG, str(n_lines)), RunTag(SHA256_TAG, digest)]
        self._client.log_batch(run_id, tags=tags)
