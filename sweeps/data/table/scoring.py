"""From networks and simple models to scores in the user's unit, and to what stands beside a study's log."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import Study, TrialRecord
from analysis.records.table import (
    HeldOutRecord,
    ModelScores,
    PartScores,
    RowDifference,
    RowScore,
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
from sweeps.data.table.metrics import METRICS, MetricGoal, confusion_table, metrics_of, score_all
from sweeps.data.table.preprocessing import TargetTransform
from sweeps.data.table.row_intervals import (
    Comparison,
    compare,
    has_row_losses,
    row_losses,
    score_rows,
    without_interval,
)
from sweeps.data.table.rows import Rows, TableRows
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
"""What a row's loss is called, by metric that is a mean over rows."""

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


class RowLosses:
    """One model's losses by part of the rows, metric and row; several predictions of a row count with their mean.

    Parameters
    ----------
    task : str
        What the target sets.
    y : ndarray (n,)
        Targets of all rows of the table.
    """

    def __init__(self, task: Task, y: FloatArray) -> None:
        self._task = task
        self._y = y
        self._found: dict[str, list[tuple[Rows, dict[str, FloatArray]]]] = {}
        self._values: dict[str, dict[str, list[float]]] = {}

    def add(self, part: str, numbers: Rows, predictions: FloatArray) -> None:
        """Take in predictions (n,) or (n, k) of rows with these numbers."""
        y = self._y[numbers]
        losses, values = {}, self._values.setdefault(part, {})
        for name in metrics_of(self._task, y):
            if has_row_losses(METRICS[name]):
                losses[name] = row_losses(METRICS[name], y, predictions[None])
            else:
                values.setdefault(name, []).append(float(METRICS[name].score(y, predictions[None])[0]))
        self._found.setdefault(part, []).append((numbers, losses))

    def of(self, part: str, metric: str) -> tuple[Rows, FloatArray]:
        """Return row numbers, ascending, and their losses; none where some targets do not allow the metric."""
        found = self._found.get(part, [])
        if not found or any(metric not in losses for _, losses in found):
            return np.zeros(0, np.intp), np.zeros(0)
        numbers, places = np.unique(np.concatenate([rows for rows, _ in found]), return_inverse=True)
        total = np.bincount(places, np.concatenate([losses[metric] for _, losses in found]), len(numbers))
        return numbers, total / np.bincount(places, minlength=len(numbers))

    def scores(self, groups: Rows | None) -> dict[str, PartScores]:
        """Return every metric of every part with its interval over rows, or over groups of them."""
        parts = {}
        for part in self._found:
            scores, n_rows = {}, 0
            for name in METRICS:
                numbers, losses = self.of(part, name)
                if len(numbers):
                    units = None if groups is None else groups[numbers]
                    scores[name], n_rows = score_rows(METRICS[name], self._y[numbers], losses, units), len(numbers)
            for name, values in self._values[part].items():
                if len(values) == len(self._found[part]):
                    scores[name] = without_interval(values, n_rows if groups is None else len(np.unique(groups)))
            if scores:
                parts[part] = PartScores(n_rows, "row" if groups is None else "group", scores)
        return parts


def baseline_scores(
    problem: Problem,
    rows: TableRows,
    folds: Sequence[FittedFold],
    prepare: Callable[[FittedFold], FoldRows],
) -> tuple[tuple[ModelScores, ...], dict[str, RowLosses]]:
    """Fit every baseline in every fold; return their scores, the simplest first, and their losses by row."""
    y, task = rows.target.values, problem.task
    words: dict[str, list[str]] = {name: [] for name in BASELINES}
    scores: dict[str, dict[str, dict[str, list[float]]]] = {
        name: {"validation": {}, "out_of_range": {}} for name in BASELINES
    }
    by_row = {name: RowLosses(task, y) for name in BASELINES}
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
                    by_row[name].add(part, numbers, one.predictions[part])
                    for metric, value in score_all(task, y[numbers], one.predictions[part][None]).items():
                        scores[name][part].setdefault(metric, []).append(float(value[0]))
            if task == "classification":
                confusion[name] += confusion_table(y[fitted.fold.validation], one.predictions["validation"])
    models = tuple(
        ModelScores(
            name=name,
            title=BASELINES[name].titles[task],
            words=tuple(dict.fromkeys(words[name])) if len(set(words[name])) == 1 else tuple(words[name]),
            folds=tuple(range(len(folds))),
            validation=scores_of(_full(scores[name]["validation"], len(folds))),
            out_of_range=scores_of(_full(scores[name]["out_of_range"], len(folds))),
            confusion=tuple(map(tuple, confusion[name].tolist())) if task == "classification" else (),
            parts=by_row[name].scores(_units(rows)),
        )
        for name in BASELINES
    )
    return models, by_row


