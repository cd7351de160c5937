"""Overtuning: what a search promised against what draws gave that had no part in the choice, stage by stage.

The best of many noisy values is too good: choosing it picks its luck as well. Draws that did not choose know nothing of
that luck, so that the difference is what choosing has flattered. Where the best possible predictor is known, losses are
taken above its on the same draws, which leaves out whether draws were easy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.records.metric_words import METRIC_WORDS
from analysis.records.study import Study, StudyHeader, TrialRecord, most_measured
from analysis.statistics.bounded import bounded_interval, loss_bound
from analysis.statistics.differences import BoundedLosses, bounded_difference, recovered_difference
from analysis.statistics.intervals import Interval, mean_interval

STEPS = ("search to finalist", "finalist to certificate", "search to certificate")
"""Whose promise is held to what."""


@dataclass(frozen=True, slots=True)
class Step:
    """One promise and what came of it: the same setting on other draws.

    Parameters
    ----------
    name : str
        One of `STEPS`.
    number : int
        Search trial of the setting.
    promised, given : Interval
        Mean test loss where the setting was chosen for it, and on fresh draws, each with its 95 % interval.
    difference : Interval
        Given minus promised: what the choice flattered.
    """

    name: str
    number: int
    promised: Interval
    given: Interval
    difference: Interval

    @property
    def log_ratio(self) -> float | None:
        """Logarithm of what was promised with the difference, over what was promised; None where there is none."""
        a, b = self.difference.estimate, self.promised.estimate
        if a is None or b is None or not 0 < b < math.inf or not -b < a < math.inf:
            return None
        return math.log1p(a / b)


def steps(study: Study) -> list[Step]:
    """Return a study's steps, as far as it has come.

    ``"search to finalist"`` holds the search's best trial to its own finalist, ``"finalist to certificate"`` the best
    finalist to its own certificate, ``"search to certificate"`` the winner's search trial to its certificate.
    """
    number = study.look_number
    while number > 1 and not study.records_of("finalist", number):
        number -= 1
    finalists = _complete(most_measured(study.records_of("finalist", number)))
    certificates = _complete(study.records_of("certificate", number))
    trials = _complete([trial for trial in study.trials if trial.pruned_at is None] or study.trials)
    found = []
    if trials and finalists:
        best = min(trials, key=lambda record: (record.value, record.number))
        found.append(_step(study.header, STEPS[0], best, _of_source(finalists, best.number), best.number))
    if finalists and certificates:
        best = min(finalists, key=lambda record: (record.value, record.number))
        found.append(_step(study.header, STEPS[1], best, _of_source(certificates, best.source), best.source))
    winner = study.winner if study.winner is not None else min(certificates, key=lambda one: one.value, default=None)
    if winner is not None:
        searched = next((trial for trial in trials if trial.number == winner.source), None)
        found.append(_step(study.header, STEPS[2], searched, winner, winner.source))
    return [step for step in found if step is not None]


def over_studies(found: Sequence[Step]) -> Interval:
    """Return the mean factor, minus 1, between what was given and promised: the geometric mean over studies."""
    logs = [step.log_ratio for step in found]
    mean = mean_interval(logs, method="Student t")

    def factor(value: float | None) -> float | None:
        return None if value is None else math.expm1(value)

    method = f"{mean.method} over data sets, of the logarithm"
    return Interval(factor(mean.estimate), factor(mean.low), factor(mean.high), mean.n, method, mean.reason)


def _complete(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.state == "complete"]


def _of_source(records: Sequence[TrialRecord], number: int | None) -> TrialRecord | None:
    return next((record for record in records if record.source == number), None)


def _step(
    header: StudyHeader, name: str, promise: TrialRecord | None, fresh: TrialRecord | None, number: int | None
) -> Step | None:
    if promise is None or fresh is None or number is None:
        return None
    promised, given = mean_loss(header, promise), mean_loss(header, fresh)
    if _rows_differ(fresh) or _is_by_fold(promise):
        difference = recovered_difference(given, promised)
    else:
        fresh_losses, promised_losses = (above_floor(one, loss_bound(header, one)) for one in (fresh, promise))
        difference = bounded_difference(fresh_losses, promised_losses, paired=False)
    return Step(name, number, promised, given, difference)


def mean_loss(header: StudyHeader, record: TrialRecord) -> Interval:
    """Return a record's mean test loss with its interval: over draws, over the means of folds, or over test rows."""
    if _rows_differ(record):
        assert record.ensemble is not None
        words = METRIC_WORDS[record.ensemble["metric"]]
        one = record.ensemble["parts"]["singly"]["test"]["scores"][words.name]
        if one["value"] is None:
            return Interval(None, None, None, one["n_units"], "rows", one["method"])
        ends = [None if end is None else words.as_loss(end) for end in (one["low"], one["high"])]
        low, high = (min(ends), max(ends)) if None not in ends else (None, None)  # type: ignore[type-var]
        return Interval(words.as_loss(one["value"]), low, high, one["n_units"], f"{one['method']}, 95 %")
    if _is_by_fold(record):
        folds: dict[str, list[float]] = {}
        for seed, loss in zip(record.seeds, record.test_loss, strict=True):
            folds.setdefault(seed.rpartition(".")[0], []).append(loss)
        return _not_below_zero(mean_interval([float(np.mean(one)) for one in folds.values()], method="Student t"))
    return bounded_interval(record.test_loss, loss_bound(header, record))


def _not_below_zero(interval: Interval) -> Interval:
    """Return the interval of a loss, which ends at 0."""
    return interval if interval.low is None else dataclasses.replace(interval, low=max(interval.low, 0.0))


def above_floor(record: TrialRecord, bound: float) -> BoundedLosses:
    """Return each draw's test loss above the best possible predictor's, or the plain loss where that is not known.

    `bound` is the largest loss there can be. No loss is below 0: one above a floor is no less than minus that floor.
    """
    floors = record.floor_test_loss or [0.0] * len(record.test_loss)
    pairs = [(loss, floor) for loss, floor in zip(record.test_loss, floors, strict=True) if floor is not None]
    lowest = -max((floor for _, floor in pairs), default=0.0)
    return BoundedLosses([max(loss - floor, lowest) for loss, floor in pairs], bound, lowest)


def _rows_differ(record: TrialRecord) -> bool:
    """Return whether a record is a table's certificate, whose networks all have the same test rows."""
    return record.ensemble is not None and "parts" in record.ensemble


def _is_by_fold(record: TrialRecord) -> bool:
    """Return whether replicas share folds: a table's seeds name them."""
    return any(".fold" in seed for seed in record.seeds)
