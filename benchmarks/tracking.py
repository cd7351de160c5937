"""Measure what MLflow costs: processor time and bytes of database for each run.

    python -m benchmarks.tracking [--trials 1500] [--server] [--results FOLDER]

makes a study of so many trials and writes its runs into a new SQLite store as `sweeps sync` does, and as the writer
beside a running sweep does: whole runs (the first 100 search trials), slim ones (up to the 1000th), those after them,
and then all again with ``--log-runs best:100``. ``--server`` does the same through an MLflow server on SQLite, and
counts the server's processor time, too. ``--results`` writes a results folder's runs instead, whatever they are.

Wall-clock time is left out: the writer is a process of its own and trials do not wait for it. Processor time is more
where other programs share the cores. The lines "own" are what its client alone takes for a run with so many metrics,
params and tags, and what the others are to be compared with.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.made_sweep import made_spec
from sweeps.run.study import run_sweep
from sweeps.tracking.database import (
    artifact_root,
    fold_write_ahead,
    open_client,
    prepare_environment,
    sqlite_path,
    sqlite_uri,
)
from sweeps.tracking.projection import SweepProjection, sync
from sweeps.tracking.sync_report import SyncReport
from sweeps.tracking.trial_contents import N_FULL, N_WITH_PARAMS
from sweeps.tracking.ui import free_port, server_command, server_environment

MakeStore = Callable[[], AbstractContextManager["Store"]]

N_BEST = 100
N_OWN = 100
OWN = ((1, 1, 0), (6, 6, 8), (6, 0, 14))
"""Metrics, params and tags of runs of MLflow's client alone: the least, and about those of slim runs with and without
params."""
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Store:
    """Where runs go.

    Parameters
    ----------
    uri : str
    database : Path
        The SQLite file behind it.
    server : int or None
        Process id of the server in between.
    """

    uri: str
    database: Path
    server: int | None = None

    def cpu_s(self) -> float:
        """Return the processor time of this process and of the server with its children."""
        return time.process_time() + (0.0 if self.server is None else _tree_s(self.server))

    def size(self) -> int:
        """Return the bytes of the database."""
        fold_write_ahead(sqlite_uri(self.database))
        return self.database.stat().st_size


def _tree_s(process: int) -> float:
    """Return the processor time of a process and of those it has started, in seconds."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == process:  # its process group
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


@contextmanager
def sqlite_store() -> Iterator[Store]:
    """Make an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        open_client(sqlite_uri(path))
        yield Store(sqlite_uri(path), path)


@contextmanager
def server_store() -> Iterator[Store]:
    """Start an MLflow server with an empty database."""
    with sqlite_store() as store:
        port = free_port("127.0.0.1", 5600)
        command = [*server_command(store.uri, "127.0.0.1", port), "--artifacts-destination"]
        command.append((store.database.parent / "artifacts").as_uri())
        quiet = subprocess.DEVNULL
        environment = {**os.environ, **server_environment()}
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=quiet, stderr=quiet)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(port) and time.monotonic() < deadline:
                time.sleep(0.2)
            yield Store(f"http://127.0.0.1:{port}", store.database, process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> int:
    """Write the runs, print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1500, help=f"more than {N_WITH_PARAMS} (default: 1500)")
    parser.add_argument("--server", action="store_true", help="through an MLflow server, too")
    parser.add_argument("--results", type=Path, help="write the runs of this folder instead")
    arguments = parser.parse_args()
    if arguments.results is not None and not any(arguments.results.glob("*/*/log.jsonl")):
        parser.error(f"--results {arguments.results}: no <sweep>/<dataset>/log.jsonl below it; run a sweep first")
    if arguments.trials <= N_WITH_PARAMS:
        parser.error(f"--trials {arguments.trials}: give more than {N_WITH_PARAMS}")
    begin = time.process_time()
    prepare_environment()
    import mlflow  # noqa: F401 (its import is what is measured)

    print(f"importing              {time.process_time() - begin:8.2f} s")
    stores = [sqlite_store, server_store] if arguments.server else [sqlite_store]
    if arguments.results is not None:
        for make in stores:
            with make() as store:
                tell(store, lambda uri=store.uri: sync(arguments.results, uri).n_written, "all of them")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        run_sweep(made_spec(arguments.trials), results, workers=1)
        for make in stores:
            measure(make, results, arguments.trials)
    return 0


def measure(make: MakeStore, results: Path, n_trials: int) -> None:
    """Print what runs of each kind cost in a new store of one kind."""
    folder = results / "made"
    log = folder / "gauss" / "log.jsonl"
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    with make() as store:
        print("SQLite" if store.server is None else "an MLflow server on SQLite, both processes together")
        own_cost(store)
        writer = new_writer(store, folder)
        for name, n_finished in {"whole": N_FULL, "slim": N_WITH_PARAMS, "slim, no params": n_trials}.items():
            log.write_bytes(b"".join(prefix(lines, n_finished)))
            tell(store, lambda: writer.advance(ended=False), name)
        log.write_bytes(whole)
        writer.advance(ended=True)
        tell(store, lambda: sync(results, store.uri).n_present, "found again")
    with make() as store:
        writer = new_writer(store, folder, f"best:{N_BEST}")
        tell(store, lambda: writer.advance(ended=True), f"best:{N_BEST}", n_trials)


def new_writer(store: Store, folder: Path, log_runs: str | None = None) -> SweepProjection:
    """Return what the writer beside a running sweep writes with."""
    root = artifact_root(store.uri)
    return SweepProjection(folder, open_client(store.uri), root, SyncReport(), sqlite_path(store.uri), log_runs)


def prefix(lines: list[bytes], n_finished: int) -> list[bytes]:
    """Return a log's lines up to its trial record of that count, or all of them where it is the last one."""
    n = 0
    for i, line in enumerate(lines):
        n += b'"kind":"finished"' in line
        if n == n_finished:
            return lines[: i + 1]
    return lines


def own_cost(store: Store) -> None:
    """Print what runs take of MLflow's client alone: one with one metric and one param, and what slim ones have."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(store.uri)
    experiment = client.create_experiment("own")
    for n_metrics, n_params, n_tags in OWN:
        tags = {f"t{i}": "tag" for i in range(n_tags)}
        size, begin = store.size(), store.cpu_s()
        for i in range(N_OWN):
            run = client.create_run(experiment, tags=tags)
            metrics = [Metric(f"m{j}", float(i), 0, 0) for j in range(n_metrics)]
            client.log_batch(run.info.run_id, metrics, [Param(f"p{j}", str(i)) for j in range(n_params)])
            client.set_terminated(run.info.run_id)
        name = f"own, {n_metrics} {n_params} {n_tags}"
        report(name, N_OWN, N_OWN, store.cpu_s() - begin, store.size() - size)


def tell(store: Store, write: Callable[[], int], name: str, n_trials: int | None = None) -> None:
    """Write runs and print what they cost; per trial where not every trial has one."""
    size, begin = store.size(), store.cpu_s()
    n_runs = write()
    report(name, n_runs, n_trials or n_runs, store.cpu_s() - begin, store.size() - size)


def report(name: str, n_runs: int, n: int, seconds: float, n_bytes: int) -> None:
    """Print one line."""
    each = f", {1e3 * seconds / n:5.1f} ms and {n_bytes / n / 1000:5.2f} kB each of {n}" if n else ""
    print(f"  {name:18} {n_runs:6d} runs {seconds:8.2f} s{each}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
