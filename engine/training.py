"""Train R replicas of one network together: configuration, state, and the one loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray, Parameters


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained. Every field is searchable.

    One update, with G the gradient summed over the m examples since the last update, lr the scheduled rate:

    1. g = G / m;
    2. coupled penalty on weights, never biases: ``"l2"`` adds lambda * w, ``"l1_subgradient"`` lambda * sign(w)
       (``sign(0) = 0``) to g;
    3. `max_grad_norm` scales g of each replica down to that global norm;
    4. decoupled `weight_decay`: w <- w * (1 - lr * weight_decay) (Loshchilov & Hutter, 2019);
    5. the optimizer's step;
    6. ``"l1"`` is the Playground's: after the step (w1), w2 = w1 - lr * lambda * sign(w), w being the value before the
       update; where w1 * w2 < 0 the weight becomes 0 and its link is dead for ever;
    7. `max_norm` scales each unit's incoming weights down to that Euclidean norm;
    8. dead and frozen parameters keep their values through all of it.

    Parameters
    ----------
    loss : str
        Name in `engine.losses.LOSSES`.
    optimizer : str
        Name in `engine.optimizers.OPTIMIZERS`; formulas and defaults are PyTorch's.
    learning_rate : float
        Positive.
    momentum : float
        For ``"momentum"`` and ``"nesterov"``.
    beta_1, beta_2 : float
        Decay rates of Adam's and AdamW's moments.
    rho : float
        Decay rate of RMSprop's squared gradient.
    epsilon : float or None
        Added to the root in AdaGrad, RMSprop, Adam, AdamW; None means 1e-10 for AdaGrad, else 1e-8.
    batch_size : int
        Examples an update; 1 up to the number of training examples.
    partial_batch : str
        What becomes of the examples left over at the end of an epoch: ``"keep"`` (a smaller last batch), ``"drop"``,
        or ``"carry"`` (the Playground: their gradients join the first update of the next epoch).
    order : str
        ``"fixed"`` (as given, for ever) or ``"shuffled"`` (anew each epoch and replica).
    max_epochs : int
        Length of the schedule, and of training where nothing stops it before.
    schedule : str
        Name in `engine.schedules.SCHEDULES`: the rate of each epoch as a multiple of `learning_rate`.
    schedule_decay : float
        Factor of ``"step"`` and ``"exponential"``, final fraction of ``"cosine"``.
    schedule_every : int
        Epochs between the drops of ``"step"``.
    warmup_epochs : int
        Epochs of linear warm-up before any schedule.
    regularizer : str
        ``"none"``, ``"l1"`` (Playground), ``"l1_subgradient"`` or ``"l2"``.
    regularization_rate : float
        lambda.
    weight_decay : float
        Decoupled decay rate, with any optimizer.
    max_norm : float or None
        Largest norm of a unit's incoming weights.
    max_grad_norm : float or None
        Largest global gradient norm.
    dropout : tuple of float
        Rate after each hidden layer (inverted scaling, off at evaluation); empty means none, one number means all.
    input_dropout : float
        Rate on the inputs.
    input_noise : float
        Standard deviation of Gaussian noise added to the inputs, anew each epoch.
    label_noise : float
        Share of training labels replaced (classes) or standard deviation added (numbers), once, before training.
    frozen : tuple of str
        Parameters that keep their first values: ``"biases[0]"``, ``"weights[1]"``.
    dtype : str
        ``"float32"`` or ``"float64"``.
    """

    loss: str = "half_squared_error"
    optimizer: str = "sgd"
    learning_rate: float = 0.03
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.99
    epsilon: float | None = None
    batch_size: int = 10
    partial_batch: Literal["carry", "keep", "drop"] = "keep"
    order: Literal["fixed", "shuffled"] = "shuffled"
    max_epochs: int = 100
    schedule: str = "constant"
    schedule_decay: float = 0.1
    schedule_every: int = 30
    warmup_epochs: int = 0
    regularizer: Literal["none", "l1", "l1_subgradient", "l2"] = "none"
    regularization_rate: float = 0.0
    weight_decay: float = 0.0
    max_norm: float | None = None
    max_grad_norm: float | None = None
    dropout: tuple[float, ...] = ()
    input_dropout: float = 0.0
    input_noise: float = 0.0
    label_noise: float = 0.0
    frozen: tuple[str, ...] = ()
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, slots=True)
class Split:
    """Points and targets of R replicas.

    Parameters
    ----------
    X : ndarray (R, n, n_inputs)
        Features. A leading axis of 1 means that all replicas share the points.
    y : ndarray (R, n, n_targets)
        Targets: one column of class indices for softmax cross-entropy and hinge, else one column an output.
    weight : ndarray (R, n) or None
        Weight of each point in a mean; 0 leaves a point out (padding). None means 1. Only `evaluate` takes weights.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None = None


@dataclass(slots=True)
class TrainingState:
    """Where the training of R replicas stands; training goes on from it bit for bit.

    Parameters
    ----------
    parameters : Parameters
        Current weights and biases.
    moments : tuple of Parameters
        Optimizer state: as many as the optimizer keeps (0, 1 or 2), shaped like `parameters`.
    pending : Parameters
        Gradient sums carried over from the last epoch (``partial_batch="carry"``), else zeros.
    n_pending : int
        Examples behind `pending`.
    dead : list of bool ndarray, shaped like the weights
        Links that the Playground's L1 has killed.
    epoch : int
        Epochs done.
    n_updates : int
        Updates done (Adam's bias correction).
    seeds : ndarray (R,) of uint64
        Each replica's key of the counter-based stream that shuffles, drops out and adds noise. With the epoch it
        fixes every number drawn, so nothing else has to be kept.
    diverged_at : ndarray (R,) of int
        First epoch after which a parameter was not finite, or -1. A diverged replica harms no other.
    """

    parameters: Parameters
    moments: tuple[Parameters, ...]
    pending: Parameters
    n_pending: int
    dead: list[npt.NDArray[np.bool_]]
    epoch: int
    n_updates: int
    seeds: npt.NDArray[np.uint64]
    diverged_at: npt.NDArray[np.int64]
