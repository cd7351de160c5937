"""The built-in polynomial study, in full, finds what an independent implementation found from the same recipes."""

import math
import tomllib
from importlib import resources

import numpy as np
import pytest

from analysis.polynomial.question import ARMS, Question
from sweeps.data.polynomial import parse_polynomial_spec
from sweeps.run.study import run_sweep

# Out-of-range error over the networks that converge, of 20 seeds of that implementation: mean, standard deviation, n.
MEASURED = {"constrained": (1764.0, 160.0, 20), "unconstrained": (2899.0, 200.0, 11)}


@pytest.mark.slow
def test_the_published_recipes_from_scratch_give_the_measured_errors_and_shares(tmp_path):
    table = tomllib.loads(resources.files("sweeps").joinpath("specs", "polynomials", "quadratic.toml").read_text())
    table |= {"recipes": table["recipes"][:2], "valley": []}
    (study,) = run_sweep(parse_polynomial_spec(table, "quadratic.toml"), tmp_path, workers=2)
    question = Question(study)
    converged = {}
    for arm in ARMS:
        networks = question.own(arm)
        mean, sd, n = MEASURED[arm]
        values = networks.errors.out_of_range[networks.converged]
        assert abs(values.mean() - mean) <= 2 * sd / math.sqrt(n), arm
        converged[arm] = len(values)
    assert converged["constrained"] == 20
    # 11 of 20 against k of 20: within two standard errors of a difference of two such shares.
    assert abs(converged["unconstrained"] - 11) <= 2 * math.sqrt(2 * 20 * 0.55 * 0.45)
    constrained = question.own("constrained")
    assert np.median(constrained.errors.training) == pytest.approx(0.0475, rel=0.05)
    assert np.median(constrained.errors.in_range) == pytest.approx(1.80, rel=0.15)
