"""What is a polynomial study's own in MLflow: errors of each network by the number of updates, claims and recipes."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from analysis.polynomial.fits import range_errors, unit_correlation
from analysis.polynomial.question import Question, converged_share
from analysis.polynomial.text import answer_text
from analysis.records.lines import canonical_json
from analysis.records.polynomial import NetworkRecord, PolynomialSettings, polynomial_settings
from analysis.records.study import Study, StudyHeader
from analysis.statistics.intervals import mean_interval
from engine.polynomial.rows import draw_rows
from sweeps.tracking.content_parts import (
    LONGEST_PARAM,
    MetricPoint,
    OfRecord,
    OfStudy,
    finite_points,
    legal_key,
    short_text,
)

NOTE = (
    "One run per network under a parent run. Metrics have the number of updates as step: train_mse is the training "
    "error, in_range_mse, out_of_range_mse and total_mse are mean squared errors against the noise-free polynomial on "
    "the stretched inputs, unit_correlation is that of the first two hidden units over the training inputs. log.jsonl "
    "is the truth; `python -m sweeps sync` writes these runs again from it."
)


def of_polynomial_study(study: Study) -> OfStudy:
    """Return what the parent run of a polynomial study shows."""
    settings = asdict(polynomial_settings(study.header.data))
    del settings["checkpoints"]
    params = {key: short_text(canonical_json(value), LONGEST_PARAM) for key, value in settings.items()}
    metrics: list[MetricPoint] = [("n_networks", float(len(study.networks)), 0)]
    if study.verdict is None:
        return OfStudy(NOTE, params, metrics)
    question = Question(study)
    return OfStudy(NOTE, params, metrics + _recipe_metrics(question), {"claims.txt": answer_text(question) + "\n"})


def of_network(header: StudyHeader, record: NetworkRecord) -> OfRecord:
    """Return what the run of a network shows."""
    settings = polynomial_settings(header.data)
    return OfRecord(
        name=f"{record.arm}, rate {record.learning_rate:.3g}, seed {record.seed}",
        tags={"arm": record.arm},
        params={
            "arm": record.arm,
            "learning_rate": repr(record.learning_rate),
            "seed": str(record.seed),
            "n_steps": str(settings.checkpoints[-1]),
        },
        metrics=_network_metrics(settings, record),
        keeps_record=True,
        seeds=[str(record.seed)],
    )


def _network_metrics(settings: PolynomialSettings, record: NetworkRecord) -> list[MetricPoint]:
    rows = draw_rows([record.seed], settings.coefficients, settings.n_rows, settings.noise_sd, settings.stretch)
    points: list[MetricPoint] = []
    for step, loss, parameters in zip(settings.checkpoints, record.loss, np.array(record.parameters), strict=True):
        errors = range_errors(parameters[None], rows, settings.activation)
        single = {
            "train_mse": loss,
            "in_range_mse": float(errors.in_range[0]),
            "out_of_range_mse": float(errors.out_of_range[0]),
            "total_mse": float(errors.total[0]),
            "unit_correlation": float(unit_correlation(parameters[None], rows.X, activation=settings.activation)[0]),
        }
        points += finite_points(single, step)
    passed = zip(settings.thresholds, record.passage_step, strict=True)
    points += [(legal_key(f"steps_to_{value:g}"), float(step), 0) for value, step in passed if step is not None]
    return [*points, ("duration_s", record.duration_s, 0)]


def _recipe_metrics(question: Question) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    for recipe, networks in zip(question.settings.recipes, question.recipes(), strict=True):
        step = int(recipe["n_steps"])
        single: dict[str, float | None] = {"converged_share": converged_share(networks).estimate}
        for side in ("in_range", "out_of_range", "total", "training"):
            values = getattr(networks.errors, side)[networks.converged]
            single[f"{side}_mse"] = mean_interval(values).estimate
        name = f"{networks.arm}_rate_{float(recipe['learning_rate']):.3g}"
        points += finite_points({f"{name}/{key}": value for key, value in single.items()}, step)
    return points
