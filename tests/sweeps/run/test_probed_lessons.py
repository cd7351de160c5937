"""Lessons show what their probes found, older records go without; what cannot be trained is said in one line."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from analysis.course.cells import Cells, by_layer
from analysis.course.page import lesson_sections, told
from analysis.course.probed import at_end, layer_table, probe_epochs, probe_table
from analysis.formats.blocks import Block, Folded, Picture, ReportTable
from analysis.records.study import Study
from analysis.statistics.intervals import Interval
from sweeps.run.kinds import load
from sweeps.run.lesson import LessonPlan
from sweeps.run.plan import Piece, Timing
from sweeps.spec.lesson import LessonSpec
from sweeps.spec.lesson_changes import with_setting
from sweeps.toml import SpecError

SHAPE, ACTIVATION = "network.hidden_layer_sizes", "network.activation"


def small(name: str, *changes: str) -> LessonSpec:
    """Return a lesson of two replicas and two epochs, on one set where it has several."""
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    for change in ("n_replicas=2", "epochs=2", *changes):
        spec = with_setting(spec, change)
    return spec


def trained(spec: LessonSpec) -> Study:
    plan = LessonPlan(spec, Path())
    study = Study(plan.header)
    for number, params in enumerate(spec.cells()):
        setting = plan.setting(study, number, params, [])
        (outcome,) = plan.train([Piece(setting, 0)], threading.Event())
        study.add(plan.record(setting, [outcome], Timing()))
    return study


def flat(blocks: Iterable[Block]) -> Iterable[Block]:
    for block in blocks:
        yield from flat(block.blocks) if isinstance(block, Folded) else [block]


@pytest.fixture(scope="module")
def depth() -> Study:
    return trained(small("depth", "dataset=xor"))


def test_the_layers_of_deep_networks_are_shown_one_by_one(depth: Study) -> None:
    cells = Cells(depth)
    (table,) = layer_table("t", "", cells, "sets", SHAPE, ACTIVATION)
    layers = [(row[0], row[1], row[2]) for row in table.rows]
    shapes = [("16", 1), ("6-6", 2), ("5-4-4", 3)]  # no hidden layer has no line
    assert layers == [(name, a, k + 1.0) for name, n in shapes for a in ("tanh", "relu") for k in range(n)]
    group = cells.of("sets", {SHAPE: "5-4-4", ACTIVATION: "relu"})
    last = table.rows[-1]
    for column, probe, look in ((3, "layer_variance", 0), (4, "layer_variance", -1), (6, "gradient_size", -1)):
        wanted = np.mean([by_layer(cell, probe)[look, 2] for cell in group], axis=0)
        interval = last[column]
        assert isinstance(interval, Interval)
        assert interval.estimate == pytest.approx(float(np.median(wanted)))
    dead = last[7]
    assert isinstance(dead, Interval)
    assert dead.estimate == pytest.approx(np.mean([by_layer(cell, "layer_dead")[-1, 2] for cell in group]))


def test_records_from_before_a_probe_have_no_table_of_it(depth: Study) -> None:
    older = dataclasses.replace(depth, cells=[dataclasses.replace(cell, measured={}) for cell in depth.cells])
    cells = Cells(older)
    assert layer_table("t", "", cells, "sets", SHAPE, ACTIVATION) == []
    assert probe_table("t", "", cells, "sets", SHAPE, "dataset", "weight_norm") == []
    assert probe_epochs("t", "", "", cells, "sets", SHAPE, "weight_norm", "") == []
    for section in lesson_sections(older):
        for block in flat(section.blocks):
            if isinstance(block, Picture):
                block.draw()


@pytest.mark.parametrize(
    ("name", "changes", "shown", "probe"),
    [
        ("batch_size", ["dataset=xor"], "batch-size-gradient", "gradient_norm"),
        ("features", ["dataset=xor"], "features-weights", "weight_norm"),
        ("overfitting", ["dataset=xor"], "overfitting-weights", "weight_norm"),
        (
            "after_overfitting",
            ["dataset=degree-2", "network.hidden_layer_sizes=[2]"],
            "after-overfitting-weights",
            "weight_norm",
        ),
        ("optimizers", ["dataset=valley"], "optimizers-turning", "gradient_norm"),
    ],
)
def test_lessons_show_what_their_probes_found(name: str, changes: list[str], shown: str, probe: str) -> None:
    spec = small(name, *changes)
    if name == "optimizers":
        spec = dataclasses.replace(spec, designs=tuple(one for one in spec.designs if one.name == "valley"))
    study = trained(spec)
    assert [cell.reason for cell in study.cells if cell.reason is not None] == []
    found = [at_end(cell, probe) for cell in study.cells]
    assert all(one is not None and (one > 0).all() for one in found)
    names = {block.name for section in lesson_sections(study) for block in flat(section.blocks)
             if isinstance(block, Picture | ReportTable)}  # fmt: skip
    assert shown in names


@pytest.mark.parametrize(
    ("name", "changes", "answer"),
    [
        ("features", ["network.hidden_layer_sizes=[]", "dataset=xor"],
         "Median test loss of six units with two and with seven inputs at noise 20 %: (nothing that this needs was "
         "trained)."),
        ("overfitting", ["network.hidden_layer_sizes=[4]", "dataset=xor"],
         "Median training and test loss at the end (tanh), simple network: (nothing that this needs was trained)."),
    ],
)  # fmt: skip
def test_an_answer_without_numbers_says_so(name: str, changes: list[str], answer: str) -> None:
    assert told(trained(small(name, *changes))).answer == answer


def test_a_lesson_of_which_no_cell_could_be_trained_says_why() -> None:
    study = trained(small("depth", "dataset=xor", "network.hidden_layer_sizes=[1000000,1000000]"))
    assert {cell.reason is None for cell in study.cells} == {False}
    assert told(study).answer == f"No cell could be trained: {study.cells[0].reason}."


@pytest.mark.parametrize(
    ("name", "assignment", "message"),
    [
        ("learning_rate", "training.loss=hinge",
         "--set: designs bowl: training.loss: hinge takes classes as labels, and those of bowl are numbers; expected "
         "half_squared_error, mse, mae, huber"),
        ("learning_rate", "dataset=xorr", "--set: dataset: unknown 'xorr'; did you mean 'xor'?"),
        ("learning_rate", 'dataset=["bowl","xor"]', '--set: dataset: ["bowl", "xor"]: no design has all of these'),
        ("depth", "training.loss=binary_cross_entropy",
         "--set: designs sets: training.loss: binary_cross_entropy takes shares as labels, and those of playground are "
         "numbers; expected half_squared_error, mse, mae, huber"),
    ],
)  # fmt: skip
def test_what_no_design_can_do_is_refused_before_anything_is_trained(name: str, assignment: str, message: str) -> None:
    spec = load(name)
    assert isinstance(spec, LessonSpec)
    with pytest.raises(SpecError) as caught:
        with_setting(spec, assignment)
    assert str(caught.value) == message
