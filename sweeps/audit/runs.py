"""MLflow's runs of a sweep, compared with its log. Everything is read, nothing written."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.records.lines import short, unix_ends
from analysis.records.reading import anchor_difference, read_sweep
from analysis.records.study import Study
from sweeps.audit.finding import Finding, Rule
from sweeps.tracking.answers import every_experiment, fetched, surely
from sweeps.tracking.choice import ALL, CHOICE_TAG, parse_choice
from sweeps.tracking.database import open_client, sqlite_path
from sweeps.tracking.experiments import MOVED_TAG, runs_of
from sweeps.tracking.log_upload import LINES_TAG, SHA256_TAG
from sweeps.tracking.projection import model_files, parent_files
from sweeps.tracking.run_contents import (
    DIGEST_TAG,
    FILES_TAG,
    RunContent,
    parent_content,
    record_content,
    record_uid,
    study_uid,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WRITE = "`sync` writes it"
REPAIR = "`audit --repair` writes the run again"


@dataclass(slots=True)
class RunsCheck:
    """What a look at MLflow found.

    Parameters
    ----------
    findings : list of Finding
    n_runs : int
        Runs of the sweep that were compared.
    n_deleted : int
        Runs that a user has deleted in MLflow; they stay deleted.
    wrong : dict of str to str
        Runs to be deleted, so that they are written again where the log has them; why each, by run id.
    parents : list of str
        Parent runs to be closed again: they hold the log and are never deleted.
    """

    findings: list[Finding] = field(default_factory=list)
    n_runs: int = 0
    n_deleted: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)

    def add(self, rule: Rule, text: str) -> None:
        """Take in one finding."""
        self.findings.append(Finding(rule, text))


def check_runs(folder: Path, uri: str) -> RunsCheck:
    """Compare a sweep's runs with its logs.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``; its logs can be read, and nobody is at work in it.
    uri : str
        As from `sweeps.tracking.projection.resolve_uri`. A database that does not exist, or that never heard of the
        sweep, has nothing to compare.

    Raises
    ------
    TrackingError
        If the store cannot be read.
    """
    check = RunsCheck()
    path = sqlite_path(uri)
    if path is not None:
        if not path.is_file():
            return check
        damage = database_damage(path)
        if damage is not None:
            check.add("I9", damage)
            return check
    client = open_client(uri)
    studies = read_sweep(folder)
    found = {study_uid(study.header): _runs_of(client, study) for study in studies}
    if not any(found.values()):
        return check
    for study in studies:
        _check_study(check, client, study, found[study_uid(study.header)])
    return check


def database_damage(path: Path) -> str | None:
    """Return what SQLite itself finds wrong with a database, or None; the file is only read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.Error as error:
        return f"{path}: cannot be read ({error}); restore it from a copy, or move it away and `sync`"
    if answer != "ok":
        return f"{path}: damaged ({' '.join(answer.split())}); restore it from a copy, or move it away and `sync`"
    if dangling is not None:
        return f"{path}: a row of {dangling[0]} without its {dangling[2]}; restore it, or move it away and `sync`"
    return None


def _runs_of(client: MlflowClient, study: Study) -> list[Run]:
    """Return the runs of one study in whatever experiment, deleted ones too."""
    experiments = [one.experiment_id for one in every_experiment(client)]
    return list(runs_of(client, experiments, study.header))


def _expected(study: Study) -> dict[str, RunContent]:
    """Return what each run of a study must hold, by its uid; the parent's first."""
    assert study.path is not None, "read from a log"
    contents = [parent_content(study, "", parent_files(study.path))]
    contents += [
        record_content(study.header, record, "", model_files(study.path.parent, record))
        for record in study.all_records()
    ]
    return {content.uid: content for content in contents}


def _check_study(check: RunsCheck, client: MlflowClient, study: Study, runs: list[Run]) -> None:
    expected = _expected(study)
    parent_uid = study_uid(study.header)
    by_uid: dict[str, list[Run]] = defaultdict(list)
    deleted = set()
    for run in runs:
        uid = run.data.tags.get("sweep.uid", "")
        if run.info.lifecycle_stage == "active":
            by_uid[uid].append(run)
        elif run.info.status != "RUNNING" and MOVED_TAG not in run.data.tags:
            deleted.add(uid)
    n_children = Counter(run.data.tags.get("mlflow.parentRunId") for run in runs)
    for active in by_uid.values():  # of several the one that was used, as the writer chooses it; then the first
        active.sort(key=lambda run: (run.info.status == "RUNNING", -n_children[run.info.run_id], run.info.start_time))
    parents = by_uid.get(parent_uid, [])
    optional = _may_be_left_out(study, parents[0].data.tags.get(CHOICE_TAG, ALL)) if parents else set()
    check.n_deleted += len(deleted - {uid for uid, active in by_uid.items() if active})
    for uid, content in expected.items():
        active = by_uid.get(uid, [])
        check.n_runs += len(active)
        if not active and uid not in deleted and uid not in optional:
            check.add("I4", f"{study.path}: {uid}: no run in MLflow; expected 1; {WRITE}")
        for run in active[1:]:
            text = f"{study.path}: {uid}: run {run.info.run_id} is one of {len(active)}; expected 1"
            check.add("I4", f"{text}; `audit --repair` deletes it")
            check.wrong[run.info.run_id] = "repeated"
        for run in active[:1]:
            _check_run(check, client, study, run, content, is_parent=uid == parent_uid)
    for uid in sorted(by_uid.keys() - expected.keys()):
        for run in by_uid[uid]:
            text = f"{study.path}: {short(uid)}: run {run.info.run_id} has no record in the log"
            check.add("I4", f"{text}; expected none; `audit --repair` deletes it")
            check.wrong[run.info.run_id] = "without a record"
    for run in by_uid.get(parent_uid, [])[:1]:
        _check_anchors(check, study, run)


