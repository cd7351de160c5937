"""Data published with an exercise, as trials see them: the perceptron homework's points and Fashion-MNIST."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import Stage, Study
from analysis.statistics.intervals import wilson
from analysis.statistics.ranges import Box
from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.methods.initializers import initialize
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.memory import available_bytes
from engine.splits import Split
from sweeps.data.published.named import NAMED_SETS, FashionImages, load_fashion_images
from sweeps.published_spec import FashionData, PerceptronData
from sweeps.sources import STREAM_BEYOND, STREAM_WEIGHTS, Draws, Losses, mean_loss
from sweeps.spec import SweepSpec
from sweeps.store.seeds import text_seed

STREAM_FRESH = 17
STREAM_ROWS = 18
FIRST_FINALIST, FIRST_CERTIFICATE = 2_000_000, 3_000_000
"""Numbers of replicas: a search's begin lower, so that no two stages share one."""
PERCEPTRON_RANGE, PERCEPTRON_NOISE = 3.0, 0.1
MOST_MEASURED = 10_000
"""Training images that a training loss is measured on."""


def perceptron_truth(x: FloatArray) -> FloatArray:
    """Return the conditional mean of the perceptron homework's stand-in: sin(1.5 x) + 0.3 x."""
    return np.asarray(np.sin(1.5 * x) + 0.3 * x)


class _Published:
    """What both sources share: numbered replicas, of which each stage has its own, and no Playground page."""

    n_outputs = 1
    floor: float | None = None

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self.goal = spec.goal.below
        self.loss_name = spec.goal.metric

    def _block(self, stage: Stage, first: int, replicate: int) -> range:
        spec = self._spec
        if stage in ("certificate", "page_certificate"):
            return range(FIRST_CERTIFICATE, FIRST_CERTIFICATE + spec.certificates.n_replicas)
        if stage in ("finalist", "page_finalist"):
            return range(FIRST_FINALIST, FIRST_FINALIST + spec.finalists.n_replicas)
        R = spec.search.n_replicas
        return range(first + replicate * R, first + (replicate + 1) * R)

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return all of them in one group."""
        return (seeds,)

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: inputs need no fitting."""
        return {}

    def finish(self, study: Study) -> None:
        """Keep nothing: the records say it all."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> None:  # noqa: ARG002
        """Return None: the Playground page has no such data."""
        return

    def _keys(self, seeds: tuple[str, ...]) -> npt.NDArray[np.uint64]:
        """Return the keys of the replicas' orders: another sweep's seed gives other orders."""
        return np.array([text_seed(self._spec.seed, seed) for seed in seeds], np.uint64)

    def _initialize(self, numbers: list[int], network: NetworkConfig) -> Parameters:
        return initialize(network, [np.random.default_rng([self._spec.seed, STREAM_WEIGHTS, k]) for k in numbers])


class PerceptronSource(_Published):
    """The perceptron homework's points, divided by a permutation of each replica's own.

    A replica's seed is ``"split<k>"``: the first part of ``numpy.random.RandomState(k).permutation(n)`` is trained on,
    the rest tested with. A certificate's is ``"fresh<k>"``: trained on the same part, tested on points drawn from the
    rule behind the data, so that nothing it is tested with was seen in any split.

    Parameters
    ----------
    spec : SweepSpec
        The sweep, for its seed and loss.
    data : PerceptronData
        The division.
    """

    n_inputs = 1
    is_finite = False

    def __init__(self, spec: SweepSpec, data: PerceptronData) -> None:
        super().__init__(spec)
        self._data = data
        self._loss = str(dict(spec.training).get("loss", TrainingConfig().loss))
        frame = NAMED_SETS["perceptron"].load().rows.frame
        self._x, self._y = frame["x"].to_numpy(np.float64), frame["y"].to_numpy(np.float64)
        if self._loss == "mse":
            self.floor = PERCEPTRON_NOISE**2

    def seed_block(self, stage: Stage, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a stage's replicas."""
        name = "fresh" if stage.endswith("certificate") else "split"
        return tuple(f"{name}{k}" for k in self._block(stage, self._data.first_split, replicate))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters) -> None:  # noqa: ARG002
        """Return None: each network is tested on points of its own."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the points of these replicas."""
        numbers = [int(seed[5:]) for seed in seeds]
        n = len(self._x)
        n_train = round(n * self._data.train_share)
        orders = np.stack([np.random.RandomState(k).permutation(n) for k in numbers])
        train = self._points(orders[:, :n_train])
        beyond = self._drawn(numbers, STREAM_BEYOND, self._data.stretch)
        fresh = seeds[0].startswith("fresh")
        test = self._drawn(numbers, STREAM_FRESH, 1.0) if fresh else self._points(orders[:, n_train:])
        box = Box.fit(train.X)
        inside, outside = box.contains(test.X), ~box.contains(beyond.X)
        splits = {
            "train": train,
            "test": test,
            "in_range": Split(test.X, test.y, inside.astype(np.float64)),
            "out_of_range": Split(beyond.X, beyond.y, outside.astype(np.float64)),
        }
        constant = train.y.mean(axis=1, keepdims=True)
        return Draws(
            seeds=seeds,
            train=train,
            test=test,
            in_range=splits["in_range"],
            out_of_range=splits["out_of_range"],
            n_in_range=inside.sum(axis=1),
            n_out_of_range=outside.sum(axis=1),
            constant={
                name: mean_loss(self._loss, np.broadcast_to(constant, one.y.shape), one) for name, one in splits.items()
            },
            floors={name: mean_loss(self._loss, perceptron_truth(one.X), one) for name, one in splits.items()},
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
        )

    def _points(self, rows: npt.NDArray[np.intp]) -> Split:
        return Split(self._x[rows][..., None], self._y[rows][..., None])

    def _drawn(self, numbers: list[int], stream: int, stretch: float) -> Split:
        """Return points of the rule behind the data, x uniform within `stretch` times its range."""
        rngs = [np.random.default_rng([self._spec.seed, stream, k]) for k in numbers]
        half, n = stretch * PERCEPTRON_RANGE, self._data.n_fresh
        x = np.stack([rng.uniform(-half, half, n) for rng in rngs])
        noise = np.stack([rng.normal(0.0, PERCEPTRON_NOISE, n) for rng in rngs])
        return Split(x[..., None], (perceptron_truth(x) + noise)[..., None])


