"""Where training stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.network import Parameters


@dataclass(slots=True)
class TrainingState:
    """Where the training of R replicas stands; training goes on from it bit for bit.

    Parameters
    ----------
    parameters : Parameters
        Current weights and biases.
    moments : tuple of Parameters
        Optimizer state: as many as the optimizer keeps (0, 1 or 2), shaped like `parameters`.
    pending : Parameters
        Gradient sums carried over from the last epoch (``partial_batch="carry"``), else zeros.
    n_pending : int
        Examples behind `pending`.
    dead : list of bool ndarray, shaped like the weights
        Links that the Playground's L1 has killed.
    epoch : int
        Epochs done.
    n_updates : int
        Updates done (Adam's bias correction).
    seeds : ndarray (R,) of uint64
        Each replica's key of the counter-based stream that shuffles, drops out and adds noise. With the epoch it
        fixes every number drawn, so nothing else has to be kept.
    diverged_at : ndarray (R,) of int
        First epoch after which a parameter was not finite, or -1. A diverged replica harms no other.
    """

    parameters: Parameters
    moments: tuple[Parameters, ...]
    pending: Parameters
    n_pending: int
    dead: list[npt.NDArray[np.bool_]]
    epoch: int
    n_updates: int
    seeds: npt.NDArray[np.uint64]
    diverged_at: npt.NDArray[np.int64]
