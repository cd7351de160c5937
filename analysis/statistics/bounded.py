"""Intervals of a mean loss some of whose replicas may be stuck: what is published, and what certificates rest on.

A sample cannot show a rare bad replica that it did not draw. What limits the harm is the largest loss that there can
be: the rules here add one imagined draw at that bound to the sample, and weigh all draws at random. No rule without a
bound can hold (`analysis.statistics.intervals.mean_interval` needs none, and fails where a few replicas are stuck).

A loss has no bound by itself. `loss_bound` says which one is assumed and why it is true.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.records.study import StudyHeader, TrialRecord
from analysis.statistics.intervals import FloatArray, Interval, Values, measured
from analysis.words import later, say
from engine.playground.registry import DATASETS

CERTIFICATE_WEIGHT = 1.0
"""Weight of the imagined draw in a certificate: Gaffke's bound, which no law is known to break."""
LEAST_WEIGHT, MOST_WEIGHT = 0.16, 0.66
"""Weight of the imagined draw at either end of a two-sided interval, by how far that bound stands out."""
WEIGHT_AT_0, WEIGHT_OF_FEW, WEIGHT_SLOPE = -0.256, 28.0, 0.35
"""That weight for a bound that does not stand out; added to it over n squared; and for each standard error of that."""
SKEWED, VERY_SKEWED = 0.17, 0.27
"""Skewness over root n from which, and from where on fully, the end away from the tail is more cautious."""
LEAST_TAIL = 0.3
"""Share of its error that this end keeps then."""
LEAST_PROBABILITY = 0.8
MOST_STEPS = 80
LARGEST_HALF_SQUARED_ERROR = 2.0
"""Of labels and outputs that are both within -1 and 1."""
_OUTPUTS_WITHIN_ONE = ("tanh", "sigmoid")
SHARED_ROWS = later("networks of one table share its rows, so that their spread is no measure of it")
"""Why losses of a table's networks have no interval; its scores have, over rows (`analysis.records.table`)."""
_FEW = later("one value has no spread; an interval takes at least 2")


def loss_bound(header: StudyHeader, record: TrialRecord) -> float:
    """Return the largest loss that a replica of this record can have.

    On the Playground's sets of two classes labels are +1 and -1; a network whose output stays within them has half
    squared errors of at most 2. Any other loss is bounded because it is recorded so: what is above the record's
    `diverged_cap`, ten times the constant predictor's loss, was set to it. A diverged replica counts with that cap too:
    where one was seen, or any loss above 2, the cap is the bound of the whole record. Where none was, a replica that
    diverges counts as the worst loss the outputs can have.

    Parameters
    ----------
    header : StudyHeader
        Of the record's study.
    record : TrialRecord

    Returns
    -------
    float
    """
    network, training = record.network, record.training
    stays_within = header.data.get("kind") == "playground" and stays_within_labels(
        header.dataset, str(network.get("output_activation")), str(training.get("loss", "half_squared_error"))
    )
    if not stays_within or record.diverged_at.count(None) < len(record.diverged_at):
        return record.diverged_cap
    sides = (record.train_loss, record.test_loss, record.in_range_loss, record.out_of_range_loss)
    largest = max([value for side in sides for value in side if value is not None], default=0.0)
    return record.diverged_cap if largest > LARGEST_HALF_SQUARED_ERROR else min(2.0, record.diverged_cap)


def stays_within_labels(dataset: str, output_activation: str, loss: str) -> bool:
    """Return whether no loss of a network can be above `LARGEST_HALF_SQUARED_ERROR`, at any point: see `loss_bound`."""
    known = DATASETS.get(dataset)
    is_of_classes = known is not None and known.problem == "classification"
    return is_of_classes and output_activation in _OUTPUTS_WITHIN_ONE and loss == "half_squared_error"


