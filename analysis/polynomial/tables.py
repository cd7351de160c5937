"""The tables of a polynomial study's report: claims and their evidence, errors, fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.formats.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Missing,
    Section,
    Table,
    Text,
    shown,
)
from analysis.polynomial.claims import Claim
from analysis.polynomial.fits import FEWEST_ROWS
from analysis.polynomial.measures import fit_rows, forced_degree, forced_name
from analysis.polynomial.question import (
    ARMS,
    Networks,
    Question,
    converged_share,
    mean_over_converged,
)


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
        f"Mean squared errors against the noise-free polynomial {polynomial_text(settings.coefficients)} on the "
        f"training draws stretched by {settings.stretch:g}: {inside.min()} to {inside.max()} of {settings.n_rows} "
        f"points in range, {outside.min()} to {outside.max()} outside, by seed. Seed 1 has the published "
        "rows. Means over the seeds that converged; each seed has its own rows and first weights. A recipe's last step "
        "is used, as in the article. Adam's loss swings: spiked counts those whose last loss is above three times "
        "their lowest since the look before."
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
