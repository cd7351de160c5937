"""MLflow holds exactly what a polynomial study's records hold."""

import json
import tomllib
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.polynomial.fits import range_errors
from analysis.polynomial.question import Question
from analysis.polynomial.text import answer_text
from analysis.records.polynomial import NetworkRecord, polynomial_settings
from analysis.records.reading import read_study
from engine.polynomial.rows import draw_rows
from sweeps.data.polynomial import parse_polynomial_spec
from sweeps.run.study import run_sweep
from sweeps.tracking.importing import import_sweeps
from sweeps.tracking.projection import sync
from sweeps.tracking.run_contents import record_uid

# MLflow's dependencies warn of their own future; that is not ours to mend.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow import MlflowClient
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")


def runs_of(uri: str) -> dict[str, Any]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_uid = {run.data.tags["sweep.uid"]: run for run in runs}
    assert len(by_uid) == len(runs)
    return by_uid


def test_a_parent_run_and_one_for_each_network_are_written_once_and_make_the_records_again(tmp_path):
    results, uri = tmp_path / "results", f"sqlite:///{tmp_path}/mlflow.db"
    table = tomllib.loads(resources.files("sweeps").joinpath("specs", "polynomials", "quadratic.toml").read_text())
    table |= {"name": "tiny", "n_rows": 200, "n_nodes": 20, "n_seeds": 2}
    for recipe in table["recipes"]:
        recipe["n_steps"] //= 5000
    run_sweep(parse_polynomial_spec(table, "tiny.toml"), results, workers=1)
    path = results / "tiny" / "polynomial" / "log.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:12]))  # the header, what was asked, three networks
    assert sync(results, uri).n_written == 4
    assert runs_of(uri)["tiny/polynomial"].info.status == "KILLED"
    path.write_bytes(whole)
    assert sync(results, uri).n_written == 5
    again = sync(results, uri)
    assert (again.n_written, again.n_present) == (0, 9)
    runs = runs_of(uri)
    parent = runs.pop("tiny/polynomial")
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    study = read_study(path)
    assert set(runs) == {record_uid(run) for run in study.networks}
    run, asked = study.networks[0], polynomial_settings(study.header.data)
    rows = draw_rows([run.seed], asked.coefficients, asked.n_rows, asked.noise_sd, asked.stretch)
    last = runs[record_uid(run)].data.metrics
    assert last["train_mse"] == run.loss[-1]
    assert last["out_of_range_mse"] == range_errors(np.array(run.parameters[-1:]), rows).out_of_range[0]
    client = MlflowClient(uri)
    text = Path(client.download_artifacts(runs[record_uid(run)].info.run_id, "record.json")).read_text()
    assert NetworkRecord(**json.loads(text)) == run
    imported = import_sweeps(uri, tmp_path / "imported")
    assert [sweep.folder.name for sweep in imported] == ["tiny"]
    for name in ("spec.toml", "polynomial/log.jsonl"):
        assert (tmp_path / "imported" / "tiny" / name).read_bytes() == (results / "tiny" / name).read_bytes()
    claims_text = Path(client.download_artifacts(parent.info.run_id, "claims.txt")).read_text()
    assert claims_text == answer_text(Question(study)) + "\n"
