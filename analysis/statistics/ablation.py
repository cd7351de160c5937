"""What one change of a winner does: the winner and each change of it on the same fresh draws, compared in pairs.

Unlike what a search's trials tell, this is an experiment: all but one hyperparameter is held, so that a difference is
the change's doing. It speaks of changes from this winner, one at a time, at its epoch; what two changes do together it
does not know.

Three questions are asked of each change, in range, out of range, and of the goal: by how much the loss of a typical
draw changes (the median of the paired differences, with the interval of the order statistics) and whether other draws
pass (McNemar's exact test). Both hold under any law of the losses, stuck and diverged draws included, which a mean of
so few draws cannot. With m changes each is held at level 0.05 / (3 m), so that all that is told of a study is right
in 95 of 100 studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.records.events import Scalar
from analysis.records.study import Study, TrialRecord
from analysis.statistics.homework import LEAST_POINTS, few_points, n_passed
from analysis.statistics.intervals import Interval
from analysis.statistics.verdicts import median_interval

LEVEL = 0.05
N_QUESTIONS = 3
WIDTHS, DEPTH = "network.hidden_layer_sizes", "network.n_hidden_layers"


@dataclass(frozen=True, slots=True)
class PassCount:
    """How many draws reach the goal, before a change and after it.

    Parameters
    ----------
    before, after : int
        Draws that pass with the winner and with the change.
    n : int
        Draws.
    p_value : float
        Of equal pass rates: McNemar's exact test, two-sided, not adjusted.
    """

    before: int
    after: int
    n: int
    p_value: float


@dataclass(frozen=True, slots=True)
class OneChange:
    """The winner with one hyperparameter changed, against the winner.

    Parameters
    ----------
    param : str
        Spec key of what was changed; ``"network.hidden_layer_sizes"`` for widths.
    before, after : scalar
        Its value; widths as text, ``"8, 8"``.
    along : tuple of (str, scalar or None, scalar or None)
        What came, went or moved with it: spec key, value before (None: not there) and after.
    epochs : int or None
        Where it was measured, if not at the winner's epoch.
    reason : str or None
        Why it was not measured, else None.
    in_range, out_of_range : Interval
        Median over draws of its loss minus the winner's there; above 0 it is worse.
    passes : PassCount or None
        None where it was not measured.
    level : float
        At which each of the three is held.
    record : TrialRecord
        Behind it.
    """

    param: str
    before: Scalar
    after: Scalar
    along: tuple[tuple[str, Scalar, Scalar], ...]
    epochs: int | None
    reason: str | None
    in_range: Interval
    out_of_range: Interval
    passes: PassCount | None
    level: float
    record: TrialRecord

    @property
    def in_range_sign(self) -> int:
        """1 if it is shown to be worse in range, -1 if better, 0 if neither is shown."""
        return sign_of(self.in_range)

    @property
    def out_of_range_sign(self) -> int:
        """The same out of range."""
        return sign_of(self.out_of_range)

    @property
    def pass_sign(self) -> int:
        """1 if fewer draws are shown to reach the goal, -1 if more, 0 if neither is shown."""
        if self.passes is None or self.passes.p_value > self.level:
            return 0
        return 1 if self.passes.after < self.passes.before else -1

    @property
    def matters(self) -> bool:
        """Whether it is shown to change anything about reaching the goal: the loss in range or who passes."""
        return bool(self.in_range_sign or self.pass_sign)


@dataclass(frozen=True, slots=True)
class Ablation:
    """A winner and its changes.

    Parameters
    ----------
    base : TrialRecord
        The winner on the ablation's draws.
    changes : tuple of OneChange
        In the order of the space.
    level : float
        At which each of the three questions of each change is held.
    """

    base: TrialRecord
    changes: tuple[OneChange, ...]
    level: float

    @property
    def n(self) -> int:
        """Draws that all of them share."""
        return len(self.base.seeds)

    @property
    def told(self) -> list[OneChange]:
        """The changes that are shown to matter, the largest difference in range first."""
        mattering = [one for one in self.changes if one.matters]
        return sorted(mattering, key=lambda one: -abs(one.in_range.estimate or 0.0))

    @property
    def rest(self) -> list[OneChange]:
        """The measured changes that are not shown to matter."""
        return [one for one in self.changes if one.reason is None and not one.matters]


def sign_of(interval: Interval) -> int:
    """Return 1 if an interval is above 0, -1 if below, 0 if neither or if there is none."""
    if interval.low is None or interval.high is None:
        return 0
    return 1 if interval.low > 0.0 else -1 if interval.high < 0.0 else 0


def ablation_of(study: Study, winner: TrialRecord | None, before: int | None = None) -> tuple[TrialRecord, ...] | None:
    """Return a winner's ablation: its record there and those of its changes; None where there is none that ended.

    Parameters
    ----------
    study : Study
    winner : TrialRecord or None
        Of any stage: an ablation is its own if it begins with the very same network and training.
    before : int or None
        Only those of looks before this one.
    """
    if winner is None:
        return None
    for look in sorted((one for one in study.looks if one.stage == "ablation"), key=lambda one: -one.number):
        if before is not None and look.number >= before:
            continue
        records = study.records_of("ablation", look.number)
        if records and len(records) >= look.n_records and _same(records[0], winner):
            return tuple(records)
    return None


def ablation(study: Study, winner: TrialRecord | None) -> Ablation | None:
    """Return what one change of a winner does; None where that was not measured."""
    records = ablation_of(study, winner)
    if records is None:
        return None
    base, others = records[0], records[1:]
    if base.state == "failed" or not others:
        return None
    level = LEVEL / (N_QUESTIONS * len(others))
    return Ablation(base, tuple(_change(study, base, one, level) for one in others), level)


def _same(one: TrialRecord, other: TrialRecord) -> bool:
    return one.network == other.network and one.training == other.training and one.epochs == other.epochs


def _change(study: Study, base: TrialRecord, record: TrialRecord, level: float) -> OneChange:
    param, before, after, along = difference(base, record)
    if record.state == "failed":
        nothing = Interval(None, None, None, 0, "", record.reason or "failed")
        reason = f"not measured: {nothing.reason}"
        return OneChange(param, before, after, along, None, reason, nothing, nothing, None, level, record)
    return OneChange(
        param,
        before,
        after,
        along,
        None if record.epochs == base.epochs else record.epochs,
        None,
        _median(record.in_range_loss, base.in_range_loss, base.n_in_range, "in range", level),
        _median(record.out_of_range_loss, base.out_of_range_loss, base.n_out_of_range, "out of range", level),
        _pass_count(study.header.goal, base, record),
        level,
        record,
    )


def difference(
    base: TrialRecord, record: TrialRecord
) -> tuple[str, Scalar, Scalar, tuple[tuple[str, Scalar, Scalar], ...]]:
    """Return what was changed, its value before and after, and what came along: see `OneChange`."""
    there, here = _with_widths(base), _with_widths(record)
    changed = record.changed or ""
    if changed == DEPTH:  # the layers' widths say it: "8, 8" to "8"
        changed = WIDTHS
    along = tuple(
        (key, there.get(key), here.get(key))
        for key in dict.fromkeys([*there, *here])
        if key not in (changed, DEPTH) and there.get(key) != here.get(key)
    )
    return changed, there.get(changed), here.get(changed), along


def _with_widths(record: TrialRecord) -> dict[str, Scalar]:
    """Return a record's params with the widths of all layers as one text, where they are searched."""
    params: dict[str, Scalar] = {}
    for key, value in record.params.items():
        if key.startswith(f"{WIDTHS}."):
            continue
        params[key] = value
        if key == DEPTH:
            params[WIDTHS] = ", ".join(map(str, record.network["hidden_layer_sizes"])) or "none"
    return params


