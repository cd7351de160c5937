"""Which road of the engine runs: a static rule of shape, configuration and type, never a choice of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.network import NetworkConfig
    from engine.training import TrainingConfig

Road = Literal["compiled", "numpy"]
WIDEST_COMPILED = 64


def choose_road(network: NetworkConfig, training: TrainingConfig, n_samples: int) -> Road:  # noqa: ARG001
    """Return the road for a training.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how.
    n_samples : int
        Number of training points.

    Returns
    -------
    str
        ``"compiled"`` where no layer is wider than `WIDEST_COMPILED` and the compiled loop knows the configuration;
        ``"numpy"`` else: beyond that width BLAS is faster.
    """
    if max(network.layer_sizes) > WIDEST_COMPILED:
        return "numpy"
    from engine import kernels  # Numba takes half a second to import: only for narrow networks

    return "compiled" if kernels.supports(network, training) else "numpy"


def choose_evaluation_road(network: NetworkConfig, loss: str) -> Road:
    """Return the road for an evaluation without training: the same rule.

    Parameters
    ----------
    network : NetworkConfig
        What is evaluated.
    loss : str
        Name in `engine.losses.LOSSES`.
    """
    from engine.training import TrainingConfig

    return choose_road(network, TrainingConfig(loss=loss, order="fixed"), 1)
