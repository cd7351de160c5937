"""Images of ten classes in draws of their own: scikit-learn's digits, or Fashion-MNIST, trained with any loss.

A replica is a draw of training and test images, or all have the published division. Labels are class numbers, or a
column for each class where the loss is one of numbers (1 for the image's own class, 0 for the others).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.statistics.ranges import Box
from engine.methods.losses import LOSSES
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import Draws, mean_loss
from sweeps.fields import flag, number, read_fields, whole
from sweeps.toml import SpecError

STREAM_IMAGES, STREAM_INVERTED, STREAM_PIXELS = 19, 20, 21
N_CLASSES = 10
NAMES = ("digits", "fashion_mnist")


@dataclass(frozen=True, slots=True)
class ImageData:
    """How many images a replica draws.

    Parameters
    ----------
    n_train, n_test : int
        Images trained on, and others to compare by.
    inverted : float
        Share of all images that are shown inverted, black for white, drawn anew for each replica.
    pixel_noise : float
        Standard deviation of Gaussian noise on the pixels of the test images, whose range is 1.
    published : bool
        Whether all replicas train on the same first images of the published training set and are tested with the
        first of its test set: they differ in first weights and order alone. Fashion-MNIST has 60 000 and 10 000.
    """

    n_train: int = whole(10, 60_000)
    n_test: int = whole(10, 30_000)
    inverted: float = number(0.0, 1.0, 0.0)
    pixel_noise: float = number(0.0, 10.0, 0.0)
    published: bool = flag(False)

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has; `published` only where it is set: else draws stay what they were."""
        table = dataclasses.asdict(self)
        if not self.published:
            del table["published"]
        return table

    def without_folders(self) -> ImageData:
        """Return itself: no file of the user's is named."""
        return self


def _load(name: str, published: bool) -> tuple[npt.NDArray[Any], float, npt.NDArray[np.intp], int]:
    """Return gray values (n, d), the largest there may be, classes, and how many images come before the test set's.

    Raises
    ------
    SpecError
        If a published division is asked for and there is none.
    """
    if name == "digits":
        if published:
            raise SpecError(f"{name}: published: its images have no published division; leave it out")
        from sklearn import datasets

        found = datasets.load_digits()
        return np.asarray(found.data, np.uint8), 16.0, np.asarray(found.target, np.intp), len(found.data)
    from sweeps.data.table.published import named  # brings pandas along: only for those who use it

    images = named.load_fashion_images()
    X, classes, n = images.images, images.labels, len(images.images)
    if published:
        X, classes = np.concatenate([X, images.test_images]), np.concatenate([classes, images.test_labels])
    return X.reshape(len(X), -1), 255.0, classes.astype(np.intp), n


