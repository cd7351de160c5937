"""Measure what each step around a trial costs, and simulate searches of many workers with these costs.

    python -m benchmarks.scale [--document docs/scale.md] [--quick]

measures, in processor time of this machine: a sampler's ask by the number of trials before it, a line of the log, a
trial's memory, the driver's time a trial with a Dask cluster of two workers beside it, and a run in MLflow. Then it
simulates, event by event, 10, 100 and 1000 workers with 10 000 to a million trials of a second, and says what takes
the time: the driver (one process that asks, tells, logs and sends), MLflow's writer (another), the workers, or none of
them, when all wait for the trial whose turn it is to be told. The tables go between the marks of the document.

`--quick` leaves the searches of a million trials out.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.records.reading import read_log
from benchmarks.engine_tables import write_into
from benchmarks.made_sweep import made_spec
from sweeps.run.study import run_sweep
from sweeps.search.samplers import ToldSampler, make_sampler
from sweeps.spec.samplers import OPTUNA
from sweeps.store.log import StudyLog

N_LOGGED = 200
N_ASKED = 4
DRIVEN = (100, 500)
"""Trials of two searches whose difference is what trials cost, without what a search costs once."""
LAG = 8
TRIAL_S = 1.0
SPREAD = 0.5
"""Standard deviation of the logarithm of a trial's time: one in forty takes 2.7 times the median or more."""
TPE_AT = (100, 250, 500, 1000, 1980, 2100, 2480)
BY_NUMBER_AT = (100, 10_000, 100_000, 1_000_000)
WORKERS = (10, 100, 1000)
TRIALS = (10_000, 100_000, 1_000_000)
N_BEST = 500
N_BOUNDED = OPTUNA["tpe"].bounded_from
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of processor time, unless it says otherwise.

    Parameters
    ----------
    tpe, sobol, random : list of (int, float)
        An ask, by the number of trials before it.
    log_s : float
        Two lines of a trial in the log, flushed to the disk each, by the clock.
    log_cpu_s : float
        The same in processor time.
    log_bytes, memory_bytes : float
        A trial's, on the disk and in the driver.
    driver_s : float
        What the driver spends on a trial besides asking, with a Dask cluster: log, sending, receiving, telling.
    run_s : float
        A slim run in MLflow.
    """

    tpe: list[tuple[int, float]]
    sobol: list[tuple[int, float]]
    random: list[tuple[int, float]]
    log_s: float
    log_cpu_s: float
    log_bytes: float
    memory_bytes: float
    driver_s: float
    run_s: float


def ask_costs(sampler: str, numbers: Sequence[int]) -> list[tuple[int, float]]:
    """Return the processor time of an ask at trial numbers; TPE is told values that no network gave."""
    spec = made_spec(100, sampler)  # the budget has no part in it
    if sampler != "tpe":
        asked = make_sampler(spec, "gauss")
        asked.ask(0)  # imports what it needs
        return [(number, _timed_asks(asked, number)) for number in numbers]
    rng = np.random.default_rng(0)
    points = make_sampler(made_spec(10, "random"), "gauss")
    told = ToldSampler(spec, "gauss")
    found, number = [], 0
    for at in numbers:
        while number < at:
            told.add(number, points.ask(number)[1])
            told.tell(number, float(rng.random()))
            number += 1
        _timed_asks(told, number, rng)  # the first ask after trials were only entered makes the study
        found.append((at, _timed_asks(told, number + N_ASKED, rng)))
        number += 2 * N_ASKED
    return found


def _timed_asks(sampler: object, number: int, rng: np.random.Generator | None = None) -> float:
    seconds = 0.0
    for i in range(number, number + N_ASKED):
        begin = time.process_time()
        sampler.ask(i)
        seconds += time.process_time() - begin
        if rng is not None:
            sampler.tell(i, float(rng.random()))
    return seconds / N_ASKED


def log_costs(folder: Path) -> tuple[float, float, float, float]:
    """Return what a trial costs in the log: seconds by the clock, of processor time, bytes there and in memory."""
    spec = made_spec(N_LOGGED, n_replicas=16, max_epochs=100)
    (study,) = run_sweep(spec, folder / "from", workers=1)
    log = StudyLog(folder / "again" / "made" / "gauss" / "log.jsonl", study.header)
    size = log.path.stat().st_size
    begin, cpu = time.perf_counter(), time.process_time()
    for record in study.trials:
        log.asked(record.number, record.params, dict(record.params), None)
        log.record(record)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    log.close()
    n_bytes = log.path.stat().st_size - size
    return seconds / N_LOGGED, cpu_s / N_LOGGED, n_bytes / N_LOGGED, _memory(log.path)


def _memory(path: Path) -> float:
    """Return the bytes of memory that a trial takes once it is read."""
    gc.collect()
    tracemalloc.start()
    study = read_log(path).study
    gc.collect()
    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert study is not None
    return n_bytes / len(study.trials)


@contextmanager
def cluster(n_workers: int, folder: Path, preload: str | None = None) -> Iterator[str]:
    """Start a Dask scheduler and workers as processes of their own, as on other machines; give its address.

    Workers first load the module `preload`, if there is one.
    """
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    file = folder / "scheduler.json"
    quiet = subprocess.DEVNULL
    dask = (sys.executable, "-m", "dask")
    here = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard")
    workers = ["--nworkers", str(n_workers), "--nthreads", "1", "--local-directory", str(folder)]
    workers += [] if preload is None else ["--preload", preload]
    commands = [[*dask, "scheduler", *here, "--port", "0"], [*dask, "worker", *here, *workers]]
    processes = []
    try:
        for command in commands:
            processes.append(subprocess.Popen(command, env=environment, cwd=folder, stdout=quiet, stderr=quiet))
        yield _address(file, n_workers)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def _address(file: Path, n_workers: int) -> str:
    from distributed import Client

    deadline = time.monotonic() + START_S
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(n_workers, timeout=START_S)
        return str(client.scheduler.address).replace("tcp://", "dask://")


def driver_cost(ask_s: float) -> float:
    """Return the driver's processor time for one more trial, besides asking; short trials go together as they come."""
    with tempfile.TemporaryDirectory() as name, cluster(2, Path(name)) as address:
        run_sweep(made_spec(30), Path(name) / "warm", workers=1, executor=address)
        seconds = []
        for n_trials in DRIVEN:
            begin = time.process_time()
            run_sweep(made_spec(n_trials), Path(name) / str(n_trials), workers=1, executor=address)
            seconds.append(time.process_time() - begin)
        return (seconds[1] - seconds[0]) / (DRIVEN[1] - DRIVEN[0]) - ask_s


