"""What of a study and its records becomes an MLflow run: plain values, without MLflow itself."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from analysis.records.lines import canonical_json
from analysis.records.polynomial import PolynomialHeader, PolynomialRun
from analysis.records.study import Scalar, Study, StudyHeader, TrialRecord, Verdict, as_data
from analysis.statistics.homework import attainable_pass_rate, known_mean, n_passed, winner_record

# MLflow's own limits; longer texts it cuts without an error.
LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DIGEST = 36
FILES_TAG = "sweep.files"
"""Of runs with artifacts that `sweeps import` brings back: JSON of their names and SHA-256."""
ID_TAG = "sweep.id"
DIGEST_TAG = "sweep.digest"
"""Of the parent run of a finished study: the digest of its canonical form, by which its log is known."""
CURVES = {"train_loss": "train_loss_mean", "test_loss": "test_loss_mean"}
NOTE = (
    "One run per trial under a parent run per dataset. train_loss and test_loss are means over replicas, with the "
    "epoch as step; final_train_loss and final_test_loss are the means at the trial's chosen epoch (metric epochs). "
    "in_range_loss and out_of_range_loss are means at that epoch over test points inside and outside the box of the "
    "training inputs. The log.jsonl files are the truth; `python -m sweeps sync` writes these runs again from them."
)

MetricPoint = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class RunContent:
    """One MLflow run, ready to be written.

    Parameters
    ----------
    uid : str
        Its identity, tag ``sweep.uid``.
    tags, params : dict of str to str
    metrics : list of (key, value, step)
        Finite values only.
    status : str
        MLflow status that commits the run.
    start_ms, end_ms : int
        Unix times in milliseconds, start first.
    texts : dict of str to str
        Artifacts: name and text.
    files : tuple of Path
        Artifacts that are files already.
    data_name, data_digest, data_profile : str
        The dataset behind the run.
    """

    uid: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[MetricPoint]
    status: str
    start_ms: int
    end_ms: int
    texts: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    data_name: str = ""
    data_digest: str = ""
    data_profile: str = ""


def study_digest(header: StudyHeader | PolynomialHeader) -> str:
    """Return the digest that tells studies of one name apart: same spec, seed and versions, same digest."""
    return hashlib.sha256(canonical_json(asdict(header)).encode()).hexdigest()


def study_uid(header: StudyHeader | PolynomialHeader) -> str:
    """Return the identity of a study's parent run."""
    return header.name if isinstance(header, PolynomialHeader) else f"{header.sweep}/{header.dataset}"


def record_uid(record: TrialRecord | PolynomialRun) -> str:
    """Return the identity of a record's run: ``"homework/xor:search:12"``."""
    if isinstance(record, PolynomialRun):
        return f"{record.arm}:{record.learning_rate!r}:{record.seed}"
    return f"{record.study}:{record.stage}:{record.number}"


def legal_key(name: str) -> str:
    """Return `name` in the characters that MLflow takes, distinct names staying distinct."""
    legal = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)
    if legal == name and len(name) <= LONGEST_KEY:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{legal[: LONGEST_KEY - 9]}_{mark}"


def short_text(value: Scalar, limit: int) -> str:
    """Return `value` as text, or a digest of it where MLflow would cut it."""
    text = str(value)
    return (
        text if len(text) <= limit else f"sha256:{hashlib.sha256(text.encode()).hexdigest()} ({len(text)} characters)"
    )


def sweep_id(header: StudyHeader) -> str:
    """Return what the studies of one sweep share and other sweeps of its name do not have."""
    shared = {key: as_data(header)[key] for key in ("sweep", "seed", "spec_sha256", "versions")}
    return hashlib.sha256(canonical_json(shared).encode()).hexdigest()[:12]