def weighted_upper(
    samples: FloatArray, probability: FloatArray | float, bound: float, weight: FloatArray | float
) -> FloatArray:
    """Return the upper confidence bound of each row's mean by random weights with one imagined draw at `bound`.

    The n values and `bound` get weights from the Dirichlet law with parameters (1, ..., 1, `weight`); the result is the
    `probability` quantile of their weighted mean. With `weight` 1 it is Gaffke's bound, with 0 the Bayesian bootstrap.
    The quantile is found by a saddlepoint approximation, which errs by a few percent of the tail's probability, not
    by drawing weights: the same sample gives the same bits, whatever else is asked at the same time.

    Parameters
    ----------
    samples : ndarray (S, n)
        Independent values of at most `bound`.
    probability : float or ndarray (S,)
        Confidence that the mean is below; at least 0.8, which a smaller one is taken as.
    bound : float
        Largest value that there can be.
    weight : float or ndarray (S,)
        Of the imagined draw, above 0.

    Returns
    -------
    ndarray (S,)
        Between the row's mean and `bound`.

    References
    ----------
    N. Gaffke, Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable,
    Math. Methods Statist. 14 (2005) 451-467. E. Learned-Miller and P. S. Thomas, A new confidence interval for the mean
    of a bounded random variable (2019), arXiv:1905.06208. The approximation is r* of O. E. Barndorff-Nielsen,
    Biometrika 73 (1986) 307-322, for the sum of gamma variables ``sum_i G_i (x_i - u)``: its sign is that of mean - u.
    """
    weights, confidence = (
        np.broadcast_to(np.asarray(one, np.float64), (len(samples),)) for one in (weight, probability)
    )
    return _quantiles(_with(samples, bound), weights, confidence)


def _with(samples: FloatArray, imagined: FloatArray | float) -> FloatArray:
    last = np.broadcast_to(np.asarray(imagined, np.float64), (len(samples),))
    return np.concatenate([samples, last[:, None]], axis=1)


def _quantiles(values: FloatArray, weights: FloatArray, probability: FloatArray) -> FloatArray:
    """Return `weighted_upper` of rows whose last value is the imagined draw, with weight and confidence of each."""
    z: FloatArray = special.ndtri(np.maximum(probability, LEAST_PROBABILITY))
    top = values.max(axis=1)
    span = top - values.min(axis=1)
    rows = np.flatnonzero(span > 0.0)
    gaps = (top[rows, None] - values[rows]) / span[rows, None]
    below_top = np.zeros(len(values))
    below_top[rows] = _solve(gaps, weights[rows], z[rows])
    result: FloatArray = top - below_top * span
    return result


