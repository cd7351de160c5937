"""A homework table as somebody filled it: columns and cells by their names in English and Korean, in any order."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from analysis.words import later, say, translated
from engine.names import nearest
from engine.playground.draws import count_training_points
from engine.playground.page import LEARNING_RATES, MAX_BATCH_SIZE, MAX_HIDDEN_LAYERS, MAX_UNITS
from engine.playground.registry import DATASETS as PAGE_DATASETS
from sweeps.data import sheet_cells
from sweeps.data.sheet_cells import CellError, Claimed, folded
from sweeps.data.table.table import Limits, TableError
from sweeps.data.table.text import open_text, read_bytes

LIMITS = Limits(n_bytes=4_000_000, n_rows=10_000, line_length=20_000)
SEPARATORS = (",", ";", "\t", "|")
MOST_EPOCHS = 20_000
T = TypeVar("T")
LARGEST_LOSS = 2.0
"""Half the squared error between outputs of -1 to 1 and labels of -1 and 1."""
NOISE, TRAIN_SHARE = 0.2, 0.7

COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data type": (
            "data", "dataset", "data set", "type of data", "데이터 타입", "데이터 유형", "데이터 종류", "데이터",
            "데이터셋", "데이터 세트", "자료 유형",
        ),
        "activation": ("activation function", "활성화 함수", "활성 함수", "활성화"),
        "batch size": ("batch", "배치 크기", "배치 사이즈", "배치"),
        "# hidden layers": (
            "hidden layers", "number of hidden layers", "layers", "은닉층 수", "은닉층 개수", "은닉층", "숨은층 수",
            "히든 레이어 수", "히든 레이어", "레이어 수",
        ),
        "# neurons": (
            "neurons", "number of neurons", "units", "뉴런 수", "뉴런 개수", "뉴런", "노드 수", "유닛 수",
        ),
        "epochs": ("epoch", "number of epochs", "에포크", "에폭", "에포크 수", "반복 횟수"),
        "training loss": ("train loss", "loss training", "훈련 손실", "학습 손실", "훈련 로스", "트레이닝 손실"),
        "test loss": ("loss test", "testing loss", "테스트 손실", "시험 손실", "검증 손실", "테스트 로스", "평가 손실"),
        "learning rate": ("rate", "lr", "학습률", "학습 속도", "러닝 레이트"),
        "noise": ("노이즈", "잡음"),
        "training share": (
            "training data", "ratio of training to test data", "train share", "학습 데이터 비율", "훈련 데이터 비율",
        ),
    }
)  # fmt: skip
"""The sheet's columns with their other names; what follows in brackets does not count."""
COLUMN_TITLES = (
    later("data type"),
    later("activation"),
    later("batch size"),
    later("# hidden layers"),
    later("# neurons"),
    later("epochs"),
    later("training loss"),
    later("test loss"),
    later("learning rate"),
    later("noise"),
    later("training share"),
)
"""The sheet's columns as a reader of the answer sees them."""
NEEDED = ("data type", "activation", "batch size", "# neurons", "epochs")
LOSSES = ("training loss", "test loss")

DATASETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gauss": (
            "two blobs", "two blob", "blobs", "gaussian", "two gaussians", "두 덩어리", "두 개의 덩어리", "덩어리",
            "가우스", "가우시안", "투 블롭", "투 블롭스",
        ),
        "xor": ("exclusive or", "exclusive-or", "배타적 논리합", "엑스오어"),
        "circle": ("circles", "circular", "원", "원형", "동심원", "서클"),
        "spiral": ("spirals", "two spirals", "나선", "나선형", "소용돌이", "스파이럴"),
    }
)  # fmt: skip
ACTIVATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "relu": ("렐루", "rectified linear", "rectified linear unit"),
        "tanh": ("hyperbolic tangent", "탄젠트", "하이퍼볼릭 탄젠트", "쌍곡탄젠트", "탄에이치"),
        "sigmoid": ("logistic", "시그모이드"),
        "linear": ("none", "no activation", "identity", "선형", "리니어", "없음"),
    }
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a row trains; equal rows are trained once.

    Parameters
    ----------
    dataset, activation : str
        By the page's names.
    batch_size, epochs : int
    hidden : tuple of int
        Units of each hidden layer.
    learning_rate : float or None
        None where the table has none: any of the page's menu may be meant.
    noise, train_share : float
        Fractions.
    """

    dataset: str
    activation: str
    batch_size: int
    hidden: tuple[int, ...]
    epochs: int
    learning_rate: float | None = None
    noise: float = NOISE
    train_share: float = TRAIN_SHARE


@dataclass(frozen=True, slots=True)
class Trouble:
    """A cell that says nothing which can be used.

    Parameters
    ----------
    place : str
        ``"hw.csv:3:2"``: file, line, column from 1.
    column : str
        The sheet's name of it.
    message : str
        What was found, and what would do.
    kind : str
        The same without the value: rows of a class with the same kind of mistake count together.
    """

    place: str
    column: str
    message: str
    kind: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.place}: {translated(self.column)}: {self.message}"


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row as it was read.

    Parameters
    ----------
    source : str
        The file's name without its folder.
    line : int
        Of the file, from 1.
    words : str
        The row's first cell as it stands, for whoever has to find it.
    setting : Setting or None
        None where a cell that is needed cannot be used.
    claimed : dict of str to (Claimed or str)
        By the names of `LOSSES`; a text says why there is no number.
    troubles : tuple of Trouble
        Cells that cannot be used; those of `LOSSES` do not keep a row from being trained.
    notes : tuple of str
        What was read otherwise than it stands.
    """

    source: str
    line: int
    words: str
    setting: Setting | None
    claimed: dict[str, Claimed | str]
    troubles: tuple[Trouble, ...]
    notes: tuple[str, ...]

    @property
    def fatal(self) -> Trouble | None:
        """The first trouble that keeps the row from being trained."""
        return next((one for one in self.troubles if one.column not in LOSSES), None)


