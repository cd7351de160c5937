"""The table of all trials that the page's script sorts, filters and draws, and the pages of the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.formats.blocks import Missing, labels, param_title, study_files
from analysis.formats.trial_rows import TrialColumn, TrialPage, TrialSurface, Value, Workbench
from analysis.records.events import Stage
from analysis.records.study import STAGES, Study, TrialRecord
from analysis.sections.answer import page_link
from analysis.sections.models import WinnerModel, record_model
from analysis.sections.surface import PAGE_HALF_WIDTH, surface
from analysis.statistics.homework import LEAST_POINTS, known_mean, n_passed, replay_command, setting_text
from analysis.statistics.ranges import Box

MOST_PAGES = 50
"""Search trials of a study with a page of their own; of many studies fewer, so that the report stays small."""
MOST_PAGES_IN_ALL = 200
PAGED_STAGES: tuple[Stage, ...] = ("finalist", "certificate", "page_finalist", "page_certificate")
SURFACE_SIDE = 49
NAMES = (
    TrialColumn("trial", "Trial", "text", "name"),
    TrialColumn("dataset", "Dataset", "text", "name"),
    TrialColumn("stage", "Stage", "text", "name"),
    TrialColumn("result", "Result", "text", "result"),
)
FIGURES = (
    TrialColumn("test_loss", "Test loss", "figure", "result"),
    TrialColumn("train_loss", "Training loss", "figure", "result"),
    TrialColumn("pass_rate", "Pass rate", "figure", "result"),
    TrialColumn("in_range", "In range", "figure", "result"),
    TrialColumn("out_of_range", "Out of range", "figure", "result"),
    TrialColumn("epochs", "Epochs", "value", "result"),
)
LAYERS = (
    TrialColumn("layers", "Layers", "text", "setting"),
    TrialColumn("n_hidden_layers", "Hidden layers", "value", "setting", in_table=False),
    TrialColumn("n_units", "Hidden units", "value", "setting", in_table=False),
)
OF_LAYERS = ("network.hidden_layer", "network.n_hidden_layers")
CURVES = (
    ("train", "train_loss_mean"),
    ("train_low", "train_loss_q10"),
    ("train_high", "train_loss_q90"),
    ("test", "test_loss_mean"),
    ("test_low", "test_loss_q10"),
    ("test_high", "test_loss_q90"),
    ("in_range", "in_range_loss_mean"),
    ("out_of_range", "out_of_range_loss_mean"),
)


def workbench(studies: Sequence[Study]) -> Workbench | None:
    """Return all trials of some studies, or None where none has finished."""
    found = [
        (study, label, key, record)
        for study, label, key in zip(studies, labels(studies), study_files("trial", studies), strict=True)
        for stage in STAGES
        for record in study.records[stage]
    ]
    if not found:
        return None
    params = [key for key in searched_params(studies) if not key.startswith(OF_LAYERS)]
    columns = (*NAMES, *FIGURES, *LAYERS, *(param_column(key, found_values(studies, key)) for key in params))
    rows = tuple(row_of(study, label, record, params) for study, label, _, record in found)
    goals = {study.header.goal for study in studies}
    chosen = with_page(studies)
    return Workbench(
        name="all-trials",
        columns=columns,
        rows=rows,
        keys=tuple(f"{key}{_place(record)}-{record.number}" for _, _, key, record in found),
        commands=tuple(command_of(study, record) for study, _, _, record in found),
        uids=tuple(f"{record.study}:{record.stage}:{record.number}" for _, _, _, record in found),
        pages=tuple(
            page_of(study, record, row)
            for row, (study, _, _, record) in enumerate(found)
            if (record.study, record.stage, record.number) in chosen
        ),
        goal=goals.pop() if len(goals) == 1 else None,
    )


def searched_params(studies: Sequence[Study]) -> list[str]:
    """Return every hyperparameter that a trial has chosen, in the order of first appearance."""
    return list(dict.fromkeys(key for study in studies for record in study.trials for key in record.params))


def found_values(studies: Sequence[Study], key: str) -> list[Value]:
    """Return what the search trials chose for a hyperparameter."""
    return [_value(record.params.get(key)) for study in studies for record in study.trials]


def param_column(key: str, values: Sequence[Value]) -> TrialColumn:
    """Return the column of a hyperparameter: of numbers if every trial that has it has a number."""
    is_text = any(isinstance(value, str) for value in values)
    return TrialColumn(key, param_title(key).capitalize(), "text" if is_text else "value", "setting")


def row_of(study: Study, label: str, record: TrialRecord, params: Sequence[str]) -> tuple[Value, ...]:
    """Return a trial's row; what has diverged or failed has no loss."""
    sizes = [int(size) for size in record.network.get("hidden_layer_sizes", ())]
    has_loss = record.state == "complete" and bool(record.test_loss)
    figures: list[Value] = [None] * 5
    if has_loss:
        figures = [
            known_mean(record.test_loss),
            known_mean(record.train_loss),
            n_passed(record, study.header.goal) / len(record.test_loss),
            side_mean(record.in_range_loss, record.n_in_range),
            side_mean(record.out_of_range_loss, record.n_out_of_range),
        ]
    stage = record.stage.replace("_", " ")
    return (
        f"#{record.number}" if record.stage == "search" else f"{stage} {record.number}",
        label,
        stage,
        result_of(study, record),
        *figures,
        record.epochs if has_loss else None,
        "-".join(map(str, sizes)) or "none",
        len(sizes),
        sum(sizes),
        *(_value(record.params.get(key)) for key in params),
    )


