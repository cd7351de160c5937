"""A power cut takes what was not flushed, and nothing that was acknowledged; the sweep goes on to the same bytes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from small import small_spec

from analysis.records.reading import read_study
from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.run.study import run_sweep
from sweeps.store.log import LOG_NAME, StudyLog, digest, mend_end

Tally = Callable[[str, float, float], None]
SPEC = small_spec()
Files = dict[str, bytes]


class Disk:
    """What of a folder would be there after a power cut, by the least that POSIX promises.

    A file has the content of its last flush, or none; a name is there, or gone, once its folder has been flushed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._flush = os.fsync
        self.states: list[tuple[Files, Files]] = []

    def fsync(self, descriptor: int) -> None:
        """Flush a file or a folder, and note what a power cut right behind it leaves, and what must be among it."""
        self._flush(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            found = {one.name: (one.stat().st_ino, one.is_dir()) for one in path.iterdir()}
            self._names[path.stat().st_ino] = found
        else:
            self._content[path.stat().st_ino] = path.read_bytes()
        if path.is_relative_to(self._root):
            logs = {str(log.relative_to(self._root)): log for log in self._root.rglob(LOG_NAME)}
            flushed = {name: self._content.get(log.stat().st_ino, b"") for name, log in logs.items()}
            self.states.append((dict(self._left(self._root.stat().st_ino, "")), flushed))

    def _left(self, folder: int, place: str) -> list[tuple[str, bytes]]:
        files = []
        for name, (inode, is_folder) in self._names.get(folder, {}).items():
            path = f"{place}{name}"
            files += self._left(inode, f"{path}/") if is_folder else [(path, self._content.get(inode, b""))]
        return files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole")
    run_sweep(SPEC, results, workers=1)
    return results / "tiny"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="learns through Linux' /proc what is flushed")
@pytest.mark.parametrize("n", [3, pytest.param(0, marks=(pytest.mark.faults, pytest.mark.takes(60.0)))])
def test_a_power_cut_after_any_flush_takes_no_acknowledged_line(
    whole: Path, tmp_path: Path, n: int, tally: Tally
) -> None:
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        run_sweep(SPEC, tmp_path / "disk" / "results", workers=1)
    states = disk.states
    assert (
        states[-1][1]["results/tiny/gauss/log.jsonl"]
        == (tmp_path / "disk" / "results" / "tiny" / "gauss" / LOG_NAME).read_bytes()
    )
    chosen = random.Random(0).sample(range(len(states)), n) if n else range(len(states))
    found = list[str]()
    for k in chosen:
        left, acknowledged = states[k]
        root = tmp_path / str(k)
        for name, content in left.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for name, content in acknowledged.items():
            if not left.get(name, b"").startswith(content):
                found.append(f"flush {k}: {name} has lost lines")
        run_sweep(SPEC, root / "results", workers=1)
        folder = root / "results" / "tiny"
        found += [f"flush {k}: {finding}" for finding in (*check_records(folder), *check_leftovers(folder))]
        found += [] if digest(folder) == digest(whole) else [f"flush {k}: another digest"]
    tally("power cut after a flush, leaving only what POSIX promises; then resumed", len(chosen), len(found))
    assert found == []


@pytest.mark.parametrize("step", [197, pytest.param(1, marks=pytest.mark.faults)])
def test_a_torn_or_zeroed_end_of_the_log_never_counts(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, tally: Tally
) -> None:
    """Every length that the last line may have been written to, as it is, or with zeros up to its length or beyond."""
    content = (whole / "gauss" / LOG_NAME).read_bytes()
    lines = content.splitlines(keepends=True)
    path = tmp_path / "gauss" / LOG_NAME
    path.parent.mkdir()
    n, failed = 0, 0
    monkeypatch.setattr(os, "fsync", lambda _: None)  # tens of thousands of them would take minutes
    for i in (2, len(lines) - 1):  # a search trial's record, and the verdict
        before = b"".join(lines[:i])
        for cut in range(0, len(lines[i]), step):
            for tail in (b"", bytes(len(lines[i]) - cut), bytes(4096)):
                path.write_bytes(before + lines[i][:cut] + tail)
                header = read_study(path).header
                mend_end(path)
                StudyLog(path, header).close()
                n += 1
                lacks_only_its_end = cut == len(lines[i]) - 1 and not tail  # which it gets: all that it says is there
                failed += path.read_bytes() != before + lines[i] * lacks_only_its_end
    tally("log whose last line ends at any byte, as it is or followed by zeros", n, failed)
    assert failed == 0
    assert n > 20
