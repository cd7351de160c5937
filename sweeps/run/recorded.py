"""Records that the package brings along: of lessons whose full run takes too long for whoever reads a course."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

from analysis.records.lesson import LESSON
from sweeps.store.log import write_atomically

RECORDED = "recorded"


def unpack(lesson: str, results: Path) -> Path | None:
    """Write a lesson's shipped log below `results`, as its full run left it but for its verdict.

    The cells are what took hours; claims are judged by whoever shows them, so that no verdict of an earlier version
    contradicts the page.

    Returns
    -------
    Path or None
        ``<results>/<lesson>_full``; None where none is shipped.
    """
    shipped = resources.files("sweeps").joinpath("specs", RECORDED, f"{lesson}.jsonl.gz")
    if not shipped.is_file():
        return None
    folder = results / f"{lesson}_full"
    path = folder / LESSON / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, gzip.decompress(shipped.read_bytes()))
    return folder
