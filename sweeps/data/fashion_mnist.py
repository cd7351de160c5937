"""Fashion-MNIST: pixels divided by 255, compared by the share of images taken for another kind."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from engine.evaluation import predict
from engine.network import NetworkConfig, Parameters
from engine.roads.memory import available_bytes
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import Draws, Losses
from sweeps.toml import SpecError, SpecTable

if TYPE_CHECKING:
    from sweeps.data.table.published.named import FashionImages


@dataclass(frozen=True, slots=True)
class FashionData:
    """Fashion-MNIST: 60 000 images to train on and 10 000 to test with.

    Parameters
    ----------
    n_search_rows : int
        Images that trials of a search train on, a subsample; 0 means all that are not for validation.
    n_validation_rows : int
        Of the 60 000, images that trials are compared by. 0: they are compared by the 10 000 test images, as the
        textbook does, which leaves none to certify with.
    """

    n_search_rows: int
    n_validation_rows: int

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)

    def without_folders(self) -> FashionData:
        """Return itself: no file of the user's is named."""
        return self


def parse_fashion_data(table: SpecTable) -> FashionData:
    """Read the keys of a ``kind = "fashion_mnist"`` dataset.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    n_validation_rows = table.integer("n_validation_rows", 0, 30_000)
    return FashionData(
        n_search_rows=table.integer("n_search_rows", 0, 60_000 - n_validation_rows),
        n_validation_rows=n_validation_rows,
    )


STREAM_ROWS = 18
MOST_MEASURED = 10_000
"""Training images that a training loss is measured on."""


class FashionSource(NumberedSource):
    """Fashion-MNIST: pixels divided by 255, trials compared by the share of images taken for another kind.

    Seeds are ``"search<k>"``, ``"finalist<k>"`` and ``"certificate<k>"``: first weights and orders. The images are the
    same for all replicas of a stage: searches train on a subsample, finalists on all that are not for validation,
    certificates on all 60 000; certificates alone are tested with the 10 000 test images, unless everything is.

    Parameters
    ----------
    asked : Asked
        What the sweep asks.
    data : FashionData
        The division.
    images : FashionImages, optional
        Default: as they were published, fetched on first use: 55 MB, and 4 bytes a pixel of the stage under way in
        float32, 220 MB for all.

    Raises
    ------
    FetchError, TableError
        If a file cannot be had or read.
    """

    n_outputs = 10
    is_finite = True

    def __init__(self, asked: Asked, data: FashionData, images: FashionImages | None = None) -> None:
        super().__init__(asked)
        self._data = data
        if images is None:
            from sweeps.data.table.published import named  # brings pandas along: only for those who use it

            images = named.load_fashion_images()
        self._images = images
        n, height, width = self._images.images.shape
        self.n_inputs = height * width
        order = np.random.default_rng([asked.seed, STREAM_ROWS]).permutation(n)
        self._validation, self._rest = np.split(order, [data.n_validation_rows])
        self._all = order
        self._stage: tuple[str, dict[str, Split], npt.NDArray[np.bool_]] | None = None
        self._lock = threading.Lock()

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search trial's replicas."""
        return tuple(f"search{k}" for k in self._search_numbers(0, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look; its images are the stage's, whatever the look."""
        name = stage.removeprefix("page_")
        known = [int(seed.removeprefix(name)) for seed in used if seed.startswith(name)]
        return tuple(f"{name}{k}" for k in self._fresh_numbers(stage, block, known))

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the images of a stage with the first weights of these replicas."""
        stage = seeds[0].rstrip("0123456789")
        numbers = [int(seed[len(stage) :]) for seed in seeds]
        with self._lock:  # a second thread waits for the first one's images instead of making them again
            if self._stage is None or self._stage[0] != stage:
                self._stage = (stage, *self._prepared(stage))
            _, splits, inside = self._stage
        R = len(seeds)
        labels = splits["train"].y[0, :, 0].astype(np.intp)
        most_common = float(np.argmax(np.bincount(labels)))
        wrong = {"train": labels != most_common, "test": splits["test"].y[0, :, 0] != most_common}
        return Draws(
            seeds=seeds,
            train=splits["train"],
            test=splits["test"],
            in_range=Split(splits["test"].X, splits["test"].y, inside[None].astype(np.float64)),
            out_of_range=Split(splits["test"].X, splits["test"].y, (~inside)[None].astype(np.float64)),
            n_in_range=np.full(R, inside.sum()),
            n_out_of_range=np.full(R, (~inside).sum()),
            constant=_by_side({name: np.tile(rows, (R, 1)) for name, rows in wrong.items()}, inside),
            floors=None,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
            measure=lambda network, parameters: _error_rates(network, parameters, splits, inside),
        )

    def judge(
        self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float
    ) -> dict[str, Any]:
        """Return what a certificate's networks make of the test images.

        The units are the images: each has the share of the networks that take it for another kind. Shares vary less
        than the ones and noughts for which Clopper and Pearson's bound is made, so that it is a cautious one.

        Returns
        -------
        dict
            ``n_rows``; ``value``: mean share of wrong images; ``bound``: the highest it may be, one-sided at ``level``;
            ``ensemble``: the share that the networks' mean probabilities get wrong; ``goal``; ``passed``.
        """
        from analysis.statistics.intervals import clopper_pearson  # SciPy takes a while: only for those who use it

        split = self.draws(seeds).test
        outputs, y = predict(network, parameters, split.X), split.y[0, :, 0]
        finite = np.asarray(np.isfinite(outputs).all(axis=2))
        wrong = ~finite | (outputs.argmax(axis=2) != y)
        scores = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        together = np.where(finite[..., None], scores / scores.sum(axis=2, keepdims=True), 0.0).mean(axis=0)
        bound = clopper_pearson(
            math.ceil(wrong.mean(axis=0).sum()), len(y), 1 - 2 * level
        ).high  # its upper end, one-sided
        if bound is None:
            raise AssertionError("no test image")
        return {
            "n_rows": len(y),
            "value": float(wrong.mean()),
            "bound": bound,
            "ensemble": float((together.argmax(axis=1) != y).mean()),
            "goal": self.goal,
            "level": level,
            "passed": bound < self.goal,
        }

    def _prepared(self, stage: str) -> tuple[dict[str, Split], npt.NDArray[np.bool_]]:
        """Return the images to train on and those to compare by, and which of the latter lie within the pixels' box."""
        images = self._images
        rows = {"search": self._rest[: self._data.n_search_rows or None], "finalist": self._rest}.get(stage, self._all)
        train, labels = images.images[rows], images.labels[rows]
        if self._data.n_validation_rows and stage != "certificate":
            test, test_labels = images.images[self._validation], images.labels[self._validation]
        else:
            test, test_labels = images.test_images, images.test_labels
        needed, free = 4 * (train.size + test.size), available_bytes()
        if needed > free:
            raise MemoryError(f"{len(train) + len(test)} images take {needed >> 20} MiB, {free >> 20} MiB are free")
        low, high = train.min(axis=0), train.max(axis=0)
        inside = ((test >= low) & (test <= high)).all(axis=(1, 2))
        return {"train": _split(train, labels), "test": _split(test, test_labels)}, inside


def _split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Split:
    X = np.multiply(images.reshape(1, len(images), -1), np.float32(1 / 255), dtype=np.float32)
    return Split(X, labels.astype(np.float32)[None, :, None])


def _error_rates(
    network: NetworkConfig, parameters: Parameters, splits: dict[str, Split], inside: npt.NDArray[np.bool_]
) -> Losses:
    wrong = {}
    for name, split in splits.items():
        X, y = (array[:, :MOST_MEASURED] for array in (split.X, split.y)) if name == "train" else (split.X, split.y)
        outputs = predict(network, parameters, X)
        # Diverged networks say nothing: their rate is not a number, and the cap counts.
        wrong[name] = np.where(np.isfinite(outputs).all(axis=2), outputs.argmax(axis=2) != y[..., 0], np.nan)
    return _by_side(wrong, inside)


def _by_side(wrong: dict[str, npt.NDArray[Any]], inside: npt.NDArray[np.bool_]) -> Losses:
    """Return the share of wrong images by split, (R,), from (R, n) of each image; NaN without images."""

    def rate(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray(rows.mean(axis=1) if rows.shape[1] else np.full(len(rows), np.nan), np.float64)

    test = wrong["test"]
    sides = {"in_range": test[:, inside], "out_of_range": test[:, ~inside]}
    return {"train": rate(wrong["train"]), "test": rate(test)} | {name: rate(rows) for name, rows in sides.items()}


def _check(data: FashionData, asked: Asked, where: str) -> None:
    """Refuse to certify on images that trials were compared by."""
    if not data.n_validation_rows and asked.max_certificates:
        raise SpecError(
            f"{where}: certificates: n: the test images serve for validation and cannot certify; give 0, or "
            "n_validation_rows"
        )


def _describe(data: FashionData) -> str:
    text = "the loss is the share of images taken for another kind; accuracy is 1 less it. "
    if n := data.n_validation_rows:
        return f"{text}Trials are compared by {n} of the 60 000 images; the test images are for certificates alone."
    return (
        f"{text}Trials are compared by the 10 000 test images, as in the textbook: their figures are no test of what "
        "was chosen by them."
    )


KIND = Kind(
    name="fashion_mnist",
    labels="classes",
    settings=FashionData,
    parse=parse_fashion_data,
    open=lambda asked, data, _: FashionSource(asked, data),
    check=_check,
    describe=_describe,
    test_set="the 10 000 test images, looked at once",
    out_of_range="test images with a pixel beyond the training images' box",
    floor="not known",
    has_ablation=False,
)