@dataclass(slots=True)
class _Reading:
    """A row while it is read."""

    source: str
    line: int
    cells: dict[str, tuple[int, str]]
    troubles: list[Trouble] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self, column: str) -> str:
        """Return a cell's text, empty where the column or the cell is missing."""
        return self.cells[column][1].strip() if column in self.cells else ""

    def refuse(self, column: str, error: CellError) -> None:
        """Note a cell that cannot be used."""
        place = f"{self.source}:{self.line}:{self.cells[column][0] if column in self.cells else 1}"
        self.troubles.append(Trouble(place, column, error.message, f"{translated(column)}: {error.kind}"))

    def read(self, column: str, parse: Callable[[str], T]) -> T | None:
        """Return what a cell says, or None where it cannot be used."""
        try:
            return parse(self.text(column))
        except CellError as error:
            self.refuse(column, error)
            return None


def read_sheet(path: Path) -> list[SheetRow]:
    """Read a homework table.

    Parameters
    ----------
    path : Path
        A CSV file: separated by commas, semicolons, tabs or bars, UTF-8 (with or without a mark), UTF-16 with a mark,
        or Korean Windows' cp949.

    Returns
    -------
    list of SheetRow
        One for every row that is not empty.

    Raises
    ------
    TableError
        If it is no text, no known column is in its header, a needed column is missing, or it has no row.
    """
    text = _text_of(path)
    rows = list(_rows(path.name, text))
    if not rows:
        raise TableError(f"{path}: no text; expected a header line and rows")
    line, header = rows[0]
    places = _columns(path.name, line, header)
    found = [_row(path.name, number, cells, places, len(header)) for number, cells in rows[1:]]
    if not found:
        raise TableError(f"{path.name}:{line}: no row below the header; expected at least one")
    return found


_ENCODING_ADVICE = re.compile(r"; [^;]*--encoding .*$")
"""An option that tables have and homework has not."""


