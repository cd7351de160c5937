"""First weights and biases, one record each, drawn layer by layer from one Generator a replica.

`scale` is the initializer's free number (`NetworkConfig.initializer_scale`); biases are 0 unless stated:

zeros
    0.
constant
    `scale` (1): all units of a layer stay equal for ever.
uniform
    U(-scale, scale) (0.05).
normal
    N(0, scale**2) (0.01).
xavier_uniform (Keras' Glorot uniform)
    U(-a, a), a = sqrt(6 / (fan_in + fan_out)) [1]_, equation 16.
xavier_normal
    N(0, 2 / (fan_in + fan_out)) [1]_, equation 12.
he_uniform
    U(-a, a), a = sqrt(6 / fan_in).
he_normal
    N(0, 2 / fan_in) [2]_, equation 10.
he_truncated (Keras' He normal)
    N(0, 2 / fan_in / 0.8796...**2) cut at two of its standard deviations, so that what is left has variance 2 / fan_in.
playground
    U(-0.5, 0.5), biases 0.1.
pytorch (torch.nn.Linear's default)
    weights and biases U(-a, a), a = 1 / sqrt(fan_in).
bias_row (a homework report's)
    weights and biases N(0, 2 / (fan_in + 1 + fan_out)): the biases are one more row of the weights.

References
----------
.. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
.. [2] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.methods.activations import ACTIVATIONS
from engine.names import look_up
from engine.network import NetworkConfig, Parameters

Drawn = npt.NDArray[np.float64]
TRUNCATED_SD = 0.87962566103423978  # standard deviation of N(0, 1) cut at -2 and 2


@dataclass(frozen=True, slots=True)
class Initializer:
    """One initializer.

    Parameters
    ----------
    name : str
        Key in `INITIALIZERS`.
    weights : callable (rng, fan_in, fan_out, scale) -> (fan_in, fan_out)
        Draws the weights of one layer.
    biases : callable (rng, fan_in, fan_out) -> (fan_out,)
        Draws its biases, after its weights.
    default_scale : float or None
        `scale` where the network names none; None where there is no free number.
    """

    name: str
    weights: Callable[[np.random.Generator, int, int, float], Drawn]
    biases: Callable[[np.random.Generator, int, int], Drawn]
    default_scale: float | None = None


def _zero_biases(rng: np.random.Generator, fan_in: int, fan_out: int) -> Drawn:  # noqa: ARG001 (one signature for all)
    return np.zeros(fan_out)


def _playground_biases(rng: np.random.Generator, fan_in: int, fan_out: int) -> Drawn:  # noqa: ARG001
    return np.full(fan_out, 0.1)


def _pytorch_biases(rng: np.random.Generator, fan_in: int, fan_out: int) -> Drawn:
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, fan_out)


def _zeros(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return np.zeros((fan_in, fan_out))


def _constant(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return np.full((fan_in, fan_out), scale)


def _uniform(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:
    return rng.uniform(-scale, scale, (fan_in, fan_out))


def _normal(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:
    return rng.normal(0.0, scale, (fan_in, fan_out))


def _xavier_uniform(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _uniform(rng, fan_in, fan_out, math.sqrt(6 / (fan_in + fan_out)))


def _xavier_normal(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _normal(rng, fan_in, fan_out, math.sqrt(2 / (fan_in + fan_out)))


def _he_uniform(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _uniform(rng, fan_in, fan_out, math.sqrt(6 / fan_in))


def _he_normal(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _normal(rng, fan_in, fan_out, math.sqrt(2 / fan_in))


def _he_truncated(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    z = rng.standard_normal((fan_in, fan_out))
    while (outside := np.abs(z) > 2).any():
        z[outside] = rng.standard_normal(int(outside.sum()))
    return z * (math.sqrt(2 / fan_in) / TRUNCATED_SD)


def _pytorch(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _uniform(rng, fan_in, fan_out, 1 / math.sqrt(fan_in))


def _bias_row(rng: np.random.Generator, fan_in: int, fan_out: int, scale: float) -> Drawn:  # noqa: ARG001
    return _normal(rng, fan_in, fan_out, math.sqrt(2 / (fan_in + 1 + fan_out)))


def _bias_row_biases(rng: np.random.Generator, fan_in: int, fan_out: int) -> Drawn:
    return rng.normal(0.0, math.sqrt(2 / (fan_in + 1 + fan_out)), fan_out)


INITIALIZERS: Mapping[str, Initializer] = MappingProxyType(
    {
        record.name: record
        for record in (
            Initializer("zeros", _zeros, _zero_biases),
            Initializer("constant", _constant, _zero_biases, default_scale=1.0),
            Initializer("uniform", _uniform, _zero_biases, default_scale=0.05),
            Initializer("normal", _normal, _zero_biases, default_scale=0.01),
            Initializer("xavier_uniform", _xavier_uniform, _zero_biases),
            Initializer("xavier_normal", _xavier_normal, _zero_biases),
            Initializer("he_uniform", _he_uniform, _zero_biases),
            Initializer("he_normal", _he_normal, _zero_biases),
            Initializer("he_truncated", _he_truncated, _zero_biases),
            Initializer("playground", _uniform, _playground_biases, default_scale=0.5),
            Initializer("pytorch", _pytorch, _pytorch_biases),
            Initializer("bias_row", _bias_row, _bias_row_biases),
        )
    }
)
"""Every initializer by name."""


def initialize(network: NetworkConfig, rngs: Sequence[np.random.Generator]) -> Parameters:
    """Draw the first parameters of R replicas.

    Parameters
    ----------
    network : NetworkConfig
        Names the initializer.
    rngs : sequence of Generator, length R
        One a replica, so that a replica's numbers do not depend on how many there are.

    Returns
    -------
    engine.network.Parameters
        In float64.

    Raises
    ------
    ValueError
        If the initializer or the activation is unknown.
    """
    initializer = look_up(INITIALIZERS, network.initializer, "network.initializer")
    activation = look_up(ACTIVATIONS, network.activation, "network.activation")
    scale = network.initializer_scale if network.initializer_scale is not None else initializer.default_scale or 0.0
    sizes = network.layer_sizes
    replicas = [
        [
            (initializer.weights(rng, fan_in, fan_out, scale), initializer.biases(rng, fan_in, fan_out))
            for fan_in, fan_out in itertools.pairwise(sizes)
        ]
        for rng in rngs
    ]
    slopes = None
    if activation.learns_slope:
        first = activation.default_slope if network.activation_slope is None else network.activation_slope
        slopes = np.full((len(rngs), len(network.hidden_layer_sizes)), first, dtype=np.float64)
    return Parameters(
        weights=[np.stack([layers[i][0] for layers in replicas]) for i in range(len(sizes) - 1)],
        biases=[np.stack([layers[i][1] for layers in replicas]) for i in range(len(sizes) - 1)],
        slopes=slopes,
    )
