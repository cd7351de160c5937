"""The answer of a polynomial study: how far to trust the networks, whose merit that is, how surely they train."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from analysis.formats.blocks import (
    Block,
    Paragraph,
    Picture,
    ReportColumn,
    ReportTable,
    Section,
    number_text,
    shown,
)
from analysis.polynomial.curves import curve_inputs, curves_table, ends_of, shown_moment
from analysis.polynomial.drawing import (
    draw_predictions,
)
from analysis.polynomial.fits import FEWEST_ROWS
from analysis.polynomial.question import (
    ARMS,
    Networks,
    Pair,
    Question,
    mean_over_converged,
    ratio,
    valley_errors,
)
from analysis.statistics.intervals import Interval, mean_interval
from engine.polynomial.quadrature import predict
from engine.polynomial.rows import polynomial


def answer_section(question: Question) -> Section:
    """Return the answer in a few sentences, and both arms' predictions."""
    blocks: list[Block] = [Paragraph(text, "finding") for text in findings(question)]
    moment = shown_moment(question)
    if moment is not None:
        own, r = moment
        seed, rows = question.seeds[r], question.rows_of([own[0].runs[r]])
        x, ends = curve_inputs(rows), ends_of(rows)
        truth = polynomial(question.settings.coefficients, x)
        curves = {n.label: predict(n.parameters[r : r + 1], x[None], n.activation)[0] for n in own}
        errors = "; ".join(f"{n.label}: {_errors_text(n, r)}" for n in own)
        blocks.append(
            Picture(
                "predictions",
                f"Predictions against the truth, seed {seed}, the first in which both arms converged. {errors}.",
                f"Both networks follow the truth inside the training range and leave it outside. {errors}.",
                partial(draw_predictions, x, truth, curves, ends),
                curves_table("predictions", x, {"truth": truth, **curves}, ends),
            )
        )
    blocks.append(comparison_table(question))
    return Section("answer", "The answer", tuple(blocks))


def findings(question: Question) -> list[str]:
    """Return what the study answers: how far to trust the networks, whose merit that is, how surely they train."""
    own = [question.own(arm) for arm in ARMS]
    texts = []
    n_outside = (~question.rows.in_range).sum(axis=1)
    if n_outside.max() < FEWEST_ROWS:
        texts.append(
            f"Nothing is said about trust beyond the training range: no seed has more than {n_outside.max()} points "
            f"there, and fewer than {FEWEST_ROWS} are not shown."
        )
    else:
        texts += [_trust_text(question, own), _merit_text(question.pairs())]
        if question.settings.valley:
            texts.append(_valley_text(question, own))
    shares = [
        f"{arm}: {_range_text([int(n.converged.sum()) for n in question.recipes() if n.arm == arm])}" for arm in ARMS
    ]
    texts.append(
        f"How surely do they train? Of {len(question.seeds)} seeds these came below a training error of "
        f"{question.settings.converged_below:g}, by recipe: {'; '.join(shares)}. Errors are those of networks that did."
    )
    return texts


def _trust_text(question: Question, own: Sequence[Networks]) -> str:
    rows = question.rows
    outside = np.where(rows.in_range, np.nan, (rows.y_stretched - rows.y.mean(axis=1, keepdims=True)) ** 2)
    constant = mean_interval([float(np.nanmean(one)) for one in outside if np.isfinite(one).any()])
    parts, lows = [], []
    for n in own:
        times = ratio(n.errors.out_of_range, n.errors.in_range, n.converged)
        lows.append(times.low)
        out = _interval_text(mean_over_converged(n.errors.out_of_range, n))
        parts.append(f"{out} for the {n.arm} networks, {_interval_text(times)} times that in range")
    grows = all(low is not None and low > 1 for low in lows)
    return (
        f"Can they be trusted beyond the training range? {'No. ' if grows else ''}Each arm under its own recipe, the "
        f"mean squared error out of range is {'; '.join(parts)}. A constant, the mean training target, has "
        f"{_interval_text(constant)}."
    )


