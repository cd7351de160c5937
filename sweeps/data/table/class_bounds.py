"""Bounds of metrics in which every class weighs the same: they are only as sure as the smallest class is large.

Rows are drawn again within their classes, whose sizes stay. Where a class has few errors (or few rows at all) such
draws know nothing of what was not seen: of three rows found three, every draw finds all. There the error rates of the
classes are bounded exactly (Clopper and Pearson, the level shared among them) and averaged; average precision, which is
no mean over rows, has no bound below `FEWEST_ROWS` rows of a class.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from sweeps.data.table.metrics import Metric, predicted_classes

FloatArray = npt.NDArray[np.float64]

FEWEST_ROWS = 20
"""Test rows of every class below which average precision has no bound."""
FEWEST_EVENTS = 5
"""Errors, and right rows, of every class from which drawing again is trusted."""
N_RESAMPLES = 2000
MOST_AT_ONCE = 2**18
"""Probabilities drawn again at a time."""


def class_bounds(
    metric: Metric, y: FloatArray, network: FloatArray, other: FloatArray, level: float, rng: np.random.Generator
) -> tuple[float, float, str]:
    """Return upper bounds, one-sided at 1 - `level`, of the network's loss and of its loss minus the other model's.

    Parameters
    ----------
    metric : Metric
        ``"balanced_accuracy"`` or ``"average_precision"``.
    y : ndarray (n,)
        Class indices of the test rows.
    network, other : ndarray (n, k)
        Probabilities.
    level : float
        Of each bound.
    rng : Generator
        Of the draws.

    Returns
    -------
    float, float, str
        The two bounds and how they were found.
    """
    classes = [np.flatnonzero(y == value) for value in np.unique(y)]
    if not (np.isfinite(network).all() and np.isfinite(other).all()):
        return math.inf, math.inf, "a prediction is not finite"
    if metric.name == "average_precision":
        fewest = min(map(len, classes))
        if fewest < FEWEST_ROWS:
            return math.inf, math.inf, f"a class has {fewest} test rows; a bound needs {FEWEST_ROWS}"
        bound, gap = _drawn(metric, y, classes, network, other, level, rng)
        # Rows of the smallest class that went unseen may all be missed; draws of what was seen cannot say so.
        unseen = (1.0 - level ** (1.0 / fewest)) / len(classes)
        return max(bound, unseen), gap, "bootstrap over rows within classes"
    wrong = (predicted_classes(network) != y).astype(np.float64)
    theirs = (predicted_classes(other) != y).astype(np.float64)
    bound, gap = _drawn(metric, y, classes, network, other, level, rng)
    method = "bootstrap over rows within classes"
    if any(min(wrong[rows].sum(), len(rows) - wrong[rows].sum()) < FEWEST_EVENTS for rows in classes):
        share = level / len(classes)
        bound = float(np.mean([_most(int(wrong[rows].sum()), len(rows), share) for rows in classes]))
        method = "Clopper and Pearson's bounds of the classes' error rates, averaged"
    pairs = [(int((wrong > theirs)[rows].sum()), int((wrong < theirs)[rows].sum())) for rows in classes]
    if any(sum(pair) < 2 * FEWEST_EVENTS for pair in pairs):
        share = level / (2 * len(classes))
        gaps = [
            _most(worse, len(rows), share) - _least(better, len(rows), share)
            for (worse, better), rows in zip(pairs, classes, strict=True)
        ]
        gap = float(np.mean(gaps))
    return bound, gap, method


def _most(n: int, of: int, level: float) -> float:
    """Return Clopper and Pearson's upper bound of a share."""
    return float(stats.beta.ppf(1 - level, n + 1, of - n)) if n < of else 1.0


def _least(n: int, of: int, level: float) -> float:
    """Return Clopper and Pearson's lower bound of a share."""
    return float(stats.beta.ppf(level, n, of - n + 1)) if n else 0.0


def _drawn(
    metric: Metric,
    y: FloatArray,
    classes: list[npt.NDArray[np.intp]],
    network: FloatArray,
    other: FloatArray,
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    at_once = max(min(N_RESAMPLES, MOST_AT_ONCE // network.size), 1)
    losses, gaps = [], []
    for start in range(0, N_RESAMPLES, at_once):
        n = min(at_once, N_RESAMPLES - start)
        rows = np.concatenate([rng.choice(own, (n, len(own))) for own in classes], axis=1)
        ours, theirs = (metric.words.highest - metric.score(y[rows], one[rows]) for one in (network, other))
        losses.append(ours)
        gaps.append(ours - theirs)
    loss = metric.as_loss(float(metric.score(y, network[None])[0]))
    gap = loss - metric.as_loss(float(metric.score(y, other[None])[0]))
    fewest = min(map(len, classes))
    return _cautious(loss, np.concatenate(losses), fewest, level), _cautious(gap, np.concatenate(gaps), fewest, level)


def _cautious(found: float, drawn: FloatArray, fewest: int, level: float) -> float:
    """Return the larger of the draws' quantile and Student's bound from their deviation, at a quarter of the level.

    Rows drawn twice flatter average precision, and quantiles of few rows are too narrow: at the full level one bound in
    nine was wrong.
    """
    student = found + float(stats.t.ppf(1 - level / 4, max(fewest - 1, 1))) * float(drawn.std(ddof=1))
    return max(float(np.quantile(drawn, 1 - level / 4)), student)
