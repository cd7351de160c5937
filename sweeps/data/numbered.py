"""What data published with an exercise share: numbered replicas, of which each stage has its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.records.study import Study
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from sweeps.data.asked import Asked
from sweeps.data.source import STREAM_WEIGHTS, Configured
from sweeps.store.seeds import text_seed

FIRST_FINALIST, FIRST_CERTIFICATE, FIRST_ABLATION = 1_000_000_000, 2_000_000_000, 3_000_000_000
"""Numbers of replicas: a search's are lower, so that no two stages share one; all fit a 32-bit seed."""
_N_FRESH = 900_000_000


class NumberedSource:
    """What sources of published data share: numbered replicas, each stage its own, and no Playground page."""

    n_outputs = 1
    floor: float | None = None

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.goal = asked.below
        self.loss_name = asked.metric

    def _search_numbers(self, first: int, replicate: int) -> range:
        n = self._asked.n_search
        return range(first + replicate * n, first + (replicate + 1) * n)

    def _fresh_numbers(self, stage: Stage, block: str, used: Collection[int]) -> range:
        """Return numbers of a stage's own at a place that the block sets, the next such place where one is used."""
        n, known, k = self._asked.n_replicas(stage), set(used), 0
        first = FIRST_CERTIFICATE if stage.endswith("certificate") else FIRST_FINALIST
        if stage == "ablation":
            first = FIRST_ABLATION
        while True:
            start = first + text_seed(block, k) % (_N_FRESH - n)
            numbers = range(start, start + n)
            if known.isdisjoint(numbers):
                return numbers
            k += 1

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return all of them in one group."""
        return (seeds,)

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: inputs need no fitting."""
        return {}

    def finish(self, study: Study, winner: Configured | None) -> None:
        """Keep nothing: the records say it all."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> None:  # noqa: ARG002
        """Return None: the Playground page has no such data."""
        return

    def _keys(self, seeds: tuple[str, ...]) -> npt.NDArray[np.uint64]:
        """Return the keys of the replicas' orders: another sweep's seed gives other orders."""
        return np.array([text_seed(self._asked.seed, seed) for seed in seeds], np.uint64)

    def _initialize(self, numbers: list[int], network: NetworkConfig) -> Parameters:
        return initialize(network, [np.random.default_rng([self._asked.seed, STREAM_WEIGHTS, k]) for k in numbers])
