"""Differences of two mean losses either of which may have stuck replicas: intervals and p-values that know the bounds.

What holds of a mean holds of a difference: a sample cannot show a rare bad replica that it did not draw, on no side.
A difference of two losses lies between minus the largest loss of the second and the largest of the first, so
that `analysis.statistics.bounded` has an imagined draw at both ends; of other draws each mean has its own interval, and
that of the difference is recovered from both. Student's t over pairs and Welch's, which know no bound, hold only where
neither of the two has stuck replicas, or both alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.bounded import bounded_ends, bounded_interval, find_ends
from analysis.statistics.intervals import FloatArray, Interval, Values, measured
from analysis.words import say

LEAST_P, MOST_P = 1e-9, 0.4
"""Between which p-values are told: above, there is no difference to speak of; below, it does not matter."""
N_LEVELS = 24


@dataclass(frozen=True, slots=True)
class BoundedLosses:
    """Losses of one setting, one a replica, and where they can lie.

    Parameters
    ----------
    values : sequence of float or None
    largest, lowest : float
        See `analysis.statistics.bounded.loss_bound`. `lowest` is below 0 for losses above the best predictor's.
    """

    values: Values
    largest: float
    lowest: float = 0.0


def bounded_difference(a: BoundedLosses, b: BoundedLosses, *, paired: bool, level: float = 0.95) -> Interval:
    """Return the mean of a minus the mean of b with its two-sided interval, sound where a few replicas are stuck.

    Parameters
    ----------
    a, b : BoundedLosses
        Equally many values where `paired`. A pair counts only where both were measured.
    paired : bool
        Whether replica r of both had the same data draw.
    level : float
        Nominal coverage, between 0 and 1; less than 0.6 is taken as that.

    Returns
    -------
    Interval
        Without ends for fewer than 2 values on a side, or one that is outside of its bounds.

    Raises
    ------
    ValueError
        If the lengths differ, or `level` is not between 0 and 1.
    """
    if not paired:
        first, second = (bounded_interval(one.values, one.largest, level, one.lowest) for one in (a, b))
        told = f"from both means, imagined draws at {a.largest:.4g} and {b.largest:.4g}, {100 * level:g} %"
        return recovered_difference(first, second, told)
    differences, lowest, largest = _pairs(a, b)
    found = bounded_interval(differences, largest, level, lowest)
    method = f"paired, imagined draws at {lowest:.4g} and {largest:.4g}, {100 * level:g} %"
    return Interval(found.estimate, found.low, found.high, found.n, method, found.reason)


def bounded_p_value(a: BoundedLosses, b: BoundedLosses, *, paired: bool) -> float | None:
    """Return the two-sided p-value of no difference: 1 minus the largest level whose interval leaves out 0.

    Returns
    -------
    float or None
        At least 1e-9; 1 where it would be above 0.4. None where `bounded_difference` has no ends.
    """
    if paired:
        return paired_p_values([(a, b)])[0]
    if bounded_difference(a, b, paired=False).low is None:
        return None
    x, y = measured(a.values), measured(b.values)
    estimate = float(x.mean() - y.mean())

    def both(_rows: IntArray, levels: FloatArray) -> tuple[FloatArray, FloatArray]:
        low_a, high_a = _ends(x[None], np.array([a.lowest]), np.array([a.largest]), levels)
        low_b, high_b = _ends(y[None], np.array([b.lowest]), np.array([b.largest]), levels)
        below, above = np.hypot(x.mean() - low_a, high_b - y.mean()), np.hypot(high_a - x.mean(), y.mean() - low_b)
        return estimate - below, estimate + above

    return _smallest_levels(both, [estimate])[0]


def paired_p_values(pairs: Sequence[tuple[BoundedLosses, BoundedLosses]]) -> list[float | None]:
    """Return `bounded_p_value` of many pairs, all of whose replicas are paired; and find their intervals' ends.

    At once: a report compares every two of a search's choices, and one pair takes nearly as long as all of them.
    """
    found = [_pairs(a, b) for a, b in pairs]
    find_ends((differences, largest, lowest) for differences, lowest, largest in found)
    result: list[float | None] = [None] * len(pairs)
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, (a, b) in enumerate(pairs):
        if bounded_difference(a, b, paired=True).low is not None:
            by_length[len(found[i][0])].append(i)
    for places in by_length.values():
        samples = np.stack([found[i][0] for i in places])
        lowest, largest = (np.array([found[i][k] for i in places]) for k in (1, 2))
        levels = _smallest_levels(_ends_of(samples, lowest, largest), [float(row.mean()) for row in samples])
        for i, level in zip(places, levels, strict=True):
            result[i] = level
    return result


def recovered_difference(a: Interval, b: Interval, method: str = "from both intervals, 95 %") -> Interval:
    """Return a minus b of two independent estimates, its ends recovered from theirs.

    References
    ----------
    G. Y. Zou and A. Donner, Statist. Med. 27 (2008) 1693-1702.
    """
    n = min(a.n, b.n)
    if a.estimate is None or b.estimate is None:
        return Interval(None, None, None, n, method, a.reason or b.reason)
    difference = a.estimate - b.estimate
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(
            difference, None, None, n, method, a.reason or b.reason or say("one of the two has no interval")
        )
    below = math.hypot(a.estimate - a.low, b.high - b.estimate)
    above = math.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(difference, difference - below, difference + above, n, method)


IntArray = npt.NDArray[np.intp]
_Ends = Callable[[IntArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Gives both ends (k, L) of the rows (k,) at their levels (k, L)."""


