"""The sections of a polynomial study's report: claims, errors, fits, and what the networks look like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.intervals import mean_interval
from analysis.polynomial_claims import (
    ARMS,
    Networks,
    Question,
    barriers,
    claims,
    converged_share,
    fit_rows,
    mean_over_converged,
)
from analysis.polynomials import range_errors, unit_correlation
from analysis.sections.blocks import Block, Cell, Column, Heading, Picture, Section, Table, Text, number_text, shown
from engine.datasets.polynomial import PolynomialRows, polynomial
from engine.quadrature import hidden_outputs, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

N_STILLS = 6
CURVE_POINTS = 241


def sections(question: Question) -> list[Section]:
    """Return all sections, in reading order."""
    if not question.study.runs:
        return [Section("claims", "The claims", (Text("No network has been trained yet.", "missing"),))]
    if missing := question.study.n_expected - len(question.study.runs):
        note: tuple[Block, ...] = (
            Text(
                f"{missing} of {question.study.n_expected} networks are not trained yet; nothing is judged.", "missing"
            ),
        )
        return [Section("claims", "The claims", note)]
    return [
        claims_section(question),
        errors_section(question),
        fits_section(question),
        pictures_section(question),
        training_section(question),
        landscape_section(question),
    ]


def claims_section(question: Question) -> Section:
    """Return each claim's verdict and the evidence."""
    found = claims(question)
    n = len(question.seeds)
    verdicts = Table(
        "claims",
        f"What the article claims and what {n} seeds say. Intervals are 95 %, over seeds; conditions are judged one by "
        "one, without a correction for their number.",
        (Column("claim", "Claim", "text"), Column("verdict", "Verdict", "text")),
        tuple((claim.text, claim.verdict) for claim in found),
    )
    evidence = Table(
        "evidence",
        "The evidence: a measurement above its even value speaks for the claim. n counts seeds in which both arms "
        "converged (training error below 1); they share data and first weights.",
        (
            Column("claim", "Claim", "text"),
            Column("condition", "Condition", "text"),
            Column("budgets", "Budgets", "text"),
            Column("measure", "Measure", "text"),
            Column("value", "Value", "interval"),
            Column("n", "n"),
            Column("even", "Even"),
            Column("verdict", "Verdict", "text"),
        ),
        tuple(
            (
                claim.text,
                one.condition,
                "different" if one.budgets_differ else "equal",
                one.measure,
                shown(one.interval),
                one.interval.n,
                one.even,
                one.verdict,
            )
            for claim in found
            for one in claim.evidence
        ),
    )
    return Section("claims", "The claims", (verdicts, evidence))


