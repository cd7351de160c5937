"""What is measured of each hidden layer while a network trains: its outputs, its gradient, its dead units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from sweeps.run.textbook_probes import layers
from sweeps.run.trained import Trained

FloatArray = npt.NDArray[np.float64]
LayerProbe = Callable[[Trained], list[FloatArray]]


def _rms(values: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt((values**2).mean(axis=(1, 2))))


def output_size(trained: Trained) -> list[FloatArray]:
    """Return the root mean square of each hidden layer's outputs at the training points, (R,) a layer."""
    return [_rms(A) for A, _ in layers(trained.network, trained.parameters, trained.draws.train.X)]


def gradient_size(trained: Trained) -> list[FloatArray]:
    """Return the root mean square of the training loss's gradient by each hidden layer's weights, (R,) a layer.

    Of the mean loss of the training points with their own labels, without penalty and without dropout, in float64 by
    hand: read off a step, a gradient far below its weights would round to 0.
    """
    network, split, loss = trained.network, trained.draws.train, LOSSES[trained.loss]
    weights = [W.astype(np.float64) for W in trained.parameters.weights]
    X, y = np.asarray(split.X, np.float64), np.asarray(split.y, np.float64)
    hidden = layers(network, trained.parameters, X)
    outputs = [X, *(A for A, _ in hidden)]
    last = ACTIVATIONS[network.output_activation]
    Z = outputs[-1] @ weights[-1] + trained.parameters.biases[-1].astype(np.float64)[:, None, :]
    A = np.asarray(last.function(Z, last.default_slope), np.float64)
    upstream = loss.gradient(A, y) * last.derivative(Z, A, last.default_slope)
    if split.weight is not None:
        weight = np.asarray(split.weight, np.float64).reshape(*X.shape[:2], 1)
        upstream = upstream * weight * X.shape[1] / weight.sum(axis=1, keepdims=True)
    sizes: list[FloatArray] = []
    for i in range(len(hidden) - 1, -1, -1):
        upstream = (upstream @ weights[i + 1].swapaxes(1, 2)) * hidden[i][1]
        sizes.append(_rms(outputs[i].swapaxes(1, 2) @ upstream / X.shape[1]))
    return sizes[::-1]


def _at_points(trained: Trained) -> list[tuple[FloatArray, FloatArray]]:
    return layers(trained.network, trained.parameters, trained.draws.train.X)


def layer_mean(trained: Trained) -> list[FloatArray]:
    """Return the mean of each hidden layer's outputs over units and training points, (R,) a layer."""
    return [np.asarray(A.mean(axis=(1, 2))) for A, _ in _at_points(trained)]


def layer_variance(trained: Trained) -> list[FloatArray]:
    """Return each hidden layer's variance over the training points, mean over its units, (R,) a layer."""
    return [np.asarray(A.var(axis=1).mean(axis=1)) for A, _ in _at_points(trained)]


def layer_dead(trained: Trained) -> list[FloatArray]:
    """Return the share of each hidden layer's units whose derivative is 0 at every training point, (R,) a layer."""
    return [np.asarray((D == 0).all(axis=1).mean(axis=1), np.float64) for _, D in _at_points(trained)]


LAYER_PROBE_FUNCTIONS: Mapping[str, LayerProbe] = MappingProxyType(
    {one.__name__: one for one in (output_size, gradient_size, layer_mean, layer_variance, layer_dead)}
)
"""By the names of `sweeps.spec.measured.LAYER_PROBES`."""
