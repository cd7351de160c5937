"""MLflow runs of a study and its records as plain values, without MLflow itself; what is of one kind of study apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.records.events import Verdict
from analysis.records.lesson import LESSON
from analysis.records.lineage import lineage
from analysis.records.lines import canonical_json
from analysis.records.polynomial import POLYNOMIAL
from analysis.records.study import Record, Study, StudyHeader
from analysis.records.values import as_data
from sweeps.tracking.content_parts import LONGEST_DIGEST, LONGEST_TAG, MetricPoint, OfRecord, OfStudy, legal_key
from sweeps.tracking.lesson_contents import of_cell, of_lesson
from sweeps.tracking.network_contents import of_network, of_polynomial_study
from sweeps.tracking.trial_contents import of_trial, of_trial_study

FILES_TAG = "sweep.files"
"""Of runs with artifacts that `sweeps import` brings back: JSON of their names and SHA-256."""
ID_TAG = "sweep.id"
FROM_TAG = "sweep.from"
LINEAGE_TAG = "sweep.lineage"
"""Of the parent run: the sweep whose best settings were tried first, and how the study has grown."""
DIGEST_TAG = "sweep.digest"
"""Of the parent run of a finished study: the digest of its canonical form, by which its log is known."""


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
        The dataset behind the run; an empty name leaves it to the parent run.
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


def study_digest(header: StudyHeader) -> str:
    """Return the digest that tells studies of one name apart: same spec, seed and versions, same digest."""
    return hashlib.sha256(canonical_json(asdict(header)).encode()).hexdigest()


def study_uid(header: StudyHeader) -> str:
    """Return the identity of a study's parent run."""
    return f"{header.sweep}/{header.dataset}"


def record_uid(record: Record) -> str:
    """Return the identity of a record's run: ``"homework/xor:search:12"``."""
    return f"{record.study}:{record.stage}:{record.number}"


def sweep_id(header: StudyHeader) -> str:
    """Return what the studies of one sweep share and other sweeps of its name do not have."""
    shared = {key: as_data(header)[key] for key in ("sweep", "seed", "spec_sha256", "versions")}
    return hashlib.sha256(canonical_json(shared).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Contents:
    """What one kind of study says of its own: in its parent run, and in the run of a record."""

    study: Callable[[Study], OfStudy]
    record: Callable[[StudyHeader, Any], OfRecord]


OF_TRIALS = Contents(of_trial_study, of_trial)
CONTENTS: Mapping[str, Contents] = MappingProxyType(
    {POLYNOMIAL: Contents(of_polynomial_study, of_network), LESSON: Contents(of_lesson, of_cell)}
)
"""By kind of data, where records are not trials."""


def contents_of(header: StudyHeader) -> Contents:
    """Return what a study's kind says of its own."""
    return CONTENTS.get(str(header.data.get("kind", "")), OF_TRIALS)


def parent_content(study: Study, user: str, files: tuple[Path, ...] = ()) -> RunContent:
    """Return the parent run of one study, as far as its log goes."""
    header, own = study.header, contents_of(study.header).study(study)
    records = study.all_records()
    starts = [record.started_at_s for record in records if record.started_at_s > 0.0]
    ends = [record.started_at_s + record.duration_s for record in records]
    start_ms = int(1000 * min(starts, default=0.0))
    tags = {
        "mlflow.runName": study_uid(header),
        "mlflow.note.content": own.answer or study.verdict.text if study.verdict else f"{header.dataset}. {own.note}",
        "kind": "study",
        ID_TAG: sweep_id(header),
        **own.tags,
        **({FROM_TAG: header.origin} if header.origin else {}),
        **({LINEAGE_TAG: "; ".join(lineage(study))} if study.extensions else {}),
        **file_tags(files),
        **_common_tags(header, study_uid(header), user),
    }
    texts = {"study.json": canonical_json(as_data(header)), **own.texts}
    if study.verdict is not None:
        tags |= _verdict_tags(study.verdict) | {DIGEST_TAG: study.digest}
        texts["verdict.json"] = canonical_json(as_data(study.verdict))
    name, digest, profile = _dataset(header, [])
    return RunContent(
        uid=study_uid(header),
        tags=_cut(tags),
        params={legal_key(key): value for key, value in own.params.items()},
        metrics=own.metrics,
        status="FINISHED" if study.verdict is not None else "KILLED",
        start_ms=start_ms,
        end_ms=max(start_ms, int(1000 * max(ends, default=0.0))),
        texts=texts,
        files=files,
        data_name=name,
        data_digest=digest,
        data_profile=profile,
    )


def record_content(header: StudyHeader, record: Record, user: str, files: tuple[Path, ...] = ()) -> RunContent:
    """Return the run of one record."""
    own, uid = contents_of(header).record(header, record), record_uid(record)
    tags = {
        "mlflow.runName": own.name,
        "kind": "trial",
        "state": record.state,
        "number": str(record.number),
        **({} if own.is_slim else {"stage": record.stage}),  # all slim ones are of the search
        **own.tags,
        **file_tags(files),
        **(_identity_tags(header, uid) if own.is_slim else _common_tags(header, uid, user)),
    }
    start_ms = int(1000 * record.started_at_s)
    name, digest, profile = _dataset(header, own.seeds)
    return RunContent(
        uid=record_uid(record),
        tags=_cut(tags),
        params={legal_key(key): value for key, value in own.params.items()},
        metrics=own.metrics,
        status="FAILED" if record.state == "failed" else "FINISHED",
        start_ms=start_ms,
        end_ms=start_ms + max(0, int(1000 * record.duration_s)),
        texts={"record.json": canonical_json(as_data(record))} if own.keeps_record else {},
        files=files,
        data_name="" if own.is_slim else name,
        data_digest=digest,
        data_profile=profile,
    )


def _identity_tags(header: StudyHeader, uid: str) -> dict[str, str]:
    return {"sweep.uid": uid, "sweep.study": study_digest(header)}


def _common_tags(header: StudyHeader, uid: str, user: str) -> dict[str, str]:
    return {
        **_identity_tags(header, uid),
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
    if verdict.claims is not None:
        claims = {
            f"claim.{i:02}": f"{text}: {found}" for i, (text, found) in enumerate(verdict.claims.items(), start=1)
        }
        return {"verdict": verdict.text, "stopped": verdict.stopped, **claims}
    return {
        "verdict": verdict.text,
        "certified": str(verdict.certified).lower(),
        "page_certified": str(verdict.page_certified).lower(),
        "stopped": verdict.stopped,
    }


def _dataset(header: StudyHeader, seeds: Sequence[str]) -> tuple[str, str, str]:
    """Return name, digest and description of the data behind a run: what generates them, and every seed."""
    profile = canonical_json({"dataset": header.dataset, "settings": header.data, "n_draws": len(seeds)})
    text = canonical_json({"dataset": header.dataset, "settings": header.data, "seeds": list(seeds)})
    return header.dataset, hashlib.sha256(text.encode()).hexdigest()[:LONGEST_DIGEST], profile


def _cut(tags: dict[str, str]) -> dict[str, str]:
    return {key: value if len(value) <= LONGEST_TAG else value[: LONGEST_TAG - 1] + "…" for key, value in tags.items()}