def _may_be_left_out(study: Study, log_runs: str) -> set[str]:
    """Return the search trials that need no run of their own, by their uid.

    What was among the best so far depends on the log's order; what is among the best in the end was so whenever.
    """
    choice = parse_choice(log_runs)
    if choice.n_best is None:
        return set()
    best = sorted((trial for trial in study.trials if trial.state != "failed"), key=lambda trial: trial.value)
    needed = {record_uid(trial) for trial in best[: choice.n_best]}
    return {record_uid(trial) for trial in study.trials if not trial.candidate} - needed


def _check_run(
    check: RunsCheck,
    client: MlflowClient,
    study: Study,
    run: Run,
    content: RunContent,
    is_parent: bool,
) -> None:
    where = f"{study.path}: {content.uid}: run {run.info.run_id}"
    if run.info.status == "RUNNING":
        check.add("I3", f"{where} is RUNNING; expected {content.status}; `sync` ends it")
        return
    if run.info.status != content.status:
        check.add("I5", f"{where} is {run.info.status}; expected {content.status}; {REPAIR}")
        check.wrong[run.info.run_id] = "of another status"
    elif (difference := _difference(client, run, content)) is not None:
        check.add("I6", f"{where}: {difference}; {REPAIR}")
        check.wrong[run.info.run_id] = "altered"
    elif (damage := _artifact_damage(client, run)) is not None:
        check.add("I6", f"{where}: {damage}; {REPAIR}")
        check.wrong[run.info.run_id] = "with an artifact that is not the log's"
    if is_parent and run.info.run_id in check.wrong:
        del check.wrong[run.info.run_id]
        check.parents.append(run.info.run_id)


def _difference(client: MlflowClient, run: Run, content: RunContent) -> str | None:
    """Return the first param, tag or metric in which a run is not what its record gives."""
    own = {key: value for key, value in content.tags.items() if not key.startswith("mlflow.")}
    last = {key: value for key, value, _ in content.metrics}
    pairs: tuple[tuple[str, Mapping[str, object], Mapping[str, object]], ...] = (
        ("param", run.data.params, content.params),
        ("tag", run.data.tags, own),
        ("metric", run.data.metrics, last),
    )
    for noun, there, expected in pairs:
        for key, value in expected.items():
            if there.get(key) != value:
                return f"{noun} {key} {short(there.get(key))}; expected {short(value)}"
    if extra := sorted(run.data.metrics.keys() - last.keys()):
        return f"metric {extra[0]} {run.data.metrics[extra[0]]:g}; expected none"
    points: dict[str, set[tuple[int, float]]] = defaultdict(set)
    for key, value, step in content.metrics:
        points[key].add((step, value))
    for key, wanted in points.items():
        if len(wanted) > 1:
            answered = surely(client, partial(client.get_metric_history, run.info.run_id, key))
            history = {(metric.step, metric.value) for metric in answered}
            if history != wanted:
                return f"metric {key}: {len(history ^ wanted)} points of its history differ; expected the record's"
    return None


def _artifact_damage(client: MlflowClient, run: Run) -> str | None:
    """Return the first artifact that the run's tag names and that is missing or altered."""
    from mlflow.exceptions import MlflowException

    digests: dict[str, str] = json.loads(run.data.tags.get(FILES_TAG, "{}"))
    with tempfile.TemporaryDirectory() as folder:
        for name, digest in digests.items():
            try:
                content = fetched(client, run, name, Path(folder)).read_bytes()
            except (MlflowException, OSError):
                return f"artifact {name} is not there; expected it"
            if hashlib.sha256(content).hexdigest() != digest:
                return f"artifact {name} is altered; expected {short(digest)}"
    return None


def _check_anchors(check: RunsCheck, study: Study, parent: Run) -> None:
    """Compare a log with what MLflow's parent run says of it."""
    tags, where = parent.data.tags, f"run {parent.info.run_id}"
    if DIGEST_TAG in tags:
        difference = anchor_difference(study, tags[DIGEST_TAG], where)
        if difference is not None:
            check.add("I1", difference)
            return
    promised = tags.get(LINES_TAG, "0")
    n_lines = int(promised) if promised.isdecimal() else 0
    for text in _lost_lines(study, n_lines, tags.get(SHA256_TAG, "")):
        check.add("I1", f"{study.path}: {text}, as {where} says; restore it with `import` into another --results")


def _lost_lines(study: Study, n_lines: int, digest: str) -> Iterator[str]:
    assert study.path is not None, "read from a log"
    total, n_there = hashlib.sha256(), 0
    with study.path.open("rb") as stream:
        for raw in stream:
            if n_there == n_lines:
                break
            total.update(unix_ends(raw))
            n_there += 1
    if n_there < n_lines:
        yield f"{n_there} lines; expected at least {n_lines}"
    elif n_lines and total.hexdigest() != digest:
        yield f"its first {n_lines} lines are other ones; expected those that were sent"
