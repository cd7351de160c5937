"""How a network is trained: every setting but the network itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from engine.network import NetworkConfig


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained. Every field is searchable.

    One update, with G the gradient summed over the m examples since the last update, lr the scheduled rate (where
    training points have weights, each example's gradient counts times its weight over the mean weight of its replica's
    points, so that a mini-batch estimates the weighted mean without bias, and equal weights change nothing):

    1. g = G / m;
    2. coupled penalty on weights: ``"l2"`` adds lambda * w, ``"l1_subgradient"`` lambda * sign(w) (``sign(0) = 0``) to
       g; ``"l2_all"`` adds lambda * p of every parameter p, biases and learnt slopes as well;
    3. `max_grad_norm` scales g of each replica down to that global norm;
    4. decoupled `weight_decay` of weights, never biases: w <- w * (1 - lr * weight_decay) (Loshchilov & Hutter, 2019);
    5. the optimizer's step;
    6. ``"l1"`` is the Playground's: after the step (w1), w2 = w1 - lr * lambda * sign(w), w being the value before the
       update; where w1 * w2 < 0 the weight becomes 0 and its link is dead for ever;
    7. `max_norm` scales each unit's incoming weights down to that Euclidean norm;
    8. dead and frozen parameters keep their values through all of it.

    Parameters
    ----------
    loss : str
        Name in `engine.methods.losses.LOSSES`.
    optimizer : str
        Name in `engine.methods.optimizers.OPTIMIZERS`; formulas and defaults are PyTorch's.
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
        Name in `engine.methods.schedules.SCHEDULES`: the rate of each epoch as a multiple of `learning_rate`.
    schedule_decay : float
        Factor of ``"step"`` and ``"exponential"``, final fraction of ``"cosine"``.
    schedule_every : int
        Epochs between the drops of ``"step"``.
    warmup_epochs : int
        Epochs of linear warm-up before any schedule.
    regularizer : str
        ``"none"``, ``"l1"`` (Playground), ``"l1_subgradient"``, ``"l2"`` or ``"l2_all"``.
    regularization_rate : float
        lambda.
    weight_decay : float
        Decoupled decay rate, with any optimizer; 0 means 0.01 for ``"adamw"``
        (`engine.methods.optimizers.weight_decay_of`).
    max_norm : float or None
        Largest norm of a unit's incoming weights, in every layer.
    max_grad_norm : float or None
        Largest global gradient norm.
    dropout : tuple of float
        Rate after each hidden layer (inverted scaling, off at evaluation); empty means none, one number means all.
    input_dropout : float
        Rate on the inputs.
    input_noise : float
        Standard deviation of Gaussian noise added to the inputs, anew each epoch.
    weight_dropout : float
        Rate on the weights of every layer (DropConnect): for each update a weight is left out with this probability and
        else divided by 1 - rate, on the way forward, back, and in its gradient; off at evaluation. Biases are kept.
    layer_noise : float
        Standard deviation of Gaussian noise added to the outputs of each hidden layer before their dropout, anew each
        epoch; off at evaluation.
    label_noise : float
        Share of training labels replaced (classes) or standard deviation added (numbers), once; see
        `with_label_noise`.
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
    regularizer: Literal["none", "l1", "l1_subgradient", "l2", "l2_all"] = "none"
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
    weight_dropout: float = 0.0
    layer_noise: float = 0.0


LATER_FIELDS = ("weight_dropout", "layer_noise")
"""Fields that came after the first records: named where they are on, so that older records keep their digest."""


def told_fields(config: NetworkConfig | TrainingConfig) -> dict[str, Any]:
    """Return a configuration as plain values, as records hold it."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in fields.items()
        if value or key not in LATER_FIELDS
    }


def dropout_rates(network: NetworkConfig, training: TrainingConfig) -> tuple[float, ...]:
    """Return the dropout rate of the inputs and of each hidden layer."""
    n_hidden = len(network.hidden_layer_sizes)
    rates = training.dropout * n_hidden if len(training.dropout) == 1 else training.dropout
    return (training.input_dropout, *(rates or (0.0,) * n_hidden))
