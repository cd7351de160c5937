"""Which search trials get a run of their own: all, or those among the best so far; the log has every one."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field

from analysis.records.study import Record, TrialRecord
from engine.names import InputMessageError

CHOICE_TAG = "sweep.log_runs"
"""Of the parent run: what was asked for, so that a later `sync` goes on with it."""
ALL = "all"


class ChoiceError(InputMessageError):
    """A choice that is none; the message says what would do."""


@dataclass(slots=True)
class RunChoice:
    """Says of each record, in the log's order, whether it gets a run.

    A search trial does if it is a candidate, or its value is among the `n_best` lowest of all before it and itself, so
    that the choice needs no look ahead and is the same whenever it is made. Every record of another stage does.

    Parameters
    ----------
    n_best : int or None
        None takes all.
    """

    n_best: int | None = None
    _worst_first: list[float] = field(default_factory=list)

    def takes(self, record: Record) -> bool:
        """Return whether the next record of the log gets a run."""
        if self.n_best is None or not isinstance(record, TrialRecord) or record.stage != "search":
            return True
        if record.state == "failed":
            return False
        heap = self._worst_first
        if len(heap) < self.n_best:
            heapq.heappush(heap, -record.value)
            return True
        is_better = record.value < -heap[0]
        if is_better:
            heapq.heapreplace(heap, -record.value)
        return is_better or record.candidate


def parse_choice(text: str) -> RunChoice:
    """Return the choice that ``"all"`` or ``"best:500"`` asks for.

    Raises
    ------
    ChoiceError
        If it is neither.
    """
    if text == ALL:
        return RunChoice()
    found = re.fullmatch(r"best:([1-9][0-9]{0,8})", text)
    if found is None:
        raise ChoiceError(f"{text!r} is neither all nor best:N, for instance best:500")
    return RunChoice(int(found[1]))
