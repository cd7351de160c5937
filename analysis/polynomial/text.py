"""A polynomial study's answer as plain text."""

from __future__ import annotations

from analysis.formats.plain import aligned_text, interval_text
from analysis.polynomial.answer import findings
from analysis.polynomial.claims import SAME_VERDICT, claims
from analysis.polynomial.question import Question, mean_over_converged

POLYNOMIAL_COLUMNS = ("recipe", "converged", "MSE in range", "out of range", "total")


def answer_text(question: Question) -> str:
    """Return a polynomial study's findings, its errors by recipe and its verdict on each claim."""
    recipes = question.recipes()
    rows = [
        (
            networks.label,
            f"{int(networks.converged.sum())} of {len(networks.converged)}",
            *(
                interval_text(mean_over_converged(values, networks), 2)
                for values in (networks.errors.in_range, networks.errors.out_of_range, networks.errors.total)
            ),
        )
        for networks in recipes
    ]
    lines = [*findings(question), "", aligned_text(POLYNOMIAL_COLUMNS, rows), ""]
    for claim in claims(question):
        fair = "" if claim.fair_verdict == SAME_VERDICT else f"\n  with equal budgets: {claim.fair_verdict}"
        lines.append(f"{claim.text}\n  {claim.verdict}{fair}")
    return "\n".join(lines)