def parent_content(study: Study, user: str, files: tuple[Path, ...] = ()) -> RunContent:
    """Return the parent run of one study, as far as its log goes."""
    header = study.header
    starts = [record.started_at_s for record in study.trials if record.started_at_s > 0.0]
    records = [record for stage in study.records.values() for record in stage]
    ends = [record.started_at_s + record.duration_s for record in records]
    start_ms = int(1000 * min(starts, default=0.0))
    tags = {
        "mlflow.runName": study_uid(header),
        "mlflow.note.content": study.verdict.text if study.verdict else f"Search on {header.dataset}. {NOTE}",
        "kind": "study",
        ID_TAG: sweep_id(header),
        **file_tags(files),
        **_common_tags(header, study_uid(header), user),
    }
    params = {
        "goal": f"{header.metric} < {header.goal}",
        "n_trials": str(header.n_trials),
        "until": header.until,
        "n_replicas": str(header.n_replicas),
        "max_epochs": str(header.max_epochs),
        "seed": str(header.seed),
        "spec_sha256": header.spec_sha256,
        **{f"data.{key}": short_text(value, LONGEST_PARAM) for key, value in sorted(header.data.items())[:12]},
    }
    texts = {"study.json": canonical_json(as_data(header))}
    if study.verdict is not None:
        tags |= _verdict_tags(study.verdict) | {DIGEST_TAG: study.digest}
        texts["verdict.json"] = canonical_json(as_data(study.verdict))
    name, digest, profile = _dataset(header, [])
    return RunContent(
        uid=study_uid(header),
        tags=_cut(tags),
        params={legal_key(key): value for key, value in params.items()},
        metrics=_study_metrics(study),
        status="FINISHED" if study.verdict is not None else "KILLED",
        start_ms=start_ms,
        end_ms=max(start_ms, int(1000 * max(ends, default=0.0))),
        texts=texts,
        files=files,
        data_name=name,
        data_digest=digest,
        data_profile=profile,
    )


def record_content(header: StudyHeader, record: TrialRecord, user: str, files: tuple[Path, ...] = ()) -> RunContent:
    """Return the run of one record."""
    activation = record.network.get("activation", "?")
    hidden = "-".join(str(size) for size in record.network.get("hidden_layer_sizes", ())) or "no hidden layer"
    tags = {
        "mlflow.runName": f"{header.dataset} {record.stage} {record.number}: {activation} {hidden}",
        "kind": "trial",
        "state": record.state,
        "stage": record.stage,
        "number": str(record.number),
        "candidate": str(record.candidate).lower(),
        "sha256": record.sha256,
        "road": record.road,
        **file_tags(files),
        **_common_tags(header, record_uid(record), user),
    }
    optional = {
        "reason": record.reason,
        "playground_url": record.playground_url,
        "source_trial": record.source,
        "pruned_at": record.pruned_at,
    }
    tags |= {key: str(value) for key, value in optional.items() if value is not None}
    params = {
        **{legal_key(key): short_text(value, LONGEST_PARAM) for key, value in record.params.items()},
        "hidden_layer_sizes": ", ".join(str(size) for size in record.network.get("hidden_layer_sizes", ())),
        "n_replicas": str(len(record.seeds)),
    }
    start_ms = int(1000 * record.started_at_s)
    keeps_record = record.candidate or record.stage != "search"
    name, digest, profile = _dataset(header, record.seeds)
    return RunContent(
        uid=record_uid(record),
        tags=_cut(tags),
        params=params,
        metrics=record_metrics(header.goal, record),
        status="FAILED" if record.state == "failed" else "FINISHED",
        start_ms=start_ms,
        end_ms=start_ms + max(0, int(1000 * record.duration_s)),
        texts={"record.json": canonical_json(as_data(record))} if keeps_record else {},
        files=files,
        data_name=name,
        data_digest=digest,
        data_profile=profile,
    )


