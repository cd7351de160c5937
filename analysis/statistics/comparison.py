"""Sweeps against each other on the same dataset, and the arms of one search (its activations, its optimizers, ...)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from analysis.records.study import Study, TrialRecord
from analysis.records.table import is_table
from analysis.statistics.bounded import SHARED_ROWS, bounded_interval, find_ends, loss_bound
from analysis.statistics.differences import BoundedLosses, bounded_difference, bounded_p_value, paired_p_values
from analysis.statistics.homework import LEAST_POINTS, few_points, winner_record
from analysis.statistics.intervals import Interval, holm
from analysis.statistics.selection import LEAST_REPLICAS_FOR_PRICE, Candidates, candidates, chosen_by_other_half
from analysis.statistics.verdicts import share_interval

MEASURES = MappingProxyType(
    {"test_loss": "test loss", "in_range_loss": "loss in range", "out_of_range_loss": "loss out of range"}
)
MOST_ARMS = 12
LEAST_TRIALS_IN_ARM = 3
"""Fewer say what one setting gives, not what a choice does: such arms are not ranked."""


NOT_PAIRED = Interval(None, None, None, 0, "", "they share no draws")


@dataclass(frozen=True, slots=True)
class Difference:
    """One quantity in two arms.

    Parameters
    ----------
    first, second : int
        Positions of the two arms among what was compared.
    measure : str
        Key of `MEASURES`.
    difference : Interval
        First minus second; its `method` tells whether replicas were paired.
    p_value : float or None
        Two-sided, of no difference; None where there is no interval.
    lower_on : Interval
        Share of replicas on which the first is lower, of those that pair: exact under any law, and of the order on each
        draw alone, not of means.
    adjusted : float or None
        The p-value after Holm, over all comparisons of the family.
    """

    first: int
    second: int
    measure: str
    difference: Interval
    p_value: float | None
    lower_on: Interval = NOT_PAIRED
    adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """The trials of one search that made one choice, and what choosing among them gives.

    Parameters
    ----------
    choice : str
        Value of the hyperparameter.
    n_trials : int
        Trials that made it.
    number : int
        The trial with the lowest mean test loss among them.
    losses : dict of str to ndarray (R,)
        By key of `MEASURES`, the loss of each replica; see `arms`. NaN where it has no point on that side.
    bound : float or None
        Largest loss there can be in the trials that are judged; None where replicas share rows, and nothing has an
        interval.
    """

    choice: str
    n_trials: int
    number: int
    losses: dict[str, npt.NDArray[np.float64]]
    bound: float | None

    def interval(self, measure: str) -> Interval:
        """Return the mean over replicas with its 95 % interval."""
        losses = self.losses[measure]
        return _mean_alone(losses) if self.bound is None else bounded_interval(losses, self.bound)

    def bounded(self, measure: str) -> BoundedLosses | None:
        """Return the losses with what bounds them; None where replicas share rows."""
        return None if self.bound is None else BoundedLosses(self.losses[measure], self.bound)


@dataclass(frozen=True, slots=True)
class ArmSet:
    """All arms of one hyperparameter in one search.

    Parameters
    ----------
    param : str
        Spec key.
    arms : tuple of Arm
        The lowest mean test loss first.
    differences : tuple of Difference
        All pairs of arms; p-values adjusted over the pairs of each measure.
    """

    param: str
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]


def winner_differences(studies: Sequence[Study]) -> list[Difference]:
    """Return the differences between the winners of studies of the same dataset, every pair, every measure.

    Replicas pair where both winners were measured on the very same draws (equal seeds and data). Every loss is known to
    be at most its record's bound. p-values are adjusted over all comparisons that are returned.
    """
    records = [winner_record(study) for study in studies]
    result: list[Difference] = []
    for i, j in itertools.combinations(range(len(studies)), 2):
        first, second = records[i], records[j]
        a, b = studies[i].header, studies[j].header
        if first is None or second is None or a.dataset != b.dataset:
            continue
        paired = first.seeds == second.seeds and a.data == b.data
        for measure in MEASURES:
            reason = _of_tables(studies[i], studies[j]) or _other_losses((first, second))
            reason = reason or _too_few((first, second), measure)
            if reason is not None:
                result.append(Difference(i, j, measure, Interval(None, None, None, 0, "", reason), None))
                continue
            sides = [
                BoundedLosses(getattr(record, measure), loss_bound(header, record))
                for header, record in ((a, first), (b, second))
            ]
            result.append(_difference(i, j, measure, sides[0], sides[1], paired=paired))
    return _adjusted(result)


def arms(study: Study, least: int = LEAST_TRIALS_IN_ARM) -> list[ArmSet]:
    """Return the arms of every hyperparameter of a search that is a choice among names, of at least `least` trials.

    An arm's loss in a replica is that of its trial with the lowest mean test loss over the other *half* of the replicas
    (see `analysis.statistics.selection.halves`): choosing inside an arm does not flatter it. All trials of a search
    share their draws, so arms compare in pairs.
    """
    data = candidates(study.trials)
    if data is None or data.test.shape[1] < LEAST_REPLICAS_FOR_PRICE:
        return []
    bounds = None if is_table(study) else np.array([loss_bound(study.header, one) for one in data.records])
    result = []
    for param in sorted({key for record in data.records for key in record.params}):
        values = [record.params.get(param) for record in data.records]
        counts = Counter(value for value in values if isinstance(value, str))
        names = sorted(value for value, n in counts.items() if n >= least)
        if not 2 <= len(names) <= MOST_ARMS or any(not isinstance(value, str | None) for value in values):
            continue
        found = [_arm(data, name, np.array([i for i, v in enumerate(values) if v == name]), bounds) for name in names]
        found.sort(key=lambda arm: (float(arm.losses["test_loss"].mean()), arm.choice))
        result.append(ArmSet(param, tuple(found), tuple(_arm_differences(found))))
    means = [(one.losses[key], one.bound, 0.0) for arm_set in result for one in arm_set.arms for key in MEASURES]
    find_ends((losses, bound, lowest) for losses, bound, lowest in means if bound is not None)
    return result


def _arm(data: Candidates, choice: str, members: npt.NDArray[np.int64], bounds: npt.NDArray[np.float64] | None) -> Arm:
    chosen = members[chosen_by_other_half(data.test[members])]
    replicas = np.arange(data.test.shape[1])
    best = members[int(np.argmin(data.test[members].mean(axis=1)))]
    losses = {
        "test_loss": data.test[chosen, replicas],
        "in_range_loss": data.in_range[chosen, replicas],
        "out_of_range_loss": data.out_of_range[chosen, replicas],
    }
    return Arm(
        choice, len(members), data.records[best].number, losses, None if bounds is None else float(bounds[chosen].max())
    )


def _arm_differences(found: Sequence[Arm]) -> list[Difference]:
    pairs = list(itertools.combinations(range(len(found)), 2))
    asked = [(i, j, measure) for measure in MEASURES for i, j in pairs]
    both = [
        (a, b)
        for i, j, measure in asked
        if (a := found[i].bounded(measure)) is not None and (b := found[j].bounded(measure)) is not None
    ]
    if len(both) < len(asked):
        return [_difference_alone(i, j, measure, found[i], found[j]) for i, j, measure in asked]
    told = [
        Difference(i, j, measure, bounded_difference(a, b, paired=True), p, _lower_on(a, b))
        for (i, j, measure), (a, b), p in zip(asked, both, paired_p_values(both), strict=True)
    ]
    return [one for measure in MEASURES for one in _adjusted([one for one in told if one.measure == measure])]


def _difference(
    first: int, second: int, measure: str, a: BoundedLosses, b: BoundedLosses, *, paired: bool
) -> Difference:
    interval = bounded_difference(a, b, paired=paired)
    lower_on = _lower_on(a, b) if paired else NOT_PAIRED
    return Difference(first, second, measure, interval, bounded_p_value(a, b, paired=paired), lower_on)


def _difference_alone(i: int, j: int, measure: str, first: Arm, second: Arm) -> Difference:
    """Return the difference of two arms whose replicas share rows, without an interval."""
    alone = _mean_alone(first.losses[measure] - second.losses[measure])
    return Difference(i, j, measure, alone, None, Interval(None, None, None, 0, "", SHARED_ROWS))


def _lower_on(a: BoundedLosses, b: BoundedLosses) -> Interval:
    pairs = [(x, y) for x, y in zip(a.values, b.values, strict=True) if x is not None and y is not None]
    differences = np.array([x - y for x, y in pairs], np.float64)
    there = differences[~np.isnan(differences)]
    return share_interval((1.0 - np.sign(there)) / 2.0)


def _mean_alone(losses: npt.NDArray[np.float64]) -> Interval:
    """Return the mean of losses whose replicas share rows."""
    there = losses[~np.isnan(losses)]
    return Interval(float(there.mean()) if len(there) else None, None, None, len(there), "", SHARED_ROWS)


def _adjusted(differences: list[Difference]) -> list[Difference]:
    adjusted = holm([one.p_value for one in differences])
    return [replace(one, adjusted=p) for one, p in zip(differences, adjusted, strict=True)]


def _of_tables(*studies: Study) -> str | None:
    """Return why winners of tables are not compared by their networks, or None where none is of a table."""
    return f"not compared: {SHARED_ROWS}" if any(is_table(study) for study in studies) else None


def _other_losses(records: Sequence[TrialRecord]) -> str | None:
    """Return why losses of two kinds are not compared, or None where they are of one."""
    names = [str(record.training.get("loss", "half_squared_error")) for record in records]
    return None if len({*names}) == 1 else f"not compared: {' against '.join(names)}"


def _too_few(records: Sequence[TrialRecord], measure: str) -> str | None:
    """Return why a side of the range is not compared, or None where it can be."""
    fields = {"in_range_loss": "n_in_range", "out_of_range_loss": "n_out_of_range"}
    if measure not in fields:
        return None
    n = min(sum(getattr(record, fields[measure])) for record in records)
    return None if n >= LEAST_POINTS else few_points(n, "in range" if measure == "in_range_loss" else "out of range")
