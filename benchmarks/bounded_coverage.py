"""Check by simulation what published intervals of a mean loss and certificates promise where replicas may be stuck.

``python -m benchmarks.interval_coverage --into docs/intervals.md`` writes these tables into the document. Each law has
a largest loss, which the rules are told. Laws without a unit have a body of mean 1.

``python -m benchmarks.bounded_coverage --floors results/homework`` prints what known floors gain on recorded draws.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.records.reading import read_sweep
from analysis.statistics.bounded import CERTIFICATE_WEIGHT, bounded_ends, floor_interval, loss_bound, weighted_upper
from analysis.statistics.intervals import hall_bound, student_bound

FloatArray = npt.NDArray[np.float64]
Ends = Callable[[FloatArray, float], tuple[FloatArray, FloatArray]]
N_SIMULATED = {8: 10_000, 16: 10_000, 64: 8000, 256: 4000, 1000: 2000}
"""Samples behind each figure, by their size."""
N_CERTIFICATE = {64: 6000, 1000: 2000}
LEVELS = (0.05, 0.05 / 3)
EARLY, WHOLE = 512, 1000
"""Draws after which a certificate can end, and all it can have; the bound is twice tested at half of the level."""
BOUND = 25.0
SHARES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1)
FACTORS = (5.0, 10.0, 25.0)
MISSED = (1.5, 2.0, 2.3, 2.6, 3.0, 3.5, 4.5)
"""Mean numbers of stuck draws in a sample at which the rules are most at risk."""
LOG_SD = 0.33
AT_RISK = ((2.0, LOG_SD), (5.0, LOG_SD), (5.0, 0.8), (10.0, LOG_SD), (BOUND, LOG_SD), (BOUND, 0.8))
"""Bounds in bodies, and spreads of the body's logarithm, at which the worst shares are looked for."""
VALUES_AT_ONCE = 50_000
QUANTILES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
RECORDED = {
    "blobs, recorded": (
        *(0.0013, 0.0119, 0.0152, 0.0197, 0.0230, 0.0265, 0.0298, 0.0332),
        *(0.0378, 0.0426, 0.0511, 0.0572, 0.0641, 0.0744, 0.0809, 0.1104),
    ),
    "XOR page setting, recorded": (
        *(0.0147, 0.0450, 0.0526, 0.0621, 0.0695, 0.0770, 0.0830, 0.0897),
        *(0.0963, 0.1055, 0.1201, 0.1345, 0.1694, 0.2579, 0.2969, 0.3606),
    ),
    "circle, recorded": (
        *(0.0276, 0.0503, 0.0581, 0.0658, 0.0712, 0.0761, 0.0806, 0.0855),
        *(0.0910, 0.0985, 0.1081, 0.1167, 0.1269, 0.1316, 0.1359, 0.1468),
    ),
    "spiral, recorded": (
        *(0.0001, 0.0153, 0.0246, 0.0345, 0.0435, 0.0526, 0.0631, 0.0737),
        *(0.0861, 0.1074, 0.1511, 0.2518, 0.4866, 0.4968, 0.5118, 0.6536),
    ),
}
"""Quantiles of the test losses of the winners' certificates, 1 000 draws each, of the homework sweep; bound 2."""


@dataclass(frozen=True, slots=True)
class BoundedLaw:
    """A law of losses between 0 and a bound.

    Parameters
    ----------
    name : str
        As printed.
    bound : float
        Largest loss, which the rules are told.
    mean : float
        Its exact mean.
    draw : callable
        ``draw(rng, shape)``: independent losses.
    """

    name: str
    bound: float
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