def _pairs(a: BoundedLosses, b: BoundedLosses) -> tuple[FloatArray, float, float]:
    """Return the differences of what both have, and the smallest and largest that there can be."""
    if len(a.values) != len(b.values):
        raise ValueError(f"b: {len(b.values)} values against {len(a.values)}; pairs need one of each for every replica")
    both = [x - y for x, y in zip(a.values, b.values, strict=True) if x is not None and y is not None]
    return measured(both), a.lowest - b.largest, a.largest - b.lowest


def _ends(
    samples: FloatArray, lowest: FloatArray, largest: FloatArray, levels: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return both ends (k, L) of the mean of each row of samples (k, n) at its levels (k, L), all found at once."""
    n_levels = levels.shape[1]
    low, high = bounded_ends(
        np.repeat(samples, n_levels, axis=0), np.repeat(largest, n_levels), levels.ravel(), np.repeat(lowest, n_levels)
    )
    return low.reshape(levels.shape), high.reshape(levels.shape)


def _ends_of(samples: FloatArray, lowest: FloatArray, largest: FloatArray) -> _Ends:
    return lambda rows, levels: _ends(samples[rows], lowest[rows], largest[rows], levels)


def _smallest_levels(ends: _Ends, estimates: Sequence[float]) -> list[float]:
    """Return of each row the smallest error at which its interval leaves out 0, found on two grids of its logarithm."""
    result = [1.0] * len(estimates)
    above = np.array(estimates) > 0

    def beyond(rows: IntArray, errors: FloatArray) -> FloatArray:
        low, high = ends(rows, 1.0 - errors)
        return np.where(above[rows, None], low, -high)  # above 0 where 0 is left out

    rows = np.flatnonzero(np.array(estimates) != 0.0)
    if not len(rows):
        return result
    grid = np.geomspace(LEAST_P, MOST_P, N_LEVELS)
    fine = {}
    for row, left_out in zip(rows.tolist(), beyond(rows, np.tile(grid, (len(rows), 1))) > 0.0, strict=True):
        if left_out[0]:
            result[row] = LEAST_P
        elif left_out.any():
            i = int(np.argmax(left_out))
            fine[row] = np.geomspace(grid[i - 1], grid[i], N_LEVELS)
    if not fine:
        return result
    for (row, errors), found in zip(fine.items(), beyond(np.array([*fine]), np.stack([*fine.values()])), strict=True):
        k = max(int(np.argmax(found > 0.0)), 1)
        share = found[k] / (found[k] - found[k - 1])
        result[row] = float(np.exp(np.log(errors[k]) - share * (np.log(errors[k]) - np.log(errors[k - 1]))))
    return result