def run_cost(folder: Path) -> float:
    """Return what a slim run costs MLflow's client on SQLite."""
    from benchmarks.tracking import new_writer, prefix, sqlite_store

    results = folder / "tracked"
    n_whole, n = 100, 300
    run_sweep(made_spec(n), results, workers=1)
    log = results / "made" / "gauss" / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    with sqlite_store() as store:
        writer = new_writer(store, results / "made")
        log.write_bytes(b"".join(prefix(lines, n_whole)))
        writer.advance(ended=False)
        log.write_bytes(b"".join(prefix(lines, n)))
        begin = time.process_time()
        n_written = writer.advance(ended=False)
        return (time.process_time() - begin) / n_written


def measure() -> Costs:
    """Measure every cost on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log_s, log_cpu_s, log_bytes, memory_bytes = log_costs(folder)
        random = ask_costs("random", BY_NUMBER_AT)
        return Costs(
            tpe=ask_costs("tpe", TPE_AT),
            sobol=ask_costs("sobol", BY_NUMBER_AT),
            random=random,
            log_s=log_s,
            log_cpu_s=log_cpu_s,
            log_bytes=log_bytes,
            memory_bytes=memory_bytes,
            driver_s=driver_cost(random[0][1]),
            run_s=run_cost(folder),
        )


@dataclass(frozen=True, slots=True)
class Search:
    """What is simulated.

    Parameters
    ----------
    n_workers, n_trials, lag : int
    sampler : str
        ``"tpe"`` or ``"sobol"``.
    n_best : int or None
        Search trials with a run in MLflow, as ``--log-runs best:N``; None: all.
    """

    n_workers: int
    n_trials: int
    lag: int
    sampler: str
    n_best: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds: until the last trial is told, until the last run is written, and how long each was busy."""

    search_s: float
    tracked_s: float
    sampler_s: float
    driver_s: float
    writer_s: float
    worker_s: float


def simulate(costs: Costs, search: Search, seed: int = 0) -> Outcome:
    """Let one search happen, event by event.

    The driver does one thing at a time: it takes in what has come back, in the order in which it came, tells in the
    order of numbers, and asks trial k once trials 0 to k - lag are told. A worker takes the next trial that has been
    sent. The writer writes runs in the order of the log.
    """
    rng = np.random.default_rng(seed)
    n = search.n_trials
    durations = TRIAL_S * rng.lognormal(-SPREAD * SPREAD / 2.0, SPREAD, n)
    chosen = rng.random(n) < _share_with_run(n, search.n_best)
    points = costs.tpe if search.sampler == "tpe" else costs.sobol
    ask_s = np.interp(np.arange(n), *zip(*points, strict=True))
    if search.sampler == "tpe":  # from the bound on it goes up and down between these two
        ask_s[N_BOUNDED:] = (points[-1][1] + points[-2][1]) / 2.0
    free = [0.0] * search.n_workers
    coming: list[tuple[float, int]] = []
    is_in = bytearray(n)
    driver, writer, n_told, n_asked = 0.0, 0.0, 0, 0

    def ask_up_to(limit: int) -> None:
        nonlocal driver, n_asked
        while n_asked < limit:
            driver += ask_s[n_asked]
            end = max(heapq.heappop(free), driver) + durations[n_asked]
            heapq.heappush(free, end)
            heapq.heappush(coming, (end, n_asked))
            n_asked += 1

    ask_up_to(min(search.lag, n))
    while coming:
        at, number = heapq.heappop(coming)
        driver = max(driver, at) + costs.driver_s
        is_in[number] = 1
        if chosen[number]:
            writer = max(writer, driver) + costs.run_s
        while n_told < n and is_in[n_told]:
            n_told += 1
            ask_up_to(min(n_told + search.lag, n))
    return Outcome(
        search_s=driver,
        tracked_s=writer,
        sampler_s=float(ask_s.sum()),
        driver_s=n * costs.driver_s,
        writer_s=float(chosen.sum()) * costs.run_s,
        worker_s=float(durations.sum()) / search.n_workers,
    )


