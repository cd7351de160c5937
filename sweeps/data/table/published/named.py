"""Datasets that run by name: fetched once where they are large, bundled where they are small."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.published.fetching import DataFile, get_file
from sweeps.data.table.published.idx import read_idx
from sweeps.data.table.reading import read_table
from sweeps.data.table.table import Table, TableError

HOUSE_TRAIN = DataFile(
    "ames/kaggle_house_pred_train.csv",
    "http://d2l-data.s3-accelerate.amazonaws.com/kaggle_house_pred_train.csv",
    460_676,
    "1e18addf81e5e4d347cc17ee6075bbe4a42b7fa26b9e5b063e8f692a5f929d41",
)
HOUSE_TEST = DataFile(
    "ames/kaggle_house_pred_test.csv",
    "http://d2l-data.s3-accelerate.amazonaws.com/kaggle_house_pred_test.csv",
    451_405,
    "8fdd3d829d4d986b58f845c9553b225e67dd8383624d90fb6ca1d4bed5798c1e",
)


def _fashion(name: str, n_bytes: int, sha256: str) -> DataFile:
    address = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    return DataFile(f"fashion_mnist/{name}", address + name, n_bytes, sha256)


FASHION = (
    _fashion(
        "train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    _fashion("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    _fashion(
        "t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    _fashion("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NamedData:
    """The tables of a named dataset.

    Parameters
    ----------
    rows : Table
        Rows with their targets.
    test : Table or None
        The published test rows; their target may be missing (house prices).
    """

    rows: Table
    test: Table | None = None


@dataclass(frozen=True, slots=True)
class NamedSet:
    """One dataset that runs by name.

    Parameters
    ----------
    name : str
        Key in `NAMED_SETS`.
    target : str
        Column to predict.
    words : str
        What it is, where it comes from and under which terms, for the report.
    load : callable
        Returns its tables; raises `FetchError` or `TableError`.
    """

    name: str
    target: str
    words: str
    load: Callable[[], NamedData]


@dataclass(frozen=True, slots=True)
class FashionImages:
    """Fashion-MNIST as it was published.

    Parameters
    ----------
    images, test_images : ndarray (60000, 28, 28), (10000, 28, 28) of uint8
        Gray values, 0 to 255.
    labels, test_labels : ndarray (60000,), (10000,) of uint8
        Index into `FASHION_CLASSES`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.uint8]


def load_fashion_images() -> FashionImages:
    """Return Fashion-MNIST's images, fetched on first use.

    Raises
    ------
    FetchError, TableError
        If a file cannot be had or read.
    """
    return FashionImages(*(read_idx(get_file(file)) for file in FASHION))


def _load_fashion_mnist() -> NamedData:
    data = load_fashion_images()
    digests = "".join(file.sha256 for file in FASHION)

    def table(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Table:
        names = [f"pixel_{row}_{column}" for row in range(28) for column in range(28)]
        frame = pd.DataFrame(images.reshape(len(images), -1).astype(np.int16), columns=names)
        frame["kind"] = pd.Series([FASHION_CLASSES[label] for label in labels.tolist()], dtype=object)
        return _table("fashion_mnist", frame, hashlib.sha256(digests.encode()).hexdigest())

    return NamedData(table(data.images, data.labels), table(data.test_images, data.test_labels))


def _load_house_prices() -> NamedData:
    rows, test = read_table(get_file(HOUSE_TRAIN)), read_table(get_file(HOUSE_TEST))
    if [*rows.frame.columns] != [*test.frame.columns, "SalePrice"]:
        raise TableError(f"{test.source}: not the columns of {rows.source} without SalePrice")
    return NamedData(rows, test)


def _load_perceptron() -> NamedData:
    return NamedData(read_table(Path(__file__).parent / "rows" / "perceptron.csv"))


def _load_bundled(name: str, target: str) -> NamedData:
    """Return one of the sets that scikit-learn installs."""
    from sklearn import datasets

    if name == "diabetes":
        found: Any = datasets.load_diabetes(scaled=False)  # its own units: scaling is the folds' business
    else:
        found = getattr(datasets, f"load_{name}")()
    frame = pd.DataFrame(found.data, columns=[str(column) for column in found.feature_names])
    values = found.target
    if name in ("breast_cancer", "iris", "wine"):
        values = pd.Series([str(found.target_names[k]) for k in found.target.tolist()], dtype=object)
    frame[target] = values
    digest = hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode()).hexdigest()
    return NamedData(_table(name, frame, digest))


def _table(source: str, frame: pd.DataFrame, sha256: str) -> Table:
    return Table(
        frame=frame,
        source=source,
        sha256=sha256,
        encoding=None,
        separator=None,
        decimal=None,
        lines=np.arange(1, len(frame) + 1),
        notes=(),
    )


def _bundled(name: str, target: str, what: str) -> NamedSet:
    words = f"{what}, as scikit-learn installs it"
    return NamedSet(name, target, words, lambda: _load_bundled(name, target))


NAMED_SETS: Mapping[str, NamedSet] = MappingProxyType(
    {
        one.name: one
        for one in (
            _bundled(
                "diabetes", "progression", "diabetes progression of 442 patients after a year (Efron et al. 2004)"
            ),
            _bundled("breast_cancer", "diagnosis", "569 Wisconsin breast tumours, malignant or benign"),
            _bundled("digits", "digit", "1797 handwritten digits of 8 x 8 pixels"),
            _bundled("wine", "cultivar", "178 wines of three cultivars"),
            _bundled("iris", "species", "150 irises of three species"),
            NamedSet(
                "house_prices",
                "SalePrice",
                "1460 houses of Ames, Iowa, with their prices and 1459 without (D. De Cock, Journal of Statistics "
                "Education 19(3), 2011; for academic use, cite it)",
                _load_house_prices,
            ),
            NamedSet(
                "fashion_mnist",
                "kind",
                "60000 + 10000 pictures of clothes, 28 x 28 pixels (Zalando SE, MIT licence)",
                _load_fashion_mnist,
            ),
            NamedSet(
                "perceptron",
                "y",
                "200 points of y = sin(1.5 x) + 0.3 x + N(0, 0.1²), x uniform in [-3, 3], made for this project",
                _load_perceptron,
            ),
        )
    }
)
"""Named datasets, in the order in which they are listed."""
