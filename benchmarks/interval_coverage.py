"""Check by simulation what the intervals and the certificate promise, on losses like ours.

``python -m benchmarks.interval_coverage`` prints, for each interval that is called a 95 % interval, how often it holds
the true value at n = 8, 16 and 64 replicas, and how often a sweep of 50 trials that all miss the goal is called a
success: by naming the best trial, by naming the first candidate, and by the certificate. ``--json FILE`` writes the
rows; ``--into docs/intervals.md`` writes every table of that document.

A loss is drawn as a lognormal body (relative spread 0.33 is what a winner on XOR or circle shows: mean 0.08, three
quarters of the replicas below 0.1) of which a share is stuck at five times the body's mean. Every law is scaled to
mean 1, so that the goal of the certificate part is 1 as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.statistics.bounded import CERTIFICATE_WEIGHT, bounded_ends, weighted_upper
from analysis.statistics.intervals import MEAN_METHODS, BoundRule, clopper_pearson, student_bound
from analysis.statistics.resampling import bootstrap_interval, rank_correlation_interval
from analysis.statistics.selection import halves
from benchmarks.bounded_coverage import TABLES, write_tables
from benchmarks.difference_coverage import DIFFERENCE_TABLES

FloatArray = npt.NDArray[np.float64]
N_REPLICAS = (8, 16, 64)
STUCK_FACTOR = 5.0
SWEEPS_AT_ONCE = 50
BODY_BOUND = 25.0
"""Largest loss that the published interval and the certificate are told, over the body's mean: 2.0 over 0.08."""
PUBLISHED, CERTIFICATE = "imagined draw", "certificate"


@dataclass(frozen=True, slots=True)
class Law:
    """A law of losses with mean 1.

    Parameters
    ----------
    name : str
        As printed.
    log_sd : float
        Standard deviation of the logarithm of the body.
    stuck : float
        Share of replicas at `STUCK_FACTOR` times the body's mean (with the same relative spread).
    """

    name: str
    log_sd: float
    stuck: float

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Return independent losses of that shape."""
        body = np.exp(rng.normal(-0.5 * self.log_sd**2, self.log_sd, shape))
        factor = np.where(rng.random(shape) < self.stuck, STUCK_FACTOR, 1.0)
        losses: FloatArray = body * factor / self.scale
        return losses

    @property
    def scale(self) -> float:
        """Mean loss, in units of the body's."""
        return 1.0 + self.stuck * (STUCK_FACTOR - 1.0)


def published_rule(law: Law, *, difference: bool = False) -> BoundRule:
    """Return the ends of the published interval of losses of this law, or of their differences, by probability."""
    bound = BODY_BOUND / law.scale
    lowest = -bound if difference else 0.0

    def rule(samples: FloatArray, probability: float) -> FloatArray:
        flat = np.clip(samples.reshape(-1, samples.shape[-1]), lowest, bound)
        low, high = bounded_ends(flat, bound, abs(2.0 * probability - 1.0), lowest)
        return (low if probability < 0.5 else high).reshape(samples.shape[:-1])

    return rule


def certificate_rule(law: Law) -> BoundRule:
    """Return the certificate's bound of losses of this law, by confidence."""
    bound = BODY_BOUND / law.scale

    def rule(samples: FloatArray, probability: float) -> FloatArray:
        flat = np.minimum(samples.reshape(-1, samples.shape[-1]), bound)
        return weighted_upper(flat, probability, bound, CERTIFICATE_WEIGHT).reshape(samples.shape[:-1])

    return rule