def _share_with_run(n: int, n_best: int | None) -> np.ndarray:
    """Return the chance of each trial, in the order of the log, to be among the best so far."""
    if n_best is None:
        return np.ones(n)
    return np.minimum(1.0, n_best / np.arange(1.0, n + 1.0))


WALLS = {
    "workers": "the workers",
    "lag": "`lag`",
    "sampler": "the sampler",
    "driver": "the driver",
    "MLflow": "MLflow's writer",
}
LAG_SWITCHED = 4
"""The lag that is tried, in workers, as long as a spec may have it."""
MOST_LAG = 1000
BUSY = 0.8
"""Share of the whole time from which on something is what all wait for."""


def first_wall(outcome: Outcome) -> str:
    """Return what keeps a search from being done sooner."""
    total = max(outcome.search_s, outcome.tracked_s)
    if outcome.tracked_s > 1.1 * outcome.search_s:
        return "MLflow"
    if outcome.worker_s > BUSY * total:
        return "workers"
    if outcome.sampler_s + outcome.driver_s > BUSY * total:
        return "sampler" if outcome.sampler_s > outcome.driver_s else "driver"
    return "lag"


def cost_table(costs: Costs) -> str:
    """Return the measured costs as Markdown."""
    lines = ["| Step | Processor time |", "| :-- | --: |"]
    for name, points in (("tpe", costs.tpe), ("sobol", costs.sobol), ("random", costs.random)):
        lines += [f"| `{name}` asks, {grouped(n)} trials before | {1e3 * s:.1f} ms |" for n, s in points]
    wall = f"two lines of the log, on the disk ({1e3 * costs.log_s:.1f} ms by the clock)"
    lines.append(f"| {wall} | {1e3 * costs.log_cpu_s:.1f} ms |")
    lines.append(f"| the driver besides asking, log included, with Dask | {1e3 * costs.driver_s:.1f} ms |")
    lines.append(f"| a slim run in MLflow, on SQLite | {1e3 * costs.run_s:.1f} ms |")
    lines.append(f"| a trial of 16 replicas in the log | {costs.log_bytes / 1000:.1f} kB |")
    lines.append(f"| the same in the driver's memory | {costs.memory_bytes / 1000:.1f} kB |")
    return "\n".join(lines)


def scale_table(costs: Costs, trials: Sequence[int]) -> str:
    """Return the simulated searches as Markdown: each size as it comes, then with one more switch after the other."""
    head = "| Workers | Trials | Workers alone | As it comes | + `lag` | + `sobol` | + `best:500` | Walls, in turn |"
    lines = [head, "| --: | --: | --: | --: | --: | --: | --: | :-- |"]
    for n_workers in WORKERS:
        for n_trials in trials:
            lag = min(LAG_SWITCHED * n_workers, MOST_LAG)
            searches = (
                Search(n_workers, n_trials, LAG, "tpe", None),
                Search(n_workers, n_trials, lag, "tpe", None),
                Search(n_workers, n_trials, lag, "sobol", None),
                Search(n_workers, n_trials, lag, "sobol", N_BEST),
            )
            outcomes = [simulate(costs, search) for search in searches]
            times = [spoken(max(outcome.search_s, outcome.tracked_s)) for outcome in outcomes]
            walls = dict.fromkeys(WALLS[first_wall(outcome)] for outcome in outcomes)
            cells = [str(n_workers), grouped(n_trials), spoken(outcomes[0].worker_s), *times, ", ".join(walls)]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def grouped(number: int) -> str:
    """Return a number with a space every three digits."""
    return f"{number:,}".replace(",", " ")


def spoken(seconds: float) -> str:
    """Return a time in the unit that fits it."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def main() -> int:
    """Measure, simulate, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=Path, help="file to write the tables into, between its marks")
    parser.add_argument("--quick", action="store_true", help="without the searches of a million trials")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    costs = measure()
    trials = TRIALS[:-1] if arguments.quick else TRIALS
    tables = {
        "scale costs": f"{cost_table(costs)}\n\nLoad of the machine before: {load:.1f}, of {os.cpu_count()} cores."
    }
    print(tables["scale costs"], flush=True)
    tables["scale walls"] = scale_table(costs, trials)
    if arguments.document is not None:
        for name, table in tables.items():
            write_into(arguments.document, name, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
