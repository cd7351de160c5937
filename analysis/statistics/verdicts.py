"""From a claim and what replicas measured to a verdict: one concept for every claim that a source makes.

A claim is about one number: a share, a median of paired differences, a rank correlation. It is tested over all
conditions together and within each of them; with K conditions every interval has the level 1 - 0.05 / (K + 1), so that
all of them hold at once in 95 of 100 studies. The verdict follows from the intervals alone:

``holds``
    over all conditions the interval lies where the claim says, and within none of them where it denies.
``holds only under ...``
    it holds within some conditions, and it is shown not to hold within others or over all.
``does not hold``
    over all conditions the interval lies where the claim denies, and it holds within none.
``not decided at n``
    anything else; n that would decide is said where it can be told.

Shares have Clopper and Pearson's interval (means of shares Gaffke's), medians the order statistics': they keep their
level under any law of the replicas, stuck and diverged ones included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from analysis.statistics.bounded import CERTIFICATE_WEIGHT, weighted_upper
from analysis.statistics.intervals import COUNTED, FloatArray, Interval, Values, clopper_pearson
from analysis.statistics.resampling import rank_correlation_interval
from analysis.words import later, say

LEVEL = 0.95
MOST_NAMED = 6
Kind = Literal["share", "median", "rank correlation", "exact"]
Test = Literal["above", "below", "within", "equals"]
Finding = Literal["holds", "does not hold", "not decided"]
Word = Literal["holds", "holds only under", "does not hold", "not decided", "not measured"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What replicas measured under one condition.

    Parameters
    ----------
    condition : str
        ``"xor"``; empty for all conditions together.
    kind : str
        Of the number that is estimated. ``"exact"``: `x` holds one known number, without an interval.
    x : ndarray (n,)
        One value a replica: 0 or 1 of a share, which may be a mean of several; infinite where a loss was. NaN was not
        measured.
    y : ndarray (n,) or None
        The other side of a rank correlation.
    """

    condition: str
    kind: Kind
    x: FloatArray
    y: FloatArray | None = None

    def interval(self, level: float) -> Interval:
        """Return the estimate with its interval."""
        if self.kind == "rank correlation":
            return rank_correlation_interval(self.x, self.x if self.y is None else self.y, level)
        values = self.x[~np.isnan(self.x)]
        if self.kind == "exact":
            found = None if not len(values) else float(values[0])
            return Interval(found, found, found, len(values), COUNTED, None if len(values) else say("not measured"))
        return share_interval(values, level) if self.kind == "share" else median_interval(values, level)


def share_interval(values: Values, level: float = LEVEL) -> Interval:
    """Return a share with an interval that keeps its level under any law.

    Of zeros and ones Clopper and Pearson's. Values between them, means of several shares of one replica, get Gaffke's
    bound on both sides, which is Clopper and Pearson's for zeros and ones.

    References
    ----------
    `analysis.statistics.intervals.clopper_pearson`; `analysis.statistics.bounded.weighted_upper`.
    """
    array = np.asarray(values, np.float64)
    n, percent = len(array), f"{100 * level:.4g} %"
    if n == 0:
        return Interval(None, None, None, 0, f"Clopper-Pearson, {percent}", say("no value was measured"))
    estimate, tail = float(array.mean()), (1.0 - level) / 2.0
    if not np.isin(array, (0.0, 1.0)).all():
        high = float(weighted_upper(array[None], 1.0 - tail, 1.0, CERTIFICATE_WEIGHT)[0])
        low = -float(weighted_upper(-array[None], 1.0 - tail, 0.0, CERTIFICATE_WEIGHT)[0])
        return Interval(estimate, low, high, n, f"Gaffke, {percent}")
    return clopper_pearson(round(float(array.sum())), n, level)