LAWS = (
    Law("body only", 0.33, 0.0),
    Law("long tail", 0.8, 0.0),
    Law("0.3 % stuck", 0.33, 0.003),
    Law("1 % stuck", 0.33, 0.01),
    Law("5 % stuck", 0.33, 0.05),
    Law("20 % stuck", 0.33, 0.20),
)


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """How often one nominal interval held the truth.

    Parameters
    ----------
    interval, law : str
        What was simulated.
    n : int
        Values behind each interval.
    covered : float
        Share of simulations whose interval held the true value.
    truth_below, truth_above : float
        Shares in which the truth was below the low end, above the high end.
    standard_error : float
        Of `covered`.
    n_simulations : int
        Simulations with an interval.
    """

    interval: str
    law: str
    n: int
    covered: float
    truth_below: float
    truth_above: float
    standard_error: float
    n_simulations: int


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """How often 50 trials that all miss the goal are called a success.

    Parameters
    ----------
    law : str
        Law of the losses.
    best_trial : float
        By naming the trial with the lowest mean, if that mean is below the goal.
    first_candidate : float
        By naming any trial whose one-sided 95 % upper bound over its 16 replicas is below the goal.
    certificate : dict of str to float
        By finalists and certificates on fresh draws, per method of the bound.
    standard_error : float
        Largest of the shares' standard errors.
    n_simulations : int
        Simulated sweeps.
    """

    law: str
    best_trial: float
    first_candidate: float
    certificate: dict[str, float]
    standard_error: float
    n_simulations: int


def coverage_row(interval: str, law: str, n: int, truth: float, low: FloatArray, high: FloatArray) -> CoverageRow:
    """Return how often ``low <= truth <= high``."""
    n_simulations = len(low)
    below, above = float(np.mean(truth < low)), float(np.mean(truth > high))
    covered = 1.0 - below - above
    standard_error = math.sqrt(max(covered * (1.0 - covered), 1.0 / n_simulations) / n_simulations)
    return CoverageRow(interval, law, n, covered, below, above, standard_error, n_simulations)


def mean_coverage(
    name: str, rule: BoundRule, law: Law, n: int, n_simulations: int, rng: np.random.Generator
) -> list[CoverageRow]:
    """Return the coverage of the two-sided 95 % interval and of the one-sided 95 % upper bound of a mean."""
    samples = law.draw(rng, (n_simulations, n))
    low, high, upper = (rule(samples, probability) for probability in (0.025, 0.975, 0.95))
    return [
        coverage_row(name, law.name, n, 1.0, low, high),
        coverage_row(f"{name}, upper bound", law.name, n, 1.0, np.full(n_simulations, -np.inf), upper),
    ]


def bootstrap_coverage(law: Law, n: int, n_simulations: int, rng: np.random.Generator) -> CoverageRow:
    """Return the coverage of the 95 % BCa interval of a mean (999 resamples)."""
    intervals = [
        bootstrap_interval(law.draw(rng, (n,)).tolist(), np.mean, rng, n_resamples=999) for _ in range(n_simulations)
    ]
    low, high = (np.array([getattr(interval, end) for interval in intervals]) for end in ("low", "high"))
    return coverage_row("bootstrap BCa", law.name, n, 1.0, low, high)


def paired_coverage(
    name: str, rule: BoundRule, law: Law, n: int, n_simulations: int, rng: np.random.Generator
) -> CoverageRow:
    """Return the coverage of the mean difference of two arms that share half of their (log) variance by data draw."""
    shared = np.exp(rng.normal(0.0, law.log_sd / math.sqrt(2.0), (n_simulations, n)))
    arms = [shared * Law(law.name, law.log_sd / math.sqrt(2.0), law.stuck).draw(rng, shared.shape) for _ in range(2)]
    difference = arms[0] - arms[1]
    return coverage_row(
        f"{name}, paired difference", law.name, n, 0.0, rule(difference, 0.025), rule(difference, 0.975)
    )


def rate_coverage(rate: float, n: int) -> CoverageRow:
    """Return the exact coverage of a rate's interval at one rate (no simulation: sums over the binomial law)."""
    k = np.arange(n + 1)
    weights = stats.binom.pmf(k, n, rate)
    intervals = [clopper_pearson(int(i), n) for i in k]
    below = float(sum(w for w, interval in zip(weights, intervals, strict=True) if rate < (interval.low or 0.0)))
    above = float(sum(w for w, interval in zip(weights, intervals, strict=True) if rate > (interval.high or 0.0)))
    return CoverageRow("Clopper-Pearson", f"rate {rate:g}", n, 1.0 - below - above, below, above, 0.0, 0)


