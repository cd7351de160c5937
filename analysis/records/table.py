"""The file format of a table study: what its columns became, who trained on which rows, and every model's scores.

``results/<sweep>/<dataset>/table.json`` stands beside the study's log. It is one line such as `analysis.records.lines`
has, of kind ``table`` with a `TableRecord`, and is written whole each time: before the search without scores, then with
those of the baselines, last with those of the network.

Scores are in the user's metrics and units (`sweeps.data.table.metrics`); None is a score that does not exist or is not
finite.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.records.fields import build
from analysis.records.lines import RecordError, decode_line, encode_line
from analysis.records.study import Study
from analysis.words import say

TABLE_NAME = "table.json"
NO_SPLIT = "equals a constant"
"""In the words of a model that says the same of every row."""

Scores = dict[str, tuple[float | None, ...]]
"""Values by metric, one a fold (baselines) or a replica (networks)."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file that rows came from.

    Parameters
    ----------
    name : str
        Its name without folders (``"my.csv"``), or that of a named dataset.
    use : str
        ``"rows"`` (folds, and what was set aside) or ``"test"``.
    sha256 : str
        Digest of its bytes.
    n_rows, n_columns : int
        Shape, the target's column included.
    """

    name: str
    use: Literal["rows", "test"]
    sha256: str
    n_rows: int
    n_columns: int


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column but the target's, as `sweeps.data.table.columns.Column`.

    Parameters
    ----------
    name, role, reason : str
        What it is called, what it became, and by which rule.
    n_missing, n_distinct : int
        Missing cells; different values.
    used : bool
        Whether networks get to see it.
    """

    name: str
    role: str
    reason: str
    n_missing: int
    n_distinct: int
    used: bool


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """What is predicted.

    Parameters
    ----------
    name : str
        Its column.
    task : str
        ``"regression"`` or ``"classification"``.
    reason : str
        The rule that told them apart.
    classes : tuple of str
        Names by class index; empty for regression.
    transform : str
        Key of `sweeps.data.table.preprocessing.TARGET_TRANSFORMS`; ``"none"`` for classification.
    """

    name: str
    task: Literal["regression", "classification"]
    reason: str
    classes: tuple[str, ...]
    transform: str


@dataclass(frozen=True, slots=True)
class HeldOutRecord:
    """The out-of-range end, as `sweeps.data.table.folds.HeldOutEnd`.

    Parameters
    ----------
    rule : str
        ``"top"``, ``"bottom"``, ``"farthest"``, ``"value"`` or ``"each"``.
    feature : str or None
        Whose end it is; None for ``"farthest"``.
    bound : float
        Rows beyond it are out of range.
    n_rows : int
        How many these are.
    n_kept : int
        Rows beyond it that stay in range, as their class would lose more than its share.
    value : str
        Of the feature: the one held out, or all that are held out in turn.
    """

    rule: str
    feature: str | None
    bound: float
    n_rows: int
    n_kept: int = 0
    value: str = ""


