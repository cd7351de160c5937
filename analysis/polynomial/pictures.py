"""The pictures of a polynomial study's report: predictions, units, training, the loss between solutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from analysis.formats.blocks import (
    Animation,
    Block,
    Cell,
    Heading,
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
    MOST_PANELS,
    VALLEY_TITLES,
    animate_predictions,
    draw_lines,
    draw_steps,
    draw_stills,
    draw_units,
    draw_valley,
    grouped,
)
from analysis.polynomial.fits import free_fit, range_errors, unit_correlation
from analysis.polynomial.measures import barriers
from analysis.polynomial.question import (
    FloatArray,
    Networks,
    Question,
    valley_errors,
)
from engine.polynomial.quadrature import hidden_outputs, predict
from engine.polynomial.rows import PolynomialRows, polynomial

N_STILLS = 6


def pictures_section(question: Question) -> Section:
    """Return how predictions grew and what the hidden units do, for the first seed in which both arms converged."""
    title = "What the networks do"
    moment = shown_moment(question)
    if moment is None:
        return Section("pictures", title, (Paragraph("not shown: no seed in which both arms converged", "missing"),))
    own, r = moment
    seed, rows = question.seeds[r], question.rows_of([own[0].runs[r]])
    x, ends = curve_inputs(rows), ends_of(rows)
    truth = polynomial(question.settings.coefficients, x)
    blocks: list[Block] = [Paragraph(f"Seed {seed}, the first in which both arms converged under their own recipes.")]
    blocks.append(_animation(question, own, r, x, truth, ends))
    for networks in own:
        steps = _still_steps(question, networks, r)
        stills = _predictions_at(question, networks, r, steps, x)
        name = f"stills-{networks.arm}"
        named = {f"after {step}": one for step, one in zip(steps, stills, strict=True)}
        blocks.append(
            Picture(
                name,
                f"Stills: {networks.label}, predictions after {steps[0]} to {grouped(steps[-1])} steps.",
                f"{networks.label}: {len(steps)} stills of the prediction during training, from {steps[0]} to "
                f"{grouped(steps[-1])} steps; it reaches the truth in range first.",
                partial(draw_stills, x, truth, steps, stills, ends),
                curves_table(name, x, {"truth": truth, **named}, ends),
            )
        )
    for networks in own:
        blocks.append(_units_picture(networks, r, rows, x, ends))
    return Section("pictures", title, tuple(blocks))


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
    panels = [(every[n.arm], [f"{n.arm}, {grouped(s)} steps" for s in shown_steps[n.arm]], losses[n.arm]) for n in own]
    text = f"predictions of both arms at {len(steps)} moments from {steps[0]} to {grouped(steps[-1])} steps"
    return Animation(
        "animation",
        f"Animation: {text}, each under its own recipe; an arm whose recipe has ended stands still.",
        f"Animation of the {text}: inside the training range they close in on the truth, outside they stay "
        "away from it.",
        partial(animate_predictions, x, truth, panels, ends),
        curves_table("animation", x, {"truth": truth, **columns}, ends),
    )


def _units_picture(
    networks: Networks, r: int, rows: PolynomialRows, x: FloatArray, ends: tuple[float, float]
) -> Picture:
    """Return each hidden unit of one network with the polynomial that the training inputs make of it."""
    p = networks.parameters[r : r + 1]
    units, on_rows = (hidden_outputs(p, at, networks.activation)[0] for at in (x[None], rows.X))
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
        curves_table(name, x, curves | fitted, ends),
    )


def _still_steps(question: Question, networks: Networks, r: int, n: int = N_STILLS) -> list[int]:
    """Return n looks at one network's training, evenly spread over the logarithm of the steps."""
    looks = [step for step in question.settings.checkpoints if step <= networks.steps[r]]
    return sorted({looks[round(i)] for i in np.linspace(0, len(looks) - 1, n)})


def _predictions_at(
    question: Question, networks: Networks, r: int, steps: Sequence[int], x: FloatArray
) -> list[FloatArray]:
    """Return one network's predictions at some looks."""
    there = [networks.runs[r].parameters[question.settings.checkpoints.index(step)] for step in steps]
    return list(predict(np.array(there), x[None], networks.activation))


def training_section(question: Question) -> Section:
    """Return how errors and correlation go with the steps."""
    settings = question.settings
    steps = np.array(settings.checkpoints)
    blocks: list[Block] = [
        Paragraph(
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
        errors = [range_errors(p, rows, settings.activation) for p in looks]
        curves["training"][label] = np.array([np.median(e.training) for e in errors])
        curves["out_of_range"][label] = np.array([np.median(e.out_of_range) for e in errors])
        curves["correlation"][label] = np.array(
            [np.median(np.abs(unit_correlation(p, rows.X, activation=settings.activation))) for p in looks]
        )
    titles = {
        "training": "training error",
        "out_of_range": "error out of range",
        "correlation": "|correlation| of the hidden units",
    }
    for key, title in titles.items():
        if not curves[key]:
            blocks.append(Paragraph(f"{title}: not shown: no seed converged", "missing"))
            continue
        last = "; ".join(f"{label}: {number_text(float(values[-1]))}" for label, values in curves[key].items())
        table = ReportTable(
            f"steps-{key.replace('_', '-')}",
            "",
            (ReportColumn("steps", "Steps"), *(ReportColumn(label, label) for label in curves[key])),
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
    table = ReportTable(
        "barriers",
        "Straight lines between solutions (units turned to a positive weight and ordered by bias): decimal logarithm "
        "of the highest training error on the line over the higher of its two ends'. n counts lines.",
        (
            ReportColumn("between", "Between", "text"),
            ReportColumn("n", "n"),
            ReportColumn("height", "Height of the barrier", "interval"),
        ),
        tuple((one.label, one.height.n, shown(one.height)) for one in found),
    )
    blocks: list[Block] = [table]
    with_lines = [one for one in found if len(one.lines)]
    if with_lines:
        share = np.linspace(0, 1, with_lines[0].lines.shape[1])
        medians = {one.label: np.median(one.lines, axis=0) for one in with_lines}
        data = ReportTable(
            "lines",
            "",
            (ReportColumn("share", "Share of the way"), *(ReportColumn(label, label) for label in medians)),
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
        Paragraph(
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
            training, outside = valley_errors(question, end, i)
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
                ReportTable(
                    "valley-curves",
                    "",
                    (ReportColumn("share", "Weight, as a multiple"), *(ReportColumn(key, key) for key in both)),
                    tuple((float(s), *(values[i] for values in both.values())) for i, s in enumerate(shares)),
                ),
            )
        )
    blocks.append(
        ReportTable(
            "valley",
            "Training error and error out of range along the valley, means over the seeds that converged.",
            (
                ReportColumn("networks", "Networks", "text"),
                ReportColumn("share", "Weight, as a multiple"),
                ReportColumn("n", "n"),
                ReportColumn("training", "Training error", "interval"),
                ReportColumn("out_of_range", "Error out of range", "interval"),
            ),
            tuple(rows),
        )
    )
    return blocks
