"""A setting as it is trained: with its seeds, its looks, and how it may end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.records.events import Scalar, Stage
from sweeps.spec.sweep import SweepSpec

CHUNK = 64
"""Replicas that are trained together where a stage has many: fixed, so that no result depends on the workers."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one record is about, before it is trained.

    Parameters
    ----------
    stage : str
        See `analysis.records.study.TrialRecord`.
    number, source : int, int or None
        Its number within the stage, and the search trial it repeats.
    params : dict
        What was chosen.
    seeds : tuple of str
        Page seeds of its replicas.
    look_at : tuple of int
        Epochs to look at.
    epochs : int or None
        The epoch that counts; None: the one with the lowest mean test loss, or what ``[epochs] counts`` says.
    stops_early : bool
        Whether the spec's stop rule holds.
    prune_above : tuple of (int, float)
        Epochs at which training ends if the lowest mean test loss so far is above the number; see
        `sweeps.search.pruners`.
    level : float
        Of a certificate's test.
    """

    stage: Stage
    number: int
    source: int | None
    params: dict[str, Scalar]
    seeds: tuple[str, ...]
    look_at: tuple[int, ...]
    epochs: int | None = None
    stops_early: bool = False
    prune_above: tuple[tuple[int, float], ...] = ()
    level: float = 0.0

    @property
    def n_chunks(self) -> int:
        """Pieces that can be trained apart; one where stopping looks at all replicas together."""
        return 1 if self.stops_early else math.ceil(len(self.seeds) / CHUNK)

    def chunk(self, i: int) -> tuple[str, ...]:
        """Return the seeds of piece `i`."""
        return self.seeds if self.n_chunks == 1 else self.seeds[i * CHUNK : (i + 1) * CHUNK]


def search_setting(
    spec: SweepSpec,
    number: int,
    params: Mapping[str, Scalar],
    seeds: tuple[str, ...],
    *,
    source: int | None = None,
    stage: Stage = "search",
    prune_above: tuple[tuple[int, float], ...] = (),
) -> Setting:
    """Return a trial that is looked at on the spec's grid of epochs and may stop early."""
    grid = spec.epochs.grid
    return Setting(stage, number, source, dict(params), seeds, grid, stops_early=True, prune_above=prune_above)
