"""What a worker of another process or machine does: it checks that it is the driver's equal, and trains.

It knows neither samplers nor tracking, and opens no log and no database.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Mapping, Sequence
from functools import lru_cache

from sweeps.run.executors import Batch, Result, timed
from sweeps.run.plan import Trainer
from sweeps.run.versions import versions
from sweeps.toml import SpecError

NOT_OF_NUMBERS = ("optuna", "rangesweep")
"""Versions that no worker's numbers depend on: the sampler is the driver's, and the code has its own digest."""


@lru_cache(maxsize=1)
def own_versions() -> dict[str, str]:
    """Return the versions that this process's numbers depend on, and hold its BLAS to one thread from now on.

    With more threads, BLAS's sums depend on how many there are.
    """
    from threadpoolctl import threadpool_limits

    importlib.import_module("scipy.linalg")  # brings a BLAS of its own, which must be there to be held
    threadpool_limits(limits=1, user_api="blas")
    return {name: version for name, version in versions().items() if name not in NOT_OF_NUMBERS}


def check_equal(worker: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raise SpecError, naming both, if a worker's versions are not the driver's: its numbers could differ.

    Parameters
    ----------
    worker : str
        What the message calls it.
    there, here : mapping
        Versions of worker and driver, see `own_versions`.
    """
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise SpecError(
                f"worker {worker}: {name} {there.get(name)}, but {here.get(name)} here; its numbers could differ: start"
                " workers of this version on this type of processor"
            )


def train_here(trainer: Trainer, batches: Sequence[Batch], expected: Mapping[str, str]) -> list[list[Result]]:
    """Train batches in this process; the task of a cluster's worker.

    Raises
    ------
    SpecError
        If this process is not the driver's equal.
    """
    name = f"{socket.gethostname()}:{os.getpid()}"
    check_equal(name, own_versions(), expected)
    return [timed(trainer, batch, name) for batch in batches]
