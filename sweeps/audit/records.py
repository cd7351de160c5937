"""The auditor's cheap part: logs, spec, verdicts and models, without MLflow and without training anything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from analysis.records.events import Stage, Verdict
from analysis.records.lines import RESTORE, RecordError, short
from analysis.records.reading import check_one_sweep, check_version, read_study
from analysis.records.study import STAGES, Study, TrialRecord
from analysis.records.table import is_table, read_table_record, table_path
from analysis.statistics.intervals import upper_bound
from engine.model_files import ModelFileError, load_model
from sweeps.audit.finding import Finding
from sweeps.run.certificate import verdict_of
from sweeps.run.chapters import specs_of_chapters, within
from sweeps.run.kinds import Spec, kind_of, load
from sweeps.run.models import SUMS_NAME
from sweeps.run.outcome_digest import outcome_digest
from sweeps.run.trial_record import CANDIDATE_LEVEL
from sweeps.run.versions import code_digest
from sweeps.search.stopping import has_converged
from sweeps.spec.sweep import SweepSpec
from sweeps.store.log import LOG_NAME, MODELS_NAME, SPEC_NAME
from sweeps.toml import SpecError

TOLERANCE = 1e-9
"""Relative: another build of NumPy may add in another order."""
COPY = "restore it from a copy, or with `import`"
STAGES_WITH_MODELS: tuple[Stage, ...] = ("certificate", "page_certificate")


def check_records(folder: Path) -> list[Finding]:
    """Return what is wrong with the records of one sweep.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    """
    studies, findings = _readable(folder)
    return [*findings, *check_studies(folder, studies)]


def check_studies(folder: Path, studies: Sequence[Study]) -> list[Finding]:
    """Return what is wrong with the spec of one sweep, and with its studies, which have been read already."""
    findings: list[Finding] = []
    try:
        spec = load(folder / SPEC_NAME)
    except (SpecError, OSError) as error:
        message = str(error) if str(folder) in str(error) else f"{folder / SPEC_NAME}: {error}"
        return [Finding("I6", f"{message}; {COPY}")]
    datasets = spec.datasets if isinstance(spec, SweepSpec) else ()
    missing = [dataset.name for dataset in datasets if not (folder / dataset.name / LOG_NAME).is_file()]
    findings += [
        Finding("I1", f"{folder / name / LOG_NAME}: not there; expected the log of a dataset of {SPEC_NAME}; `resume`")
        for name in missing
    ]
    for study in studies:
        findings += check_study(study, spec)
    return findings


def _readable(folder: Path) -> tuple[list[Study], list[Finding]]:
    """Return the studies whose logs can be read, and what is wrong with the others."""
    studies, findings = [], []
    for path in sorted(folder.glob(f"*/{LOG_NAME}")):
        try:
            studies.append(read_study(path))
        except RecordError as error:
            findings.append(Finding("I1", str(error)))
    if not findings:
        try:
            check_version(folder)
            check_one_sweep(sorted(studies, key=lambda study: study.header.position))
        except RecordError as error:  # logs of several sweeps in one folder
            findings.append(Finding("I1", str(error)))
    return studies, findings


def check_study(study: Study, spec: Spec) -> Iterator[Finding]:
    """Yield what is wrong with one study that can be read."""
    if study.budget.spec_sha256 != spec.sha256:
        where = "line 1" if not study.extensions else "last extension"
        yield Finding(
            "I6",
            f"{study.path}: {where}: spec_sha256 {short(study.budget.spec_sha256)}; expected {short(spec.sha256)}, that"
            f" of {SPEC_NAME} beside it; restore {SPEC_NAME} from a copy, or with `import`",
        )
        return
    yield from _check_chapters(study, spec)
    for stage in STAGES:
        for record in study.records[stage]:
            yield from _check_record(study, record)
    yield from _check_budget(study)
    if study.verdict is not None:
        yield from _check_verdict(study, study.verdict, spec)
    yield from _check_models(study)
    path = table_path(study)
    if is_table(study) and path is not None:
        try:
            read_table_record(path)
        except RecordError as error:
            yield Finding("I6", str(error))


def _check_chapters(study: Study, spec: Spec) -> Iterator[Finding]:
    """Yield what is wrong with what a log says of the specs before its extensions, and of the trials it has kept."""
    if not isinstance(spec, SweepSpec):
        return
    header = study.header
    try:
        specs = specs_of_chapters(spec, study)
    except SpecError as error:
        yield Finding("I6", f"{study.path}: {error}; {RESTORE}")
        return
    first = specs[0].with_budget(header.n_trials, header.until).sha256
    if first != header.spec_sha256:
        yield Finding(
            "I6",
            f"{study.path}: line 1: spec_sha256 {short(header.spec_sha256)}; expected {short(first)}, that of"
            f" {SPEC_NAME} before the extensions; {RESTORE}",
        )
    for chapter, chapter_spec in zip(study.chapters, specs[1:], strict=True):
        kept = [n for n in range(chapter.first) if within(chapter_spec, study.asked[n]) is not None]
        if kept != chapter.kept:
            wrong = min(set(kept) ^ set(chapter.kept))
            says = "keeps" if wrong in chapter.kept else "drops"
            yield Finding(
                "I12",
                f"{study.path}: chapter from trial {chapter.first}: {says} trial {wrong}; expected the other, by its"
                " space",
            )


def _check_budget(study: Study) -> Iterator[Finding]:
    n, budget = len(study.of_stage(study.first)), study.budget.n_trials
    if len(study.asked) > budget:
        yield Finding("I7", f"{study.path}: {len(study.asked)} trials asked; expected at most {budget}, the budget")
    if study.verdict is not None and study.verdict.stopped == "budget" and n != budget:
        yield Finding("I7", f"{study.path}: ended by its budget after {n} trials; expected {budget}")


def _check_record(study: Study, record: TrialRecord) -> Iterator[Finding]:
    where = f"{study.path}: {record.stage} {record.number}"
    if record.state == "failed":
        if not record.reason:
            yield Finding("I11", f"{where}: failed without a reason; expected one")
        return
    if record.state == "diverged" and not record.reason:
        yield Finding("I11", f"{where}: diverged without a reason; expected one")
    n = len(record.seeds)
    if n == 0 or any(len(losses) != n for losses in (record.train_loss, record.test_loss)):
        yield Finding("I6", f"{where}: {len(record.test_loss)} test losses; expected one of each of {n} replicas")
        return
    expected = {
        "value": math.fsum(record.test_loss) / n,
        "train_upper": upper_bound(record.train_loss, CANDIDATE_LEVEL),
        "test_upper": upper_bound(record.test_loss, CANDIDATE_LEVEL),
    }
    for name, number in expected.items():
        found = getattr(record, name)
        if not math.isclose(found, number, rel_tol=TOLERANCE, abs_tol=1e-12):
            yield Finding("I6", f"{where}: {name} {found:.9g}; expected {number:.9g}, which its losses give")
    if record.epochs not in record.epoch_grid:
        yield Finding("I6", f"{where}: epochs {record.epochs}; expected one of its epoch_grid")
    passes = record.state == "complete" and record.pruned_at is None and record.test_upper < study.header.goal
    if study.header.data.get("kind") == "playground":
        passes = passes and record.train_upper < study.header.goal
    if record.candidate and not passes:
        yield Finding("I6", f"{where}: candidate; expected none, by its bounds")
    if record.duration_s < 0:
        yield Finding("I6", f"{where}: duration_s {record.duration_s:g}; expected at least 0")


def _check_verdict(study: Study, verdict: Verdict, spec: Spec) -> Iterator[Finding]:
    if study.header.versions.get("code") != code_digest():
        return  # other code may judge in another way; its own does not
    if isinstance(spec, SweepSpec):
        yield from check_stop(study, verdict, spec)
        again = verdict_of(spec, study, verdict.stopped)
    else:
        assert study.path is not None, "read from a log"
        (plan,) = kind_of(spec).plans(spec, study.path.parents[1])
        again = plan.verdict(study, verdict.stopped)
    for name in Verdict.__dataclass_fields__:
        there, expected = getattr(verdict, name), getattr(again, name)
        if there != expected:
            yield Finding(
                "I12",
                f"{study.path}: verdict.{name} {short(there)}; expected {short(expected)}, which its records give",
            )


def check_stop(study: Study, verdict: Verdict, spec: SweepSpec) -> Iterator[Finding]:
    """Yield that a search has ended as converged where its rule says so of no number of trials that was told."""
    n = len(study.trials)
    told = range(max(n - spec.search.lag + 1, 0), n + 1)
    if verdict.stopped == "converged" and not any(has_converged(spec.search, study, n_told) for n_told in told):
        text = f"ended as converged after {n} trials; expected it to go on, by the rule and its records"
        yield Finding("I12", f"{study.path}: {text}")


def _check_models(study: Study) -> Iterator[Finding]:
    assert study.path is not None, "read from a log"
    folder = study.path.parent / MODELS_NAME
    for stage in STAGES_WITH_MODELS:
        for record in study.records[stage]:
            if record.state != "failed":
                yield from _check_model(folder, record)
    sums = folder / SUMS_NAME
    if not sums.is_file():
        if any(study.records[stage] for stage in STAGES_WITH_MODELS):
            yield Finding("I6", f"{sums}: not there; `audit --repair` writes it")
        return
    listed: dict[str, str] = {}
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    remedy = "run the lesson again, which writes it" if study.is_lesson else COPY
    for name in sorted(listed.keys() | {path.name for path in folder.iterdir() if path.suffix in (".npz", ".json")}):
        path = folder / name
        if not path.is_file():
            yield Finding("I6", f"{path}: not there; expected by {SUMS_NAME}; {remedy}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != listed.get(name):
            yield Finding("I6", f"{path}: not the file that {SUMS_NAME} names; {remedy}")


def _check_model(folder: Path, record: TrialRecord) -> Iterator[Finding]:
    """Yield whether a certificate's networks and curves are the ones whose digest its record has."""
    name = f"{record.stage}-{record.number}"
    path, curves = folder / f"{name}.npz", folder / f"{name}.curves.npz"
    remedy = COPY
    try:
        model = load_model(path)
        with np.load(curves, allow_pickle=False) as archive:
            epochs = archive["epochs"]
            losses = {key.removesuffix("_loss"): archive[key] for key in archive.files if key.endswith("_loss")}
    except ModelFileError as error:
        yield Finding("I6", f"{error}; {remedy}")
        return
    except (OSError, ValueError, KeyError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not what was written"
        yield Finding("I6", f"{curves}: {reason}; {remedy}")
        return
    found = outcome_digest(epochs, losses, model.parameters)
    if found != record.sha256:
        yield Finding(
            "I6",
            f"{path}: its networks and curves give {short(found)}; expected {short(record.sha256)}, as the log says;"
            f" {remedy}",
        )
