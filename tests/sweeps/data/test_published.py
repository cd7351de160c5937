"""Published data are divided as their exercises say, and certificates see what nothing before them saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.records.reading import read_sweep
from analysis.statistics.ranges import Box
from sweeps.data.asked import Asked
from sweeps.data.fashion_mnist import FashionData, FashionSource
from sweeps.data.kinds import KINDS
from sweeps.data.perceptron import PerceptronData, PerceptronSource, perceptron_truth
from sweeps.data.table.published.named import FashionImages
from sweeps.run.replay import replay
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import SweepSpec, load_spec, open_source, parse_spec
from sweeps.spec.writing import as_table, with_overrides
from sweeps.store.log import digest
from sweeps.toml import SpecError

DATA = Path(__file__).resolve().parents[3] / "sweeps" / "data" / "table" / "published" / "rows" / "perceptron.csv"

SPECS = Path(__file__).parent / "specs"
"""Sweeps of somebody's own over these kinds of data; the built-in questions about them are lessons."""


def perceptron() -> PerceptronSource:
    spec = load_spec(SPECS / "perceptron.toml")
    source = open_source(spec, spec.datasets[0])
    assert isinstance(source, PerceptronSource)
    return source


def test_the_first_replica_has_the_homeworks_division() -> None:
    """Figures of `../shared/data/README.md`: truth 0.0089 / 0.0070, line 0.450 / 0.360, cubic 0.079 / 0.047."""
    source = perceptron()
    draws = source.draws(source.search_seeds()[:2])
    assert draws.floors is not None
    assert draws.floors["train"][0] == pytest.approx(0.0089, abs=5e-5)
    assert draws.floors["test"][0] == pytest.approx(0.0070, abs=5e-5)
    x, y = draws.train.X[0, :, 0], draws.train.y[0, :, 0]
    for degree, errors in ((1, (0.450, 0.360)), (3, (0.079, 0.047))):
        fit = np.polyfit(x, y, degree)
        for split, error in zip((draws.train, draws.test), errors, strict=True):
            found = np.mean((np.polyval(fit, split.X[0, :, 0]) - split.y[0, :, 0]) ** 2)
            assert found == pytest.approx(error, abs=1e-3)


def test_every_division_has_each_point_once() -> None:
    rows = np.genfromtxt(DATA, delimiter=",", skip_header=1)
    source = perceptron()
    draws = source.draws(source.search_seeds())
    assert draws.train.X.shape == (16, 160, 1)
    for r in range(16):
        together = np.concatenate([np.c_[split.X[r], split.y[r]] for split in (draws.train, draws.test)])
        np.testing.assert_array_equal(together[np.lexsort(together.T)], rows[np.lexsort(rows.T)])
    assert len({draws.train.X[r].tobytes() for r in range(16)}) == 16


def test_certificates_of_the_perceptron_are_tested_on_points_of_no_split() -> None:
    source = perceptron()
    rows = np.genfromtxt(DATA, delimiter=",", skip_header=1)
    fresh = source.draws(source.fresh_seeds("certificate", "block")[:3])
    assert fresh.test.X.shape == (3, 500, 1)
    assert not np.isin(fresh.test.X, rows[:, 0]).any()
    assert np.isin(fresh.train.X, rows[:, 0]).all()
    assert fresh.floors is not None
    assert fresh.floors["test"].mean() == pytest.approx(0.01, abs=0.001)  # the noise alone: 1500 squares of sd 0.014
    beyond = fresh.out_of_range.X[fresh.out_of_range.weight == 1]
    assert (np.abs(beyond) > 2.5).all()
    assert np.abs(beyond).max() > 5
    assert perceptron_truth(np.array(1.0)) == pytest.approx(np.sin(1.5) + 0.3)


def test_a_replica_does_not_depend_on_its_company() -> None:
    source = perceptron()
    seeds = source.fresh_seeds("finalist", "block")[:3]
    together, alone = source.draws(seeds), source.draws(seeds[1:2])
    for name in together.splits:
        np.testing.assert_array_equal(together.splits[name].X[1], alone.splits[name].X[0])
        np.testing.assert_array_equal(together.splits[name].y[1], alone.splits[name].y[0])


