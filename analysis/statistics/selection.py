"""Which trial to choose when nobody knows the loss out of range, and what not knowing costs.

Only search trials on the draws that all trials share are compared (repetitions of a setting have draws of their own),
so that any two trials have seen the same data in replica r and compare in pairs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from analysis.records.events import Scalar
from analysis.records.study import TrialRecord
from analysis.statistics.bounded import SHARED_ROWS
from analysis.statistics.differences import BoundedLosses, bounded_difference
from analysis.statistics.homework import LEAST_POINTS
from analysis.statistics.intervals import Interval
from analysis.statistics.resampling import rank_correlation_interval

FloatArray = npt.NDArray[np.float64]
Side = Literal["in_range", "out_of_range"]

LEAST_REPLICAS_FOR_PRICE = 4
LEAST_TRIALS_FOR_IMPORTANCE = 40
LEAST_TRIALS_FOR_CORRELATION = 8
MOST_TRIALS_FOR_IMPORTANCE = 1000
LEAST_EXPLAINED = 0.1
N_FOLDS = 5
N_TREES = 30
N_SHUFFLES = 5
EVALUATOR = "permutation importance of extremely randomized trees, 5-fold"


@dataclass(frozen=True, slots=True)
class Candidates:
    """The trials that compare, as arrays; T trials, R replicas.

    Parameters
    ----------
    records : tuple of TrialRecord, length T
        By number.
    train, test, in_range, out_of_range : ndarray (T, R)
        Losses; NaN where a replica has no point on that side.
    n_parameters : ndarray (T,)
        Weights and biases of each network.
    """

    records: tuple[TrialRecord, ...]
    train: FloatArray
    test: FloatArray
    in_range: FloatArray
    out_of_range: FloatArray
    n_parameters: npt.NDArray[np.int64]


Choose = Callable[[Candidates, npt.NDArray[np.int64]], int]


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """A way to choose one trial.

    Parameters
    ----------
    name, title : str
        Key and what a reader is told.
    choose : callable
        ``choose(candidates, replicas)``: index of the trial, judged by these replicas only.
    oracle : bool
        Whether it looks at the out-of-range loss: never available to a search.
    """

    name: str
    title: str
    choose: Choose
    oracle: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What one rule chooses.

    Parameters
    ----------
    rule : ChoiceRule
    record : TrialRecord
        Chosen by all replicas.
    n_parameters : int
        Of its network.
    price : Interval
        Out-of-range loss of the rule minus that of the oracle. Half of the replicas is judged by what the other half
        chooses, and the other way round, so that neither is judged on what it was chosen by; the unit is the replica.
    """

    rule: ChoiceRule
    record: TrialRecord
    n_parameters: int
    price: Interval


