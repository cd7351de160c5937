"""Predict new rows from a saved model alone: networks, preprocessing and training range lie in its two files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.ranges import Box
from engine.evaluation import predict
from engine.model_files import ModelFileError, SavedModel, load_model
from engine.names import LONGEST_SHOWN, cut
from sweeps.data.table.columns import Task
from sweeps.data.table.judging import ensemble_of
from sweeps.data.table.metrics import predicted_classes
from sweeps.data.table.preprocessing import Preprocessing, TargetTransform
from sweeps.data.table.reading import read_table
from sweeps.data.table.scoring import outputs_to_predictions

FloatArray = npt.NDArray[np.float64]
LOW, HIGH = 0.025, 0.975
MOST_NAMED = 3
"""Columns that `Predictions.outside` names for a row."""


@dataclass(frozen=True, slots=True)
class TableModel:
    """A certificate's networks with all that new rows need.

    Parameters
    ----------
    saved : SavedModel
        The networks.
    target : str
        Name of what is predicted.
    task : str
        ``"regression"`` or ``"classification"``.
    classes : tuple of str
        Names by class index; empty for regression.
    preprocessing : Preprocessing
        Fitted on the rows trained on.
    transform : TargetTransform or None
        Of the target; None for classification.
    box : Box
        Of the inputs trained on.
    reading : dict
        How the training file was written: what `sweeps.data.table.reading.read_table` was told.
    trained_on : str
        In words.
    """

    saved: SavedModel
    target: str
    task: Task
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    transform: TargetTransform | None
    box: Box
    reading: dict[str, Any]
    trained_on: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says about new rows.

    Parameters
    ----------
    values : ndarray (n,)
        Mean of the networks' predictions, or class indices of their mean probabilities.
    low, high : ndarray (n,)
        2.5 % and 97.5 % quantiles of the networks' predictions, or of their probabilities of the predicted class: how
        far networks that saw the same rows disagree. It is no interval for the target itself, whose noise they share.
    probability : ndarray (n,) or None
        Mean probability of the predicted class.
    distance : ndarray (n,)
        How far a row lies beyond the box of the training inputs, in their standard deviations; 0 within.
    outside : list of str
        The columns that lie beyond it, or hold a word that training never saw; empty for a row in range.
    """

    values: npt.NDArray[Any]
    low: FloatArray
    high: FloatArray
    probability: FloatArray | None
    distance: FloatArray
    outside: list[str]


def load_table_model(path: Path) -> TableModel:
    """Read a model that a table's certificate has left.

    Parameters
    ----------
    path : Path
        Of the ``.npz``, of the ``.json`` beside it, or of a folder (of a sweep, a study or its models) that holds just
        one ``certificate-0.npz``.

    Raises
    ------
    ModelFileError
        If there is none, it is altered, or it is not a table's.
    """
    saved = load_model(_model_path(path))
    try:
        data = saved.extra["table"]
        box = {key: np.array([data["box"][key]], np.float64) for key in ("low", "high", "spread")}
        model = TableModel(
            saved=saved,
            target=str(data["target"]),
            task=data["task"],
            classes=tuple(map(str, data["classes"])),
            preprocessing=Preprocessing.from_json(data["preprocessing"]),
            transform=None if data["target_transform"] is None else TargetTransform.from_json(data["target_transform"]),
            box=Box(**box),
            reading=dict(data["reading"]),
            trained_on=str(data["trained_on"]),
        )
        n_inputs = model.preprocessing.n_outputs
        if saved.network.n_inputs != n_inputs or any(values.shape != (1, n_inputs) for values in box.values()):
            raise ValueError(f"{n_inputs} prepared columns for {saved.network.n_inputs} inputs")
        _check_outputs(model)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        reason = cut(" ".join(str(error).split()), 2 * LONGEST_SHOWN)
        raise ModelFileError(f"{path}: not a table's model ({reason}); name one that a sweep of a table left") from None
    return model


