"""The perceptron homework's points, divided anew for each replica."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import STREAM_BEYOND, Draws, draws_of_a_rule
from sweeps.fields import number, read_fields, whole


@dataclass(frozen=True, slots=True)
class PerceptronData:
    """200 points (x, y) and the homework's division of them: 80 % after a seeded permutation are trained on.

    Parameters
    ----------
    first_split : int
        Seed of the first replica's permutation; the next ones follow. 10 is the homework's.
    train_share : float
        Share of the points that are trained on.
    stretch : float
        How far beyond the points' range the out-of-range points reach.
    n_fresh : int
        Points drawn from the rule behind the data for out of range, and for certificates to be tested on.
    """

    first_split: int = whole(0, 1_000_000)
    train_share: float = number(0.1, 0.9)
    stretch: float = number(1.0, 1000.0, open_low=True)
    n_fresh: int = whole(1, 100_000)

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)

    def without_folders(self) -> PerceptronData:
        """Return itself: no file of the user's is named."""
        return self


STREAM_FRESH = 17
PERCEPTRON_RANGE, PERCEPTRON_NOISE = 3.0, 0.1


def perceptron_truth(x: FloatArray) -> FloatArray:
    """Return the conditional mean of the perceptron homework's stand-in: sin(1.5 x) + 0.3 x."""
    return np.asarray(np.sin(1.5 * x) + 0.3 * x)


class PerceptronSource(NumberedSource):
    """The perceptron homework's points, divided by a permutation of each replica's own.

    A replica's seed is ``"split<k>"``: the first part of ``numpy.random.RandomState(k).permutation(n)`` is trained on,
    the rest tested with. A certificate's is ``"fresh<k>"``: trained on the same part, tested on points drawn from the
    rule behind the data, so that nothing it is tested with was seen in any split.

    Parameters
    ----------
    asked : Asked
        What the sweep asks.
    data : PerceptronData
        The division.
    """

    n_inputs = 1
    is_finite = False

    def __init__(self, asked: Asked, data: PerceptronData) -> None:
        from sweeps.data.table.published.named import NAMED_SETS  # brings pandas along: only for those who use it

        super().__init__(asked)
        self._data = data
        self._loss = asked.loss
        frame = NAMED_SETS["perceptron"].load().rows.frame
        self._x, self._y = frame["x"].to_numpy(np.float64), frame["y"].to_numpy(np.float64)
        if self._loss == "mse":
            self.floor = PERCEPTRON_NOISE**2

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search trial's replicas."""
        return tuple(f"split{k}" for k in self._search_numbers(self._data.first_split, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look; see `NumberedSource`."""
        name = "split" if stage.endswith("finalist") else "fresh"
        return tuple(f"{name}{k}" for k in self._fresh_numbers(stage, block, [int(seed[5:]) for seed in used]))

    def judge(
        self,
        seeds: tuple[str, ...],  # noqa: ARG002
        network: NetworkConfig,  # noqa: ARG002
        parameters: Parameters,  # noqa: ARG002
        level: float,  # noqa: ARG002
    ) -> None:
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
        is_fresh = seeds[0].startswith("fresh")

        def fresh() -> Split:
            return self._drawn(numbers, STREAM_FRESH, 1.0)

        draws = draws_of_a_rule(
            seeds,
            train,
            fresh() if is_fresh else self._points(orders[:, n_train:]),
            beyond,
            loss=self._loss,
            truth=perceptron_truth,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
        )
        return dataclasses.replace(draws, fresh=fresh)

    def _points(self, rows: npt.NDArray[np.intp]) -> Split:
        return Split(self._x[rows][..., None], self._y[rows][..., None])

    def _drawn(self, numbers: list[int], stream: int, stretch: float) -> Split:
        """Return points of the rule behind the data, x uniform within `stretch` times its range."""
        rngs = [np.random.default_rng([self._asked.seed, stream, k]) for k in numbers]
        half, n = stretch * PERCEPTRON_RANGE, self._data.n_fresh
        x = np.stack([rng.uniform(-half, half, n) for rng in rngs])
        noise = np.stack([rng.normal(0.0, PERCEPTRON_NOISE, n) for rng in rngs])
        return Split(x[..., None], (perceptron_truth(x) + noise)[..., None])


KIND = Kind(
    name="perceptron",
    labels="numbers",
    settings=PerceptronData,
    parse=lambda table: read_fields(PerceptronData, table),
    open=lambda asked, data, _: PerceptronSource(asked, data),
    test_set="points drawn afresh from the rule behind the data",
    out_of_range="points of that rule beyond a replica's training points, up to `stretch` times their range",
    floor="the variance of the noise, under mse",
    describe=lambda _: (
        "the loss is the mean squared error. Every draw divides the same 200 points anew; certificates train on such a "
        "division and are tested on fresh points of the rule behind the data."
    ),
)
