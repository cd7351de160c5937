"""What another 50 trials of a search would gain at most, and whether that is less than its replicas can tell.

The gain is that of the answer on fresh draws: what the search would choose then against what it chooses now. A bound
on it has three parts.

1. **The tail.** Among trials of the search's later part, how far the best ones lie below a threshold has an
   exponential distribution in the limit of few (the generalized Pareto distribution of Pickands and of Balkema and
   de Haan, with shape 0). A loss has a lower end, its shape is below 0, and its tail is shorter than that: the
   exponential one is on the safe side. By Renyi's representation the next record's distance from the present best,
   in units of the mean excess of the k best trials, is a ratio of independent exponential sums, so that the bound
   needs no tables and is exact for any k.
2. **The trend.** A sampler that learns makes trials that are better than its earlier ones. The best loss of a search
   that learns falls ever more slowly: what it has fallen in the later half, stretched to 50 trials, bounds that.
3. **The choice.** All trials share their draws, so the loss of two trials is known in pairs; the best of many is still
   chosen by its luck on these draws. The standard error of the pairs says how much.

The bound is the larger of the first two, plus the third; both summands hold at 95 %, the sum therefore at 90 %. A
search has converged when the first summand is no more than the standard error: draws as many as it has could not tell
such a gain from none. Nobody foresees a rare setting of another kind, of which no trial has been anywhere near;
`benchmarks/convergence.py` counts on recorded searches how often the bound holds (docs/intervals.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analysis.records.study import TrialRecord

FloatArray = npt.NDArray[np.float64]

AHEAD = 50
LEVEL = 0.9
PART_LEVEL = 0.95
"""At which each summand holds, so that their sum holds at `LEVEL` whatever they have to do with each other."""
NORMAL = 1.6448536269514722
"""Quantile of the standard normal distribution at `PART_LEVEL`."""
LEAST_TRIALS = 40
N_BEST = 10
"""Trials whose excess is the tail's; the best so many are also those that the pairs' standard error is taken of."""
LATER = 2 / 3
"""Share of the trials, the last ones, that speak for the next."""
LEAST_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class Convergence:
    """What a search may still gain.

    Parameters
    ----------
    n_trials : int
        It rests on so many.
    tail, trend : float
        Bounds on what the best loss may gain with `AHEAD` more trials, by the trials' tail and by what it has gained.
    noise : float
        Standard error of the difference between the best trial and the next best, in pairs of draws: root of the mean
        square over those.
    """

    n_trials: int
    tail: float
    trend: float
    noise: float

    @property
    def gain(self) -> float:
        """What `AHEAD` more trials gain at most, on fresh draws, at `LEVEL`."""
        return max(self.tail, self.trend) + NORMAL * self.noise

    @property
    def is_converged(self) -> bool:
        """Whether the gain is below its own noise."""
        return max(self.tail, self.trend) <= self.noise


def convergence(trials: Sequence[TrialRecord]) -> Convergence | None:
    """Return what a search may still gain; None where too few trials (or replicas) tell.

    Parameters
    ----------
    trials : sequence of TrialRecord
        Search trials in the order of their numbers. Those that failed or diverged, and repetitions of a setting, which
        have draws of their own, count as trials that gained nothing. Trials in the order of a grid tell nothing.
    """
    if len(trials) < LEAST_TRIALS or _is_listed(trials):
        return None
    first = next((trial for trial in trials if _is_usable(trial)), None)
    if first is None or len(first.seeds) < LEAST_REPLICAS:
        return None
    n_replicas = len(first.seeds)
    nothing = [math.inf] * n_replicas
    losses = np.array(
        [trial.test_loss if _is_usable(trial) and trial.seeds == first.seeds else nothing for trial in trials]
    )
    return convergence_of(losses)


def convergence_of(losses: FloatArray) -> Convergence | None:
    """Return what a search may still gain, given its trials' losses on the draws that they share.

    Parameters
    ----------
    losses : ndarray (T, R)
        By trial and replica; infinite for trials that do not compare.
    """
    means = losses.mean(axis=1)
    ranked = np.argsort(means, kind="stable")[:N_BEST]
    later = means[len(means) - math.ceil(LATER * len(means)) :]
    if np.isfinite(later).sum() <= N_BEST:
        return None
    pairs = losses[ranked[1:]] - losses[ranked[0]]
    noise = math.sqrt(float(np.mean(pairs.var(axis=1, ddof=1))) / losses.shape[1])
    return Convergence(len(means), tail_bound(later, float(means.min())), trend_bound(means), noise)


def tail_bound(later: FloatArray, best: float) -> float:
    """Return a bound on how far below `best` the best of the next `AHEAD` trials comes, at `PART_LEVEL`.

    Parameters
    ----------
    later : ndarray (w,)
        Mean losses of the trials that speak for the next.
    best : float
        The lowest mean loss of all.

    Notes
    -----
    Let u be the (k + 1)-th lowest of w trials, s the mean of u - x over the k lower ones. Of w + m exchangeable trials
    the lowest is among the m later ones with probability m / (w + m). It is then below the lowest of the w by an
    exponential time of the tail's scale, while k s is a sum of k such: it is further than c s with probability
    ``m / (w + m) (1 + c / k)**-k``.

    References
    ----------
    .. [1] A. Renyi, "On the theory of order statistics", 1953: spacings of exponential order statistics.
    .. [2] J. Pickands, "Statistical inference using extreme order statistics", 1975.
    """
    lowest = np.sort(later)[: N_BEST + 1]
    scale = float(np.mean(lowest[-1] - lowest[:-1]))
    record = AHEAD / (len(later) + AHEAD)
    factor = N_BEST * ((record / (1 - PART_LEVEL)) ** (1 / N_BEST) - 1)
    return max(factor * scale - (float(lowest[0]) - best), 0.0)


def trend_bound(means: FloatArray) -> float:
    """Return what the best loss has gained in the later half of the trials, for `AHEAD` trials where that is longer."""
    half = len(means) // 2
    gained = float(means[:half].min() - means.min())
    return gained * max(1.0, AHEAD / (len(means) - half))


def _is_listed(trials: Sequence[TrialRecord]) -> bool:
    """Return whether trials go through a grid in its order, so that those before say nothing of those that follow."""
    changes = [
        sum(one.params.get(key) != other.params.get(key) for key in one.params.keys() | other.params.keys())
        for one, other in pairwise(trials)
    ]
    return bool(np.median(changes) <= 1)


def _is_usable(trial: TrialRecord) -> bool:
    return trial.state == "complete" and trial.source is None and all(map(math.isfinite, trial.test_loss))
