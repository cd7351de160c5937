"""A table as trials see it: folds x seeds as replicas, scored in the unit of whoever brought the rows.

A seed is text: ``"search0.fold2.seed1"`` trains on fold 2 of the first division into folds,
``"finalist-3f2a90c1b2d4.fold2.seed1"`` on fold 2 of another one, that of the look the digits stand for, and
``"certificate-3f2a90c1b2d4.seed3"`` on all rows that are neither test rows nor beyond the range.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.records.lines import RecordError
from analysis.records.study import Study, TrialRecord
from analysis.records.table import (
    TABLE_NAME,
    ModelScores,
    TableRecord,
    encode_table_record,
    read_table_record,
)
from analysis.statistics.ranges import Box
from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import train
from sweeps.data.asked import Asked
from sweeps.data.source import STREAM_WEIGHTS, Configured, Draws, Losses
from sweeps.data.table.baselines import FoldRows, Problem, best_baseline, run_baseline
from sweeps.data.table.fitted import FittedFold
from sweeps.data.table.folds import Fold
from sweeps.data.table.judging import ensemble_of, judge_test_rows, test_units
from sweeps.data.table.metrics import METRICS, Metric, MetricGoal, parse_goal, predicted_classes
from sweeps.data.table.preprocessing import TargetTransform, fit_preprocessing, fit_target
from sweeps.data.table.rows import TableRows, make_folds, open_rows, read_data, rows_beyond
from sweeps.data.table.scoring import (
    RowLosses,
    baseline_scores,
    network_scores,
    outputs_to_predictions,
    table_record,
    with_network,
)
from sweeps.data.table.settings import TableData
from sweeps.data.table.submission import write_submission
from sweeps.store.log import SUBMISSION_NAME, write_atomically
from sweeps.store.seeds import text_seed

FloatArray = npt.NDArray[np.float64]

MOST_ELEMENTS = 2**24
"""Numbers in the training inputs of replicas that train together: more folds than that allows train apart."""
MOST_CACHED = 2**28
"""Bytes of prepared rows kept between trials."""


class TableSource:
    """A table.

    Parameters
    ----------
    asked : Asked
        What the sweep asks.
    data : TableData
        Which table; what its spec leaves to be found (`sweeps.spec.from_table`) has been found.
    folder : Path or None
        The study's folder, where `analysis.records.table` keeps what this class finds out; None keeps nothing.

    Raises
    ------
    TableError
        If the file cannot be read exactly, or holds other rows than those the spec is about.
    """

    floor: float | None = None
    is_finite = True

    def __init__(self, asked: Asked, data: TableData, folder: Path | None = None) -> None:
        self._asked = asked
        self._name = asked.name
        self._data = data
        self._folder = folder
        self._dtype = np.dtype(asked.dtype)
        self.rows: TableRows = open_rows(data, asked.seed)
        self.goal_asked: MetricGoal = parse_goal(asked.goal, self.rows.target.task)
        self.loss_name = f"1 - {self.metric.name}" if self.metric.higher_is_better else self.metric.name
        self.n_inputs = self.rows.n_inputs
        n_classes = len(self.rows.target.classes)
        self.n_outputs = n_classes if asked.loss in ("softmax_cross_entropy", "hinge") else 1
        self._cache: OrderedDict[tuple[str, ...], Draws] = OrderedDict()
        self._lock = threading.Lock()
        self._record: TableRecord | None = None
        self._baseline_rows: dict[str, RowLosses] | None = None

    @property
    def metric(self) -> Metric:
        """What trials are compared by."""
        return METRICS[self.goal_asked.metric]

    @property
    def problem(self) -> Problem:
        """What is to be predicted."""
        target = self.rows.target
        return Problem(target.task, self.metric.name, len(target.classes))

    @property
    def record(self) -> TableRecord:
        """What is known about the table and its baselines; they are fitted the first time, or read from the folder."""
        with self._lock:
            if self._record is None:
                self._record = self._known_record() or self._new_record()
            return self._record

    @functools.cached_property
    def goal(self) -> float:
        """The goal as a loss, lower is better; the best baseline's mean validation score where none was named."""
        value = self.record.goal_value
        if value is None:
            raise AssertionError("a table's record without goal")
        return self.metric.as_loss(value)

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search trial's replicas."""
        return self._fold_seeds(f"search{replicate}", self._asked.n_search)

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:  # noqa: ARG002
        """Return the seeds of a look: other folds and first weights; the rows are what there is."""
        name = f"{stage}-{hashlib.sha256(block.encode()).hexdigest()[:12]}"
        if stage == "certificate":
            return tuple(f"{name}.seed{i}" for i in range(self._asked.n_certificate))
        return self._fold_seeds(name, self._asked.n_finalist)

    def _fold_seeds(self, plan: str, n: int) -> tuple[str, ...]:
        """Return n seeds fold by fold, so that equally large folds stand together."""
        n_folds = self._data.n_folds
        return tuple(f"{plan}.fold{fold}.seed{i}" for fold in range(n_folds) for i in range(n // n_folds))

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return runs of replicas with equally many training rows, as long as memory allows."""
        groups: list[list[str]] = []
        n_before, place_before = -1, ""
        for seed in seeds:
            place = seed.rpartition(".")[0]
            n = len(self.fold(place).train)
            fits = (
                place == place_before or (len(groups[-1]) + 1) * n * self.n_inputs <= MOST_ELEMENTS if groups else False
            )
            if n == n_before and fits:
                groups[-1].append(seed)
            else:
                groups.append([seed])
            n_before, place_before = n, place
        return tuple(map(tuple, groups))

    def fold(self, place: str) -> Fold:
        """Return the rows of ``"search0.fold2"``, or of a certificate."""
        if place.startswith("certificate"):
            scored = self.rows.test_has_targets and len(self.rows.test) > 0
            # Without a test row to score there is nothing but the rows trained on; the verdict says so.
            return Fold(self.rows.in_range, self.rows.test if scored else self.rows.in_range)
        plan, _, fold = place.partition(".fold")
        return self._plan(plan)[int(fold)]

    def fitted(self, place: str) -> FittedFold:
        """Return a fold with the preprocessing fitted on its training rows."""
        rows, fold = self.rows, self.fold(place)
        if rows.textbook is not None:
            preprocessing = rows.textbook
        else:
            preprocessing = fit_preprocessing(rows.frame.iloc[fold.train], rows.columns, rows.vocabulary)
        target = None
        if rows.target.task == "regression":
            target = fit_target(self._data.target_transform, rows.target.values[fold.train])
        return FittedFold(fold, preprocessing, target)

    def fold_rows(self, fitted: FittedFold) -> FoldRows:
        """Return a fold as baselines take it."""
        rows, fold = self.rows, fitted.fold
        parts = {"validation": fold.validation, "out_of_range": rows.beyond(fold)}
        return FoldRows(
            X=fitted.preprocessing.transform(rows.frame.iloc[fold.train]),
            y=rows.target.values[fold.train],
            target=fitted.target,
            parts={name: fitted.preprocessing.transform(rows.frame.iloc[part]) for name, part in parts.items()},
        )

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the rows of one group of replicas, prepared once while they are in use."""
        with self._lock:
            if seeds in self._cache:
                self._cache.move_to_end(seeds)
                return self._cache[seeds]
            draws = self._draw(seeds)
            self._cache[seeds] = draws
            while len(self._cache) > 1 and sum(map(_n_bytes, self._cache.values())) > MOST_CACHED:
                self._cache.popitem(last=False)
            return draws

    def page_url(self, network: Any, training: Any, seed: str) -> None:  # noqa: ARG002
        """Return None: the Playground page has no tables."""
        return

    def judge(
        self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float
    ) -> dict[str, Any] | None:
        """Return how the certificate's ensemble does on the test rows, beside the baselines; see `judging`.

        None where no test row has a target.
        """
        if not len(self.rows.test) or not self.rows.test_has_targets:
            return None
        fitted = self.fitted(seeds[0].rpartition(".")[0])
        rows = self.rows
        X = fitted.preprocessing.transform(rows.frame.iloc[rows.test]).astype(self._dtype)
        predictions = outputs_to_predictions(predict(network, parameters, X[None]), rows.target.task, [fitted.target])
        baseline_rows = self.fold_rows(fitted)
        against = best_baseline(self._baseline_scores(), self.metric.name)
        baselines = {
            model.name: run_baseline(self.problem, model.name, baseline_rows).predictions["validation"]
            for model in self.record.models
            if model.name != "network"
        }
        beyond = rows_beyond(rows, rows.test)
        sides = {} if beyond is None else {"test_in_range": ~beyond, "test_out_of_range": beyond}
        judged = judge_test_rows(
            self.goal_asked,
            rows.target.task,
            rows.target.values[rows.test],
            predictions,
            baselines,
            against,
            level,
            text_seed(self._asked.seed, self._name, "test rows"),
            test_units(self.rows, self._data),
            sides=sides,
        )
        if self._data.withheld:
            judged |= {"passed": False, "withheld": self._data.withheld}
        return judged

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:
        """Return what predictions of new rows need besides the networks: see `sweeps.data.table.predicting`."""
        rows, fitted = self.rows, self.fitted(seeds[0].rpartition(".")[0])
        X = fitted.preprocessing.transform(rows.frame.iloc[fitted.fold.train])
        box = Box.fit(X[None])
        return {
            "table": {
                "target": rows.target.name,
                "task": rows.target.task,
                "classes": list(rows.target.classes),
                "preprocessing": fitted.preprocessing.to_json(),
                "target_transform": None if fitted.target is None else fitted.target.to_json(),
                "box": {"low": box.low[0].tolist(), "high": box.high[0].tolist(), "spread": box.spread[0].tolist()},
                "reading": {
                    "encoding": self._data.encoding,
                    "separator": self._data.separator,
                    "decimal": self._data.decimal,
                    "thousands": self._data.thousands,
                    "text_columns": rows.text_columns,
                    "missing": list(self._data.missing),
                    "header": self._data.header,
                    "comment": self._data.comment,
                },
                "date_formats": dict(read_data(self._data).date_formats),
                "n_columns": rows.frame.shape[1],
                "formats": {name: dataclasses.asdict(form) for name, form in rows.formats},
                "trained_on": f"{len(fitted.fold.train)} rows of {Path(self._data.file).name}",
            }
        }

    def finish(self, study: Study, winner: Configured | None) -> None:
        """Add to the table's record how the winner does in the folds of the search, and what the test rows showed."""
        record, trial = self.record, study.winner
        known, n_looks = record.model("network"), sum(bool(one.ensemble) for one in study.records["certificate"])
        if trial is None or winner is None:
            return
        if known is not None and (known.trial, record.n_test_looks) == (trial.source, n_looks):
            return
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="blas"):
            network, by_row = self._network_scores(trial, *winner)
            others = self._baseline_rows or baseline_scores(self.problem, self.rows, self._folds(), self.fold_rows)[1]
        self.write(with_network(record, network, by_row, others, study, self.rows))

    def _network_scores(
        self, winner: TrialRecord, network: NetworkConfig, training: TrainingConfig
    ) -> tuple[ModelScores, RowLosses]:
        """Train the winner once more in the folds of the search, for the scores that its record does not have.

        Test rows without targets are predicted by all these networks together: ``submission.csv``.
        """
        seeds = self.search_seeds()
        groups = [self.draws(group) for group in self.groups(seeds)]
        found: list[tuple[str, FloatArray, FloatArray]] = []
        unknown: list[FloatArray] = []
        for draws in groups:
            result = train(
                network,
                training,
                draws.train,
                draws.initialize(network),
                draws.training_seeds,
                look_at=(winner.epochs,),
                evaluate_on={},
            )
            places = [seed.rpartition(".")[0] for seed in draws.seeds]
            transforms = [self._transform(place) for place in dict.fromkeys(places)]
            if len(transforms) > 1:
                transforms = [self._transform(place) for place in places]
            parts = [
                outputs_to_predictions(
                    predict(network, result.state.parameters, split.X), self.rows.target.task, transforms
                )
                for split in (draws.test, draws.out_of_range)
            ]
            found += [(place, parts[0][r], parts[1][r]) for r, place in enumerate(places)]
            if not self.rows.test_has_targets:
                unknown.append(self._predict_test_rows(network, result.state.parameters, places))
        if unknown:
            self._submit(ensemble_of(np.concatenate(unknown)))
        return network_scores(
            self.rows, [(self.fold(place), inside, beyond) for place, inside, beyond in found], winner
        )

    def _predict_test_rows(self, network: NetworkConfig, parameters: Parameters, places: Sequence[str]) -> FloatArray:
        rows = self.rows
        fitted = {place: self.fitted(place) for place in dict.fromkeys(places)}
        frame = rows.frame.iloc[rows.test]
        inputs = {place: one.preprocessing.transform(frame).astype(self._dtype) for place, one in fitted.items()}
        X = np.stack([inputs[place] for place in places])
        transforms = [fitted[place].target for place in places]
        return outputs_to_predictions(predict(network, parameters, X), rows.target.task, transforms)

    def _submit(self, predictions: FloatArray) -> None:
        """Write what the networks together predict of test rows whose targets somebody else keeps."""
        rows = self.rows
        identifier = next((column.name for column in rows.columns if column.role == "identifier"), None)
        if self._folder is None:
            return
        if rows.target.task == "classification":
            predictions = np.array(rows.target.classes)[predicted_classes(predictions)]
        if identifier is None:
            ids: list[Any] = list(range(1, len(rows.test) + 1))
        else:
            ids = rows.frame[identifier].iloc[rows.test].tolist()
        write_submission(self._folder / SUBMISSION_NAME, identifier or "row", ids, rows.target.name, predictions)

    def _transform(self, place: str) -> TargetTransform | None:
        if self.rows.target.task != "regression":
            return None
        return fit_target(self._data.target_transform, self.rows.target.values[self.fold(place).train])

    @functools.lru_cache(maxsize=32)  # noqa: B019 (a source lives as long as its sweep)
    def _plan(self, plan: str) -> tuple[Fold, ...]:
        return make_folds(self._data, self.rows, text_seed(self._asked.seed, plan) % 2**32)

    def _draw(self, seeds: tuple[str, ...]) -> Draws:
        places = [seed.rpartition(".")[0] for seed in seeds]
        fitted = {place: self.fitted(place) for place in dict.fromkeys(places)}
        distinct = list(fitted.values())
        places = places if len(distinct) > 1 else places[:1]  # one fold: all replicas share its rows
        rows = self.rows
        folds = [fitted[place] for place in places]
        parts = {
            "train": [fold.fold.train for fold in folds],
            "test": [fold.fold.validation for fold in folds],
            "out_of_range": [rows.beyond(fold.fold) for fold in folds],
        }
        splits = {name: self._split(folds, numbers) for name, numbers in parts.items()}
        targets = {name: self._targets(numbers) for name, numbers in parts.items()}
        R, metric, transforms = len(seeds), self.metric, [fold.target for fold in folds]

        def scores(predictions: Mapping[str, FloatArray]) -> Losses:
            found: Losses = {}
            for name, values in predictions.items():
                y, weight = targets[name]
                if not weight.any():
                    found[name] = np.full(R, np.nan)
                    continue
                score = metric.score(y, values, np.broadcast_to(weight, (len(values), weight.shape[1])))
                loss = 1.0 - score if metric.higher_is_better else score
                found[name] = np.asarray(np.broadcast_to(loss, (R,)), np.float64)
            return {**found, "in_range": found["test"]}

        def measure(network: NetworkConfig, parameters: Parameters) -> Losses:
            return scores(
                {
                    name: outputs_to_predictions(predict(network, parameters, split.X), rows.target.task, transforms)
                    for name, split in splits.items()
                }
            )

        constant = self._constant(folds, parts)
        n_validation = np.array([len(fold.fold.validation) for fold in folds])
        keys = np.array([text_seed(self._asked.seed, self._name, seed) for seed in seeds], np.uint64)
        return Draws(
            seeds=seeds,
            train=Split(splits["train"].X, splits["train"].y),
            test=splits["test"],
            in_range=splits["test"],
            out_of_range=splits["out_of_range"],
            n_in_range=np.broadcast_to(n_validation, (R,)).copy(),
            n_out_of_range=np.broadcast_to([len(numbers) for numbers in parts["out_of_range"]], (R,)).copy(),
            constant=scores(constant),
            floors=None,
            training_seeds=keys,
            initialize=lambda network: initialize(
                network, [np.random.default_rng([self._asked.seed, STREAM_WEIGHTS, int(key)]) for key in keys]
            ),
            measure=measure,
        )

    def _split(self, folds: Sequence[FittedFold], numbers: Sequence[npt.NDArray[np.intp]]) -> Split:
        """Return the prepared rows of each fold, padded with rows of weight 0 to the longest."""
        longest = max(max(map(len, numbers)), 1)
        X = np.zeros((len(folds), longest, self.n_inputs), self._dtype)
        y = np.zeros((len(folds), longest, 1), self._dtype)
        weight = np.zeros((len(folds), longest))
        for k, (fold, chosen) in enumerate(zip(folds, numbers, strict=True)):
            values = self.rows.target.values[chosen]
            X[k, : len(chosen)] = fold.preprocessing.transform(self.rows.frame.iloc[chosen])
            y[k, : len(chosen), 0] = values if fold.target is None else fold.target.forward(values)
            weight[k, : len(chosen)] = 1.0
        return Split(X, y, weight)

    def _targets(self, numbers: Sequence[npt.NDArray[np.intp]]) -> tuple[FloatArray, FloatArray]:
        """Return targets in their own unit and weights, padded as `_split` pads."""
        longest = max(max(map(len, numbers)), 1)
        values = self.rows.target.values
        y = np.full((len(numbers), longest), values[self.rows.in_range[0]])  # a target that every metric takes
        weight = np.zeros((len(numbers), longest))
        for k, chosen in enumerate(numbers):
            y[k, : len(chosen)] = values[chosen]
            weight[k, : len(chosen)] = 1.0
        return y, weight

    def _constant(
        self, folds: Sequence[FittedFold], parts: Mapping[str, Sequence[npt.NDArray[np.intp]]]
    ) -> dict[str, FloatArray]:
        found: dict[str, list[FloatArray]] = {name: [] for name in parts}
        for fold in folds:
            y = self.rows.target.values[fold.fold.train]
            one = FoldRows(np.zeros((len(y), 1)), y, fold.target, {"row": np.zeros((1, 1))})
            for name, numbers in parts.items():
                value = run_baseline(self.problem, "constant", one).predictions["row"]
                longest = max(max(map(len, numbers)), 1)
                found[name].append(np.repeat(value, longest, axis=0))
        return {name: np.stack(values) for name, values in found.items()}

    def _baseline_scores(self) -> dict[str, list[float]]:
        """Return the validation scores of the baselines by fold."""
        worst = -np.inf if self.metric.higher_is_better else np.inf
        return {
            model.name: [worst if score is None else score for score in model.validation[self.metric.name]]
            for model in self.record.models
            if model.name != "network"
        }

    def _known_record(self) -> TableRecord | None:
        path = None if self._folder is None else self._folder / TABLE_NAME
        if path is None or not path.exists():
            return None
        try:
            return read_table_record(path)
        except RecordError:
            return None  # torn or of another version: found out anew

    def _new_record(self) -> TableRecord:
        models, self._baseline_rows = baseline_scores(self.problem, self.rows, self._folds(), self.fold_rows)
        record = table_record(self._data, self._asked.n_search, self.rows, self.goal_asked, models)
        self.write(record)
        return record

    def _folds(self) -> list[FittedFold]:
        return [self.fitted(f"search0.fold{k}") for k in range(self._data.n_folds)]

    def write(self, record: TableRecord) -> None:
        """Keep a record in the study's folder, if there is one."""
        self._record = record
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / TABLE_NAME, encode_table_record(record))


def _n_bytes(draws: Draws) -> int:
    return sum(split.X.nbytes + split.y.nbytes for split in (draws.train, draws.test, draws.out_of_range))
