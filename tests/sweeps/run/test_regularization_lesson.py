"""Penalties: the notes' example, and what the probes of weights count."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.course.cells import Cells
from analysis.lessons.regularization import ALIKE, claims, example
from analysis.records.lesson import CellRecord
from analysis.statistics.verdicts import Word, judge
from engine.network import NetworkConfig, Parameters
from sweeps.run.kinds import load
from sweeps.run.lesson import LessonPlan
from sweeps.run.textbook_probes import weight_quantiles, weight_size, weight_spread, zero_weights
from sweeps.run.trained import Trained
from sweeps.spec.lesson import LessonSpec


def test_equal_scores_from_spread_and_peaked_weights() -> None:
    assert example() == {"score": (1.0, 1.0), "L2": (1.0, 0.25), "L1": (1.0, 1.0)}


def test_weights_are_counted_over_all_layers_and_biases_are_not() -> None:
    W = [np.array([[[3.0, -4.0], [0.0, 0.0]]]), np.array([[[0.0], [0.0]]])]
    b = [np.full((1, 2), 7.0), np.full((1, 1), 7.0)]
    one = Trained(NetworkConfig(2, (2,)), "half_squared_error", Parameters(W, b), SimpleNamespace())  # type: ignore[arg-type]
    assert weight_size(one) == pytest.approx((25 / 6) ** 0.5)
    assert zero_weights(one) == pytest.approx(4 / 6)
    assert weight_spread(one) == pytest.approx((7 / 6) ** 2 / (25 / 6))
    even = Parameters([np.sign(w + 0.5) * 2 for w in W], b)
    spread = weight_spread(Trained(NetworkConfig(2, (2,)), "half_squared_error", even, SimpleNamespace()))  # type: ignore[arg-type]
    assert spread == pytest.approx(1.0)


def test_quantiles_are_weights_of_the_networks_that_did_not_diverge() -> None:
    rng = np.random.default_rng(0)
    W = [rng.normal(size=(3, 2, 20)), rng.normal(size=(3, 20, 1))]
    b = [np.full((3, 20), 1e6), np.full((3, 1), 1e6)]
    W[0][1, 0, 0] = np.inf
    one = Trained(NetworkConfig(2, (20,)), "half_squared_error", Parameters(W, b), SimpleNamespace())  # type: ignore[arg-type]
    found = weight_quantiles(one)
    kept = np.sort(np.concatenate([w[[0, 2]].ravel() for w in W]))
    assert len(found) == 101
    assert (found[0], found[-1]) == (kept[0], kept[-1])
    assert set(found) <= set(kept)
    assert np.searchsorted(kept, found[50]) == pytest.approx(len(kept) / 2, abs=1)
    W[0][...] = np.nan
    assert len(weight_quantiles(one)) == 0


def planted(added: float, noise: float, seed: int = 0) -> Cells:
    """Return cells in which biases in the penalty add so much to each draw's losses, but for noise."""
    spec = load("regularization")
    assert isinstance(spec, LessonSpec)
    rng, found = np.random.default_rng(seed), []
    for design, settings in spec.settings():
        if design.name != "biases":
            continue
        R = design.n_replicas
        more = added + rng.normal(0.0, noise, R) if settings["training.regularizer"] == "l2_all" else np.zeros(R)
        rows = [(0.1 + more).tolist()]
        params = {key: value for key, value in settings.items() if key not in design.fixed} | {"design": design.name}
        found.append(
            CellRecord(
                "regularization/lesson", len(found), params, {}, {}, [str(r) for r in range(R)], [600],
                {"in_range": rows, "out_of_range": rows}, [None] * R, {}, {}, {}, 0, "", "", None,
            )
        )  # fmt: skip
    header = LessonPlan(spec, Path()).header
    return Cells(SimpleNamespace(header=header, cells=found, path=None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("added", "noise", "word"),
    [(0.0, 0.001, "holds"), (2 * ALIKE, 0.001, "does not hold"), (-2 * ALIKE, 0.001, "does not hold"),
     (ALIKE, 0.02, "not decided")],
)  # fmt: skip
def test_biases_in_the_penalty_change_what_was_planted(added: float, noise: float, word: Word) -> None:
    found = [judge(one).word for one in claims(planted(added, noise)) if one.number == "46"]
    assert found == [word, word]