def record_metrics(goal: float, record: TrialRecord) -> list[MetricPoint]:
    """Return the metrics of one record: curves on the epoch grid, then numbers at the chosen epoch."""
    points: list[MetricPoint] = []
    for key, curve in CURVES.items():
        values = record.curves.get(curve, [])
        # A trial that failed early may have a shorter curve than grid.
        points += [
            (key, float(value), epoch)
            for epoch, value in zip(record.epoch_grid, values, strict=False)
            if value is not None and math.isfinite(value)
        ]
    n = len(record.test_loss)
    single = {
        "value": record.value,
        "epochs": record.epochs,
        "final_train_loss": known_mean(record.train_loss),
        "final_test_loss": known_mean(record.test_loss),
        "train_upper": record.train_upper,
        "test_upper": record.test_upper,
        "pass_rate": n_passed(record, goal) / n if n else None,
        "attainable_pass_rate": attainable_pass_rate(record, goal),
        "in_range_loss": known_mean(record.in_range_loss),
        "out_of_range_loss": known_mean(record.out_of_range_loss),
        "floor_train_loss": known_mean(record.floor_train_loss),
        "floor_test_loss": known_mean(record.floor_test_loss),
        "floor_in_range_loss": known_mean(record.floor_in_range_loss),
        "floor_out_of_range_loss": known_mean(record.floor_out_of_range_loss),
        "constant_loss": record.constant_loss,
        "constant_in_range_loss": record.constant_in_range_loss,
        "constant_out_of_range_loss": record.constant_out_of_range_loss,
        "n_diverged": sum(epoch is not None for epoch in record.diverged_at),
        "duration_s": record.duration_s,
    }
    points += [
        (key, float(value), record.epochs)
        for key, value in single.items()
        if value is not None and math.isfinite(value)
    ]
    return points


def _common_tags(header: StudyHeader, uid: str, user: str) -> dict[str, str]:
    return {
        "sweep.uid": uid,
        "sweep.study": study_digest(header),
        "sweep": header.sweep,
        "dataset": header.dataset,
        "seed": str(header.seed),
        "code_version": header.versions.get("rangesweep", "unknown"),
        "mlflow.user": user,
        "mlflow.source.name": "sweeps",
        "mlflow.source.type": "LOCAL",
    }


def file_tags(files: tuple[Path, ...]) -> dict[str, str]:
    """Return the tag that says which artifacts belong to a sweep's folder and what their SHA-256 is, or no tag."""
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return {FILES_TAG: canonical_json(digests)} if digests else {}


def _verdict_tags(verdict: Verdict) -> dict[str, str]:
    return {
        "verdict": verdict.text,
        "certified": str(verdict.certified).lower(),
        "page_certified": str(verdict.page_certified).lower(),
        "stopped": verdict.stopped,
    }


def _study_metrics(study: Study) -> list[MetricPoint]:
    n = len(study.trials)
    single: dict[str, float | None] = {
        "n_finished": n,
        "n_candidates": sum(trial.candidate for trial in study.trials),
        "n_diverged_trials": sum(trial.state == "diverged" for trial in study.trials),
        "n_failed_trials": sum(trial.state == "failed" for trial in study.trials),
        "best_test_loss": min((t.value for t in study.trials if t.state == "complete"), default=None),
        "floor": study.header.floor,
    }
    winner = None if study.winner is None else winner_record(study)
    if winner is not None:
        single |= {key: value for key, value, _ in record_metrics(study.header.goal, winner) if key not in CURVES}
    return [(key, float(value), n) for key, value in single.items() if value is not None and math.isfinite(value)]


def _dataset(header: StudyHeader, seeds: list[str]) -> tuple[str, str, str]:
    """Return name, digest and description of the data behind a run: what generates them, and every seed."""
    profile = canonical_json({"dataset": header.dataset, "settings": header.data, "n_draws": len(seeds)})
    text = canonical_json({"dataset": header.dataset, "settings": header.data, "seeds": seeds})
    return header.dataset, hashlib.sha256(text.encode()).hexdigest()[:LONGEST_DIGEST], profile


def _cut(tags: dict[str, str]) -> dict[str, str]:
    return {key: value if len(value) <= LONGEST_TAG else value[: LONGEST_TAG - 1] + "…" for key, value in tags.items()}
