"""Where losses that somebody wrote down fall among those that many draws of the same setting give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.bounded import LARGEST_HALF_SQUARED_ERROR, bounded_interval
from analysis.statistics.intervals import FloatArray, Interval
from analysis.statistics.verdicts import share_interval
from analysis.words import say

LEVEL = 0.05
"""Share of honest rows that are called not plausible, at most."""
FARTHEST = 1e6
"""Logarithm that a loss which is not finite counts with."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number falls among n draws.

    Parameters
    ----------
    percentile : float
        Percent of the draws below it; those that round to it count half.
    n_below, n_equal, n : int
        Draws below it, draws that round to it, all of them.
    """

    percentile: float
    n_below: int
    n_equal: int
    n: int

    @property
    def words(self) -> str:
        """The place in words."""
        if self.n_below == 0 and self.n_equal == 0:
            return say("below all {n} draws", n=self.n)
        if self.n_below == self.n:
            return say("above all {n} draws", n=self.n)
        return say("percentile {percentile:.0f}", percentile=self.percentile)


def rounded(losses: FloatArray, decimals: int) -> FloatArray:
    """Return losses as somebody writes them down who rounds to so many decimals."""
    return np.asarray(np.round(losses, decimals), np.float64)


def place(draws: FloatArray, claimed: float, decimals: int) -> Place:
    """Return where a claimed loss falls among draws.

    Parameters
    ----------
    draws : ndarray (n,)
        Losses, infinite where training diverged.
    claimed : float
    decimals : int
        To which it was rounded.
    """
    values = rounded(draws.ravel(), decimals)
    target = round(claimed, decimals)
    n_below, n_equal = int((values < target).sum()), int((values == target).sum())
    return Place(100.0 * (n_below + n_equal / 2.0) / len(values), n_below, n_equal, len(values))


def plausibility(draws: Sequence[FloatArray], claimed: Sequence[float], decimals: Sequence[int]) -> float:
    """Return the share of draws, the claimed one among them, that lie at least as far from the middle.

    A conformal p-value: the claimed losses are pooled with the n draws, every one of the n + 1 gets the same score of
    how far out it is, and their ranks are exchangeable if the claimed ones are a draw like the others. Then the chance
    of a value of at most p is at most p, whatever the law of the losses. The score is that of the loss and direction in
    which the draw is farthest out: by rank, so that a few stuck draws above hide nothing below, and among the outermost
    by the gap to the next one on a logarithmic scale. Draws are rounded as the claimed loss is.

    Parameters
    ----------
    draws : sequence of ndarray (n,)
        Of each claimed loss: one value a draw, in the same order.
    claimed : sequence of float
        At least one.
    decimals : sequence of int
        To which each was rounded.

    Returns
    -------
    float
        Above 0, at most 1.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (2005), 2.2.
    """
    scores = []
    for losses, value, digits in zip(draws, claimed, decimals, strict=True):
        pooled = np.append(rounded(losses, digits), round(value, digits))
        smallest = 10.0 ** -(digits + 1)
        with np.errstate(divide="ignore"):
            scores.append(_outlyingness(np.log(np.maximum(pooled, smallest))))
    score = np.max(scores, axis=0)
    return float((score >= score[-1]).mean())


def _outlyingness(x: FloatArray) -> FloatArray:
    """Return how far out each value is on its side: the fewer are as far out, the farther; then the wider the gap.

    Minus the number of values at least as far out in a direction, plus the share (below 1) of the distance from the
    median by which it exceeds the next value inwards; the larger of both directions.
    """
    finite = np.where(np.isfinite(x), x, FARTHEST)
    middle = np.sort(finite)[len(x) // 2]
    scores = []
    for sign in (-1.0, 1.0):
        out = sign * (finite - middle)
        ordered = np.sort(out)
        first = np.searchsorted(ordered, out, side="left")
        inwards = np.maximum(ordered[np.maximum(first - 1, 0)], 0.0)
        gap = np.where(out > 0.0, 1.0 - inwards / np.where(out > 0.0, out, 1.0), 0.0)
        scores.append(first - len(x) + np.minimum(gap, 0.999))
    return np.asarray(np.max(scores, axis=0), np.float64)


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """One row of a homework table beside what its setting gives.

    Parameters
    ----------
    source : str
        The file.
    line : int
        Of the file.
    dataset : str
        Data type for the reader: the page's, or as it stands where nobody knows it.
    setting : str
        The setting in words, or why the row could not be trained.
    rates : tuple of float
        Learning rates that were tried: the row's own, or the page's menu; empty where nothing was trained.
    losses : dict of str to ndarray (rates, n)
        ``"training loss"`` and ``"test loss"`` of n draws; infinite where training diverged.
    claimed : dict of str to (float, int)
        What the row says, with its decimals; without the losses that it does not give.
    sentences : dict of str to str
        Why there is no number, by loss.
    notes : tuple of str
        What was read otherwise than it stands.
    mistakes : tuple of str
        Kinds of mistakes in its cells.
    """

    source: str
    line: int
    dataset: str
    setting: str
    rates: tuple[float, ...]
    losses: dict[str, FloatArray]
    claimed: dict[str, tuple[float, int]]
    sentences: dict[str, str]
    notes: tuple[str, ...]
    mistakes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Draws of each rate."""
        return next(iter(self.losses.values())).shape[1] if self.losses else 0

    def mean(self, loss: str) -> Interval:
        """Return the mean loss over draws and rates; a diverged draw counts as the largest loss there can be."""
        largest = LARGEST_HALF_SQUARED_ERROR
        return bounded_interval(np.minimum(self.losses[loss], largest).mean(axis=0).tolist(), largest)

    def passes(self, goal: float) -> Interval:
        """Return the share of draws and rates with both losses below the goal."""
        below = np.all([losses < goal for losses in self.losses.values()], axis=0)
        return share_interval(below.mean(axis=0).tolist())

    def place(self, loss: str) -> Place | None:
        """Return where a claimed loss falls among the draws of all rates, or None where there is none."""
        return place(self.losses[loss], *self.claimed[loss]) if loss in self.claimed and self.losses else None

    @property
    def by_rate(self) -> list[float]:
        """`plausibility` at each rate; empty where there is nothing to judge."""
        if not self.claimed or not self.losses:
            return []
        values, decimals = zip(*self.claimed.values(), strict=True)
        return [
            plausibility([self.losses[loss][i] for loss in self.claimed], values, decimals)
            for i in range(len(self.rates))
        ]

    @property
    def plausible(self) -> bool | None:
        """Whether the claimed losses are plausible at some of the rates; None where there is nothing to judge.

        An honest row is called not plausible with a probability of at most `LEVEL`, whichever of the rates it had.
        """
        found = self.by_rate
        return max(found) > LEVEL if found else None

    @property
    def verdict(self) -> str:
        """`plausible` in words."""
        if not self.losses:
            return say("not trained")
        return {True: say("plausible"), False: say("not plausible"), None: say("no loss given")}[self.plausible]

    @property
    def likeliest_rate(self) -> float | None:
        """The rate at which the claimed losses are least unusual, where the row has none of its own."""
        found = self.by_rate
        return self.rates[int(np.argmax(found))] if len(found) > 1 else None
