"""Turn columns into network inputs, fitted on training rows only, and targets into what a network learns best.

scikit-learn's transformers are fitted; what they learnt is kept as plain numbers (`Preprocessing`), which transform new
rows the same way, go into JSON beside a saved model, and execute nothing when they are read back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.names import nearest
from sweeps.data.table.columns import Column, booleans_of, dates_of, first_text
from sweeps.data.table.table import TableError
from sweeps.data.table.told import TARGET_TRANSFORMS

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

FloatArray = npt.NDArray[np.float64]
FORMAT = 1
LEAKING = "fitted on all rows together, test rows included, as the textbook does: its scores leak"


@dataclass(frozen=True, slots=True)
class NumberStep:
    """``(x - center) / scale`` of one column, missing cells set to `fill` before.

    Parameters
    ----------
    name : str
        Column.
    kind : str
        ``"number"``, ``"boolean"`` (words to 0 and 1) or ``"date"`` (days since 1970-01-01).
    fill, center, scale : float
        In the column's own unit.
    """

    name: str
    kind: Literal["number", "boolean", "date"]
    fill: float
    center: float
    scale: float


@dataclass(frozen=True, slots=True)
class CategoryStep:
    """One 0/1 column for each value of one column.

    Parameters
    ----------
    name : str
        Column.
    values : tuple of (str or None)
        Values in the order of their columns; None is the missing cell.
    seen : tuple of bool
        Whether the value occurred in the rows fitted on; the others' columns stay 0, as a network learnt nothing of
        them. A value that is not listed gives zeros in all columns.
    """

    name: str
    values: tuple[str | None, ...]
    seen: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What was learnt from the training rows about every used column.

    Parameters
    ----------
    numbers : tuple of NumberStep
        First outputs, one each.
    categories : tuple of CategoryStep
        Further outputs, one for each value.
    fitted_on : str
        Which rows, in words for the report.
    leaks : bool
        Whether rows beyond the training rows had a say.
    """

    numbers: tuple[NumberStep, ...]
    categories: tuple[CategoryStep, ...]
    fitted_on: str
    leaks: bool = False

    @property
    def n_outputs(self) -> int:
        """Number of network inputs."""
        return len(self.numbers) + sum(len(step.values) for step in self.categories)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Name of each network input."""
        one_hot = [
            f"{step.name}={'(missing)' if value is None else value}"
            for step in self.categories
            for value in step.values
        ]
        return (*(step.name for step in self.numbers), *one_hot)

    def transform(self, frame: pd.DataFrame) -> FloatArray:
        """Return the network inputs (n_rows, n_outputs) of the rows of `frame`.

        Raises
        ------
        TableError
            If a column is missing or is no longer of numbers; the message names it.
        """
        out = np.zeros((len(frame), self.n_outputs))
        for k, step in enumerate(self.numbers):
            cells = _number_cells(_pick(frame, step.name), step.name, step.kind)
            out[:, k] = (np.where(np.isnan(cells), step.fill, cells) - step.center) / step.scale
        start = len(self.numbers)
        for category in self.categories:
            codes = _codes(_pick(frame, category.name), category.values)
            rows = np.flatnonzero(self.knows(category, frame))
            out[rows, start + codes[rows]] = 1.0
            start += len(category.values)
        return out

    def knows(self, step: CategoryStep, frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return which rows hold a value of a category that the rows fitted on held, (n_rows,)."""
        codes = _codes(_pick(frame, step.name), step.values)
        return np.append(np.array(step.seen, dtype=bool), False)[codes]  # code -1 picks the appended one

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values from which `from_json` makes an equal object."""
        return {
            "format": FORMAT,
            "fitted_on": self.fitted_on,
            "leaks": self.leaks,
            "numbers": [asdict(step) for step in self.numbers],
            "categories": [asdict(step) for step in self.categories],
        }

    @staticmethod
    def from_json(data: Any) -> Preprocessing:
        """Read back what `to_json` wrote.

        Raises
        ------
        ValueError
            If it is not of this format, a number is not finite or a scale is 0; the message names the place.
        """
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"preprocessing: format {data['format']!r}; this version reads {FORMAT}")
            numbers = tuple(_number_step(step) for step in data["numbers"])
            categories = tuple(_category_step(step) for step in data["categories"])
            return Preprocessing(numbers, categories, str(data["fitted_on"]), bool(data["leaks"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"preprocessing: not what this project writes ({error!r})") from None


def find_vocabulary(frame: pd.DataFrame, columns: tuple[Column, ...]) -> dict[str, tuple[str | None, ...]]:
    """Return the values of every category column, sorted, None last where a cell is missing.

    It fixes the *layout* of the inputs, so that folds trained together have equally many; whether a value was seen by
    a fold's training rows is settled by its own fit.
    """
    found: dict[str, tuple[str | None, ...]] = {}
    for column in columns:
        if column.role == "category":
            series = frame[column.name]
            words = sorted({_word(cell) for cell in pd.unique(series.dropna())})
            found[column.name] = (*words, *([None] if series.isna().any() else []))
    return found


def build_transformer(
    columns: tuple[Column, ...], vocabulary: Mapping[str, tuple[str | None, ...]]
) -> ColumnTransformer:
    """Return scikit-learn's unfitted transformer for prepared cells (see `prepare`).

    Numbers, booleans and dates: missing cells become the training mean, then zero mean and unit variance. Categories:
    one-hot with a column for missing cells, zeros for unknown values.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    plain = [column.name for column in columns if column.role in ("number", "boolean", "date")]
    one_hot = [column.name for column in columns if column.role == "category"]
    levels = [np.array([np.nan if v is None else v for v in vocabulary[name]], dtype=object) for name in one_hot]
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), plain),
            ("categories", OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=False), one_hot),
        ]
    )


