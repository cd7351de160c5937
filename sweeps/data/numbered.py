"""What data published with an exercise share: numbered replicas, of which each stage has its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import Stage, Study
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from sweeps.data.asked import Asked
from sweeps.data.source import STREAM_WEIGHTS, Configured
from sweeps.store.seeds import text_seed

FIRST_FINALIST, FIRST_CERTIFICATE = 2_000_000, 3_000_000
"""Numbers of replicas: a search's begin lower, so that no two stages share one."""


class NumberedSource:
    """What sources of published data share: numbered replicas, each stage its own, and no Playground page."""

    n_outputs = 1
    floor: float | None = None

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.goal = asked.below
        self.loss_name = asked.metric

    def _block(self, stage: Stage, first: int, replicate: int) -> range:
        n = self._asked.n_replicas(stage)
        if stage in ("certificate", "page_certificate"):
            return range(FIRST_CERTIFICATE, FIRST_CERTIFICATE + n)
        if stage in ("finalist", "page_finalist"):
            return range(FIRST_FINALIST, FIRST_FINALIST + n)
        return range(first + replicate * n, first + (replicate + 1) * n)

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
