"""A tracking server that is gone for a minute, while trials are trained, costs neither runs nor time.

How fast trials are trained is measured by the clock, less the time for which other programs had the core: the thread
that trains either runs, waits for a core (Linux says for how long), or is held up by something of ours.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fork_server import ROOT
from postgres import MlflowServer
from tally import SCALE
from tiny import tiny_table

from sweeps.audit.audit import audit_sweep
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.store.log import digest
from sweeps.tracking.database import fold_write_ahead, open_client, sqlite_uri

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's dependencies warn of their own future
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not Path("/proc/self/schedstat").is_file(), reason="looks at threads through Linux' /proc"),
    pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*"),
]
Tally = Callable[[str, float | str, float | str], None]
TRIAL_S = 0.5
GOAL = 0.95
LONGEST_S = 600.0


def spec_of(n_trials: int, max_epochs: int) -> SweepSpec:
    """Return a search all of whose trials cost the same: they differ in their learning rate alone."""
    table: dict[str, Any] = tiny_table()
    table["datasets"] = table["datasets"][:1]
    table["goal"]["below"] = 1e-6
    table["search"] |= {"n_trials": n_trials, "sampler": "random", "n_replicas": 16, "lag": 8}
    table["epochs"] = {"max_epochs": max_epochs, "grid": [1, max_epochs], "stop_from": max_epochs, "stop_patience": 0}
    table["finalists"] = {"n": 1, "n_replicas": 4}
    table["certificates"] |= {"n": 1, "n_replicas": 8}
    table["page"] |= {"n_best": 0, "n_sgd": 0}
    table["network"] |= {"activation": "tanh", "hidden_layer_sizes": [8, 8]}
    table["space"] = {"training": {"learning_rate": {"low": 0.003, "high": 0.03, "log": True}}}
    return parse_spec(table, "tiny.toml")


def long_enough(folder: Path) -> int:
    """Return after how many epochs a trial has taken `TRIAL_S` of a core."""
    n, short, seconds = 6, 100, list[float]()
    run_sweep(spec_of(1, short), folder / "compiled", workers=1)
    for epochs in (short, 5 * short):
        begin = time.process_time()
        run_sweep(spec_of(n, epochs), folder / str(epochs), workers=1)
        seconds.append((time.process_time() - begin) / n)
    return max(round(TRIAL_S / ((seconds[1] - seconds[0]) / (4 * short))), short)


class Sample(NamedTuple):
    """How far a driver was at a moment."""

    at_s: float
    n_finished: int
    threads: dict[str, tuple[float, float]]
    """Seconds that each thread has run, and has waited for a core."""


class Watch:
    """Looks at a driver ten times a second."""

    def __init__(self, driver: subprocess.Popen[bytes], log: Path) -> None:
        self._driver, self._log = driver, log
        self.samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait(self, seconds: float, n_more: int = 0) -> tuple[float, float]:
        """Wait until trials have been trained for so long, and so many at least; return from when to when."""
        begin, n = time.monotonic(), self.n_finished
        while time.monotonic() < begin + seconds or self.n_finished < n + n_more:
            assert time.monotonic() < begin + LONGEST_S
            assert self._driver.poll() is None, "the search is over already"
            time.sleep(0.05)
        return begin, time.monotonic()

    @property
    def n_finished(self) -> int:
        """Trials that are in the log."""
        return self.samples[-1].n_finished if self.samples else 0

    def speed(self, *windows: tuple[float, float]) -> float:
        """Return trials a second, from the first to the last that ends in each window; cores were there for them."""
        n, seconds = 0, 0.0
        for begin, end in windows:
            inside = [sample for sample in self.samples if begin <= sample.at_s <= end]
            new = [b for a, b in itertools.pairwise(inside) if b.n_finished > a.n_finished]
            n += new[-1].n_finished - new[0].n_finished
            seconds += new[-1].at_s - new[0].at_s - waited_s(new[0], new[-1])
        return n / seconds

    def _look(self) -> None:
        while not self._over.wait(0.1) and self._driver.poll() is None:
            if self._log.is_file():
                n = self._log.read_bytes().count(b'"kind":"finished"')
                self.samples.append(Sample(time.monotonic(), n, self._threads()))

    def _threads(self) -> dict[str, tuple[float, float]]:
        threads = {}
        for path in Path(f"/proc/{self._driver.pid}/task").glob("*/schedstat"):
            try:
                ran, waited, _ = map(int, path.read_text().split())
            except OSError:  # it has just ended
                continue
            threads[path.parent.name] = (ran / 1e9, waited / 1e9)
        return threads


def waited_s(first: Sample, last: Sample) -> float:
    """Return how long the thread that trained between two samples, the one that ran most, waited for a core."""
    ran, waited = max(
        tuple(now - then for now, then in zip(last.threads[name], times, strict=True))
        for name, times in first.threads.items()
        if name in last.threads
    )
    return waited if ran else 0.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    open_client(uri)
    fold_write_ahead(uri)
    server = MlflowServer(uri, tmp_path / "artifacts")
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize(
    ("up_s", "down_s"),
    [
        pytest.param(4.0, 8.0, marks=pytest.mark.slow),
        pytest.param(15.0, 60.0 * min(SCALE, 1.0), marks=pytest.mark.faults),
    ],
)
def test_a_server_that_is_gone_during_trials_costs_neither_runs_nor_time(
    server: MlflowServer, tmp_path: Path, up_s: float, down_s: float, tally: Tally, is_measured: Callable[[], None]
) -> None:
    n_trials = round((2.0 * up_s + down_s + 45.0) / TRIAL_S)
    spec = spec_of(n_trials, long_enough(tmp_path / "timed"))
    (tmp_path / "tiny.toml").write_text(as_toml(spec))
    uri = f"http://127.0.0.1:{server.port}"
    command = [sys.executable, "-m", "sweeps", "run", "tiny.toml", "--workers", "1", "--tracking-uri", uri]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    folder = tmp_path / "results" / "tiny"
    with (
        (tmp_path / "output").open("wb") as output,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output) as driver,
        Watch(driver, folder / "gauss" / "log.jsonl") as watch,
    ):
        while watch.n_finished < 3:
            watch.wait(0.1)
        before = watch.wait(up_s, 4)
        server.kill()
        down = watch.wait(down_s, 4)
        server.start()
        after = watch.wait(up_s, 4)
        n_during = watch.n_finished
        is_measured()
        assert driver.wait(LONGEST_S) == 0, (tmp_path / "output").read_text()
    run_sweep(spec, tmp_path / "undisturbed", workers=2)
    found = [str(finding) for finding in audit_sweep(folder, uri).findings]
    found += [] if digest(folder) == digest(tmp_path / "undisturbed" / "tiny") else ["another digest"]
    share = watch.speed(down) / watch.speed(before, after)
    what = "MLflow server killed for 60 s during trials: share of the trials a second that there are while it is up"
    tally(what, f"{100 * share:.0f} %", len(found) + (share < GOAL))
    assert found == []
    assert n_during < n_trials
    assert share >= GOAL
