"""Activation functions with their derivatives, one record each.

Codes for the compiled road: linear 0, step 1, sigmoid 2, tanh 3, relu 4, leaky_relu 5, prelu 6, elu 7, gelu 8, silu 9,
softplus 10. ``Z`` is the weighted input of a layer, ``A = function(Z, slope)`` its output, `slope` the activation's
free number (`NetworkConfig.activation_slope`): a float, or for a network with learnt slopes an array (R, 1, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from engine.network import FloatArray

Slope = float | FloatArray


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation function.

    Parameters
    ----------
    name : str
        Key in `ACTIVATIONS`.
    code : int
        What the compiled road calls it; `engine.methods.codes.UNCOMPILED` where it has no form there.
    function : callable (Z, slope) -> A
        The function, element by element, in the type of Z.
    derivative : callable (Z, A, slope) -> dA/dZ
        Its derivative; at a kink the value PyTorch takes.
    default_slope : float
        The slope where the network's `activation_slope` is None; 0 where there is no free number.
    has_slope : bool
        Whether the free number means anything.
    learns_slope : bool
        Whether the slope is a parameter of the network, one for each hidden layer.
    refusal : str
        Why a network with this activation cannot be trained; empty where it can.
    """

    name: str
    code: int
    function: Callable[[FloatArray, Slope], FloatArray]
    derivative: Callable[[FloatArray, FloatArray, Slope], FloatArray]
    default_slope: float = 0.0
    has_slope: bool = False
    learns_slope: bool = False
    refusal: str = ""


def _linear(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001 (one signature for all)
    return Z


def _linear_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.ones_like(Z)


def _step(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return (Z > 0).astype(Z.dtype)


def _step_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.zeros_like(Z)


def _sigmoid(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.asarray(1 / (1 + np.exp(-Z)))  # exp may overflow to inf, which gives the right 0


def _sigmoid_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return A * (1 - A)


def _tanh(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.asarray(np.tanh(Z))


def _tanh_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return 1 - A * A


def _relu(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.asarray(np.maximum(Z, 0))


def _relu_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return (Z > 0).astype(Z.dtype)


def _leaky_relu(Z: FloatArray, slope: Slope) -> FloatArray:
    if isinstance(slope, float) and 0 < slope <= 1:  # the larger one is the same one, found 15 times as fast
        return np.asarray(np.maximum(Z, Z * slope))
    return np.where(Z > 0, Z, Z * slope)


def _leaky_relu_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.where(Z > 0, Z.dtype.type(1), np.asarray(slope, dtype=Z.dtype))


def _elu(Z: FloatArray, slope: Slope) -> FloatArray:
    return np.where(Z > 0, Z, slope * np.expm1(Z))


def _elu_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:
    return np.where(Z > 0, Z.dtype.type(1), A + slope)


def _normal_cdf(Z: FloatArray) -> FloatArray:
    from scipy.special import erf  # a quarter of a second that only GELU needs

    return np.asarray(0.5 * (1 + erf(Z * 0.7071067811865476)), dtype=Z.dtype)


def _gelu(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return Z * _normal_cdf(Z)


def _gelu_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.asarray(_normal_cdf(Z) + Z * (np.exp(-0.5 * Z * Z) * 0.3989422804014327))


def _silu(Z: FloatArray, slope: Slope) -> FloatArray:
    return Z * _sigmoid(Z, slope)


def _silu_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:
    gate = _sigmoid(Z, slope)
    return gate + A * (1 - gate)


def _softplus(Z: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return np.asarray(np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z))))


def _softplus_derivative(Z: FloatArray, A: FloatArray, slope: Slope) -> FloatArray:  # noqa: ARG001
    return _sigmoid(Z, slope)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        record.name: record
        for record in (
            Activation("linear", 0, _linear, _linear_derivative),
            Activation(
                "step",
                1,
                _step,
                _step_derivative,
                refusal="its derivative is 0 everywhere, so no gradient reaches a weight",
            ),
            Activation("sigmoid", 2, _sigmoid, _sigmoid_derivative),
            Activation("tanh", 3, _tanh, _tanh_derivative),
            Activation("relu", 4, _relu, _relu_derivative),
            Activation("leaky_relu", 5, _leaky_relu, _leaky_relu_derivative, default_slope=0.01, has_slope=True),
            Activation(
                "prelu",
                6,
                _leaky_relu,
                _leaky_relu_derivative,
                default_slope=0.25,
                has_slope=True,
                learns_slope=True,
            ),
            Activation("elu", 7, _elu, _elu_derivative, default_slope=1.0, has_slope=True),
            Activation("gelu", 8, _gelu, _gelu_derivative),
            Activation("silu", 9, _silu, _silu_derivative),
            Activation("softplus", 10, _softplus, _softplus_derivative),
        )
    }
)
"""Every activation by name: linear; step (1 above 0, else 0; forward only); sigmoid; tanh; relu (derivative 0 at 0);
leaky_relu and prelu (derivative `slope` at 0); elu; gelu (the exact one, with the error function); silu; softplus."""
