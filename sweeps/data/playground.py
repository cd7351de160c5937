"""The Playground's sets: drawn exactly as the page draws them."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.records.study import Study
from analysis.statistics.ranges import Box
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.playground.draws import FEATURES, PageDraws, draw, expand
from engine.playground.page import page_url
from engine.playground.page_settings import page_state_of
from engine.playground.registry import DATASETS, lowest_loss
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.source import STREAM_BEYOND, STREAM_WEIGHTS, Configured, Draws, mean_loss
from sweeps.fields import number, read_fields, texts, whole
from sweeps.store.seeds import text_seed
from sweeps.toml import SpecError, SpecTable, check_name, shown

STREAM_SEEDS = 10


N_PAGE_SEEDS = 100_000


@dataclass(frozen=True, slots=True)
class PlaygroundData:
    """One of the Playground's datasets.

    Parameters
    ----------
    noise : float
        As a fraction, 0 to 0.8 (the page's slider divided by 100 ends at 0.5; exercise sheets go beyond it).
    train_share : float
        Share of the points that are trained on.
    stretch : float
        How far beyond the training range the out-of-range points reach.
    n_beyond : int
        Points drawn for that; those inside the training box are left out.
    features : tuple of str
        Inputs, by the page's names.
    """

    noise: float = number(0.0, 0.8)
    train_share: float = number(0.1, 0.9)
    stretch: float = number(1.0, 1000.0, open_low=True)
    n_beyond: int = whole(1, 100_000)
    features: tuple[str, ...] = texts()

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return {**dataclasses.asdict(self), "features": list(self.features)}

    def without_folders(self) -> PlaygroundData:
        """Return itself: no file of the user's is named."""
        return self


def parse_playground_data(table: SpecTable) -> PlaygroundData:
    """Read the keys of a ``kind = "playground"`` dataset.

    Raises
    ------
    SpecError
        If a value will not do.
    """
    data = read_fields(PlaygroundData, table)
    for feature in data.features:
        check_name(feature, FEATURES, f"{table.where}: features")
    if not data.features or tuple(f for f in FEATURES if f in data.features) != data.features:
        raise SpecError(
            f"{table.where}: features: {shown(data.features)} must be some of {', '.join(FEATURES)}, in this order"
        )
    return data


class PlaygroundSource:
    """One of the Playground's datasets, drawn exactly as the page draws it.

    Parameters
    ----------
    asked : Asked
        What the sweep asks, with the dataset's name.
    data : PlaygroundData
        With what noise, divided how.
    """

    n_outputs = 1
    is_finite = False

    def __init__(self, asked: Asked, data: PlaygroundData) -> None:
        self._asked = asked
        self.goal = asked.below
        self.loss_name = asked.metric
        self._name = asked.name
        self._data = data
        self._loss = asked.loss
        self.n_inputs = len(data.features)
        self.floor: float | None = lowest_loss(asked.name, data.noise)
        self._cache: dict[tuple[str, ...], Draws] = {}
        self._lock = threading.Lock()

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the draws of these seeds, drawn once a process."""
        with self._lock:  # a second thread waits for the first one's draws instead of repeating them
            if seeds not in self._cache:
                self._cache[seeds] = self._draw(seeds)
            return self._cache[seeds]

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the page seeds of a search trial's replicas.

        All seeds are one permutation of the page's 100 000, fixed by the sweep's seed: searches have its beginning,
        looks at fresh draws its end, so that no draw is seen by both.
        """
        R = self._asked.n_search
        first = replicate % ((N_PAGE_SEEDS - self._n_fresh) // R) * R  # more repetitions than seeds begin again
        return _page_seeds(_seed_order(self._asked.seed)[first : first + R])

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the page seeds of a look: of what no search has, in an order of the block's own.

        Certificates have the beginning of that order and finalists its end, so that sweeps which share a block share
        their certificates' draws whatever number of finalists each has.
        """
        asked = self._asked
        n_used = asked.n_certificate + asked.n_finalist + asked.n_ablation
        pool = _seed_order(asked.seed)[N_PAGE_SEEDS - self._n_fresh :]
        known = [page_seed_number(seed) for seed in set(used)]
        free = np.random.default_rng(text_seed(block)).permutation(pool)
        free = free[~np.isin(free, known)]
        if len(free) < n_used:
            raise SpecError(
                f"{self._name}: no fresh draws left: earlier looks have had {len(known)} of {len(pool)} page seeds; "
                "give the sweep another seed and name"
            )
        if stage.endswith("certificate"):
            return _page_seeds(free[: asked.n_certificate])
        if stage == "ablation":  # the middle, which no sweep of another number of certificates' draws comes near
            last = len(free) - asked.n_finalist - asked.n_ablation
            first = max(asked.n_certificate, min(len(free) // 2, last))
            return _page_seeds(free[first : first + asked.n_ablation])
        return _page_seeds(free[len(free) - asked.n_finalist :])

    @property
    def _n_fresh(self) -> int:
        """Page seeds kept for looks at fresh draws: half of them, unless one look needs more."""
        asked = self._asked
        return max(N_PAGE_SEEDS // 2, asked.n_certificate + asked.n_finalist + asked.n_ablation)

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return all of them in one group: every draw has equally many points."""
        return (seeds,)

    def judge(
        self,
        seeds: tuple[str, ...],  # noqa: ARG002
        network: NetworkConfig,  # noqa: ARG002
        parameters: Parameters,  # noqa: ARG002
        level: float,  # noqa: ARG002
    ) -> None:
        """Return None: every replica has test points of its own."""
        return

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: the page's features need no fitting."""
        return {}

    def finish(self, study: Study, winner: Configured | None) -> None:
        """Keep nothing: the records say it all."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> str | None:
        """Return the page's address, or None; see `engine.playground.page_settings.page_state_of`."""
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
        at = {"train": page.train_points, "test": page.test_points, "out_of_range": points}
        truth = {name: dataset.conditional_mean(X, data.noise)[..., None] for name, X in at.items()}
        truth["in_range"] = truth["test"]  # the same points, of which others count
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
            floors={name: mean_loss(self._loss, truth[name], split) for name, split in splits.items()},
            training_seeds=np.array([page_seed_number(seed) for seed in seeds], np.uint64),
            initialize=lambda network: self._initialize(page, network),
        )

    def _beyond(self, seeds: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
        """Return points (R, n, 2) of which most lie beyond the range, and their labels (R, n)."""
        data = self._data
        rngs = [np.random.default_rng([self._asked.seed, STREAM_BEYOND, page_seed_number(seed)]) for seed in seeds]
        drawn = [DATASETS[self._name].beyond(rng, data.n_beyond, data.noise, data.stretch) for rng in rngs]
        return np.stack([points for points, _ in drawn]), np.stack([labels for _, labels in drawn])

    def _initialize(self, page: PageDraws, network: NetworkConfig) -> Parameters:
        if network.initializer == "playground":
            return page.initial_parameters(network.layer_sizes)
        numbers = [page_seed_number(seed) for seed in page.seeds]
        return initialize(network, [np.random.default_rng([self._asked.seed, STREAM_WEIGHTS, k]) for k in numbers])


@functools.lru_cache(maxsize=8)
def _seed_order(seed: int) -> npt.NDArray[np.int64]:
    order = np.random.default_rng([seed, STREAM_SEEDS]).permutation(N_PAGE_SEEDS)
    order.flags.writeable = False
    return order


def _page_seeds(numbers: npt.NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(f"0.{k:05d}" for k in numbers.tolist())


def page_seed_number(seed: str) -> int:
    """Return the whole number behind one of a `PlaygroundSource`'s seeds."""
    return int(seed.removeprefix("0."))


def _check(_: PlaygroundData, asked: Asked, where: str) -> None:
    """Refuse more replicas than the page has seeds."""
    n_seeds = asked.n_search + asked.n_finalist + asked.n_certificate + asked.n_ablation
    if n_seeds > N_PAGE_SEEDS:
        raise SpecError(f"{where}: needs {n_seeds} page seeds; there are {N_PAGE_SEEDS}: lower n_replicas")


KIND = Kind(
    name="playground",
    labels="numbers",
    settings=PlaygroundData,
    parse=parse_playground_data,
    open=lambda asked, data, _: PlaygroundSource(asked, data),
    check=_check,
    names=tuple(DATASETS),
    has_page=True,
    test_set="a thousand fresh draws of the page's own generator",
    out_of_range="points drawn from the set continued beyond its range, outside the box of a replica's training points",
    floor="exact, from the set's conditional mean",
)
