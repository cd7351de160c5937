"""Answers of a tracking server, taken only for what they can be.

A proxy or a server in trouble may answer with status 200 and nothing in it. MLflow's client takes that for "there are
no such runs", which would be written a second time, or for a run without a place for artifacts, which would be written
into the working folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sweeps.tracking.database import sqlite_path
from sweeps.tracking.errors import StoreFailedError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

N_ASKED = 3
"""So often in a row a server must answer with nothing before it has nothing."""
Answer = TypeVar("Answer", bound=Sized)


def surely(client: MlflowClient, ask: Callable[[], Answer]) -> Answer:
    """Return what a store answers; with nothing only if it says so `N_ASKED` times. An SQLite file is asked once."""
    answer = ask()
    for _ in range(0 if sqlite_path(client.tracking_uri) is not None else N_ASKED - 1):
        if len(answer):
            break
        answer = ask()
    return answer


def every_experiment(client: MlflowClient) -> list[Experiment]:
    """Return all experiments of a store, deleted ones too.

    Raises
    ------
    StoreFailedError
        If there are none: MLflow has one called Default from the beginning.
    """
    from mlflow.entities import ViewType

    found: list[Experiment] = []
    token: str | None = None
    while True:
        page = surely(client, partial(client.search_experiments, ViewType.ALL, page_token=token))
        found += page
        token = page.token
        if not token:
            break
    if not found:
        raise StoreFailedError(
            "MLflow names no experiment, not even the one called Default; if there is none, make one"
            " (`mlflow experiments create -n NAME`)"
        )
    return found


def whole_run(run: Run, asked_for: str | None = None) -> Run:
    """Return a run that a server has answered with, if it is one: the one that was asked for, or a new one.

    Raises
    ------
    StoreFailedError
        If it is not.
    """
    if not run.info.run_id or not run.info.artifact_uri or asked_for not in (None, run.info.run_id):
        name = asked_for or run.info.run_id
        raise StoreFailedError(f"MLflow's answer about {f'run {name}' if name else 'the run just made'} is empty")
    return run


def artifacts_of(client: MlflowClient, run: Run) -> ArtifactRepository:
    """Return where a run keeps its artifacts, without asking for the run again as the client would."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(whole_run(run).info.artifact_uri, tracking_uri=client.tracking_uri)


def log_files(client: MlflowClient, run: Run, folder: Path, place: str | None = None) -> None:
    """Keep all files of a folder as artifacts of a run, below `place`."""
    artifacts_of(client, run).log_artifacts(str(folder), place)  # type: ignore[no-untyped-call]


def fetched(client: MlflowClient, run: Run, name: str, folder: Path) -> Path:
    """Bring an artifact of a run into a folder and return its file there."""
    return Path(artifacts_of(client, run).download_artifacts(name, str(folder)))  # type: ignore[no-untyped-call]
