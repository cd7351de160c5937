"""From a file and a target to a whole sweep: what is found, what the user overrules, what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_tables import class_frame, regression_frame, table_spec

from sweeps.commands.main import main
from sweeps.data.table.table import TableError
from sweeps.spec.from_table import build_spec
from sweeps.spec.sweep import open_source
from sweeps.toml import SpecError


def write(folder: Path, frame: pd.DataFrame, name: str = "some.csv") -> Path:
    path = folder / name
    frame.to_csv(path, index=False)
    return path


def test_everything_nobody_said_follows_from_the_rows(houses: Path) -> None:
    spec = build_spec({"dataset": {"file": str(houses), "target": "price"}}, "houses.csv")
    data = spec.datasets[0].data
    assert (spec.name, spec.goal.words) == ("houses", "beat the best baseline in rmse")
    assert (data.task, data.folds, data.target_transform) == ("regression", "plain", "standardize")  # type: ignore[union-attr]
    assert len(data.sha256) == 64  # type: ignore[union-attr]
    assert dict(spec.training)["loss"] == "mse"
    assert spec.search.n_replicas == 15
    assert spec.epochs.grid[-1] == spec.epochs.max_epochs == 200
    batch = next(dimension for dimension in spec.space if dimension.key == "training.batch_size")
    assert batch.high <= 48  # the rows of the smallest fold


def test_two_classes_have_one_logit_and_three_have_three(tmp_path: Path, kinds: Path) -> None:
    three = table_spec(kinds, "kind")
    assert dict(three.training)["loss"] == "softmax_cross_entropy"
    assert open_source(three, three.datasets[0]).n_outputs == 3
    frame = class_frame()
    frame["kind"] = frame["kind"] == "low"
    two = table_spec(write(tmp_path, frame), "kind")
    assert dict(two.training)["loss"] == "binary_cross_entropy"
    assert open_source(two, two.datasets[0]).n_outputs == 1


def test_what_the_user_fixes_is_not_searched(houses: Path) -> None:
    spec = table_spec(houses, "price", training={"optimizer": "adam", "batch_size": 16}, network={"n_hidden_layers": 0})
    keys = {dimension.key for dimension in spec.space}
    assert not keys & {"training.optimizer", "training.batch_size", "network.hidden_layer_sizes"}
    rate = next(dimension for dimension in spec.space if dimension.key == "training.learning_rate")
    assert (rate.low, rate.high, rate.by) == (3e-4, 3e-2, "")


def test_words_alone_have_no_end_and_none_is_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"color": rng.choice(["red", "green"], 60), "y": rng.normal(size=60)})
    spec = table_spec(write(tmp_path, frame), "y")
    assert spec.datasets[0].data.end_rule == "none"  # type: ignore[union-attr]
    with pytest.raises(SpecError, match="dataset: held-out end: no feature"):
        table_spec(tmp_path / "some.csv", "y", end_rule="farthest")
    with pytest.raises(SpecError, match="no feature 'color': no column of numbers or dates is used"):
        table_spec(tmp_path / "some.csv", "y", end_rule="top", end_feature="color")


def test_a_name_that_no_folder_should_have_becomes_one(tmp_path: Path) -> None:
    frame = regression_frame()
    assert table_spec(write(tmp_path, frame, "my prices (v2).csv"), "price").name == "my-prices-v2"
    name = table_spec(write(tmp_path, frame, "집값.csv"), "price").name
    assert name.startswith("table-")
    assert len(name) == len("table-") + 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": "grouped"}, 'dataset: group_column: goes with folds = "grouped"; give both or none'),
        ({"group_column": "colour"}, "no column 'colour' to divide rows by; nearest: 'color'"),
        ({"end_feature": "area"}, 'dataset: end_feature: goes with end_rule "top" or "bottom", not "farthest"'),
        ({"end_rule": "top", "end_feature": "aera"}, "dataset: held-out end: no feature 'aera'; nearest: 'area'"),
        ({"n_folds": 90}, "dataset: folds: n_folds=90 with 60 rows; expected 2 to 60"),
        ({"goal": {"words": "accuracy > 0.9"}}, "goal: accuracy is a metric of classification"),
        ({"goal": {"words": "rmse > 3"}}, "goal: 'rmse > 3': rmse is better when lower"),
        ({"training": {"loss": "softmax_cross_entropy"}}, "training: loss: softmax_cross_entropy does not fit this"),
        ({"search": {"n_replicas": 7}}, "search: n_replicas: 7 are not folds times seeds; give a multiple of 3"),
        ({"roles": {"area": "nmber"}}, 'dataset: roles: area: "nmber" is none of number, category'),
        ({"tarjet": "x"}, "dataset: unknown 'tarjet'; did you mean 'target'?"),
        ({"preprocessing": "textbok"}, "dataset: preprocessing: unknown 'textbok'; did you mean 'textbook'?"),
        (
            {"target_transform": "log", "task": "classification"},
            "dataset: target_transform: log is for numbers, not for classes",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(houses: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((SpecError, TableError)) as caught:
        table_spec(houses, "price", **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_transform": "log"}, "some.csv: dataset: target transform 'log': a target of -"),
        ({"goal": {"words": "log_mse < 0.1"}}, "log_mse: a target of -"),
    ],
)
def test_targets_without_a_logarithm_are_refused_before_anything_is_trained(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, regression_frame().assign(price=lambda frame: frame["price"] - 300.0))
    with pytest.raises(SpecError) as caught:
        table_spec(path, "price", **changes)
    assert message in str(caught.value)


def test_inputs_beyond_the_memory_are_refused_with_the_widest_column(
    houses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.spec.from_table.available_bytes", lambda: 1000)
    with pytest.raises(SpecError, match=r"60 rows of 5 inputs take 0\.0 GB .* 'color' alone has 3: leave it out"):
        table_spec(houses, "price")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("y", [1.0] * 40, "target 'y': always 1; expected at least two different values"),
        ("y", [np.nan] * 40, "target 'y': 40 of 40 values are missing (the first in row 1)"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, values: list[float], message: str
) -> None:
    path = write(tmp_path, pd.DataFrame({"a": np.arange(40) % 7, "y": values}))
    assert main(["run", str(path), "--target", column, "--results", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_damaged_file_is_refused_with_line_and_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, regression_frame())
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace(",", ",,", 1)
    path.write_text("\n".join(lines) + "\n")
    assert main(["run", str(path), "--target", "price", "--results", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert "some.csv: line 8" in error
    assert error.count("\n") == 1


def test_the_target_in_disguise_is_warned_of_by_name(tmp_path: Path) -> None:
    frame = regression_frame().assign(dollars=lambda f: 1.1 * f["price"])
    spec = table_spec(write(tmp_path, frame), "price")
    source = open_source(spec, spec.datasets[0])
    assert spec.datasets[0].data.leaks == ("price = 0.9091 dollars, exactly",)
    assert [column.name for column in source.rows.columns if not column.used] == ["key"]


def test_test_rows_may_come_from_a_file_of_their_own(tmp_path: Path) -> None:
    frame = regression_frame()
    path, other = write(tmp_path, frame.iloc[:60]), write(tmp_path, frame.iloc[60:], "other.csv")
    spec = table_spec(path, "price", test_file=str(other))
    rows = open_source(spec, spec.datasets[0]).rows
    assert rows.test.tolist() == list(range(60, 83))
    assert rows.test_has_targets
    np.testing.assert_array_equal(rows.target.values[rows.test], frame["price"].iloc[60:])
    unknown = write(tmp_path, frame.iloc[60:].drop(columns="price"), "unknown.csv")
    spec = table_spec(path, "price", test_file=str(unknown))
    rows = open_source(spec, spec.datasets[0]).rows
    assert not rows.test_has_targets
    assert len(rows.in_range) + len(rows.out_of_range) == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="area"), "other.csv: no column 'area', which "),
        (lambda frame: frame.assign(area="wide"), "other.csv: column 'area': 'wide'; expected numbers as in "),
        (lambda frame: frame.assign(price="dear"), "other.csv: target 'price': 'dear'; expected numbers"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    frame = regression_frame()
    path, other = write(tmp_path, frame.iloc[:60]), write(tmp_path, change(frame.iloc[60:]), "other.csv")
    with pytest.raises(TableError) as caught:
        table_spec(path, "price", test_file=str(other))
    assert message in str(caught.value)


def test_groups_and_times_rule_the_test_part_too(tmp_path: Path) -> None:
    frame = regression_frame().assign(
        city=lambda f: [f"city {i % 9}" for i in range(len(f))],
        sold=lambda f: [f"2024-{1 + i % 12:02d}-{1 + i // 12:02d}" for i in range(len(f))],
    )
    path = write(tmp_path, frame)
    spec = table_spec(path, "price", folds="grouped", group_column="city", end_rule="none")
    source = open_source(spec, spec.datasets[0])
    cities = frame["city"].to_numpy()
    assert not set(cities[source.rows.test]) & set(cities[source.rows.in_range])
    for seed in source.search_seeds():
        fold = source.fold(seed.rpartition(".")[0])
        assert not set(cities[fold.train]) & set(cities[fold.validation])
    assert not next(column for column in source.rows.columns if column.name == "city").used
    spec = table_spec(path, "price", folds="time", time_column="sold", end_rule="none")
    source = open_source(spec, spec.datasets[0])
    days = frame["sold"].to_numpy()
    assert days[source.rows.in_range].max() <= days[source.rows.test].min()
    for seed in source.search_seeds():
        fold = source.fold(seed.rpartition(".")[0])
        assert days[fold.train].max() <= days[fold.validation].min()


def test_the_textbooks_preprocessing_is_labelled_as_leaking(houses: Path) -> None:
    spec = table_spec(houses, "price", preprocessing="textbook")
    source = open_source(spec, spec.datasets[0])
    assert source.record.leaks
    assert "leak" in source.record.preprocessing
    fitted = [source.fitted(f"search0.fold{k}").preprocessing for k in range(3)]
    assert fitted[0] == fitted[1] == fitted[2]


def test_a_search_on_some_rows_leaves_the_rest_to_the_certificate(houses: Path) -> None:
    spec = table_spec(houses, "price", n_search_rows=40)
    source = open_source(spec, spec.datasets[0])
    assert len(source.rows.folded) == 40
    assert set(source.rows.folded) < set(source.rows.in_range)
    assert len(source.fold("certificate").train) == len(source.rows.in_range) == 60


def test_a_korean_table_is_read_by_its_named_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = regression_frame().rename(columns={"area": "면적", "price": "값"})
    path = tmp_path / "korean.csv"
    frame.to_csv(path, index=False, encoding="cp949")
    assert main(["run", str(path), "--target", "값", "--results", str(tmp_path)]) == 2
    assert "encoding" in capsys.readouterr().err
    spec = table_spec(path, "값", encoding="cp949")
    assert "면적" in [column.name for column in open_source(spec, spec.datasets[0]).rows.columns]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("none", {"end_rule": "none"}),
        ("farthest:0.2", {"end_rule": "farthest", "end_share": 0.2}),
        ("area:top:0.15", {"end_rule": "top", "end_feature": "area", "end_share": 0.15}),
        ("a:b:bottom:0.1", {"end_rule": "bottom", "end_feature": "a:b", "end_share": 0.1}),
    ],
)
def test_an_end_is_named_on_the_command_line(end: str, expected: dict[str, Any]) -> None:
    from sweeps.commands.csv_options import _end

    assert _end(end) == expected


@pytest.mark.parametrize("end", ["top:0.1", "area:top", "area:top:x", "farthest"])
def test_a_misspelt_end_is_refused(end: str, houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(houses), "--target", "price", "--out-of-range", end]) == 2
    assert f"--out-of-range {end}: write farthest:0.1" in capsys.readouterr().err
