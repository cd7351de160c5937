"""A saved model predicts new rows by itself, says what its networks disagree by, and flags rows beyond its range."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forged_models import alter_description, read_description, write_forged
from sklearn.metrics import accuracy_score, root_mean_squared_error
from tiny_tables import class_frame, regression_frame, table_spec

from analysis.records.reading import read_study, read_sweep
from engine.model_files import ModelFileError
from sweeps.commands.main import main
from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.predicting import (
    load_table_model,
    output_names,
    predict_rows,
    predictions_csv,
    read_new_rows,
)
from sweeps.data.table.table import TableError
from sweeps.data.table.told import Told
from sweeps.run.study import run_sweep
from sweeps.spec.sweep import open_source


@pytest.fixture(scope="module")
def regression(houses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    run_sweep(table_spec(houses, "price"), results, workers=2)
    return results / "houses"


@pytest.fixture(scope="module")
def classification(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    run_sweep(table_spec(kinds, "kind"), results, workers=2)
    return results / "kinds"


def test_it_predicts_the_test_rows_as_the_certificate_did(regression: Path, houses: Path) -> None:
    spec = table_spec(houses, "price")
    rows = open_source(spec, spec.datasets[0]).rows
    found = predict_rows(load_table_model(regression), rows.frame.iloc[rows.test].reset_index(drop=True))
    (study,) = read_sweep(regression)
    judged = study.records["certificate"][0].ensemble
    assert judged is not None
    score = root_mean_squared_error(rows.target.values[rows.test], found.values.astype(np.float64))
    assert judged["value"] == pytest.approx(score, rel=1e-12)


def test_classes_come_by_name_with_their_probability(classification: Path, kinds: Path) -> None:
    spec = table_spec(kinds, "kind")
    rows = open_source(spec, spec.datasets[0]).rows
    frame = rows.frame.iloc[rows.test].reset_index(drop=True)
    found = predict_rows(load_table_model(classification / "kinds" / "models" / "certificate-0.json"), frame)
    (study,) = read_sweep(classification)
    judged = study.records["certificate"][0].ensemble
    assert judged is not None
    assert judged["scores"]["accuracy"] == pytest.approx(accuracy_score(frame["kind"], found.values.tolist()))
    assert found.probability is not None
    assert ((found.low <= found.probability) & (found.probability <= found.high)).all()


def test_a_row_beyond_the_range_is_flagged_with_its_distance_and_its_columns(regression: Path, houses: Path) -> None:
    model = load_table_model(regression)
    spec = table_spec(houses, "price")
    source = open_source(spec, spec.datasets[0])
    area = source.rows.frame["area"].iloc[source.fold("certificate").train].dropna()
    inside = {"area": 100.0, "rooms": 3, "color": "red"}
    frame = pd.DataFrame([inside, {**inside, "area": area.max() + 50.0}, {**inside, "color": "violet"}])
    found = predict_rows(model, frame)
    assert found.outside == ["", "area", "color (never seen)"]
    assert found.distance[0] == 0.0
    filled = source.rows.frame["area"].iloc[source.fold("certificate").train].fillna(area.mean())
    assert found.distance[1] == pytest.approx(50.0 / filled.std(ddof=0))


def test_the_command_writes_a_csv_that_needs_only_the_model(
    regression: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(regression / "houses" / "models", tmp_path / "models")
    regression_frame().drop(columns=["price", "key"]).to_csv(tmp_path / "new.csv", index=False)
    command = ["predict", str(tmp_path / "models"), str(tmp_path / "new.csv"), "--output", str(tmp_path / "out.csv")]
    assert main(command) == 0
    assert "83 rows, price by 4 networks trained on 60 rows of houses.csv" in capsys.readouterr().err
    with (tmp_path / "out.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    found = predict_rows(load_table_model(tmp_path / "models"), regression_frame())
    assert [*lines[0]] == ["row", "price", "networks_low", "networks_high", "out_of_range", "distance", "outside"]
    assert [float(line["price"]) for line in lines] == pytest.approx(found.values.tolist(), rel=1e-8)
    assert [line["out_of_range"] == "yes" for line in lines] == [bool(text) for text in found.outside]


def test_the_verdict_of_the_sweep_is_told_where_it_certifies_nothing(
    regression: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = read_study(regression / "houses" / "log.jsonl").verdict
    assert verdict is not None
    assert not verdict.certified
    regression_frame().to_csv(tmp_path / "new.csv", index=False)
    assert main(["predict", str(regression), str(tmp_path / "new.csv"), "--output", str(tmp_path / "out.csv")]) == 0
    told = f"these networks are not certified; the verdict of their sweep: {verdict.text}\n"
    assert told in capsys.readouterr().err


def test_a_class_that_looks_like_a_formula_is_quoted(classification: Path) -> None:
    model = load_table_model(classification)
    found = predict_rows(model, class_frame())
    found.values[0] = "=cmd|' /C calc'!A0"
    assert predictions_csv(model, class_frame(), found).splitlines()[1].startswith("1,'=cmd|")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="area"), "no column 'area', which the model needs"),
        (lambda frame: frame.assign(area="wide"), "column 'area': 'wide'; expected numbers, as in training"),
    ],
)
def test_rows_that_do_not_fit_are_refused(regression: Path, change: object, message: str) -> None:
    with pytest.raises(TableError) as caught:
        predict_rows(load_table_model(regression), change(regression_frame()))  # type: ignore[operator]
    assert str(caught.value).startswith(message)


def test_a_damaged_or_foreign_model_is_refused(regression: Path, tmp_path: Path) -> None:
    shutil.copytree(regression / "houses" / "models", tmp_path / "models")
    description = tmp_path / "models" / "certificate-0.json"
    data = json.loads(description.read_text())
    data["extra"]["table"]["box"]["low"][0] = -1e9
    description.write_text(json.dumps(data))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelFileError, match="altered"):
        load_table_model(tmp_path / "models")
    with pytest.raises(ModelFileError, match=r"no certificate-0\.npz below it; name the \.npz itself"):
        load_table_model(empty)


def test_a_wrong_model_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    assert main(["predict", str(tmp_path / "a.npz"), "new.csv"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "a.json: cannot be read" in error


@pytest.mark.parametrize("target", ["distance", "row", "networks_low"])
def test_no_output_column_is_called_as_the_target_or_another_column(regression: Path, target: str) -> None:
    model = dataclasses.replace(load_table_model(regression), target=target)
    frame = regression_frame().assign(outside="o")
    found = predict_rows(model, frame)
    header, *lines = csv.reader(io.StringIO(predictions_csv(model, frame, found)))
    assert len(set(header)) == len(header)
    assert not set(header) - {target} & {*map(str, frame.columns)}
    assert "predict_outside" in header
    assert f"predict_{target}" in header
    assert [float(line[header.index(target)]) for line in lines] == pytest.approx(found.values.tolist(), rel=1e-8)


@pytest.mark.parametrize("target", ["probability", "out_of_range"])
def test_a_class_by_the_name_of_an_output_keeps_it(classification: Path, target: str) -> None:
    model = dataclasses.replace(load_table_model(classification), target=target)
    found = predict_rows(model, class_frame())
    header, *lines = csv.reader(io.StringIO(predictions_csv(model, class_frame(), found)))
    assert header.count(target) == 1
    assert [line[header.index(target)] for line in lines] == found.values.tolist()


def test_a_name_is_prefixed_until_it_is_free() -> None:
    names = output_names("row", ["predict_row", "distance"])
    assert names["row"] == "predict_predict_row"
    assert names["distance"] == "predict_distance"
    assert names["outside"] == "outside"


def test_identifiers_are_carried_through(regression: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = regression_frame().drop(columns=["price"]).head(4)
    frame["who"] = ["007", "", "12", "30"]
    frame["number"] = ["5", "6", "", "8"]
    frame.to_csv(tmp_path / "new.csv", index=False)
    command = ["predict", str(regression), str(tmp_path / "new.csv")]
    assert main([*command, "--id", "who", "--id", "number"]) == 0
    header, *lines = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[:4] == ["row", "who", "number", "price"]
    assert [line[:3] for line in lines] == [["1", "007", "5"], ["2", "", "6"], ["3", "12", ""], ["4", "30", "8"]]
    for name, message in (
        ("price", "--id price: that is what is predicted; name another column"),
        ("numbr", "--id numbr: not in the file; nearest: 'number'"),
    ):
        assert main([*command, "--id", name]) == 2
        assert capsys.readouterr().err == f"python -m sweeps: {message}\n"


def test_rows_without_a_target_are_predicted_on_request(
    regression: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = regression_frame().head(6)
    frame.loc[[1, 4], "price"] = np.nan
    frame.to_csv(tmp_path / "new.csv", index=False)
    command = ["predict", str(regression), str(tmp_path / "new.csv")]
    assert main([*command, "--without-target"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["row"] for line in lines] == ["2", "5"]
    found = predict_rows(load_table_model(regression), frame)
    assert [float(line["price"]) for line in lines] == pytest.approx(found.values[[1, 4]].tolist(), rel=1e-8)
    frame.fillna({"price": 1.0}).to_csv(tmp_path / "new.csv", index=False)
    assert main([*command, "--without-target"]) == 2
    assert capsys.readouterr().err == "python -m sweeps: every row has a 'price': leave --without-target out\n"


def test_new_rows_are_read_as_those_trained_on(regression: Path, tmp_path: Path) -> None:
    model = load_table_model(regression)
    path = tmp_path / "new.csv"
    path.write_text('area,rooms,color\n"1.234",3,red\n"700",2,blue\n')
    european = dataclasses.replace(model, formats={"area": NumberFormat(",", ".")})
    assert read_new_rows(european, path, {}).frame["area"].tolist() == [1234, 700]
    assert read_new_rows(model, path, {"decimal": "."}).frame["area"].tolist() == [1.234, 700]
    nameless = dataclasses.replace(model, told=Told(header=False), n_columns=5)
    with pytest.raises(TableError, match=r"3 columns without names; expected 5, as in training, each in its place"):
        read_new_rows(nameless, path, {"skip_rows": 1, "decimal": "."})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # forged numbers may well overflow
@pytest.mark.parametrize("n", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_forged_model_is_refused_in_one_line_or_predicts(
    regression: Path, classification: Path, houses: Path, kinds: Path, tmp_path: Path, n: int
) -> None:
    rng = random.Random(n)
    n_refused = n_bad = 0
    for folder, rows in ((regression, houses), (classification, kinds)):
        (source,) = folder.glob("*/models/certificate-0.npz")
        path = tmp_path / source.name
        shutil.copy(source, path)
        whole = read_description(source)
        for _ in range(n):
            description = copy.deepcopy(whole)
            alter_description(description, rng, ("extra", "table"))
            write_forged(path, description, None)
            try:
                model = load_table_model(path)
                frame = read_new_rows(model, rows, {}).frame
                predictions_csv(model, frame, predict_rows(model, frame))
            except (ModelFileError, TableError) as error:
                n_refused += 1
                n_bad += "\n" in str(error) or len(str(error)) > 300
    assert n_bad == 0
    assert n_refused > n / 2