def tiny_images(n: int = 300, n_test: int = 100) -> FashionImages:
    """Return images whose class is where their bright block is: two corners of ten classes' 10 columns."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 10, n + n_test).astype(np.uint8)
    images = rng.integers(0, 60, (n + n_test, 4, 10)).astype(np.uint8)
    images[np.arange(n + n_test), :, labels] = 200
    images[-1, 0, 0] = 255  # the last test image is beyond what any training pixel shows
    return FashionImages(images[:n], labels[:n], images[n:], labels[n:])


def asked_of(spec: SweepSpec) -> Asked:
    return spec.asked(spec.datasets[0])


def fashion_spec(n_search_rows: int, n_validation_rows: int) -> SweepSpec:
    table = as_table(load_spec("fashion_mnist"))
    table["datasets"][0] |= {"n_search_rows": n_search_rows, "n_validation_rows": n_validation_rows}
    table["search"] |= {"n_trials": 5, "n_startup_trials": 3}
    table["epochs"] |= {"max_epochs": 8, "grid": [1, 2, 4, 8]}
    table["pruning"] |= {"min_epochs": 1, "reduction_factor": 2}
    table["space"]["network"]["hidden_layer_sizes"] = {"low": 16, "high": 32}
    table["space"]["training"]["batch_size"] = {"low": 2, "high": 8}
    table["space"]["training"]["dropout"] = {"choice": [0.0]}
    return parse_spec(table, "t.toml")


def rows_of(images: np.ndarray, all_images: np.ndarray) -> set[int]:
    """Return which of all images some are, by their bytes."""
    number = {image.tobytes(): i for i, image in enumerate(all_images)}
    return {number[np.rint(image * 255).astype(np.uint8).tobytes()] for image in images}


def test_each_stage_sees_the_images_it_may() -> None:
    images = tiny_images()
    source = FashionSource(asked_of(fashion_spec(80, 60)), FashionData(80, 60), images)
    every = np.concatenate([images.images, images.test_images])
    seen = {}
    for stage in ("search", "finalist", "certificate"):
        draws = source.draws(source.search_seeds() if stage == "search" else source.fresh_seeds(stage, "block"))
        assert draws.train.X.shape[0] == 1
        assert draws.train.X.dtype == np.float32
        seen[stage] = [rows_of(split.X[0], every) for split in (draws.train, draws.test)]
    test = set(range(300, 400))
    assert [len(rows) for stage in seen.values() for rows in stage] == [80, 60, 240, 60, 300, 100]
    assert seen["search"][0] < seen["finalist"][0]
    assert seen["search"][1] == seen["finalist"][1]
    assert not seen["finalist"][0] & seen["finalist"][1]
    assert not (seen["finalist"][0] | seen["finalist"][1]) & test
    assert seen["certificate"] == [set(range(300)), test]


def test_the_textbook_compares_by_the_test_images() -> None:
    images = tiny_images()
    source = FashionSource(asked_of(fashion_spec(80, 60)), FashionData(0, 0), images)
    draws = source.draws(source.search_seeds())
    assert draws.train.X.shape[1] == 300
    assert rows_of(draws.test.X[0], np.concatenate([images.images, images.test_images])) == set(range(300, 400))


def test_the_range_of_images_is_the_box_of_the_training_pixels() -> None:
    images = tiny_images()
    source = FashionSource(asked_of(fashion_spec(80, 60)), FashionData(80, 60), images)
    for stage in ("search", "certificate"):
        draws = source.draws(source.search_seeds() if stage == "search" else source.fresh_seeds(stage, "block"))
        inside = Box.fit(draws.train.X).contains(draws.test.X)[0]
        assert draws.n_in_range.tolist() == [inside.sum()] * len(draws.seeds)
        assert draws.n_out_of_range[0] == (~inside).sum()
    assert draws.n_out_of_range[0] >= 1


def test_trials_are_measured_by_their_share_of_wrong_images() -> None:
    images = tiny_images()
    spec = fashion_spec(80, 60)
    source = FashionSource(asked_of(spec), FashionData(80, 60), images)
    draws = source.draws(source.search_seeds())
    from engine.network import NetworkConfig

    network = NetworkConfig(n_inputs=40, hidden_layer_sizes=(), n_outputs=10, output_activation="linear")
    parameters = draws.initialize(network)
    parameters.weights[0][...] = np.tile(np.eye(10), (4, 1))  # the brightest column: never wrong
    parameters.weights[0][1] = np.roll(parameters.weights[0][1], 1, axis=1)  # always the next class
    assert draws.measure is not None
    losses = draws.measure(network, parameters)
    assert {name: values.tolist() for name, values in losses.items() if name != "out_of_range"} == {
        "train": [0.0, 1.0], "test": [0.0, 1.0], "in_range": [0.0, 1.0],
    }  # fmt: skip
    parameters.weights[0][0] = np.nan
    assert np.isnan(draws.measure(network, parameters)["test"][0])
    share = np.bincount(images.labels).max() / 300
    assert 0.8 < draws.constant["test"][0] < 1
    assert source.draws(source.fresh_seeds("certificate", "block")).constant["train"][0] == pytest.approx(1 - share)


def test_a_perceptron_sweep_goes_to_its_end_and_replays(tmp_path: Path) -> None:
    table = as_table(load_spec(SPECS / "perceptron.toml"))
    table["search"] |= {"n_trials": 6, "n_replicas": 3}
    table["epochs"] |= {"max_epochs": 4, "grid": [1, 2, 3, 4]}
    table["finalists"] |= {"n": 1, "n_replicas": 3}
    table["certificates"] |= {"n_replicas": 3}
    table["space"]["network"]["hidden_layer_sizes"] = {"low": 5, "high": 5}
    spec = parse_spec(table, "t.toml")
    for workers in (1, 2):
        run_sweep(spec, tmp_path / str(workers), workers=workers)
    folder = tmp_path / "1" / "perceptron"
    assert digest(folder) == digest(tmp_path / "2" / "perceptron")
    assert replay(folder, "perceptron", 5).differences == ()
    assert replay(folder, "perceptron", 0, "certificate").differences == ()
    [study] = read_sweep(folder)
    assert study.verdict is not None
    assert len({tuple(trial.seeds) for trial in study.trials}) == 1


def test_a_fashion_sweep_goes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.data.table.published.named.load_fashion_images", tiny_images)
    spec = fashion_spec(80, 60)
    [study] = run_sweep(spec, tmp_path, workers=2)
    assert study.verdict is not None
    assert study.winner is not None
    assert all(seed.startswith("certificate2") for seed in study.winner.seeds)
    assert study.winner.value < 0.5 < study.winner.constant_loss
    judged = study.winner.ensemble
    assert judged is not None
    assert judged["n_rows"] == 100
    assert judged["value"] == pytest.approx(study.winner.value)
    assert judged["value"] < judged["bound"] < judged["value"] + 0.12  # 1.645 standard errors of 100 images
    assert judged["passed"] == (judged["bound"] < 0.105) == study.verdict.certified
    assert "of 100 test images" in study.verdict.text
    assert replay(tmp_path / "fashion_mnist", "fashion_mnist", 0, "certificate").differences == ()


def test_without_certificates_the_verdict_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.data.table.published.named.load_fashion_images", tiny_images)
    table = as_table(with_overrides(load_spec(SPECS / "fashion_textbook.toml"), n_replicas=2))
    table["space"]["network"]["hidden_layer_sizes"] = {"low": 8, "high": 8}
    table["epochs"] |= {"max_epochs": 3, "grid": [1, 2, 3]}
    table["training"] |= {"batch_size": 50, "learning_rate": 3.0}  # too large a step: later looks are not all better
    [study] = run_sweep(parse_spec(table, "t.toml"), tmp_path, workers=1)
    assert [len(trial.network["hidden_layer_sizes"]) for trial in study.trials] == [0] * 4 + [1] * 4 + [2] * 4
    assert [trial.training["dropout"] for trial in study.trials] == [[]] * 8 + [[0.5]] * 4
    assert [trial.epochs for trial in study.trials] == [3] * 12
    assert any(trial.value > min(m for m in trial.curves["test_loss_mean"] if m is not None) for trial in study.trials)
    assert not study.records["finalist"]
    assert study.verdict is not None
    assert study.verdict.text.startswith("No certificate was asked for")


def test_images_that_were_validated_with_cannot_certify() -> None:
    table = as_table(load_spec(SPECS / "fashion_textbook.toml"))
    table["certificates"]["n"] = 1
    with pytest.raises(SpecError) as caught:
        parse_spec(table, "t.toml")
    expected = (
        "t.toml: certificates: n: the test images serve for validation and cannot certify; give 0, or n_validation_rows"
    )
    assert str(caught.value) == expected


def test_data_of_a_kind_come_back_from_the_spec() -> None:
    spec = load_spec(SPECS / "perceptron.toml")
    assert spec.datasets[0].data == PerceptronData(10, 0.8, 2.0, 500)
    assert parse_spec(as_table(spec), "t.toml") == spec


@pytest.mark.parametrize(
    ("kind", "settings", "part"),
    [
        ("fashion_mnist", FashionData(0, 0), "compared by the 10 000 test images, as in the textbook"),
        ("fashion_mnist", FashionData(0, 10_000), "compared by 10000 of the 60 000 images"),
        ("perceptron", None, "tested on fresh points of the rule"),
    ],
)
def test_published_data_say_by_which_rows_trials_are_compared(kind: str, settings: Any, part: str) -> None:
    describe = KINDS[kind].describe
    assert describe is not None
    assert part in describe(settings)
