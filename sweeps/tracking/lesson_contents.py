"""What is a lesson's own in MLflow: the losses of each cell by epoch, and its claims."""

from __future__ import annotations

import numpy as np

from analysis.course.cells import losses
from analysis.course.text import answer_text
from analysis.records.lesson import CellRecord, lesson_settings
from analysis.records.lines import canonical_json
from analysis.records.study import Study, StudyHeader
from sweeps.spec.measured import SPLITS
from sweeps.tracking.content_parts import LONGEST_PARAM, MetricPoint, OfRecord, OfStudy, finite_points, short_text

NOTE = (
    "One run per cell of the lesson's designs under a parent run, whose tags hold the verdict on each claim. Metrics "
    "have the epoch as step: medians over the replicas. log.jsonl is the truth; `python -m sweeps sync` writes these "
    "runs again from it."
)


def of_lesson(study: Study) -> OfStudy:
    """Return what the parent run of a lesson shows."""
    settings = lesson_settings(study.header.data)
    params = {
        "lesson": settings.lesson,
        "size": settings.size,
        "changed": "; ".join(settings.changed) or "nothing",
        **{
            f"design.{design['name']}": short_text(canonical_json(design), LONGEST_PARAM) for design in settings.designs
        },
    }
    metrics: list[MetricPoint] = [("n_cells", float(len(study.cells)), 0)]
    texts = {} if study.verdict is None else {"claims.txt": answer_text(study) + "\n"}
    return OfStudy(NOTE, params, metrics, texts)


def of_cell(header: StudyHeader, record: CellRecord) -> OfRecord:  # noqa: ARG001
    """Return what the run of a cell shows."""
    params = {key: short_text(value, LONGEST_PARAM) for key, value in record.params.items()}
    return OfRecord(
        name=", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in record.params.items()),
        tags={"design": str(record.params["design"]), "dataset": str(record.params.get("dataset", ""))},
        params={**params, "n_replicas": str(len(record.seeds))},
        metrics=_metrics(record),
        keeps_record=True,
        seeds=record.seeds,
    )


def _metrics(record: CellRecord) -> list[MetricPoint]:
    points: list[MetricPoint] = []
    for split in record.losses:
        for look, row in zip(record.looks, losses(record, split), strict=True):
            name = f"{split}_loss_median" if split in SPLITS else f"{split}_median"
            points += finite_points({name: float(np.median(row))}, look)
    last = record.looks[-1] if record.looks else 0
    for name, values in record.measured.items():
        known = [value for value in values if value is not None]
        probe, _, at = name.partition("@")
        points += finite_points({f"{probe}_mean": float(np.mean(known)) if known else None}, int(at or last))
    points += [("n_updates", float(record.n_updates), last), ("duration_s", record.duration_s, 0)]
    return points
