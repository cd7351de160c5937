"""What formats share: how a cell reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.formats.blocks import (
    number_text,
)
from analysis.statistics.intervals import COUNTED, Interval
from analysis.words import say

if TYPE_CHECKING:
    pass

PLAYGROUND = "https://playground.tensorflow.org/#"


def interval_text(interval: Interval) -> tuple[str, str]:
    """Return an interval's estimate and its ends as text; what is known exactly has none."""
    estimate = say("not measured") if interval.estimate is None else number_text(interval.estimate)
    if interval.method == COUNTED and interval.estimate is not None:
        return estimate, say("(exact)")
    if interval.low is None or interval.high is None:
        return estimate, f"(n = {interval.n}; {interval.reason or say('no interval')})"
    return estimate, say("({low} to {high})", low=number_text(interval.low), high=number_text(interval.high))
