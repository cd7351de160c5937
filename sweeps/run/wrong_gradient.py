"""The homework report's network trained with the gradient that it has, mistakes and all: what they did to its findings.

Two mistakes. The mean over the batch is taken before the product: a layer's gradient is the outer product of its mean
input and its mean delta, not the mean of their products (with one example a batch they are the same). And where the
delta goes back through weights whose last row is the bias, the first row is sliced off instead, so that every unit gets
the delta of its right neighbour, and the last one the bias's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.network import NetworkConfig, Parameters
from sweeps.run.trained import Trained

FloatArray = npt.NDArray[np.float64]


class WrongNetwork:
    """R replicas of a fully connected network with a bias row below each layer's weights.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig
        ``"sgd"`` or ``"adam"``, in the order given.
    start : Parameters
        First weights and biases.
    is_right : bool
        Whether the gradient is the right one: for a test that the rest is as the engine's.
    """

    def __init__(
        self, network: NetworkConfig, training: TrainingConfig, start: Parameters, *, is_right: bool = False
    ) -> None:
        self._activation = ACTIVATIONS[network.activation]
        self._slope = self._activation.default_slope if network.activation_slope is None else network.activation_slope
        self._training, self._is_right = training, is_right
        self._W = [
            np.concatenate([np.asarray(W, np.float64), np.asarray(b, np.float64)[:, None, :]], axis=1)
            for W, b in zip(start.weights, start.biases, strict=True)
        ]
        self._m, self._v = ([np.zeros_like(W) for W in self._W] for _ in range(2))
        self._t = 0

    def _forward(self, X: FloatArray) -> tuple[list[FloatArray], list[FloatArray], FloatArray]:
        """Return each layer's input with a one behind it, each hidden layer's derivative, and the outputs."""
        inputs: list[FloatArray] = []
        derivatives: list[FloatArray] = []
        A = X
        for layer, W in enumerate(self._W):
            inputs.append(np.concatenate([A, np.ones((*A.shape[:2], 1))], axis=2))
            Z = inputs[-1] @ W
            if layer == len(self._W) - 1:
                return inputs, derivatives, Z
            A = np.asarray(self._activation.function(Z, self._slope), np.float64)
            derivatives.append(np.asarray(self._activation.derivative(Z, A, self._slope), np.float64))
        raise AssertionError("a network has a layer")

    def loss(self, X: FloatArray, y: FloatArray) -> FloatArray:
        """Return each replica's mean squared error."""
        return np.asarray(((self._forward(X)[2] - y) ** 2).mean(axis=(1, 2)))

    def step(self, X: FloatArray, y: FloatArray) -> None:
        """Take one update with a batch."""
        inputs, derivatives, out = self._forward(X)
        m = X.shape[1]
        delta = 2.0 * (out - y)
        gradients = []
        for layer in range(len(self._W) - 1, -1, -1):
            if self._is_right:
                gradients.append(inputs[layer].transpose(0, 2, 1) @ delta / m)
            else:
                gradients.append(inputs[layer].mean(axis=1)[:, :, None] * delta.mean(axis=1)[:, None, :])
            if layer:
                back = delta @ self._W[layer].transpose(0, 2, 1)
                delta = (back[..., :-1] if self._is_right else back[..., 1:]) * derivatives[layer - 1]
        self._update(gradients[::-1])

    def _update(self, gradients: list[FloatArray]) -> None:
        config = self._training
        self._t += 1
        for W, m, v, g in zip(self._W, self._m, self._v, gradients, strict=True):
            if config.optimizer == "sgd":
                W -= config.learning_rate * g
                continue
            m += (1.0 - config.beta_1) * (g - m)
            v += (1.0 - config.beta_2) * (g * g - v)
            root = np.sqrt(v / (1.0 - config.beta_2**self._t)) + (config.epsilon or 1e-8)
            W -= config.learning_rate / (1.0 - config.beta_1**self._t) * m / root


def train_wrongly(trained: Trained, training: TrainingConfig, *, is_right: bool = False) -> FloatArray:
    """Return the test loss (R,) of the same networks trained for as long with the report's gradient."""
    split, test = trained.draws.train, trained.draws.test
    X, y = np.asarray(split.X, np.float64), np.asarray(split.y, np.float64)
    one = WrongNetwork(trained.network, training, trained.draws.initialize(trained.network), is_right=is_right)
    with np.errstate(all="ignore"):
        for _ in range(training.max_epochs):
            for i in range(0, X.shape[1], training.batch_size):
                one.step(X[:, i : i + training.batch_size], y[:, i : i + training.batch_size])
        return one.loss(np.asarray(test.X, np.float64), np.asarray(test.y, np.float64))


def wrong_gradient_loss(trained: Trained) -> FloatArray:
    """Return the test loss of the same networks trained with the report's gradient: same start, same order."""
    return train_wrongly(trained, trained.training)
