"""Where a trial's data come from: draws of any kind of dataset, in the one form that trials are trained on."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from analysis.records.study import Stage, Study
from analysis.statistics.ranges import Box
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.methods.losses import LOSSES
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.playground.draws import Draws as PageDraws
from engine.playground.draws import draw, expand
from engine.playground.floors import lowest_loss
from engine.playground.page import page_state_of, page_url
from engine.playground.registry import DATASETS
from engine.splits import Split
from sweeps.spec import N_PAGE_SEEDS, DatasetSpec, PlaygroundData, SweepSpec

STREAM_SEEDS = 10
STREAM_BEYOND = 12
STREAM_WEIGHTS = 13

Losses = dict[str, npt.NDArray[np.float64]]
Measure = Callable[[NetworkConfig, Parameters], Losses]
"""Gives the losses that count, (R,) by split, of R trained networks."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Data and first weights of R replicas.

    Parameters
    ----------
    seeds : tuple of str
        One a replica; they fix everything here.
    train, test : Split
        What is trained on, and what trials are compared by.
    in_range, out_of_range : Split
        The test points inside the box of the replica's training inputs, and points beyond the range outside of it;
        weight 0 marks those that do not count.
    n_in_range, n_out_of_range : ndarray (R,) of int
        Points that count.
    constant : dict of str to ndarray (R,)
        Loss of the constant predictor (the mean training label) by split; NaN without points.
    floors : dict of str to ndarray (R,), or None
        Loss of the conditional mean on the same points by split, if it is known.
    training_seeds : ndarray (R,) of uint64
        Keys of the engine's streams (order, dropout, noise).
    initialize : callable
        First weights of a network, (R, ...) arrays.
    measure : callable or None
        What trials are measured by; None: the mean of the loss that is trained on, on every split.
    """

    seeds: tuple[str, ...]
    train: Split
    test: Split
    in_range: Split
    out_of_range: Split
    n_in_range: npt.NDArray[np.int64]
    n_out_of_range: npt.NDArray[np.int64]
    constant: Losses
    floors: Losses | None
    training_seeds: npt.NDArray[np.uint64]
    initialize: Callable[[NetworkConfig], Parameters]
    measure: Measure | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """Every split by name."""
        return {"train": self.train, "test": self.test, "in_range": self.in_range, "out_of_range": self.out_of_range}


class Source(Protocol):
    """A dataset as trials see it."""

    n_inputs: int
    n_outputs: int
    floor: float | None
    """Lowest expected test loss of any predictor, where it is known."""
    loss_name: str
    """What trials are compared by; lower is better."""
    is_finite: bool
    """Whether there is no more than a table of rows: its test rows are for certificates, and looked at once by each."""

    @property
    def goal(self) -> float:
        """What the loss must stay below: training and test loss, or the latter alone where the rows are finite."""

    def seed_block(self, stage: Stage, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a stage's replicas.

        Parameters
        ----------
        stage : str
            See `analysis.records.study.TrialRecord`; no two stages share what their seeds draw.
        replicate : int
            0 for the draws that all trials share, i for the i-th repetition of a trial.
        """

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return the seeds in their order, divided into replicas that can train together."""

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the draws of one group; each replica's depends on its own seed only."""

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters) -> dict[str, Any] | None:
        """Return what a certificate's networks make of the test rows together, or None where each has its own."""

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:
        """Return, as JSON values, what a certificate's networks need besides themselves to predict new rows."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> str | None:
        """Return the address of the Playground page that opens this setting, or None where it cannot be expressed."""

    def finish(self, study: Study) -> None:
        """Keep beside a study with a verdict whatever else its report needs."""


class PlaygroundSource:
    """One of the Playground's datasets, drawn exactly as the page draws it.

    Parameters
    ----------
    spec : SweepSpec
        The sweep, for its seed and loss.
    dataset : DatasetSpec
        Which dataset, with what noise.
    """

    n_outputs = 1
    is_finite = False

    def __init__(self, spec: SweepSpec, dataset: DatasetSpec) -> None:
        if not isinstance(dataset.data, PlaygroundData):
            raise TypeError(f"{dataset.name}: not one of the Playground's datasets")
        self._spec = spec
        self.goal = spec.goal.below
        self.loss_name = spec.goal.metric
        self._name = dataset.name
        self._data = dataset.data
        self._loss = str(dict(spec.training).get("loss", TrainingConfig().loss))
        self.n_inputs = len(dataset.data.features)
        self.floor: float | None = lowest_loss(dataset.name, dataset.data.noise)
        self._cache: dict[tuple[str, ...], Draws] = {}
        self._lock = threading.Lock()

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the draws of these seeds, drawn once a process."""
        with self._lock:  # a second thread waits for the first one's draws instead of repeating them
            if seeds not in self._cache:
                self._cache[seeds] = self._draw(seeds)
            return self._cache[seeds]

    def seed_block(self, stage: Stage, replicate: int = 0) -> tuple[str, ...]:
        """Return the page seeds of a stage's replicas.

        All seeds are one permutation of the page's 100 000, fixed by the sweep's seed: certificates have its end,
        finalists what comes before, and searches its beginning, so that no draw is seen by two of them.
        """
        spec, order = self._spec, _seed_order(self._spec.seed)
        n_certificates, n_finalists = spec.certificates.n_replicas, spec.finalists.n_replicas
        n_search = N_PAGE_SEEDS - n_certificates - n_finalists
        if stage in ("certificate", "page_certificate"):
            block = order[n_search + n_finalists :]
        elif stage in ("finalist", "page_finalist"):
            block = order[n_search : n_search + n_finalists]
        else:
            R = spec.search.n_replicas
            first = replicate % (n_search // R) * R  # more repetitions than seeds begin again
            block = order[first : first + R]
        return tuple(f"0.{k:05d}" for k in block.tolist())

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return all of them in one group: every draw has equally many points."""
        return (seeds,)

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters) -> None:  # noqa: ARG002
        """Return None: every replica has test points of its own."""
        return

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: the page's features need no fitting."""
        return {}

    def finish(self, study: Study) -> None:
        """Keep nothing: the records say it all."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> str | None:
        """Return the page's address, or None; see `engine.playground.page.page_state_of`."""
        data = self._data
        state = page_state_of(network, training, self._name, data.noise, data.train_share, seed, data.features)
        return None if state is None else page_url(state)

    def _draw(self, seeds: tuple[str, ...]) -> Draws:
        data, dataset = self._data, DATASETS[self._name]
        page = draw(self._name, data.noise, data.train_share, seeds, data.features)
        box = Box.fit(page.train_points)
        inside = box.contains(page.test_points)
        points, labels = self._beyond(page.seeds)
        outside = ~box.contains(points)
        test = page.test
        out_of_range = Split(expand(points, data.features), labels[..., None], outside.astype(np.float64))
        in_range = Split(test.X, test.y, inside.astype(np.float64))
        splits = {"train": page.train, "test": test, "in_range": in_range, "out_of_range": out_of_range}
        at = dict.fromkeys(splits, page.test_points) | {"train": page.train_points, "out_of_range": points}
        mean_label = page.train.y.mean(axis=1, keepdims=True)
        return Draws(
            seeds=seeds,
            train=page.train,
            test=test,
            in_range=in_range,
            out_of_range=out_of_range,
            n_in_range=inside.sum(axis=1),
            n_out_of_range=outside.sum(axis=1),
            constant={
                name: mean_loss(self._loss, np.broadcast_to(mean_label, split.y.shape), split)
                for name, split in splits.items()
            },
            floors={
                name: mean_loss(self._loss, dataset.conditional_mean(at[name], data.noise)[..., None], split)
                for name, split in splits.items()
            },
            training_seeds=np.array([page_seed_number(seed) for seed in seeds], np.uint64),
            initialize=lambda network: self._initialize(page, network),
        )

    def _beyond(self, seeds: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
        """Return points (R, n, 2) of which most lie beyond the range, and their labels (R, n)."""
        data = self._data
        rngs = [np.random.default_rng([self._spec.seed, STREAM_BEYOND, page_seed_number(seed)]) for seed in seeds]
        drawn = [DATASETS[self._name].beyond(rng, data.n_beyond, data.noise, data.stretch) for rng in rngs]
        return np.stack([points for points, _ in drawn]), np.stack([labels for _, labels in drawn])

    def _initialize(self, page: PageDraws, network: NetworkConfig) -> Parameters:
        if network.initializer == "playground":
            return page.initial_parameters(network.layer_sizes)
        numbers = [page_seed_number(seed) for seed in page.seeds]
        return initialize(network, [np.random.default_rng([self._spec.seed, STREAM_WEIGHTS, k]) for k in numbers])


@functools.lru_cache(maxsize=8)
def _seed_order(seed: int) -> npt.NDArray[np.int64]:
    order = np.random.default_rng([seed, STREAM_SEEDS]).permutation(N_PAGE_SEEDS)
    order.flags.writeable = False
    return order


def page_seed_number(seed: str) -> int:
    """Return the whole number behind one of a `PlaygroundSource`'s seeds."""
    return int(seed.removeprefix("0."))


def mean_loss(loss: str, predictions: FloatArray, split: Split) -> npt.NDArray[np.float64]:
    """Return the mean loss of predictions (R, n, 1) over the points of a split that count; NaN without points."""
    losses = LOSSES[loss].value(np.asarray(predictions), split.y)
    if split.weight is None:
        return np.asarray(losses.mean(axis=1), np.float64)
    n = split.weight.sum(axis=1)
    return np.where(n > 0, (losses * split.weight).sum(axis=1) / np.maximum(n, 1), np.nan)


def join_draws(draws: list[Draws]) -> Draws:
    """Put the replicas of several draws side by side, for their records.

    The points are the first draws' alone: those of a thousand replicas take room, and need not be equally many.
    """
    first = draws[0]
    if len(draws) == 1:
        return first
    return dataclasses.replace(
        first,
        seeds=tuple(seed for one in draws for seed in one.seeds),
        n_in_range=np.concatenate([one.n_in_range for one in draws]),
        n_out_of_range=np.concatenate([one.n_out_of_range for one in draws]),
        constant={name: np.concatenate([one.constant[name] for one in draws]) for name in first.constant},
        floors=None
        if first.floors is None
        else {name: np.concatenate([one.floors[name] for one in draws if one.floors]) for name in first.floors},
        training_seeds=np.concatenate([one.training_seeds for one in draws]),
    )


def join_parameters(parameters: list[Parameters]) -> Parameters:
    """Put the replicas of several parameters side by side."""
    slopes = [one.slopes for one in parameters if one.slopes is not None]
    return Parameters(
        [np.concatenate(layers) for layers in zip(*(one.weights for one in parameters), strict=True)],
        [np.concatenate(layers) for layers in zip(*(one.biases for one in parameters), strict=True)],
        np.concatenate(slopes) if slopes else None,
    )
