"""A full, failing or vanishing disk costs no acknowledged trial, and a resume ends in the same bytes."""

from __future__ import annotations

import errno
import itertools
import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import record_builders as build
from small import small_spec
from tiny import tiny_spec

from analysis.records.lines import RecordError
from analysis.records.reading import read_sweep
from analysis.records.study import canonical_lines
from sweeps.commands.main import main
from sweeps.run.progress import Progress
from sweeps.run.study import run_sweep
from sweeps.spec.writing import as_toml
from sweeps.store.log import SweepLock, digest

SPEC = tiny_spec()
Tally = Callable[[str, float, float], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    run_sweep(SPEC, results, workers=1)
    return results / "tiny"


@contextmanager
def longest_file(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: a full disk that needs no root to make."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def lines_of(folder: Path) -> set[bytes]:
    return {line for path in folder.glob("*/log.jsonl") for line in path.read_bytes().splitlines(keepends=True)}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_disk_that_is_full_costs_nothing_that_was_written(whole: Path, tmp_path: Path, share: float) -> None:
    size = min(path.stat().st_size for path in whole.glob("*/log.jsonl"))
    with longest_file(int(share * size)), pytest.raises(OSError, match=r"tiny/\w+") as caught:
        run_sweep(SPEC, tmp_path, workers=2)
    assert caught.value.errno == errno.EFBIG
    before = lines_of(tmp_path / "tiny")
    assert all(line.endswith(b"\n") for line in before)
    run_sweep(SPEC, tmp_path, workers=2)
    assert before <= lines_of(tmp_path / "tiny")
    assert digest(tmp_path / "tiny") == digest(whole)


def test_a_full_disk_is_one_line_with_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(as_toml(SPEC))
    with longest_file(6000):
        assert main(["run", "tiny.toml", "--tracking-uri", "none"]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("python -m sweeps: results/tiny/")
    assert error.endswith("disk full; what the logs hold is safe, make room and `python -m sweeps resume`")


class Failing:
    """Stands for a function of the operating system, and fails at one call: with an error, or after half the bytes."""

    def __init__(self, function: Callable[..., int | None], at: int, half: bool = False, code: int = errno.EIO) -> None:
        self._function, self._at, self._half, self._code = function, at, half, code
        self.n_calls = 0

    def __call__(self, descriptor: int, *content: memoryview) -> int | None:
        self.n_calls += 1
        if self.n_calls == self._at:
            if not self._half:
                raise OSError(self._code, os.strerror(self._code))
            content = (content[0][: len(content[0]) // 2],)
        return self._function(descriptor, *content)


def fail_once(whole: Path, results: Path, name: str, at: int) -> None:
    """Let a call of the operating system fail during a sweep; resume; expect the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, Failing(getattr(os, name), at))
        with pytest.raises(OSError, match="Input/output error"):
            run_sweep(SPEC, results, workers=1)
    assert not list(results.glob("**/*.tmp"))
    run_sweep(SPEC, results, workers=1)
    assert digest(results / "tiny") == digest(whole)


@pytest.mark.parametrize(("name", "at"), [("fsync", 1), ("fsync", 20), ("write", 8), ("write", 20)])
def test_an_input_output_error_leaves_no_half_line(whole: Path, tmp_path: Path, name: str, at: int) -> None:
    fail_once(whole, tmp_path, name, at)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["fsync", "write"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_every_write_and_flush_may_fail(tmp_path: Path, name: str, code: int, tally: Tally) -> None:
    spec, n, found = small_spec(), 0, list[str]()
    run_sweep(spec, tmp_path / "whole", workers=1)
    for at in itertools.count(1):
        results = tmp_path / str(at)
        failing = Failing(getattr(os, name), at, code=code)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                run_sweep(spec, results, workers=1)
            except OSError as error:
                found += [] if error.errno == code and error.filename else [f"{at}: {error}"]
        if failing.n_calls < at:
            break
        n += 1
        found += [f"{at}: {path}" for path in results.glob("**/*.tmp")]
        run_sweep(spec, results, workers=1)
        found += [] if digest(results / "tiny") == digest(tmp_path / "whole" / "tiny") else [f"{at}: another digest"]
        shutil.rmtree(results)
    tally(f"{errno.errorcode[code]} from each `{name}` of a sweep in turn, then resumed", n, len(found))
    assert found == []
    assert n > 15


def test_a_short_write_is_gone_on_with(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Failing(os.write, at=12, half=True)
    monkeypatch.setattr(os, "write", write)
    run_sweep(SPEC, tmp_path, workers=1)
    assert write.n_calls > 12
    assert digest(tmp_path / "tiny") == digest(whole)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda log: log.unlink(), "deleted while a sweep writes it; restore it, or run again"),
        (
            lambda log: shutil.copy(log, log.with_name("copy")) and log.with_name("copy").replace(log),
            "replaced while a sweep writes it; restore it, or use another --results",
        ),
    ],
)
def test_a_log_that_vanishes_stops_the_sweep_at_once(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    n_records = [0]

    def on_event(progress: Progress) -> None:
        n_records[0] += progress.record is not None
        if n_records[0] == 3 and progress.record is not None:
            harm(tmp_path / "tiny" / "gauss" / "log.jsonl")

    with pytest.raises(RecordError) as caught:
        run_sweep(SPEC, tmp_path, workers=1, on_event=on_event)
    assert str(caught.value) == f"{tmp_path}/tiny/gauss/log.jsonl: {message}"
    assert n_records[0] < 18


def test_what_killed_drivers_left_half_written_goes(tmp_path: Path) -> None:
    for name in ("", "xor", "xor/models"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / ".file.123.tmp").write_text("half")
    with SweepLock(tmp_path):
        assert not list(tmp_path.glob("**/*.tmp"))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return content with one bit flipped, cut, a page zeroed, or a piece of itself moved."""
    at = rng.randrange(len(content))
    kind = rng.randrange(4)
    if kind == 0:
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + bytes(min(4096, len(content) - at)) + content[at + 4096 :]
    end = rng.randrange(at, len(content))
    return content[at:end] + content[:at] + content[end:]


@pytest.mark.parametrize("seed", range(4))
def test_a_corrupt_log_is_named_or_says_the_same(tmp_path: Path, seed: int) -> None:
    path = build.write_study(build.finished_study(n_trials=3, n_certificate=8), tmp_path / "homework")
    content, rng = path.read_bytes(), random.Random(seed)
    whole = {line for study in read_sweep(path.parents[1]) for line in canonical_lines(study)}
    n_named = n_read = 0
    for _ in range(60):
        path.write_bytes(mutated(content, rng))
        try:
            studies = read_sweep(path.parents[1])
        except RecordError as error:
            n_named += str(error).startswith(f"{path}: ")
            continue
        n_read += 1
        # Cut between lines, or inside the last, it is what a killed driver leaves: fewer lines, none of them wrong.
        assert {line for study in studies for line in canonical_lines(study)} <= whole
    assert n_named + n_read == 60
    assert n_named > n_read