@dataclass(frozen=True, slots=True)
class Correlation:
    """Rank correlation of mean in-range and mean out-of-range loss over a group of trials.

    Parameters
    ----------
    by : str
        ``"all"``, ``"activation"`` or ``"depth"``.
    group : str
        ``"all trials"``, the activation, or the number of hidden layers.
    rank_correlation : Interval
        Over trials.
    """

    by: str
    group: str
    rank_correlation: Interval


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the loss on one side hangs on one hyperparameter.

    Parameters
    ----------
    param : str
        Spec key.
    share : float
        By how much shuffling it raises the squared error of held-out predictions of the log loss, as a share of the
        log loss's variance; about 0 for one that does not matter.
    standard_error : float
        Over the folds.
    """

    param: str
    share: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Importances:
    """Importances on one side, or why there are none.

    Parameters
    ----------
    side : str
        ``"in_range"`` or ``"out_of_range"``.
    rows : tuple of Importance
        Largest first; empty where `reason` says why.
    explained : float or None
        Share of the log loss's variance that held-out predictions explain.
    n : int
        Trials.
    reason : str or None
    """

    side: Side
    rows: tuple[Importance, ...]
    explained: float | None
    n: int
    reason: str | None


def candidates(records: Sequence[TrialRecord]) -> Candidates | None:
    """Return the complete search trials on the shared draws, or None where there is none.

    A trial with a training or test loss that is not a finite number compares with nothing; on one side of the range
    such a loss counts as not measured, as do those over fewer than `LEAST_POINTS` points there.
    """
    usable = [
        r
        for r in records
        if r.stage == "search"
        and r.state == "complete"
        and r.source is None
        and all(map(math.isfinite, (*r.train_loss, *r.test_loss)))
    ]
    usable = sorted((r for r in usable if r.seeds == usable[0].seeds), key=lambda record: record.number)
    if not usable:
        return None

    def table(name: str) -> FloatArray:
        losses = np.array([getattr(record, name) for record in usable], dtype=np.float64)  # None becomes NaN
        return np.where(np.isfinite(losses), losses, math.nan)

    def side(name: str) -> FloatArray:
        enough = np.array([sum(getattr(record, f"n_{name}")) >= LEAST_POINTS for record in usable])
        return np.where(enough[:, None], table(f"{name}_loss"), math.nan)

    return Candidates(
        tuple(usable),
        table("train_loss"),
        table("test_loss"),
        side("in_range"),
        side("out_of_range"),
        np.array([n_parameters(record.network) for record in usable], np.int64),
    )


def n_parameters(network: Mapping[str, Any]) -> int:
    """Return the number of weights and biases of a record's network."""
    sizes = [network["n_inputs"], *network["hidden_layer_sizes"], network["n_outputs"]]
    return sum((int(fan_in) + 1) * int(fan_out) for fan_in, fan_out in pairwise(sizes))


def mean_losses(losses: FloatArray) -> FloatArray:
    """Return each trial's mean over the replicas that were measured, (T, R) to (T,); infinite without any."""
    return _means(losses, np.arange(losses.shape[1]))


def _means(losses: FloatArray, replicas: npt.NDArray[np.int64]) -> FloatArray:
    """Return each trial's mean over those replicas that were measured; infinite without any."""
    part = losses[:, replicas]
    there = ~np.isnan(part)
    n = there.sum(axis=1)
    total = np.where(there, part, 0.0).sum(axis=1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.inf), np.float64)