def worst_rate_coverage(n: int) -> CoverageRow:
    """Return the least coverage over rates from 0.005 to 0.995."""
    worst = min((rate_coverage(rate, n) for rate in np.arange(0.005, 1.0, 0.01)), key=lambda row: row.covered)
    return dataclasses.replace(worst, law="worst rate")


def rank_correlation_coverage(rho: float, n: int, n_simulations: int, rng: np.random.Generator) -> CoverageRow:
    """Return the coverage of the rank correlation's interval under a Gaussian copula with correlation `rho`."""
    truth = 6.0 / math.pi * math.asin(rho / 2.0)
    x = rng.normal(size=(n_simulations, n))
    y = rho * x + math.sqrt(1.0 - rho * rho) * rng.normal(size=(n_simulations, n))
    ends = [rank_correlation_interval(u, v) for u, v in zip(x, y, strict=True)]
    with_ends = [(interval.low, interval.high) for interval in ends if interval.low is not None]
    low, high = np.array(with_ends, dtype=np.float64).T
    return coverage_row("Spearman, Bonett-Wright", f"rank correlation {truth:.2f}", n, truth, low, high)


def certificate_false_positives(
    law: Law,
    n_simulations: int,
    rng: np.random.Generator,
    methods: Sequence[tuple[str, BoundRule]],
    excess: float = 0.001,
    n_trials: int = 50,
    n_certificate: int = 1000,
) -> CertificateRow:
    """Simulate whole sweeps in which every trial's true mean is ``(1 + excess)`` times the goal.

    The search has 16 replicas a trial; the best ten of the search get 128 fresh draws, the best three of those 1 000
    more at level 0.05 / 3. Trials draw independently here; in a sweep they share draws, which makes the three
    certificates agree more and lowers their joint rate.
    """
    best_trial = first_candidate = done = 0
    certified = {name: 0 for name, _ in methods}
    while done < n_simulations:
        sweeps = min(SWEEPS_AT_ONCE, n_simulations - done)
        search = (1.0 + excess) * law.draw(rng, (sweeps, n_trials, 16))
        best_trial += int((search.mean(axis=2).min(axis=1) < 1.0).sum())
        first_candidate += int((MEAN_METHODS["Student t"](search, 0.95) < 1.0).any(axis=1).sum())
        # All trials have one law, so which ten and which three go on does not change the law of the fresh draws.
        certificates = (1.0 + excess) * law.draw(rng, (sweeps, 3, n_certificate))
        for name, rule in methods:
            certified[name] += int((rule(certificates, 1.0 - 0.05 / 3.0) < 1.0).any(axis=1).sum())
        done += sweeps
    shares = {name: count / n_simulations for name, count in certified.items()}
    largest = max(p * (1.0 - p) for p in (best_trial / n_simulations, *shares.values()))
    return CertificateRow(
        law.name,
        best_trial / n_simulations,
        first_candidate / n_simulations,
        shares,
        math.sqrt(largest / n_simulations),
        n_simulations,
    )


