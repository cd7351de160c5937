"""Refuse what cannot be trained, once, at the edge: each message names argument, value and what would do."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.initializers import INITIALIZERS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.methods.schedules import SCHEDULES
from engine.names import check_name, look_up
from engine.network import NetworkConfig, Parameters
from engine.splits import Split

PARTIAL_BATCHES = ("carry", "keep", "drop")
ORDERS = ("fixed", "shuffled")
DTYPES = ("float32", "float64")
LOGIT_LOSSES = ("binary_cross_entropy", "softmax_cross_entropy", "hinge")


def validate(network: NetworkConfig, training: TrainingConfig, split: Split) -> None:
    """Check that a training can run.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is to be trained, and how.
    split : Split
        Training points.

    Raises
    ------
    ValueError
        At the first thing that cannot be used.
    """
    validate_network(network)
    validate_training(network, training)
    validate_split(network, training, split, "split")
    if split.weight is not None and not (counts := (split.weight > 0).any(axis=1)).all():
        raise ValueError(
            f"split.weight: only zeros for replica {int(np.argmin(counts))}; give a training point a weight above 0"
        )
    n = split.X.shape[1]
    if training.batch_size > n and training.partial_batch != "carry":
        raise ValueError(
            f"training.batch_size: {training.batch_size} is more than the {n} training points; give 1 to {n}"
        )


def validate_network(network: NetworkConfig) -> None:
    """Check a network's description; raises ValueError."""
    check_count(network.n_inputs, "network.n_inputs", 1)
    check_count(network.n_outputs, "network.n_outputs", 1)
    for i, size in enumerate(network.hidden_layer_sizes):
        check_count(size, f"network.hidden_layer_sizes[{i}]", 1)
    activation = look_up(ACTIVATIONS, network.activation, "network.activation")
    output = look_up(ACTIVATIONS, network.output_activation, "network.output_activation")
    if output.learns_slope:
        raise ValueError(
            f"network.output_activation: {output.name!r} learns a slope only in hidden layers; use 'linear'"
        )
    initializer = look_up(INITIALIZERS, network.initializer, "network.initializer")
    if network.initializer_scale is not None:
        check_number(network.initializer_scale, "network.initializer_scale", -math.inf)
        if initializer.default_scale is None:
            raise ValueError(
                f"network.initializer_scale: {network.initializer!r} has no free number; leave it None, or use 'normal'"
            )
    if network.activation_slope is not None:
        check_number(network.activation_slope, "network.activation_slope", -math.inf)
        if not activation.has_slope:
            raise ValueError(
                f"network.activation_slope: {network.activation!r} has no free number; give None, or use 'leaky_relu'"
            )


def validate_training(network: NetworkConfig, training: TrainingConfig) -> None:
    """Check a training's configuration against its network; raises ValueError."""
    check_name(LOSSES, training.loss, "training.loss")
    check_name(OPTIMIZERS, training.optimizer, "training.optimizer")
    check_name(SCHEDULES, training.schedule, "training.schedule")
    check_name(REGULARIZERS, training.regularizer, "training.regularizer")
    check_name(PARTIAL_BATCHES, training.partial_batch, "training.partial_batch")
    check_name(ORDERS, training.order, "training.order")
    check_name(DTYPES, training.dtype, "training.dtype")
    for role, name in (("activation", network.activation), ("output_activation", network.output_activation)):
        if (role != "activation" or network.hidden_layer_sizes) and ACTIVATIONS[name].refusal:
            raise ValueError(f"network.{role}: {name!r} cannot be trained: {ACTIVATIONS[name].refusal}; use 'sigmoid'")
    if training.loss in LOGIT_LOSSES and network.output_activation != "linear":
        raise ValueError(
            f"network.output_activation: {network.output_activation!r} under {training.loss!r}, which takes logits; "
            "use 'linear'"
        )
    if LOSSES[training.loss].targets == "classes" and network.n_outputs < 2:
        raise ValueError(f"network.n_outputs: {network.n_outputs} under {training.loss!r}; give one output a class")
    check_number(training.learning_rate, "training.learning_rate", 0, open_below=True)
    for name in ("momentum", "beta_1", "beta_2", "rho"):
        check_number(getattr(training, name), f"training.{name}", 0, 1)
    if training.epsilon is not None:
        check_number(training.epsilon, "training.epsilon", 0)
    for name in ("batch_size", "schedule_every"):
        check_count(getattr(training, name), f"training.{name}", 1)
    for name in ("max_epochs", "warmup_epochs"):
        check_count(getattr(training, name), f"training.{name}", 0)
    for name in ("schedule_decay", "regularization_rate", "weight_decay", "input_noise", "layer_noise"):
        check_number(getattr(training, name), f"training.{name}", 0)
    for name in ("max_norm", "max_grad_norm"):
        if getattr(training, name) is not None:
            check_number(getattr(training, name), f"training.{name}", 0, open_below=True)
    _check_noise(network, training)
    _check_frozen(network, training.frozen)


def _check_noise(network: NetworkConfig, training: TrainingConfig) -> None:
    n_hidden = len(network.hidden_layer_sizes)
    if len(training.dropout) not in {0, 1, n_hidden}:
        raise ValueError(
            f"training.dropout: {training.dropout}; give none, one rate, or {n_hidden}, one a hidden layer"
        )
    for i, rate in enumerate(training.dropout):
        check_number(rate, f"training.dropout[{i}]", 0, 1)
    check_number(training.input_dropout, "training.input_dropout", 0, 1)
    check_number(training.weight_dropout, "training.weight_dropout", 0, 1)
    is_share = LOSSES[training.loss].targets != "numbers"
    check_number(training.label_noise, "training.label_noise", 0, math.nextafter(1, 2) if is_share else math.inf)