def median_interval(values: Values, level: float = LEVEL) -> Interval:
    """Return the median with the interval of the order statistics, which holds under any law.

    The k-th smallest and the k-th largest of n values enclose the median unless fewer than k of n coins fall on one
    side.

    References
    ----------
    W. R. Thompson, Ann. Math. Statist. 7 (1936) 122-128; H. A. David and H. N. Nagaraja, Order Statistics (2003), 7.1.
    """
    array = np.sort(np.asarray(values, np.float64))
    n, name = len(array), say("order statistics, {percent:.4g} %", percent=100 * level)
    if n == 0:
        return Interval(None, None, None, 0, name, say("no value was measured"))
    middle = array[(n - 1) // 2 : n // 2 + 1]
    estimate = float(middle[0]) if middle[0] == middle[-1] else float(middle.mean())
    k = int(np.searchsorted(special.bdtr(np.arange(n // 2 + 1), n, 0.5), (1.0 - level) / 2.0, side="right"))
    if k == 0:
        least = math.ceil(1.0 - math.log2(1.0 - level))
        why = say("{n} values; an interval at this level takes {least}", n=n, least=least)
        return Interval(estimate, None, None, n, name, why)
    return Interval(estimate, float(array[k - 1]), float(array[n - k]), n, name)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a source says, and what was measured about it.

    Parameters
    ----------
    number : str
        Of the claim among the sources' claims; empty for the product's own question.
    words : str
        What is claimed.
    measure : str
        What the number is.
    test : str
        ``"above"`` or ``"below"`` `even`; ``"within"`` `margin` of `even` (an equivalence); ``"equals"`` `even`.
    even : float
        Where the number speaks neither way: 0 for a difference, 0.5 for a share of draws.
    samples : tuple of Sample
        Of each condition.
    over_all : Sample or None
        Over all conditions; None: the one condition there is.
    margin : float
        Of an equivalence.
    budget : str
        What is equal between what is compared.
    timed : bool
        Whether it is about seconds, which differ from run to run.
    """

    number: str
    words: str
    measure: str
    test: Test
    even: float
    samples: tuple[Sample, ...]
    over_all: Sample | None = None
    margin: float = 0.0
    budget: str = later("equal epochs, same draws")
    timed: bool = False

    @property
    def label(self) -> str:
        """Its words with its number."""
        return f"{self.number}. {self.words}" if self.number else self.words


@dataclass(frozen=True, slots=True)
class Judgment:
    """What the numbers say about a claim.

    Parameters
    ----------
    claim : Claim
    word : str
        See this module; English in every language.
    verdict : str
        The word with its conditions and n, for a reader.
    effect : Interval
        Over all conditions.
    within : tuple of (str, Interval, str)
        Each condition, its interval, what that says.
    n_needed : int or None
        Replicas that would decide if the effect is as estimated; None where it is decided or cannot be told.
    """

    claim: Claim
    word: Word
    verdict: str
    effect: Interval
    within: tuple[tuple[str, Interval, Finding], ...]
    n_needed: int | None

    @property
    def label(self) -> str:
        """The claim's."""
        return self.claim.label


FINDINGS = (later("holds"), later("does not hold"), later("not decided"))
"""What `finding` returns, which is compared and so never translated there."""


def finding(claim: Claim, interval: Interval) -> Finding:
    """Return what one interval says about a claim."""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return "not decided"
    if claim.test == "within":
        bottom, top = claim.even - claim.margin, claim.even + claim.margin
        if bottom <= low and high <= top:
            return "holds"
        return "does not hold" if low > top or high < bottom else "not decided"
    if claim.test == "equals":
        return "holds" if low == high == claim.even else "does not hold"
    above, below = low > claim.even, high < claim.even
    if not (above or below):
        return "not decided"
    return "holds" if above == (claim.test == "above") else "does not hold"


def judge(claim: Claim) -> Judgment:
    """Return the verdict on a claim."""
    samples = claim.samples
    several = len(samples) > 1 and claim.over_all is not None
    level = 1.0 - (1.0 - LEVEL) / (len(samples) + 1 if several else max(len(samples), 1))
    within = tuple((one.condition, interval := one.interval(level), finding(claim, interval)) for one in samples)
    if not within:
        nothing = Interval(None, None, None, 0, "", say("the design has not what it compares"))
        return Judgment(claim, "not measured", _not_measured(nothing), nothing, (), None)
    if claim.over_all is None:
        effect, over_all = within[0][1], within[0][2]
    else:
        effect = claim.over_all.interval(level)
        over_all = finding(claim, effect)
    if effect.estimate is None:
        return Judgment(claim, "not measured", _not_measured(effect), effect, within, None)
    word, text = _word(over_all, within if several else (), effect.n)
    needed = _n_needed(claim, effect) if word == "not decided" else None
    if word == "not decided" and needed is not None:
        text = say("{text}; about {needed} would decide an effect of this size", text=text, needed=needed)
    return Judgment(claim, word, text, effect, within, needed)


def _not_measured(interval: Interval) -> str:
    return say("not measured: {reason}", reason=interval.reason)


def _word(over_all: Finding, within: Sequence[tuple[str, Interval, Finding]], n: int) -> tuple[Word, str]:
    under = [condition for condition, _, found in within if found == "holds"]
    against = [condition for condition, _, found in within if found == "does not hold"]
    if over_all == "holds" and not against:
        return "holds", say("holds")
    if under and (against or over_all == "does not hold"):
        text = say("holds only under {names}", names=_names(under))
        if against:
            text = say("{text}; not under {names}", text=text, names=_names(against))
        return "holds only under", text
    if over_all == "does not hold":
        return "does not hold", say("does not hold")
    parts = [say("holds under {names}", names=_names(under))] if under else []
    parts += [say("does not hold under {names}", names=_names(against))] if against else []
    return "not decided", "; ".join([say("not decided at n = {n}", n=n), *parts])


def _names(conditions: Sequence[str]) -> str:
    shown = ", ".join(conditions[:MOST_NAMED])
    more = len(conditions) - MOST_NAMED
    return shown if more <= 0 else say("{shown} and {more} more", shown=shown, more=more)


def _n_needed(claim: Claim, effect: Interval) -> int | None:
    """Return about how many replicas would decide: an interval's width falls with the root of their number."""
    low, high, estimate = effect.low, effect.high, effect.estimate
    if low is None or high is None or estimate is None or not math.isfinite(high - low):
        return None
    edges = (claim.even - claim.margin, claim.even + claim.margin) if claim.test == "within" else (claim.even,)
    distance = min(abs(estimate - edge) for edge in edges)
    half = (high - low) / 2.0
    if distance <= 1e-3 * half or half <= 0.0:
        return None
    return max(effect.n + 1, math.ceil(effect.n * (half / distance) ** 2))
