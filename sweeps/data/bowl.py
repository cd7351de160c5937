"""A bowl: the loss of one linear unit over its weights, sum_i h_i w_i^2 / 2, whose gradient descent has a closed form.

Points +-sqrt(d h_i) e_i with target 0 make it: their mean squares are the curvatures h_i, their means are 0, so that
the bias, of curvature 1 and started at 0, stays there but for rounding (a lesson freezes it). A full batch at
rate r takes w_i to (1 - r h_i)^t w_i.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.events import Stage
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import Draws, draws_of_a_rule
from sweeps.fields import numbers, read_fields

STREAM_START = 18


@dataclass(frozen=True, slots=True)
class BowlData:
    """A bowl over one weight or several.

    Parameters
    ----------
    curvatures : tuple of float
        Second derivative along each weight.
    """

    curvatures: tuple[float, ...] = numbers(0.0, 1e6, open_low=True)

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return {"curvatures": list(self.curvatures)}

    def without_folders(self) -> BowlData:
        """Return itself: no file of the user's is named."""
        return self


class BowlSource(NumberedSource):
    """A bowl with a start of each replica's own, at distance 1 from the bottom.

    Parameters
    ----------
    asked : Asked
        What is asked.
    data : BowlData
        Its curvatures.
    """

    is_finite = False

    def __init__(self, asked: Asked, data: BowlData) -> None:
        super().__init__(asked)
        self._loss = asked.loss
        self._curvatures = np.array(data.curvatures)
        self.n_inputs = len(data.curvatures)
        self.floor = 0.0

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search's replicas."""
        return tuple(f"start{k}" for k in self._search_numbers(1, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look's replicas."""
        return tuple(f"start{k}" for k in self._fresh_numbers(stage, block, {int(seed[5:]) for seed in used}))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float) -> None:  # noqa: ARG002
        """Return None: there are no rows to judge by."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the same points for all, and a start for each."""
        d, R = self.n_inputs, len(seeds)
        axes = np.diag(np.sqrt(d * self._curvatures))
        X = np.broadcast_to(np.concatenate([axes, -axes]), (R, 2 * d, d))
        points = Split(X, np.zeros((R, 2 * d, 1)))
        return draws_of_a_rule(
            seeds,
            points,
            points,
            Split(3.0 * X, points.y),
            loss=self._loss,
            truth=lambda x: np.zeros((*x.shape[:-1], 1)),
            training_seeds=self._keys(seeds),
            initialize=lambda _: self._starts([int(seed[5:]) for seed in seeds]),
        )

    def _starts(self, seeds: list[int]) -> Parameters:
        rngs = [np.random.default_rng([self._asked.seed, STREAM_START, k]) for k in seeds]
        starts = np.stack([rng.normal(size=self.n_inputs) for rng in rngs])
        starts /= np.linalg.norm(starts, axis=1, keepdims=True)
        return Parameters([starts[..., None]], [np.zeros((len(seeds), 1))])


KIND = Kind(
    name="bowl",
    labels="numbers",
    settings=BowlData,
    parse=lambda table: read_fields(BowlData, table),
    open=lambda asked, data, _: BowlSource(asked, data),
    test_set="the same points: what is asked is the path",
    out_of_range="the points three times as far out",
    floor="0, at the bottom",
    describe=lambda _: "the loss is that of one linear unit, a bowl over its weights.",
)
