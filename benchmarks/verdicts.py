"""Check by simulation how often a claim's verdict is wrong, on studies whose truth is planted.

``python -m benchmarks.verdicts`` prints, for each kind of claim and each planted truth, the share of 400 simulated
studies whose verdict says what is not so, with the simulation's own standard error and the 95 % interval of that share
(Clopper and Pearson), and the share that decides. At most 5 % may be wrong. ``--studies N`` simulates more.

A study has 32 replicas in 1 or 4 conditions. A verdict is wrong if it says *holds* or *does not hold* where that is not
true over all conditions, or *holds only under* with a condition named on the wrong side.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.course.cells import pooled
from analysis.formats.plain import aligned_text
from analysis.statistics.verdicts import Claim, Judgment, Kind, Sample, Test, judge, share_interval

FloatArray = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, FloatArray], FloatArray]
N_STUDIES, N_REPLICAS = 400, 32
MOST_WRONG = 0.05


def passed(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Return replicas that pass with each condition's probability."""
    return (rng.random((len(truth), N_REPLICAS)) < truth[:, None]).astype(np.float64)


def mean_passed(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Return each replica's mean over six settings, which share half of its luck."""
    common = rng.random((len(truth), N_REPLICAS, 1))
    own = rng.random((len(truth), N_REPLICAS, 6))
    luck = np.where(rng.random(own.shape) < 0.5, common, own)
    return np.asarray((luck < truth[:, None, None]).mean(axis=2))


def skewed(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Return skewed differences with each condition's median; one replica in ten is far off on either side."""
    values = rng.exponential(1.0, (len(truth), N_REPLICAS)) - math.log(2.0)
    stuck = rng.random(values.shape)
    values = np.where(stuck < 0.05, np.inf, np.where(stuck < 0.10, -50.0, values))
    return values + truth[:, None]


def correlated(rng: np.random.Generator, truth: FloatArray) -> FloatArray:
    """Return pairs of a normal law with each condition's correlation, (conditions, replicas, 2)."""
    x, e = rng.normal(size=(2, len(truth), N_REPLICAS))
    return np.stack([x, truth[:, None] * x + np.sqrt(1 - truth[:, None] ** 2) * e], axis=-1)


def counted(rng: np.random.Generator, truth: FloatArray) -> FloatArray:  # noqa: ARG001
    """Return the one number that there is."""
    return truth[:, None]


@dataclass(frozen=True, slots=True)
class Planted:
    """A kind of claim with its truth.

    Parameters
    ----------
    kind : str
        Of the samples.
    test : str
        Of the claim.
    draw : callable
        Draws the replicas of each condition.
    truth : tuple of float
        The number in each condition; the mean of them holds over all.
    even, margin : float
        Of the claim.
    """

    kind: Kind
    test: Test
    draw: Draw
    truth: tuple[float, ...]
    even: float
    margin: float = 0.0

    @property
    def name(self) -> str:
        """What is claimed about what."""
        law = "" if self.draw in (passed, skewed, correlated, counted) else ", mean of settings"
        side = f"{self.test} {self.even:g}" + (f" +- {self.margin:g}" if self.margin else "")
        return f"{self.kind}{law}: {side}"

    def is_true(self, value: float) -> bool | None:
        """Return whether the claim is true of a number; None on its edge, where neither word is."""
        if self.test == "equals":
            return value == self.even
        if self.test == "within":
            distance = abs(value - self.even)
            return None if math.isclose(distance, self.margin) else distance < self.margin
        if math.isclose(value, self.even, abs_tol=1e-12):
            return None
        return (value > self.even) == (self.test == "above")

    def study(self, rng: np.random.Generator) -> Judgment:
        """Return the verdict of one simulated study."""
        values = self.draw(rng, np.array(self.truth))
        pairs = self.kind == "rank correlation"
        samples = tuple(
            Sample(f"c{i}", self.kind, one[:, 0], one[:, 1]) if pairs else Sample(f"c{i}", self.kind, one)
            for i, one in enumerate(values)
        )
        over_all = pooled(samples) if len(samples) > 1 else None
        return judge(Claim("1", "planted", "", self.test, self.even, samples, over_all, self.margin))

    def is_wrong(self, judgment: Judgment) -> bool:
        """Return whether a verdict says what is not so."""
        over_all = self.is_true(float(np.mean(self.truth)))
        if judgment.word == "holds":
            return over_all is not True
        if judgment.word == "does not hold":
            return over_all is not False
        if judgment.word == "holds only under":
            true = dict(zip([name for name, _, _ in judgment.within], map(self.is_true, self.truth), strict=True))
            return any(
                found != "not decided" and true[name] is not (found == "holds") for name, _, found in judgment.within
            )
        return False


def planted() -> list[Planted]:
    """Return every kind of claim, each where it is true, false, on the edge, and true under some conditions only."""
    cases = []
    for draw in (passed, mean_passed):
        for test in ("above", "below"):
            cases += [
                Planted("share", test, draw, truth, 0.5)  # type: ignore[arg-type]
                for truth in ((0.8,) * 4, (0.2,) * 4, (0.5,) * 4, (0.95, 0.95, 0.05, 0.05), (0.5, 0.5, 0.5, 0.95))
            ]
    cases += [Planted("share", "within", passed, truth, 0.5, 0.3) for truth in ((0.5,), (0.95,), (0.8,), (0.2,))]
    for side in ("above", "below"):
        cases += [Planted("median", side, skewed, truth, 0.0) for truth in ((1.5,), (-1.0,), (0.0,))]  # type: ignore[arg-type]
        cases += [Planted("rank correlation", side, correlated, truth, 0.0) for truth in ((0.8,), (-0.8,), (0.0,))]  # type: ignore[arg-type]
    cases += [Planted("median", "within", skewed, truth, 0.0, 1.0) for truth in ((0.0,), (3.0,), (1.0,), (-1.0,))]
    return cases + [Planted("exact", "equals", counted, truth, 14.0) for truth in ((14.0,), (16.0,))]


def simulate(cases: Sequence[Planted], n_studies: int, seed: int) -> list[tuple[Planted, int, int]]:
    """Return, for each case, how many verdicts are wrong and how many decide."""
    rows = []
    for i, case in enumerate(cases):
        rng = np.random.default_rng([seed, i])
        found = [case.study(rng) for _ in range(n_studies)]
        rows.append((case, sum(map(case.is_wrong, found)), sum(one.word != "not decided" for one in found)))
    return rows


def report(rows: Sequence[tuple[Planted, int, int]], n_studies: int) -> str:
    """Return the table, and what the simulation itself is worth."""
    lines = []
    for case, wrong, decided in rows:
        share = wrong / n_studies
        ends = share_interval([1.0] * wrong + [0.0] * (n_studies - wrong))
        lines.append(
            (
                case.name,
                ", ".join(f"{value:g}" for value in case.truth),
                f"{share:.3f}",
                f"{math.sqrt(share * (1 - share) / n_studies):.3f}",
                f"{ends.low:.3f} to {ends.high:.3f}",
                f"{decided / n_studies:.2f}",
            )
        )
    table = aligned_text(("claim", "truth by condition", "wrong", "its s.e.", "95 % interval", "decided"), lines)
    worst = max(wrong for _, wrong, _ in rows) / n_studies
    error = math.sqrt(MOST_WRONG * (1 - MOST_WRONG) / n_studies)
    return (
        f"{table}\n\n{len(rows)} kinds of claim and truth, {n_studies} studies each; at most {worst:.3f} wrong "
        f"verdicts. At {MOST_WRONG:g} the simulation's own standard error is {error:.3f}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 where some kind of claim has more wrong verdicts than chance explains."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--studies", type=int, default=N_STUDIES, metavar="N", help=f"of each kind (default: {N_STUDIES})"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parsed = parser.parse_args(arguments)
    rows = simulate(planted(), parsed.studies, parsed.seed)
    print(report(rows, parsed.studies))
    most = MOST_WRONG + 3.0 * math.sqrt(MOST_WRONG * (1 - MOST_WRONG) / parsed.studies)
    return int(any(wrong / parsed.studies > most for _, wrong, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
