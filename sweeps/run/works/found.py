"""What a work is asked, and what it finds."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig
from sweeps.data.source import Draws

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A cell whose work is not training its network alone.

    Parameters
    ----------
    dataset : str
        Its name.
    network, training : NetworkConfig, TrainingConfig
        What the cell's settings mean.
    draws : Draws
        Its data, R replicas.
    looks : tuple of int
        The design's.
    cancel : threading.Event
        Set when the work shall end.
    """

    dataset: str
    network: NetworkConfig
    training: TrainingConfig
    draws: Draws
    looks: tuple[int, ...]
    cancel: threading.Event


@dataclass(frozen=True, slots=True)
class Found:
    """What a work found.

    Parameters
    ----------
    measured : dict of str to ndarray (R,)
        By name; NaN where nothing was found.
    losses : dict of str to ndarray (L, R)
        What has a course, at each of `looks`.
    looks : tuple of int
        Steps of that course.
    seconds : list of float
        What each replica took, where time is measured.
    """

    measured: dict[str, FloatArray]
    losses: dict[str, FloatArray] = field(default_factory=dict)
    looks: tuple[int, ...] = (0,)
    seconds: list[float] = field(default_factory=list)

    @property
    def n_replicas(self) -> int:
        """Number of replicas R."""
        return len(next(iter(self.measured.values())))
