"""Optimizers, one record each; formulas and defaults are PyTorch's.

Codes for the compiled road: sgd 0, momentum 1, nesterov 2, adagrad 3, rmsprop 4, adam 5, adamw 6. With the gradient g
of one parameter w, the scheduled rate lr, the number t of this update (from 1) and moments that start at 0:

sgd
    ``w -= lr g``.
momentum
    ``v = mu v + g; w -= lr v``.
nesterov
    ``v = mu v + g; w -= lr (g + mu v)``.
adagrad
    ``s = s + g**2; w -= lr g / (sqrt(s) + eps)``, eps 1e-10.
rmsprop
    ``s = rho s + (1 - rho) g**2; w -= lr g / (sqrt(s) + eps)``, eps 1e-8.
adam
    ``m = beta_1 m + (1 - beta_1) g; s = beta_2 s + (1 - beta_2) g**2;
    w -= (lr / (1 - beta_1**t)) m / (sqrt(s) / sqrt(1 - beta_2**t) + eps)``, eps 1e-8.
adamw
    Adam's step with decoupled weight decay, 0.01 unless `TrainingConfig.weight_decay` is not 0
    (`weight_decay_of`). AdamW without decay is Adam: ask for that one.

Scalars (lr, the bias corrections) are computed in float64 and rounded once to the type of the weights.

References
----------
.. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12, 2011 (AdaGrad, diagonal form).
.. [2] D. P. Kingma, J. Ba, "Adam", ICLR 2015, algorithm 1.
.. [3] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
.. [4] I. Sutskever et al., "On the importance of initialization and momentum", ICML 2013, in PyTorch's variant where
   lr multiplies the velocity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from engine.configuration import TrainingConfig
from engine.network import FloatArray

Moments = tuple[FloatArray, ...]
Step = Callable[[FloatArray, Moments, TrainingConfig, float, int], FloatArray]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One optimizer.

    Parameters
    ----------
    name : str
        Key in `OPTIMIZERS`.
    code : int
        What the compiled road calls it; `engine.methods.codes.UNCOMPILED` where it has no form there.
    n_moments : int
        Numbers it keeps for each parameter.
    step : callable (g, moments, training, lr, t) -> decrease of w
        Updates `moments` in place and may use up g; the caller subtracts the result from w.
    default_epsilon : float
        Where `TrainingConfig.epsilon` is None.
    """

    name: str
    code: int
    n_moments: int
    step: Step
    default_epsilon: float = 1e-8


def epsilon_of(training: TrainingConfig) -> float:
    """Return the epsilon that `training` means."""
    return OPTIMIZERS[training.optimizer].default_epsilon if training.epsilon is None else training.epsilon


def weight_decay_of(training: TrainingConfig) -> float:
    """Return the decoupled weight decay that `training` means: AdamW's default is 0.01, every other's 0."""
    if training.optimizer == "adamw" and training.weight_decay == 0:
        return 0.01
    return training.weight_decay


def _sgd(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:  # noqa: ARG001
    g *= lr
    return g


def _momentum(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:  # noqa: ARG001
    (v,) = moments
    v *= training.momentum
    v += g
    return lr * v


def _nesterov(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:  # noqa: ARG001
    (v,) = moments
    v *= training.momentum
    v += g
    return lr * (g + training.momentum * v)


def _adagrad(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:  # noqa: ARG001
    (s,) = moments
    s += g * g
    return np.asarray(lr * g / (np.sqrt(s) + epsilon_of(training)))


def _rmsprop(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:  # noqa: ARG001
    (s,) = moments
    s *= training.rho
    s += (1 - training.rho) * (g * g)
    return np.asarray(lr * g / (np.sqrt(s) + epsilon_of(training)))


def _adam(g: FloatArray, moments: Moments, training: TrainingConfig, lr: float, t: int) -> FloatArray:
    m, s = moments
    m *= training.beta_1
    m += (1 - training.beta_1) * g
    s *= training.beta_2
    s += (1 - training.beta_2) * (g * g)
    rate = lr / (1 - training.beta_1**t)
    root = math.sqrt(1 - training.beta_2**t)
    return np.asarray(rate * m / (np.sqrt(s) / root + epsilon_of(training)))


OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {
        record.name: record
        for record in (
            Optimizer("sgd", 0, 0, _sgd),
            Optimizer("momentum", 1, 1, _momentum),
            Optimizer("nesterov", 2, 1, _nesterov),
            Optimizer("adagrad", 3, 1, _adagrad, default_epsilon=1e-10),
            Optimizer("rmsprop", 4, 1, _rmsprop),
            Optimizer("adam", 5, 2, _adam),
            Optimizer("adamw", 6, 2, _adam),
        )
    }
)
"""Every optimizer by name."""