def halves(replicas: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return ``(judges, judged)`` twice: every other replica chooses, the rest is what the choice is judged on.

    Each replica is judged once, by a choice in which it had no part, so that choosing the best of many does not
    flatter. Leaving out one replica at a time would do that as well, but the choices then hang on nearly the same
    replicas as the judgement of their neighbors: the replicas are no longer independent, and a nominal 95 % interval
    holds the truth far too seldom (``benchmarks/interval_coverage.py`` measures both; `docs/intervals.md`).
    """
    even, odd = replicas[::2], replicas[1::2]
    return [(odd, even), (even, odd)]


def chosen_by_other_half(losses: FloatArray) -> npt.NDArray[np.int64]:
    """Return for each replica the trial with the lowest mean loss over the other half of them, (T, R) to (R,)."""
    chosen = np.empty(losses.shape[1], np.int64)
    for judges, judged in halves(np.arange(losses.shape[1])):
        chosen[judged] = np.argmin(_means(losses, judges))
    return chosen


def _lowest(name: str) -> Choose:
    def choose(data: Candidates, replicas: npt.NDArray[np.int64]) -> int:
        return int(np.argmin(_means(getattr(data, name), replicas)))

    return choose


def _one_standard_error(data: Candidates, replicas: npt.NDArray[np.int64]) -> int:
    """Choose the fewest parameters within one standard error of the lowest mean test loss (Breiman et al., 1984)."""
    means = _means(data.test, replicas)
    best = int(np.argmin(means))
    spread = data.test[best, replicas].std(ddof=1) if len(replicas) > 1 else 0.0
    near = np.flatnonzero(means <= means[best] + spread / math.sqrt(len(replicas)))
    order = np.lexsort((means[near], data.n_parameters[near]))
    return int(near[order[0]])


ORACLE = ChoiceRule("oracle", "lowest out-of-range loss (oracle)", _lowest("out_of_range"), oracle=True)
RULES: Mapping[str, ChoiceRule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            ChoiceRule("test", "lowest test loss", _lowest("test")),
            ChoiceRule("in_range", "lowest in-range loss", _lowest("in_range")),
            ChoiceRule("training", "lowest training loss", _lowest("train")),
            ChoiceRule(
                "simplest", "fewest parameters within one standard error of the lowest test loss", _one_standard_error
            ),
            ORACLE,
        )
    }
)


def choices(data: Candidates, bounds: FloatArray | None) -> list[Choice]:
    """Return what every rule chooses and what it costs out of range, in the order of `RULES`.

    `bounds`, (T,), are the largest losses there can be in each of the trials; None: no price has an interval, as the
    replicas share rows.
    """
    everyone = np.arange(data.test.shape[1])
    result = []
    for rule in RULES.values():
        i = rule.choose(data, everyone)
        result.append(
            Choice(rule, data.records[i], int(data.n_parameters[i]), price_of_not_knowing(data, rule, bounds))
        )
    return result


def price_of_not_knowing(data: Candidates, rule: ChoiceRule, bounds: FloatArray | None) -> Interval:
    """Return the out-of-range loss of a rule minus that of the oracle, with a 95 % interval over replicas.

    Parameters
    ----------
    data : Candidates
    rule : ChoiceRule
        For the oracle itself the price is 0, without an interval.
    bounds : ndarray (T,) or None
        Largest loss there can be in each of the trials; None where replicas share rows.

    Returns
    -------
    Interval
        Without ends for fewer than `LEAST_REPLICAS_FOR_PRICE` replicas with points out of range.
    """
    if rule.oracle:
        return Interval(0.0, None, None, data.test.shape[1], "by definition", "the oracle is what it is compared with")
    replicas = np.flatnonzero(~np.isnan(data.out_of_range).any(axis=0))
    n = len(replicas)
    if n < LEAST_REPLICAS_FOR_PRICE:
        reason = f"{n} replicas with enough points out of range; it takes {LEAST_REPLICAS_FOR_PRICE}"
        return Interval(None, None, None, n, "paired over replicas", reason)
    mine, best = np.empty(n, np.int64), np.empty(n, np.int64)
    for judges, judged in halves(np.arange(n)):
        for side, way in ((mine, rule), (best, ORACLE)):
            side[judged] = way.choose(data, replicas[judges])
    if (mine == best).all():
        return Interval(0.0, 0.0, 0.0, n, "both choose the same trial")
    if bounds is None:
        price = float((data.out_of_range[mine, replicas] - data.out_of_range[best, replicas]).mean())
        return Interval(price, None, None, n, "paired over replicas", SHARED_ROWS)
    first, second = (
        BoundedLosses(data.out_of_range[side, replicas], float(bounds[side].max())) for side in (mine, best)
    )
    return bounded_difference(first, second, paired=True)


def correlations(data: Candidates) -> list[Correlation]:
    """Return the rank correlation over all trials, by activation and by depth, largest groups first."""
    inside, outside = mean_losses(data.in_range), mean_losses(data.out_of_range)
    activations = [str(record.network["activation"]) for record in data.records]
    depths = [len(record.network["hidden_layer_sizes"]) for record in data.records]
    words = [f"{depth} hidden layer{'' if depth == 1 else 's'}" for depth in depths]
    result = []
    for by, labels in (("all", ["all trials"] * len(inside)), ("activation", activations), ("depth", words)):
        for group in sorted(set(labels), key=lambda label: (-labels.count(label), label)):
            chosen = [i for i, label in enumerate(labels) if label == group]
            result.append(Correlation(by, group, _correlation(inside[chosen], outside[chosen])))
    return result


def _correlation(inside: FloatArray, outside: FloatArray) -> Interval:
    there = np.isfinite(inside) & np.isfinite(outside)
    n = int(there.sum())
    if n < LEAST_TRIALS_FOR_CORRELATION:
        reason = f"{n} trials with both losses; it takes {LEAST_TRIALS_FOR_CORRELATION}"
        return Interval(None, None, None, n, "Spearman", reason)
    return rank_correlation_interval(inside[there], outside[there])


def importances(data: Candidates, side: Side, rng: np.random.Generator) -> Importances:
    """Return how much the loss on one side hangs on each hyperparameter; the evaluator is `EVALUATOR`.

    Extremely randomized trees learn the log of the mean loss from the params on four fifths of the trials; on the rest
    each param is shuffled in turn. Params that a trial does not have (layers, penalties) count as a value of their own.

    Parameters
    ----------
    data : Candidates
    side : str
        ``"in_range"`` or ``"out_of_range"``.
    rng : numpy.random.Generator
        Draws folds, trees and shuffles, and `MOST_TRIALS_FOR_IMPORTANCE` trials where there are more.
    """
    means = mean_losses(getattr(data, side))
    there = np.flatnonzero(np.isfinite(means) & (means > 0))
    if len(there) > MOST_TRIALS_FOR_IMPORTANCE:
        there = np.sort(rng.choice(there, MOST_TRIALS_FOR_IMPORTANCE, replace=False))
    n = len(there)
    if n < LEAST_TRIALS_FOR_IMPORTANCE:
        return Importances(side, (), None, n, f"{n} trials; importance takes {LEAST_TRIALS_FOR_IMPORTANCE}")
    target = np.log(means[there])
    if np.ptp(target) == 0:
        return Importances(side, (), None, n, f"all {n} trials have the same loss")
    from sklearn.ensemble import ExtraTreesRegressor  # a second to import

    columns, owners = _columns([data.records[i].params for i in there])
    params = sorted(set(owners))
    folds = rng.permutation(n) % N_FOLDS
    errors, raised = np.empty(N_FOLDS), np.empty((len(params), N_FOLDS))
    for k in range(N_FOLDS):
        held = folds == k
        trees = ExtraTreesRegressor(N_TREES, min_samples_leaf=2, random_state=int(rng.integers(2**31)))
        trees.fit(columns[~held], target[~held])
        errors[k] = np.mean((trees.predict(columns[held]) - target[held]) ** 2)
        shuffled = np.broadcast_to(columns[held], (len(params), N_SHUFFLES, *columns[held].shape)).copy()
        for i, param in enumerate(params):
            mine = [j for j, owner in enumerate(owners) if owner == param]
            for copy in shuffled[i]:
                copy[:, mine] = copy[rng.permutation(len(copy))][:, mine]
        # One call for all: each costs more than the rows in it.
        said = trees.predict(shuffled.reshape(-1, shuffled.shape[-1])).reshape(len(params), N_SHUFFLES, -1)
        raised[:, k] = np.mean((said - target[held]) ** 2, axis=(1, 2)) - errors[k]
    variance = float(target.var())
    explained = 1.0 - float(errors.mean()) / variance
    if explained < LEAST_EXPLAINED:
        found = f"{n} trials explain {100 * max(explained, 0.0):.0f} % of the loss of held-out ones"
        return Importances(side, (), explained, n, f"{found}; it takes {100 * LEAST_EXPLAINED:.0f} %")
    shares, spreads = raised.mean(axis=1) / variance, raised.std(axis=1, ddof=1) / variance / math.sqrt(N_FOLDS)
    rows = [Importance(p, float(s), float(e)) for p, s, e in zip(params, shares, spreads, strict=True)]
    rows.sort(key=lambda row: (-row.share, row.param))
    return Importances(side, tuple(rows), explained, n, None)


def _columns(params: Sequence[Mapping[str, Scalar]]) -> tuple[FloatArray, list[str]]:
    """Return params as numbers, (trials, columns), and the param behind each column.

    A number is one column, with -1e9 for a trial that does not have it; anything else is a column for each value. The
    entries of a list, such as the sizes of the layers, count as one param.
    """
    columns, owners = [], []
    for key in sorted({key for one in params for key in one}):
        values = [one.get(key) for one in params]
        owner = re.sub(r"\.\d+$", "", key)
        present = [value for value in values if value is not None]
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
            columns.append([-1e9 if value is None else float(value) for value in values])
            owners.append(owner)
            continue
        for choice in sorted({str(value) for value in values}):
            columns.append([float(str(value) == choice) for value in values])
            owners.append(owner)
    return np.array(columns, np.float64).T, owners
