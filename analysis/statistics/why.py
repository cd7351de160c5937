"""Which hyperparameters a search can tell to have mattered, and what it leaves to be tried.

A search's trials are no design: its sampler goes where losses are low, first settings are the spec's, and choices come
together. Trials that share most of the winner's other choices are good because of all of them, so none of these
counts for a single one. What is said here is about the other trials of that search. The unit is the trial; arms (a
value, or a range of values) of fewer than `LEAST_ARM` trials are never compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.records.events import Scalar
from analysis.records.space import is_number, space_bounds
from analysis.records.study import Study, TrialRecord
from analysis.statistics.ablation import DEPTH, WIDTHS, Ablation, ablation
from analysis.statistics.comparison import LEAST_TRIALS_IN_ARM
from analysis.statistics.effects import Grid, effects, grid_of
from analysis.statistics.intervals import Interval, difference_p_value, holm, welch_difference
from analysis.statistics.selection import LEAST_TRIALS_FOR_IMPORTANCE, candidates, mean_losses

LEAST_TRIALS = 8
LEAST_ARM = LEAST_TRIALS_IN_ARM
LEVEL = 0.05
MOST_SHARED = 0.5
"""A trial that shares this share of the winner's other choices, or more, says nothing of one of them ..."""
LEAST_CHOICES = 5
"""... where there are so many."""
MOST_VALUES = 5
N_RANGES = 3
LEAST_TRIALS_INSIDE = 40
"""Of fewer trials, a number that does not matter has its lowest or highest value in the winner in more than one search
of twenty: nothing to tell, unless the space ends there."""


@dataclass(frozen=True, slots=True)
class ChoiceArm:
    """The trials that took one value of a hyperparameter, or a value of one range.

    Parameters
    ----------
    low, high : scalar
        The value twice, or the smallest and largest value of the range.
    members : tuple of int
        Positions of its trials.
    """

    low: Scalar
    high: Scalar
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """The winner's arm of a hyperparameter beside another arm.

    Parameters
    ----------
    param : str
        Spec key.
    mine, other : Arm
    ratio : Interval
        Geometric mean of the other arm's test losses over that of the winner's, with its 95 % interval (Welch's t of
        logarithms); above 1, the winner's arm is better.
    lowest : float
        The other arm's lowest mean test loss.
    p_value : float or None
        Of no difference, adjusted by Holm among all comparisons of the search.
    """

    param: str
    mine: ChoiceArm
    other: ChoiceArm
    ratio: Interval
    lowest: float
    p_value: float | None

    @property
    def sign(self) -> int:
        """1 if the winner's arm is shown to be better, -1 if worse, 0 if these trials do not decide."""
        if self.p_value is None or self.ratio.estimate is None or self.p_value >= LEVEL:
            return 0
        return 1 if self.ratio.estimate > 1 else -1


@dataclass(frozen=True, slots=True)
class Edge:
    """A hyperparameter whose winning value is the lowest or highest that was tried.

    Parameters
    ----------
    param : str
    value : float
    side : str
        ``"lowest"`` or ``"highest"``.
    n : int
        Trials that have it.
    limit : float or None
        Where the space ends, if the value is there; None if it is inside, or the space is not known.
    """

    param: str
    value: float
    side: str
    n: int
    limit: float | None = None


def n_comparable(study: Study) -> int:
    """Return how many trials compare: complete, not pruned, no repetitions, on the draws that all share."""
    return len(_comparable(study)[0])