def side_mean(losses: Sequence[float | None], n_points: Sequence[int]) -> float | None:
    """Return the mean loss on one side of the range, or None over as few points as are nowhere shown."""
    return known_mean(losses) if sum(n_points) >= LEAST_POINTS else None


def result_of(study: Study, record: TrialRecord) -> str:
    """Return how a trial ended, in one word or two."""
    verdict = study.verdict
    if verdict is not None and (
        (record is study.winner and verdict.certified) or (record is study.page_winner and verdict.page_certified)
    ):
        return "certified"
    if record.state != "complete":
        return record.state
    if record.stage == "search" and record.candidate:
        return "candidate"
    return "pruned" if record.pruned_at is not None else "complete"


def command_of(study: Study, record: TrialRecord) -> str:
    """Return what trains a setting again, or nothing: `replay` takes search trials."""
    return replay_command(study, record) if record.stage == "search" or record.source is not None else ""


def with_page(studies: Sequence[Study]) -> set[tuple[str, str, int]]:
    """Return which trials get a page of their own: the best of each search, and all on fresh draws."""
    most = min(MOST_PAGES, max(1, MOST_PAGES_IN_ALL // len(studies)))
    chosen = []
    for study in studies:
        complete = [record for record in study.trials if record.state == "complete"]
        chosen += sorted(complete, key=lambda record: (record.value, record.number))[:most]
        chosen += [record for stage in PAGED_STAGES for record in study.records[stage]]
    return {(record.study, record.stage, record.number) for record in chosen}


def page_of(study: Study, record: TrialRecord, row: int) -> TrialPage:
    """Return what a trial's own page has beyond its row."""
    link = page_link(record.playground_url)
    notes = [f"{len(record.seeds)} replicas on the engine's road {record.road}", f"digest {record.sha256}"]
    if record.reason:
        notes.insert(0, record.reason)
    return TrialPage(
        row=row,
        setting=setting_text(record),
        replicas={
            "seed": list(record.seeds),
            "train": list(record.train_loss),
            "test": list(record.test_loss),
            "in_range": list(record.in_range_loss),
            "out_of_range": list(record.out_of_range_loss),
            "first_passage": list(record.first_passage),
        },
        curves={"epoch": list(record.epoch_grid)}
        | {key: list(record.curves[name]) for key, name in CURVES if record.curves.get(name)},
        url="" if isinstance(link, Missing) else link.url,
        notes=tuple(notes),
        surface=trial_surface(study, record),
    )


def trial_surface(study: Study, record: TrialRecord) -> TrialSurface | str:
    """Return a trial's decision surface in the training range and beyond, or why there is none."""
    if record.stage == "search":
        return "not shown: a search keeps no networks; its certificates do"
    model = record_model(study, record)
    if isinstance(model, Missing):
        return model.reason
    return surface_of(model)


def surface_of(model: WinnerModel) -> TrialSurface:
    """Return the mean prediction three times as far as the page's window."""
    box = Box.fit(model.draws.train_points[:1])
    far = surface(model, max(3.0, model.stretch) * PAGE_HALF_WIDTH, box, SURFACE_SIDE)
    levels = np.rint((np.clip(np.nan_to_num(far.prediction), -1.0, 1.0) + 1.0) / 2.0 * 255).astype(np.uint8)
    (x0, y0), (x1, y1) = box.low[0], box.high[0]
    corners = (float(x0), float(x1), float(y0), float(y1))
    return TrialSurface(far.half_width, SURFACE_SIDE, levels.tobytes().hex(), corners, model.n_replicas)


def _place(record: TrialRecord) -> str:
    return "" if record.stage == "search" else f"-{record.stage.replace('_', '-')}"


def _value(value: object) -> Value:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, float) else value if isinstance(value, int) else str(value)
