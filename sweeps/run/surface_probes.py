"""The training loss over two weights: where a network's two trained weights are, and what the surface there looks like.

For networks of which two weights are trained and everything else is frozen: a linear unit on two inputs, or one hidden
unit between an input and an output.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from analysis.records.lesson import surface_steps
from engine.evaluation import mean_losses
from engine.network import Parameters
from engine.splits import Split
from sweeps.run.path_probes import flat
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
N_CURVED = 9
"""Places a side at which curvature is measured."""
STEP = 1e-3


def losses_at(trained: Trained, replica: int, places: FloatArray) -> FloatArray:
    """Return the training loss of one replica with its first two weights at these places.

    Parameters
    ----------
    trained : Trained
        Of one weight matrix with two weights or more, or of two of one weight each.
    replica : int
        Whose data and whose other parameters.
    places : ndarray (n, 2)

    Returns
    -------
    ndarray (n,)
    """
    own = trained.parameters.select(slice(replica, replica + 1))
    n = len(places)
    weights = [np.repeat(np.asarray(one, np.float64), n, axis=0) for one in own.weights]
    biases = [np.repeat(np.asarray(one, np.float64), n, axis=0) for one in own.biases]
    left = 2
    for matrix in weights:
        cells = matrix.reshape(n, -1)
        taken = min(left, cells.shape[1])
        cells[:, :taken] = places[:, 2 - left : 2 - left + taken]
        left -= taken
    split = trained.draws.train
    X, y = (np.broadcast_to(np.asarray(one[replica], np.float64), (n, *one.shape[1:])) for one in (split.X, split.y))
    return mean_losses(trained.network, Parameters([*weights], [*biases]), Split(X, y), trained.loss, road="numpy")


def first_weight(trained: Trained) -> FloatArray:
    """Return each replica's first weight."""
    return _weights(trained)[:, 0]


def second_weight(trained: Trained) -> FloatArray:
    """Return each replica's second weight: of the same matrix, or of the next one where that has one alone."""
    return _weights(trained)[:, 1]


def _weights(trained: Trained) -> FloatArray:
    return flat(Parameters(trained.parameters.weights, []))


def grid(steps: FloatArray) -> FloatArray:
    """Return all pairs of steps, (n * n, 2), the first one slowest."""
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def least_curvature(trained: Trained) -> FloatArray:
    """Return the smallest eigenvalue that the training loss's Hessian has anywhere on a grid over the two weights.

    Above 0 everywhere: a bowl. Central differences on `N_CURVED` x `N_CURVED` places. Replicas that share data share
    the value.
    """
    places = grid(np.linspace(surface_steps()[0], surface_steps()[-1], N_CURVED))
    X = np.asarray(trained.draws.train.X)
    R = len(X)
    shared = R > 1 and all(np.array_equal(X[0], one) for one in X[1:])
    found = [_least_eigenvalue(trained, r, places) for r in range(1 if shared else R)]
    return np.repeat(found, R) if shared else np.array(found)


def _least_eigenvalue(trained: Trained, replica: int, places: FloatArray) -> float:
    shifts = STEP * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)])
    around = (places[None] + shifts[:, None]).reshape(-1, 2)
    at = losses_at(trained, replica, around).reshape(len(shifts), -1)
    a = (at[1] - 2 * at[0] + at[2]) / STEP**2
    c = (at[3] - 2 * at[0] + at[4]) / STEP**2
    b = (at[5] + at[6] - at[7] - at[8]) / (4 * STEP**2)
    eigenvalues = (a + c) / 2 - np.sqrt(((a - c) / 2) ** 2 + b**2)
    return float(eigenvalues.min())


def loss_surface(trained: Trained) -> FloatArray:
    """Return the first replica's training loss on the grid of `surface_steps` over the two weights, row by row."""
    return losses_at(trained, 0, grid(np.array(surface_steps())))


def weights(trained: Trained) -> FloatArray:
    """Return all weights and biases of every replica, replica by replica, all weight matrices before the biases."""
    return flat(trained.parameters)


SURFACE_PROBES: Mapping[str, Probe] = MappingProxyType(
    {one.__name__: one for one in (first_weight, second_weight, least_curvature)}
)
"""By the names of `sweeps.spec.measured.PROBES`."""
