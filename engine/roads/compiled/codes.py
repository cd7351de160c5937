"""The numbers by which compiled code knows methods, and the places of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.regularizers import REGULARIZERS
from engine.network import NetworkConfig

# ----------------------------------------------------------------------------------------------------------------------
# Codes of the records, and places in the arrays of whole and real numbers that the compiled function gets

LINEAR, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, PRELU, ELU, GELU, SILU, SOFTPLUS = (
    ACTIVATIONS[name].code
    for name in (
        "linear",
        "step",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "prelu",
        "elu",
        "gelu",
        "silu",
        "softplus",
    )
)
HALF_SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY, HINGE = (
    LOSSES[name].code
    for name in ("half_squared_error", "mse", "mae", "huber", "binary_cross_entropy", "softmax_cross_entropy", "hinge")
)
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW = (
    OPTIMIZERS[name].code for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
)
NO_PENALTY, L1, L1_SUBGRADIENT, L2, L2_ALL = (
    REGULARIZERS[name].code for name in ("none", "l1", "l1_subgradient", "l2", "l2_all")
)
KEEP, DROP, CARRY = 0, 1, 2
PARTIAL_CODES = {"keep": KEEP, "drop": DROP, "carry": CARRY}

I_HIDDEN, I_OUTPUT, I_LOSS, I_OPTIMIZER, I_BATCH, I_PARTIAL, I_PENALTY, I_CHUNK = 0, 1, 2, 3, 4, 5, 6, 7
I_PENDING, I_EPOCH, I_UPDATES, I_SHUFFLED, I_DROPPING, I_NOISY, I_GENERAL, I_WITH_Z = 8, 9, 10, 11, 12, 13, 14, 15
I_N_WEIGHTS, I_N_UNITS, I_PENDING_AFTER, I_UPDATES_AFTER, I_ROOM = 16, 17, 18, 19, 20
I_ADJUSTING, I_FREEZING, I_WEIGHT_DROPPING, I_LAYER_NOISY = 21, 22, 23, 24
N_INTS = 25
T_N, T_TARGETS, T_X, T_Y, T_WEIGHT = 0, 1, 2, 3, 4
N_TABLE = 5
R_SLOPE, R_OUTPUT_SLOPE, R_STRENGTH, R_MOMENTUM, R_BETA_1, R_BETA_2, R_RHO, R_EPSILON = 0, 1, 2, 3, 4, 5, 6, 7
R_DECAY, R_MAX_NORM, R_MAX_GRAD_NORM, R_NOISE, R_LAYER_NOISE = 8, 9, 10, 11, 12
N_REALS = 13

KNOWN: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "activation": frozenset((LINEAR, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, PRELU, ELU, GELU, SILU, SOFTPLUS)),
        "loss": frozenset((HALF_SQUARED_ERROR, MSE, MAE, HUBER, BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY, HINGE)),
        "optimizer": frozenset((SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW)),
        "regularizer": frozenset((NO_PENALTY, L1, L1_SUBGRADIENT, L2, L2_ALL)),
    }
)
"""Every code with a branch of its own in compiled code; what is not here is refused, never trained as the last one."""


def refuse_unknown(network: NetworkConfig, training: TrainingConfig, advice: str) -> None:
    """Refuse a setting that compiled code has no form of; raises ValueError."""
    if unknown := unknown_codes(network, training):
        raise ValueError(f"the compiled road has no form of {unknown[0]}; {advice}")


def unknown_codes(network: NetworkConfig, training: TrainingConfig) -> list[str]:
    """Return ``"activation swish"`` for each method of a setting that compiled code has no form of."""
    asked = (
        ("activation", ACTIVATIONS, network.activation),
        ("activation", ACTIVATIONS, network.output_activation),
        ("loss", LOSSES, training.loss),
        ("optimizer", OPTIMIZERS, training.optimizer),
        ("regularizer", REGULARIZERS, training.regularizer),
    )
    return [f"{noun} {name}" for noun, records, name in asked if records[name].code not in KNOWN[noun]]
