"""What the networks stand beside: exact where it is known, and only where it is about the same rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.polynomial.baselines import LEVELS, is_published, levels_of, regression_errors
from analysis.records.polynomial import PolynomialSettings
from engine.polynomial.rows import QUADRATIC, draw_rows


def question(**changes):
    values = {
        "coefficients": list(QUADRATIC), "n_rows": 10_000, "noise_sd": 0.0, "stretch": 3.0, "n_hidden": 2, "n_seeds": 2,
        "n_nodes": 64, "recipes": [], "checkpoints": [1], "thresholds": [1.0, 0.05, 0.02, 0.01, 0.005, 0.001],
        "converged_below": 1.0, "equal_error": 0.05, "valley": [],
    } | changes  # fmt: skip
    settings = PolynomialSettings(**values)
    rows = draw_rows([1, 2], settings.coefficients, settings.n_rows, settings.noise_sd, settings.stretch)
    return SimpleNamespace(settings=settings, rows=rows, seeds=[1, 2])


def test_regression_of_the_true_degree_is_exact_and_of_a_lower_one_is_not():
    asked = question()
    for errors in regression_errors(asked, 2):
        assert errors == pytest.approx([0.0, 0.0], abs=1e-15)
    inside, outside, total = regression_errors(asked, 1)
    share = asked.rows.in_range.mean(axis=1)
    assert total == pytest.approx(share * inside + (1 - share) * outside)
    assert (outside > 10 * inside).all()
    # The best line is a + b x with b = 2; what is left is 3 (x^2 - E x^2) on the stretched inputs, but for sampling.
    x = asked.rows.X_stretched
    assert total == pytest.approx((9 * (x**2 - 1) ** 2).mean(axis=1), rel=0.1)


def test_the_articles_figures_stand_beside_the_articles_question_only():
    assert is_published(question())
    assert levels_of(question()) == LEVELS
    for changes in ({"noise_sd": 0.1}, {"activation": "tanh"}, {"n_rows": 500}):
        assert not is_published(question(**changes))
    assert levels_of(question(noise_sd=0.1)) == (0.05, 0.02, 0.005, 0.001)


def test_errors_are_never_shown_below_zero():
    from analysis.polynomial.baselines import _median

    interval = _median(np.array([1e-9, 2e-9, 1.0, 3.0, 5.0, 900.0, 2.0, 1.0]))
    assert interval.low >= 0.0
