"""Predict new rows from a saved model alone: networks, preprocessing and training range lie in its two files."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.statistics.ranges import Box
from engine.evaluation import predict
from engine.model_files import ModelFileError, SavedModel, load_model
from engine.names import LONGEST_SHOWN, cut, nearest
from sweeps.data.table.columns import Task
from sweeps.data.table.dates import convert_dates
from sweeps.data.table.judging import ensemble_of
from sweeps.data.table.metrics import predicted_classes
from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.preprocessing import Preprocessing, TargetTransform
from sweeps.data.table.reading import read_table
from sweeps.data.table.scoring import outputs_to_predictions
from sweeps.data.table.table import Table, TableError
from sweeps.data.table.told import Told

FloatArray = npt.NDArray[np.float64]
LOW, HIGH = 0.025, 0.975
OUTPUTS = ("row", "probability", "networks_low", "networks_high", "out_of_range", "distance", "outside")
"""Columns that go with the predictions."""
PREFIX = "predict_"
"""Before an output's name that the target or another column has."""
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
    told : Told
        How the training file was written, as far as its reader was told.
    formats : mapping of str to NumberFormat
        Columns whose numbers were not written plainly there, and how they were.
    n_columns : int
        Columns of the training file; 0 where that is not known.
    trained_on : str
        In words.
    date_formats : dict of str to str
        How the columns of dates are written that are not ISO 8601.
    """

    saved: SavedModel
    target: str
    task: Task
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    transform: TargetTransform | None
    box: Box
    told: Told
    formats: Mapping[str, NumberFormat]
    n_columns: int
    trained_on: str
    date_formats: dict[str, str]


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
            told=_told(data["reading"]),
            formats=_formats(data.get("formats", {})),
            n_columns=int(data.get("n_columns", 0)),
            trained_on=str(data["trained_on"]),
            date_formats={str(name): str(text) for name, text in data.get("date_formats", {}).items()},
        )
        n_inputs = model.preprocessing.n_outputs
        if saved.network.n_inputs != n_inputs or any(values.shape != (1, n_inputs) for values in box.values()):
            raise ValueError(f"{n_inputs} prepared columns for {saved.network.n_inputs} inputs")
        _check_outputs(model)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
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


def _told(reading: Mapping[str, Any]) -> Told:
    """Return what a model file says of how its training file was written."""
    default = Told()
    for key, value in reading.items():
        words = isinstance(getattr(default, key), tuple)
        fits = isinstance(value, list) and all(isinstance(word, str) for word in value) if words else True
        if not fits or not (words or value is None or isinstance(value, (str, bool, int))):
            raise ValueError(f"reading: {key}")
    told: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in reading.items()}
    return Told(**told)


def _formats(content: Mapping[str, Any]) -> dict[str, NumberFormat]:
    """Return what a model file says of how the numbers of its columns were written."""
    formats = {name: NumberFormat(**form) for name, form in content.items()}
    for name, form in formats.items():
        marks = (form.decimal, form.thousands, form.prefix, form.suffix)
        if not all(isinstance(mark, str) for mark in marks) or not form.decimal:
            raise ValueError(f"formats: {name}")
    return formats


def read_new_rows(model: TableModel, path: Path, changes: Mapping[str, Any]) -> Table:
    """Read a file of new rows as the training file was read.

    Parameters
    ----------
    model : TableModel
        The model.
    path : Path
        CSV, TSV or Parquet with the columns that the model was trained on, in any order; others are passed over.
    changes : mapping
        Fields of `Told` in which the file is written otherwise.

    Raises
    ------
    TableError
        If the file cannot be read exactly, or a column is missing or holds something else.
    """
    lists = {name: tuple(value) for name, value in changes.items() if isinstance(value, list)}
    told = dataclasses.replace(model.told, **{**changes, **lists})
    table = read_table(path, told, formats=model.formats)
    if not told.header and model.n_columns and table.n_columns != model.n_columns:
        raise TableError(
            f"{path}: {table.n_columns} columns without names; expected {model.n_columns}, as in training, each in its "
            "place (an empty one for what is to be predicted)"
        )
    return dataclasses.replace(table, frame=convert_dates(table.frame, model.date_formats))


def rows_without(frame: pd.DataFrame, target: str) -> npt.NDArray[np.intp]:
    """Return the numbers of the rows that have no target.

    Raises
    ------
    TableError
        If the file has no such column, or a target in every row.
    """
    if target not in frame.columns:
        raise TableError(f"no column {target!r} in the file, so no row has one: leave --without-target out")
    rows = np.flatnonzero(frame[target].isna().to_numpy())
    if not len(rows):
        raise TableError(f"every row has a {target!r}: leave --without-target out")
    return rows


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


def output_names(target: str, taken: Iterable[str]) -> dict[str, str]:
    """Return what each column that goes with the predictions is called: no name of the target or of the file twice.

    A name that is taken gets `PREFIX` before it, and again until it is free.
    """
    used = {target, *taken}
    names = {}
    for name in OUTPUTS:
        free = name
        while free in used:
            free = PREFIX + free
        used.add(free)
        names[name] = free
    return names


def predictions_csv(
    model: TableModel,
    frame: pd.DataFrame,
    found: Predictions,
    rows: npt.NDArray[np.intp] | None = None,
    identifiers: Sequence[str] = (),
) -> str:
    """Return the predictions as CSV text: one line a row.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.

    Parameters
    ----------
    model : TableModel
        That predicted them.
    frame : DataFrame
        The file's rows.
    found : Predictions
        Of these rows.
    rows : ndarray of int, optional
        Their numbers in the file, from 0; default: all of them.
    identifiers : sequence of str
        Columns of the file that are carried through.

    Raises
    ------
    TableError
        If one of these is not in the file, is the target, or is named twice.
    """
    _check_identifiers(model, frame, identifiers)
    names = output_names(model.target, map(str, frame.columns))
    numbers = range(len(frame)) if rows is None else rows.tolist()
    columns: dict[str, list[Any]] = {names["row"]: [number + 1 for number in numbers]}
    columns |= {name: [_identifier(cell) for cell in frame[name].tolist()] for name in identifiers}
    columns[model.target] = found.values.tolist()
    if found.probability is not None:
        columns[names["probability"]] = found.probability.tolist()
    columns |= {
        names["networks_low"]: found.low.tolist(),
        names["networks_high"]: found.high.tolist(),
        names["out_of_range"]: ["yes" if text else "no" for text in found.outside],
        names["distance"]: found.distance.tolist(),
        names["outside"]: found.outside,
    }
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
    return stream.getvalue()


def _check_identifiers(model: TableModel, frame: pd.DataFrame, identifiers: Sequence[str]) -> None:
    names = [str(name) for name in frame.columns]
    for k, name in enumerate(identifiers):
        if name == model.target:
            raise TableError(f"--id {name}: that is what is predicted; name another column")
        if name in identifiers[:k]:
            raise TableError(f"--id {name}: named twice; once is enough")
        if name not in names:
            raise TableError(f"--id {name}: not in the file; nearest: {nearest(name, names)!r}")


def _identifier(value: Any) -> Any:
    """Return a cell that is carried through: a whole number that missing ones have made a float is whole again."""
    if isinstance(value, float):
        return "" if math.isnan(value) else int(value) if value.is_integer() else repr(value)
    return value


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
