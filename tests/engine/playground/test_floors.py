"""The lowest attainable losses, against recorded figures and against the generators themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.playground import spiral
from engine.playground.draws import draw
from engine.playground.registry import DATASETS, lowest_loss

ROWS = json.loads((Path(__file__).parents[2] / "playground" / "bayes_floor.json").read_text())["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dataset']}-{row['ui_noise']}")
def test_floors_equal_the_recorded_ones(row: dict[str, Any]) -> None:
    error = abs(lowest_loss(row["dataset"], row["noise"]) - row["floor"])
    assert error <= max(3 * row["floor_numerical_error"], 1e-8)


def test_all_24_rows_are_looked_at() -> None:
    assert len(ROWS) == 24


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.13, 0.5])
@pytest.mark.parametrize("name", DATASETS)
def test_floors_are_what_the_conditional_mean_loses_on_the_datasets_own_points(name: str, noise: float) -> None:
    """At any noise, not only at the recorded ones, and for the regressions too."""
    draws = draw(name, noise, 0.5, [f"f{i}" for i in range(60)])
    dataset = DATASETS[name]
    points = np.concatenate([draws.train_points, draws.test_points], axis=1)
    labels = np.concatenate([draws.train.y, draws.test.y], axis=1)
    losses = 0.5 * ((dataset.conditional_mean(points, noise) - labels[..., 0]) ** 2).mean(axis=1)
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    # No draw may show an event so rare as an overlap of the blobs without noise, hence the absolute part.
    assert abs(losses.mean() - lowest_loss(name, noise)) <= 4.5 * error + 1e-4


def test_no_noise_leaves_only_what_overlaps() -> None:
    floors = {name: lowest_loss(name, 0.0) for name in DATASETS}
    assert floors["spiral"] == 0.5 / spiral.N_CENTERS
    assert 0 < floors["gauss"] < 1e-4
    assert [floors[name] for name in ("xor", "circle", "reg-plane", "reg-gauss")] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", DATASETS)
def test_more_noise_never_lowers_the_floor(name: str) -> None:
    floors = [lowest_loss(name, noise) for noise in (0.05, 0.1, 0.2, 0.3)]
    assert (np.diff(floors) >= 0).all()


def test_what_has_no_floor_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^dataset: unknown 'moons'; known: gauss, "):
        lowest_loss("moons", 0.2)
    with pytest.raises(ValueError, match=r"^noise: -0.1; give a fraction from 0$"):
        lowest_loss("xor", -0.1)
