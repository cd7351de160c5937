"""Claims of the polynomial article in the lessons' form: planted truth, seed by seed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.course.text import JudgedStudy, claims_document
from analysis.polynomial.source_claims import source_claims
from analysis.statistics.verdicts import judge
from engine.polynomial.rows import QUADRATIC, draw_rows

R = 20


def networks(total: float, converged: np.ndarray | None = None) -> SimpleNamespace:
    errors = SimpleNamespace(**dict.fromkeys(("total", "in_range", "out_of_range"), np.full(R, total)))
    return SimpleNamespace(errors=errors, converged=np.ones(R, np.bool_) if converged is None else converged, label="a")


def pair(constrained: float, unconstrained: float, *, differ: bool = False, both: np.ndarray | None = None):
    known = np.ones(R, np.bool_) if both is None else both
    return SimpleNamespace(
        condition=f"{constrained} and {unconstrained}", budgets_differ=differ, both=known,
        constrained=networks(constrained), unconstrained=networks(unconstrained),
    )  # fmt: skip


def question(*pairs: SimpleNamespace, error: float = 1.0) -> SimpleNamespace:
    seeds = list(range(1, R + 1))
    return SimpleNamespace(
        settings=SimpleNamespace(coefficients=list(QUADRATIC)),
        rows=draw_rows(seeds, list(QUADRATIC), 200, 0.0, 3.0),
        pairs=lambda: list(pairs),
        recipes=lambda: [networks(error)],
    )


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([pair(1.0, 2.0)], "holds"),
        ([pair(2.0, 1.0)], "does not hold"),
        ([pair(1.0, 2.0), pair(2.0, 1.0)], "holds only under 1.0 and 2.0; not under 2.0 and 1.0"),
        ([pair(2.0, 1.0), pair(1.0, 3.0, differ=True)], "does not hold"),  # unequal budgets have no say
        ([pair(1.0, 2.0, both=np.arange(R) < 2)], "not decided at n = 2"),
    ],
)
def test_the_total_error_is_judged_under_equal_budgets_only(pairs: list[SimpleNamespace], verdict: str) -> None:
    total = judge(source_claims(question(*pairs))[0])  # type: ignore[arg-type]
    assert total.claim.number == "26"
    assert total.verdict.split("; about")[0] == verdict


def test_regression_is_exact_and_better_than_a_network_with_an_error_and_not_than_one_without() -> None:
    for error, verdict in ((1.0, "holds"), (0.0, "does not hold")):
        found = [judge(one).verdict for one in source_claims(question(pair(1.0, 2.0), error=error))[1:]]  # type: ignore[arg-type]
        assert found == [verdict] * 2


def test_a_study_that_is_no_lesson_stands_in_the_document_and_its_claims_need_no_reason() -> None:
    judged = tuple(judge(one) for one in source_claims(question(pair(1.0, 2.0))))  # type: ignore[arg-type]
    without, text = (
        claims_document([], [], others=others)
        for others in ((), [JudgedStudy("Polynomials", "quadratic", "Q?", "S", judged)])
    )
    assert "## Polynomials (`quadratic`)\n\nQ?\n\nSource: S.\n\n| No. |" in text
    assert "| 26 | The constrained network's total error, too, is better | holds |" in text
    assert "- 26: " in without
    assert "- 29: " in without
    assert "- 26: " not in text
    assert "- 29: " not in text
