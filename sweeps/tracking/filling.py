"""What a run holds, written to the store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records.lines import canonical_json
from sweeps.tracking.answers import log_files
from sweeps.tracking.run_contents import RunContent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def fill_run(client: MlflowClient, run: Run, content: RunContent, tags: dict[str, str] | None = None) -> None:
    """Log one batch, the artifacts and the dataset of a run; all of it can be repeated."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    # The time of every point is the run's own end, so that logging it again adds nothing.
    metrics = [Metric(key, value, content.end_ms, step) for key, value, step in content.metrics]
    params = [Param(key, value) for key, value in content.params.items()]
    new_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=params, tags=new_tags)
    if content.texts or content.files:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in content.texts.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            for file in content.files:
                shutil.copy(file, folder)
            log_files(client, run, Path(folder))
    if not content.data_name:
        return
    dataset = Dataset(
        content.data_name,
        content.data_digest,
        "code",
        canonical_json({"generator": content.data_name}),
        None,
        content.data_profile,
    )
    client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
