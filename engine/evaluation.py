"""What trained networks say about points, and how wrong they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.choice import Road, choose_evaluation_road
from engine.splits import Split


def mean_losses(
    network: NetworkConfig, parameters: Parameters, split: Split, loss: str, *, road: Road | None = None
) -> npt.NDArray[np.float64]:
    """Return the mean loss of each replica on its points, without penalty and without dropout.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    parameters : Parameters
        Of R replicas; their type is the type of the arithmetic.
    split : Split
        Points, targets and, if any, weights. Points of weight 0 do not count; a replica whose weights are all 0 gets
        NaN.
    loss : str
        Name in `engine.methods.losses.LOSSES`.
    road : str or None
        ``"compiled"`` or ``"numpy"``; None means the static rule `engine.roads.choice.choose_evaluation_road`.

    Returns
    -------
    ndarray (R,) of float64
        The sum over points runs in float64 on either road.
    """
    if (road or choose_evaluation_road(network, loss)) == "compiled":
        from engine.roads.compiled import session  # Numba takes half a second to import: only for those who use it

        return session.mean_losses(network, parameters, split, loss)
    from engine.roads import plain

    return plain.mean_losses(network, parameters, split, loss)


def predict(network: NetworkConfig, parameters: Parameters, X: FloatArray) -> FloatArray:
    """Return the outputs of every replica.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    parameters : Parameters
        Of R replicas; their type is the type of the arithmetic.
    X : ndarray (R or 1, n, n_inputs)
        Points; a leading axis of 1 means that all replicas share them.

    Returns
    -------
    ndarray (R, n, n_outputs)
        After the output activation; logits or scores for the losses that take them.
    """
    from engine.roads import plain

    return plain.predict(network, parameters, X)
