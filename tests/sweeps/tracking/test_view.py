"""What MLflow shows without being set up: columns, the report among the artifacts, the winner's setting."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import record_builders as build

from analysis.report import write_report
from analysis.statistics.homework import setting_text, winner_record
from sweeps.tracking.database import open_client
from sweeps.tracking.experiments import NAME_TAG
from sweeps.tracking.projection import sync
from sweeps.tracking.report_upload import ReportUpload, report_files
from sweeps.tracking.run_contents import parent_content
from sweeps.tracking.trial_contents import trial_metrics
from sweeps.tracking.ui import run_addresses, server_environment
from sweeps.tracking.view import VIEW_TAG, view_address, view_tags

pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a results folder with a report and the store that both are in."""
    folder = tmp_path_factory.mktemp("view")
    for position, name in enumerate(("xor", "gauss")):
        build.write_study(
            build.finished_study(name, position, n_trials=6, n_certificate=20), folder / "results/homework"
        )
    write_report([folder / "results" / "homework"])
    uri = f"sqlite:///{folder}/mlflow.db"
    sync(folder / "results", uri)
    return folder / "results", uri


def parents(uri: str) -> dict:
    client = open_client(uri)
    (number,) = [one.experiment_id for one in client.search_experiments() if NAME_TAG in one.tags]
    return {run.info.run_name: run for run in client.search_runs([number], "tags.kind = 'study'")}


def test_the_experiment_has_the_columns_that_say_what_worked(synced: tuple[Path, str]) -> None:
    client = open_client(synced[1])
    (experiment,) = [one for one in client.search_experiments() if NAME_TAG in one.tags]
    columns = json.loads(experiment.tags[VIEW_TAG])["selectedColumns"]
    assert columns[:4] == [f"metrics.`{key}`" for key in ("value", "pass_rate", "in_range_loss", "out_of_range_loss")]
    assert run_addresses(client) == [
        (
            "homework",
            f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=sweeps",
        )
    ]
    run = parents(synced[1])["homework/xor"]
    kinds = {"metrics": run.data.metrics, "tags": run.data.tags}
    for column in columns[:5]:
        kind, _, key = column.partition(".")
        assert key.strip("`") in kinds[kind]


def test_an_experiment_without_the_columns_is_opened_without_them() -> None:
    assert view_address("7", {}) == "#/experiments/7/runs?workflowType=machine_learning"


def test_studies_of_other_kinds_have_no_such_columns() -> None:
    assert view_tags(build.header(data={"kind": "polynomial"})) == {}


def test_the_parent_has_the_winners_setting_and_what_it_chose() -> None:
    study = build.finished_study("xor", n_trials=6)
    winner = winner_record(study)
    assert winner is not None
    tags = parent_content(study, "ada").tags
    assert tags["winner.setting"] == setting_text(winner)
    assert tags["winner.activation"] == winner.network["activation"]
    assert float(tags["winner.learning_rate"]) == winner.params["training.learning_rate"]
    assert tags["winner.hidden_layer_sizes"] == ", ".join(map(str, winner.network["hidden_layer_sizes"]))
    study.verdict = None
    assert not [key for key in parent_content(study, "ada").tags if key.startswith("winner.")]


def test_single_numbers_have_step_0_and_a_curve_has_at_least_three_points() -> None:
    record = build.record(np.random.default_rng(0))
    assert {step for key, _, step in trial_metrics(0.1, record) if not key.startswith("by_epoch/")} == {0}
    record.epoch_grid[2:] = []
    for values in record.curves.values():
        values[2:] = []
    assert not [key for key, _, _ in trial_metrics(0.1, record) if key.startswith("by_epoch/")]


def test_the_parent_keeps_the_page_and_its_own_pictures(synced: tuple[Path, str]) -> None:
    results, uri = synced
    client, runs = open_client(uri), parents(uri)
    for dataset, slug in (("xor", "xor"), ("gauss", "two-blobs")):
        found = {
            Path(one.path).name for one in client.list_artifacts(runs[f"homework/{dataset}"].info.run_id, "report")
        }
        assert "report.html" in found
        assert f"trials-{slug}.svg" in found
        assert all(name == "report.html" or name.partition("-")[2].startswith(slug) for name in found)
    assert sync(results, uri).n_written == 0


class Sent:
    """Stands where MLflow would be, with its artifacts in a folder, and lists what is there at every commit."""

    tracking_uri = "sqlite:///mlflow.db"

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.folders: list[tuple[str, list[str]]] = []

    def get_run(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id, artifact_uri=(self.artifacts / run_id).as_uri()))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        (place,) = (self.artifacts / run_id).iterdir()
        names = sorted(path.name for path in place.iterdir())
        self.folders.append((f"{run_id}/{place.name} {key}={value[:4]}", names))


def test_only_another_page_is_sent_again(tmp_path: Path) -> None:
    sent = Sent(tmp_path / "artifacts")
    upload = ReportUpload(tmp_path, sent)  # type: ignore[arg-type]
    upload.send("r", "xor")
    assert sent.folders == []
    (tmp_path / "report" / "pictures").mkdir(parents=True)
    (tmp_path / "report" / "index.html").write_text("one")
    (tmp_path / "report" / "pictures" / "card-xor.png").write_text("")
    (tmp_path / "report" / "pictures" / "card-not-xor.png").write_text("")
    upload.send("r", "xor")
    upload.send("r", "xor")
    assert sent.folders == [("r/report report.sha256=7692", ["card-xor.png", "report.html"])]
    (tmp_path / "report" / "index.html").write_text("two")
    upload.send("r", "xor")
    assert len(sent.folders) == 2


def test_a_dataset_whose_name_ends_like_anothers_keeps_its_own_pictures(tmp_path: Path) -> None:
    (tmp_path / "report" / "pictures").mkdir(parents=True)
    (tmp_path / "report" / "index.html").write_text("page")
    for name in ("card-blobs.png", "card-two-blobs.png", "card-blobs-2.png"):
        (tmp_path / "report" / "pictures" / name).write_text("")
    assert list(report_files(tmp_path, "blobs")) == ["report.html", "card-blobs.png"]


def test_the_server_offers_no_gateway_and_no_assistant_to_others() -> None:
    environment = server_environment()
    assert environment["MLFLOW_ENABLE_AI_GATEWAY"] == "false"
    assert environment["MLFLOW_ENABLE_REMOTE_ASSISTANT"] == "false"
