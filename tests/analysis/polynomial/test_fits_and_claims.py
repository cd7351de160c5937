"""From the published weights come the published figures; the tools around them are held to plain computations."""

import numpy as np
import pytest

from analysis.polynomial.claims import Evidence, PolynomialClaim
from analysis.polynomial.fits import (
    aligned,
    as_printed,
    fit,
    flat_valley,
    free_fit,
    hinge_unexplained,
    loss_on_line,
    range_errors,
    recovered_by_truth,
    unit_correlation,
)
from analysis.polynomial.tables import polynomial_text
from analysis.statistics.intervals import Interval
from engine.polynomial.quadrature import gauss_rule, hidden_outputs, loss_and_gradient, predict
from engine.polynomial.rows import PUBLISHED_PARAMETERS, draw_rows, trainable

ROWS = draw_rows([1])
RULE = gauss_rule(ROWS.X, ROWS.y)
CONSTRAINED = np.array(PUBLISHED_PARAMETERS["constrained"])
UNCONSTRAINED = np.array(PUBLISHED_PARAMETERS["unconstrained"])


@pytest.mark.parametrize(
    ("parameters", "training", "in_range", "out_of_range", "total"),
    [
        (CONSTRAINED, 0.04449, 1.3831, 1699.8202, 342.7689),
        (UNCONSTRAINED, 0.01179, 0.4106, 2905.6693, 584.3676),
    ],
)
def test_the_published_weights_give_the_published_errors(parameters, training, in_range, out_of_range, total):
    errors = range_errors(parameters[None], ROWS)
    assert errors.training[0] == pytest.approx(training, abs=5e-6)
    assert errors.in_range[0] == pytest.approx(in_range, abs=5e-5)
    assert errors.out_of_range[0] == pytest.approx(out_of_range, abs=5e-5)
    assert errors.total[0] == pytest.approx(total, abs=5e-5)
    assert [errors.n_in_range[0], errors.n_out_of_range[0]] == [7990, 2010]


@pytest.mark.parametrize(
    ("parameters", "unit", "printed"),
    [
        (CONSTRAINED, 0, (0.5, 0.044, -0.00005)),
        (CONSTRAINED, 1, (0.2237, 0.0676, 0.0041, -0.0002)),
        (UNCONSTRAINED, 0, (0.1094, -0.0882, 0.0102, 0.0002)),
        (UNCONSTRAINED, 1, (0.1031, 0.0799, 0.0091, -0.0003)),
    ],
)
def test_the_hidden_units_polynomials_are_the_printed_ones(parameters, unit, printed):
    x = ROWS.X_stretched[0]
    found = fit(x, hidden_outputs(parameters[None], x[None])[0, unit], len(printed) - 1)
    digits = [max(1, len(repr(value).partition(".")[2])) if value != -0.00005 else 5 for value in printed]
    rounded = [round(value, n) for value, n in zip(found.coefficients, digits, strict=True)]
    assert rounded == pytest.approx(printed, abs=1e-9)


@pytest.mark.parametrize(
    ("parameters", "degrees", "printed"),
    [
        (CONSTRAINED, (2, 3), (2.95, 6.4, 2.79, -0.134)),
        (CONSTRAINED, (2, 2), (3.56, 1.98, 2.72)),
        (UNCONSTRAINED, (3, 3), (7.16, 2.66, 2.31, -0.023)),
        (UNCONSTRAINED, (2, 2), (7.22, 2.18, 2.31)),
    ],
)
def test_the_articles_polynomials_come_from_regressing_the_true_targets_on_the_units(parameters, degrees, printed):
    found = recovered_by_truth(parameters, ROWS.X_stretched[0], ROWS.y_stretched[0], degrees)
    assert found == pytest.approx(printed, abs=0.0051)
    assert found[3:] == pytest.approx(printed[3:], abs=0.00051)


def test_the_article_fits_the_truth_not_the_prediction():
    """Fitted to its own prediction, the constrained network is far from 1, 2, 3 on stretched inputs."""
    x = ROWS.X_stretched[0]
    own = fit(x, predict(CONSTRAINED[None], x[None])[0], 2)
    assert abs(own.coefficients[2] - 3) > 1.0
    assert own.unexplained == pytest.approx(0.0933, abs=1e-4)


def test_the_published_units_correlate_as_published():
    assert unit_correlation(CONSTRAINED[None], ROWS.X)[0] == pytest.approx(0.9889, abs=2e-4)
    assert unit_correlation(UNCONSTRAINED[None], ROWS.X)[0] == pytest.approx(-0.5862, abs=6e-4)


def test_correlation_over_the_rules_nodes_is_that_over_the_rows():
    f1, f2 = hidden_outputs(UNCONSTRAINED[None], ROWS.X)[0]
    expected = np.corrcoef(f1, f2)[0, 1]
    assert unit_correlation(UNCONSTRAINED[None], ROWS.X)[0] == pytest.approx(expected, abs=1e-12)
    assert unit_correlation(UNCONSTRAINED[None], RULE.nodes, RULE.weights)[0] == pytest.approx(expected, abs=1e-10)


def test_statsmodels_prints_small_numbers_with_four_digits():
    assert as_printed(0.044138) == 0.0441
    assert as_printed(-0.0000485849) == -4.858e-05


