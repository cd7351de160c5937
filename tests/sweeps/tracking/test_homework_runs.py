"""A checked homework table in MLflow: one parent run, one run a row, what was found as tags and metrics."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from analysis.statistics.claimed import CheckedRow
from sweeps.commands.homework import log_rows
from sweeps.tracking.database import open_client, sqlite_uri
from sweeps.tracking.homework_runs import EXPERIMENT, log_homework

# MLflow's dependencies warn of their own future; that is not ours to mend.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow import MlflowClient
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow.*", "ignore::Warning:sqlalchemy.*")


def row(line: int, claimed: float | None, trained: bool = True) -> CheckedRow:
    losses = np.linspace(0.05, 0.15, 64)[None]
    both = {"training loss": losses, "test loss": losses + 0.01}
    return CheckedRow(
        source="kim.csv", line=line, dataset="XOR", setting="relu, batch 30" if trained else "activation: unknown",
        rates=(0.1,) if trained else (), losses=both if trained else {},
        claimed={} if claimed is None else {"training loss": (claimed, 3)}, sentences={}, notes=(), mistakes=(),
    )  # fmt: skip


def test_each_row_is_a_run_below_one_parent_with_its_plausibility(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    parent = log_homework(uri, "kim.csv", [row(2, 0.1), row(3, 0.001), row(4, None), row(5, 0.1, trained=False)], 1)
    client = open_client(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = {run.data.tags["mlflow.runName"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"kim.csv", *(f"kim.csv:{line} XOR" for line in (2, 3, 4, 5))}
    rows = [runs[f"kim.csv:{line} XOR"] for line in (2, 3, 4, 5)]
    assert {run.data.tags["mlflow.parentRunId"] for run in rows} == {parent} == {runs["kim.csv"].info.run_id}
    assert [run.data.tags["claimed_losses"] for run in rows] == [
        "plausible", "not plausible", "no loss given", "not trained",
    ]  # fmt: skip
    assert [run.info.status for run in rows] == ["FINISHED"] * 3 + ["FAILED"]
    assert rows[0].data.metrics["training_loss_percentile"] == pytest.approx(50.0)
    assert rows[1].data.metrics["plausibility"] == pytest.approx(1 / 65)
    assert rows[1].data.metrics["training_loss_percentile"] == 0.0
    assert "plausibility" not in rows[2].data.metrics
    assert rows[0].data.metrics["training_loss_mean"] == pytest.approx(0.1)
    table = runs["kim.csv"].data
    assert [table.metrics[f"n_{key}"] for key in ("rows", "trained", "plausible", "not_plausible")] == [4, 3, 1, 1]
    assert table.params == {"n_draws": "64", "seed": "1"}


def test_a_check_that_was_killed_goes_on_with_its_own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, rows = sqlite_uri(tmp_path / "mlflow.db"), [row(2, 0.1), row(3, 0.001), row(4, None)]
    for method, n_calls in (("log_batch", 2), ("set_terminated", 3), ("create_run", 4)):
        killed_at(monkeypatch, method, n_calls)
        with pytest.raises(KeyboardInterrupt):
            log_homework(uri, f"{method}.csv", rows, 1)
        monkeypatch.undo()
        parent = log_homework(uri, f"{method}.csv", rows, 1)
        assert log_homework(uri, f"{method}.csv", rows, 1) == parent
        client = open_client(uri)
        (experiment,) = (one.experiment_id for one in client.search_experiments() if one.name == EXPERIMENT)
        children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
        assert len(children) == 3
        whole = [*children, client.get_run(parent)]
        assert {run.info.status for run in whole} == {"FINISHED"}
        for run in whole:
            assert all(len(client.get_metric_history(run.info.run_id, key)) == 1 for key in run.data.metrics)
        tables = client.search_runs([experiment], f"tags.homework = 'table' and run_name = '{method}.csv'")
        assert [run.info.run_id for run in tables] == [parent]
    assert log_homework(uri, "create_run.csv", rows, 2) != parent
    assert log_homework(uri, "create_run.csv", rows[:2], 1) != parent


def killed_at(monkeypatch: pytest.MonkeyPatch, method: str, n_calls: int) -> None:
    """Interrupt the store's client just before the n-th call of a method."""
    real, calls = getattr(MlflowClient, method), iter(range(1, n_calls))

    def call(self: MlflowClient, *args: object, **kwargs: object) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, method, call)


def test_a_store_that_cannot_be_used_is_one_line_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("no database")
    log_rows(sqlite_uri(path), "kim.csv", [row(2, 0.1)], 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "mlflow.db: cannot be used by MLflow" in printed.err