def _median(
    losses: Sequence[float | None], base: Sequence[float | None], n_points: Sequence[int], side: str, level: float
) -> Interval:
    if sum(n_points) < LEAST_POINTS:
        return Interval(None, None, None, 0, "", few_points(sum(n_points), side))
    pairs = [x - y for x, y in zip(losses, base, strict=True) if x is not None and y is not None]
    return median_interval(pairs, 1.0 - level)


def _pass_count(goal: float, base: TrialRecord, record: TrialRecord) -> PassCount:
    lost = gained = 0
    for (a, b), (c, d) in zip(
        zip(base.train_loss, base.test_loss, strict=True), zip(record.train_loss, record.test_loss, strict=True),
        strict=True,
    ):  # fmt: skip
        before, after = a < goal and b < goal, c < goal and d < goal
        lost += before and not after
        gained += after and not before
    return PassCount(n_passed(base, goal), n_passed(record, goal), len(base.seeds), mcnemar_p_value(lost, gained))


def mcnemar_p_value(lost: int, gained: int) -> float:
    """Return the exact two-sided p-value of as many losses as gains: a coin's, for the pairs that differ.

    References
    ----------
    Q. McNemar, Psychometrika 12 (1947) 153-157; exact by the binomial law.
    """
    n = lost + gained
    return 1.0 if n == 0 else min(1.0, 2.0 * float(special.bdtr(min(lost, gained), n, 0.5)))


def largest_of_rest(one: Ablation) -> float | None:
    """Return what the changes that are not shown to matter stay below in range, all at once; None where unknown."""
    ends = [abs(end) for change in one.rest for end in (change.in_range.low, change.in_range.high) if end is not None]
    complete = all(change.in_range.low is not None for change in one.rest)
    return max(ends) if ends and complete and np.isfinite(ends).all() else None
