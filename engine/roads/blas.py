"""One thread of BLAS while the engine multiplies, whoever else does so in the same process.

A product that BLAS shares among threads is rounded otherwise than one that a single thread makes: with OpenBLAS, 256 x
784 times 784 x 256 has other last digits on two threads than on one. So the engine's own products always run on one
thread of BLAS, and the threads that BLAS had been given share pieces of work instead, whose shapes do not depend on
how many threads there are.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> Any:
    # Looking through the libraries of the process takes milliseconds; NumPy's BLAS is always there already.
    return ThreadpoolController().select(user_api="blas")


class _Limit:
    """The number of BLAS threads belongs to the process: the first one in sets it, the last one out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._n_given = 1
        self._limiter: Any = None

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Keep BLAS at one thread; gives the number of threads it had before, which the caller may use itself."""
        with self._lock:
            if self._n_inside == 0:
                self._n_given = max((int(pool["num_threads"]) for pool in _controller().info()), default=1)
                self._limiter = _controller().limit(limits=1)
            self._n_inside += 1
            n_given = self._n_given
        try:
            yield n_given
        finally:
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0:
                    self._limiter.restore_original_limits()


one_blas_thread = _Limit().hold
