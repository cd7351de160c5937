"""A setting as it is trained: with its seeds, its looks, and how it may end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.records.events import Scalar, Stage
from sweeps.search.pruners import Rival
from sweeps.spec.dimensions import LENGTH
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
    rivals : tuple of Rival
        Trials on the same draws, at whose epochs training ends if it is surely worse than they were there.
    level : float
        Of a certificate's test.
    rounds : tuple of int
        Numbers of seeds after which its stage is judged: where it is decided then, it ends there.
    changed : str or None
        See `analysis.records.study.TrialRecord`.
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
    rivals: tuple[Rival, ...] = ()
    level: float = 0.0
    rounds: tuple[int, ...] = ()
    changed: str | None = None

    @property
    def cuts(self) -> tuple[int, ...]:
        """The rounds that come before the end."""
        return tuple(sorted(cut for cut in self.rounds if cut < len(self.seeds)))

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of seeds before the end of each piece; one piece where stopping looks at all replicas together."""
        n = len(self.seeds)
        cuts = () if self.stops_early else (*range(CHUNK, n, CHUNK), *self.cuts)
        return (*sorted(set(cuts)), n)

    @property
    def n_chunks(self) -> int:
        """Pieces that can be trained apart."""
        return len(self.ends)

    def chunk(self, i: int) -> tuple[str, ...]:
        """Return the seeds of piece `i`."""
        ends = self.ends
        return self.seeds[ends[i - 1] if i else 0 : ends[i]]

    def after(self, n: int) -> Setting:
        """Return the setting of its first `n` seeds, which are a whole number of its pieces."""
        return dataclasses.replace(self, seeds=self.seeds[:n])


def looks_of(spec: SweepSpec, params: Mapping[str, Scalar]) -> tuple[int, ...]:
    """Return the epochs at which a setting is looked at: the spec's grid, up to where the setting ends."""
    length = int(params.get(LENGTH) or spec.epochs.max_epochs)
    return tuple(epoch for epoch in spec.epochs.grid if epoch <= length)


def search_setting(
    spec: SweepSpec,
    number: int,
    params: Mapping[str, Scalar],
    seeds: tuple[str, ...],
    *,
    source: int | None = None,
    stage: Stage = "search",
    prune_above: tuple[tuple[int, float], ...] = (),
    rivals: tuple[Rival, ...] = (),
) -> Setting:
    """Return a trial that is looked at on the spec's grid of epochs and may stop early."""
    grid = looks_of(spec, params)
    return Setting(
        stage, number, source, dict(params), seeds, grid, stops_early=True, prune_above=prune_above, rivals=rivals
    )