def test_a_polynomial_is_its_own_fit_and_its_degree_is_found():
    x = np.linspace(-3, 5, 200)
    y = 1 - x + 0.5 * x**3
    assert fit(x, y, 3).coefficients == pytest.approx((1, -1, 0, 0.5), abs=1e-10)
    assert free_fit(x, y).degree == 3
    assert free_fit(x, np.full_like(x, 2.0)).coefficients == pytest.approx((2.0, 0.0), abs=1e-12)


def test_the_free_degree_leaves_at_most_one_percent_and_one_degree_less_leaves_more():
    x = ROWS.X_stretched[0]
    values = predict(UNCONSTRAINED[None], x[None])[0]
    found = free_fit(x, values)
    assert found.unexplained <= 0.01 < fit(x, values, found.degree - 1).unexplained


def test_exchanged_and_turned_units_are_the_same_function():
    rng = np.random.default_rng(1)
    p = rng.normal(size=(5, 7))
    assert predict(aligned(p), ROWS.X) == pytest.approx(predict(p, ROWS.X), rel=1e-12, abs=1e-12)
    exchanged = p[:, [1, 0, 3, 2, 5, 4, 6]]
    assert aligned(exchanged) == pytest.approx(aligned(p), rel=1e-14)
    turned = p.copy()
    turned[:, [0, 2, 4]] *= -1
    turned[:, 6] += p[:, 4]
    assert aligned(turned) == pytest.approx(aligned(p), rel=1e-12)


def test_the_line_between_two_solutions_ends_at_their_losses():
    line = loss_on_line(CONSTRAINED, UNCONSTRAINED, RULE, 11)
    ends = [loss_and_gradient(p[None], RULE)[0][0] for p in (CONSTRAINED, UNCONSTRAINED)]
    assert [line[0], line[-1]] == pytest.approx(ends, rel=1e-12)
    middle = loss_and_gradient((0.5 * CONSTRAINED + 0.5 * UNCONSTRAINED)[None], RULE)[0][0]
    assert line[5] == pytest.approx(middle, rel=1e-12)


def test_along_the_valley_a_smaller_weight_fits_better_and_stays_a_stationary_point():
    free = trainable("unconstrained", 1)[0]
    losses, solutions = flat_valley(UNCONSTRAINED, RULE, 0, [UNCONSTRAINED[0] * share for share in (1, 0.7, 0.4)], free)
    assert (np.diff(losses) < 0).all()
    assert solutions[:, 0] == pytest.approx(UNCONSTRAINED[0] * np.array([1, 0.7, 0.4]))
    for loss, solution in zip(losses, solutions, strict=True):
        found, gradient = loss_and_gradient(solution[None], RULE)
        assert loss == pytest.approx(found[0], rel=1e-9)
        scale = np.maximum(np.abs(solution), 1)
        assert np.abs(gradient[0] * scale)[1:].max() < 1e-3 * loss


def test_frozen_parameters_stay_along_the_valley():
    free = trainable("constrained", 1)[0]
    _, solutions = flat_valley(CONSTRAINED, RULE, 0, [0.15], free)
    assert solutions[0, 2:4].tolist() == CONSTRAINED[2:4].tolist()


def test_a_bent_line_is_no_remainder_for_two_lines_and_some_for_a_cubic():
    x = np.linspace(-1, 1, 401)
    bent = np.maximum(x - np.quantile(x, 0.5), 0)
    assert hinge_unexplained(x, bent) == pytest.approx(0, abs=1e-20)
    assert fit(x, bent, 3).unexplained > 1e-3
    assert hinge_unexplained(x, np.ones_like(x)) == 0.0


def evidence(low: float, high: float, condition: str, budgets_differ: bool = False) -> Evidence:
    return Evidence(condition, "ratio", Interval((low + high) / 2, low, high, 9, "made up"), 1.0, budgets_differ)


@pytest.mark.parametrize(
    ("pieces", "verdict", "fair"),
    [
        ([(1.1, 2.0, "a"), (1.2, 3.0, "b")], "holds", "the same"),
        ([(1.1, 2.0, "a"), (0.9, 3.0, "b")], "holds (1 of 2 conditions; the others are not decided)", "the same"),
        ([(1.1, 2.0, "a", True), (0.2, 0.9, "b")], "holds only under: a (different budgets)", "does not hold"),
        ([(0.9, 2.0, "a"), (1.0, 3.0, "b")], "not decided", "the same"),
        (
            [(1.1, 2.0, "a", True), (0.5, 1.5, "b")],
            "holds (1 of 2 conditions; the others are not decided)",
            "not decided",
        ),
    ],
)
def test_a_claim_holds_where_whole_intervals_speak_for_it_and_fairly_without_unequal_budgets(pieces, verdict, fair):
    claim = PolynomialClaim("a claim", tuple(evidence(*piece) for piece in pieces))
    assert (claim.verdict, claim.fair_verdict) == (verdict, fair)


def test_a_polynomial_is_written_as_one_writes_it():
    assert polynomial_text([1.0, 2.0, 3.0]) == "1 + 2x + 3x^2"
    assert polynomial_text([-1.0, 0.0, -2.0, 0.5]) == "- 1 - 2x^2 + 0.5x^3"
