"""What is a trial's own in MLflow: params, curves on the epoch grid, numbers at the chosen epoch."""

from __future__ import annotations

import math

from analysis.formats.markdown import markdown_card
from analysis.records.lines import RecordError
from analysis.records.study import Study, StudyHeader, TrialRecord
from analysis.sections.cards import card_of
from analysis.statistics.homework import attainable_pass_rate, known_mean, n_passed, setting_text, winner_record
from sweeps.tracking.content_parts import (
    LONGEST_PARAM,
    MetricPoint,
    OfRecord,
    OfStudy,
    finite_points,
    legal_key,
    short_text,
)

N_FULL = 100
"""Search trials of a study whose runs show everything. Of later ones only candidates' do: at MLflow's price of a row, a
hundred thousand curves would take an hour and two gigabytes, and the log has them."""
N_WITH_PARAMS = 1000
"""From this search trial on candidates' runs are slim, too, and settings are tags: logging params is a transaction of
its own, a quarter of what such a run costs. Finalists and certificates show everything, whatever their number."""
SLIM_METRICS = frozenset(
    ("value", "final_train_loss", "final_test_loss", "in_range_loss", "out_of_range_loss", "pass_rate")
)
"""The number of epochs is not among them: it is the step of each."""
CURVES = {"by_epoch/train_loss": "train_loss_mean", "by_epoch/test_loss": "test_loss_mean"}
"""MLflow groups charts by what stands before the slash, and shows such groups first."""
FEWEST_POINTS = 3
"""Of a curve. Numbers that are no curve have step 0: MLflow draws a bar for them, and a lonely dot at any other step.
Of several, the latest counts. Slim runs keep the epoch as step, which spares them a metric."""
NOTE = (
    "One run per trial under a parent run per dataset. by_epoch/train_loss and by_epoch/test_loss are means over "
    "replicas, with the epoch as step; final_train_loss and final_test_loss are the means at the trial's chosen epoch "
    "(metric epochs, or the step). in_range_loss and out_of_range_loss are means at that epoch over test points inside "
    "and outside the box of the training inputs. From search trial 100 on only candidates' runs hold curves, data and "
    "every metric; from trial 1000 on none do, and settings are tags. The log.jsonl files are the truth; `python -m "
    "sweeps sync` writes these runs again from them."
)


def of_trial_study(study: Study) -> OfStudy:
    """Return what the parent run of a study of trials shows."""
    header = study.header
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
    return OfStudy(NOTE, params, _study_metrics(study), answer=study_answer(study), tags=winner_tags(study))


def winner_tags(study: Study) -> dict[str, str]:
    """Return what the winner chose, as tags: a larger budget may change it, and MLflow's params never change."""
    winner = None if study.verdict is None else winner_record(study)
    if winner is None:
        return {}
    told = {f"winner.{key.partition('.')[2]}": short_text(value, LONGEST_PARAM) for key, value in winner.params.items()}
    sizes = ", ".join(map(str, winner.network.get("hidden_layer_sizes", ())))
    told = {key: value for key, value in told.items() if not key.startswith("winner.hidden_layer")}
    return {legal_key(key): value for key, value in told.items()} | {
        "winner.hidden_layer_sizes": sizes,
        "winner.epochs": str(winner.epochs),
        "winner.setting": setting_text(winner),
    }


def study_answer(study: Study) -> str:
    """Return the study's card with the verdict's own words as Markdown, or nothing before there is a verdict."""
    if study.verdict is None:
        return ""
    try:
        card = card_of(study)
    except RecordError:  # of a table's file beside the log, which runs do without
        return ""
    return f"{markdown_card(card, with_meanings=True)}\n\n{study.verdict.text}\n\n{NOTE}"


def of_trial(header: StudyHeader, record: TrialRecord) -> OfRecord:
    """Return what the run of a trial shows."""
    sizes = [str(size) for size in record.network.get("hidden_layer_sizes", ())]
    is_late = record.stage == "search" and record.number >= N_WITH_PARAMS
    keeps_record = (record.candidate and not is_late) or record.stage != "search"
    is_slim = not keeps_record and record.number >= N_FULL
    optional = {
        "reason": record.reason,
        "source_trial": record.source,
        "pruned_at": record.pruned_at,
        "changed": record.changed,
    }
    params = {key: short_text(value, LONGEST_PARAM) for key, value in record.params.items()}
    params["hidden_layer_sizes"] = ", ".join(sizes)
    metrics = trial_metrics(header.goal, record)
    tags: dict[str, str] = {}
    if is_slim:
        params = {key: value for key, value in params.items() if not key.startswith("network.hidden_layer_sizes")}
        metrics = [(key, value, record.epochs) for key, value, _ in metrics if key in SLIM_METRICS]
        tags = {"candidate": "true"} if record.candidate else {}
    else:
        tags = {"candidate": str(record.candidate).lower(), "sha256": record.sha256, "road": record.road}
        optional["playground_url"] = record.playground_url
        params["n_replicas"] = str(len(record.seeds))
    if is_late:
        tags |= {legal_key(key): value for key, value in params.items()}
    return OfRecord(
        name=run_name(header, record),
        tags=tags | {key: str(value) for key, value in optional.items() if value is not None},
        params={} if is_late else params,
        metrics=metrics,
        keeps_record=keeps_record,
        seeds=record.seeds,
        is_slim=is_slim,
    )


def run_name(header: StudyHeader, record: TrialRecord) -> str:
    """Return what MLflow calls a trial: ``"xor #42 tanh 8-8 adam 0.01"``; other stages by their names."""
    sizes = "-".join(str(size) for size in record.network.get("hidden_layer_sizes", ())) or "no-hidden-layer"
    place = f"#{record.number}" if record.stage == "search" else f"{record.stage.replace('_', ' ')} {record.number}"
    optimizer, rate = record.training.get("optimizer", "sgd"), record.training.get("learning_rate")
    how = f"{optimizer} {'?' if rate is None else f'{rate:.3g}'}"
    return f"{header.dataset} {place} {record.network.get('activation', '?')} {sizes} {how}"


def trial_metrics(goal: float, record: TrialRecord) -> list[MetricPoint]:
    """Return the metrics of one record: curves on the epoch grid, then single numbers, of the chosen epoch."""
    points: list[MetricPoint] = []
    for key, curve in CURVES.items():
        values = record.curves.get(curve, [])
        # A trial that failed early may have a shorter curve than grid.
        known = [
            (key, float(value), epoch)
            for epoch, value in zip(record.epoch_grid, values, strict=False)
            if value is not None and math.isfinite(value)
        ]
        points += known if len(known) >= FEWEST_POINTS else []
    for key, probed in record.probes.items():
        if key.endswith("_mean"):
            name = f"probe/{key.removesuffix('_mean')}"
            points += [
                (name, value, at) for at, value in zip(record.epoch_grid, probed, strict=True) if value is not None
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
    return points + finite_points(single, 0)


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
        single |= {key: value for key, value, _ in trial_metrics(study.header.goal, winner) if key not in CURVES}
    return finite_points(single, 0)
