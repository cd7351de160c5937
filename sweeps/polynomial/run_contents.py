"""What of a polynomial study becomes an MLflow run: a parent run of the study, a child run of each network."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict

import numpy as np

from analysis.polynomial.claims import Question, converged_share
from analysis.polynomial.fits import range_errors, unit_correlation
from analysis.records.lines import canonical_json
from analysis.records.polynomial import PolynomialHeader, PolynomialRun, PolynomialStudy
from analysis.statistics.intervals import mean_interval
from engine.polynomial.rows import draw_rows
from sweeps.commands.printing import polynomial_text
from sweeps.tracking.run_contents import (
    DIGEST_TAG,
    ID_TAG,
    LONGEST_DIGEST,
    LONGEST_PARAM,
    LONGEST_TAG,
    MetricPoint,
    RunContent,
    legal_key,
    record_uid,
    short_text,
    study_digest,
    study_uid,
)

POLYNOMIAL_KIND = "polynomial_study"
"""Tag of a parent run, and kind of the first line of its records."""
NOTE = (
    "One run per network under a parent run. Metrics have the number of updates as step: train_mse is the training "
    "error, in_range_mse, out_of_range_mse and total_mse are mean squared errors against the noise-free polynomial on "
    "the stretched inputs, unit_correlation is that of the first two hidden units over the training inputs. runs.jsonl "
    "is the truth; `python -m sweeps sync` writes these runs again from it."
)


def polynomial_study_content(study: PolynomialStudy, user: str) -> RunContent:
    """Return the parent run of a study, as far as its records go."""
    header = study.header
    starts = [run.started_at_s for run in study.runs if run.started_at_s > 0.0]
    ends = [run.started_at_s + run.duration_s for run in study.runs]
    start_ms = int(1000 * min(starts, default=0.0))
    over = study.verdict is not None
    texts = {"study.json": canonical_json(asdict(header))}
    metrics: list[MetricPoint] = [("n_networks", float(len(study.runs)), 0)]
    if over:
        question = Question(study)
        texts["claims.txt"] = polynomial_text(question) + "\n"
        metrics += _recipe_metrics(question)
    tags = {
        "mlflow.runName": header.name,
        "mlflow.note.content": (study.verdict or f"{study.n_expected} networks to train.") + f" {NOTE}",
        "kind": POLYNOMIAL_KIND,
        ID_TAG: study_digest(header)[:12],
        **({DIGEST_TAG: study.digest} if over else {}),
        **_common_tags(header, study_uid(header), user),
    }
    given = {key: value for key, value in asdict(header).items() if key not in ("name", "versions", "checkpoints")}
    params = {legal_key(key): short_text(canonical_json(value), LONGEST_PARAM) for key, value in given.items()}
    name, digest, profile = _dataset(header, None)
    return RunContent(
        uid=study_uid(header),
        tags={key: value[:LONGEST_TAG] for key, value in tags.items()},
        params=params,
        metrics=metrics,
        status="FINISHED" if over else "KILLED",
        start_ms=start_ms,
        end_ms=max(start_ms, int(1000 * max(ends, default=0.0))),
        texts=texts,
        data_name=name,
        data_digest=digest,
        data_profile=profile,
    )


def polynomial_run_content(header: PolynomialHeader, run: PolynomialRun, user: str) -> RunContent:
    """Return the run of one network."""
    tags = {
        "mlflow.runName": f"{run.arm}, rate {run.learning_rate:.3g}, seed {run.seed}",
        "kind": "polynomial_run",
        "arm": run.arm,
        **_common_tags(header, record_uid(run), user),
    }
    start_ms = int(1000 * run.started_at_s)
    name, digest, profile = _dataset(header, run.seed)
    return RunContent(
        uid=record_uid(run),
        tags=tags,
        params={
            "arm": run.arm,
            "learning_rate": repr(run.learning_rate),
            "seed": str(run.seed),
            "n_steps": str(header.checkpoints[-1]),
        },
        metrics=_run_metrics(header, run),
        status="FINISHED",
        start_ms=start_ms,
        end_ms=start_ms + max(0, int(1000 * run.duration_s)),
        texts={"record.json": canonical_json(asdict(run))},
        data_name=name,
        data_digest=digest,
        data_profile=profile,
    )


def _run_metrics(header: PolynomialHeader, run: PolynomialRun) -> list[MetricPoint]:
    rows = draw_rows([run.seed], header.coefficients, header.n_rows, header.noise_sd, header.stretch)
    points: list[MetricPoint] = []
    for step, loss, parameters in zip(header.checkpoints, run.loss, np.array(run.parameters), strict=True):
        errors = range_errors(parameters[None], rows)
        single = {
            "train_mse": loss,
            "in_range_mse": float(errors.in_range[0]),
            "out_of_range_mse": float(errors.out_of_range[0]),
            "total_mse": float(errors.total[0]),
            "unit_correlation": float(unit_correlation(parameters[None], rows.X)[0]),
        }
        points += [(key, value, step) for key, value in single.items() if math.isfinite(value)]
    passed = zip(header.thresholds, run.passage_step, strict=True)
    points += [(legal_key(f"steps_to_{value:g}"), float(step), 0) for value, step in passed if step is not None]
    return [*points, ("duration_s", run.duration_s, 0)]


def _recipe_metrics(question: Question) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    for recipe, networks in zip(question.header.recipes, question.recipes(), strict=True):
        step = int(recipe["n_steps"])
        single = {"converged_share": converged_share(networks).estimate}
        for side in ("in_range", "out_of_range", "total", "training"):
            values = getattr(networks.errors, side)[networks.converged]
            single[f"{side}_mse"] = mean_interval(values).estimate
        name = f"{networks.arm}_rate_{float(recipe['learning_rate']):.3g}"
        points += [
            (legal_key(f"{name}/{key}"), float(value), step) for key, value in single.items() if value is not None
        ]
    return points


def _common_tags(header: PolynomialHeader, uid: str, user: str) -> dict[str, str]:
    return {
        "sweep.uid": uid,
        "sweep.study": study_digest(header),
        "sweep": header.sweep,
        "code_version": header.versions.get("rangesweep", "unknown"),
        "mlflow.user": user,
        "mlflow.source.name": "sweeps",
        "mlflow.source.type": "LOCAL",
    }


def _dataset(header: PolynomialHeader, seed: int | None) -> tuple[str, str, str]:
    """Return name, digest and description of the data behind a run."""
    settings = {key: getattr(header, key) for key in ("coefficients", "n_rows", "noise_sd", "stretch")}
    text = canonical_json({"polynomial": settings, "seed": header.n_seeds if seed is None else seed})
    return "polynomial", hashlib.sha256(text.encode()).hexdigest()[:LONGEST_DIGEST], text