def choice_coverage(
    law: Law, differ: float, n: int, n_simulations: int, rng: np.random.Generator, n_trials: int = 50
) -> list[CoverageRow]:
    """Return the coverage of the price of not knowing: loss out of range of the choice in range minus the oracle's.

    Once as `analysis.statistics.selection` does it, each half of the replicas judging what the other half chooses, and
    once by leaving out one replica at a time. The truth is the difference of the true means of the trials chosen.

    Parameters
    ----------
    law : Law
        Of the losses within a trial, in range and out of range alike and independent.
    differ : float
        Standard deviation of the logarithm of the trials' true means; 0 makes them all alike, so that the truth is 0.
    n : int
        Replicas.
    n_simulations : int
        Simulated searches.
    rng : numpy.random.Generator
    n_trials : int
        Trials of a search.
    """
    everyone = np.arange(n)
    splits = {
        "halves": halves(everyone),
        "leave one out": [(np.delete(everyone, r), everyone[r : r + 1]) for r in everyone.tolist()],
    }
    found: dict[str, list[tuple[float, FloatArray]]] = {name: [] for name in splits}
    for _ in range(n_simulations):
        true_in, true_out = np.exp(rng.normal(0.0, differ, (2, n_trials))) if differ else np.ones((2, n_trials))
        inside = true_in[:, None] * law.draw(rng, (n_trials, n))
        outside = true_out[:, None] * law.draw(rng, (n_trials, n))
        for name, split in splits.items():
            difference, truth = np.empty(n), np.empty(n)
            for judges, judged in split:
                mine, best = inside[:, judges].mean(axis=1).argmin(), outside[:, judges].mean(axis=1).argmin()
                difference[judged] = outside[mine, judged] - outside[best, judged]
                truth[judged] = true_out[mine] - true_out[best]
            found[name].append((float(truth.mean()), difference))
    word = f"{law.name}, trials {'differ' if differ else 'alike'}"
    rows = []
    rules = {f"price, {name}": (values, student_bound) for name, values in found.items()}
    rules |= {"price, published": (found["halves"], published_rule(law, difference=True))}
    for name, (values, rule) in rules.items():
        truths, differences = np.array([one for one, _ in values]), np.array([one for _, one in values])
        # Where both sides always choose the same trial the interval is the point 0; rounding must not make it miss.
        low, high = rule(differences, 0.025) - truths - 1e-12, rule(differences, 0.975) - truths + 1e-12
        rows.append(coverage_row(name, word, n, 0.0, low, high))
    return rows


