"""How MLflow shows a sweep's runs before anybody has set anything: columns that say what worked, the metric to see.

MLflow keeps a view that somebody shares as a tag of the experiment; an address that names the view opens the page with
it. The tag's form was read in MLflow 3.17: a version that reads it otherwise shows its own columns.
"""

from __future__ import annotations

import json

from analysis.records.study import StudyHeader
from sweeps.tracking.run_contents import OF_TRIALS, contents_of

VIEW_KEY = "sweeps"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
COLUMNS = (
    "metrics.`value`",
    "metrics.`pass_rate`",
    "metrics.`in_range_loss`",
    "metrics.`out_of_range_loss`",
    "tags.`certified`",
    "tags.`candidate`",
    "attributes.`Dataset`",
)
"""Beside the run's name, which has the setting."""


def view_tags(header: StudyHeader) -> dict[str, str]:
    """Return the tags of the experiment of a study of trials; other kinds of study have other metrics, and none."""
    if contents_of(header) is not OF_TRIALS:
        return {}
    return {
        VIEW_TAG: json.dumps({"selectedColumns": COLUMNS, "columnOrder": COLUMNS}),
        "mlflow.experiment.primaryMetric.name": "value",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "false",
    }


def view_address(experiment: str, tags: dict[str, str]) -> str:
    """Return the page of an experiment's runs in the machine-learning view, with the columns that were set for it.

    Without that view in the address, MLflow opens its page for traces of language models, where a sweep has none.
    """
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    return f"{page}&viewStateShareKey={VIEW_KEY}" if VIEW_TAG in tags else page
