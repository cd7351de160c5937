"""A verdict on each of the article's claims about the polynomial network, with the evidence behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.polynomial.measures import article_distance, bent_share, forced_distance, forced_name, largest_weight
from analysis.polynomial.question import FloatArray, Networks, Pair, Question, converged_share, ratio
from analysis.statistics.intervals import Interval, paired_difference
from analysis.statistics.resampling import rank_correlation_interval
from engine.polynomial.rows import Arm

Verdict = Literal["holds", "does not hold", "not decided"]
SAME_VERDICT = "the same"
Measure = Callable[[Networks], FloatArray]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement that bears on a claim.

    Parameters
    ----------
    condition : str
        What is compared with what.
    measure : str
        What is measured, so that above `even` speaks for the claim.
    interval : Interval
    even : float
        Value at which the measurement speaks neither way: 0 for differences, 1 for ratios, 0.5 for shares.
    budgets_differ : bool
        Whether the two arms had different rates or lengths.
    """

    condition: str
    measure: str
    interval: Interval
    even: float
    budgets_differ: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.interval.low is None or self.interval.high is None:
            return "not decided"
        if self.interval.low > self.even:
            return "holds"
        return "does not hold" if self.interval.high < self.even else "not decided"


@dataclass(frozen=True, slots=True)
class PolynomialClaim:
    """A claim of the article and what was found."""

    text: str
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> str:
        """What all the evidence says together."""
        return joint_verdict(self.evidence)

    @property
    def fair_verdict(self) -> str:
        """What the evidence under equal budgets says, or that none had different ones."""
        fair = [one for one in self.evidence if not one.budgets_differ]
        return SAME_VERDICT if len(fair) == len(self.evidence) else joint_verdict(fair)


def joint_verdict(evidence: Sequence[Evidence]) -> str:
    """Return what pieces of evidence say together: a claim holds only under some where others speak against it."""
    n = len(evidence)
    holds = [one for one in evidence if one.verdict == "holds"]
    against = [one for one in evidence if one.verdict == "does not hold"]
    if holds and against:
        conditions = dict.fromkeys(
            f"{one.condition} (different budgets)" if one.budgets_differ else one.condition for one in holds
        )
        return f"holds only under: {'; '.join(conditions)}"
    word, decided = ("holds", len(holds)) if holds else ("does not hold", len(against))
    if not decided:
        return "not decided"
    return word if decided == n else f"{word} ({decided} of {n} conditions; the others are not decided)"


