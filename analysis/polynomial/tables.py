"""The tables of a polynomial study's report: claims and their evidence, errors, fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.formats.blocks import (
    Block,
    Cell,
    Heading,
    Missing,
    Paragraph,
    ReportColumn,
    ReportTable,
    Section,
    shown,
)
from analysis.polynomial.claims import PolynomialClaim
from analysis.polynomial.fits import FEWEST_ROWS
from analysis.polynomial.measures import fit_rows, forced_degree, forced_name
from analysis.polynomial.question import (
    ARMS,
    Networks,
    Question,
    converged_share,
    mean_over_converged,
)
from analysis.polynomial.source_claims import source_claims
from analysis.statistics.intervals import COUNTED
from analysis.statistics.verdicts import judge


def claims_section(question: Question, found: Sequence[PolynomialClaim]) -> Section:
    """Return each claim's verdict."""
    table = ReportTable(
        "claims",
        f"What the article claims and what {len(question.seeds)} seeds say, under all conditions and under those in "
        "which both arms had the same rate and length. Intervals are 95 %, over seeds; conditions are judged one by "
        "one, without a correction for their number. The last section has the evidence.",
        (
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("verdict", "Verdict", "text"),
            ReportColumn("fair_verdict", "Equal budgets only", "text"),
        ),
        tuple((claim.text, claim.verdict, claim.fair_verdict) for claim in found),
    )
    return Section("claims", "The claims", (table, _source_table(question)))


def _source_table(question: Question) -> ReportTable:
    """Return the verdicts on claims 26, 29 and 30, in the form and by the rule of the lessons."""
    judged = [judge(claim) for claim in source_claims(question)]
    return ReportTable(
        "source-claims",
        "Claims 26 (under equal budgets), 29 and 30 of the sources, judged as those of the lessons are: over all "
        "conditions together and within each, at a level that holds for all of them at once.",
        (
            ReportColumn("number", "No.", "text"),
            ReportColumn("claim", "Claim", "text"),
            ReportColumn("verdict", "Verdict", "text"),
            ReportColumn("measure", "Measured", "text"),
            ReportColumn("effect", "Effect", "interval"),
            ReportColumn("n", "n"),
        ),
        tuple(
            (
                one.claim.number,
                one.claim.words,
                one.verdict,
                one.claim.measure,
                shown(one.effect),
                Missing("exact") if one.effect.method == COUNTED else one.effect.n,
            )
            for one in judged
        ),
    )


def evidence_section(question: Question, found: Sequence[PolynomialClaim]) -> Section:
    """Return the measurements behind each claim."""
    blocks: list[Block] = [
        Paragraph(
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
            ReportTable(
                f"evidence-{i}",
                f"{claim.verdict[0].upper()}{claim.verdict[1:]}."
                + ("" if several else f" Measured: {measures[0]}." if measures else ""),
                (
                    ReportColumn("condition", "Condition", "text"),
                    *((ReportColumn("measure", "Measure", "text"),) if several else ()),
                    ReportColumn("budgets", "Budgets", "text"),
                    ReportColumn("value", "Value", "interval"),
                    ReportColumn("n", "n"),
                    ReportColumn("even", "Even"),
                    ReportColumn("verdict", "Verdict", "text"),
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
        ReportColumn("networks", "Networks", "text"),
        ReportColumn("converged", "Converged", "interval"),
        ReportColumn("n", "n"),
        ReportColumn("spiked", "Spiked"),
        ReportColumn("training", "Training error", "interval"),
        ReportColumn("training_median", "its median"),
        ReportColumn("in_range", "In range", "interval"),
        ReportColumn("out_of_range", "Out of range", "interval"),
        ReportColumn("total", "Total", "interval"),
        ReportColumn("correlation", "|Correlation| of the units", "interval"),
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
    blocks: list[Block] = [Paragraph(text)]
    if few := int((outside < FEWEST_ROWS).sum()):
        text = (
            f"Error out of range: not shown for {few} of {len(outside)} seeds, fewer than {FEWEST_ROWS} points there."
        )
        blocks.append(Paragraph(text, "missing"))
    blocks += [ReportTable("errors", "By recipe.", columns, _error_rows(question.recipes()))]
    equal = [pair for pair in question.pairs() if pair.at_equal_error]
    networks = {n.label: n for pair in equal for n in (pair.constrained, pair.unconstrained)}
    if networks:
        blocks.append(
            ReportTable(
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
        Paragraph(
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
            ReportTable(
                f"fits-{arm}",
                f"{networks.label}.{note}",
                (
                    ReportColumn("curve", "Curve", "text"),
                    ReportColumn("inputs", "Inputs", "text"),
                    ReportColumn("n", "n"),
                    ReportColumn("degrees", "Free degree (networks)", "text"),
                    ReportColumn("free_unexplained", "Left over", "interval"),
                    *(ReportColumn(f"c{k}", f"Forced {forced}: {power}", "interval") for k, power in enumerate(powers)),
                    ReportColumn("forced_unexplained", "Left over by it", "interval"),
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
