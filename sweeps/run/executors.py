"""Where pieces train: threads of this process, or whatever else takes a trainer and gives futures."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sweeps.run.plan import Piece, Plan, Timing
from sweeps.run.trial import Cancelled

LOCAL = "local"
TOGETHER_S = 2.0
"""Seconds for which results may wait for each other: so much has each worker to train again if the driver dies."""
MOST_TOGETHER = 20
"""Tasks in one message: with more there is little left to save."""
Batch = tuple[Piece, ...]
"""Pieces that train together."""


class Cohort(NamedTuple):
    """Batches that are sent together, and whose results come back together.

    Parameters
    ----------
    batches : tuple of Batch
    n_in_task : int
        Of them train one after the other, in one task; the tasks go to whoever is free.
    """

    batches: tuple[Batch, ...]
    n_in_task: int = 1

    @property
    def tasks(self) -> list[tuple[Batch, ...]]:
        """The batches, task by task."""
        return [self.batches[i : i + self.n_in_task] for i in range(0, len(self.batches), self.n_in_task)]


@dataclass(frozen=True, slots=True)
class Result:
    """What one piece gave, or a text that says why it failed."""

    outcome: Any
    timing: Timing


class Crew(Protocol):
    """Who trains.

    Attributes
    ----------
    n_workers : int
        Batches that can be trained at a time.
    shortest_s : float
        A task should last at least so long: shorter batches go together. 0: each batch goes by itself.
    """

    @property
    def n_workers(self) -> int: ...  # noqa: D102

    @property
    def shortest_s(self) -> float: ...  # noqa: D102

    def submit(self, plan: Plan, cohort: Cohort) -> Future[list[list[Result]]]:
        """Train a cohort; return what each of its batches gave."""

    def received(self, plan: Plan, piece: Piece, result: Result) -> Result:
        """Return a result as the plan wants it, given what came back."""


def cohorts(batches: Sequence[Batch], crew: Crew, batch_s: float | None, n_under_way: int) -> list[Cohort]:
    """Return batches grouped into what is worth sending at a time; what is left waits for more to go with.

    A task costs whoever sends it some time, however long it is, and most of that is spent on messages. So short
    batches go in one task. And while each worker has tasks enough waiting for it, several tasks go, and their results
    come, in one message: a quarter of what is under way at most, so that it is never that which all wait for.

    Parameters
    ----------
    batches : sequence of tuple of Piece
        What can be trained now.
    crew : Crew
        Who trains.
    batch_s : float or None
        Mean seconds of the study's batches so far; None before there are any.
    n_under_way : int
        Tasks that have been sent: with two for each worker none is idle, and what is too little can wait.
    """
    if not crew.shortest_s or batch_s is None or not batches:
        return [Cohort((batch,)) for batch in batches]
    batch_s = max(batch_s, 1e-6)
    whole = math.ceil(crew.shortest_s / batch_s)
    n = min(whole, max(len(batches) // crew.n_workers, 1))
    n_tasks = math.ceil(len(batches) / n)
    n_open = n_under_way + n_tasks
    together = 1
    if n * batch_s <= TOGETHER_S and n_open >= 4 * crew.n_workers:
        together = min(int(TOGETHER_S * crew.n_workers / (n * batch_s)), n_open // 4, MOST_TOGETHER)
    if n_under_way >= 2 * crew.n_workers and (n < whole or n_tasks < together):
        return []
    size = n * together
    return [Cohort(tuple(batches[i : i + size]), n) for i in range(0, len(batches), size)]


def timed(train: Callable[[Batch], list[Any]], batch: Batch, worker: str) -> list[Result]:
    """Train a batch and time it."""
    start, started_at = time.monotonic(), time.time()
    outcomes = train(batch)
    timing = Timing(started_at, time.monotonic() - start, worker)
    return [Result(outcome, timing) for outcome in outcomes]


class LocalCrew:
    """Threads of this process: the engine's kernels release the interpreter lock.

    Parameters
    ----------
    executor : Executor
        See `local_executor`.
    workers : int
        Its threads.
    cancel : threading.Event
        Set once nothing that is under way is wanted any more.
    """

    shortest_s = 0.0

    def __init__(self, executor: Executor, workers: int, cancel: threading.Event) -> None:
        self._executor = executor
        self.n_workers = workers
        self._cancel = cancel

    def submit(self, plan: Plan, cohort: Cohort) -> Future[list[list[Result]]]:
        """Train a cohort on one thread."""
        return self._executor.submit(self._train, plan, cohort.batches)

    def received(self, plan: Plan, piece: Piece, result: Result) -> Result:  # noqa: ARG002
        """Return a result as it is."""
        return result

    def _train(self, plan: Plan, batches: Sequence[Batch]) -> list[list[Result]]:
        if self._cancel.is_set():
            raise Cancelled
        name = threading.current_thread().name
        return [timed(lambda batch: plan.train(batch, self._cancel), batch, name) for batch in batches]


@contextlib.contextmanager
def local_crew(workers: int) -> Iterator[LocalCrew]:
    """Have pieces trained on threads; on leaving, those under way end at their next look."""
    cancel = threading.Event()
    with local_executor(workers) as executor:
        try:
            yield LocalCrew(executor, workers, cancel)
        finally:
            cancel.set()


@contextlib.contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Make a pool of threads.

    BLAS is held to one thread meanwhile: with more, its sums depend on how many there are. On leaving, tasks that
    have not begun are dropped and running ones are waited for.

    Parameters
    ----------
    workers : int
        Number of threads, at least 1.

    Raises
    ------
    ValueError
        If `workers` is below 1.
    """
    if workers < 1:
        raise ValueError(f"workers: {workers}; give at least 1")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        executor = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