def prepare(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return the used columns as scikit-learn takes them: float64 with NaN, or text with NaN."""
    cells: dict[str, Any] = {}
    for column in columns:
        series = _pick(frame, column.name)
        if column.role in ("number", "boolean", "date"):
            cells[column.name] = _number_cells(series, column.name, column.role)
        elif column.role == "category":
            cells[column.name] = pd.Series([np.nan if pd.isna(v) else _word(v) for v in series], dtype=object)
    return pd.DataFrame(cells)


def fit_preprocessing(
    frame: pd.DataFrame,
    columns: tuple[Column, ...],
    vocabulary: Mapping[str, tuple[str | None, ...]] | None = None,
    fitted_on: str = "the training rows",
) -> Preprocessing:
    """Fit scikit-learn's transformers on training rows and keep what they learnt.

    Parameters
    ----------
    frame : DataFrame
        Training rows only.
    columns : tuple of Column
        From `find_columns`; those left out are passed over.
    vocabulary : mapping, optional
        From `find_vocabulary` of all rows in the folds; default that of `frame`.
    fitted_on : str
        Words for the report.
    """
    vocabulary = find_vocabulary(frame, columns) if vocabulary is None else vocabulary
    prepared = prepare(frame, columns)
    transformer = build_transformer(columns, vocabulary).fit(prepared)
    plain = [column for column in columns if column.role in ("number", "boolean", "date")]
    numbers: list[NumberStep] = []
    if plain:
        imputer, scaler = (step for _, step in transformer.named_transformers_["numbers"].steps)
        numbers = [
            NumberStep(column.name, _plain_kind(column), float(fill), float(center), float(scale))
            for column, fill, center, scale in zip(plain, imputer.statistics_, scaler.mean_, scaler.scale_, strict=True)
        ]
    categories = []
    for column in columns:
        if column.role == "category":
            values = vocabulary[column.name]
            present = set(np.unique(_codes(prepared[column.name], values)).tolist())
            categories.append(CategoryStep(column.name, values, tuple(k in present for k in range(len(values)))))
    return Preprocessing(tuple(numbers), tuple(categories), fitted_on)


def fit_textbook(frame: pd.DataFrame) -> Preprocessing:
    """Fit the textbook's preprocessing for house prices, on all rows together: it leaks, and says so.

    Every column of numbers is standardized with the mean and the standard deviation (ddof 1) of its present cells, then
    missing cells become 0; every column of text is one-hot with a column for missing cells even where there are none.
    With "None" read as missing (pandas from version 2, and `read_table`) the house prices give 330 columns.

    Parameters
    ----------
    frame : DataFrame
        Features of training and test rows one below the other, without identifier and target.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li, A. J. Smola, "Dive into Deep Learning", 2023, section 5.7.
    """
    numbers, categories = [], []
    for name, series in frame.items():
        if series.dtype.kind in "if":
            scale = float(series.std())
            center = float(series.mean())
            numbers.append(NumberStep(str(name), "number", center, center, scale if scale > 0 else 1.0))
        else:
            values: tuple[str | None, ...] = (*sorted({_word(cell) for cell in pd.unique(series.dropna())}), None)
            categories.append(CategoryStep(str(name), values, (True,) * len(values)))
    return Preprocessing(tuple(numbers), tuple(categories), LEAKING, leaks=True)


# Targets


@dataclass(frozen=True, slots=True)
class TargetTransform:
    """``(f(y) - center) / scale`` with f the identity, the logarithm or log(1 + y).

    Parameters
    ----------
    name : str
        A key of `TARGET_TRANSFORMS`.
    center, scale : float
        0 and 1 where the transform does not standardize.
    """

    name: str
    center: float = 0.0
    scale: float = 1.0

    def forward(self, y: FloatArray) -> FloatArray:
        """Return what the network learns."""
        curve, _ = _CURVES[TARGET_TRANSFORMS[self.name][0]]
        return (curve(np.asarray(y, np.float64)) - self.center) / self.scale

    def inverse(self, z: FloatArray) -> FloatArray:
        """Return predictions in the target's own unit (infinite where they leave what a double holds)."""
        _, back = _CURVES[TARGET_TRANSFORMS[self.name][0]]
        with np.errstate(over="ignore"):
            return back(np.asarray(z, np.float64) * self.scale + self.center)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> TargetTransform:
        """Read back what `to_json` wrote; raise ValueError for anything else."""
        try:
            center, scale = float(data["center"]), float(data["scale"])
            if data["name"] not in TARGET_TRANSFORMS or not math.isfinite(center) or not 0 < scale < math.inf:
                raise ValueError(f"target transform: {data!r}; expected a known name and finite numbers, scale > 0")
            return TargetTransform(data["name"], center, scale)
        except (KeyError, TypeError) as error:
            raise ValueError(f"target transform: not what this project writes ({error!r})") from None


_CURVES: MappingProxyType[str, tuple[Callable[[Any], FloatArray], Callable[[Any], FloatArray]]] = MappingProxyType(
    {"identity": (np.asarray, np.asarray), "log": (np.log, np.exp), "log1p": (np.log1p, np.expm1)}
)


def fit_target(name: str, y: FloatArray) -> TargetTransform:
    """Fit a target transform on training targets.

    Parameters
    ----------
    name : str
        A key of `TARGET_TRANSFORMS`.
    y : ndarray (n,)
        Targets of the training rows, in their own unit.

    Raises
    ------
    ValueError
        If the name is unknown or a target has no logarithm.
    """
    if name not in TARGET_TRANSFORMS:
        near = nearest(name, [*TARGET_TRANSFORMS], cutoff=0.0)
        raise ValueError(f"target transform {name!r} is none of {', '.join(TARGET_TRANSFORMS)}; nearest: {near!r}")
    curve, standardized = TARGET_TRANSFORMS[name]
    lowest = {"identity": -math.inf, "log": 0.0, "log1p": -1.0}[curve]
    if not float(np.min(y)) > lowest:
        raise ValueError(f"target transform {name!r}: a target of {np.min(y):g}; expected all above {lowest:g}")
    if not standardized:
        return TargetTransform(name)
    values = _CURVES[curve][0](np.asarray(y, np.float64))
    scale = float(values.std())
    return TargetTransform(name, float(values.mean()), scale if scale > 0 else 1.0)


# Cells


def _pick(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame.columns:
        near = nearest(name, [str(column) for column in frame.columns], cutoff=0.6)
        raise TableError(f"no column {name!r}, which the model needs" + (f"; nearest: {near!r}" if near else ""))
    return frame[name]


def _number_cells(series: pd.Series[Any], name: str, kind: str) -> FloatArray:
    if kind == "date":
        try:
            return dates_of(series)
        except (ValueError, AttributeError):
            raise TableError(f"column {name!r}: {series.iloc[0]!r} ...; expected ISO dates (2024-05-31)") from None
    if kind == "boolean":
        cells = booleans_of(series)
        if bad := np.flatnonzero(np.isnan(cells) & series.notna().to_numpy()).tolist():
            raise TableError(f"column {name!r}: {series.iloc[bad[0]]!r}; expected yes or no, as in training")
        return cells
    if series.dtype.kind not in "ifb":
        present = series.dropna()
        if len(present):
            raise TableError(f"column {name!r}: {first_text(present)!r}; expected numbers, as in training")
        return np.full(len(series), np.nan)
    return series.to_numpy(np.float64)


def _codes(series: pd.Series[Any], values: tuple[str | None, ...]) -> npt.NDArray[np.intp]:
    """Return the place of each cell in `values`, -1 where it is not there."""
    place = {value: k for k, value in enumerate(values)}
    distinct, inverse = pd.unique(series), pd.factorize(series)[0]
    present = [cell for cell in distinct if not pd.isna(cell)]
    table = np.array([place.get(_word(cell), -1) for cell in present] + [place.get(None, -1)], dtype=np.intp)
    return table[inverse]  # factorize codes missing cells -1: the last entry


def _word(cell: Any) -> str:
    """Return a category's name: the text itself; whole numbers without a point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _plain_kind(column: Column) -> Literal["number", "boolean", "date"]:
    if column.role == "boolean" or column.role == "date":
        return column.role
    return "number"


def _number_step(data: Any) -> NumberStep:
    step = NumberStep(str(data["name"]), data["kind"], float(data["fill"]), float(data["center"]), float(data["scale"]))
    if step.kind not in ("number", "boolean", "date"):
        raise ValueError(f"preprocessing: column {step.name!r}: kind {step.kind!r}; expected number, boolean or date")
    if not all(map(math.isfinite, (step.fill, step.center, step.scale))) or step.scale <= 0:
        raise ValueError(f"preprocessing: column {step.name!r}: expected finite fill, center and scale > 0")
    return step


def _category_step(data: Any) -> CategoryStep:
    values = tuple(None if value is None else str(value) for value in data["values"])
    seen = tuple(bool(flag) for flag in data["seen"])
    if len(values) != len(seen) or len(set(values)) != len(values):
        raise ValueError(f"preprocessing: column {data['name']!r}: expected different values and a flag for each")
    return CategoryStep(str(data["name"]), values, seen)
