"""The lowest attainable losses, against recorded figures and against the generators themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.playground import spiral
from engine.playground.draws import draw
from engine.playground.floors import FLOORS, empirical_floor, lowest_loss, polynomial_floor
from engine.playground.registry import DATASETS

ROWS = json.loads((Path(__file__).parents[2] / "playground" / "bayes_floor.json").read_text())["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dataset']}-{row['ui_noise']}")
def test_floors_equal_the_recorded_ones(row: dict[str, Any]) -> None:
    error = abs(lowest_loss(row["dataset"], row["noise"]) - row["floor"])
    assert error <= max(3 * row["floor_numerical_error"], 1e-8)


def test_all_24_rows_are_looked_at() -> None:
    assert len(ROWS) == 24


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.13, 0.5])
@pytest.mark.parametrize("name", FLOORS)
def test_floors_are_what_the_conditional_mean_loses_on_the_datasets_own_points(name: str, noise: float) -> None:
    """At any noise, not only at the recorded ones, and for the regressions too."""
    draws = draw(name, noise, 0.5, [f"f{i}" for i in range(60)])
    dataset = DATASETS[name]
    points = np.concatenate([draws.train_points, draws.test_points], axis=1)
    labels = np.concatenate([draws.train.y, draws.test.y], axis=1)
    losses = empirical_floor(dataset.conditional_mean(points, noise), labels)
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    # No draw may show an event so rare as an overlap of the blobs without noise, hence the absolute part.
    assert abs(losses.mean() - lowest_loss(name, noise)) <= 4.5 * error + 1e-4


def test_no_noise_leaves_only_what_overlaps() -> None:
    floors = {name: lowest_loss(name, 0.0) for name in FLOORS}
    assert floors["spiral"] == 0.5 / spiral.N_CENTERS
    assert 0 < floors["gauss"] < 1e-4
    assert [floors[name] for name in ("xor", "circle", "reg-plane", "reg-gauss")] == [0, 0, 0, 0]


def test_every_generated_dataset_has_a_floor() -> None:
    assert set(FLOORS) == set(DATASETS)


@pytest.mark.parametrize("name", FLOORS)
def test_more_noise_never_lowers_the_floor(name: str) -> None:
    floors = [lowest_loss(name, noise) for noise in (0.05, 0.1, 0.2, 0.3)]
    assert (np.diff(floors) >= 0).all()


def test_the_floor_on_given_points_is_a_weighted_mean_of_each_replica() -> None:
    y = np.array([[[1.0], [-1.0]], [[1.0], [1.0]], [[1.0], [1.0]]])
    mean = np.array([[0.0, -1.0], [0.5, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(empirical_floor(mean, y), [0.25, 0.0625, 0.5])
    weight = np.array([[1.0, 0.0], [1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(empirical_floor(mean[..., None], y, weight), [0.5, 0.03125, np.nan])


def test_a_polynomials_floor_is_the_variance_of_its_noise() -> None:
    assert polynomial_floor(0.5) == 0.25


def test_what_has_no_floor_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^dataset: unknown 'moons'; known: gauss, "):
        lowest_loss("moons", 0.2)
    with pytest.raises(ValueError, match=r"^noise: -0.1; give a fraction from 0$"):
        lowest_loss("xor", -0.1)
    with pytest.raises(ValueError, match=r"^noise_sd: -1; give a standard deviation from 0$"):
        polynomial_floor(-1)