def _text_of(path: Path) -> str:
    data = read_bytes(str(path), LIMITS)
    text = open_text(str(path), data, None, LIMITS)
    if text.encoding == "utf-8" and not _is_text(data, "utf-8") and _is_text(data, "cp949"):
        text = open_text(str(path), data, "cp949", LIMITS)
    try:
        return "".join(text.lines())  # where it is neither, the message says which line
    except TableError as error:
        raise TableError(_ENCODING_ADVICE.sub("; save it as UTF-8 text", str(error))) from None


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _rows(source: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every row with a cell that is not empty."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda mark: _n_known(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"{source}:{start}:1: {error}; expected cells separated by {separator!r}") from None


def _n_known(names: Sequence[str]) -> int:
    return sum(column_of(name) is not None for name in names)


def column_of(name: str) -> str | None:
    """Return the sheet's column that a heading means, or None."""
    bare = folded(re.sub(r"\(.*?\)|\[.*?\]", "", unicodedata.normalize("NFKC", name)))
    return next((column for column, others in COLUMNS.items() if bare in map(folded, (column, *others))), None)


def _columns(source: str, line: int, header: Sequence[str]) -> dict[int, str]:
    """Return the sheet's column at each place of the header; columns of other names are left out."""
    places: dict[int, str] = {}
    for place, name in enumerate(header):
        column = column_of(name)
        if column is None:
            continue
        if column in places.values():
            raise TableError(
                f"{source}:{line}:{place + 1}: {name.strip()!r}: a second column of {column}; leave one out"
            )
        places[place] = column
    for column in NEEDED:
        if column not in places.values():
            left = [name.strip() for place, name in enumerate(header) if place not in places and name.strip()]
            near = nearest(column, left)
            hint = f"is it {near!r}? rename it" if near else f"expected {' | '.join([*COLUMNS][:8])}"
            raise TableError(f"{source}:{line}:1: no column {column!r}; {hint}")
    return places


def _joined(cells: list[str], places: Mapping[int, str], width: int) -> list[str]:
    """Return a row with its layer sizes in one cell again, where the separator parted them.

    That is ``6, 2`` without quotes in a file parted by commas: as many cells too many as there are layers beyond one.
    """
    at = {column: place for place, column in places.items()}
    n_more, start = len(cells) - width, at["# neurons"]
    parts = [cell.strip() for cell in cells[start : start + n_more + 1]]
    if n_more < 1 or not all(re.fullmatch(r"[0-9]+", part) for part in parts):
        return cells
    before = at.get("# hidden layers", width) < start
    if before and cells[at["# hidden layers"]].strip() != str(n_more + 1):
        return cells
    return [*cells[:start], ", ".join(parts), *cells[start + n_more + 1 :]]


def _row(source: str, line: int, given: list[str], places: Mapping[int, str], width: int) -> SheetRow:
    cells = _joined(given, places, width)
    named = {column: (place + 1, cells[place]) for place, column in places.items() if place < len(cells)}
    row = _Reading(source, line, named)
    if any(cell.strip() for cell in cells[width:]):
        message = say(
            '{n_cells} cells, and the header has {width}; write layer sizes in one quoted cell, "6, 2"',
            n_cells=len(cells),
            width=width,
        )
        row.refuse("# neurons", CellError(message, say("more cells than the header has")))
    dataset = row.read(
        "data type", lambda text: sheet_cells.name(text, DATASETS, say("two blobs, XOR, circle or spiral"))
    )
    activation = row.read("activation", lambda text: sheet_cells.name(text, ACTIVATIONS, ", ".join(ACTIVATIONS)))
    epochs = row.read(
        "epochs", lambda text: sheet_cells.whole(text, 1, MOST_EPOCHS, say(" (so many are trained here)"))
    )
    noise = _share(row, "noise", NOISE, 0.0, 0.8)
    share = _share(row, "training share", TRAIN_SHARE, 0.1, 0.9)
    n_train = count_training_points(PAGE_DATASETS[dataset or "xor"].n_samples, share or TRAIN_SHARE)
    batch_size = row.read("batch size", lambda text: sheet_cells.whole(text, 1, n_train, say(" training points")))
    if batch_size is not None and batch_size > MAX_BATCH_SIZE:
        row.notes.append(
            say(
                "the page's slider ends at batches of {max_batch_size}; its address takes {batch_size}",
                max_batch_size=MAX_BATCH_SIZE,
                batch_size=batch_size,
            )
        )
    hidden, rate = _hidden(row), _rate(row)
    claimed = {column: _loss(row, column) for column in LOSSES}
    setting = None
    if all(one.column in LOSSES for one in row.troubles):
        assert dataset and activation and batch_size and epochs and share  # noqa: PT018 (each left a trouble if None)
        assert hidden is not None
        assert noise is not None
        setting = Setting(dataset, activation, batch_size, hidden, epochs, rate, noise, share)
    return SheetRow(source, line, row.text("data type"), setting, claimed, tuple(row.troubles), tuple(row.notes))


def _hidden(row: _Reading) -> tuple[int, ...] | None:
    """Return the units of each layer, held against the number of layers where the row gives it."""
    text, layers = row.text("# neurons"), None
    if row.text("# hidden layers"):
        layers = row.read(
            "# hidden layers", lambda cell: sheet_cells.whole(cell, 0, MAX_HIDDEN_LAYERS, say(" of the page"))
        )
        if layers is None:
            return None
    if not text and layers != 0:
        row.refuse("# neurons", sheet_cells.missing(say('units by layer, as in "6, 2"')))
        return None
    hidden = row.read("# neurons", lambda cell: sheet_cells.sizes(cell, MAX_HIDDEN_LAYERS, MAX_UNITS))
    if hidden is None or layers is None or len(hidden) == layers:
        return hidden
    if len(hidden) == 1 and layers > 1:
        message = say(
            '{text!r} with {layers} hidden layers; expected the units of each, as in "6, 2"', text=text, layers=layers
        )
        row.refuse("# neurons", CellError(message, say("one number for several layers")))
        return None
    row.notes.append(
        say("says {layers} hidden layers and lists {n_hidden}; trained as listed", layers=layers, n_hidden=len(hidden))
    )
    return hidden


def _rate(row: _Reading) -> float | None:
    if not row.text("learning rate"):
        return None
    rate = row.read("learning rate", sheet_cells.positive)
    if rate is not None and rate not in LEARNING_RATES:
        row.notes.append(say("the page's menu has no learning rate {rate:g}; its address takes it", rate=rate))
    return rate


def _share(row: _Reading, column: str, default: float, low: float, high: float) -> float | None:
    if not row.text(column):
        return default
    return row.read(column, lambda text: sheet_cells.fraction(text, low, high))


def _loss(row: _Reading, column: str) -> Claimed | str:
    try:
        return sheet_cells.loss(row.text(column), LARGEST_LOSS)
    except CellError as error:
        row.refuse(column, error)
        return error.message