def _check_outputs(model: TableModel) -> None:
    n_outputs, n_classes = model.saved.network.n_outputs, len(model.classes)
    if model.task not in ("regression", "classification"):
        raise ValueError(f"task {model.task!r}")
    of_numbers = model.task == "regression"
    fits = n_classes == 0 and n_outputs == 1 if of_numbers else n_classes == (2 if n_outputs == 1 else n_outputs)
    if not fits or of_numbers != (model.transform is not None):
        raise ValueError(f"a {model.task} with {n_classes} classes and {n_outputs} outputs")


def predict_file(model: TableModel, path: Path, options: Mapping[str, str]) -> tuple[pd.DataFrame, Predictions]:
    """Read a file of new rows as the training file was read, and predict them.

    Parameters
    ----------
    model : TableModel
        The model.
    path : Path
        CSV, TSV or Parquet with the columns that the model was trained on, in any order; others are passed over.
    options : mapping
        ``encoding``, ``separator`` or ``decimal`` where the file is written otherwise.

    Raises
    ------
    TableError
        If the file cannot be read exactly, or a column is missing or holds something else.
    """
    told = {key: value for key, value in {**model.reading, **options}.items() if value}
    frame = read_table(path, **told).frame
    return frame, predict_rows(model, frame)


def predict_rows(model: TableModel, frame: pd.DataFrame) -> Predictions:
    """Return what the networks say about the rows of a frame.

    Raises
    ------
    TableError
        If a column is missing or holds something else than in training.
    """
    X = model.preprocessing.transform(frame)
    network, parameters = model.saved.network, model.saved.parameters
    outputs = predict(network, parameters, X[None].astype(parameters.weights[0].dtype))
    predictions = outputs_to_predictions(outputs, model.task, [model.transform])
    whole = np.isfinite(predictions).reshape(len(predictions), -1).all(axis=1)
    each = predictions[whole] if whole.any() else predictions
    together = ensemble_of(predictions)
    probability = None
    values: npt.NDArray[Any] = together
    if model.task == "classification":
        chosen = predicted_classes(together)
        rows = np.arange(len(chosen))
        probability, each = together[rows, chosen], each[:, rows, chosen]
        values = np.array(model.classes, dtype=object)[chosen]
    low, high = np.quantile(each, [LOW, HIGH], axis=0)
    beyond = ((model.box.low > X) | (model.box.high < X)).reshape(len(X), -1)
    return Predictions(
        values=values,
        low=low,
        high=high,
        probability=probability,
        distance=model.box.distance(X[None])[0],
        outside=_outside(model.preprocessing, frame, beyond),
    )


def predictions_csv(model: TableModel, frame: pd.DataFrame, found: Predictions) -> str:
    """Return the predictions as CSV text: one line a row, numbered from 1.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    columns: dict[str, list[Any]] = {"row": list(range(1, len(frame) + 1)), model.target: found.values.tolist()}
    if found.probability is not None:
        columns["probability"] = found.probability.tolist()
    columns |= {
        "networks_low": found.low.tolist(),
        "networks_high": found.high.tolist(),
        "out_of_range": ["yes" if text else "no" for text in found.outside],
        "distance": found.distance.tolist(),
        "outside": found.outside,
    }
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
    return stream.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}" if math.isfinite(value) else ""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\0") else text


def _outside(preprocessing: Preprocessing, frame: pd.DataFrame, beyond: npt.NDArray[np.bool_]) -> list[str]:
    """Return the names of the columns that leave the training range in each row."""
    names: list[list[str]] = [[] for _ in range(len(frame))]
    for k, step in enumerate(preprocessing.numbers):
        for row in np.flatnonzero(beyond[:, k]).tolist():
            names[row].append(step.name)
    for category in preprocessing.categories:
        for row in np.flatnonzero(~preprocessing.knows(category, frame)).tolist():
            names[row].append(f"{category.name} (never seen)")
    return [
        "; ".join([*row[:MOST_NAMED], *([f"{len(row) - MOST_NAMED} more"] if len(row) > MOST_NAMED else [])])
        for row in names
    ]


def _model_path(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.rglob("certificate-0.npz"))
        if len(found) != 1:
            what = "no certificate-0.npz below it" if not found else f"{len(found)} models below it"
            raise ModelFileError(f"{path}: {what}; name the .npz itself")
        return found[0]
    return path.with_suffix(".npz") if path.suffix == ".json" else path