def stuck_law(share: float, factor: float, bound: float = BOUND, log_sd: float = 0.33) -> BoundedLaw:
    """Return a lognormal body of mean 1 (cut off at the bound), a share of which is at `factor` instead."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        body = np.minimum(np.exp(rng.normal(-0.5 * log_sd**2, log_sd, shape)), bound)
        losses: FloatArray = np.where(rng.random(shape) < share, factor, body)
        return losses

    at = math.log(bound) / log_sd
    body = float(special.ndtr(at - log_sd / 2) + bound * special.ndtr(-at - log_sd / 2))
    tail = {0.33: "clean", 0.8: "skewed", 1.2: "very skewed"}[log_sd]
    name = f"{100 * share:.3g} % stuck at {factor:g}" if share else tail
    return BoundedLaw(name, bound, (1.0 - share) * body + share * factor, draw)


def pareto_law(exponent: float, bound: float = BOUND) -> BoundedLaw:
    """Return Pareto losses of mean 1, cut off at the bound."""
    least = (exponent - 1.0) / exponent

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        losses: FloatArray = np.minimum(least * (1.0 + rng.pareto(exponent, shape)), bound)
        return losses

    return BoundedLaw(
        f"Pareto, exponent {exponent:g}",
        bound,
        1.0 - least**exponent * bound ** (1.0 - exponent) / (exponent - 1.0),
        draw,
    )


def lucky_law(share: float, bound: float = BOUND) -> BoundedLaw:
    """Return losses close to 1, a share of which is 50 times smaller: most replicas fail alike."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        body = np.exp(rng.normal(-0.5 * 0.05**2, 0.05, shape))
        losses: FloatArray = np.where(rng.random(shape) < share, 0.02, body)
        return losses

    return BoundedLaw(f"{100 * share:.3g} % lucky at 0.02", bound, 1.0 - share + 0.02 * share, draw)


def recorded_law(name: str) -> BoundedLaw:
    """Return the law of recorded losses: straight lines between their quantiles."""
    values = np.array(RECORDED[name])

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        losses: FloatArray = np.interp(rng.random(shape), QUANTILES, values)
        return losses

    return BoundedLaw(name, 2.0, float(np.trapezoid(values, QUANTILES)), draw)


def laws(n: int) -> list[tuple[str, BoundedLaw]]:
    """Return every law with the name of its row; the shares at most risk depend on the number of draws."""
    found = [stuck_law(0.0, 1.0, log_sd=log_sd) for log_sd in (0.33, 0.8, 1.2)]
    found += [pareto_law(2.5), pareto_law(1.5), lucky_law(0.05)]
    found += [stuck_law(share, factor) for factor in FACTORS for share in SHARES]
    found += [recorded_law(name) for name in RECORDED]
    rows = [(law.name, law) for law in found]
    for bound, log_sd in AT_RISK:
        worst = [stuck_law(count / n, bound, bound, log_sd) for count in MISSED if count / n <= 0.35]
        body = "" if log_sd == LOG_SD else ", body skewed"
        rows += [(f"worst share stuck at the bound, {bound:g}{body}", law) for law in worst]
    return [*rows, *[("worst share lucky", lucky_law(count / n)) for count in MISSED if count / n <= 0.35]]


def student_ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:  # noqa: ARG001 (one signature)
    """Return Student's 95 % interval of each row's mean."""
    return student_bound(samples, 0.025), student_bound(samples, 0.975)


def hall_ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:  # noqa: ARG001 (one signature)
    """Return Hall's."""
    return hall_bound(samples, 0.025), hall_bound(samples, 0.975)


def weighted_ends(weight: float) -> Ends:
    """Return the rule that gives the imagined draws at both ends the same weight."""

    def ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
        return -weighted_upper(-samples, 0.975, 0.0, weight), weighted_upper(samples, 0.975, bound, weight)

    return ends


def bernstein_ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
    """Return the empirical Bernstein interval: A. Maurer and M. Pontil, COLT 2009, theorem 4."""
    n, log = samples.shape[1], math.log(2.0 / 0.025)
    half = samples.std(axis=1, ddof=1) * math.sqrt(2.0 * log / n) + bound * 7.0 * log / (3.0 * (n - 1))
    mean = samples.mean(axis=1)
    return np.maximum(mean - half, 0.0), np.minimum(mean + half, bound)


