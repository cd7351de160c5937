"""Claims of the polynomial article in the lessons' form: planted truth, seed by seed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.course.text import JudgedStudy, claims_document
from analysis.polynomial import source_claims as judged_claims
from analysis.polynomial.baselines import PUBLISHED
from analysis.polynomial.source_claims import has_published_recipes, source_claims
from analysis.statistics.verdicts import judge
from engine.polynomial.rows import PUBLISHED_RATES, PUBLISHED_STEPS, QUADRATIC, draw_rows

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
        settings=SimpleNamespace(coefficients=list(QUADRATIC), n_rows=200),  # not the article's rows
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


def published(inside: float, outside: float, *, rate: float = PUBLISHED_RATES["constrained"], method: str = "adam"):
    """Return the article's study with networks at these multiples of its printed errors."""

    def own(arm: str) -> SimpleNamespace:
        printed = PUBLISHED[arm]  # type: ignore[index]
        spread = np.linspace(0.95, 1.05, R)
        sides = [printed[0] * inside * spread, printed[1] * outside * spread, printed[2] * outside * spread]
        errors = SimpleNamespace(in_range=sides[0], out_of_range=sides[1], total=sides[2])
        return SimpleNamespace(errors=errors, converged=np.arange(R) > 0, label=arm)

    asked = question(pair(1.0, 2.0))
    asked.own = own
    asked.settings = SimpleNamespace(
        coefficients=list(QUADRATIC), n_rows=10_000, noise_sd=0.0, stretch=3.0, n_hidden=2, activation="sigmoid",
        method=method,
        recipes=[
            {"arm": arm, "learning_rate": rate if arm == "constrained" else PUBLISHED_RATES["unconstrained"],
             "n_steps": PUBLISHED_STEPS[arm]}
            for arm in ("constrained", "unconstrained")
        ],
    )  # fmt: skip
    return asked


def of_claim_30(asked: SimpleNamespace) -> list[str]:
    return [judge(one).verdict for one in source_claims(asked) if one.number == "30"]  # type: ignore[arg-type]


def test_the_printed_weights_have_the_printed_errors_and_one_of_the_two_training_errors() -> None:
    found = [judge(one) for one in source_claims(published(1.0, 1.0)) if one.number == "30"]  # type: ignore[arg-type]
    assert [(one.effect.estimate, one.verdict) for one in found[:2]] == [(6.0, "holds"), (1.0, "does not hold")]


def test_a_printed_error_that_its_weights_do_not_have_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**PUBLISHED, "unconstrained": (0.41, 2905.66, 584.37)}
    monkeypatch.setattr(judged_claims, "PUBLISHED", wrong)
    first = judge(judged_claims._weights_claim())
    assert (first.effect.estimate, first.verdict) == (5.0, "does not hold")


@pytest.mark.parametrize(
    ("inside", "outside", "verdicts"),
    [
        (1.0, 1.0, ["holds"] * 3),
        (1.5, 1.1, ["does not hold", "holds", "holds"]),
        (1.0, 0.7, ["holds", "does not hold", "does not hold"]),
    ],
)
def test_networks_from_scratch_are_held_against_the_printed_errors(
    inside: float, outside: float, verdicts: list[str]
) -> None:
    assert of_claim_30(published(inside, outside))[2:] == verdicts


def test_other_recipes_are_not_held_against_the_printed_errors() -> None:
    for asked in (published(1.0, 1.0, rate=0.1), published(1.0, 1.0, method="second_order")):
        assert not has_published_recipes(asked)  # type: ignore[arg-type]
        assert len(of_claim_30(asked)) == 2
    assert of_claim_30(question(pair(1.0, 2.0))) == []
