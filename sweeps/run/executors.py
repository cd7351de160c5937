"""Where pieces train: threads of this process, or whatever else takes a trainer and gives futures."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from sweeps.run.plan import Piece, Plan, Timing
from sweeps.run.trial import Cancelled

LOCAL = "local"
Batch = tuple[Piece, ...]
"""Pieces that train together."""


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
        A task should last at least so long: shorter batches go together.
    """

    @property
    def n_workers(self) -> int: ...  # noqa: D102

    @property
    def shortest_s(self) -> float: ...  # noqa: D102

    def submit(self, plan: Plan, batches: Sequence[Batch]) -> Future[list[list[Result]]]:
        """Train batches one after the other, in one task."""

    def received(self, plan: Plan, piece: Piece, result: Result) -> Result:
        """Return a result as the plan wants it, given what came back."""

    def is_lost(self, error: BaseException | None) -> bool:
        """Return whether a task ended so through no fault of its own, and is to be sent again."""


def cohorts(batches: Sequence[Batch], crew: Crew, batch_s: float | None, n_under_way: int) -> list[tuple[Batch, ...]]:
    """Return batches grouped into tasks that are worth sending; what is left waits for more to go with.

    Parameters
    ----------
    batches : sequence of tuple of Piece
        What can be trained now.
    crew : Crew
        Who trains.
    batch_s : float or None
        Mean seconds of the study's batches so far; None before there are any.
    n_under_way : int
        Tasks that have been sent: with two for each worker none is idle, and what is too short can wait.
    """
    n = whole = 1
    if crew.shortest_s and batch_s is not None and batches:
        whole = math.ceil(crew.shortest_s / max(batch_s, 1e-6))
        n = min(whole, max(len(batches) // crew.n_workers, 1))
    if n < whole and n_under_way >= 2 * crew.n_workers:
        return []
    return [tuple(batches[i : i + n]) for i in range(0, len(batches), n)]


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

    def submit(self, plan: Plan, batches: Sequence[Batch]) -> Future[list[list[Result]]]:
        """Train batches one after the other, in one task."""
        return self._executor.submit(self._train, plan, batches)

    def received(self, plan: Plan, piece: Piece, result: Result) -> Result:  # noqa: ARG002
        """Return a result as it is."""
        return result

    def is_lost(self, error: BaseException | None) -> bool:  # noqa: ARG002
        """Return that a thread loses nothing."""
        return False

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