def network_scores(
    rows: TableRows, replicas: Sequence[tuple[Fold, FloatArray, FloatArray]], winner: TrialRecord
) -> tuple[ModelScores, RowLosses]:
    """Return the scores of a trial's replicas, and their losses by row.

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
    by_row = RowLosses(task, y)
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
                by_row.add(part, chosen, values[: len(chosen)])
                for metric, value in score_all(task, y[chosen], values[None, : len(chosen)]).items():
                    scores[part].setdefault(metric, []).append(float(value[0]))
    confusion: tuple[tuple[int, ...], ...] = ()
    if task == "classification":
        tables = [
            confusion_table(y[fold.validation], ensemble_of(np.stack(together[k]))) for k, fold in enumerate(folds)
        ]
        confusion = tuple(map(tuple, np.sum(tables, axis=0).tolist()))
    judged = winner.ensemble
    model = ModelScores(
        name="network",
        title="network",
        words=(f"trial {winner.source}, {winner.epochs} epochs, chosen by these folds",),
        folds=tuple(numbers),
        validation=scores_of(_full(scores["validation"], len(replicas))),
        out_of_range=scores_of(_full(scores["out_of_range"], len(replicas))),
        test=dict(judged["scores"]) if judged else {},
        confusion=confusion,
        trial=winner.source,
        parts=by_row.scores(_units(rows)),
    )
    return model, by_row


def with_network(
    record: TableRecord,
    network: ModelScores,
    by_row: RowLosses,
    others: Mapping[str, RowLosses],
    study: Study,
    rows: TableRows,
) -> TableRecord:
    """Return a table's record with the winner's scores, its differences and what the looks at the test rows showed."""
    looks = [certificate for certificate in study.records["certificate"] if certificate.ensemble]
    judged = study.winner.ensemble if study.winner is not None else None
    metric = METRICS[record.metric]
    models = [*(model for model in record.models if model.name != network.name), network]
    differences: tuple[RowDifference, ...] = ()
    if judged:
        tests = {name: judged["baselines"].get(name, dict(network.test)) for name in (model.name for model in models)}
        models = [
            dataclasses.replace(
                model, test=tests[model.name], parts={**model.parts, **_test_parts(judged["parts"][model.name])}
            )
            for model in models
        ]
        differences = tuple(
            _difference(record.metric, name, Comparison(**{**one, "bound": one["bound"] or 0.0}))
            for name in BASELINES
            if (one := judged["comparisons"].get(name)) is not None and one["low"] is not None
        )
    numbers, losses = by_row.of("validation", metric.name)
    found = []
    for name, other in others.items():
        same, theirs = other.of("validation", metric.name)
        if len(numbers) and metric.row_losses is not None and np.array_equal(numbers, same):
            units = None if (own := _units(rows)) is None else own[numbers]
            one = compare(metric, losses, theirs, units, 0.05)
            if one.low is not None:
                found.append(_difference(record.metric, name, one))
    return dataclasses.replace(
        record,
        models=tuple(models),
        test_differences=differences,
        fold_differences=tuple(found),
        n_test_looks=len(looks),
    )


def _units(rows: TableRows) -> Rows | None:
    """Return what counts as one observation of every row, or None where it is the row."""
    return None if len(np.unique(rows.units)) == len(rows.units) else rows.units


def _difference(metric: str, baseline: str, one: Comparison) -> RowDifference:
    if one.difference is None or one.low is None or one.high is None:
        raise AssertionError("a comparison without an interval")
    loss = f"{ROW_LOSSES[metric]} a row" if metric in ROW_LOSSES else f"1 - {METRICS[metric].title}"
    return RowDifference(baseline, loss, one.difference, one.low, one.high, one.n_units, one.method)


def _test_parts(judged: Mapping[str, Any]) -> dict[str, PartScores]:
    """Return what a look showed of the test rows, of all and of those in range and out of range."""
    return {
        part: PartScores(one["n_rows"], one["unit"], {name: RowScore(**score) for name, score in one["scores"].items()})
        for part, one in judged.items()
    }


def table_record(
    data: TableData, n_replicas: int, rows: TableRows, goal: MetricGoal, models: tuple[ModelScores, ...]
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
