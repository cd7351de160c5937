"""What a lesson does with a cell where that is not training its network: a name and its settings for each work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sweeps.fields import read_fields, text, whole
from sweeps.spec.samplers import SAMPLERS
from sweeps.toml import SpecError, SpecTable, shown

Work = Any
"""Settings of one work: an instance of a class in `WORKS`."""


@dataclass(frozen=True, slots=True)
class SearchWork:
    """Search the main job's space, each replica a search of its own; looks are numbers of trials.

    Parameters
    ----------
    sampler : str
        Name of a sampler; ``"grid"`` has three levels a dimension in random order.
    n_draws : int
        Replicas of a trial.
    n_startup : int
        Quasi-random trials before an adaptive sampler takes over.
    """

    sampler: str = text(SAMPLERS)
    n_draws: int = whole(2, 1000)
    n_startup: int = whole(0, 1000)


WORKS: Mapping[str, type] = MappingProxyType({"search": SearchWork})
"""By name; `sweeps.run.works` has the functions."""


def parse_work(name: str, table: Mapping[str, Any], where: str) -> Work:
    """Return a cell's work.

    Raises
    ------
    SpecError
        If a setting is unknown, missing or out of range.
    """
    settings = SpecTable(dict(table), f"{where}: work")
    work = read_fields(WORKS[name], settings)
    settings.close()
    return work


def check_work(name: str, table: Mapping[str, Any], where: str) -> None:
    """Refuse settings of no work, and those that it has not.

    Raises
    ------
    SpecError
        As `parse_work`.
    """
    if name:
        parse_work(name, table, where)
    elif table:
        raise SpecError(f"{where}: work: {shown(sorted(table))} are settings of a work; name it with work = NAME")
