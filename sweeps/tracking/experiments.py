"""The experiment of a sweep: known by its tag, whatever a user calls it, and replaced where its artifacts have moved.

MLflow fixes the place of an experiment's artifacts when it is made, as an absolute path. Where a project has been
moved, that place is no more; its runs are then written again into a new experiment, with everything that the sweep's
folder has, and those of the old one are deleted in MLflow, which can restore them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from analysis.records.study import StudyHeader
from sweeps.tracking.answers import every_experiment, surely
from sweeps.tracking.errors import StoreFailedError, TrackingError
from sweeps.tracking.run_contents import study_digest
from sweeps.tracking.trial_contents import NOTE
from sweeps.tracking.view import view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

NAME_TAG = "sweep.name"
"""Of an experiment: the sweep whose runs it holds."""
MOVED_TAG = "sweep.moved"
"""Of an experiment: the sweep whose runs it held before the project was moved. Of a run: it was deleted for that."""
PAGE_SIZE = 500


def experiment_id(client: MlflowClient, header: StudyHeader, artifacts: Path | None) -> str:
    """Return the experiment of a study's sweep, made where there is none.

    Parameters
    ----------
    client : MlflowClient
    header : StudyHeader
        Of the study.
    artifacts : Path or None
        Folder for the artifacts of experiments; None means the server's own place.

    Raises
    ------
    TrackingError
        If a user has deleted it.
    """
    name = header.sweep
    experiment = _find(client, header)
    if experiment is not None and artifacts is not None and _has_moved(experiment, artifacts):
        _retire(client, experiment, name)
        experiment = None
    if experiment is None:
        return _make(client, header, artifacts)
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"experiment {experiment.name}: deleted in MLflow; restore it (`mlflow experiments restore -x"
            f" {experiment.experiment_id}`) or give another --tracking-uri"
        )
    for key, value in {NAME_TAG: name, **view_tags(header)}.items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def runs_of(
    client: MlflowClient, experiments: list[str], header: StudyHeader, condition: str = "", active_only: bool = False
) -> Iterator[Run]:
    """Yield the runs of one study, page by page."""
    from mlflow.entities import ViewType

    view = ViewType.ACTIVE_ONLY if active_only else ViewType.ALL
    text = f"tags.`sweep.study` = '{study_digest(header)}'" + (f" and {condition}" if condition else "")
    token: str | None = None
    while experiments:
        page = surely(client, partial(client.search_runs, experiments, text, view, PAGE_SIZE, page_token=token))
        yield from page
        token = page.token
        if not token:
            return


def delete_moved(client: MlflowClient, header: StudyHeader) -> set[str]:
    """Delete a study's runs where they were before the project was moved.

    Returns
    -------
    set of str
        ``sweep.uid`` of those that a user had deleted there before: they stay deleted.
    """
    old = [one.experiment_id for one in _tagged(client, MOVED_TAG, header.sweep)]
    gone = set()
    for run in list(runs_of(client, old, header)):
        if run.info.lifecycle_stage == "active":
            client.set_tag(run.info.run_id, MOVED_TAG, "true")
            client.delete_run(run.info.run_id)
        elif MOVED_TAG not in run.data.tags and run.info.status != "RUNNING":
            gone.add(str(run.data.tags["sweep.uid"]))
    return gone


def _find(client: MlflowClient, header: StudyHeader) -> Experiment | None:
    """Return the experiment that is tagged as the sweep's, else called so, else holds runs of the study."""
    name = header.sweep
    tagged = _tagged(client, NAME_TAG, name)
    if tagged:
        return min(tagged, key=lambda one: one.lifecycle_stage != "active")
    named = _named(client, name)
    if named is not None:
        return named
    # Of a version that knew experiments by their name only, and renamed since.
    active = [one for one in every_experiment(client) if one.lifecycle_stage == "active"]
    ids = [str(one.experiment_id) for one in active if MOVED_TAG not in one.tags]
    run = next(runs_of(client, ids, header, active_only=True), None)
    return None if run is None else client.get_experiment(run.info.experiment_id)


def _tagged(client: MlflowClient, tag: str, value: str) -> list[Experiment]:
    from mlflow.entities import ViewType

    condition = f"tags.`{tag}` = '{value}'"
    return list(surely(client, lambda: client.search_experiments(ViewType.ALL, filter_string=condition)))


def _named(client: MlflowClient, name: str) -> Experiment | None:
    """Return the experiment of a name, or None if the store says that there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and not experiment.experiment_id:
        raise StoreFailedError(f"MLflow's answer about experiment {name} is empty")
    return experiment


def _make(client: MlflowClient, header: StudyHeader, artifacts: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    name = header.sweep
    location = None if artifacts is None else (artifacts / name).as_uri()
    tags = {"mlflow.note.content": NOTE, NAME_TAG: name, **view_tags(header)}
    try:
        number = str(client.create_experiment(name, artifact_location=location, tags=tags))
    except MlflowException:
        # Made by another sweep's writer in between, or by a request of ours whose reply was lost.
        experiment = _named(client, name)
        if experiment is None:
            raise
        return str(experiment.experiment_id)
    if not number:
        raise StoreFailedError(f"MLflow's answer about experiment {name} is empty")
    return number


def _has_moved(experiment: Experiment, artifacts: Path) -> bool:
    """Return whether artifacts are looked for in a folder that we made beside the database where it was once."""
    parts = urlsplit(str(experiment.artifact_location))
    if parts.scheme not in ("", "file") or parts.netloc or experiment.lifecycle_stage != "active":
        return False
    place = Path(unquote(parts.path))
    return place.parent.name == artifacts.name and place.parent != artifacts and not place.exists()


def _retire(client: MlflowClient, experiment: Experiment, name: str) -> None:
    """Give an experiment another name and role; its runs are deleted one study at a time, by `delete_moved`."""
    number = experiment.experiment_id
    client.set_experiment_tag(number, MOVED_TAG, name)
    client.set_experiment_tag(number, NAME_TAG, f"{name} (before it was moved)")
    client.rename_experiment(number, f"{name} (before it was moved, {number})")
