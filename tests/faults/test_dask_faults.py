"""A Dask cluster whose workers and scheduler die, stop and come back gives what threads give, each trial once."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fork_server import ROOT
from tally import SCALE
from tiny import tiny_spec

from sweeps.audit.leftovers import check_leftovers
from sweeps.audit.records import check_records
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec
from sweeps.spec.writing import as_toml, with_overrides
from sweeps.store.log import digest
from sweeps.toml import SpecError

pytest.importorskip("distributed")
pytestmark = pytest.mark.faults
Tally = Callable[[str, float | str, float], None]
SPEC: SweepSpec = with_overrides(tiny_spec(), goal="test_loss < 0.001", n_trials=40)
START_S = 60.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("whole")
    run_sweep(SPEC, results, workers=1)
    return digest(results / "tiny")


class Cluster:
    """A scheduler and workers as a user starts them: processes of the `dask` command, each to be killed alone."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "99",
        }
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def name(self) -> str:
        """What `--executor` takes."""
        return f"dask://127.0.0.1:{self.port}"

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker that is one process, with no nanny to bring it back."""
        address = f"tcp://127.0.0.1:{self.port}"
        arguments = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "120")
        self.workers.append(self._start("worker", address, *arguments, "--local-directory", str(self._folder)))
        return self.workers[-1]

    def restart_scheduler(self) -> None:
        """Start a killed scheduler again, at the same port."""
        self.scheduler.wait()
        arguments = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.scheduler = self._start("scheduler", *arguments)

    def wait_for(self, n_workers: int) -> None:
        """Wait until so many workers are known."""
        from distributed import Client

        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError, TimeoutError),
                Client(f"tcp://127.0.0.1:{self.port}", timeout=5, set_as_default=False) as client,
            ):
                client.wait_for_workers(n_workers, timeout=START_S)
                return
        raise AssertionError("the cluster has not started")

    def close(self) -> None:
        """Kill what is left of it."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        return subprocess.Popen(command, cwd=self._folder, env=self._environment, stdout=-3, stderr=-3)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    for _ in range(2):
        cluster.add_worker()
    try:
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.close()


def run_to_the_end(cluster: Cluster, results: Path) -> int:
    """Run, and resume whenever the cluster is gone; return how often that was."""
    n_resumed = 0
    while True:
        try:
            run_sweep(SPEC, results, workers=1, executor=cluster.name)
        except SpecError as error:
            told = str(error)
            n_resumed += 1
            time.sleep(1.0)
        else:
            return n_resumed
        assert n_resumed < 60
        assert any(remedy in told for remedy in ("`resume` goes on", "start one: dask "))


def problems(results: Path, whole: str) -> list[str]:
    folder = results / "tiny"
    found = [str(finding) for finding in (*check_records(folder), *check_leftovers(folder))]
    return found + ([] if digest(folder) == whole else ["another digest"])


@pytest.mark.takes(90.0)
def test_workers_killed_at_random_for_a_minute_leave_no_trace(
    cluster: Cluster, tmp_path: Path, whole: str, tally: Tally
) -> None:
    """A worker dies every two seconds on average, by three kinds of death, and another one takes its place."""
    rng, n_killed, n_sweeps, found = random.Random(0), 0, 0, list[str]()
    until, over = time.monotonic() + 60.0 * min(SCALE, 1.0), threading.Event()

    def kill() -> None:
        nonlocal n_killed
        while not over.wait(rng.expovariate(0.5)) and time.monotonic() < until:
            victim = rng.choice([process for process in cluster.workers if process.poll() is None])
            victim.send_signal(rng.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)))
            n_killed += 1
            cluster.add_worker()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while time.monotonic() < until:
            results = tmp_path / f"results{n_sweeps}"
            run_to_the_end(cluster, results)
            found += problems(results, whole)
            n_sweeps += 1
    finally:
        over.set()
        killer.join()
    tally(
        "Dask workers killed for 60 s, one in two seconds on average, by SIGKILL, SIGSEGV or SIGTERM",
        n_killed,
        len(found),
    )
    assert found == []
    assert n_killed > 3


@pytest.mark.takes(50.0)
def test_a_worker_stopped_for_half_a_minute_counts_once(
    cluster: Cluster, tmp_path: Path, whole: str, tally: Tally
) -> None:
    """Its late result is one that another worker may have given meanwhile."""
    stopped: list[float] = []

    def stop(progress: object) -> None:
        if getattr(progress, "n_finished", 0) == 5 and not stopped:
            stopped.append(time.monotonic())
            cluster.workers[0].send_signal(signal.SIGSTOP)
            threading.Timer(30.0 * min(SCALE, 1.0), lambda: cluster.workers[0].send_signal(signal.SIGCONT)).start()

    run_sweep(SPEC, tmp_path / "results", workers=1, executor=cluster.name, on_event=stop)
    found = problems(tmp_path / "results", whole)
    tally("Dask worker stopped (SIGSTOP) for 30 s in the middle of a sweep", len(stopped), len(found))
    assert found == []
    assert stopped


@pytest.mark.takes(40.0)
def test_a_scheduler_that_is_killed_and_started_again_costs_nothing(
    cluster: Cluster, tmp_path: Path, whole: str, tally: Tally
) -> None:
    killed: list[int] = []

    def kill(progress: object) -> None:
        if getattr(progress, "n_finished", 0) == 5 and not killed:
            killed.append(cluster.scheduler.pid)
            cluster.scheduler.kill()

    with pytest.raises(SpecError) as told:
        run_sweep(SPEC, tmp_path / "results", workers=1, executor=cluster.name, on_event=kill)
    assert str(told.value).endswith("; `resume` goes on")
    cluster.restart_scheduler()
    cluster.add_worker()
    cluster.wait_for(1)
    run_to_the_end(cluster, tmp_path / "results")
    found = problems(tmp_path / "results", whole)
    tally("Dask scheduler killed in the middle of a sweep and started again", 1, len(found))
    assert found == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_cluster_behind_tls_trains_for_who_has_the_certificate(tmp_path: Path, whole: str, tally: Tally) -> None:
    """By the commands of docs/scale.md."""
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dask -keyout key.pem -out cert.pem"
    subprocess.run(["openssl", *request.split()], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "tiny.toml").write_text(as_toml(SPEC))
    files = ("--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    settings = {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": "cert.pem",
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": "cert.pem",
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": "key.pem",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tls://127.0.0.1:{probe.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    commands = [
        [*dask, "scheduler", "--host", address, "--no-dashboard", *files],
        [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", *files],
    ]
    processes = [subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-3, stderr=-3) for command in commands]
    run = [sys.executable, "-m", "sweeps", "run", "tiny.toml", "--tracking-uri", "none", "--executor", address]
    try:
        deadline, status = time.monotonic() + START_S, 2
        while status == 2 and time.monotonic() < deadline:  # until there is a scheduler with a worker
            status = subprocess.run(
                run, cwd=tmp_path, env=environment | settings, capture_output=True, check=False
            ).returncode
        stranger = subprocess.run(
            [*run, "--results", "others"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
    found = problems(tmp_path / "results", whole) if status == 0 else [f"exit status {status}"]
    found += [] if stranger.returncode == 2 else [f"exit status {stranger.returncode} without a certificate"]
    tally("Dask cluster behind TLS: another digest, or one that trains for who has no certificate", 2, len(found))
    assert found == []
    assert stranger.stderr.splitlines()[-1:] == [
        f"python -m sweeps: {address}: no certificate to show; set Dask's distributed.comm.tls.ca-file, .client.cert"
        " and .client.key, as docs/scale.md has them"
    ]
