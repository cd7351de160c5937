"""The sections of a polynomial study's report: claims, errors, fits, and what the networks look like."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.formats.blocks import (
    Animation,
    Block,
    Cell,
    Column,
    Heading,
    Missing,
    Picture,
    Section,
    Table,
    Text,
    number_text,
    shown,
)
from analysis.polynomial.claims import (
    ARMS,
    Claim,
    Networks,
    Pair,
    Question,
    barriers,
    claims,
    converged_share,
    fit_rows,
    forced_degree,
    forced_name,
    mean_over_converged,
    ratio,
)
from analysis.polynomial.fits import FEWEST_ROWS, free_fit, range_errors, unit_correlation
from analysis.statistics.intervals import Interval, mean_interval
from engine.polynomial.quadrature import hidden_outputs, predict
from engine.polynomial.rows import PolynomialRows, polynomial
from engine.roads.blas import one_blas_thread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FloatArray = npt.NDArray[np.float64]

N_STILLS = 6
CURVE_POINTS = 161
MOST_PANELS = 4
VALLEY_TITLES = ("training error", "error out of range")
PAIR_SIZE = (9.0, 3.3)
PAIR_MARGINS = (0.6, 0.5, 0.15, 0.35)
"""Inches: left, bottom, right, top of each panel."""


def sections(question: Question) -> list[Section]:
    """Return all sections, in reading order."""
    if not question.study.networks:
        return [Section("claims", "The claims", (Text("No network has been trained yet.", "missing"),))]
    if missing := question.study.header.n_trials - len(question.study.networks):
        note: tuple[Block, ...] = (
            Text(
                f"{missing} of {question.study.header.n_trials} networks are not trained yet; nothing is judged.",
                "missing",
            ),
        )
        return [Section("claims", "The claims", note)]
    with one_blas_thread():
        return _sections(question)


def _sections(question: Question) -> list[Section]:
    found = claims(question)
    return [
        answer_section(question),
        claims_section(question, found),
        errors_section(question),
        pictures_section(question),
        fits_section(question),
        training_section(question),
        landscape_section(question),
        evidence_section(question, found),
    ]


def answer_section(question: Question) -> Section:
    """Return the answer in a few sentences, and both arms' predictions."""
    blocks: list[Block] = [Text(text, "finding") for text in findings(question)]
    moment = _shown_moment(question)
    if moment is not None:
        own, r = moment
        seed, rows = question.seeds[r], question.rows_of([own[0].runs[r]])
        x, ends = _curve_inputs(rows), _ends(rows)
        truth = polynomial(question.settings.coefficients, x)
        curves = {n.label: predict(n.parameters[r : r + 1], x[None])[0] for n in own}
        errors = "; ".join(f"{n.label}: {_errors_text(n, r)}" for n in own)
        blocks.append(
            Picture(
                "predictions",
                f"Predictions against the truth, seed {seed}, the first in which both arms converged. {errors}.",
                f"Both networks follow the truth inside the training range and leave it outside. {errors}.",
                partial(draw_predictions, x, truth, curves, ends),
                _curves_table("predictions", x, {"truth": truth, **curves}, ends),
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
        training, outside = zip(*(_valley_errors(question, end, i) for i in (0, far)), strict=True)
        sides = (" to ".join(_estimate_text(one) for one in both) for both in (training, outside))
        parts.append("{}: training error {}, out of range {}".format(networks.arm, *sides))
    return (
        "Is that the best these networks can do? From where the longest training ended, the weight into the first unit "
        f"brought from {settings.valley[0]:g} to {settings.valley[far]:g} times its value and everything else optimized "
        f"again: {'; '.join(parts) or 'not measured, no seed converged'}."
    )


def _estimate_text(interval: Interval) -> str:
    return "not measured" if interval.estimate is None else number_text(interval.estimate)


def _valley_errors(question: Question, end: Networks, i: int) -> tuple[Interval, Interval]:
    """Return mean training error and mean error out of range at place i of the valley, over converged seeds."""
    runs = [end.runs[r] for r in np.flatnonzero(end.converged)]
    solutions = np.array([run.valley_parameters[i] for run in runs])
    outside = range_errors(solutions, question.rows_of(runs)).out_of_range if runs else np.zeros(0)
    return mean_interval([run.valley_loss[i] for run in runs]), mean_interval(outside)


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


def comparison_table(question: Question) -> Table:
    """Return the arms' errors out of range under every condition, and which conditions gave both the same."""
    return Table(
        "comparison",
        "Mean squared error out of range under every condition, over the seeds in which both arms converged. The ratio "
        "is the unconstrained error over the constrained one, a geometric mean over seeds, which share data and first "
        "weights; above 1 the constrained networks are better.",
        (
            Column("condition", "Condition", "text"),
            Column("budgets", "Budgets", "text"),
            Column("n", "Both converged"),
            *(Column(arm, arm.capitalize(), "interval") for arm in ARMS),
            Column("ratio", "Ratio", "interval"),
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


def claims_section(question: Question, found: Sequence[Claim]) -> Section:
    """Return each claim's verdict."""
    table = Table(
        "claims",
        f"What the article claims and what {len(question.seeds)} seeds say, under all conditions and under those in "
        "which both arms had the same rate and length. Intervals are 95 %, over seeds; conditions are judged one by "
        "one, without a correction for their number. The last section has the evidence.",
        (
            Column("claim", "Claim", "text"),
            Column("verdict", "Verdict", "text"),
            Column("fair_verdict", "Equal budgets only", "text"),
        ),
        tuple((claim.text, claim.verdict, claim.fair_verdict) for claim in found),
    )
    return Section("claims", "The claims", (table,))


def evidence_section(question: Question, found: Sequence[Claim]) -> Section:
    """Return the measurements behind each claim."""
    blocks: list[Block] = [
        Text(
            "A measurement above its even value speaks for the claim, once its whole interval does. n counts seeds in "
            f"which both arms converged (training error below {question.settings.converged_below:g}); they share data "
            "and first weights. Budgets are different where the arms had different rates or lengths; at equal "
            "training error the rate alone counts."
        )
    ]
    for i, claim in enumerate(found, start=1):
        measures = list(dict.fromkeys(one.measure for one in claim.evidence))
        several = len(measures) > 1
        blocks.append(Heading(claim.text))
        blocks.append(
            Table(
                f"evidence-{i}",
                f"{claim.verdict[0].upper()}{claim.verdict[1:]}."
                + ("" if several else f" Measured: {measures[0]}." if measures else ""),
                (
                    Column("condition", "Condition", "text"),
                    *((Column("measure", "Measure", "text"),) if several else ()),
                    Column("budgets", "Budgets", "text"),
                    Column("value", "Value", "interval"),
                    Column("n", "n"),
                    Column("even", "Even"),
                    Column("verdict", "Verdict", "text"),
                ),
                tuple(
                    (
                        one.condition,
                        *((one.measure,) if several else ()),
                        "different" if one.budgets_differ else "equal",
                        shown(one.interval),
                        one.interval.n,
                        one.even,
                        one.verdict,
                    )
                    for one in claim.evidence
                ),
            )
        )
    return Section("evidence", "The evidence, claim by claim", tuple(blocks))


def errors_section(question: Question) -> Section:
    """Return errors by recipe and at equal training error."""
    columns = (
        Column("networks", "Networks", "text"),
        Column("converged", "Converged", "interval"),
        Column("n", "n"),
        Column("spiked", "Spiked"),
        Column("training", "Training error", "interval"),
        Column("training_median", "its median"),
        Column("in_range", "In range", "interval"),
        Column("out_of_range", "Out of range", "interval"),
        Column("total", "Total", "interval"),
        Column("correlation", "|Correlation| of the units", "interval"),
    )
    rows = question.rows
    inside, outside = rows.in_range.sum(axis=1), (~rows.in_range).sum(axis=1)
    settings = question.settings
    text = (
        f"Mean squared errors against the noise-free polynomial {polynomial_text(settings.coefficients)} on the training "
        f"draws stretched by {settings.stretch:g}: {inside.min()} to {inside.max()} of {settings.n_rows} points in range, "
        f"{outside.min()} to {outside.max()} outside, by seed. Seed 1 has the published rows. Means over the seeds "
        "that converged; each seed has its own rows and first weights. A recipe's last step is used, as in the "
        "article. Adam's loss swings: spiked counts those whose last loss is above three times their lowest since the "
        "look before."
    )
    blocks: list[Block] = [Text(text)]
    if few := int((outside < FEWEST_ROWS).sum()):
        text = (
            f"Error out of range: not shown for {few} of {len(outside)} seeds, fewer than {FEWEST_ROWS} points there."
        )
        blocks.append(Text(text, "missing"))
    blocks += [Table("errors", "By recipe.", columns, _error_rows(question.recipes()))]
    equal = [pair for pair in question.pairs() if pair.at_equal_error]
    networks = {n.label: n for pair in equal for n in (pair.constrained, pair.unconstrained)}
    if networks:
        blocks.append(
            Table(
                "errors-at-equal-training-error",
                "When the training error was first this low; converged means that it ever was.",
                columns,
                _error_rows(list(networks.values())),
            )
        )
    return Section("errors", "Errors in range and out of range", tuple(blocks))


def _error_rows(many: Sequence[Networks]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            n.label,
            shown(converged_share(n)),
            int(n.converged.sum()),
            int(n.spiked.sum()),
            shown(mean_over_converged(n.errors.training, n)),
            float(np.median(n.errors.training[n.converged])) if n.converged.any() else Missing("not measured"),
            *(
                shown(mean_over_converged(values, n))
                for values in (
                    n.errors.in_range,
                    n.errors.out_of_range,
                    n.errors.total,
                    np.abs(n.correlation),
                )
            ),
        )
        for n in many
    )


def polynomial_text(coefficients: Sequence[float]) -> str:
    """Return ``"1 + 2x - 3x^2"``, terms of 0 left out."""
    powers = ["", "x", *(f"x^{k}" for k in range(2, len(coefficients)))]
    terms = [(c, power) for c, power in zip(coefficients, powers, strict=False) if c]
    text = " ".join(f"{'-' if c < 0 else '+'} {abs(c):g}{power}" for c, power in terms)
    return text.removeprefix("+ ") or "0"


def fits_section(question: Question) -> Section:
    """Return the polynomials of units and predictions."""
    truth, forced = question.settings.coefficients, forced_name(question.settings.coefficients)
    powers = ["1", "x", *(f"x^{k}" for k in range(2, forced_degree(truth) + 1))]
    blocks: list[Block] = [
        Text(
            "Least-squares polynomials of each hidden unit and of the network's own prediction, over the seeds that "
            "converged. Free degree: the lowest that leaves at most 1 % of the curve's variance over. The forced "
            f"{forced} of a prediction should be {polynomial_text(truth)}."
        )
    ]
    for arm in ARMS:
        networks = question.own(arm)
        note = (
            " Units are ordered by their bias, with a positive weight; solutions that mirror x count as they are."
            if arm == "unconstrained"
            else ""
        )
        blocks.append(
            Table(
                f"fits-{arm}",
                f"{networks.label}.{note}",
                (
                    Column("curve", "Curve", "text"),
                    Column("inputs", "Inputs", "text"),
                    Column("n", "n"),
                    Column("degrees", "Free degree (networks)", "text"),
                    Column("free_unexplained", "Left over", "interval"),
                    *(Column(f"c{k}", f"Forced {forced}: {power}", "interval") for k, power in enumerate(powers)),
                    Column("forced_unexplained", "Left over by it", "interval"),
                ),
                tuple(
                    (
                        row.curve,
                        row.inputs,
                        len(row.degrees),
                        degrees_text(row.degrees),
                        shown(row.free_unexplained),
                        *(shown(c) for c in row.forced),
                        shown(row.forced_unexplained),
                    )
                    for row in fit_rows(question, networks)
                ),
            )
        )
    return Section("fits", "Polynomials of the units and of the prediction", tuple(blocks))


def degrees_text(degrees: Sequence[int]) -> str:
    """Return ``"6 (11), 7 (1)"``: each degree and how often."""
    return ", ".join(f"{degree} ({degrees.count(degree)})" for degree in sorted(set(degrees))) or "none"


def pictures_section(question: Question) -> Section:
    """Return how predictions grew and what the hidden units do, for the first seed in which both arms converged."""
    title = "What the networks do"
    moment = _shown_moment(question)
    if moment is None:
        return Section("pictures", title, (Text("not shown: no seed in which both arms converged", "missing"),))
    own, r = moment
    seed, rows = question.seeds[r], question.rows_of([own[0].runs[r]])
    x, ends = _curve_inputs(rows), _ends(rows)
    truth = polynomial(question.settings.coefficients, x)
    blocks: list[Block] = [Text(f"Seed {seed}, the first in which both arms converged under their own recipes.")]
    blocks.append(_animation(question, own, r, x, truth, ends))
    for networks in own:
        steps = _still_steps(question, networks, r)
        stills = _predictions_at(question, networks, r, steps, x)
        name = f"stills-{networks.arm}"
        named = {f"after {step}": one for step, one in zip(steps, stills, strict=True)}
        blocks.append(
            Picture(
                name,
                f"Stills: {networks.label}, predictions after {steps[0]} to {_grouped(steps[-1])} steps.",
                f"{networks.label}: {len(steps)} stills of the prediction during training, from {steps[0]} to "
                f"{_grouped(steps[-1])} steps; it reaches the truth in range first.",
                partial(draw_stills, x, truth, steps, stills, ends),
                _curves_table(name, x, {"truth": truth, **named}, ends),
            )
        )
    for networks in own:
        blocks.append(_units_picture(networks, r, rows, x, ends))
    return Section("pictures", title, tuple(blocks))


def _shown_moment(question: Question) -> tuple[list[Networks], int] | None:
    """Return both arms under their own recipes, and the place of the first seed in which both converged."""
    own = [question.own(arm) for arm in ARMS]
    both = np.flatnonzero(own[0].converged & own[1].converged)
    return (own, int(both[0])) if len(both) else None


def _animation(
    question: Question, own: Sequence[Networks], r: int, x: FloatArray, truth: FloatArray, ends: tuple[float, float]
) -> Animation:
    """Return both arms' predictions at every look up to the end of the longer recipe."""
    longest = max(float(n.steps[r]) for n in own)
    steps = [step for step in question.settings.checkpoints if step <= longest]
    shown_steps = {n.arm: [min(step, int(n.steps[r])) for step in steps] for n in own}
    every = {n.arm: _predictions_at(question, n, r, shown_steps[n.arm], x) for n in own}
    losses = {
        n.arm: [n.runs[r].loss[question.settings.checkpoints.index(step)] for step in shown_steps[n.arm]] for n in own
    }
    columns = {
        f"{n.arm}, after {step}": every[n.arm][i] for i, step in enumerate(steps) for n in own if step <= n.steps[r]
    }
    panels = [(every[n.arm], [f"{n.arm}, {_grouped(s)} steps" for s in shown_steps[n.arm]], losses[n.arm]) for n in own]
    text = f"predictions of both arms at {len(steps)} moments from {steps[0]} to {_grouped(steps[-1])} steps"
    return Animation(
        "animation",
        f"Animation: {text}, each under its own recipe; an arm whose recipe has ended stands still.",
        f"Animation of the {text}: inside the training range they close in on the truth, outside they stay "
        "away from it.",
        partial(animate_predictions, x, truth, panels, ends),
        _curves_table("animation", x, {"truth": truth, **columns}, ends),
    )


def _units_picture(
    networks: Networks, r: int, rows: PolynomialRows, x: FloatArray, ends: tuple[float, float]
) -> Picture:
    """Return each hidden unit of one network with the polynomial that the training inputs make of it."""
    p = networks.parameters[r : r + 1]
    units, on_rows = hidden_outputs(p, x[None])[0], hidden_outputs(p, rows.X)[0]
    fits = [free_fit(rows.X[0], values) for values in on_rows]
    curves = {f"unit {k + 1}": unit for k, unit in enumerate(units)}
    fitted = {
        f"degree {one.degree} polynomial of unit {k + 1}": polynomial(one.coefficients, x) for k, one in enumerate(fits)
    }
    name = f"units-{networks.arm}"
    degrees = ", ".join(str(one.degree) for one in fits)
    weights = ", ".join(number_text(float(w)) for w in p[0, 2 * len(units) : 3 * len(units)])
    more = "" if len(units) <= MOST_PANELS else f" The first {MOST_PANELS} of {len(units)} are drawn."
    text = (
        f"{networks.label}: the hidden units one by one, and the polynomials of degree {degrees} that fit them on the "
        f"training inputs; their output weights are {weights}.{more}"
    )
    return Picture(
        name,
        text,
        text,
        partial(draw_units, x, units, list(fitted.items()), ends),
        _curves_table(name, x, curves | fitted, ends),
    )


def _errors_text(networks: Networks, r: int) -> str:
    errors = networks.errors
    return (
        f"mean squared error {number_text(float(errors.in_range[r]))} in range, "
        f"{number_text(float(errors.out_of_range[r]))} out of range"
    )


def _grouped(steps: int) -> str:
    return f"{steps:,}".replace(",", " ")


def _ends(rows: PolynomialRows) -> tuple[float, float]:
    return float(rows.X.min()), float(rows.X.max())


def _curve_inputs(rows: PolynomialRows) -> FloatArray:
    low = min(float(rows.X_stretched.min()), float(rows.X.min()))
    return np.linspace(low, max(float(rows.X_stretched.max()), float(rows.X.max())), CURVE_POINTS)


def _curves_table(name: str, x: FloatArray, curves: dict[str, FloatArray], ends: tuple[float, float]) -> Table:
    columns = (Column("x", "x"), Column("in_range", "In range", "text"), *(Column(key, key) for key in curves))
    rows = tuple(
        (float(x[i]), "yes" if ends[0] <= x[i] <= ends[1] else "no", *(float(curve[i]) for curve in curves.values()))
        for i in range(len(x))
    )
    return Table(name, "", columns, rows)


def _still_steps(question: Question, networks: Networks, r: int, n: int = N_STILLS) -> list[int]:
    """Return n looks at one network's training, evenly spread over the logarithm of the steps."""
    looks = [step for step in question.settings.checkpoints if step <= networks.steps[r]]
    return sorted({looks[round(i)] for i in np.linspace(0, len(looks) - 1, n)})


def _predictions_at(
    question: Question, networks: Networks, r: int, steps: Sequence[int], x: FloatArray
) -> list[FloatArray]:
    """Return one network's predictions at some looks."""
    there = [networks.runs[r].parameters[question.settings.checkpoints.index(step)] for step in steps]
    return list(predict(np.array(there), x[None]))


def training_section(question: Question) -> Section:
    """Return how errors and correlation go with the steps."""
    settings = question.settings
    steps = np.array(settings.checkpoints)
    blocks: list[Block] = [
        Text(
            "Medians over the seeds that converged by the end of the longest recipe, at the same looks for all. "
            "Training goes on far beyond the point where the training error has settled."
        )
    ]
    curves: dict[str, dict[str, FloatArray]] = {"training": {}, "out_of_range": {}, "correlation": {}}
    for arm, rate in question.trainings():
        end = question.after(arm, rate, settings.checkpoints[-1])
        chosen = np.flatnonzero(end.converged)
        if not len(chosen):
            continue
        runs = [end.runs[i] for i in chosen]
        rows = question.rows_of(runs)
        label = f"{arm}, rate {rate:.3g}, n = {len(runs)}"
        looks = [np.array([run.parameters[i] for run in runs]) for i in range(len(steps))]
        errors = [range_errors(p, rows) for p in looks]
        curves["training"][label] = np.array([np.median(e.training) for e in errors])
        curves["out_of_range"][label] = np.array([np.median(e.out_of_range) for e in errors])
        curves["correlation"][label] = np.array([np.median(np.abs(unit_correlation(p, rows.X))) for p in looks])
    titles = {
        "training": "training error",
        "out_of_range": "error out of range",
        "correlation": "|correlation| of the hidden units",
    }
    for key, title in titles.items():
        if not curves[key]:
            blocks.append(Text(f"{title}: not shown: no seed converged", "missing"))
            continue
        last = "; ".join(f"{label}: {number_text(float(values[-1]))}" for label, values in curves[key].items())
        table = Table(
            f"steps-{key.replace('_', '-')}",
            "",
            (Column("steps", "Steps"), *(Column(label, label) for label in curves[key])),
            tuple((int(step), *(float(v[i]) for v in curves[key].values())) for i, step in enumerate(steps)),
        )
        blocks.append(
            Picture(
                table.name,
                f"Median {title} against steps. At the end: {last}.",
                f"Median {title} against steps. At the end: {last}.",
                partial(draw_steps, steps, curves[key], title, key != "correlation"),
                table,
            )
        )
    return Section("training", "Long after the training error has settled", tuple(blocks))


def landscape_section(question: Question) -> Section:
    """Return the loss between two solutions and along the valley."""
    found = barriers(question)
    table = Table(
        "barriers",
        "Straight lines between solutions (units turned to a positive weight and ordered by bias): decimal logarithm "
        "of the highest training error on the line over the higher of its two ends'. n counts lines.",
        (Column("between", "Between", "text"), Column("n", "n"), Column("height", "Height of the barrier", "interval")),
        tuple((one.label, one.height.n, shown(one.height)) for one in found),
    )
    blocks: list[Block] = [table]
    with_lines = [one for one in found if len(one.lines)]
    if with_lines:
        share = np.linspace(0, 1, with_lines[0].lines.shape[1])
        medians = {one.label: np.median(one.lines, axis=0) for one in with_lines}
        data = Table(
            "lines",
            "",
            (Column("share", "Share of the way"), *(Column(label, label) for label in medians)),
            tuple((float(s), *(float(v[i]) for v in medians.values())) for i, s in enumerate(share)),
        )
        text = "; ".join(f"{one.label}: up to {number_text(float(medians[one.label].max()))}" for one in with_lines)
        blocks.append(
            Picture(
                "lines",
                f"Median training error along the straight lines. {text}.",
                f"Median training error along straight lines between solutions. {text}.",
                partial(draw_lines, share, medians),
                data,
            )
        )
    blocks += valley_blocks(question)
    return Section("landscape", "The loss between and along the solutions", tuple(blocks))


def valley_blocks(question: Question) -> list[Block]:
    """Return training error and out-of-range error along the valleys of the longest recipes."""
    settings = question.settings
    if not settings.valley:
        return []
    blocks: list[Block] = [
        Heading("Along the valley"),
        Text(
            "The weight into the first unit is held at a fraction of the value it had after the longest recipe, "
            "everything else that may move is optimized again (by a dogleg method). Where the training error goes on "
            "falling, the networks had not arrived: they were still on their way down a valley."
        ),
    ]
    rows: list[tuple[Cell, ...]] = []
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for arm, rate in question.trainings():
        end = question.after(arm, rate, settings.checkpoints[-1])
        label = f"{arm}, rate {rate:.3g}"
        for i, share in enumerate(settings.valley):
            training, outside = _valley_errors(question, end, i)
            rows.append((label, share, int(end.converged.sum()), shown(training), shown(outside)))
            for values, one in zip(curves.setdefault(label, ([], [])), (training, outside), strict=True):
                values.append(math.nan if one.estimate is None else one.estimate)
    drawn = {label: one for label, one in curves.items() if np.isfinite(one[0]).all()}
    if drawn:
        shares = np.array(settings.valley)
        text = "; ".join(
            f"{label}: from {number_text(trained[0])} to {number_text(trained[-1])} in training, "
            f"from {number_text(outside[0])} to {number_text(outside[-1])} out of range"
            for label, (trained, outside) in drawn.items()
        )
        both = {f"{label}, {what}": one[k] for label, one in drawn.items() for k, what in enumerate(VALLEY_TITLES)}
        blocks.append(
            Picture(
                "valley-curves",
                f"Mean training error and error out of range along the valley. {text}.",
                f"Mean errors along the valley, from the solution to a small weight. {text}.",
                partial(draw_valley, shares, drawn),
                Table(
                    "valley-curves",
                    "",
                    (Column("share", "Weight, as a multiple"), *(Column(key, key) for key in both)),
                    tuple((float(s), *(values[i] for values in both.values())) for i, s in enumerate(shares)),
                ),
            )
        )
    blocks.append(
        Table(
            "valley",
            "Training error and error out of range along the valley, means over the seeds that converged.",
            (
                Column("networks", "Networks", "text"),
                Column("share", "Weight, as a multiple"),
                Column("n", "n"),
                Column("training", "Training error", "interval"),
                Column("out_of_range", "Error out of range", "interval"),
            ),
            tuple(rows),
        )
    )
    return blocks


def draw_predictions(
    x: FloatArray, truth: FloatArray, predictions: dict[str, FloatArray], ends: tuple[float, float]
) -> Figure:
    """Draw predictions side by side, in range and out of range in two colours, over the truth."""
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    for i, (title, prediction) in enumerate(predictions.items()):
        axes = framed_axes(figure, *PAIR_MARGINS, i, len(predictions))
        _draw_over_truth(axes, x, truth, prediction, ends)
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("x")
        if i == 0:
            axes.set_ylabel("y")
            axes.legend(loc="upper center")
    return figure


def animate_predictions(
    x: FloatArray,
    truth: FloatArray,
    panels: Sequence[tuple[Sequence[FloatArray], Sequence[str], Sequence[float]]],
    ends: tuple[float, float],
) -> Iterator[Figure]:
    """Yield one figure again and again, moved on by one look each time.

    Parameters
    ----------
    x, truth : ndarray (n,)
    panels : sequence of (predictions, titles, training errors)
        Side by side; one entry a look.
    ends : (float, float)
        The training range.
    """
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    drawn = []
    for i, (predictions, _, _) in enumerate(panels):
        axes = framed_axes(figure, *PAIR_MARGINS, i, len(panels))
        drawn.append((axes, *_draw_over_truth(axes, x, truth, predictions[0], ends)))
        axes.set_xlabel("x")
        if i == 0:
            axes.legend(loc="upper center")
    inside = (x >= ends[0]) & (x <= ends[1])
    for moment in range(len(panels[0][0])):
        for (axes, inner, outer), (predictions, titles, losses) in zip(drawn, panels, strict=True):
            inner.set_ydata(predictions[moment][inside])
            outer.set_ydata(predictions[moment][~inside])
            axes.set_title(f"{titles[moment]}: training error {number_text(losses[moment])}", fontsize=9.5)
        yield figure


def _draw_over_truth(
    axes: Axes, x: FloatArray, truth: FloatArray, prediction: FloatArray, ends: tuple[float, float], size: float = 4.0
) -> tuple[Line2D, Line2D]:
    """Draw the truth as a line and the prediction as points; return the points in range and out of range."""
    from analysis.formats.style import BLACK, BLUE, RED

    inside = (x >= ends[0]) & (x <= ends[1])
    axes.plot(x, truth, "-", color=BLACK, linewidth=1.2, label="truth")
    (outer,) = axes.plot(x[~inside], prediction[~inside], ".", color=RED, markersize=size, label="out of range")
    (inner,) = axes.plot(x[inside], prediction[inside], ".", color=BLUE, markersize=size, label="in range")
    height = float(np.ptp(truth)) or 1.0
    axes.set_ylim(float(truth.min()) - 0.15 * height, float(truth.max()) + 0.05 * height)
    return inner, outer


def draw_units(
    x: FloatArray, units: FloatArray, fitted: Sequence[tuple[str, FloatArray]], ends: tuple[float, float]
) -> Figure:
    """Draw each hidden unit's output beside the others, each with its polynomial."""
    from analysis.formats.style import BLUE, GRAY, ORANGE, framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 2.7)
    n = min(len(units), MOST_PANELS)
    for k in range(n):
        axes = framed_axes(figure, *PAIR_MARGINS, k, n)
        axes.axvspan(*ends, color=GRAY, alpha=0.15, linewidth=0, label="training range")
        axes.plot(x, units[k], color=BLUE, label=f"unit {k + 1}")
        name, values = fitted[k]
        axes.plot(x, values, color=ORANGE, linewidth=1.4, linestyle="--", label=name.partition(" of ")[0])
        axes.set_ylim(-0.1, 1.1)
        axes.set_title(f"unit {k + 1}", fontsize=9.5)
        axes.set_xlabel("x")
        axes.legend(loc="best", fontsize=8)
    return figure


def draw_stills(
    x: FloatArray, truth: FloatArray, steps: Sequence[int], stills: Sequence[FloatArray], ends: tuple[float, float]
) -> Figure:
    """Draw a strip of predictions during training."""
    from analysis.formats.style import framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 2.2)
    for i, (step, prediction) in enumerate(zip(steps, stills, strict=True)):
        axes = framed_axes(figure, 0.12, 0.3, 0.05, 0.35, i, len(steps))
        _draw_over_truth(axes, x, truth, prediction, ends, size=2.0)
        axes.set_yticklabels([])
        axes.set_title(_grouped(step), fontsize=9)
    return figure


def draw_steps(steps: npt.NDArray[np.int64], curves: dict[str, FloatArray], title: str, log: bool) -> Figure:
    """Draw medians against steps."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, RED, framed_axes, new_figure, plain_ticks

    figure = new_figure(PAIR_SIZE[0], 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 3.0, 0.35)
    for (label, values), color in zip(curves.items(), (BLUE, RED, GREEN, ORANGE) * len(curves), strict=False):
        axes.plot(steps, values, color=color, label=label)
    axes.set_xscale("log")
    plain_ticks(axes, "x")
    if log:
        _set_log(axes, list(curves.values()))
    _finish(axes, f"median {title}", "steps", title)
    return figure


def draw_lines(share: FloatArray, medians: dict[str, FloatArray]) -> Figure:
    """Draw the loss along straight lines between solutions."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, framed_axes, new_figure

    figure = new_figure(PAIR_SIZE[0], 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 4.1, 0.35)
    for (label, values), color in zip(medians.items(), (BLUE, ORANGE, GREEN) * len(medians), strict=False):
        axes.plot(share, values, color=color, label=label)
    _set_log(axes, list(medians.values()))
    _finish(axes, "median training error on straight lines", "share of the way", "training error")
    return figure


def draw_valley(shares: FloatArray, curves: dict[str, tuple[list[float], list[float]]]) -> Figure:
    """Draw training error and error out of range against the weight that is held, side by side."""
    from analysis.formats.style import BLUE, GREEN, ORANGE, RED, framed_axes, new_figure

    figure = new_figure(*PAIR_SIZE)
    for k, title in enumerate(VALLEY_TITLES):
        axes = framed_axes(figure, 0.9, *PAIR_MARGINS[1:], k, 2)
        for (label, both), color in zip(curves.items(), (BLUE, RED, GREEN, ORANGE) * len(curves), strict=False):
            axes.plot(shares, both[k], ".-", color=color, label=label)
        _set_log(axes, [np.array(both[k]) for both in curves.values()])
        axes.set_title(title, fontsize=9.5)
        axes.set_xlabel("weight into the first unit, as a multiple of the solution's")
        if k == 0:
            axes.legend(loc="best", fontsize=8)
    return figure


def _set_log(axes: Axes, curves: Sequence[FloatArray]) -> None:
    """Make the y axis logarithmic, where the curves allow it."""
    from analysis.formats.style import plain_ticks

    if all((values > 0).all() for values in curves):
        axes.set_yscale("log")
        plain_ticks(axes, "y")


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
