"""What data published with an exercise share: numbered replicas, of which each stage has its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.study import Stage, Study
from engine.configuration import TrainingConfig
from engine.methods.initializers import initialize
from engine.network import NetworkConfig, Parameters
from sweeps.data.source import STREAM_WEIGHTS
from sweeps.spec.sweep import SweepSpec
from sweeps.store.seeds import text_seed

FIRST_FINALIST, FIRST_CERTIFICATE = 2_000_000, 3_000_000
"""Numbers of replicas: a search's begin lower, so that no two stages share one."""


class NumberedSource:
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
