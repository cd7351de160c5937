"""The homework report's lesson: its rule to stop, its kept networks, fresh points, and its claims on planted truth."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.course.cells import Cells, last
from analysis.course.kept import kept_blocks, kept_networks
from analysis.lessons.perceptron import claims, effects, rested_loss, rests_at
from analysis.records.lesson import CellRecord
from analysis.records.reading import read_sweep
from analysis.records.study import StudyHeader
from analysis.statistics.verdicts import Word, judge
from engine.evaluation import predict
from engine.model_files import load_model
from engine.network import NetworkConfig
from sweeps.audit.records import check_records
from sweeps.data.asked import Asked
from sweeps.data.perceptron import PerceptronData, PerceptronSource, perceptron_truth
from sweeps.run.fresh_probes import beyond_to_constant, fresh_loss
from sweeps.run.kinds import load
from sweeps.run.lesson import LessonPlan
from sweeps.run.study import run_sweep
from sweeps.run.trained import Trained
from sweeps.spec.lesson import LessonSpec, parse_lesson
from sweeps.spec.lesson_changes import resized, with_setting
from sweeps.spec.sweep import load_spec
from sweeps.toml import SpecError

R = 12


def lesson() -> LessonSpec:
    spec = load("perceptron")
    assert isinstance(spec, LessonSpec)
    return spec


def cell(params: Mapping[str, Any], looks: list[int], **found: Any) -> CellRecord:
    """Return a cell with these losses and measurements, and nothing else that counts."""
    n = len(next(iter(found["losses"].values()))[0]) if found["losses"] else R
    empty: dict[str, Any] = {"diverged_at": [None] * n, "floors": {}, "constant": {}, "measured": {}, "n_updates": 0}
    return CellRecord(
        study="perceptron/lesson", number=0, params=dict(params), network={}, training={}, seeds=["s"] * n, looks=looks,
        **{**empty, **found}, sha256="", road="", playground_url=None, reason=None, started_at_s=0.0, duration_s=0.0,
        worker="w",
    )  # fmt: skip


def test_the_reports_rule_ends_a_replica_where_its_training_loss_rests_between_two_epochs() -> None:
    train = [[1.0, 1.0, 1.0, 1.0], [0.5, 0.99999, 0.5, 0.9], [0.4999, 0.5, 0.499995, 0.8], [0.4, 0.4, 0.4, 0.8]]
    test = [[9.0] * 4, [8.0, 7.0, 6.0, 5.0], [4.0, 3.0, 2.0, 1.0], [0.4, 0.3, 0.2, 0.1]]
    one = cell({}, [1, 2, 3, 4], losses={"train": train, "test": test})
    assert rests_at(one).tolist() == [np.inf, 2.0, 3.0, 4.0]
    assert rested_loss(one).tolist() == [0.4, 7.0, 2.0, 0.1]
    apart = dataclasses.replace(one, looks=[1, 2, 30, 31])  # what moves little over 28 epochs has not rested
    assert rests_at(apart).tolist() == [np.inf, 2.0, np.inf, 31.0]
    assert np.isinf(
        rests_at(dataclasses.replace(one, looks=[100], losses={"train": train[:1], "test": test[:1]}))
    ).all()


Effects = Mapping[str, float]
HOLDS: Effects = {
    "adam": 1.0, "batch_8": 0.6, "sigmoid": 0.05, "relu": -0.1, "deep": 0.5, "wrong": 0.5, "gap_1": 0.3,
    "deep_gap": 0.3, "slow": 1.0, "fresh": -1.0, "beyond": -1.0,
}  # fmt: skip
FAILS: Effects = {
    "adam": -2.0, "batch_8": -0.6, "sigmoid": 2.0, "relu": 0.0, "deep": -0.5, "wrong": -0.5, "gap_1": -0.3,
    "deep_gap": -0.3, "slow": -1.0, "fresh": 1.0, "beyond": 1.0,
}  # fmt: skip
NOTHING: Effects = dict.fromkeys(HOLDS, 0.0)


@functools.cache
def short() -> tuple[LessonSpec, StudyHeader]:
    """Return the lesson in three epochs, and its header."""
    spec = with_setting(lesson(), "epochs=3")
    return spec, LessonPlan(spec, Path()).header


def planted(effect: Effects, seed: int) -> Cells:
    """Return the lesson's cells with log losses that are sums of the effects, of each division's own and of noise."""
    spec, header = short()
    rng = np.random.default_rng(seed)
    division = rng.normal(0.0, 0.3, R)
    sigmas = {"sigmoid": effect["sigmoid"], "tanh": 0.0, "relu": effect["relu"], "leaky_relu": 0.0}
    found = []
    for design, settings in spec.settings():
        noise = rng.normal(0.0, 0.02, (4, R))
        activation, batch = str(settings["network.activation"]), settings["training.batch_size"]
        adam, deep = settings["training.optimizer"] == "adam", len(settings["network.hidden_layer_sizes"]) == 4
        params = {"design": design.name, **{k: v for k, v in settings.items() if k in design.cross}}
        if "network.hidden_layer_sizes" in design.cross:
            params["network.hidden_layer_sizes"] = "-".join(map(str, settings["network.hidden_layer_sizes"]))
        middle = -3.0 + division + effect["adam"] * adam + effect["batch_8"] * (batch == 8) + sigmas[activation]
        train = middle + effect["deep"] * deep + noise[0]
        gap = effect["gap_1"] * (batch == 1) + effect["deep_gap"] * deep
        test = train + gap + noise[1]
        if design.work:
            slow = np.exp(effect["slow"] * (activation in ("sigmoid", "tanh")) + noise[2])
            found.append(cell(params, [], losses={}, seconds=slow.tolist()))
            continue
        looks = list(design.looks)
        rows = {name: [(np.exp(row) * f).tolist() for f in np.linspace(1, 1.5, len(looks))[::-1]]
                for name, row in (("train", train), ("test", test))}  # fmt: skip
        measured = {
            "wrong_gradient_loss": np.exp(test + effect["wrong"] + noise[2]),
            "fresh_loss": 0.012 * np.exp(effect["fresh"] + noise[2]),
            "beyond_to_constant": np.exp(effect["beyond"] + noise[3]),
        }
        kept = {name: values.tolist() for name, values in measured.items() if name in design.probes}
        found.append(cell(params, looks, losses=rows, measured=kept))
    return Cells(SimpleNamespace(header=header, cells=found, path=None))  # type: ignore[arg-type]


def words(effect: Effects, seed: int) -> dict[str, Word]:
    return {one.label: judge(one).word for one in claims(planted(effect, seed))}


STOP = "The report's stop, once the training loss moves by 1e-5 at most, regularizes"
KNOWN = {"1-150-150-1 has 23 402 parameters", STOP, "Adam speeds ReLU up", "Adam lowers tanh's loss"}  # fmt: skip
"""Claims that the planted effects do not speak about, or the other way round."""


@pytest.mark.parametrize(("effect", "word"), [(HOLDS, "holds"), (FAILS, "does not hold")])
def test_claims_come_out_as_planted(effect: Effects, word: Word) -> None:
    found = words(effect, 1)
    assert {label for label, one in found.items() if one != word and label.partition(". ")[2] not in KNOWN} == set()
    turned = "does not hold" if word == "holds" else "holds"
    assert found["69. Adam lowers tanh's loss"] == turned
    assert found["76. 1-150-150-1 has 23 402 parameters"] == "does not hold"
    assert found[f"43. {STOP}"] == "not decided"


def test_claims_about_nothing_are_rarely_decided() -> None:
    """Of 24 simulated studies at most 7 may decide a claim by chance: 99.99 % of binomial(24, 0.05)."""
    wrong: Counter[str] = Counter()
    known = ("67", "70", "76")  # nothing planted: activations do not differ, each setting is best in one of 16
    for seed in range(24):
        wrong.update(
            label
            for label, word in words(NOTHING, seed).items()
            if word not in ("not decided", "not measured") and not label.startswith(known)
        )
    assert {label: k for label, k in wrong.items() if k > 7} == {}


def test_effects_are_the_ratios_that_were_planted() -> None:
    found = {name: values for name, _, values in effects(planted(HOLDS, 3))}
    expected = {
        "Adam to SGD": (1.0, 1.0, 0.0),
        "batch 1 to 8": (-0.6, -0.3, 0.3),
        "sigmoid to ReLU": (0.15, 0.15, 0.0),
        "tanh to ReLU": (0.1, 0.1, 0.0),
        "leaky ReLU to ReLU": (0.1, 0.1, 0.0),
        "four layers to one": (0.5, 0.8, 0.3),
    }
    assert found.keys() == expected.keys()
    for name, logs in expected.items():
        got = [float(np.log(np.median(values))) for values in found[name].values()]
        assert got == pytest.approx(logs, abs=0.03), name


def source() -> PerceptronSource:
    asked = Asked("perceptron", 10, "", "test_loss", 0.012, "mse", "float32", 4, 2, 2, 0, 0.05)
    return PerceptronSource(asked, PerceptronData(10, 0.8, 2.0, 500))


def test_fresh_points_are_of_the_rule_and_of_no_division() -> None:
    draws = source().draws(("split10", "split11"))
    assert draws.fresh is not None
    fresh = draws.fresh()
    assert fresh.X.shape == (2, 500, 1)
    assert not np.isin(fresh.X, np.concatenate([draws.train.X, draws.test.X], axis=1)).any()
    assert np.var(fresh.y - perceptron_truth(fresh.X)) == pytest.approx(0.01, abs=0.002)
    alone = source().draws(("split11",)).fresh
    assert alone is not None
    assert np.array_equal(alone().X[0], fresh.X[1])  # a replica does not depend on its company
    assert draws.splits.keys() == {"train", "test", "in_range", "out_of_range"}  # what sweeps measure is what it was
    network = NetworkConfig(1, (5,), activation="tanh", output_activation="linear")
    trained = Trained(network, "mse", draws.initialize(network), draws)
    off = (np.asarray(predict(network, trained.parameters, fresh.X)) - fresh.y) ** 2
    assert fresh_loss(trained) == pytest.approx(off.mean(axis=(1, 2)), rel=1e-6)
    beyond, weight = draws.out_of_range, np.asarray(draws.out_of_range.weight)
    mean = draws.train.y.mean(axis=1, keepdims=True)
    squares = [
        (np.asarray(one) - beyond.y)[..., 0] ** 2 for one in (predict(network, trained.parameters, beyond.X), mean)
    ]
    ratio = (squares[0] * weight).sum(axis=1) / (squares[1] * weight).sum(axis=1)
    assert beyond_to_constant(trained) == pytest.approx(ratio, rel=1e-6)
    without = dataclasses.replace(trained, draws=dataclasses.replace(draws, fresh=None))
    assert np.isnan(fresh_loss(without)).all()


def small() -> LessonSpec:
    """Return the lesson's grid with four units a layer, and nothing else."""
    spec = lesson()
    spec = dataclasses.replace(spec, designs=(spec.design("grid"),))
    for assignment in ("n_replicas=4", "epochs=3", "network.hidden_layer_sizes=[4, 4]", "training.learning_rate=0.01"):
        spec = with_setting(spec, assignment)
    return spec


