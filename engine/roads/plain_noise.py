"""The random numbers of an epoch on the NumPy road: masks of units and of weights, noise on inputs and on layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.streams import (
    DROPOUT,
    INPUT_NOISE,
    LAYER_NOISE,
    WEIGHT_DROPOUT,
    Keys,
    normals,
    stream_keys,
    uniforms,
)
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.state import TrainingState


@dataclass(slots=True)
class Noise:
    """What one epoch draws: stream keys of its dropout masks and of its input noise, with the rates."""

    rates: tuple[float, ...]  # of the inputs and of each hidden layer
    dropout_keys: list[Keys]
    input_noise: float
    input_keys: Keys
    weight_dropout: float
    weight_keys: list[Keys]
    layer_noise: float
    layer_keys: list[Keys]


def epoch_noise(state: TrainingState, network: NetworkConfig, training: TrainingConfig) -> Noise | None:
    """Return what an epoch draws; None where nothing is drawn."""
    rates = dropout_rates(network, training)
    weight_dropout, layer_noise = training.weight_dropout, training.layer_noise
    if not any(rates) and training.input_noise == weight_dropout == layer_noise == 0:
        return None

    def keys(purpose: int, layers: range) -> list[Keys]:
        return [stream_keys(state.seeds, state.epoch, purpose, layer) for layer in layers]

    return Noise(
        rates,
        keys(DROPOUT, range(len(rates))),
        training.input_noise,
        stream_keys(state.seeds, state.epoch, INPUT_NOISE),
        weight_dropout,
        keys(WEIGHT_DROPOUT, range(1, len(rates) + 1)) if weight_dropout else [],
        layer_noise,
        keys(LAYER_NOISE, range(1, len(rates))) if layer_noise else [],
    )


def weight_factors(noise: Noise | None, parameters: Parameters, batch: int) -> list[FloatArray]:
    """Return what a mini-batch multiplies each weight by, a layer at a time; nothing without DropConnect."""
    if noise is None or noise.weight_dropout == 0:
        return []
    factors = []
    for W, keys in zip(parameters.weights, noise.weight_keys, strict=True):
        u = uniforms(keys, batch * W[0].size, W[0].size).reshape(-1, *W.shape[1:])
        factors.append(_kept_factors(u, noise.weight_dropout, W.dtype))
    return factors


def times(parameters: Parameters, factors: list[FloatArray]) -> Parameters:
    """Return parameters whose weights are multiplied by a mini-batch's factors; as they are without any."""
    if not factors:
        return parameters
    weights: list[FloatArray] = [W * factor for W, factor in zip(parameters.weights, factors, strict=True)]
    return Parameters(weights, parameters.biases, parameters.slopes)


def _kept_factors(u: npt.NDArray[np.float32], rate: float, dtype: np.dtype[Any]) -> FloatArray:
    return np.asarray((u >= np.float32(rate)).astype(dtype) * dtype.type(1 / (1 - rate)))


def noisy_inputs(X: FloatArray, noise: Noise, position: int) -> FloatArray:
    """Return the inputs with their noise."""
    if noise.input_noise == 0:
        return X
    n, d = X.shape[1:]
    z = normals(noise.input_keys, position * d, n * d).reshape(-1, n, d)
    return X + (noise.input_noise * z).astype(X.dtype)


def layer_noise_of(noise: Noise, layer: int, position: int, n: int, units: int, dtype: np.dtype[Any]) -> FloatArray:
    """Return what is added to the outputs of a hidden layer."""
    z = normals(noise.layer_keys[layer - 1], position * units, n * units).reshape(-1, n, units)
    return np.asarray((noise.layer_noise * z).astype(dtype))


def dropout_mask(
    noise: Noise, layer: int, position: int, n: int, units: int, dtype: np.dtype[Any]
) -> FloatArray | None:
    """Return what a layer's units are multiplied by; None without dropout there."""
    rate = noise.rates[layer]
    if rate == 0:
        return None
    u = uniforms(noise.dropout_keys[layer], position * units, n * units).reshape(-1, n, units)
    return _kept_factors(u, rate, dtype)
