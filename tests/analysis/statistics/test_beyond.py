"""Distances to the true boundary, and what the points out of range are like, against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.statistics.beyond import N_GRID, beyond_points, boundary_distance
from engine.playground.registry import DATASETS

REACH = 16.0
STEP = 2 * REACH / (N_GRID - 1)
CLOSED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "xor": lambda X: np.abs(X).min(axis=-1),
    "circle": lambda X: np.abs(np.hypot(X[..., 0], X[..., 1]) - 2.5),
    "gauss": lambda X: np.abs(X.sum(axis=-1)) / np.sqrt(2),
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_distance_to_the_true_boundary_is_the_closed_form(name: str) -> None:
    points = np.random.default_rng(1).uniform(-8, 8, (2, 500, 2))
    found = boundary_distance(DATASETS[name], 0.1, points, REACH)
    assert found is not None
    np.testing.assert_allclose(found, CLOSED[name](points), atol=STEP)


def test_a_planted_half_lies_farther_than_any_training_point() -> None:
    train = np.array([[[-5.0, -1.0], [5.0, 0.2], [0.1, 5.0], [-0.1, -5.0]]])  # farthest from XOR's axes: 1
    points = np.array([[[7.0, 7.0], [8.0, 0.7], [-7.0, 7.0], [7.0, -0.7], [0.0, 0.0]]])  # the last is in range
    found = beyond_points("xor", 0.0, train, points, np.array([[1.0, 1.0, -1.0, -1.0, 1.0]]))
    assert found is not None
    assert (found.farther, found.positive, found.n_points) == (0.5, 0.5, 4)


def test_one_class_beyond_the_circle_is_told() -> None:
    rule = DATASETS["circle"]
    points, labels = rule.beyond(np.random.default_rng(2), 2000, 0.2, 3.0)
    train = np.random.default_rng(3).uniform(-5, 5, (3, 60, 2))
    found = beyond_points("circle", 0.2, train, points[None], labels[None])
    assert found is not None
    assert found.positive == 0.0
    assert found.farther is not None
    assert found.farther > 0.5


def test_numbers_have_no_boundary_and_no_class() -> None:
    train = np.random.default_rng(4).uniform(-1, 1, (1, 20, 2))
    found = beyond_points("reg-plane", 0.0, train, np.array([[[3.0, 3.0]]]), np.array([[0.5]]))
    assert found is not None
    assert (found.farther, found.positive) == (None, None)


def test_without_a_point_out_of_range_there_is_nothing_to_describe() -> None:
    train = np.array([[[-1.0, -1.0], [1.0, 1.0]]])
    assert beyond_points("xor", 0.0, train, np.array([[[0.0, 0.5]]]), np.array([[1.0]])) is None