def errors_section(question: Question) -> Section:
    """Return errors by recipe and at equal training error."""
    columns = (
        Column("networks", "Networks", "text"),
        Column("converged", "Converged", "interval"),
        Column("n", "n"),
        Column("training", "Training error", "interval"),
        Column("in_range", "In range", "interval"),
        Column("out_of_range", "Out of range", "interval"),
        Column("total", "Total", "interval"),
        Column("correlation", "|Correlation| of the units", "interval"),
    )
    rows = question.rows
    inside, outside = rows.in_range.sum(axis=1), (~rows.in_range).sum(axis=1)
    header = question.header
    text = (
        f"Mean squared errors against the noise-free polynomial {polynomial_text(header.coefficients)} on the training "
        f"draws stretched by {header.stretch:g}: {inside.min()} to {inside.max()} of {header.n_rows} points in range, "
        f"{outside.min()} to {outside.max()} outside, by seed. Seed 1 has the published rows. Means over the seeds "
        "that converged; each seed has its own rows and first weights. A recipe's last step is used, as in the "
        "article: Adam's last losses swing."
    )
    blocks: list[Block] = [Text(text), Table("errors", "By recipe.", columns, _error_rows(question.recipes()))]
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
            *(
                shown(mean_over_converged(values, n))
                for values in (
                    n.errors.training,
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
    """Return ``"1 + 2x + 3x^2"``."""
    powers = ["", "x", *(f"x^{k}" for k in range(2, len(coefficients)))]
    return " + ".join(f"{c:g}{power}" for c, power in zip(coefficients, powers, strict=False))


def fits_section(question: Question) -> Section:
    """Return the polynomials of units and predictions."""
    truth = [*question.header.coefficients, 0.0, 0.0, 0.0][:3]
    table = Table(
        "fits",
        "Least-squares polynomials of each hidden unit and of the network's own prediction, over the seeds that "
        "converged. Free degree: the lowest that leaves at most 1 % of the curve's variance over. The forced quadratic "
        f"of a prediction should be {', '.join(f'{c:g}' for c in truth)}. Units of the unconstrained arm are ordered "
        "by their bias, with a positive weight; solutions that mirror x count as they are.",
        (
            Column("networks", "Networks", "text"),
            Column("curve", "Curve", "text"),
            Column("inputs", "Inputs", "text"),
            Column("n", "n"),
            Column("degrees", "Free degree", "text"),
            Column("free_unexplained", "Left over", "interval"),
            *(Column(f"c{k}", f"Quadratic: x^{k}", "interval") for k in range(3)),
            Column("quadratic_unexplained", "Left over by it", "interval"),
        ),
        tuple(
            (
                row.label,
                row.curve,
                row.inputs,
                len(row.degrees),
                degrees_text(row.degrees),
                shown(row.free_unexplained),
                *(shown(c) for c in row.quadratic),
                shown(row.quadratic_unexplained),
            )
            for arm in ARMS
            for row in fit_rows(question, question.own(arm))
        ),
    )
    return Section("fits", "Polynomials of the units and of the prediction", (table,))


def degrees_text(degrees: Sequence[int]) -> str:
    """Return ``"6 (11), 7 (1)"``: each degree and how often."""
    return ", ".join(f"{degree} ({degrees.count(degree)})" for degree in sorted(set(degrees))) or "none"


def pictures_section(question: Question) -> Section:
    """Return predictions, hidden units and stills of the first seed in which both arms converged."""
    own = [question.own(arm) for arm in ARMS]
    both = np.flatnonzero(own[0].converged & own[1].converged)
    if not len(both):
        return Section(
            "pictures", "What the networks do", (Text("not shown: no seed in which both converged", "missing"),)
        )
    r = int(both[0])
    seed, rows = question.seeds[r], question.rows_of([own[0].runs[r]])
    x = _curve_inputs(rows)
    truth = polynomial(question.header.coefficients, x)
    blocks: list[Block] = [Text(f"Seed {seed}, the first in which both arms converged under their own recipes.")]
    for networks in own:
        p = networks.parameters[r : r + 1]
        prediction, units = predict(p, x[None])[0], hidden_outputs(p, x[None])[0]
        low, high = float(rows.X.min()), float(rows.X.max())
        errors = (float(networks.errors.in_range[r]), float(networks.errors.out_of_range[r]))
        sides = f"{number_text(errors[0])} in range, {number_text(errors[1])} out of range"
        finding = f"{networks.label}: mean squared error {sides}"
        name = f"prediction-{networks.arm}"
        data = _curves_table(name, x, {"truth": truth, "prediction": prediction}, low, high)
        blocks.append(
            Picture(
                name,
                f"{finding}.",
                f"Prediction against the truth. {finding}.",
                partial(draw_prediction, x, truth, prediction, (low, high), networks.label),
                data,
            )
        )
        name = f"units-{networks.arm}"
        named = {f"unit {k + 1}": unit for k, unit in enumerate(units)}
        blocks.append(
            Picture(
                name,
                f"{networks.label}: the hidden units one by one.",
                f"{networks.label}: each hidden unit's output against x; the training range is marked.",
                partial(draw_units, x, named, (low, high), networks.label),
                _curves_table(name, x, named, low, high),
            )
        )
        steps, stills = still_predictions(question, networks, r, x)
        name = f"stills-{networks.arm}"
        named = {f"after {step}": one for step, one in zip(steps, stills, strict=True)}
        blocks.append(
            Picture(
                name,
                f"{networks.label}: predictions after {steps[0]} to {steps[-1]} steps.",
                f"{networks.label}: six stills of the prediction during training, from {steps[0]} to {steps[-1]} "
                "steps; it reaches the truth in range first.",
                partial(draw_stills, x, truth, steps, stills, (low, high)),
                _curves_table(name, x, {"truth": truth, **named}, low, high),
            )
        )
    return Section("pictures", "What the networks do", tuple(blocks))


def _curve_inputs(rows: PolynomialRows) -> FloatArray:
    return np.linspace(float(rows.X_stretched.min()), float(rows.X_stretched.max()), CURVE_POINTS)


def _curves_table(name: str, x: FloatArray, curves: dict[str, FloatArray], low: float, high: float) -> Table:
    columns = (Column("x", "x"), Column("in_range", "In range", "text"), *(Column(key, key) for key in curves))
    rows = tuple(
        (float(x[i]), "yes" if low <= x[i] <= high else "no", *(float(curve[i]) for curve in curves.values()))
        for i in range(len(x))
    )
    return Table(name, "", columns, rows)


def still_predictions(
    question: Question, networks: Networks, r: int, x: FloatArray, n: int = N_STILLS
) -> tuple[list[int], list[FloatArray]]:
    """Return n moments of one network's training, evenly spread over the logarithm of the steps, and predictions."""
    checkpoints = [step for step in question.header.checkpoints if step <= networks.steps[r]]
    chosen = sorted({checkpoints[round(i)] for i in np.linspace(0, len(checkpoints) - 1, n)})
    run = networks.runs[r]
    stills = [
        predict(np.array([run.parameters[question.header.checkpoints.index(step)]]), x[None])[0] for step in chosen
    ]
    return chosen, stills


def training_section(question: Question) -> Section:
    """Return how errors and correlation go with the steps."""
    header = question.header
    steps = np.array(header.checkpoints)
    blocks: list[Block] = [
        Text(
            "Medians over the seeds that converged by the end of the longest recipe, at the same looks for all. "
            "Training goes on far beyond the point where the training error has settled."
        )
    ]
    curves: dict[str, dict[str, FloatArray]] = {"training": {}, "out_of_range": {}, "correlation": {}}
    for arm, rate in question.trainings():
        end = question.after(arm, rate, header.checkpoints[-1])
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
    header = question.header
    if not header.valley:
        return []
    blocks: list[Block] = [
        Heading("Along the valley"),
        Text(
            "The weight into the first unit is held at a fraction of the solution's own, everything else that may move "
            "is optimized again (Levenberg-Marquardt)."
        ),
    ]
    rows: list[tuple[Cell, ...]] = []
    for arm, rate in question.trainings():
        end = question.after(arm, rate, header.checkpoints[-1])
        runs = [end.runs[i] for i in np.flatnonzero(end.converged)]
        data = question.rows_of(runs)
        for i, share in enumerate(header.valley):
            solutions = np.array([run.valley_parameters[i] for run in runs])
            outside = range_errors(solutions, data).out_of_range if runs else np.zeros(0)
            training = mean_interval([run.valley_loss[i] for run in runs])
            rows.append((f"{arm}, rate {rate:.3g}", share, len(runs), shown(training), shown(mean_interval(outside))))
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


def draw_prediction(
    x: FloatArray, truth: FloatArray, prediction: FloatArray, ends: tuple[float, float], title: str
) -> Figure:
    """Draw the prediction in range and out of range in two colours over the truth."""
    from analysis.sections.style import BLACK, BLUE, RED, framed_axes, new_figure

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.8, 0.55, 2.0, 0.35)
    inside = (x >= ends[0]) & (x <= ends[1])
    axes.plot(x, truth, "-", color=BLACK, linewidth=1.4, label="truth")
    axes.plot(x[~inside], prediction[~inside], ".", color=RED, markersize=4, label="prediction, out of range")
    axes.plot(x[inside], prediction[inside], ".", color=BLUE, markersize=4, label="prediction, in range")
    _finish(axes, title, "x", "y")
    return figure


def draw_units(x: FloatArray, units: dict[str, FloatArray], ends: tuple[float, float], title: str) -> Figure:
    """Draw each hidden unit's output."""
    from analysis.sections.style import BLUE, GRAY, ORANGE, framed_axes, new_figure

    figure = new_figure(8.6, 2.8)
    axes = framed_axes(figure, 0.8, 0.55, 2.0, 0.35)
    axes.axvspan(*ends, color=GRAY, alpha=0.15, linewidth=0, label="training range")
    for (name, unit), color in zip(units.items(), (BLUE, ORANGE) * len(units), strict=False):
        axes.plot(x, unit, color=color, label=name)
    _finish(axes, title, "x", "output of the unit")
    return figure


def draw_stills(
    x: FloatArray, truth: FloatArray, steps: Sequence[int], stills: Sequence[FloatArray], ends: tuple[float, float]
) -> Figure:
    """Draw a strip of predictions during training."""
    from analysis.sections.style import BLACK, BLUE, RED, framed_axes, new_figure

    figure = new_figure(8.6, 2.2)
    inside = (x >= ends[0]) & (x <= ends[1])
    for i, (step, prediction) in enumerate(zip(steps, stills, strict=True)):
        axes = framed_axes(figure, 0.12, 0.3, 0.05, 0.35, i, len(steps))
        axes.plot(x, truth, "-", color=BLACK, linewidth=1.0)
        axes.plot(x[~inside], prediction[~inside], ".", color=RED, markersize=2)
        axes.plot(x[inside], prediction[inside], ".", color=BLUE, markersize=2)
        axes.set_ylim(float(truth.min()) - 0.1 * float(np.ptp(truth)), float(truth.max()))
        axes.set_yticklabels([])
        axes.set_title(f"{step:,}".replace(",", " "), fontsize=9)
    return figure


def draw_steps(steps: npt.NDArray[np.int64], curves: dict[str, FloatArray], title: str, log: bool) -> Figure:
    """Draw medians against steps."""
    from analysis.sections.style import BLUE, GREEN, ORANGE, RED, framed_axes, new_figure, plain_ticks

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 2.9, 0.35)
    for (label, values), color in zip(curves.items(), (BLUE, RED, GREEN, ORANGE) * len(curves), strict=False):
        axes.plot(steps, values, color=color, label=label)
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
        plain_ticks(axes, "y")
    _finish(axes, f"median {title}", "steps", title)
    return figure


def draw_lines(share: FloatArray, medians: dict[str, FloatArray]) -> Figure:
    """Draw the loss along straight lines between solutions."""
    from analysis.sections.style import BLUE, GREEN, ORANGE, framed_axes, new_figure

    figure = new_figure(8.6, 3.3)
    axes = framed_axes(figure, 0.9, 0.55, 3.4, 0.35)
    for (label, values), color in zip(medians.items(), (BLUE, ORANGE, GREEN) * len(medians), strict=False):
        axes.plot(share, values, color=color, label=label)
    axes.set_yscale("log")
    _finish(axes, "median training error on straight lines", "share of the way", "training error")
    return figure


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
