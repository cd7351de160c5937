"""Where trials run: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor


@contextlib.contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Run trials on threads of this process: the engine's kernels release the interpreter lock.

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
