"""A checked homework table in MLflow: one parent run a table or class, one run a row, with what was found of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.sections.handed_in import GOAL, TEST, TRAIN, claimed_text, mistakes_of, notes_of
from analysis.statistics.claimed import CheckedRow
from sweeps.tracking.answers import surely
from sweeps.tracking.content_parts import LONGEST_PARAM, LONGEST_TAG, MetricPoint, finite_points, short_text
from sweeps.tracking.database import artifact_root, first_line, open_client
from sweeps.tracking.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "checked homework"
NOTE = (
    "One run per row of a homework table under a parent run: what the row claims, what its setting gives over many "
    "draws, and whether the claimed losses are plausible. Not plausible says nothing about how a number came about."
)
KIND_TAG = "homework"
"""Of every run: ``"table"`` of a parent run, ``"row"`` of the others."""
IDENTITY_TAG = "homework.identity"
"""Of every run: `identity_of` its table, for a row with its place; a check that was killed goes on with these runs."""


def log_homework(uri: str, name: str, rows: Sequence[CheckedRow], seed: int) -> str:
    """Write a parent run and one run a row; those of the same rows that are there already are completed, not repeated.

    Parameters
    ----------
    uri : str
        As from `sweeps.tracking.database.resolve_uri`.
    name : str
        The table's file, or the class's folder.
    rows : sequence of CheckedRow
    seed : int
        That chose the draws.

    Returns
    -------
    str
        Id of the parent run.

    Raises
    ------
    TrackingError
        If the store cannot be used.
    """
    client = open_client(uri)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _write(client, uri, name, rows, seed)
    except (OSError, MlflowException, SQLAlchemyError) as error:
        raise TrackingError(f"{uri}: the checked rows are not in MLflow ({first_line(error)})") from None


def _write(client: MlflowClient, uri: str, name: str, rows: Sequence[CheckedRow], seed: int) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"experiment {EXPERIMENT}: deleted in MLflow; restore it (`mlflow experiments restore -x"
            f" {experiment.experiment_id}`) or give another --tracking-uri"
        )
    if experiment is None:
        root = artifact_root(uri)
        place = None if root is None else (root / EXPERIMENT).as_uri()
        number = client.create_experiment(EXPERIMENT, place, {"mlflow.note.content": NOTE})
    else:
        number = experiment.experiment_id
    identity = identity_of(name, rows, seed)
    tags = {KIND_TAG: "table", "mlflow.runName": name}
    parent = _begin(client, str(number), identity, tags)
    for i, row in enumerate(rows):
        tags = {"mlflow.parentRunId": str(parent.info.run_id), **row_tags(row)}
        run = _begin(client, str(number), f"{identity}:{i}", tags)
        _end(client, run, row_params(row), row_metrics(row), "FINISHED" if row.losses else "FAILED")
    n_draws = max((row.n for row in rows), default=0)
    _end(client, parent, {"n_draws": str(n_draws), "seed": str(seed)}, table_metrics(rows), "FINISHED")
    return str(parent.info.run_id)


def identity_of(name: str, rows: Sequence[CheckedRow], seed: int) -> str:
    """Return what tells one checked table from another: SHA-256 of everything that its runs say."""
    said = [(row_tags(row), row_params(row), row_metrics(row)) for row in rows]
    return hashlib.sha256(json.dumps([name, seed, said], sort_keys=True).encode()).hexdigest()


def _begin(client: MlflowClient, experiment: str, identity: str, tags: dict[str, str]) -> Run:
    """Return the run that was made for the same before, whole or half, else a new one."""
    condition = f"tags.`{IDENTITY_TAG}` = '{identity}'"
    found = surely(client, lambda: client.search_runs([experiment], condition, max_results=1))
    return found[0] if found else client.create_run(experiment, tags={IDENTITY_TAG: identity, **tags})


def _end(client: MlflowClient, run: Run, params: dict[str, str], metrics: Sequence[MetricPoint], status: str) -> None:
    from mlflow.entities import Metric, Param

    if run.info.status == status:
        return  # it was written whole before
    begun = run.info.start_time  # the same whenever it is written: a point that is there already stays one point
    points = [Metric(key, value, begun, step) for key, value, step in metrics]
    client.log_batch(run.info.run_id, metrics=points, params=[Param(key, value) for key, value in params.items()])
    client.set_terminated(run.info.run_id, status)


def row_tags(row: CheckedRow) -> dict[str, str]:
    """Return the tags of a row's run."""
    tags = {
        KIND_TAG: "row",
        "mlflow.runName": f"{row.source}:{row.line} {row.dataset}",
        "claimed_losses": row.verdict,
        "source": row.source,
        "line": str(row.line),
        "dataset": row.dataset,
        "notes": "; ".join(notes_of(row)),
        "mistakes": "; ".join(mistakes_of(row)),
    }
    return {key: short_text(value, LONGEST_TAG) for key, value in tags.items() if value}


def row_params(row: CheckedRow) -> dict[str, str]:
    """Return the params of a row's run: its setting and what it claims."""
    params = {
        "setting": row.setting,
        "rates": ", ".join(f"{rate:g}" for rate in row.rates),
        "claimed_training_loss": claimed_text(row, TRAIN),
        "claimed_test_loss": claimed_text(row, TEST),
    }
    return {key: short_text(value, LONGEST_PARAM) for key, value in params.items() if value}


def row_metrics(row: CheckedRow) -> list[MetricPoint]:
    """Return what a row's setting gives, and where its claimed losses fall."""
    found: dict[str, float | None] = {"plausibility": max(row.by_rate, default=None), "n_draws": float(row.n)}
    if row.losses:
        found["pass_rate"] = row.passes(GOAL).estimate
    for loss in row.losses:
        key = loss.replace(" ", "_")
        place = row.place(loss)
        found |= {
            f"{key}_mean": row.mean(loss).estimate,
            f"{key}_percentile": None if place is None else place.percentile,
        }
        if loss in row.claimed:
            found[f"{key}_claimed"] = row.claimed[loss][0]
    return finite_points(found, 0)


def table_metrics(rows: Sequence[CheckedRow]) -> list[MetricPoint]:
    """Return how many rows there are, and how many of them are what."""
    counts = {
        "n_rows": len(rows),
        "n_trained": sum(bool(row.losses) for row in rows),
        "n_plausible": sum(row.plausible is True for row in rows),
        "n_not_plausible": sum(row.plausible is False for row in rows),
    }
    return finite_points({key: float(value) for key, value in counts.items()}, 0)