def comparisons(study: Study, winner: TrialRecord) -> list[ArmComparison]:
    """Return the winner's arm beside every other arm of every hyperparameter, where both have enough trials."""
    trials, losses = _comparable(study)
    if len(trials) < LEAST_TRIALS or min(losses) <= 0:
        return []
    if (grid := grid_of(study)) is not None:
        return _grid_comparisons(grid, winner)
    apart = _apart(trials, winner)
    trials, losses = [trials[i] for i in apart], [losses[i] for i in apart]
    if len(trials) < LEAST_TRIALS:
        return []
    logs = np.log(losses)
    found: list[tuple[str, ChoiceArm, ChoiceArm]] = []
    for param in dict.fromkeys(key for trial in trials for key in trial.params):
        arms = arms_of(trials, param)
        mine = next((arm for arm in arms if _holds(arm, winner.params.get(param))), None)
        if mine is not None and len(mine.members) >= LEAST_ARM:
            found += [(param, mine, arm) for arm in arms if arm is not mine and len(arm.members) >= LEAST_ARM]
    ratios = [_ratio(logs[list(other.members)], logs[list(mine.members)]) for _, mine, other in found]
    adjusted = holm([p for _, p in ratios])
    return [
        ArmComparison(param, mine, other, ratio, float(min(losses[i] for i in other.members)), p)
        for (param, mine, other), (ratio, _), p in zip(found, ratios, adjusted, strict=True)
    ]


def _grid_comparisons(grid: Grid, winner: TrialRecord) -> list[ArmComparison]:
    """Return the same of a full grid: its own effects, paired over replicas at equal everything else."""
    means = {levels: float(np.mean(trial.test_loss)) for levels, trial in grid.trials.items()}
    places = {key: i for i, key in enumerate(grid.factors)}

    def arm(key: str, level: Scalar) -> ChoiceArm:
        return ChoiceArm(level, level, tuple(i for i, levels in enumerate(grid.trials) if levels[places[key]] == level))

    found = []
    for effect in effects(grid, "test"):
        level = winner.params.get(effect.factor)
        if level not in (effect.a, effect.b):
            continue
        other, ratio = (effect.a, effect.ratio) if level == effect.b else (effect.b, _turned(effect.ratio))
        lowest = min(mean for levels, mean in means.items() if levels[places[effect.factor]] == other)
        one = ArmComparison(
            effect.factor, arm(effect.factor, level), arm(effect.factor, other), ratio, lowest, effect.p_value
        )
        found.append(one)
    return found


def _turned(ratio: Interval) -> Interval:
    estimate, low, high = (None if end is None else 1 / end for end in (ratio.estimate, ratio.high, ratio.low))
    return Interval(estimate, low, high, ratio.n, ratio.method, ratio.reason)


def arms_of(trials: Sequence[TrialRecord], param: str) -> list[ChoiceArm]:
    """Return the arms of a hyperparameter: its values, or ranges of equally many trials where numbers are many.

    Trials that do not have the param (a layer, a penalty's rate) belong to none.
    """
    there = [i for i, trial in enumerate(trials) if param in trial.params]
    values: dict[Scalar, list[int]] = {}
    for i in there:
        values.setdefault(trials[i].params[param], []).append(i)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numeric:
        return [ChoiceArm(value, value, tuple(members)) for value, members in values.items()]
    order = sorted(values, key=lambda value: float(value or 0))
    if len(order) <= MOST_VALUES:
        return [ChoiceArm(value, value, tuple(values[value])) for value in order]
    arms: list[ChoiceArm] = []
    n_left, first = len(there), 0
    for k in range(N_RANGES, 0, -1):
        # Equal values stay together, so the ranges only come near to equally many trials.
        members: list[int] = []
        end = first
        while end < len(order) and (k == 1 or not members or len(members) < n_left / k):
            members += values[order[end]]
            end += 1
        if members:
            arms.append(ChoiceArm(order[first], order[end - 1], tuple(members)))
        n_left, first = n_left - len(members), end
    return arms


