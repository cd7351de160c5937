"""Who trains, by name: threads of this process, or the workers of a Dask cluster.

``local`` are threads; ``dask-local`` or ``dask-local:N`` is a Dask cluster of N processes on this machine, started and
ended here; ``dask://HOST:PORT`` is a running cluster's scheduler (``tls://HOST:PORT``: with Dask's own TLS settings).
No result depends on which.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator

from sweeps.run.executors import LOCAL, Crew, local_crew
from sweeps.toml import SpecError, shown

DASK_LOCAL = re.compile(r"dask-local(?::([1-9][0-9]{0,3}))?")
DASK = re.compile(r"(dask|tls)://([^/\s:]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")


def check_executor(name: str) -> None:
    """Raise SpecError unless `name` is that of an executor that can be used here."""
    if name == LOCAL:
        return
    if not DASK_LOCAL.fullmatch(name) and not DASK.fullmatch(name):
        raise SpecError(f"--executor: {shown(name)} must be local, dask-local, dask-local:N or dask://HOST:PORT")
    if importlib.util.find_spec("distributed") is None:
        raise SpecError(f"--executor: {name} needs the package distributed; install rangesweep[distributed]")


@contextlib.contextmanager
def open_crew(name: str, workers: int) -> Iterator[Crew]:
    """Have pieces trained by an executor.

    Parameters
    ----------
    name : str
        See above.
    workers : int
        Threads, or processes of ``dask-local``; a running cluster has its own.

    Raises
    ------
    SpecError
        If there is no such executor, its cluster does not answer, has no workers, or has a worker with other code.
    """
    check_executor(name)
    if name == LOCAL:
        with local_crew(workers) as threads:
            yield threads
        return
    from sweeps.run.dask_crew import connected, started

    local = DASK_LOCAL.fullmatch(name)
    with started(int(local[1] or workers)) if local else connected(name) as crew:
        yield crew
