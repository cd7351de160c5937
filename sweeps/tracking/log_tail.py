"""A log read as it grows, and what of a run in the store decides what is still to be written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records.lines import Line, decode_raw_line
from sweeps.tracking.choice import CHOICE_TAG
from sweeps.tracking.log_upload import LINES_TAG, SHA256_TAG
from sweeps.tracking.run_contents import (
    DIGEST_TAG,
    FILES_TAG,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

KEPT_TAGS = (LINES_TAG, SHA256_TAG, FILES_TAG, CHOICE_TAG, DIGEST_TAG)
"""Of a parent run that is found: what tells how to go on."""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """What of a run in the store decides what is still to be written."""

    uid: str
    run_id: str
    status: str
    deleted: bool
    parent: str | None
    tags: dict[str, str]

    @classmethod
    def of(cls, run: Run) -> FoundRun:
        """Return what is kept of a run."""
        tags = {key: value for key, value in run.data.tags.items() if key in KEPT_TAGS}
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