def _valley_text(question: Question, own: Sequence[Networks]) -> str:
    settings = question.settings
    far = int(np.argmin(np.abs(settings.valley)))
    parts = []
    for networks in own:
        end = question.after(networks.arm, networks.runs[0].learning_rate, settings.checkpoints[-1])
        if not end.converged.any():
            continue
        training, outside = zip(*(valley_errors(question, end, i) for i in (0, far)), strict=True)
        sides = (" to ".join(_estimate_text(one) for one in both) for both in (training, outside))
        parts.append("{}: training error {}, out of range {}".format(networks.arm, *sides))
    return (
        "Is that the best these networks can do? From where the longest training ended, the weight into the first unit "
        f"brought from {settings.valley[0]:g} to {settings.valley[far]:g} times its value and everything else "
        f"optimized again: {'; '.join(parts) or 'not measured, no seed converged'}."
    )


def _estimate_text(interval: Interval) -> str:
    return "not measured" if interval.estimate is None else number_text(interval.estimate)


def _merit_text(pairs: Sequence[Pair]) -> str:
    first, same = pairs[0], [pair for pair in pairs if not (pair.budgets_differ or pair.at_equal_error)]
    difference = ", but rate or length differ there" if first.budgets_differ else ""
    text = (
        "Is that the merit of the constraint? Under each arm's own recipe the unconstrained error out of range is "
        f"{_interval_text(_advantage(first))} times the constrained one (n = {int(first.both.sum())}){difference}."
    )
    found = [one for one in map(_advantage, same) if one.low is not None and one.high is not None]
    if not found:
        return f"{text} No comparison under the same rate and length was measured."
    better = sum(one.low is not None and one.low > 1 for one in found)
    worse = sum(one.high is not None and one.high < 1 for one in found)
    estimates = [one.estimate for one in found if one.estimate is not None]
    values = " to ".join(dict.fromkeys(number_text(value) for value in (min(estimates), max(estimates))))
    return (
        f"{text} Under the same rate and length for both it is {values} times: in {better} of {len(found)} comparisons "
        f"the constrained networks are better, in {worse} worse, in {len(found) - better - worse} neither is shown."
    )


def _range_text(counts: Sequence[int]) -> str:
    """Return ``"7 to 12"``, or ``"20"`` where all are the same."""
    return " to ".join(str(k) for k in sorted({min(counts), max(counts)}))


def comparison_table(question: Question) -> ReportTable:
    """Return the arms' errors out of range under every condition, and which conditions gave both the same."""
    return ReportTable(
        "comparison",
        "Mean squared error out of range under every condition, over the seeds in which both arms converged. The ratio "
        "is the unconstrained error over the constrained one, a geometric mean over seeds, which share data and first "
        "weights; above 1 the constrained networks are better.",
        (
            ReportColumn("condition", "Condition", "text"),
            ReportColumn("budgets", "Budgets", "text"),
            ReportColumn("n", "Both converged"),
            *(ReportColumn(arm, arm.capitalize(), "interval") for arm in ARMS),
            ReportColumn("ratio", "Ratio", "interval"),
        ),
        tuple(
            (
                pair.condition,
                "different" if pair.budgets_differ else "equal",
                int(pair.both.sum()),
                *(
                    shown(mean_interval(n.errors.out_of_range[pair.both]))
                    for n in (pair.constrained, pair.unconstrained)
                ),
                shown(_advantage(pair)),
            )
            for pair in question.pairs()
        ),
    )


def _advantage(pair: Pair) -> Interval:
    return ratio(pair.unconstrained.errors.out_of_range, pair.constrained.errors.out_of_range, pair.both)


def _interval_text(interval: Interval) -> str:
    """Return ``"1.67 (1.59 to 1.76)"``, or why there is none."""
    if interval.estimate is None:
        return f"not measured ({interval.reason})"
    if interval.low is None or interval.high is None:
        return f"{number_text(interval.estimate)} (n = {interval.n}, no interval)"
    return f"{number_text(interval.estimate)} ({number_text(interval.low)} to {number_text(interval.high)})"


def _errors_text(networks: Networks, r: int) -> str:
    errors = networks.errors
    return (
        f"mean squared error {number_text(float(errors.in_range[r]))} in range, "
        f"{number_text(float(errors.out_of_range[r]))} out of range"
    )
