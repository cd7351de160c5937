"""The steps of `engine.playground.steps` compiled, each for all streams, one after the other, and the spiral's counts.

Whoever imports this waits for Numba; so it is imported when first needed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from engine.compiling.decorators import inner, outer
from engine.compiling.sources import digest_of_sources
from engine.playground import steps

HERE = Path(__file__)
SOURCES = digest_of_sources([HERE, HERE.with_name("steps.py")])
"""Digest of these files, over which each function closes that Python calls; see `engine.compiling.sources`."""

_schedule_key = inner(steps.schedule_key)
_draw_doubles = inner(steps.draw_doubles)
_shuffle = inner(steps.shuffle)
_accept_pairs = inner(steps.accept_pairs)


def _schedule_keys_entry(sources: int) -> Any:
    def schedule_keys(states: Any, places: Any, keys: Any, lengths: Any) -> None:
        if sources < 0:  # never; read here so that it becomes part of the cache's key, as in the functions below
            return
        for s in range(len(states)):
            places[s, 0] = 0
            places[s, 1] = _schedule_key(states[s], keys[s], lengths[s])

    return outer(schedule_keys)


def _draw_doubles_entry(sources: int) -> Any:
    def draw_doubles(states: Any, places: Any, out: Any, first: int) -> None:
        if sources < 0:
            return
        for s in range(len(states)):
            places[s, 0], places[s, 1] = _draw_doubles(states[s], places[s, 0], places[s, 1], out[s, first:])

    return outer(draw_doubles)


def _shuffle_entry(sources: int) -> Any:
    def shuffle(orders: Any, numbers: Any) -> None:
        if sources < 0:
            return
        for s in range(len(orders)):
            _shuffle(orders[s], numbers[s])

    return outer(shuffle)


def _accept_pairs_entry(sources: int) -> Any:
    def accept_pairs(numbers: Any, first: Any, radius: Any, n_used: Any) -> None:
        if sources < 0:
            return
        for s in range(len(numbers)):
            n_used[s] = _accept_pairs(numbers[s], first[s], radius[s])

    return outer(accept_pairs)


@inner
def _mean_label(x: float, y: float, center_x: Any, center_y: Any, low: int, high: int, reach: float) -> float:
    """Return the mean label of one point, 2 where no center from `low` to `high` reaches it."""
    n_plus = n_minus = 0
    for k in range(low, high):
        n_plus += (abs(x - center_x[0, k]) <= reach) & (abs(y - center_y[0, k]) <= reach)
        n_minus += (abs(x - center_x[1, k]) <= reach) & (abs(y - center_y[1, k]) <= reach)
    return (n_plus - n_minus) / (n_plus + n_minus) if n_plus + n_minus else 2.0


@inner
def _nearest_label(
    x: float, y: float, center_x: Any, center_y: Any, middle: float, per_unit: float, rounding: float
) -> float:
    """Return the label of the arm that is nearest to a point, 0 where both are.

    From the centers at the point's own radius, `middle`, inwards and outwards, until those that follow are too far.
    """
    plus = minus = math.inf
    scale = math.sqrt(2.0) * per_unit
    n_centers = center_x.shape[1]
    start = min(int(middle), n_centers - 1)
    for k in range(start, -1, -1):
        if middle - k > scale * max(plus, minus) + 1:
            break
        plus = min(plus, max(abs(x - center_x[0, k]), abs(y - center_y[0, k])))
        minus = min(minus, max(abs(x - center_x[1, k]), abs(y - center_y[1, k])))
    for k in range(start + 1, n_centers):
        if k - middle > scale * max(plus, minus) + 1:
            break
        plus = min(plus, max(abs(x - center_x[0, k]), abs(y - center_y[0, k])))
        minus = min(minus, max(abs(x - center_x[1, k]), abs(y - center_y[1, k])))
    return (1.0 if plus <= minus + rounding else 0.0) - (1.0 if minus <= plus + rounding else 0.0)


def _mean_labels_entry(sources: int) -> Any:
    def mean_labels(
        x: Any, y: Any, center_x: Any, center_y: Any, reach: float, rounding: float, per_unit: float, mean: Any
    ) -> None:
        if sources < 0:
            return
        n_centers = center_x.shape[1]
        # Center k lies at radius k / per_unit, and none within reach along both axes is farther than the diagonal.
        # One more on either side makes up for rounding.
        window = math.sqrt(2.0) * reach * per_unit + 1
        for p in range(len(x)):
            middle = math.sqrt(x[p] * x[p] + y[p] * y[p]) * per_unit
            low = max(0, int(middle - window))
            high = min(n_centers, int(middle + window) + 1)
            mean[p] = _mean_label(x[p], y[p], center_x, center_y, low, high, reach)
            if mean[p] == 2:
                mean[p] = _nearest_label(x[p], y[p], center_x, center_y, middle, per_unit, rounding)

    return outer(mean_labels)


schedule_keys = _schedule_keys_entry(SOURCES)
"""Schedule the keys (S, 256), of `lengths` (S,), in states (S, 256); writes the indices (S, 2)."""
draw_doubles = _draw_doubles_entry(SOURCES)
"""Fill the columns of `out` (S, n) from `first` on with the streams' next doubles."""
shuffle = _shuffle_entry(SOURCES)
"""Put orders (S, n) in order by doubles (S, n)."""
accept_pairs = _accept_pairs_entry(SOURCES)
"""Accept pairs among doubles (S, m) into (S, n) twice; writes how many doubles each stream used (S,)."""
mean_labels = _mean_labels_entry(SOURCES)
"""Write E[label] (n,) at points x, y (n,) between the spiral's arms (2, m), `per_unit` of whose centers are a unit."""
