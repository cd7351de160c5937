"""What each factor of a full grid does: paired over replicas, at equal everything else.

A study is a grid if its search tried every combination of some factors' levels once, all on the same draws. The effect
of level a against level b of a factor is, in each replica, the mean over all combinations of the other factors of
log(loss with a) - log(loss with b); back on the scale of losses it is a ratio. The replica is the unit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.records.events import Scalar
from analysis.records.study import Study, TrialRecord
from analysis.records.table import is_table
from analysis.statistics.intervals import Interval, holm, mean_interval

FloatArray = npt.NDArray[np.float64]
Measure = Literal["train", "test", "gap"]

LEVEL = 0.05
LEAST_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """A full grid.

    Parameters
    ----------
    factors : dict of str to tuple
        Levels by spec key, both in the order of first appearance.
    trials : dict of tuple to TrialRecord
        By the levels chosen.
    logs : dict of str to ndarray (L_1, ..., L_F, R)
        Natural logarithms of ``"train"`` and ``"test"`` loss at each trial's epoch, and their difference, ``"gap"``.
    """

    factors: Mapping[str, tuple[Scalar, ...]]
    trials: Mapping[tuple[Scalar, ...], TrialRecord]
    logs: Mapping[Measure, FloatArray]


@dataclass(frozen=True, slots=True)
class Effect:
    """Level `a` against level `b` of a factor.

    Parameters
    ----------
    factor : str
        Spec key.
    a, b : scalar
        Levels.
    within : tuple of (key, level), or empty
        The one level of another factor that it is about; empty: all.
    ratio : Interval
        Of the losses, a's to b's: below 1, a is better.
    p_value : float or None
        Two-sided, of no effect, adjusted by Holm among the effects it was computed with; None without an interval.
    """

    factor: str
    a: Scalar
    b: Scalar
    within: tuple[tuple[str, Scalar], ...]
    ratio: Interval
    p_value: float | None

    @property
    def sign(self) -> int:
        """1 if a's loss is shown to be higher, -1 if lower, 0 if that is not decided."""
        if self.p_value is None or self.ratio.estimate is None or self.p_value >= LEVEL:
            return 0
        return 1 if self.ratio.estimate > 1 else -1


@dataclass(frozen=True, slots=True)
class EffectClaim:
    """A finding that somebody has published, to be held against a grid.

    Parameters
    ----------
    words : str
        As it was claimed.
    factor, a, b
        Levels it compares.
    measure : str
        In what.
    sign : int
        1: a's is claimed to be higher; -1: lower.
    note : str
        What the comparison does not hold equal.
    """

    words: str
    factor: str
    a: Scalar
    b: Scalar
    measure: Measure
    sign: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class EffectJudgment:
    """What a grid says about a claim.

    Parameters
    ----------
    claim : Claim
    effect : Effect or None
        Over everything; None where the grid has not both levels.
    verdict : str
        ``"holds"``, ``"holds only under ..."``, ``"does not hold"``, ``"not decided"``, ``"not measured"``.
    """

    claim: EffectClaim
    effect: Effect | None
    verdict: str


CLAIMS: Mapping[str, tuple[EffectClaim, ...]] = MappingProxyType(
    {
        "perceptron": (
            EffectClaim("Adam trains badly", "training.optimizer", "adam", "sgd", "train", 1),
            EffectClaim(
                "Batch size 1 is best",
                "training.batch_size",
                1,
                8,
                "test",
                -1,
                "equal epochs: batch size 1 makes eight times as many updates",
            ),
            EffectClaim("Deeper networks underfit", "network.n_hidden_layers", 4, 1, "train", 1),
            EffectClaim("Deeper networks overfit", "network.n_hidden_layers", 4, 1, "gap", 1),
        ),
    }
)
"""Published findings by kind of data."""


def grid_of(study: Study) -> Grid | None:
    """Return the full grid that a study's search is, or None: not every combination once on the same draws.

    None as well for a table, whose replicas share rows: over them no effect has an interval.
    """
    if is_table(study):
        return None
    trials = [trial for trial in study.trials if trial.source is None]
    if len(trials) < 2 or any(trial.state == "failed" or trial.pruned_at is not None for trial in trials):
        return None
    keys = [key for key in trials[0].params if all(key in trial.params for trial in trials)]
    levels = {key: tuple(dict.fromkeys(trial.params[key] for trial in trials)) for key in keys}
    factors = {key: values for key, values in levels.items() if len(values) > 1}
    cells = {tuple(trial.params[key] for key in factors): trial for trial in trials}
    if not math.prod(map(len, factors.values())) == len(cells) == len(trials):
        return None
    n_replicas = len(trials[0].test_loss)
    losses = [loss for trial in trials for loss in (*trial.train_loss, *trial.test_loss)]
    if len({tuple(trial.seeds) for trial in trials}) > 1 or n_replicas < LEAST_REPLICAS or min(losses) <= 0:
        return None
    shape = (*map(len, factors.values()), n_replicas)
    order = [cells[levels] for levels in itertools.product(*factors.values())]
    train = np.log([trial.train_loss for trial in order]).reshape(shape)
    test = np.log([trial.test_loss for trial in order]).reshape(shape)
    return Grid(factors, cells, {"train": train, "test": test, "gap": test - train})


