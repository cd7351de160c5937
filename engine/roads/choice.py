"""Which road of the engine runs: a static rule of shape, configuration and type, never a choice of the user.

The compiled road keeps 16 replicas in a vector and is the faster one while a layer's weights, 16 times over, stay near
the processor; BLAS takes one network at a time and gains on large matrices. Measured on one core with 16 replicas, the
compiled road takes 0.02 (batch 32, one hidden layer of 100) to 0.6 (batch 128, layers 128-128) of NumPy's time up to
the limit; above it, 784-256-10 with one network, NumPy is faster than PyTorch (`docs/performance.md`). The number of
replicas is no part of the rule, because a replica's result must not depend on it: a single network near the limit would
be some times faster on NumPy.
"""

from __future__ import annotations

from typing import Literal

from engine.configuration import TrainingConfig
from engine.network import NetworkConfig

Road = Literal["compiled", "numpy"]
MOST_WEIGHTS_COMPILED = 2**15
MOST_INPUTS_COMPILED = 2**25
"""Numbers in a replica's points: the compiled road lays them out for 16 replicas at once, in 128 bytes a number."""


def choose_road(
    network: NetworkConfig, training: TrainingConfig, *, n_samples: int = 1, is_weighted: bool = False
) -> Road:
    """Return the road for a training.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how.
    n_samples : int
        Number of training points.
    is_weighted : bool
        Whether the training points have weights.

    Returns
    -------
    str
        ``"compiled"`` where no layer has more than `MOST_WEIGHTS_COMPILED` weights, the points have at most
        `MOST_INPUTS_COMPILED` numbers, the compiled loop knows the configuration, and all points count the same;
        ``"numpy"`` else.
    """
    too_many = n_samples * network.n_inputs > MOST_INPUTS_COMPILED
    if is_weighted or too_many or network.most_weights > MOST_WEIGHTS_COMPILED:
        return "numpy"
    from engine.roads.compiled import session  # Numba takes half a second to import: only for small layers

    return "compiled" if session.supports(network, training) else "numpy"


def choose_evaluation_road(network: NetworkConfig, loss: str) -> Road:
    """Return the road for an evaluation without training: the same rule.

    Parameters
    ----------
    network : NetworkConfig
        What is evaluated.
    loss : str
        Name in `engine.methods.losses.LOSSES`.
    """
    return choose_road(network, TrainingConfig(loss=loss, order="fixed"))
