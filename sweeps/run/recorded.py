"""Records that the package brings along: of lessons and studies that take too long for whoever reads a course."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from pathlib import Path

from sweeps.store.log import write_atomically

RECORDED = "recorded"


def unpack(name: str, results: Path) -> Path | None:
    """Write the shipped log of a lesson or a study below `results`, as its full run left it but for its verdict.

    Its records are what took long; claims are judged by whoever shows them, so that no verdict of an earlier version
    contradicts the page.

    Returns
    -------
    Path or None
        ``<results>/<name>_full``; None where none is shipped.
    """
    shipped = resources.files("sweeps").joinpath("specs", RECORDED, f"{name}.jsonl.gz")
    if not shipped.is_file():
        return None
    log = gzip.decompress(shipped.read_bytes())
    folder = results / f"{name}_full"
    path = folder / str(json.loads(log.partition(b"\n")[0])["data"]["dataset"]) / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, log)
    return folder