def _tilted(
    log_pole: FloatArray, gaps: FloatArray, weights: FloatArray, z: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return, for each row, how far r* is beyond z, and the quantile it belongs to, as a gap below the largest value.

    The tilt that makes u the mean has density ``1 / (pole + gap)``; following its pole instead of u leaves one equation
    in one unknown. Everything is written in small differences, as 1 - 1 + e would lose e.
    """
    tilt = 1.0 / (np.exp(log_pole)[:, None] + gaps)
    tilt[:, -1] *= weights
    total = tilt.sum(axis=1)
    u = (tilt * gaps).sum(axis=1) / total
    shift = (total / (gaps.shape[1] - 1 + weights))[:, None] * (gaps - u[:, None])
    logs, squares = np.log1p(shift), (shift / (1.0 + shift)) ** 2
    r_squared = np.maximum(2.0 * (logs[:, :-1].sum(axis=1) + weights * logs[:, -1]), 1e-300)
    q_squared = np.maximum(squares[:, :-1].sum(axis=1) + weights * squares[:, -1], 1e-300)
    r = np.sqrt(r_squared)
    r_star = r + 0.5 * np.log(q_squared / r_squared) / r
    return r_star * np.abs(r_star) - z * z, u


def _solve(gaps: FloatArray, weights: FloatArray, z: FloatArray) -> FloatArray:
    """Return where `_tilted` is zero, as a gap; 0 (the largest value) where that is out of reach.

    T. R. Chandrupatla's root finder, Adv. Eng. Softw. 28 (1997) 145-149, row by row: a row that is done leaves, so that
    it does not depend on the others.
    """
    n_rows, n = gaps.shape
    result = np.zeros(n_rows)
    a, b = np.full(n_rows, -25.0), np.log(4.0 * math.sqrt(n) / z)
    fa, fb = _tilted(a, gaps, weights, z)[0], _tilted(b, gaps, weights, z)[0]
    rows = np.flatnonzero((fa > 0.0) & (fb < 0.0))
    a, b, fa, fb, gaps, weights, z = a[rows], b[rows], fa[rows], fb[rows], gaps[rows], weights[rows], z[rows]
    step = np.full(len(rows), 0.3)
    for _ in range(MOST_STEPS):
        if not len(rows):
            break
        x = a + step * (b - a)
        fx, u = _tilted(x, gaps, weights, z)
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        result[rows] = u
        go_on = (np.abs(fx) > 1e-8) & (np.abs(b - a) > 1e-11)
        rows, gaps, weights, z = rows[go_on], gaps[go_on], weights[go_on], z[go_on]
        a, b, c, fa, fb, fc = a[go_on], b[go_on], c[go_on], fa[go_on], fb[go_on], fc[go_on]
        step = _next_step(a, b, c, fa, fb, fc)
    return result


def _next_step(
    a: FloatArray, b: FloatArray, c: FloatArray, fa: FloatArray, fb: FloatArray, fc: FloatArray
) -> FloatArray:
    """Return how far to go from a to b: by inverse quadratic interpolation where it is safe, else half."""
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    safe = (phi**2 < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
    p, q, r = (np.where(safe, one, i) for one, i in ((fa, 1.0), (fb, 2.0), (fc, 3.0)))
    step = p / (q - p) * r / (q - r) + (c - a) / (b - a) * p / (r - p) * q / (r - q)
    result: FloatArray = np.clip(np.where(safe, step, 0.5), 1e-6, 1.0 - 1e-6)
    return result


def stuck_weight(samples: FloatArray, bound: FloatArray | float) -> FloatArray:
    """Return the weight of the imagined draw at the upper end of each row's two-sided interval.

    One unseen replica at the bound moves the mean by ``(bound - mean) / n``. Where that is many standard errors, only
    the weight keeps the interval at its level (0.66: the share that it reaches to is missed by n draws in 5 of 100
    samples). Where it is about one or less, the values' own scatter helps, and as much weight would only cost width.
    """
    n = samples.shape[-1]
    spread = samples.std(axis=-1, ddof=1) * math.sqrt(n)
    room = bound - samples.mean(axis=-1)
    stands_out = np.divide(room, spread, out=np.full(room.shape, np.inf), where=spread > 0.0)
    weight = WEIGHT_AT_0 + WEIGHT_OF_FEW / n**2 + WEIGHT_SLOPE * stands_out
    result: FloatArray = np.clip(weight, LEAST_WEIGHT, MOST_WEIGHT)
    return result


def lower_tail(samples: FloatArray, tail: FloatArray | float) -> FloatArray:
    """Return how often the lower end of each row's two-sided interval may be above the mean.

    `tail`, but down to 0.3 of it where the row is skewed to the right: it may have drawn more than their share of a few
    stuck replicas, and what is saved here the upper end spends on samples that drew none.
    """
    n = samples.shape[-1]
    deviations = samples - samples.mean(axis=-1)[..., None]
    spread = samples.std(axis=-1)
    skewness = np.divide((deviations**3).mean(axis=-1), spread**3, out=np.zeros(spread.shape), where=spread > 0.0)
    skewed = np.clip((skewness / math.sqrt(n) - SKEWED) / (VERY_SKEWED - SKEWED), 0.0, 1.0)
    result: FloatArray = tail * (1.0 - (1.0 - LEAST_TAIL) * skewed)
    return result


def bounded_ends(
    samples: FloatArray, bound: FloatArray | float, level: FloatArray | float = 0.95, lowest: FloatArray | float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return both ends of the interval of each row's mean; see `bounded_interval`.

    Parameters
    ----------
    samples : ndarray (S, n)
        Independent values from `lowest` to `bound`, n at least 2.
    bound, lowest, level : float or ndarray (S,)
        As in `bounded_interval`.
    """
    tail = (1.0 - np.asarray(level, np.float64)) / 2.0
    # The lower end is the upper one of what is mirrored; both are found at once, which halves the time of few rows.
    values = np.concatenate([_with(-samples, -lowest), _with(samples, bound)])
    weights = np.concatenate([stuck_weight(-samples, -lowest), stuck_weight(samples, bound)])
    tails = np.concatenate([lower_tail(samples, tail), lower_tail(-samples, tail)])
    ends = _quantiles(values, weights, 1.0 - tails)
    return -ends[: len(samples)], ends[len(samples) :]


def bounded_interval(values: Values, bound: float, level: float = 0.95, lowest: float = 0.0) -> Interval:
    """Return the mean with its two-sided interval, sound where a few replicas are stuck.

    Parameters
    ----------
    values : sequence of float or None
        One value a replica.
    bound, lowest : float
        Largest and smallest value that there can be; see `loss_bound`.
    level : float
        Nominal coverage, between 0 and 1; less than 0.6 is taken as that.

    Returns
    -------
    Interval
        Without ends for fewer than 2 values, or one outside of `lowest` and `bound`.

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: {level!r}; give a number between 0 and 1, such as 0.95")
    name = say("imagined draw at {bound:.4g}, {level:g} %", bound=bound, level=100 * level)
    array = measured(values)
    n = len(array)
    if n == 0:
        return Interval(None, None, None, 0, name, say("no value was measured"))
    estimate = float(array.mean())
    if array.max() > bound or array.min() < lowest:
        return Interval(
            estimate,
            None,
            None,
            n,
            name,
            say("a value is outside of {lowest:.4g} to {bound:.4g}", lowest=lowest, bound=bound),
        )
    if n == 1:
        return Interval(estimate, None, None, n, name, _FEW)
    low, high = _ends(array.tobytes(), bound, level, lowest)
    return Interval(estimate, low, high, n, name)


_Asked = tuple[bytes, float, float, float]
_FOUND: dict[_Asked, tuple[float, float]] = {}
"""Both ends by sample, bound, level and lowest value: a report asks for the same ones in many of its sections."""
_MOST_FOUND = 4096


def _ends(values: bytes, bound: float, level: float, lowest: float) -> tuple[float, float]:
    key = (values, bound, level, lowest)
    if key not in _FOUND:
        _find([key])
    return _FOUND[key]


def find_ends(asked: Iterable[tuple[Values, float, float]], level: float = 0.95) -> None:
    """Find at once what `bounded_interval` will be asked for one by one: many rows take hardly longer than one.

    Parameters
    ----------
    asked : iterable of (values, bound, lowest)
        As in `bounded_interval`; samples that have no ends are passed over.
    level : float
        As there.
    """
    by_length: dict[int, list[_Asked]] = defaultdict(list)
    for values, bound, lowest in asked:
        array = measured(values)
        if len(array) > 1 and lowest <= array.min() and array.max() <= bound:
            by_length[len(array)].append((array.tobytes(), bound, level, lowest))
    for keys in by_length.values():
        _find([key for key in dict.fromkeys(keys) if key not in _FOUND])


def _find(keys: list[_Asked]) -> None:
    """Find the ends of samples of one length."""
    if not keys:
        return
    if len(_FOUND) + len(keys) > _MOST_FOUND:
        _FOUND.clear()
    samples = np.stack([np.frombuffer(values) for values, *_ in keys])
    bound, level, lowest = (np.array([key[i] for key in keys]) for i in (1, 2, 3))
    low, high = bounded_ends(samples, bound, level, lowest)
    _FOUND.update(zip(keys, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def loss_interval(header: StudyHeader, record: TrialRecord, values: Values) -> Interval:
    """Return the mean of some losses of a record with its 95 % interval, where its replicas are independent.

    Those of a table are not: they have validation rows in common, or training rows. Then there is a mean alone.
    """
    if header.data.get("kind") != "table":
        return bounded_interval(values, loss_bound(header, record))
    array = measured(values)
    return Interval(float(array.mean()) if len(array) else None, None, None, len(array), "", SHARED_ROWS)


def certificate_bound(values: Values, bound: float, level: float) -> float:
    """Return the one-sided upper confidence bound of the mean that certificates are held to.

    Parameters
    ----------
    values : sequence of float or None
        One value a replica.
    bound : float
        Largest value that there can be; see `loss_bound`.
    level : float
        Confidence, between 0 and 1; less than 0.8 is taken as that.

    Returns
    -------
    float
        ``inf`` where fewer than 2 values were measured, or one is above `bound`: nothing is below any goal then.
    """
    array = measured(values)
    if len(array) < 2 or not array.max() <= bound:
        return math.inf
    return float(weighted_upper(array[None], level, bound, CERTIFICATE_WEIGHT)[0])


def draws_needed(mean: float, goal: float, bound: float, level: float) -> int | None:
    """Return how many draws a certificate takes even if all have the same loss, or None where no number is enough.

    Parameters
    ----------
    mean : float
        What all draws have.
    goal, bound, level : float
        What the mean is to be shown to be below, the largest loss there can be, and the test's level.
    """
    if not mean < goal < bound:
        return None
    return math.ceil(math.log(level) / math.log1p(-(goal - mean) / (bound - mean)))


def excess_interval(losses: Values, floors: Values, bound: float, level: float = 0.95) -> Interval:
    """Return the mean of loss minus the best possible predictor's on the same points, with its interval.

    Parameters
    ----------
    losses, floors : sequence of float or None, equally long
        Of each replica. A pair counts only where both were measured.
    bound, level
        As in `bounded_interval`, of the losses. No floor and no loss is below 0: an excess is at most `bound`, and no
        less than minus its own floor, of which the largest seen is taken.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if len(losses) != len(floors):
        raise ValueError(f"floors: {len(floors)} values against {len(losses)}; pairs need one of each")
    pairs = [(x, y) for x, y in zip(losses, floors, strict=True) if x is not None and y is not None]
    lowest = -max((y for _, y in pairs if not math.isnan(y)), default=0.0)
    interval = bounded_interval([max(x - y, lowest) for x, y in pairs], bound, level, lowest)
    return _renamed(interval, 0.0, say("paired with floors, {method}", method=interval.method))


def floor_interval(losses: Values, floors: Values, mean_floor: float, bound: float, level: float = 0.95) -> Interval:
    """Return the mean loss as exact mean floor plus mean excess: less at the mercy of hard and easy draws.

    Parameters
    ----------
    losses, floors, bound, level
        As in `excess_interval`.
    mean_floor : float
        Expectation of the floors over all draws (`analysis.floors.lowest_loss`).

    Returns
    -------
    Interval
        Its estimate is not the plain mean of `losses`, which leaves in by how much these draws were harder than all.
    """
    interval = excess_interval(losses, floors, bound, level)
    return _renamed(
        interval,
        mean_floor,
        say("exact floor {mean_floor:.4g}, {method}", mean_floor=mean_floor, method=interval.method),
    )


def _renamed(interval: Interval, shift: float, method: str) -> Interval:
    estimate, low, high = (
        None if end is None else end + shift for end in (interval.estimate, interval.low, interval.high)
    )
    return Interval(estimate, low, high, interval.n, method, interval.reason)
