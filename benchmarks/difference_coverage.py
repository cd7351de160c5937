"""Check by simulation what intervals of a difference of two mean losses promise where replicas may be stuck.

``python -m benchmarks.interval_coverage --into docs/intervals.md`` writes the table into the document. Both settings
have a lognormal body of mean 1 (relative spread 0.33); paired, they share half of its (log) variance by data draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.bounded import bounded_ends
from analysis.statistics.intervals import student_bound
from benchmarks.bounded_coverage import BOUND, LOG_SD, MISSED, VALUES_AT_ONCE, stuck_law

FloatArray = npt.NDArray[np.float64]
N_DIFFERENCES = {8: 8000, 16: 8000, 64: 5000, 256: 2000, 1000: 800}
"""Samples behind each figure, by the number of draws of either setting."""
SMALL = 5.0
"""The other bound, in bodies."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """How stuck replicas of two settings go together.

    Parameters
    ----------
    name : str
        As printed.
    first, second : float
        Mean numbers of stuck draws in a sample, over those of `MISSED`.
    bound : float
        Largest loss, at which replicas are stuck.
    """

    name: str
    first: float
    second: float
    bound: float = BOUND


PAIRINGS = (
    Pairing("none stuck", 0.0, 0.0),
    Pairing("only one has stuck replicas, worst share, bound 5", 1.0, 0.0, SMALL),
    Pairing("only one has stuck replicas, worst share", 1.0, 0.0),
    Pairing("the other has a third as many", 1.0, 1.0 / 3.0),
    Pairing("both alike", 1.0, 1.0),
)
Ends = Callable[[FloatArray, FloatArray, float], tuple[FloatArray, FloatArray]]


def paired_ends(a: FloatArray, b: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
    """Return the published interval of the mean difference of each row's pairs."""
    return bounded_ends(a - b, bound, lowest=-bound)


def apart_ends(a: FloatArray, b: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
    """Return the published interval of the difference of each row's means, recovered from both."""
    (low_a, high_a), (low_b, high_b) = bounded_ends(a, bound), bounded_ends(b, bound)
    x, y = a.mean(axis=1), b.mean(axis=1)
    return x - y - np.hypot(x - low_a, high_b - y), x - y + np.hypot(high_a - x, y - low_b)


def student_ends(a: FloatArray, b: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:  # noqa: ARG001
    """Return Student's over pairs."""
    return student_bound(a - b, 0.025), student_bound(a - b, 0.975)


def welch_ends(a: FloatArray, b: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:  # noqa: ARG001
    """Return Welch's."""
    from scipy import special

    n = a.shape[1]
    parts = [side.var(axis=1, ddof=1) / n for side in (a, b)]
    total = parts[0] + parts[1]
    freedom = total**2 * (n - 1) / (parts[0] ** 2 + parts[1] ** 2)
    half = special.stdtrit(freedom, 0.975) * np.sqrt(total)
    difference = a.mean(axis=1) - b.mean(axis=1)
    return difference - half, difference + half


RULES: tuple[tuple[str, bool, Ends], ...] = (
    ("paired, published", True, paired_ends),
    ("paired, Student t", True, student_ends),
    ("other draws, published", False, apart_ends),
    ("other draws, Welch", False, welch_ends),
)


def draw_both(
    rng: np.random.Generator, shape: tuple[int, int], pairing: Pairing, count: float, *, paired: bool
) -> tuple[FloatArray, FloatArray, float]:
    """Return samples of both settings and the true difference of their means."""
    n = shape[1]
    shared = rng.normal(0.0, LOG_SD / math.sqrt(2.0), shape) if paired else np.zeros(shape)
    own = LOG_SD / math.sqrt(2.0) if paired else LOG_SD
    sides = []
    for share in (pairing.first * count / n, pairing.second * count / n):
        body = np.minimum(np.exp(shared + rng.normal(-0.5 * LOG_SD**2, own, shape)), pairing.bound)
        sides.append(np.where(rng.random(shape) < share, pairing.bound, body))
    means = [stuck_law(f * count / n, pairing.bound, pairing.bound).mean for f in (pairing.first, pairing.second)]
    return sides[0], sides[1], means[0] - means[1]


def examined(
    ends: Ends, pairing: Pairing, count: float, n: int, n_simulations: int, rng: np.random.Generator, *, paired: bool
) -> tuple[float, float]:
    """Return the share of samples whose interval holds the true difference, and the intervals' mean width."""
    held, width, done = 0, 0.0, 0
    while done < n_simulations:
        rows = min(max(1, VALUES_AT_ONCE // n), n_simulations - done)
        a, b, truth = draw_both(rng, (rows, n), pairing, count, paired=paired)
        low, high = ends(a, b, pairing.bound)
        held += int(((low <= truth) & (truth <= high)).sum())
        width, done = width + float((high - low).sum()), done + rows
    return held / n_simulations, width / n_simulations


def difference_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of coverage of differences; over shares stuck it is the least, over widths the clean one."""
    head = " | ".join(f"n = {n}" for n in N_DIFFERENCES)
    lines = [f"| interval | losses | {head} |", "|---|---" + "|--:" * len(N_DIFFERENCES) + "|"]
    for name, paired, ends in RULES:
        for i, pairing in enumerate(PAIRINGS):
            cells = []
            for n, n_simulations in N_DIFFERENCES.items():
                counts = [c for c in (MISSED if pairing.first else MISSED[:1]) if c / n <= 0.35]
                some = max(20, round(n_simulations * scale))
                found = [examined(ends, pairing, count, n, some, rng, paired=paired)[0] for count in counts]
                cells.append(f"{100 * min(found):.1f}")
            lines.append(f"| {name if i == 0 else ''} | {pairing.name} | " + " | ".join(cells) + " |")
    return lines


def difference_widths(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of mean widths on clean losses, over those of Student's and Welch's."""
    head = " | ".join(f"n = {n}" for n in N_DIFFERENCES)
    lines = [f"| bound, in bodies | width | {head} |", "|--:|---" + "|--:" * len(N_DIFFERENCES) + "|"]
    for bound in (2.0, SMALL, BOUND):
        for (_, paired, ours), (_, _, plain) in zip(RULES[::2], RULES[1::2], strict=True):
            cells = []
            for n, n_simulations in N_DIFFERENCES.items():
                some, clean = max(20, round(n_simulations * scale / 4)), Pairing("", 0.0, 0.0, bound)
                wide, narrow = (examined(rule, clean, 0.0, n, some, rng, paired=paired)[1] for rule in (ours, plain))
                cells.append(f"{wide / narrow:.2f}")
            word = "over Student's, paired" if paired else "over Welch's, other draws"
            lines.append(f"| {f'{bound:g}' if paired else ''} | {word} | " + " | ".join(cells) + " |")
    return lines


DIFFERENCE_TABLES: dict[str, Callable[[float, np.random.Generator], list[str]]] = {
    "differences": difference_lines,
    "width of differences": difference_widths,
}
