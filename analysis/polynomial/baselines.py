"""What a polynomial study's networks stand beside: polynomial regression, the article's figures, equal training error.

Errors are shown as medians over seeds with the interval of the order statistics, which lies among the errors
themselves and so is never below 0.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.formats.blocks import Block, Cell, Missing, Paragraph, ReportColumn, ReportTable, Section, shown
from analysis.polynomial.fits import HIGHEST_DEGREE, RangeErrors, range_errors
from analysis.polynomial.question import ARMS, FloatArray, Networks, Question, ratio
from analysis.records.polynomial import DEFAULT_ACTIVATION
from analysis.statistics.intervals import Interval
from analysis.statistics.verdicts import median_interval
from engine.polynomial.rows import PUBLISHED_PARAMETERS, QUADRATIC, Arm, draw_rows

LEVELS = (0.05, 1e-2, 1e-3, 1e-5)
"""Training errors at which the arms are compared, where the study recorded that they were passed."""
PUBLISHED: dict[Arm, tuple[float, float, float]] = {
    "constrained": (1.38, 1699.82, 342.77),
    "unconstrained": (0.41, 2905.67, 584.37),
}
"""In range, out of range, total, as the article prints them."""
PUBLISHED_ROWS, PUBLISHED_STRETCH = 10_000, 3.0
ERRORS = (
    ReportColumn("in_range", "In range", "interval"),
    ReportColumn("out_of_range", "Out of range", "interval"),
    ReportColumn("total", "Total", "interval"),
)


def regression_errors(question: Question, degree: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the errors of the polynomial of a degree that is fitted to the training rows, by seed.

    In range, out of range, total, (R,) each; NaN where a side has no point.
    """
    rows = question.rows
    squares = np.stack(
        [
            (np.polynomial.Polynomial.fit(x, y, degree)(far) - truth) ** 2
            for x, y, far, truth in zip(rows.X, rows.y, rows.X_stretched, rows.y_stretched, strict=True)
        ]
    )
    sides = [
        np.where(here, squares, 0.0).sum(axis=1) / np.where(here.any(axis=1), here.sum(axis=1), np.nan)
        for here in (rows.in_range, ~rows.in_range)
    ]
    return sides[0], sides[1], squares.mean(axis=1)


def _median(values: FloatArray) -> Interval | Missing:
    return shown(median_interval(values[~np.isnan(values)]))


def regression_table(question: Question) -> ReportTable:
    """Return polynomial regression by degree, beside the networks of each arm's own recipe."""
    rows: list[tuple[Cell, ...]] = [
        (f"regression, degree {degree}", len(question.seeds), *map(_median, regression_errors(question, degree)))
        for degree in range(1, HIGHEST_DEGREE + 1)
    ]
    for arm in ARMS:
        own = question.own(arm)
        errors = (own.errors.in_range, own.errors.out_of_range, own.errors.total)
        rows.append((own.label, int(own.converged.sum()), *(_median(one[own.converged]) for one in errors)))
    return ReportTable(
        "regression",
        "Polynomial regression on the same rows, and each arm's own recipe: median squared errors over the seeds that "
        "converged, against the noise-free polynomial.",
        (ReportColumn("model", "Model", "text"), ReportColumn("n", "n"), *ERRORS),
        tuple(rows),
    )


def is_published(question: Question) -> bool:
    """Return whether a study asks what the article asked, of the same rows."""
    settings = question.settings
    return (
        tuple(settings.coefficients) == QUADRATIC
        and settings.n_rows == PUBLISHED_ROWS
        and settings.noise_sd == 0.0
        and settings.stretch == PUBLISHED_STRETCH
        and settings.n_hidden == 2
        and settings.activation == DEFAULT_ACTIVATION
    )


