"""Differences of two mean losses either of which may have stuck replicas: intervals and p-values that know the bounds.

What holds of a mean holds of a difference: a sample cannot show a rare bad replica that it did not draw, on no side.
A difference of two losses lies between minus the largest loss of the second and the largest of the first, so
that `analysis.statistics.bounded` has an imagined draw at both ends; of other draws each mean has its own interval, and
that of the difference is recovered from both. Student's t over pairs and Welch's, which know no bound, hold only where
neither of the two has stuck replicas, or both alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.statistics.bounded import bounded_ends, bounded_interval
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
    if bounded_difference(a, b, paired=paired).low is None:
        return None
    if paired:
        differences, lowest, largest = _pairs(a, b)
        ends = _ends(differences, lowest, largest)
        return _smallest_level(ends, float(differences.mean()))
    x, y = measured(a.values), measured(b.values)
    of_a, of_b = _ends(x, a.lowest, a.largest), _ends(y, b.lowest, b.largest)
    estimate = float(x.mean() - y.mean())

    def both(levels: FloatArray) -> tuple[FloatArray, FloatArray]:
        (low_a, high_a), (low_b, high_b) = of_a(levels), of_b(levels)
        below, above = np.hypot(x.mean() - low_a, high_b - y.mean()), np.hypot(high_a - x.mean(), y.mean() - low_b)
        return estimate - below, estimate + above

    return _smallest_level(both, estimate)


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


_Ends = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def _pairs(a: BoundedLosses, b: BoundedLosses) -> tuple[FloatArray, float, float]:
    """Return the differences of what both have, and the smallest and largest that there can be."""
    if len(a.values) != len(b.values):
        raise ValueError(f"b: {len(b.values)} values against {len(a.values)}; pairs need one of each for every replica")
    both = [x - y for x, y in zip(a.values, b.values, strict=True) if x is not None and y is not None]
    return measured(both), a.lowest - b.largest, a.largest - b.lowest


def _ends(values: FloatArray, lowest: float, largest: float) -> _Ends:
    """Return both ends of the mean of these values at each of several levels, which are asked at once."""

    def ends(levels: FloatArray) -> tuple[FloatArray, FloatArray]:
        return bounded_ends(np.broadcast_to(values, (len(levels), len(values))), largest, levels, lowest)

    return ends


def _smallest_level(ends: _Ends, estimate: float) -> float:
    """Return the smallest error at which the interval leaves out 0, found on two grids of its logarithm."""
    if estimate == 0.0:
        return 1.0

    def beyond(errors: FloatArray) -> FloatArray:
        low, high = ends(1.0 - errors)
        return low if estimate > 0 else -high  # above 0 where 0 is left out

    grid = np.geomspace(LEAST_P, MOST_P, N_LEVELS)
    left_out = beyond(grid) > 0.0
    if left_out[0] or not left_out.any():
        return LEAST_P if left_out[0] else 1.0
    i = int(np.argmax(left_out))
    fine = np.geomspace(grid[i - 1], grid[i], N_LEVELS)
    found = beyond(fine)
    k = max(int(np.argmax(found > 0.0)), 1)
    share = found[k] / (found[k] - found[k - 1])
    return float(np.exp(np.log(fine[k]) - share * (np.log(fine[k]) - np.log(fine[k - 1]))))
