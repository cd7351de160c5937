"""Which trials end at a rung: successive halving, Hyperband and racing, as a function of the records told before.

A trial trains once. At a rung it ends unless its value there is among the best 1 / eta of the values that the trials
told before it was asked had there, its own included. The bounds are therefore known before it starts, are part of what
is trained (`sweeps.run.setting.Setting.prune_above`, `rivals`), and follow from the log alone: a resumed sweep and a
replay come to the same ones.

Racing compares in pairs instead: all trials have the same draws, and a trial ends at a rung only if it is surely worse
there than the best trial was. How many go on is not fixed beforehand: where trials are alike, nobody ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from analysis.records.study import TrialRecord
from analysis.statistics.intervals import upper_bound
from sweeps.spec.sections import EpochSpec, PruningSpec
from sweeps.spec.sweep import SweepSpec

SURELY = 0.99
"""Confidence with which a race calls a trial worse than another: one-sided, in pairs of draws, at each rung.

Nominal: with three or four draws, or where a rare replica is stuck that these draws have missed, it errs more often. It
decides who is trained on, never what is claimed.
"""


class Rival(NamedTuple):
    """The best trial that a rung has seen, by which a trial that gets there is judged.

    Attributes
    ----------
    epoch : int
        The rung.
    number : int
        The trial's.
    losses : tuple of float
        Its test loss by replica, at the look up to the rung where their mean was lowest.
    """

    epoch: int
    number: int
    losses: tuple[float, ...]


def rivals_of(spec: SweepSpec, number: int, trials: Iterable[TrialRecord]) -> tuple[Rival, ...]:
    """Return the rungs at which search trial `number` races, each with the best trial there.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    number : int
        The trial about to be asked, on the draws that all trials share.
    trials : iterable of TrialRecord
        The study's search trials; those that were not told when `number` was asked, those on other draws, and those
        without a loss do not count.

    Returns
    -------
    tuple of Rival
        By epoch; rungs that no trial has reached are left out. Empty unless the spec's pruning is ``"racing"``.
    """
    if spec.pruning.kind != "racing":
        return ()
    known = [
        trial
        for trial in trials
        if trial.number <= number - spec.search.lag
        and trial.state == "complete"
        and trial.source is None
        and trial.rung_losses is not None
    ]
    found = []
    for epoch in rungs(spec.epochs, spec.pruning, number):
        there = [
            Rival(epoch, trial.number, tuple(trial.rung_losses[str(epoch)]))
            for trial in known
            if trial.rung_losses is not None and str(epoch) in trial.rung_losses
        ]
        if there:
            found.append(min(there, key=lambda rival: (float(np.mean(rival.losses)), rival.number)))
    return tuple(found)


def surely_worse(losses: Sequence[float], rival: Sequence[float]) -> bool:
    """Return whether the mean of `losses` is surely above that of `rival`, by draw: one-sided at `SURELY`."""
    return upper_bound(np.subtract(rival, losses).tolist(), SURELY) < 0


def prune_above(spec: SweepSpec, number: int, trials: Iterable[TrialRecord]) -> tuple[tuple[int, float], ...]:
    """Return the rungs at which search trial `number` may end, each with the value above which it does.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    number : int
        The trial about to be asked.
    trials : iterable of TrialRecord
        The study's search trials; those that were not told when `number` was asked, which is the case of all after
        ``number - spec.search.lag``, and those of another bracket do not count.

    Returns
    -------
    tuple of (int, float)
        Epoch and largest value with which to go on, by epoch; rungs that no trial has reached are left out.

    References
    ----------
    .. [1] K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.
    .. [2] L. Li et al., "A system for massively parallel hyperparameter tuning", 2020, algorithm 2: the rule for
       trials that come one after the other. Unlike there a trial that was stopped is never taken up again.
    """
    epochs = rungs(spec.epochs, spec.pruning, number)
    # A resume asks for every trial there is: nothing here may look at all the others in vain.
    if not epochs or spec.pruning.kind == "racing":
        return ()
    n_brackets = n_brackets_of(spec.epochs, spec.pruning)
    competitors = [
        trial
        for trial in trials
        if trial.number <= number - spec.search.lag
        and trial.number % n_brackets == number % n_brackets
        and trial.state != "failed"
    ]
    bounds = []
    for epoch in epochs:
        values = [value for trial in competitors if (value := value_at(trial, epoch)) is not None]
        bound = largest_promoted(values, spec.pruning.reduction_factor)
        if bound is not None:
            bounds.append((epoch, bound))
    return tuple(bounds)


def largest_promoted(values: Sequence[float], reduction_factor: int) -> float | None:
    """Return the largest value with which one more trial goes on where others had `values`; None: with any.

    It goes on if it is among the best ``n // reduction_factor``, and at least one, of the n values with its own.
    """
    n_promoted = max((len(values) + 1) // reduction_factor, 1)
    return sorted(values)[n_promoted - 1] if n_promoted <= len(values) else None


def value_at(trial: TrialRecord, epoch: int) -> float | None:
    """Return the value a trial would have had, had it ended at `epoch`: its lowest mean test loss up to there.

    None where it was pruned before. A trial that the stop rule ended before keeps what it had.
    """
    if trial.pruned_at is not None and trial.pruned_at < epoch:
        return None
    means = [
        mean
        for at, mean in zip(trial.epoch_grid, trial.curves["test_loss_mean"], strict=True)
        if at <= epoch and mean is not None
    ]
    return min(means, default=None)


def n_brackets_of(epochs: EpochSpec, pruning: PruningSpec) -> int:
    """Return how many brackets trials are dealt to in turn, by number: 1 but with Hyperband."""
    if pruning.kind != "hyperband":
        return 1
    n = 1
    while pruning.min_epochs * pruning.reduction_factor**n <= epochs.max_epochs:
        n += 1
    return n


def rungs(epochs: EpochSpec, pruning: PruningSpec, number: int) -> tuple[int, ...]:
    """Return the epochs at which trial `number` is judged.

    They are those of the grid at or next after ``min_epochs * reduction_factor**i`` and before the last one. With
    Hyperband i starts at the trial's bracket: from rungs at once to none at all.
    """
    if pruning.kind == "none":
        return ()
    found = []
    epoch = pruning.min_epochs * pruning.reduction_factor ** (number % n_brackets_of(epochs, pruning))
    while epoch < epochs.max_epochs:
        found.append(next(at for at in epochs.grid if at >= epoch))
        epoch *= pruning.reduction_factor
    return tuple(dict.fromkeys(at for at in found if at < epochs.max_epochs))