class ImageSource(NumberedSource):
    """Images in draws of their own.

    Parameters
    ----------
    asked : Asked
        What is asked; its name says which images.
    data : ImageData
        How many.

    Raises
    ------
    FetchError, TableError
        If Fashion-MNIST cannot be had or read.
    SpecError
        If more images are asked for than there are.
    """

    is_finite = False

    def __init__(self, asked: Asked, data: ImageData) -> None:
        super().__init__(asked)
        self._data = data
        self._X, self._white, self._classes, self._n_train = _load(asked.name, data.published)
        if data.published and data.n_test > len(self._X) - self._n_train:
            raise SpecError(
                f"{asked.name}: n_test: {data.n_test} is more than the {len(self._X) - self._n_train} images published "
                "to test with; give less"
            )
        needed = data.n_train + data.n_test
        if needed > len(self._X):
            raise SpecError(
                f"{asked.name}: n_train + n_test: {needed} is more than the {len(self._X)} images there are; give less"
            )
        self.n_inputs, self.n_outputs = self._X.shape[1], N_CLASSES

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search's replicas."""
        return tuple(f"draw{k}" for k in self._search_numbers(1, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look's replicas."""
        return tuple(f"draw{k}" for k in self._fresh_numbers(stage, block, {int(seed[4:]) for seed in used}))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float) -> None:  # noqa: ARG002
        """Return None: every replica has test images of its own."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return each replica's images and first weights."""
        numbers = [int(seed[4:]) for seed in seeds]
        n, m = self._data.n_train, self._data.n_test
        rows = self._rows(numbers)
        train, test = self._split(rows[:, :n]), self._split(rows[:, n:])
        if self._data.inverted > 0:
            coins = np.stack([self._rng(STREAM_INVERTED, k).random(n + m) < self._data.inverted for k in numbers])
            train, test = _inverted(train, coins[:, :n]), _inverted(test, coins[:, n:])
        if self._data.pixel_noise > 0:
            z = np.stack([self._rng(STREAM_PIXELS, k).normal(size=test.X.shape[1:]) for k in numbers])
            test = Split(np.asarray(test.X + self._data.pixel_noise * z, test.X.dtype), test.y)
        inside = Box.fit(train.X).contains(test.X)
        splits = {
            "train": train,
            "test": test,
            "in_range": Split(test.X, test.y, inside.astype(np.float64)),
            "out_of_range": Split(test.X, test.y, (~inside).astype(np.float64)),
        }
        scores = self._constant(train.y)
        return Draws(
            seeds=seeds,
            train=train,
            test=test,
            in_range=splits["in_range"],
            out_of_range=splits["out_of_range"],
            n_in_range=np.resize(inside.sum(axis=1), len(seeds)),
            n_out_of_range=np.resize((~inside).sum(axis=1), len(seeds)),
            constant={
                name: np.resize(
                    mean_loss(
                        self._asked.loss,
                        np.broadcast_to(scores[:, None, :], (len(scores), one.y.shape[1], N_CLASSES)).copy(),
                        one,
                    ),
                    len(seeds),
                )
                for name, one in splits.items()
            },
            floors=None,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
        )

    def _rows(self, numbers: list[int]) -> npt.NDArray[np.intp]:
        """Return which images each replica trains on and, after them, is tested with; one row where all share them."""
        n, m = self._data.n_train, self._data.n_test
        if self._data.published:
            return np.concatenate([np.arange(n), self._n_train + np.arange(m)])[None]
        rngs = [self._rng(STREAM_IMAGES, k) for k in numbers]
        return np.stack([rng.permutation(len(self._X))[: n + m] for rng in rngs])

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self._asked.seed, stream, number])

    def _split(self, rows: npt.NDArray[np.intp]) -> Split:
        classes = self._classes[rows]
        dtype = np.dtype(self._asked.dtype)
        X = np.asarray(self._X[rows] / self._white, dtype)
        if LOSSES[self._asked.loss].targets == "classes":
            return Split(X, classes[..., None].astype(dtype))
        return Split(X, np.eye(N_CLASSES, dtype=dtype)[classes])

    def _constant(self, y: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Return the scores of a predictor that knows the classes' shares alone, (R, classes)."""
        kind = LOSSES[self._asked.loss]
        columns = y if y.shape[2] > 1 else y == np.arange(N_CLASSES)
        shares: npt.NDArray[np.float64] = np.asarray(columns, np.float64).mean(axis=1)
        return shares if kind.targets == "numbers" else np.asarray(np.log(np.maximum(shares, 1e-12)))


def _inverted(split: Split, where: npt.NDArray[np.bool_]) -> Split:
    return Split(np.where(where[..., None], 1 - split.X, split.X), split.y)


def _check(data: ImageData, asked: Asked, where: str) -> None:
    """Refuse a search on images that its finalists and certificates would be tested with as well.

    Raises
    ------
    SpecError
        If all replicas share the published division.
    """
    if data.published:
        raise SpecError(
            f"{where}: datasets: {asked.name}: published: a search's certificates would have the test images that it "
            'has seen; leave it out, or use kind = "fashion_mnist"'
        )


KIND = Kind(
    name="images",
    settings=ImageData,
    parse=lambda table: read_fields(ImageData, table),
    open=lambda asked, data, _: ImageSource(asked, data),
    check=_check,
    test_set="images of the same set that the replica did not train on",
    out_of_range="test images with a pixel beyond the training images' box",
    floor="not known",
    names=NAMES,
    describe=lambda data: (
        "all replicas have the published division."
        if data.published
        else "each replica draws its own training and test images."
    ),
)
