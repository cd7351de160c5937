"""From networks and simple models to scores in the user's unit, and to what stands beside a study's log."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import Study, TrialRecord
from analysis.records.table import (
    HeldOutRecord,
    ModelScores,
    RowDifference,
    TableColumn,
    TableRecord,
    TargetRecord,
    finite_or_none,
    scores_of,
)
from sweeps.data.table.baselines import BASELINES, FoldRows, Problem, best_baseline, run_baseline
from sweeps.data.table.columns import Task
from sweeps.data.table.fitted import FittedFold
from sweeps.data.table.folds import Fold
from sweeps.data.table.judging import ensemble_of
from sweeps.data.table.metrics import METRICS, Goal, confusion_table, score_all
from sweeps.data.table.preprocessing import TargetTransform
from sweeps.data.table.rows import TableRows
from sweeps.data.table.settings import PREPROCESSINGS, TableData

ROW_LOSSES = {
    "rmse": "squared error",
    "mse": "squared error",
    "r2": "squared error",
    "mae": "absolute error",
    "log_mse": "squared error of the logarithm",
    "rmsle": "squared error of ln(1 + y)",
    "accuracy": "share of wrong rows",
    "log_loss": "log loss",
}
"""What a row's loss is called, by metric."""

FloatArray = npt.NDArray[np.float64]


def outputs_to_predictions(
    outputs: npt.NDArray[np.floating[Any]], task: Task, transforms: Sequence[TargetTransform | None]
) -> FloatArray:
    """Return what networks predict: numbers (R, n) in the target's unit, or probabilities (R, n, k).

    Parameters
    ----------
    outputs : ndarray (R, n, n_outputs)
        As `engine.evaluation.predict` returns them: transformed targets, one logit, or a logit a class.
    task : str
        ``"regression"`` or ``"classification"``.
    transforms : sequence of TargetTransform or None
        Of each replica, or one for all.
    """
    values = np.asarray(outputs, np.float64)
    if task == "regression":
        if len(transforms) == 1:
            transform = transforms[0]
            return values[..., 0] if transform is None else transform.inverse(values[..., 0])
        backs = [row if one is None else one.inverse(row) for one, row in zip(transforms, values[..., 0], strict=True)]
        return np.stack(backs)
    if values.shape[-1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=-1)
    with np.errstate(invalid="ignore", over="ignore"):
        shares = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def baseline_scores(
    problem: Problem,
    rows: TableRows,
    folds: Sequence[FittedFold],
    prepare: Callable[[FittedFold], FoldRows],
) -> tuple[ModelScores, ...]:
    """Fit every baseline in every fold; return their scores, the simplest first."""
    y, task = rows.target.values, problem.task
    words: dict[str, list[str]] = {name: [] for name in BASELINES}
    scores: dict[str, dict[str, dict[str, list[float]]]] = {
        name: {"validation": {}, "out_of_range": {}} for name in BASELINES
    }
    k = max(problem.n_classes, 1)
    confusion = {name: np.zeros((k, k), np.int64) for name in BASELINES}
    for fitted in folds:
        prepared = prepare(fitted)
        parts = {"validation": fitted.fold.validation, "out_of_range": rows.beyond(fitted.fold)}
        for name in BASELINES:
            one = run_baseline(problem, name, prepared)
            words[name].append(one.words)
            for part, numbers in parts.items():
                if len(numbers):
                    for metric, value in score_all(task, y[numbers], one.predictions[part][None]).items():
                        scores[name][part].setdefault(metric, []).append(float(value[0]))
            if task == "classification":
                confusion[name] += confusion_table(y[fitted.fold.validation], one.predictions["validation"])
    return tuple(
        ModelScores(
            name=name,
            title=BASELINES[name].titles[task],
            words=tuple(dict.fromkeys(words[name])) if len(set(words[name])) == 1 else tuple(words[name]),
            folds=tuple(range(len(folds))),
            validation=scores_of(_full(scores[name]["validation"], len(folds))),
            out_of_range=scores_of(_full(scores[name]["out_of_range"], len(folds))),
            confusion=tuple(map(tuple, confusion[name].tolist())) if task == "classification" else (),
        )
        for name in BASELINES
    )


