"""What a lesson does with a cell where that is not training its network: a name and its settings for each work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sweeps.fields import number, read_fields, text, whole
from sweeps.spec.samplers import SAMPLERS
from sweeps.toml import SpecError, SpecTable, shown

WORK_PREFIX = "work."
CMAES = "cmaes"
"""A sampler that no sweep has: its state is in no log."""
Work = Any
"""Settings of one work: an instance of a class in `WORKS`."""


@dataclass(frozen=True, slots=True)
class SearchWork:
    """Search the main job's space, or that of images, each replica a search of its own; looks are numbers of trials.

    Parameters
    ----------
    sampler : str
        Name of a sampler, or ``"cmaes"``; ``"grid"`` has three levels a dimension in random order.
    n_draws : int
        Replicas of a trial.
    n_startup : int
        Quasi-random trials before an adaptive sampler takes over.
    max_epochs : int
        Longest training of a trial.
    below : float
        A trial has certified grade if the upper bounds of its mean training and test loss are below it.
    """

    sampler: str = text((*SAMPLERS, CMAES))
    n_draws: int = whole(2, 1000)
    n_startup: int = whole(0, 1000)
    max_epochs: int = whole(1, 10_000, 100)
    below: float = number(0.0, 1e6, 0.1, open_low=True)


@dataclass(frozen=True, slots=True)
class FitWork:
    """Fit one model to each replica's training points.

    Parameters
    ----------
    model : str
        ``"neighbours"``, ``"kernel_ridge"`` (Gaussian kernel), ``"network_kernel"`` (ridge regression with the kernel
        of a network of `n_units` at its start), or ``"network"``: the cell's network, trained up to its last look.
    k : int
        Neighbours.
    distance : str
        ``"euclidean"`` or ``"manhattan"``, of neighbours.
    width : float
        Of the Gaussian kernel.
    ridge : float
        Added to a kernel's diagonal, over its mean.
    n_units : int
        Of the network whose kernel it is.
    """

    model: str = text(("neighbours", "kernel_ridge", "network_kernel", "network"))
    k: int = whole(1, 1000, 1)
    distance: str = text(("euclidean", "manhattan"), "euclidean")
    width: float = number(0.0, 1e6, 1.0, open_low=True)
    ridge: float = number(0.0, 1e6, 0.0)
    n_units: int = whole(1, 100_000, 512)


@dataclass(frozen=True, slots=True)
class SpeedWork:
    """Time one epoch of the cell's network, trained by one implementation on one thread.

    Parameters
    ----------
    implementation : str
        ``"engine"`` (ours), ``"pytorch"`` or ``"sklearn"``.
    """

    implementation: str = text(("engine", "pytorch", "sklearn"))


@dataclass(frozen=True, slots=True)
class ProductWork:
    """Time products of two square matrices.

    Parameters
    ----------
    size : int
        Rows.
    """

    size: int = whole(1, 10_000)


@dataclass(frozen=True, slots=True)
class FoldsWork:
    """Cross-validate the cell's network on each replica's training points.

    Parameters
    ----------
    k : int
        Folds.
    """

    k: int = whole(2, 100)


WORKS: Mapping[str, type] = MappingProxyType(
    {"search": SearchWork, "fit": FitWork, "speed": SpeedWork, "product": ProductWork, "folds": FoldsWork}
)
"""By name; `sweeps.run.works` has the functions."""


def work_table(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a cell's work."""
    return {key.removeprefix(WORK_PREFIX): value for key, value in settings.items() if key.startswith(WORK_PREFIX)}


def parse_work(name: str, table: Mapping[str, Any], where: str) -> Work:
    """Return a cell's work.

    Raises
    ------
    SpecError
        If a setting is unknown, missing or out of range.
    """
    settings = SpecTable(dict(table), f"{where}: work")
    work: Work = read_fields(WORKS[name], settings)
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