def published_table(question: Question) -> ReportTable:
    """Return the article's figures: as printed, from its printed weights, and from scratch."""
    rows: list[tuple[Cell, ...]] = []
    first = draw_rows([1], question.settings.coefficients, PUBLISHED_ROWS, 0.0, PUBLISHED_STRETCH)
    for arm in ARMS:
        rows.append((f"{arm}, as printed", 1, *PUBLISHED[arm]))
        weights = np.array(PUBLISHED_PARAMETERS[arm])[None]
        again: RangeErrors = range_errors(weights, first)
        rows.append((f"{arm}, from the printed weights", 1, *_single(again)))
        own = question.own(arm)
        errors = (own.errors.in_range, own.errors.out_of_range, own.errors.total)
        rows.append(
            (f"{own.label}, from scratch", int(own.converged.sum()), *(_median(e[own.converged]) for e in errors))
        )
    return ReportTable(
        "published",
        "The article's figures as printed, computed again from its printed weights on its rows, and trained from "
        "scratch (medians over the seeds that converged).",
        (ReportColumn("networks", "Networks", "text"), ReportColumn("n", "n"), *ERRORS),
        tuple(rows),
    )


def _single(errors: RangeErrors) -> tuple[float, float, float]:
    return float(errors.in_range[0]), float(errors.out_of_range[0]), float(errors.total[0])


def levels_of(question: Question) -> tuple[float, ...]:
    """Return the training errors at which the arms are compared: the article's, or four of the study's own."""
    if is_published(question):
        return LEVELS
    settings = question.settings
    own = [one for one in settings.thresholds if one <= settings.equal_error]
    return tuple(own[i] for i in sorted({round(k) for k in np.linspace(0, len(own) - 1, min(4, len(own)))}))


def equal_error_table(question: Question) -> ReportTable:
    """Return the arms at each level of training error that the study recorded, at each rate that both have."""
    rows: list[tuple[Cell, ...]] = []
    trained = question.trainings()
    rates = [rate for rate in sorted({rate for _, rate in trained}) if all((arm, rate) in trained for arm in ARMS)]
    for level in levels_of(question):
        if not any(math.isclose(level, one) for one in question.settings.thresholds):
            rows.append((f"{level:g}", "any", 0, *[Missing("the study does not record when it is passed")] * 3))
            continue
        threshold = next(one for one in question.settings.thresholds if math.isclose(level, one))
        for rate in rates:
            constrained, unconstrained = (question.at_error(arm, rate, threshold) for arm in ARMS)
            rows.append((f"{level:g}", f"{rate:.3g}", *_compared(constrained, unconstrained)))
    return ReportTable(
        "equal-error-levels",
        "Both arms when each first reaches a training error, at the same rate, over the seeds in which both do: "
        "unconstrained over constrained (geometric means; above 1 the constraint is better or slower).",
        (
            ReportColumn("level", "Training error", "text"),
            ReportColumn("rate", "Rate", "text"),
            ReportColumn("n", "Seeds"),
            ReportColumn("out_of_range", "Out of range", "interval"),
            ReportColumn("total", "Total", "interval"),
            ReportColumn("steps", "Steps, constrained over unconstrained", "interval"),
        ),
        tuple(rows),
    )


def _compared(constrained: Networks, unconstrained: Networks) -> tuple[Cell, ...]:
    both = constrained.converged & unconstrained.converged
    n = int(both.sum())
    if n == 0:
        reached = [f"{one.arm}: {int(one.converged.sum())}" for one in (constrained, unconstrained)]
        return (0, *[Missing(f"no seed in which both reach it ({', '.join(reached)})")] * 3)
    return (
        n,
        shown(ratio(unconstrained.errors.out_of_range, constrained.errors.out_of_range, both)),
        shown(ratio(unconstrained.errors.total, constrained.errors.total, both)),
        shown(ratio(constrained.steps, unconstrained.steps, both)),
    )


def baselines_section(question: Question) -> Section:
    """Return what the networks stand beside."""
    blocks: list[Block] = [regression_table(question)]
    if is_published(question):
        blocks.append(published_table(question))
    else:
        blocks.append(Paragraph("The article's figures are about other rows or another network.", "missing"))
    blocks.append(equal_error_table(question))
    return Section("baselines", "Beside polynomial regression and the article", tuple(blocks))
