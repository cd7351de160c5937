"""The workers of a Dask cluster. Dask schedules, repeats what a dead worker had, and carries what is pickled."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker
from distributed.security import Security

from sweeps.run.executors import Cohort, Result
from sweeps.run.plan import Piece, Plan
from sweeps.run.remote import check_equal, own_versions, train_here
from sweeps.toml import SpecError

SHORTEST_S = 0.05
"""Shorter batches go together: a task costs Dask about a millisecond, wherever it runs."""
CONNECT_S = 10.0
FAILED = ("error", "cancelled")
"""What Dask calls a task that will not be done."""
LOGGERS = ("distributed", "distributed.client", "tornado.application", "asyncio")
"""Those that Dask, and what it stands on, write tracebacks to when a connection breaks."""


class DaskCrew:
    """A cluster's workers.

    Parameters
    ----------
    client : Client
        Connected.
    address : str
        What messages call the cluster.
    """

    shortest_s = SHORTEST_S

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        loop: Any = client.loop  # Tornado's, around asyncio's own
        self._loop: asyncio.AbstractEventLoop = loop.asyncio_loop
        self._expected = own_versions()
        self.n_workers = _check_workers(client, address, self._expected)
        self._under_way: set[Future[list[list[Result]]]] = set()

    def submit(self, plan: Plan, cohort: Cohort) -> Future[list[list[Result]]]:
        """Send a cohort's tasks in one message, and fetch their results in one once all are there."""
        # Not by `Client.get_executor`, which fetches task by task, and takes a result whose worker dies just then for
        # an error: `gather` asks again until the task has run once more.
        train = partial(train_here, plan.trainer(), expected=self._expected)
        tasks = self._client.map(train, cohort.tasks, pure=False)
        fetched = asyncio.run_coroutine_threadsafe(self._fetch(tasks), self._loop)
        self._under_way.add(fetched)
        fetched.add_done_callback(self._under_way.discard)
        return fetched

    async def _fetch(self, tasks: list[Any]) -> list[list[Result]]:
        # Waited for first, as `gather` leaves tasks of asyncio behind where it is not waited for; and all at once, as
        # beside one that fails for good others may never end: it may have killed the last worker.
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(_ended(task))
        except* _FailedError:
            pass
        failed = [task for task in tasks if task.status in FAILED]
        found: list[list[list[Result]]] = await self._gathered(failed[:1] or tasks)  # raises what ended it
        return [results for task in found for results in task]

    async def _gathered(self, tasks: list[Any]) -> Any:
        return await self._client.gather(tasks, asynchronous=True)  # type: ignore[no-untyped-call]

    def received(self, plan: Plan, piece: Piece, result: Result) -> Result:
        """Return a result with what stayed here."""
        return Result(plan.received(piece, result.outcome), result.timing)

    def close(self) -> None:
        """Drop what is waiting; what is under way ends by itself and comes to nothing."""
        for future in tuple(self._under_way):
            future.cancel()  # with it go the last references to its tasks, which is what makes Dask drop them


class _FailedError(Exception):
    """A task has failed for good, or was dropped: the others are not waited for."""


async def _ended(task: Any) -> None:
    """Wait until a task is done; one that is lost with its worker runs again."""
    while task.status != "finished":
        if task.status in FAILED:
            raise _FailedError
        await task.exception(asynchronous=True)


def _check_workers(client: Client, address: str, expected: Mapping[str, str]) -> int:
    """Return how many batches a cluster trains at a time, once its workers are known to be the driver's equals."""
    asked: dict[str, Any] = client.run(own_versions, on_error="return")
    # A worker that died while it was asked is none; should it come back, each of its tasks is checked once more.
    found = {worker: answer for worker, answer in asked.items() if not isinstance(answer, OSError)}
    if not found:
        raise SpecError(f"{address}: a cluster without workers; start one: dask worker {address}")
    for worker, answer in sorted(found.items()):
        if isinstance(answer, BaseException):
            raise SpecError(f"worker {worker}: {type(answer).__name__}: {answer}; install this project there, too")
        check_equal(worker, answer, expected)
    return max(sum(client.nthreads().values()), 1)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def connected(name: str) -> Iterator[DaskCrew]:
    """Use a running cluster, ``"dask://HOST:PORT"`` or ``"tls://HOST:PORT"``."""
    address = name.replace("dask://", "tcp://")
    if address.startswith("tls://"):
        _check_certificate(address)
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpecError(f"{name}: no scheduler answers ({reason}); start one: dask scheduler") from None
    with _quiet(), client, _crew(client, address) as crew:
        yield crew


def _check_certificate(address: str) -> None:
    """Say what Dask says in a traceback of its own, and long after: that it has no certificate to show."""
    try:
        context = Security().get_connection_args("client").get("ssl_context")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise SpecError(
            f"{address}: the certificate cannot be read ({error}); docs/scale.md has the settings"
        ) from None
    if context is None:
        raise SpecError(
            f"{address}: no certificate to show; set Dask's distributed.comm.tls.ca-file, .client.cert and .client.key,"
            " as docs/scale.md has them"
        )


@contextlib.contextmanager
def started(n_workers: int) -> Iterator[DaskCrew]:
    """Start a cluster of processes on this machine, for this machine only, and end it."""
    with (
        _quiet(),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        _crew(client, "dask-local") as crew,
    ):
        yield crew


@contextlib.contextmanager
def _crew(client: Client, address: str) -> Iterator[DaskCrew]:
    crew: DaskCrew | None = None
    try:
        crew = DaskCrew(client, address)
        yield crew
    except KilledWorker as error:
        n, last = error.allowed_failures + 1, getattr(error.last_worker, "address", error.last_worker)
        raise SpecError(f"{address}: {n} workers died of one task, the last {last}; `resume` goes on") from None
    except (asyncio.CancelledError, concurrent.futures.CancelledError, OSError, TimeoutError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # about a file, not about the cluster
        raise SpecError(f"{address}: the cluster is gone ({type(error).__name__}); `resume` goes on") from None
    finally:
        if crew is not None:
            crew.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own messages to itself: what a user must know is in the error that is raised."""
    levels = {logger: logger.level for logger in map(logging.getLogger, LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
