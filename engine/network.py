"""What a fully connected network is: its configuration and its parameters, with a replica axis everywhere."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """A fully connected network, described without its numbers.

    Parameters
    ----------
    n_inputs : int
        Number of input features, at least 1.
    hidden_layer_sizes : tuple of int
        Units of each hidden layer, input side first; empty means no hidden layer.
    n_outputs : int
        Number of output units, at least 1.
    activation : str
        Name in `engine.methods.activations.ACTIVATIONS`, for every hidden layer.
    output_activation : str
        Name in `engine.methods.activations.ACTIVATIONS`. ``"tanh"`` for the Playground's classification, ``"linear"``
        for regression and for the losses that take logits.
    initializer : str
        Name in `engine.methods.initializers.INITIALIZERS`, for the weights; the record there says what biases get.
    initializer_scale : float or None
        The free number of the initializer (sigma of ``"normal"``, half-width of ``"uniform"``, value of
        ``"constant"``); None means that initializer's own default.
    activation_slope : float or None
        The free number of the activation (negative slope of ``"leaky_relu"``, alpha of ``"elu"``, initial slope
        of ``"prelu"``, which then learns one slope per hidden layer); None means that activation's own default.
    """

    n_inputs: int
    hidden_layer_sizes: tuple[int, ...] = (4, 2)
    n_outputs: int = 1
    activation: str = "tanh"
    output_activation: str = "tanh"
    initializer: str = "playground"
    initializer_scale: float | None = None
    activation_slope: float | None = None

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included."""
        return (self.n_inputs, *self.hidden_layer_sizes, self.n_outputs)

    @property
    def most_weights(self) -> int:
        """Weights of the layer that has most, biases apart."""
        return max(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(self.layer_sizes))


@dataclass(slots=True)
class Parameters:
    """Weights and biases of R replicas of one network.

    Parameters
    ----------
    weights : list of ndarray, one per layer, each (R, fan_in, fan_out)
        Connection weights.
    biases : list of ndarray, one per layer, each (R, fan_out)
        Biases.
    slopes : ndarray (R, n_hidden_layers) or None
        The learnt slopes of a ``"prelu"`` network; None for every other activation.
    """

    weights: list[FloatArray]
    biases: list[FloatArray]
    slopes: FloatArray | None = None

    @property
    def n_replicas(self) -> int:
        """Number of replicas R."""
        return int(self.weights[0].shape[0])

    def select(self, replicas: slice | npt.NDArray[np.integer[Any]]) -> Parameters:
        """Return the parameters of some replicas only (a view where `replicas` is a slice)."""
        return Parameters(
            [W[replicas] for W in self.weights],
            [b[replicas] for b in self.biases],
            None if self.slopes is None else self.slopes[replicas],
        )
