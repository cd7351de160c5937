"""Loaded by a Dask worker, lets each of its tasks last at least `TASK_S`, most of which it waits.

What a scheduler costs can then be seen on a machine whose cores are not free: see `benchmarks.dask_speed`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from analysis.records.study import TrialRecord
from sweeps.run.plan import Piece
from sweeps.run.trials import Sent, TrialTrainer

TASK_S = 0.2
_train = TrialTrainer.__call__


def train_and_wait(trainer: TrialTrainer, batch: Sequence[Piece]) -> list[Sent | TrialRecord | str]:
    """Train as ever, then wait for the rest of the time."""
    end = time.monotonic() + TASK_S
    found = _train(trainer, batch)
    time.sleep(max(end - time.monotonic(), 0.0))
    return found


TrialTrainer.__call__ = train_and_wait  # type: ignore[method-assign]
