"""What another 50 trials of a search would gain at most, and whether that is less than its replicas can tell.

The gain is that of the answer on fresh draws: what the search would choose then against what it chooses now. A bound
on it has three parts.

1. **The tail.** Among trials of the search's later part, how far the best ones lie below a threshold has an
   exponential distribution in the limit of few (the generalized Pareto distribution of Pickands and of Balkema and
   de Haan, with shape 0). A loss has a lower end, its shape is below 0, and its tail is shorter than that: the
   exponential one is on the safe side. The distance from the present best to the next trials' best, in units of the
   mean excess of the k best trials, then has one distribution, known exactly (Renyi's representation of exponential
   order statistics), so that nothing is simulated and nothing left to a large k.
2. **The trend.** A sampler that learns makes trials that are better than its earlier ones. The best loss of a search
   that learns falls ever more slowly: what it has fallen in the later half, stretched to 50 trials, bounds that.
3. **The choice.** All trials share their draws, so the loss of two trials is known in pairs; the best of many is still
   chosen by its luck on these draws. The standard error of the pairs says how much.

The bound is the larger of the first two, plus the third: the first holds at 92 %, the third at 98 %, their sum at 90 %
whatever they have to do with each other. A search has converged when the first summand is no more than the standard
error: draws as many as it has could not tell such a gain from none. Nobody foresees a rare setting of another kind, of
which no trial has been anywhere near; `benchmarks/convergence.py` counts on recorded searches how often the bound holds
(docs/intervals.md).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analysis.records.study import TrialRecord

FloatArray = npt.NDArray[np.float64]

AHEAD = 50
LEVEL = 0.9
TAIL_LEVEL = 0.92
CHOICE_LEVEL = 0.98
"""At which the summands hold; together they miss no more often than a sum that holds at `LEVEL` may."""
NORMAL = 2.0537489106318225
"""Quantile of the standard normal distribution at `CHOICE_LEVEL`."""
LEAST_TRIALS = 40
N_BEST = 10
"""Trials whose excess is the tail's; the best so many are also those that the pairs' standard error is taken of."""
LATER = 0.75
"""Share of the trials, the last ones, that speak for the next."""
LEAST_REPLICAS = 3
IN_ORDER = 0.8
"""Share of the steps from trial to trial that are in a grid's order where the trials are a grid."""
SHARING = frozenset({"table", "fashion_mnist", "houses"})
"""Kinds of data whose replicas share rows: their spread does not say what is noise."""


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
    """Return a bound on how far below `best` the best of the next `AHEAD` trials comes, at `TAIL_LEVEL`.

    Parameters
    ----------
    later : ndarray (w,)
        Mean losses of the trials that speak for the next.
    best : float
        The lowest mean loss of all.

    Notes
    -----
    Of w trials with an exponential lower tail let s be the mean distance of the k lowest from the (k + 1)-th. How far
    m more trials come below the lowest, in units of s, has one distribution, see `probability_beyond`.

    References
    ----------
    .. [1] A. Renyi, "On the theory of order statistics", 1953: spacings of exponential order statistics.
    .. [2] J. Pickands, "Statistical inference using extreme order statistics", 1975.
    """
    lowest = np.sort(later)[: N_BEST + 1]
    scale = float(np.mean(lowest[-1] - lowest[:-1]))
    return max(tail_factor(len(later)) * scale - (float(lowest[0]) - best), 0.0)


@cache
def tail_factor(n_later: int) -> float:
    """Return how many mean excesses below the best the next trials come at most, at `TAIL_LEVEL`.

    0 where there are so many trials already that the next ones are surely enough no better at all.
    """
    if probability_beyond(0.0, n_later) <= 1 - TAIL_LEVEL:
        return 0.0
    from scipy.optimize import brentq  # half a second to import: only for whoever asks

    factor: float = brentq(lambda c: probability_beyond(c, n_later) - (1 - TAIL_LEVEL), 0.0, 1000.0)
    return factor


def probability_beyond(factor: float, n_later: int) -> float:
    """Return how probably the next `AHEAD` trials come further below the best than `factor` mean excesses.

    Parameters
    ----------
    factor : float
        c.
    n_later : int
        w, trials of which `N_BEST` (k) give the mean excess s; ``w > k``.

    Notes
    -----
    In ``y = exp(x / scale)`` the tail is uniform. The (k + 1)-th lowest of w such is Beta(k + 1, w - k), the k below it
    are uniform up to there and independent of it: the negative logarithms of their ratios are exponential, their sum
    is k s / scale and the largest of them the lowest trial's. With Z_1 ... Z_k their independent spacings (largest =
    sum of Z_i / i, sum = sum of Z_i), no one of m trials comes c s below the lowest with the probability that none is
    below ``B A``, ``A = exp(-sum of Z_i (1 / i + c / k))``: the mean of ``(1 - B A)**m``, a finite sum of moments.
    """
    j, i = np.arange(1, AHEAD + 1), np.arange(1, N_BEST + 1)
    choose = np.array([math.lgamma(AHEAD + 1) - math.lgamma(n + 1) - math.lgamma(AHEAD - n + 1) for n in j])
    beta = np.array([math.lgamma(N_BEST + 1 + n) - math.lgamma(n_later + 1 + n) for n in j])
    beta += math.lgamma(n_later + 1) - math.lgamma(N_BEST + 1)
    spacings = -np.log1p(j[:, None] * (1 / i + factor / N_BEST)).sum(axis=1)
    return float(np.sum(np.where(j % 2, 1.0, -1.0) * np.exp(choose + beta + spacings)))


def trend_bound(means: FloatArray) -> float:
    """Return what the best loss has gained in the later half of the trials, for `AHEAD` trials where that is longer."""
    half = len(means) // 2
    gained = float(means[:half].min() - means.min())
    return gained * max(1.0, AHEAD / (len(means) - half))


def _is_listed(trials: Sequence[TrialRecord]) -> bool:
    """Return whether trials go through a grid in its order, so that those before say nothing of those that follow.

    There no setting comes twice, one value changes from trial to trial, and the one that changes most often comes in
    the same order again and again, or, of a grid of one parameter, in rising or falling order. Samplers of a small
    space, too, often change one value alone, but in no order.
    """
    settings = {tuple(sorted(trial.params.items())) for trial in trials}
    if len(settings) < len(trials):
        return False
    changes = [
        [key for key in one.params.keys() | other.params.keys() if one.params.get(key) != other.params.get(key)]
        for one, other in pairwise(trials)
    ]
    by_key = Counter(itertools.chain.from_iterable(changes))
    if np.median([len(keys) for keys in changes]) > 1:
        return False
    fastest = max(sorted(by_key), key=lambda key: by_key[key])
    values = [trial.params.get(fastest) for trial in trials]
    if len(set(values)) < IN_ORDER * len(values):
        followed = Counter(pairwise(values))
        usual = {value: max(n for (one, _), n in followed.items() if one == value) for value in values[:-1]}
        return sum(usual.values()) >= IN_ORDER * (len(values) - 1)
    numbers = [value for value in values if isinstance(value, int | float)]
    rises = sum(one < other for one, other in pairwise(numbers))
    return len(numbers) < len(values) or max(rises, len(numbers) - 1 - rises) >= IN_ORDER * (len(numbers) - 1)


def _is_usable(trial: TrialRecord) -> bool:
    return trial.state == "complete" and trial.source is None and all(map(math.isfinite, trial.test_loss))