def effects(grid: Grid, measure: Measure) -> list[Effect]:
    """Return every pair of levels of every factor, over all combinations of the others; Holm among them."""
    pairs = [(key, a, b, ()) for key, values in grid.factors.items() for a, b in itertools.combinations(values, 2)]
    return _measured(grid, measure, pairs)


def turned_round(grid: Grid, measure: Measure, main: Sequence[Effect]) -> list[Effect]:
    """Return the effects that point the other way within one level of another factor, shown so; Holm among all."""
    decided = [effect for effect in main if effect.sign]
    inner = _measured(grid, measure, [pair for one in decided for pair in _within(grid, one.factor, one.a, one.b)])
    signs = {(one.factor, one.a, one.b): one.sign for one in decided}
    return [one for one in inner if one.sign == -signs[one.factor, one.a, one.b]]


def judge(grid: Grid, claims: Sequence[EffectClaim]) -> list[EffectJudgment]:
    """Hold published findings against a grid; Holm among the claims, and among the conditions of each."""
    measurable = [claim for claim in claims if {claim.a, claim.b} <= set(grid.factors.get(claim.factor, ()))]
    raw = [_effect(grid, claim.measure, claim.factor, claim.a, claim.b, ()) for claim in measurable]
    found = dict(zip(measurable, _adjusted(raw), strict=True))
    return [
        EffectJudgment(
            claim, found.get(claim), _verdict(grid, claim, found[claim]) if claim in found else "not measured"
        )
        for claim in claims
    ]


def level_text(key: str, level: Scalar) -> str:
    """Return a level as a reader says it: ``"batch size 8"``."""
    return f"{key.partition('.')[2].removeprefix('n_').replace('_', ' ')} {level}"


def _verdict(grid: Grid, claim: EffectClaim, effect: Effect) -> str:
    inner = _measured(grid, claim.measure, _within(grid, claim.factor, claim.a, claim.b))
    agreeing = [one for one in inner if one.sign == claim.sign]
    against = [one for one in inner if one.sign == -claim.sign]
    if effect.sign == claim.sign and not against:
        return "holds"
    # Where every level of a factor agrees, that factor is no condition.
    open_factors = {one.within[0][0] for one in inner if one.sign != claim.sign}
    only = ", ".join(level_text(*one.within[0]) for one in agreeing if one.within[0][0] in open_factors)
    turned = ", ".join(level_text(*one.within[0]) for one in against)
    if only:
        return f"holds only under {only}" + (f"; the other way round under {turned}" if against else "")
    return "does not hold" if effect.sign == -claim.sign else "not decided"


_Pair = tuple[str, Scalar, Scalar, tuple[tuple[str, Scalar], ...]]


def _within(grid: Grid, factor: str, a: Scalar, b: Scalar) -> list[_Pair]:
    others = [(key, level) for key, values in grid.factors.items() if key != factor for level in values]
    return [(factor, a, b, (other,)) for other in others]


def _measured(grid: Grid, measure: Measure, pairs: Sequence[_Pair]) -> list[Effect]:
    return _adjusted([_effect(grid, measure, *pair) for pair in pairs])


def _adjusted(found: Sequence[Effect]) -> list[Effect]:
    adjusted = holm([effect.p_value for effect in found])
    return [Effect(one.factor, one.a, one.b, one.within, one.ratio, p) for one, p in zip(found, adjusted, strict=True)]


def _effect(
    grid: Grid, measure: Measure, factor: str, a: Scalar, b: Scalar, within: tuple[tuple[str, Scalar], ...]
) -> Effect:
    from scipy.stats import ttest_1samp

    logs = grid.logs[measure]
    keys = [*grid.factors]
    for key, level in within:
        place = grid.factors[key].index(level)
        logs = np.take(logs, [place], axis=keys.index(key))
    axis = keys.index(factor)
    one, other = (np.take(logs, grid.factors[factor].index(level), axis=axis) for level in (a, b))
    differences = (one - other).reshape(-1, logs.shape[-1]).mean(axis=0)
    interval = mean_interval(differences.tolist(), 1 - LEVEL, "Student t")
    p_value = None
    if interval.low is not None:
        p_value = float(ttest_1samp(differences, 0.0).pvalue) if np.ptp(differences) > 0 else None
    ends = [None if end is None else math.exp(end) for end in (interval.estimate, interval.low, interval.high)]
    ratio = Interval(ends[0], ends[1], ends[2], interval.n, f"paired {interval.method} of logarithms", interval.reason)
    return Effect(factor, a, b, within, ratio, p_value)