def _check_frozen(network: NetworkConfig, names: tuple[str, ...]) -> None:
    n_layers = len(network.layer_sizes) - 1
    for name in names:
        found = re.fullmatch(r"(weights|biases)\[(\d+)\]", name)
        if found is None or int(found[2]) >= n_layers:
            raise ValueError(f"training.frozen: unknown {name!r}; give 'weights[i]' or 'biases[i]', i below {n_layers}")


def validate_split(network: NetworkConfig, training: TrainingConfig, split: Split, argument: str) -> None:
    """Check points and targets against a network, a loss and a type; raises ValueError."""
    loss = training.loss
    for name, array in (("X", split.X), ("y", split.y)):
        check_array(array, f"{argument}.{name}", 3)
        narrows = training.dtype == "float32" and array.dtype != np.float32
        if narrows and array.size and (largest := np.abs(array).max()) > np.finfo(np.float32).max:
            raise ValueError(f"{argument}.{name}: up to {largest:g}; give float32's range, or use 'float64'")
    n = split.X.shape[1]
    if n == 0 or split.X.shape[0] == 0:
        raise ValueError(f"{argument}.X: shape {split.X.shape} is empty; give at least one point")
    if split.X.shape[2] != network.n_inputs:
        raise ValueError(f"{argument}.X: {split.X.shape[2]} features; the network takes {network.n_inputs}")
    kind = look_up(LOSSES, loss, "training.loss").targets
    columns = 1 if kind == "classes" else network.n_outputs
    if split.y.shape[1:] != (n, columns) or (split.y.shape[0] != 1 and split.y.shape[0] != split.X.shape[0] != 1):
        raise ValueError(
            f"{argument}.y: shape {split.y.shape}; with X {split.X.shape} give {(split.X.shape[0], n, columns)}"
        )
    if kind == "classes" and not (
        (split.y == np.floor(split.y)).all() and split.y.min() >= 0 and split.y.max() < network.n_outputs
    ):
        raise ValueError(f"{argument}.y: give classes as whole numbers 0 to {network.n_outputs - 1}")
    if kind == "shares" and (split.y.min() < 0 or split.y.max() > 1):
        raise ValueError(f"{argument}.y: from {split.y.min()} to {split.y.max()}; {loss!r} takes targets within [0, 1]")
    if split.weight is not None:
        check_array(split.weight, f"{argument}.weight", 2)
        if split.weight.shape[1] != n or split.weight.min() < 0:
            raise ValueError(
                f"{argument}.weight: shape {split.weight.shape}; give one weight >= 0 a point, {n} a replica"
            )


def check_replicas(split: Split, n_replicas: int, argument: str) -> None:
    """Check that a split has the points of `n_replicas` replicas, or shared ones; raises ValueError."""
    for name, array in (("X", split.X), ("y", split.y), ("weight", split.weight)):
        if array is not None and array.shape[0] not in (1, n_replicas):
            raise ValueError(
                f"{argument}.{name}: points of {array.shape[0]} replicas; the parameters have {n_replicas} "
                "(a leading axis of 1 is shared by all)"
            )


def check_parameters(network: NetworkConfig, parameters: Parameters) -> None:
    """Check that parameters have the shapes of a network; raises ValueError."""
    R = parameters.n_replicas if parameters.weights else 0
    sizes = network.layer_sizes
    expected = [(R, fan_in, fan_out) for fan_in, fan_out in itertools.pairwise(sizes)]
    given = [W.shape for W in parameters.weights]
    if R == 0 or given != expected:
        raise ValueError(f"parameters.weights: shapes {given}; the network needs {expected}, with at least one replica")
    if [b.shape for b in parameters.biases] != [(R, shape[2]) for shape in expected]:
        raise ValueError(
            f"parameters.biases: shapes {[b.shape for b in parameters.biases]}; the network needs "
            f"{[(R, shape[2]) for shape in expected]}"
        )
    slopes = (R, len(network.hidden_layer_sizes)) if ACTIVATIONS[network.activation].learns_slope else None
    if (None if parameters.slopes is None else parameters.slopes.shape) != slopes:
        shape = None if parameters.slopes is None else parameters.slopes.shape
        raise ValueError(f"parameters.slopes: shape {shape}; {network.activation!r} needs {slopes}")


def check_array(array: Any, argument: str, n_axes: int, *, must_be_finite: bool = True) -> None:
    """Check that an array has the axes, holds float32 or float64, and finite numbers only; raises ValueError."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{argument}: a {type(array).__name__}; give a float32 or float64 array")
    if array.dtype not in (np.float32, np.float64):
        raise ValueError(f"{argument}: type {array.dtype}; give float32 or float64")
    if array.ndim != n_axes:
        raise ValueError(f"{argument}: {array.ndim} axes {array.shape}; give {n_axes}")
    if must_be_finite and not (finite := np.isfinite(array)).all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{argument}: {array[where]} at {where}; give finite numbers")


def check_count(value: Any, argument: str, lowest: int) -> None:
    """Check a whole number; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
        raise ValueError(f"{argument}: {value!r}; give a whole number, at least {lowest}")


def check_number(value: Any, argument: str, low: float, high: float = math.inf, *, open_below: bool = False) -> None:
    """Check a finite number in [low, high), or (low, high); raises ValueError."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < low or value >= high or (open_below and value == low):
        least = "" if low == -math.inf else f" {'above' if open_below else 'from'} {low:g}"
        most = "" if high == math.inf else (" up to 1" if high > 1 else f" below {high:g}")
        raise ValueError(f"{argument}: {value!r}; give a finite number{least}{most}")
