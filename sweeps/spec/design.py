"""A lesson's design: a list of settings, crossed and paired, with what is measured of each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_WHERE_ASKED = ("work", "curves", "arrays", "data_full", "trace", "cross_full", "keep_best")
"""Fields of a design that its header has only where the design asks for them: older ones keep their digests."""


@dataclass(frozen=True, slots=True)
class Design:
    """One design of a lesson: cells are every combination of levels, crossed, with every row of `paired`.

    Parameters
    ----------
    name : str
    n_replicas : int
        Draws that all cells share.
    looks : tuple of int
        Epochs at which losses are measured, the last one being the length of training.
    target : float
        Loss that counts as reached.
    targets : dict of str to float
        Of datasets that have another one.
    scales : bool
        Whether a quick or full run changes replicas and length.
    held : bool
        Whether all replicas have the first one's data, and differ in their first weights alone.
    splits : tuple of str
        Where losses are measured.
    probes : tuple of str
        See `sweeps.spec.measured.PROBES`.
    data : dict
        The kind of data and its settings.
    work : str
        What is done with a cell where that is not training its network: a name in `sweeps.spec.works.WORKS`, whose
        settings are the cell's ``work.`` keys. Empty: the network is trained.
    curves : tuple of str
        Probes that are asked at every look.
    arrays : tuple of str
        See `sweeps.spec.measured.ARRAYS`.
    data_full : dict
        Settings of the data that a full run has instead.
    fixed : dict
        Settings that all cells share, by spec key.
    cross : dict of str to list
        Levels by key: ``"dataset"``, ``"data.<field>"``, or a spec key.
    paired : list of dict
        Rows of settings that vary together.
    trace : tuple of str
        Of `PROBES`, `PATH_PROBES` and `LAYER_PROBES` what is measured at every look as well.
    cross_full : dict of str to list
        Levels that a full run has instead.
    keep_best : bool
        Whether the cell that is best on every second replica is trained again at the end and its networks kept.
    """

    name: str
    n_replicas: int
    looks: tuple[int, ...]
    target: float
    targets: dict[str, float]
    scales: bool
    held: bool
    splits: tuple[str, ...]
    probes: tuple[str, ...]
    data: dict[str, Any]
    fixed: dict[str, Any]
    cross: dict[str, list[Any]]
    paired: list[dict[str, Any]]
    work: str = ""
    curves: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    data_full: dict[str, Any] = dataclasses.field(default_factory=dict)
    trace: tuple[str, ...] = ()
    cross_full: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    keep_best: bool = False

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that the file has."""
        table = {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}
        return {key: value for key, value in table.items() if value or key not in _WHERE_ASKED}

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield the settings of each cell, the last factor fastest."""
        for row in self.paired or [{}]:
            for levels in itertools.product(*self.cross.values()):
                yield {**row, **dict(zip(self.cross, levels, strict=True))}

    @property
    def keys(self) -> list[str]:
        """Every key that the design sets."""
        return list(dict.fromkeys([*self.cross, *(key for row in self.paired for key in row), *self.fixed]))