def network_scores(
    rows: TableRows, replicas: Sequence[tuple[Fold, FloatArray, FloatArray]], winner: TrialRecord
) -> ModelScores:
    """Return the scores of a trial's replicas.

    Parameters
    ----------
    rows : TableRows
        The table.
    replicas : sequence of (Fold, ndarray, ndarray)
        Its fold and its predictions of the validation rows (padded) and of the held-out end, of each replica.
    winner : TrialRecord
        The certificate's record.
    """
    y, task = rows.target.values, rows.target.task
    scores: dict[str, dict[str, list[float]]] = {"validation": {}, "out_of_range": {}}
    folds: list[Fold] = []
    together: dict[int, list[FloatArray]] = {}
    numbers = []
    for fold, inside, beyond in replicas:
        if not any(fold is known for known in folds):
            folds.append(fold)
        k = next(k for k, known in enumerate(folds) if known is fold)
        numbers.append(k)
        together.setdefault(k, []).append(inside[: len(fold.validation)])
        for part, chosen, values in (
            ("validation", fold.validation, inside),
            ("out_of_range", rows.beyond(fold), beyond),
        ):
            if len(chosen):
                for metric, value in score_all(task, y[chosen], values[None, : len(chosen)]).items():
                    scores[part].setdefault(metric, []).append(float(value[0]))
    confusion: tuple[tuple[int, ...], ...] = ()
    if task == "classification":
        tables = [
            confusion_table(y[fold.validation], ensemble_of(np.stack(together[k]))) for k, fold in enumerate(folds)
        ]
        confusion = tuple(map(tuple, np.sum(tables, axis=0).tolist()))
    judged = winner.ensemble
    return ModelScores(
        name="network",
        title="network",
        words=(f"trial {winner.source}, {winner.epochs} epochs, chosen by these folds",),
        folds=tuple(numbers),
        validation=scores_of(_full(scores["validation"], len(replicas))),
        out_of_range=scores_of(_full(scores["out_of_range"], len(replicas))),
        test=dict(judged["scores"]) if judged else {},
        confusion=confusion,
        trial=winner.source,
    )


def with_network(record: TableRecord, network: ModelScores, study: Study) -> TableRecord:
    """Return a table's record with the winner's scores and what the looks at the test rows showed."""
    looks = [certificate for certificate in study.records["certificate"] if certificate.ensemble]
    judged = study.winner.ensemble if study.winner is not None else None
    models = record.models
    differences: tuple[RowDifference, ...] = ()
    if judged:
        models = tuple(dataclasses.replace(model, test=judged["baselines"][model.name]) for model in models)
        if judged.get("difference") is not None and judged.get("difference_low") is not None:
            differences = (
                RowDifference(
                    baseline=judged["against"],
                    loss=ROW_LOSSES[judged["metric"]],
                    difference=judged["difference"],
                    low=judged["difference_low"],
                    high=judged["difference_high"],
                    n_rows=judged["n_rows"],
                    method="Student t over pairs of rows, 95 %",
                ),
            )
    return dataclasses.replace(record, models=(*models, network), test_differences=differences, n_test_looks=len(looks))


def table_record(
    data: TableData, n_replicas: int, rows: TableRows, goal: Goal, models: tuple[ModelScores, ...]
) -> TableRecord:
    """Return what stands beside a study's log before its search begins."""
    value = goal.value
    if value is None:
        metric = METRICS[goal.metric]
        worst = -np.inf if metric.higher_is_better else np.inf
        scores = {
            model.name: [worst if score is None else score for score in model.validation[goal.metric]]
            for model in models
        }
        value = finite_or_none(float(np.mean(scores[best_baseline(scores, goal.metric)])))
    end = rows.held_out
    return TableRecord(
        files=rows.files,
        notes=rows.notes,
        columns=tuple(TableColumn(c.name, c.role, c.reason, c.n_missing, c.n_distinct, c.used) for c in rows.columns),
        target=TargetRecord(
            rows.target.name,
            rows.target.task,
            rows.target.reason,
            rows.target.classes,
            data.target_transform if rows.target.task == "regression" else "none",
        ),
        warnings=data.said_first,
        preprocessing=PREPROCESSINGS[data.preprocessing],
        leaks=data.preprocessing == "textbook",
        n_inputs=rows.n_inputs,
        fold_kind=data.folds,
        n_folds=data.n_folds,
        n_seeds=n_replicas // data.n_folds,
        n_fold_rows=len(rows.folded),
        n_test_rows=len(rows.test),
        test_origin=rows.test_origin,
        has_test_targets=rows.test_has_targets and len(rows.test) > 0,
        held_out=None
        if end is None
        else HeldOutRecord(end.rule, end.feature, end.bound, len(end.out_of_range), end.n_kept, end.value),
        metric=goal.metric,
        goal=goal.text,
        goal_value=value,
        models=models,
    )


def _full(scores: dict[str, list[float]], n: int) -> dict[str, list[float]]:
    """Leave out metrics that some fold's targets do not allow."""
    return {name: values for name, values in scores.items() if len(values) == n}