def coverage_table(n_simulations: int, n_bootstrap: int, rng: np.random.Generator) -> list[CoverageRow]:
    """Return every row of the coverage table."""
    rows: list[CoverageRow] = []
    for law in LAWS:
        for n in N_REPLICAS:
            rows += mean_coverage(PUBLISHED, published_rule(law), law, n, n_simulations, rng)
            for name, rule in MEAN_METHODS.items():
                rows += mean_coverage(name, rule, law, n, n_simulations, rng)
                rows.append(paired_coverage(name, rule, law, n, n_simulations, rng))
            rows.append(paired_coverage(PUBLISHED, published_rule(law, difference=True), law, n, n_simulations, rng))
            if n_bootstrap:
                rows.append(bootstrap_coverage(law, n, n_bootstrap, rng))
    for law in (LAWS[0], LAWS[4]):
        for n in N_REPLICAS:
            rows += choice_coverage(law, 0.0, n, n_simulations // 10, rng)
            rows += choice_coverage(law, 0.1, n, n_simulations // 10, rng)
    for n in N_REPLICAS:
        rows += [rate_coverage(rate, n) for rate in (0.5, 0.8, 0.95, 0.99)]
        rows.append(worst_rate_coverage(n))
        rows += [rank_correlation_coverage(rho, n, n_simulations // 10, rng) for rho in (0.0, 0.5, 0.9)]
    return rows


def print_tables(rows: Sequence[CoverageRow], certificates: Sequence[CertificateRow]) -> None:
    """Print both tables."""
    header = f"{'nominal 95 % interval':<36}{'law':<24}{'n':>4}{'covered %':>11}{'± s.e.':>8}"
    print(header + f"{'truth below %':>15}{'above %':>9}")
    for row in sorted(rows, key=lambda row: (row.interval, row.law, row.n)):
        mark = "" if 0.93 <= row.covered <= 0.97 else "  outside 93-97"
        print(
            f"{row.interval:<36}{row.law:<24}{row.n:>4}{100 * row.covered:>11.1f}{100 * row.standard_error:>8.1f}"
            f"{100 * row.truth_below:>15.1f}{100 * row.truth_above:>9.1f}{mark}"
        )
    print("\nfalse successes, % of sweeps of 50 trials whose true mean is 0.1 % above the goal")
    methods = list(certificates[0].certificate) if certificates else []
    print(f"{'law':<14}{'best trial':>12}{'candidate':>12}" + "".join(f"{'certificate, ' + m:>31}" for m in methods))
    for sweeps in certificates:
        shares = "".join(f"{100 * sweeps.certificate[m]:>31.1f}" for m in methods)
        print(
            f"{sweeps.law:<14}{100 * sweeps.best_trial:>12.1f}{100 * sweeps.first_candidate:>12.1f}{shares}"
            f"  ± {100 * sweeps.standard_error:.1f}"
        )


SHOWN = (
    (PUBLISHED, "mean, published", tuple(law.name for law in LAWS)),
    ("Hall t", "mean, Hall t", tuple(law.name for law in LAWS)),
    ("Student t", "mean, Student t", ("body only", "long tail", "5 % stuck")),
    ("bootstrap BCa", "mean, bootstrap BCa", ("body only", "long tail", "5 % stuck")),
    (f"{PUBLISHED}, paired difference", "paired difference, published", tuple(law.name for law in LAWS)),
    ("Student t, paired difference", "paired difference, Student t", tuple(law.name for law in LAWS)),
    *(
        (key, title, ("body only, trials alike", "body only, trials differ", "5 % stuck, trials alike"))
        for key, title in (
            ("price, published", "price of not knowing, published"),
            ("price, halves", "price of not knowing, halves, Student t"),
            ("price, leave one out", "price of not knowing, leaving one out, Student t"),
        )
    ),
    ("Clopper-Pearson", "rate, Clopper-Pearson", ("worst rate",)),
    ("Spearman, Bonett-Wright", "rank correlation", ("rank correlation 0.48",)),
)
"""What the document shows of the coverage table: the interval's key, its title there, and the laws."""


def shown_lines(rows: Sequence[CoverageRow]) -> list[str]:
    """Return the document's table of `SHOWN`."""
    found = {(row.interval, row.law, row.n): row.covered for row in rows}
    lines = ["| interval | losses | " + " | ".join(f"n = {n}" for n in N_REPLICAS) + " |", "|---|---|--:|--:|--:|"]
    for key, title, names in SHOWN:
        for i, law in enumerate(names):
            cells = (f"{100 * found[key, law, n]:.1f}" if (key, law, n) in found else "-" for n in N_REPLICAS)
            lines.append(f"| {title if i == 0 else ''} | {law} | " + " | ".join(cells) + " |")
    return lines


def success_lines(rows: Sequence[CertificateRow]) -> list[str]:
    """Return the document's table of false successes."""
    lines = ["| losses | naming the best trial | naming the first candidate | a certificate |", "|---|--:|--:|--:|"]
    for row in rows:
        shares = (row.best_trial, row.first_candidate, row.certificate[CERTIFICATE])
        lines.append(f"| {row.law} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulation and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interval_coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=10_000, help="samples per row (default 10000)")
    parser.add_argument("--bootstrap", type=int, default=400, help="samples per bootstrap row; 0 leaves them out")
    parser.add_argument("--sweeps", type=int, default=1200, help="sweeps per row of the certificate (default 1200)")
    parser.add_argument("--into", type=Path, help="also write the tables into this document")
    parser.add_argument("--bounded-only", action="store_true", help="leave out everything but those tables")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the samples behind those (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args(argv)
    if not args.bounded_only:
        rng = np.random.default_rng(args.seed)
        rows = coverage_table(args.simulations, args.bootstrap, rng)
        methods: list[tuple[str, Callable[[FloatArray, float], FloatArray]]] = list(MEAN_METHODS.items())
        certificates = [
            certificate_false_positives(law, args.sweeps, rng, [(CERTIFICATE, certificate_rule(law)), *methods])
            for law in LAWS
        ]
        print_tables(rows, certificates)
        if args.json is not None:
            tables = {"coverage": [asdict(row) for row in rows], "certificate": [asdict(row) for row in certificates]}
            args.json.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
        if args.into is not None:
            write_tables(
                args.into, {"plain coverage": shown_lines(rows), "false successes": success_lines(certificates)}
            )
    if args.into is not None:
        # Streams of their own: these tables do not depend on how much is drawn for those above.
        for i, (name, lines) in enumerate({**TABLES, **DIFFERENCE_TABLES}.items()):
            write_tables(args.into, {name: lines(args.scale, np.random.default_rng([args.seed, i]))})
    return 0


if __name__ == "__main__":
    sys.exit(main())