@dataclass(frozen=True, slots=True)
class RowScore:
    """One metric on some rows.

    Parameters
    ----------
    value, low, high : float or None
        With a 95 % interval over units; None where there is none.
    n_units : int
        Rows, or groups of rows, behind it.
    method : str
        How the interval was found, or why there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    n_units: int
    method: str


@dataclass(frozen=True, slots=True)
class PartScores:
    """Every metric on one part of the rows; a model that predicts a row several times has its mean loss there.

    Parameters
    ----------
    n_rows : int
        Rows of the part.
    unit : str
        What intervals are over: ``"row"`` or ``"group"``.
    scores : dict of str to RowScore
        By metric.
    """

    n_rows: int
    unit: str
    scores: dict[str, RowScore]


@dataclass(frozen=True, slots=True)
class ModelScores:
    """How one model did.

    Parameters
    ----------
    name : str
        ``"network"``, or a key of `sweeps.data.table.baselines.BASELINES`.
    title : str
        What a report calls it.
    words : tuple of str
        How it was fitted: one text, or one a fold where they differ.
    folds : tuple of int
        Fold of each entry of `validation` and `out_of_range`.
    validation : dict of str to tuple of (float or None)
        By metric, on each fold's validation rows.
    out_of_range : dict of str to tuple of (float or None)
        The same on the held-out end; empty where there is none.
    test : dict of str to (float or None)
        On the test rows: of the ensemble (network: mean prediction of all replicas) or of the fit on all rows that are
        not test rows (baselines); empty where nobody looked or the rows have no target.
    confusion : tuple of tuple of int
        True class (outer) by predicted class, over the validation rows of all folds, each row once (network: most
        probable class of the mean of the replicas that did not train on it); empty for regression.
    trial : int or None
        Search trial of a network.
    parts : dict of str to PartScores
        With intervals over rows, by part: ``"validation"`` (validation rows of all folds), ``"out_of_range"`` (held-out
        rows), ``"test"`` and of those ``"test_in_range"``, ``"test_out_of_range"``.
    """

    name: str
    title: str
    words: tuple[str, ...]
    folds: tuple[int, ...]
    validation: Scores
    out_of_range: Scores = dataclasses.field(default_factory=dict)
    test: dict[str, float | None] = dataclasses.field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    trial: int | None = None
    parts: dict[str, PartScores] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowDifference:
    """How much better or worse the network is than a baseline on the same rows.

    Parameters
    ----------
    baseline : str
        Key of `sweeps.data.table.baselines.BASELINES`.
    loss : str
        What was compared: ``"squared error a row"``, ``"share of wrong rows a row"``, ``"1 - average precision"``, ...
    difference, low, high : float
        Mean row loss of the network minus that of the baseline, with a 95 % interval over rows.
    n_rows : int
        Rows, or groups of them, that are paired.
    method : str
        How the interval was found.
    """

    baseline: str
    loss: str
    difference: float
    low: float
    high: float
    n_rows: int
    method: str

    def words(self, title: str) -> str:
        """Return whether the network is better or worse than the baseline, as far as the pairs can tell."""
        return told_apart(title, self.low, self.high, self.n_rows)


def told_apart(title: str, low: float | None, high: float | None, n: int) -> str:
    """Return in words what the interval of a paired difference of losses, first minus second, says of the first."""
    if high is not None and high < 0:
        return say("better than {title}", title=title)
    if low is not None and low > 0:
        return say("worse than {title}", title=title)
    return say("not to be told apart from {title} at n = {n}", title=title, n=n)


@dataclass(frozen=True, slots=True)
class TableRecord:
    """Everything about a table study that its log does not say.

    Parameters
    ----------
    files : tuple of TableFile
        What was read.
    notes : tuple of str
        What reading noticed (words taken as missing, ...).
    columns : tuple of TableColumn
        Every column but the target's, in the file's order.
    target : TargetRecord
        What is predicted.
    warnings : tuple of str
        What is said before any figure: columns that give the target away, classes too rare for every fold, and the
        like.
    preprocessing : str
        What was done, in words.
    leaks : bool
        Whether rows beyond the training rows had a say in the preprocessing.
    n_inputs : int
        Network inputs after preprocessing.
    fold_kind : str
        Key of `sweeps.data.table.folds.FOLDS`.
    n_folds, n_seeds : int
        Replicas are folds x seeds.
    n_fold_rows : int
        Rows in the folds.
    n_test_rows : int
        Rows set aside before anything looked.
    test_origin : str
        Where those come from, in words; empty where there are none.
    has_test_targets : bool
        Whether the test rows' targets are known (a competition's are not).
    held_out : HeldOutRecord or None
        The out-of-range end.
    metric : str
        Key of `analysis.records.metric_words.METRIC_WORDS`: what the goal is about.
    goal : str
        In the user's words.
    goal_value : float or None
        What the metric must be better than; None while a baseline that sets it is not fitted.
    models : tuple of ModelScores
        Baselines in their order, then the network; what has not run yet is not there.
    test_differences : tuple of RowDifference
        Network against every baseline on the test rows.
    fold_differences : tuple of RowDifference
        The same on the validation rows of the folds.
    n_test_looks : int
        How often anything was scored on the test rows.
    """

    files: tuple[TableFile, ...]
    notes: tuple[str, ...]
    columns: tuple[TableColumn, ...]
    target: TargetRecord
    warnings: tuple[str, ...]
    preprocessing: str
    leaks: bool
    n_inputs: int
    fold_kind: str
    n_folds: int
    n_seeds: int
    n_fold_rows: int
    n_test_rows: int
    test_origin: str
    has_test_targets: bool
    held_out: HeldOutRecord | None
    metric: str
    goal: str
    goal_value: float | None
    models: tuple[ModelScores, ...] = ()
    test_differences: tuple[RowDifference, ...] = ()
    fold_differences: tuple[RowDifference, ...] = ()
    n_test_looks: int = 0

    def model(self, name: str) -> ModelScores | None:
        """Return the model of a name, or None where it has not run."""
        return next((model for model in self.models if model.name == name), None)


def scores_of(values: Mapping[str, Iterable[float]]) -> Scores:
    """Return scores by metric, arrays or sequences of floats, as `ModelScores` holds them."""
    return {name: tuple(finite_or_none(value) for value in column) for name, column in values.items()}


def finite_or_none(value: float) -> float | None:
    """Return a number as JSON can hold it."""
    return float(value) if math.isfinite(value) else None


def encode_table_record(record: TableRecord) -> bytes:
    """Return the file's bytes; the same record gives the same."""
    return encode_line("table", dataclasses.asdict(record)).encode()


def is_table(study: Study) -> bool:
    """Return whether a study is about a table."""
    return bool(study.header.data.get("kind") == "table")


def table_path(study: Study) -> Path | None:
    """Return where a study's table record is, or None where the study has none."""
    path = None if study.path is None else study.path.parent / TABLE_NAME
    return path if path is not None and path.exists() else None


def read_table_record(path: Path) -> TableRecord:
    """Read a table study's record.

    Raises
    ------
    RecordError
        If the file is missing, damaged, or a field is not what this version writes; the message names file and field.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}; run the sweep again") from None
    except UnicodeDecodeError:
        raise RecordError(f"{path}: not UTF-8; restore it or run the sweep again") from None
    line = decode_line(text, f"{path}: line 1")
    if line.kind != "table":
        raise RecordError(f"{path}: a {line.kind!r} record; expected 'table'")
    try:
        record: TableRecord = build(TableRecord, line.data, "table")
    except ValueError as error:
        raise RecordError(f"{path}: {error}; it is not of this version") from None
    return record