def test_the_best_settings_networks_are_kept_as_they_were_trained(tmp_path: Path) -> None:
    spec = small()
    (study,) = run_sweep(spec, tmp_path, workers=1)
    assert study.path is not None
    found = min(study.cells, key=lambda one: last(one, "test")[::2].mean())
    path = study.path.parent / "models" / f"cell-{found.number}.npz"
    assert [one.name for one in path.parent.glob("*.npz")] == [path.name]
    model = load_model(path)
    assert model.parameters.n_replicas == 4
    kept = [float(f"{loss:.6g}") for loss in model.extra["losses"]["test"]]
    assert kept == found.losses["test"][-1]
    draws = source().draws(tuple(found.seeds))
    off = (np.asarray(predict(model.network, model.parameters, draws.test.X.astype(np.float32))) - draws.test.y) ** 2
    assert off.mean(axis=(1, 2)) == pytest.approx(kept, rel=1e-5)
    points = np.array(model.extra["test_points"])
    assert np.array_equal(points, np.stack([draws.test.X[0, :, 0], draws.test.y[0, :, 0]], axis=1))
    cells = Cells(study)
    assert [type(block).__name__ for block in kept_blocks("x", cells, found)] == ["Picture", "ReportTable", "Paragraph"]
    before = path.read_bytes()
    run_sweep(spec, tmp_path, workers=1)  # a second run finds everything there
    assert path.read_bytes() == before
    assert check_records(study.path.parent.parent) == []
    path.write_bytes(before[:-1])
    assert kept_networks(cells, found) == (
        f"The networks are not shown: {path}: altered (its SHA-256 is not the one in {path.stem}.json). "
        "Running the lesson again writes them."
    )
    sums = path.with_name("SHA256SUMS")
    assert [finding.text for finding in check_records(study.path.parent.parent)] == [
        f"{path}: not the file that {sums.name} names; run the lesson again, which writes it"
    ]
    description = path.with_suffix(".json")
    for damage in (lambda: None, description.unlink, sums.unlink, lambda: sums.write_text("")):
        damage()  # first what has been altered above; then as a kill leaves it between one file and the next
        run_sweep(spec, tmp_path, workers=1)
        assert path.read_bytes() == before
        assert check_records(study.path.parent.parent) == []
        assert not isinstance(kept_networks(cells, found), str)
        assert {line.split()[1] for line in sums.read_text().splitlines()} == {path.name, description.name}
    path.unlink()
    assert kept_networks(cells, found) == (
        f"The networks are not shown: models/{path.name} is not there. Running the lesson again writes it."
    )
    assert read_sweep(study.path.parent.parent) == [study]


def test_full_is_the_homeworks_whole_grid_at_its_width() -> None:
    full = resized(lesson(), "full")
    shapes = Counter(
        (len(settings["network.hidden_layer_sizes"]), set(settings["network.hidden_layer_sizes"]) == {150})
        for design, settings in full.settings()
        if design.name in ("grid", "depth")
    )
    assert shapes == {(depth, True): 16 for depth in (1, 2, 3, 4)}
    assert {(one.n_replicas, one.looks[-1]) for one in full.designs if not one.work} == {(16, 100)}


def test_a_design_that_cannot_tell_its_best_keeps_none() -> None:
    table = lesson().as_table()
    table["designs"] = [{**one, "splits": ["train"]} for one in table["designs"]]
    with pytest.raises(SpecError) as caught:
        parse_lesson(table, "t.toml")
    assert str(caught.value) == "t.toml: designs grid: keep_best: no test loss to tell the best by; leave it out"


def test_the_earlier_name_says_what_it_is_called_now() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("perceptron_report")
    assert str(caught.value) == "unknown sweep 'perceptron_report'; it is called 'perceptron' now"
