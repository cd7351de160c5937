"""Losses with their gradients, one record each.

Codes for the compiled road: half_squared_error 0, mse 1, mae 2, huber 3, binary_cross_entropy 4,
softmax_cross_entropy 5, hinge 6. With outputs o_1, ..., o_k and targets t of one example, e_j = o_j - t_j:

half_squared_error (the Playground's)
    ``0.5 * sum_j e_j**2``; gradient ``e_j``.
mse
    ``mean_j e_j**2``; gradient ``2 e_j / k``.
mae
    ``mean_j |e_j|``; gradient ``sign(e_j) / k``, 0 where ``e_j = 0``.
huber
    ``mean_j h(e_j)``, h(e) = 0.5 e**2 where |e| <= 1, else |e| - 0.5; gradient ``clip(e_j, -1, 1) / k``.
binary_cross_entropy
    outputs are logits, targets in [0, 1]: ``mean_j max(o_j, 0) - o_j t_j + ln(1 + exp(-|o_j|))``;
    gradient ``(sigmoid(o_j) - t_j) / k``.
softmax_cross_entropy
    outputs are logits, the one target is the class c: ``ln sum_j exp(o_j) - o_c``; gradient ``softmax(o)_j - [j = c]``.
hinge
    outputs are scores, the one target is the class c: ``sum_{j != c} max(0, o_j - o_c + 1)`` (Weston and Watkins, not
    divided by k); gradient 1 for each j != c whose margin ``o_j - o_c + 1`` is > 0, and minus their number for c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from engine.network import FloatArray


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss.

    Parameters
    ----------
    name : str
        Key in `LOSSES`.
    code : int
        What the compiled road calls it; `engine.methods.codes.UNCOMPILED` where it has no form there.
    value : callable (outputs (R, n, k), targets (R, n, k or 1)) -> (R, n)
        Loss of each example.
    gradient : callable (outputs, targets) -> (R, n, k)
        Derivative of each example's loss by its outputs.
    targets : str
        ``"numbers"``: one column an output; ``"shares"``: the same, within [0, 1]; ``"classes"``: one column of class
        indices.
    """

    name: str
    code: int
    value: Callable[[FloatArray, FloatArray], FloatArray]
    gradient: Callable[[FloatArray, FloatArray], FloatArray]
    targets: Literal["numbers", "shares", "classes"]


def _column_sum(values: FloatArray) -> FloatArray:
    # Column after column: the order of additions must not depend on memory layout, nor with it on the replicas.
    total = values[..., 0]
    for j in range(1, values.shape[-1]):
        total = total + values[..., j]
    return np.asarray(total)


def _half_squared_error(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    error = outputs - targets
    return 0.5 * _column_sum(error * error)


def _half_squared_error_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return outputs - targets


def _mse(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    error = outputs - targets
    return np.asarray(_column_sum(error * error) / outputs.shape[-1])


def _mse_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray((2 / outputs.shape[-1]) * (outputs - targets))


def _mae(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray(_column_sum(np.abs(outputs - targets)) / outputs.shape[-1])


def _mae_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray(np.sign(outputs - targets) / outputs.shape[-1])


def _huber(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    size = np.abs(outputs - targets)
    inner = np.minimum(size, 1)
    return np.asarray(_column_sum(inner * (size - 0.5 * inner)) / outputs.shape[-1])


def _huber_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray(np.clip(outputs - targets, -1, 1) / outputs.shape[-1])


def _binary_cross_entropy(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    losses = np.maximum(outputs, 0) - outputs * targets + np.log1p(np.exp(-np.abs(outputs)))
    return np.asarray(_column_sum(losses) / outputs.shape[-1])


def _binary_cross_entropy_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray((1 / (1 + np.exp(-outputs)) - targets) / outputs.shape[-1])


def _is_class(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return np.asarray((targets == np.arange(outputs.shape[-1], dtype=outputs.dtype)).astype(outputs.dtype))


def _softmax_cross_entropy(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    largest = outputs.max(axis=-1, keepdims=True)
    log_sum = np.log(_column_sum(np.exp(outputs - largest))) + largest[..., 0]
    return np.asarray(log_sum - _of_class(outputs, targets))


def _of_class(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    classes = np.broadcast_to(targets.astype(np.intp), (*outputs.shape[:-1], 1))
    return np.take_along_axis(outputs, classes, axis=-1)[..., 0]


def _softmax_cross_entropy_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    shares = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return np.asarray(shares / _column_sum(shares)[..., None] - _is_class(outputs, targets))


def _hinge_margins(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    margins = np.maximum(outputs - _of_class(outputs, targets)[..., None] + 1, 0)
    return np.asarray(margins * (1 - _is_class(outputs, targets)))


def _hinge(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    return _column_sum(_hinge_margins(outputs, targets))


def _hinge_gradient(outputs: FloatArray, targets: FloatArray) -> FloatArray:
    violates = (_hinge_margins(outputs, targets) > 0).astype(outputs.dtype)
    return np.asarray(violates - _column_sum(violates)[..., None] * _is_class(outputs, targets))


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        record.name: record
        for record in (
            Loss("half_squared_error", 0, _half_squared_error, _half_squared_error_gradient, "numbers"),
            Loss("mse", 1, _mse, _mse_gradient, "numbers"),
            Loss("mae", 2, _mae, _mae_gradient, "numbers"),
            Loss("huber", 3, _huber, _huber_gradient, "numbers"),
            Loss("binary_cross_entropy", 4, _binary_cross_entropy, _binary_cross_entropy_gradient, "shares"),
            Loss("softmax_cross_entropy", 5, _softmax_cross_entropy, _softmax_cross_entropy_gradient, "classes"),
            Loss("hinge", 6, _hinge, _hinge_gradient, "classes"),
        )
    }
)
"""Every loss by name."""