def edges(study: Study, winner: TrialRecord) -> list[Edge]:
    """Return where the winner's number is the lowest or highest of those tried, by enough trials.

    Layers whose units are at the same end of the space are one edge, the first layer's. Left out is what nothing lies
    beyond (one unit, one example a batch, no noise; without a hidden layer it is another model, a linear one), and
    where the winner's ablation has tried the way on: it tells what is there.
    """
    found: dict[tuple[str, str, float | None], Edge] = {}
    bounds = space_bounds(study)
    tried_on = ablation(study, winner)
    for param, value in winner.params.items():
        tried = [trial.params[param] for trial in study.trials if param in trial.params]
        numbers = [float(one) for one in tried if is_number(one)]
        if not is_number(value) or len(numbers) < LEAST_TRIALS or min(numbers) == max(numbers):
            continue
        side = "lowest" if value <= min(numbers) else "highest" if value >= max(numbers) else ""
        if not side or (side == "lowest" and _is_least(value)) or _went_on(tried_on, param, side):
            continue
        within = bounds.of(param, winner.params)
        limit = None if within is None or not within.ends_at(value, side) else within.end(side)
        if limit is not None or len(numbers) >= LEAST_TRIALS_INSIDE:
            key = WIDTHS if param.startswith(f"{WIDTHS}.") else param
            found.setdefault((key, side, limit), Edge(param, float(value), side, len(numbers), limit))
    return list(found.values())


def _is_least(value: float) -> bool:
    """Return whether no lower value means anything: a count of 1, a rate or a share of 0."""
    return value <= 0 or (isinstance(value, int) and value == 1)


def _went_on(found: Ablation | None, param: str, side: str) -> bool:
    """Return whether a change of the winner took a hyperparameter farther the same way, and was measured."""
    if found is None:
        return False
    key = WIDTHS if param == DEPTH or param.startswith(f"{WIDTHS}.") else param
    before = found.base.params.get(param)
    for one in found.changes:
        after = one.record.params.get(param)
        if one.param != key or one.reason is not None or not (is_number(before) and is_number(after)):
            continue
        if (after < before) if side == "lowest" else (after > before):
            return True
    return False


def importance_is_weak(study: Study) -> bool:
    """Return whether the search has too few trials for the importance of its hyperparameters."""
    return n_comparable(study) < LEAST_TRIALS_FOR_IMPORTANCE


def _comparable(study: Study) -> tuple[list[TrialRecord], list[float]]:
    data = candidates([trial for trial in study.trials if trial.pruned_at is None])
    return ([], []) if data is None else (list(data.records), mean_losses(data.test).tolist())


def _apart(trials: Sequence[TrialRecord], winner: TrialRecord) -> list[int]:
    """Return the positions of the trials that share less than `MOST_SHARED` of the winner's choices.

    A number is shared where both lie in one arm; widths of layers are no choices of their own here.
    """
    keys = [key for key in winner.params if "hidden_layer_size" not in key and not key.startswith("network.hidden")]
    if len(keys) < LEAST_CHOICES:
        return list(range(len(trials)))
    shared = np.zeros(len(trials))
    for key in keys:
        mine = next((arm for arm in arms_of(trials, key) if _holds(arm, winner.params[key])), None)
        if mine is not None:
            shared[list(mine.members)] += 1
    return np.flatnonzero(shared / len(keys) < MOST_SHARED).tolist()


def _holds(arm: ChoiceArm, value: Scalar) -> bool:
    if value is None or isinstance(value, str | bool):
        return arm.low == value
    return isinstance(arm.low, int | float) and isinstance(arm.high, int | float) and arm.low <= value <= arm.high


def _ratio(other: npt.NDArray[np.float64], mine: npt.NDArray[np.float64]) -> tuple[Interval, float | None]:
    """Return the ratio of geometric means with Welch's interval, and the p-value of no difference."""
    difference = welch_difference(other, mine)
    estimate, low, high = (
        None if end is None else math.exp(end) for end in (difference.estimate, difference.low, difference.high)
    )
    n = len(other) + len(mine)
    ratio = Interval(estimate, low, high, n, f"{difference.method} of logarithms", difference.reason)
    return ratio, difference_p_value(other, mine, paired=False)