class FashionSource(_Published):
    """Fashion-MNIST: pixels divided by 255, trials compared by the share of images taken for another kind.

    Seeds are ``"search<k>"``, ``"finalist<k>"`` and ``"certificate<k>"``: first weights and orders. The images are the
    same for all replicas of a stage: searches train on a subsample, finalists on all that are not for validation,
    certificates on all 60 000; certificates alone are tested with the 10 000 test images, unless everything is.

    Parameters
    ----------
    spec : SweepSpec
        The sweep, for its seed.
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

    def __init__(self, spec: SweepSpec, data: FashionData, images: FashionImages | None = None) -> None:
        super().__init__(spec)
        self._data = data
        self._images = load_fashion_images() if images is None else images
        n, height, width = self._images.images.shape
        self.n_inputs = height * width
        order = np.random.default_rng([spec.seed, STREAM_ROWS]).permutation(n)
        self._validation, self._rest = np.split(order, [data.n_validation_rows])
        self._all = order
        self._stage: tuple[str, dict[str, Split], npt.NDArray[np.bool_]] | None = None
        self._lock = threading.Lock()

    def seed_block(self, stage: Stage, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a stage's replicas."""
        name = stage.removeprefix("page_")
        return tuple(f"{name}{k}" for k in self._block(stage, 0, replicate))

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

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters) -> dict[str, Any]:
        """Return what a certificate's networks make of the test images.

        The units are the images: each has the share of the networks that take it for another kind. Shares vary less
        than the ones and noughts for which Wilson's bound is made, so that it is a cautious one.

        Returns
        -------
        dict
            ``n_rows``; ``value``: mean share of wrong images; ``bound``: the highest it may be, one-sided at ``level``;
            ``ensemble``: the share that the networks' mean probabilities get wrong; ``goal``; ``passed``.
        """
        split = self.draws(seeds).test
        outputs, y = predict(network, parameters, split.X), split.y[0, :, 0]
        finite = np.asarray(np.isfinite(outputs).all(axis=2))
        wrong = ~finite | (outputs.argmax(axis=2) != y)
        scores = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        together = np.where(finite[..., None], scores / scores.sum(axis=2, keepdims=True), 0.0).mean(axis=0)
        certificates = self._spec.certificates
        level = certificates.level / certificates.n
        bound = wilson(math.ceil(wrong.mean(axis=0).sum()), len(y), 1 - 2 * level).high  # its upper end, one-sided
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
