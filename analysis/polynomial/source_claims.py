"""The claims of the polynomial article that every lesson's kind of verdict can be given on: 26, and 29 beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.course.cells import pooled
from analysis.course.text import JudgedStudy
from analysis.polynomial.baselines import regression_errors
from analysis.polynomial.question import FloatArray, Networks, Question
from analysis.records.study import Study
from analysis.statistics.verdicts import Claim, Sample, judge

QUESTION = "Can a network that learnt a parabola be trusted beyond its range, and does freezing biases help?"
SOURCE = "article on polynomials (claims 26, 29)"
HELD = "equal rate and length, or equal rate and training error; same seeds"


def source_claims(question: Question) -> list[Claim]:
    """Return claim 26 and the comparison with regression of claim 29, under equal budgets, seed by seed."""
    return [_total_claim(question), *_regression_claims(question)]


def _total_claim(question: Question) -> Claim:
    found = []
    for pair in question.pairs():
        if not pair.budgets_differ:
            lower = pair.constrained.errors.total < pair.unconstrained.errors.total
            found.append(Sample(pair.condition, "share", _where(lower, pair.both)))
    measure = "share of seeds, in which both converged, with a lower total error constrained than unconstrained"
    words = "The constrained network's total error, too, is better"
    return Claim("26", words, measure, "above", 0.5, tuple(found), pooled(found), budget=HELD)


def _where(lower: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.where(known, lower.astype(np.float64), np.nan), np.float64)


def _regression_claims(question: Question) -> list[Claim]:
    degree = len(question.settings.coefficients) - 1
    found = []
    for beyond, place in ((False, "within"), (True, "beyond")):
        inside, outside, _ = regression_errors(question, degree)
        samples = [
            Sample(networks.label, "share", _where((outside if beyond else inside) < _errors(networks, beyond),
                                                   networks.converged))
            for networks in question.recipes()
        ]  # fmt: skip
        measure = (
            f"share of converged seeds with a lower error {place} the range by regression of the true degree, "
            f"{degree}, on the same rows than by the network"
        )
        words = f"Polynomial regression of degree {degree} is better {place} the range than the network"
        found.append(Claim("29", words, measure, "above", 0.5, tuple(samples), pooled(samples), budget="same rows"))
    return found


def _errors(networks: Networks, beyond: bool) -> FloatArray:
    return networks.errors.out_of_range if beyond else networks.errors.in_range


def judged_study(study: Study) -> JudgedStudy:
    """Return a polynomial study with its verdicts, as the list of all claims has them."""
    judgments = tuple(judge(claim) for claim in source_claims(Question(study)))
    return JudgedStudy("Polynomials", study.header.sweep, QUESTION, SOURCE, judgments)
