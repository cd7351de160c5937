"""Learning-rate schedules: the rate of each epoch as a multiple of `TrainingConfig.learning_rate`.

After w warm-up epochs, in which epoch i (from 0) has the multiple ``(i + 1) / (w + 1)``, the schedule counts its own
epochs e = 0, 1, ... of T = max_epochs - w:

constant
    1.
step
    ``schedule_decay ** (e // schedule_every)``.
exponential
    ``schedule_decay ** e``.
cosine
    ``f + (1 - f) (1 + cos(pi e / T)) / 2`` with f = schedule_decay; f from epoch T on.

The multiple does not change within an epoch. The compiled road gets it as a number and needs no code.

References
----------
.. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from engine.configuration import TrainingConfig


def _constant(training: TrainingConfig, e: int) -> float:  # noqa: ARG001 (one signature for all)
    return 1.0


def _step(training: TrainingConfig, e: int) -> float:
    return training.schedule_decay ** (e // training.schedule_every)


def _exponential(training: TrainingConfig, e: int) -> float:
    return training.schedule_decay**e


def _cosine(training: TrainingConfig, e: int) -> float:
    length = max(1, training.max_epochs - training.warmup_epochs)
    final = training.schedule_decay
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(e, length) / length))


SCHEDULES: Mapping[str, Callable[[TrainingConfig, int], float]] = MappingProxyType(
    {"constant": _constant, "step": _step, "exponential": _exponential, "cosine": _cosine}
)
"""Every schedule by name: a function of the training and of the epoch after warm-up."""


def learning_rate(training: TrainingConfig, epoch: int) -> float:
    """Return the learning rate of one epoch.

    Parameters
    ----------
    training : TrainingConfig
        Names the schedule and its numbers.
    epoch : int
        Epochs done before, so 0 in the first.
    """
    if epoch < training.warmup_epochs:
        return training.learning_rate * (epoch + 1) / (training.warmup_epochs + 1)
    return training.learning_rate * SCHEDULES[training.schedule](training, epoch - training.warmup_epochs)