def anderson_ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
    """Return Anderson's interval: the mean of the laws that the Dvoretzky-Kiefer-Wolfowitz band allows."""
    n = samples.shape[1]
    slack = math.sqrt(math.log(1.0 / 0.025) / (2.0 * n))
    share = np.maximum(np.arange(1, n + 1) / n - slack, 0.0)

    def upper(values: FloatArray, top: float) -> FloatArray:
        gaps = np.diff(np.concatenate([np.sort(values, axis=1), np.full((len(values), 1), top)], axis=1), axis=1)
        result: FloatArray = top - (gaps * share).sum(axis=1)
        return result

    return -upper(-samples, 0.0), upper(samples, bound)


def published_ends(samples: FloatArray, bound: float) -> tuple[FloatArray, FloatArray]:
    """Return the published interval."""
    return bounded_ends(samples, bound)


TRIED: dict[str, Ends] = {
    "Student t": student_ends,
    "Hall t": hall_ends,
    "empirical Bernstein": bernstein_ends,
    "Anderson": anderson_ends,
    "imagined draw of weight 1/2": weighted_ends(0.5),
    "imagined draw of weight 1 (Gaffke)": weighted_ends(1.0),
    "published: weight by how far the bound stands out": published_ends,
}


def covered(law: BoundedLaw, ends: Ends, n: int, n_simulations: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the share of samples whose interval holds the mean, and the intervals' mean width."""
    held, width, done = 0, 0.0, 0
    while done < n_simulations:
        rows = min(max(1, VALUES_AT_ONCE // n), n_simulations - done)
        samples = law.draw(rng, (rows, n))
        low, high = ends(samples, law.bound)
        held += int(((low <= law.mean) & (law.mean <= high)).sum())
        width, done = width + float((high - low).sum()), done + rows
    return held / n_simulations, width / n_simulations


def false_certificates(
    law: BoundedLaw, n: int, n_simulations: int, rng: np.random.Generator, weight: float = CERTIFICATE_WEIGHT
) -> list[float]:
    """Return how often the certificate's bound is below the mean, at each of `LEVELS`."""
    wrong, done = np.zeros(len(LEVELS)), 0
    while done < n_simulations:
        rows = min(max(1, VALUES_AT_ONCE // n), n_simulations - done)
        samples = law.draw(rng, (rows, n))
        for i, level in enumerate(LEVELS):
            wrong[i] += (weighted_upper(samples, 1.0 - level, law.bound, weight) < law.mean).sum()
        done += rows
    return [float(share) for share in wrong / n_simulations]


def coverage_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of coverage: a row a law, a column a size; where a row is of several laws, the worst."""
    table: dict[str, dict[int, float]] = {}
    for n, n_simulations in N_SIMULATED.items():
        for row, law in laws(n):
            share, _ = covered(law, published_ends, n, _few(n_simulations, scale), rng)
            table.setdefault(row, {})[n] = min(share, table.get(row, {}).get(n, 1.0))
    lines = ["| losses | " + " | ".join(f"n = {n}" for n in N_SIMULATED) + " |", "|---" + "|--:" * 5 + "|"]
    lines += [
        f"| {row} | " + " | ".join(f"{100 * found[n]:.1f}" if n in found else "-" for n in N_SIMULATED) + " |"
        for row, found in table.items()
    ]
    least = {n: min(found[n] for found in table.values() if n in found) for n in N_SIMULATED}
    return [*lines, "| **least** | " + " | ".join(f"**{100 * least[n]:.1f}**" for n in N_SIMULATED) + " |"]


def width_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of mean widths on clean losses, over Student's."""
    head = [f"n = {n}" for n in N_SIMULATED]
    lines = ["| bound, in bodies | width over Student's | " + " | ".join(head) + " |", "|--:|---" + "|--:" * 5 + "|"]
    for bound in (2.0, 5.0, 10.0, 25.0, 60.0):
        law = stuck_law(0.0, 1.0, bound)
        ours, needed = [], []
        for n, n_simulations in N_SIMULATED.items():
            _, student = covered(law, student_ends, n, _few(n_simulations // 4, scale), rng)
            _, width = covered(law, published_ends, n, _few(n_simulations // 4, scale), rng)
            ours.append(f"{width / student:.2f}")
            needed.append(f"{(1.0 - 0.07 ** (1.0 / n)) * (bound - 1.0) / student:.2f}")
        lines.append(f"| {bound:g} | published | " + " | ".join(ours) + " |")
        lines.append("| | what no sample can exclude | " + " | ".join(needed) + " |")
    return lines


def certificate_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of false certificates."""
    columns = [(n, level) for n in N_CERTIFICATE for level in LEVELS]
    table: dict[str, list[float]] = {}
    for i, (n, n_simulations) in enumerate(N_CERTIFICATE.items()):
        for row, law in laws(n):
            if "lucky" in row:
                continue
            shares = false_certificates(law, n, _few(n_simulations, scale), rng)
            cells = table.setdefault(row, [0.0] * len(columns))
            for j, share in enumerate(shares):
                cells[2 * i + j] = max(cells[2 * i + j], share)
    lines = [
        "| losses | " + " | ".join(f"n = {n}, level {100 * level:.2g} %" for n, level in columns) + " |",
        "|---" + "|--:" * len(columns) + "|",
    ]
    lines += [
        f"| {row} | " + " | ".join(f"{100 * share:.1f}" for share in cells) + " |" for row, cells in table.items()
    ]
    most = [max(column) for column in zip(*table.values(), strict=True)]
    return [*lines, "| **most** | " + " | ".join(f"**{100 * share:.1f}**" for share in most) + " |"]


def ended_early(law: BoundedLaw, n_simulations: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return what certificates that can end after `EARLY` of `WHOLE` draws do: at the goals that make most of them.

    Returns
    -------
    float
        Least coverage of the published interval, over goals at which a tenth, half and nine tenths end early.
    float
        Largest mean of what is published, over the true mean, minus 1, in absolute value; over the same goals.
    float
        How often a goal at the true mean is certified, at either test.
    """
    rows = max(1, VALUES_AT_ONCE // WHOLE)
    parts = []
    for _ in range(max(1, n_simulations // rows)):
        samples = law.draw(rng, (rows, WHOLE))
        part = [law.mean * np.ones(rows)]
        for n in (EARLY, WHOLE):
            seen = samples[:, :n]
            low, high = published_ends(seen, law.bound)
            upper = weighted_upper(seen, 1.0 - LEVELS[0] / 2, law.bound, CERTIFICATE_WEIGHT)
            part += [(low <= law.mean) & (law.mean <= high), seen.mean(axis=1), upper]
        parts.append(np.stack(part))
    _, held, mean, upper, held_last, mean_last, upper_last = np.concatenate(parts, axis=1)
    coverage, shift = 1.0, 0.0
    for share in (0.1, 0.5, 0.9):
        ends = upper < np.quantile(upper, share)
        coverage = min(coverage, float(np.where(ends, held, held_last).mean()))
        shift = max(shift, abs(float(np.where(ends, mean, mean_last).mean()) / law.mean - 1.0))
    return coverage, shift, float(((upper < law.mean) | (upper_last < law.mean)).mean())


def early_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of certificates that end early."""
    table: dict[str, tuple[float, float, float]] = {}
    for row, law in laws(EARLY):
        coverage, shift, false = ended_early(law, _few(N_SIMULATED[WHOLE], scale), rng)
        least, most_shift, most_false = table.get(row, (1.0, 0.0, 0.0))
        table[row] = min(coverage, least), max(shift, most_shift), max(false, most_false)
    lines = ["| losses | covered | mean shifted by | false certificates |", "|---|--:|--:|--:|"]
    rows = [*table.items(), ("**worst**", _worst(table))]
    return lines + [
        f"| {row} | {100 * coverage:.1f} | {100 * shift:.1f} | {100 * false:.1f} |"
        for row, (coverage, shift, false) in rows
    ]


def _worst(table: dict[str, tuple[float, float, float]]) -> tuple[float, float, float]:
    coverage, shift, false = zip(*table.values(), strict=True)
    return min(coverage), max(shift), max(false)


def tried_lines(scale: float, rng: np.random.Generator) -> list[str]:
    """Return the table of rules that were tried: least coverage over the laws, and width on clean losses."""
    sizes = (16, 64, 1000)
    lines = [
        "| rule | " + " | ".join(f"n = {n}: least coverage, width" for n in sizes) + " |",
        "|---" + "|--:" * len(sizes) + "|",
    ]
    for name, ends in TRIED.items():
        cells = []
        for n in sizes:
            n_simulations = _few(N_SIMULATED[n] // 4, scale)
            chosen = [law for _, law in laws(n) if law.bound == BOUND]
            least = min(covered(law, ends, n, n_simulations, rng)[0] for law in chosen)
            _, student = covered(chosen[0], student_ends, n, n_simulations, rng)
            cells.append(f"{100 * least:.1f}, {covered(chosen[0], ends, n, n_simulations, rng)[1] / student:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


TABLES: dict[str, Callable[[float, np.random.Generator], list[str]]] = {
    "bounded coverage": coverage_lines,
    "bounded width": width_lines,
    "false certificates": certificate_lines,
    "rules tried": tried_lines,
    "early end": early_lines,
}


def write_tables(path: Path, tables: dict[str, list[str]]) -> None:
    """Put each table between its two marks in a document.

    Raises
    ------
    ValueError
        If the document lacks a mark.
    """
    text = path.read_text("utf-8")
    for name, lines in tables.items():
        begin, end = f"<!-- measured: {name} -->\n", "<!-- end -->"
        head, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"{path}: no lines {begin.strip()} and {end}; add them where the table belongs")
        text = head + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]
    path.write_text(text, "utf-8")


def floor_lines(folder: Path, n_simulations: int, rng: np.random.Generator) -> list[str]:
    """Return what known floors gain on the certificates of a finished sweep: variances, and coverage by resampling."""
    sizes = (16, 64, 256)
    lines = [
        "| dataset | draws | variance, plain over excess | " + " | ".join(f"covered, n = {n}" for n in sizes) + " |",
        "|---|--:|--:" + "|--:" * len(sizes) + "|",
    ]
    for study in read_sweep(folder):
        for record in study.records["certificate"][:1]:
            losses, floors = np.array(record.test_loss), np.array(record.floor_test_loss, np.float64)
            excess, bound = losses - floors, loss_bound(study.header, record)
            cells = []
            for n in sizes:
                rows = rng.integers(0, len(losses), (n_simulations, n))
                found = [floor_interval(losses[i].tolist(), floors[i].tolist(), floors.mean(), bound) for i in rows]
                held = [(one.low or 0.0) <= losses.mean() <= (one.high or 0.0) for one in found]
                cells.append(f"{100 * float(np.mean(held)):.1f}")
            ratio = f"{losses.var() / excess.var():.1f}"
            lines.append(f"| {study.header.dataset} | {len(losses)} | {ratio} | " + " | ".join(cells) + " |")
    return lines


def _few(n_simulations: int, scale: float) -> int:
    return max(20, round(n_simulations * scale))


def main(argv: Sequence[str] | None = None) -> int:
    """Print what floors gain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounded_coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--floors", type=Path, required=True, help="folder of a finished sweep with known floors")
    parser.add_argument("--simulations", type=int, default=1000, help="samples per figure (default 1000)")
    args = parser.parse_args(argv)
    print("\n".join(floor_lines(args.floors, args.simulations, np.random.default_rng(0))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
