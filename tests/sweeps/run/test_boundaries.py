"""What is read off the regions of networks: planted ones, whose kind is known; and networks kept in records."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.course.boundaries import (
    corners_right,
    grid,
    has_dead_unit,
    has_parallel_units,
    is_constant,
    is_line,
    network_of,
    outputs,
    points_of,
)
from analysis.course.cells import Cells, last, losses
from analysis.course.surfaces import descent_of, same_end, surfaces_of, two_starts
from analysis.lessons.learning_rate import SURFACES
from analysis.lessons.nonlinearity import KINDS, LEARNT, XOR_SIGNS, kinds, learnt
from analysis.lessons.overfitting import typical_draw
from analysis.records.lesson import CellRecord
from engine.evaluation import predict
from sweeps.run.kinds import load
from sweeps.run.study import run_sweep
from sweeps.spec.lesson import LessonSpec
from sweeps.spec.lesson_changes import with_setting

X, Y = grid().T
PLANTED = {
    "constant": np.ones_like(X) > 0,
    "line": 2 * X + Y > 1,
    "band": np.abs(X - Y) < 3,
    "wedge": (X > 0) & (Y > 0),
    "xor": X * Y > 0,
}


def test_planted_regions_are_told_apart() -> None:
    regions = np.stack(list(PLANTED.values()))
    assert dict(zip(PLANTED, is_constant(regions).tolist(), strict=True)) == {
        "constant": True, "line": False, "band": False, "wedge": False, "xor": False,
    }  # fmt: skip
    assert dict(zip(PLANTED, is_line(regions).tolist(), strict=True)) == {
        "constant": True, "line": True, "band": False, "wedge": False, "xor": False,
    }  # fmt: skip
    assert is_line(~regions).tolist() == is_line(regions).tolist()
    found = dict(zip(PLANTED, corners_right(regions, XOR_SIGNS, 0.75).tolist(), strict=True))
    assert found == {"constant": 2, "line": 2, "band": 2, "wedge": 3, "xor": 4}


@pytest.mark.parametrize("angle", np.linspace(0.1, 3.0, 7))
def test_every_line_is_one_and_no_bend_is(angle: float) -> None:
    side = X * math.cos(angle) + Y * math.sin(angle)
    along = -X * math.sin(angle) + Y * math.cos(angle)
    assert is_line(np.stack([side > 0.7, (side > 0.7) & (along > 0)])).tolist() == [True, False]


def ran(name: str, design: str, results: Path, *assignments: str) -> Cells:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    spec = dataclasses.replace(spec, designs=(spec.design(design),))
    for assignment in assignments:
        spec = with_setting(spec, assignment)
    (study,) = run_sweep(spec, results, workers=1)
    assert [cell.reason for cell in study.cells if cell.reason is not None] == []
    return Cells(study)


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    return ran("nonlinearity", "failures", tmp_path_factory.mktemp("results"), "n_replicas=12", "epochs=60")


def test_networks_from_a_record_have_the_losses_that_it_says(failures: Cells) -> None:
    for cell in failures.of("failures"):
        network, parameters = network_of(cell)
        for r in range(3):
            points, labels = points_of(failures, cell, r).train
            said = predict(network, parameters.select(slice(r, r + 1)), points[None])[0, :, 0]
            assert 0.5 * np.mean((said - labels) ** 2) == pytest.approx(last(cell, "train")[r], rel=1e-3)


def test_every_restart_has_one_kind_and_those_that_learnt_it_are_no_failures(failures: Cells) -> None:
    for cell in failures.of("failures"):
        found = kinds(failures, cell)
        assert set(found) <= set(KINDS)
        assert [kind == LEARNT for kind in found] == (learnt(failures, cell) > 0).tolist()


def with_weights(cell: CellRecord, rows: np.ndarray) -> CellRecord:
    return dataclasses.replace(cell, arrays={"weights": rows.ravel().tolist()}, seeds=["0.1"] * len(rows))


def test_dead_and_parallel_units_are_seen(failures: Cells) -> None:
    cell = failures.one("failures", {"network.activation": "relu", "network.hidden_layer_sizes": "2"})
    assert cell is not None
    # Weights (2, 2) by input, (2, 1), biases (2,), (1,).
    apart = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    dead = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, -50.0, 0.0]
    opposite = [1.0, -2.0, 1.0, -2.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    planted = with_weights(cell, np.array([apart, dead, opposite]))
    assert has_dead_unit(failures, planted).tolist() == [False, True, False]
    assert has_parallel_units(planted).tolist() == [False, False, True]
    assert is_line(outputs(failures, planted) > 100).tolist() == [True] * 3


def test_two_starts_of_a_hidden_unit_end_in_two_places_and_those_of_a_linear_unit_in_one(tmp_path: Path) -> None:
    for design, _, _ in SURFACES:
        cells = ran("learning_rate", design, tmp_path / design)
        (surface,) = surfaces_of(cells, SURFACES)
        one, other = two_starts([surface])
        ends = surface.ways[[one, other], -1]
        heights = surface.heights
        assert (last(surface.cell, "train") <= heights.min()).all()  # no place of the grid is lower than the ends
        assert heights.min() < 1.2 * last(surface.cell, "train").min()  # nor is any end far below the grid's lowest
        if design == "linear_unit":
            assert same_end(surface.cell, 0.1).all()
            assert surface.cell.measured["least_curvature"][0] > 0
        else:
            assert ends[0] == pytest.approx(-ends[1], abs=0.05)
            assert 0.1 < same_end(surface.cell, 0.1).mean() < 0.9
            assert surface.cell.measured["least_curvature"][0] < 0


def test_the_descent_drawn_is_the_closed_form(tmp_path: Path) -> None:
    cells = ran("learning_rate", "bowl", tmp_path)
    for cell in cells.of("bowl"):
        one = descent_of(cell, 1.0)
        assert one.places[:9] == pytest.approx((1 - one.rate) ** np.arange(9), rel=1e-5, abs=1e-9)


def test_the_draw_that_is_shown_has_the_middle_difference(failures: Cells) -> None:
    cell = failures.of("failures")[0]
    R = len(cell.seeds)
    worse = dataclasses.replace(
        cell, losses={**cell.losses, "test": (losses(cell, "test") + np.arange(R)).tolist()}
    )  # differences 0 to R - 1
    assert typical_draw(cell, worse) == R // 2
