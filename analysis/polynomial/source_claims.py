"""The claims of the polynomial article that every lesson's kind of verdict can be given on: 26, 29 and 30."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analysis.course.cells import pooled
from analysis.course.page import recorded_study_words
from analysis.course.text import JudgedStudy
from analysis.polynomial.baselines import (
    PUBLISHED,
    PUBLISHED_ROWS,
    PUBLISHED_STRETCH,
    is_published,
    regression_errors,
)
from analysis.polynomial.fits import RangeErrors, range_errors
from analysis.polynomial.question import ARMS, FloatArray, Networks, Question
from analysis.records.polynomial import DEFAULT_METHOD
from analysis.records.study import Study
from analysis.statistics.verdicts import Claim, Sample, judge
from engine.polynomial.rows import PUBLISHED_PARAMETERS, PUBLISHED_RATES, PUBLISHED_STEPS, QUADRATIC, Arm, draw_rows

QUESTION = "Can a network that learnt a parabola be trusted beyond its range, and does freezing biases help?"
SOURCE = "article on polynomials (claims 26, 29, 30)"
CLOSE = 0.2
"""How near the median of networks from scratch must be to the article's figure, as a share of it."""
TRAINING_AS_PRINTED = 0.045
"""Mean squared error after training that the article gives for both arms."""
ABOUT = 0.02
"""Share by which a figure that is given as "about" may be off."""
HELD = "equal rate and length, or equal rate and training error; same seeds"


def source_claims(question: Question) -> list[Claim]:
    """Return claim 26, the comparison with regression of claim 29, and of the article's study itself claim 30."""
    return [_total_claim(question), *_regression_claims(question), *_published_claims(question)]


def _published_claims(question: Question) -> list[Claim]:
    """Return whether the article's figures follow from its weights, and from its recipes trained anew.

    Nothing for a study that asks about other rows or another network; the figures from scratch only where each arm's
    own recipe is the article's.
    """
    if not is_published(question):
        return []
    found = [_weights_claim(), _training_claim()]
    if has_published_recipes(question):
        found += [_scratch_claim(question, i, place) for i, place in enumerate(("within the range", "beyond the range",
                                                                                "in total"))]  # fmt: skip
    return found


def has_published_recipes(question: Question) -> bool:
    """Return whether each arm's own recipe is the article's: full-batch Adam at its rate for its steps."""
    own = {arm: next((one for one in question.settings.recipes if one["arm"] == arm), None) for arm in ARMS}
    return question.settings.method == DEFAULT_METHOD and all(
        recipe is not None
        and math.isclose(float(recipe["learning_rate"]), PUBLISHED_RATES[arm], rel_tol=1e-9)
        and int(recipe["n_steps"]) == PUBLISHED_STEPS[arm]
        for arm, recipe in own.items()
    )


def _from_weights() -> dict[Arm, RangeErrors]:
    """Return the errors of the article's printed weights on its rows."""
    rows = draw_rows([1], QUADRATIC, PUBLISHED_ROWS, 0.0, PUBLISHED_STRETCH)
    return {arm: range_errors(np.array(PUBLISHED_PARAMETERS[arm])[None], rows) for arm in ARMS}


def _three(errors: RangeErrors) -> tuple[FloatArray, FloatArray, FloatArray]:
    return errors.in_range, errors.out_of_range, errors.total


def _exact(n: int) -> tuple[Sample, ...]:
    return (Sample("", "exact", np.array([float(n)])),)


def _weights_claim() -> Claim:
    again = _from_weights()
    equal = [
        f"{float(value[0]):.2f}" == f"{printed:.2f}"
        for arm in ARMS
        for value, printed in zip(_three(again[arm]), PUBLISHED[arm], strict=True)
    ]
    words = "The article's printed weights have the errors that it prints"
    measure = (
        "of the six printed errors (both arms within, beyond the range and in total) those that the printed weights "
        "have on the article's rows, to the printed digits"
    )
    return Claim("30", words, measure, "equals", float(len(equal)), _exact(sum(equal)), budget="same rows")


def _training_claim() -> Claim:
    again = _from_weights()
    equal = [abs(float(again[arm].training[0]) / TRAINING_AS_PRINTED - 1.0) <= ABOUT for arm in ARMS]
    words = "... and both the training error of about 0.045 that it gives for both"
    measure = "of the two arms those whose printed weights have that training error on the article's rows, to 2 in 100"
    return Claim("30", words, measure, "equals", float(len(equal)), _exact(sum(equal)), budget="same rows")


def _scratch_claim(question: Question, i: int, place: str) -> Claim:
    samples = []
    for arm in ARMS:
        own = question.own(arm)
        values = np.where(own.converged, _three(own.errors)[i] / PUBLISHED[arm][i], np.nan)
        samples.append(Sample(arm, "median", values))
    words = f"Trained from scratch by its recipes, networks come to the article's error {place}, to a fifth of it"
    measure = f"error {place} over the article's printed one (median over the seeds that converged)"
    return Claim(
        "30", words, measure, "within", 1.0, tuple(samples), pooled(samples), CLOSE, "the article's rates and lengths"
    )


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


def judged_study(study: Study, recorded: Sequence[str] = ()) -> JudgedStudy:
    """Return a polynomial study with its verdicts, as the list of all claims has them."""
    judgments = tuple(judge(claim) for claim in source_claims(Question(study)))
    note = recorded_study_words(study) if study.header.sweep in recorded else ""
    return JudgedStudy("Polynomials", study.header.sweep, QUESTION, SOURCE, judgments, note)
