"""A sweep's report as artifacts of its parent runs: the page, and the pictures of the run's own dataset."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.formats.blocks import file_names
from analysis.statistics.homework import dataset_title
from sweeps.tracking.answers import log_files, whole_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "report"
PAGE = "report.html"
SHA256_TAG = "report.sha256"
"""Of the parent run: which page it keeps. The page is made from the log, so that nothing is made from the page."""


def report_files(folder: Path, dataset: str) -> dict[str, Path]:
    """Return what a parent run keeps of the report in a sweep's folder, by name; nothing where there is no report."""
    page = folder / "report" / "index.html"
    if not page.is_file():
        return {}
    (slug,) = file_names("", [dataset_title(dataset)])
    own = re.compile(rf"[a-z]+{re.escape(slug)}\.(?:png|svg)")
    pictures = (page.parent / "pictures").glob("*.*")
    return {PAGE: page, **{path.name: path for path in sorted(pictures) if own.fullmatch(path.name)}}


class ReportUpload:
    """Sends the report of a sweep to a parent run, where that has another one or none.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    client : MlflowClient
    """

    def __init__(self, folder: Path, client: MlflowClient) -> None:
        self._folder = folder
        self._client = client
        self._digest = ""

    def go_on_from(self, tags: Mapping[str, str]) -> None:
        """Begin with the page that the parent run's tags promise."""
        self._digest = tags.get(SHA256_TAG, "")

    def send(self, run_id: str, dataset: str) -> None:
        """Send the page and the pictures of one dataset, if there are any and the page is another one."""
        files = report_files(self._folder, dataset)
        digest = hashlib.sha256(files[PAGE].read_bytes()).hexdigest() if files else self._digest
        if digest == self._digest:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, path in files.items():
                shutil.copy(path, Path(folder) / name)
            log_files(self._client, whole_run(self._client.get_run(run_id), run_id), Path(folder), FOLDER)
        self._client.set_tag(run_id, SHA256_TAG, digest)
        self._digest = digest