def claims(question: Question) -> list[PolynomialClaim]:
    """Return the article's claims with the evidence for and against each."""
    truth = question.settings.coefficients
    pairs = question.pairs()
    by_recipe = [pair for pair in pairs if not pair.at_equal_error]
    recipes = question.recipes()
    rows = question.rows
    converged, equal = (f"{value:g}" for value in (question.settings.converged_below, question.settings.equal_error))

    measure = (
        f"distance of the forced {forced_name(truth)}'s coefficients from the true ones, unconstrained over constrained"
    )

    def distance(stretched: bool) -> Measure:
        return lambda networks: forced_distance(networks, rows, truth, stretched)

    return [
        PolynomialClaim(
            "Both networks fit the training range: in at least four of five seeds.",
            tuple(
                Evidence(
                    n.label,
                    f"share of seeds with a training error below {converged}",
                    converged_share(n),
                    0.8,
                )
                for n in recipes
            ),
        ),
        PolynomialClaim(
            "The unconstrained network converges faster.",
            (
                *_ratios(
                    [pair for pair in pairs if pair.at_equal_error],
                    "steps to that training error, constrained over unconstrained",
                    lambda networks: networks.steps,
                ),
                *(_converged_difference(pair) for pair in by_recipe),
            ),
        ),
        PolynomialClaim(
            "The constrained network's output weights are far larger: at least five times (the article: about ten).",
            _ratios(by_recipe, "largest output weight, constrained over unconstrained", largest_weight, even=5.0),
        ),
        PolynomialClaim(
            "The constrained network is far better out of range.",
            _ratios(pairs, "error out of range, unconstrained over constrained", _out_of_range, flip=True),
        ),
        PolynomialClaim(
            "The constrained network is better in total.",
            _ratios(pairs, "total error, unconstrained over constrained", lambda n: n.errors.total, flip=True),
        ),
        PolynomialClaim(
            "Its price in range is small: below a factor of two (the article reports a factor of 3.4).",
            _ratios(
                pairs,
                "error in range, unconstrained over constrained",
                lambda n: n.errors.in_range,
                flip=True,
                even=0.5,
            ),
        ),
        PolynomialClaim(
            "The constrained network's polynomial is closer to the true one.",
            (
                *_ratios(by_recipe, measure, distance(stretched=False), flip=True, note=", training inputs"),
                *_ratios(by_recipe, measure, distance(stretched=True), flip=True, note=", stretched inputs"),
                *_ratios(
                    by_recipe[:1],
                    measure,
                    lambda networks: article_distance(networks, rows, truth),
                    flip=True,
                    note=", computed from the true targets as in the article",
                ),
            ),
        ),
        PolynomialClaim(
            "The unconstrained network's units correlate less.",
            tuple(
                Evidence(
                    pair.condition,
                    "absolute correlation over the training rows, constrained minus unconstrained",
                    paired_difference(
                        np.abs(pair.constrained.correlation[pair.both]),
                        np.abs(pair.unconstrained.correlation[pair.both]),
                    ),
                    0.0,
                    pair.budgets_differ,
                )
                for pair in pairs
            ),
        ),
        PolynomialClaim(
            "Correlated units make training slow (within an arm; an association at best).",
            tuple(_slowness(question, arm, rate) for arm, rate in question.trainings()),
        ),
        PolynomialClaim(
            "Correlated units make gradients noisy (within an arm; an association at best).",
            tuple(_noisiness(question, arm, rate) for arm, rate in question.trainings()),
        ),
        PolynomialClaim(
            "The unconstrained network's units look piecewise linear, like ReLU.",
            tuple(
                Evidence(
                    f"{n.label}, {'stretched' if stretched else 'training'} inputs",
                    "share of converged networks both of whose units two lines fit better than a cubic",
                    bent_share(n, rows, stretched),
                    0.5,
                )
                for n in recipes
                if n.arm == "unconstrained"
                for stretched in (False, True)
            ),
        ),
        PolynomialClaim(
            "A better solution comes after the training error has settled.",
            tuple(
                Evidence(
                    n.label,
                    f"error out of range when the training error was first {equal}, over that at the end",
                    _later(question, n),
                    1.0,
                )
                for n in recipes
            ),
        ),
    ]


def _out_of_range(networks: Networks) -> FloatArray:
    return networks.errors.out_of_range


def _ratios(
    pairs: Sequence[Pair], measure: str, value: Measure, *, flip: bool = False, even: float = 1.0, note: str = ""
) -> tuple[Evidence, ...]:
    found = []
    for pair in pairs:
        over, under = (pair.unconstrained, pair.constrained) if flip else (pair.constrained, pair.unconstrained)
        interval = ratio(value(over), value(under), pair.both)
        found.append(Evidence(pair.condition + note, measure, interval, even, pair.budgets_differ))
    return tuple(found)


def _converged_difference(pair: Pair) -> Evidence:
    unconstrained, constrained = (n.converged.astype(np.float64) for n in (pair.unconstrained, pair.constrained))
    measure = "share of seeds that converge, unconstrained minus constrained"
    return Evidence(pair.condition, measure, paired_difference(unconstrained, constrained), 0.0, pair.budgets_differ)


def _slowness(question: Question, arm: Arm, learning_rate: float) -> Evidence:
    equal_error = question.settings.equal_error
    there = question.at_error(arm, learning_rate, equal_error)
    correlation = rank_correlation_interval(np.abs(there.correlation[there.converged]), there.steps[there.converged])
    measure = f"rank correlation of |correlation| and steps, when the training error is first {equal_error:g}"
    return Evidence(f"{arm}, rate {learning_rate:.3g}", measure, correlation, 0.0)


def _noisiness(question: Question, arm: Arm, learning_rate: float) -> Evidence:
    end = question.after(arm, learning_rate, question.settings.checkpoints[-1])
    noise = rank_correlation_interval(np.abs(end.correlation[end.converged]), end.noise[end.converged])
    measure = "rank correlation of |correlation| and highest over lowest of the last losses"
    return Evidence(f"{arm}, rate {learning_rate:.3g}", measure, noise, 0.0)


def _later(question: Question, end: Networks) -> Interval:
    early = question.at_error(end.arm, end.runs[0].learning_rate, question.settings.equal_error)
    both = early.converged & end.converged & (early.steps < end.steps)
    return ratio(early.errors.out_of_range, end.errors.out_of_range, both)
