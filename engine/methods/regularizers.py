"""Penalties on the weights, one record each. Biases and learnt slopes are penalised by ``"l2_all"`` alone.

Codes for the compiled road: none 0, l1 1, l1_subgradient 2, l2 3, l2_all 4. With lambda =
`TrainingConfig.regularization_rate`:

none
    nothing.
l1
    The Playground's, after the step w -> w1 from the value w before the update: ``w2 = w1 - lr lambda sign(w)``; where
    ``w1 w2 < 0`` the weight becomes 0 and its link is dead for ever. Penalty ``lambda |w|``.
l1_subgradient
    The textbook's, in the gradient: ``g += lambda sign(w)``, ``sign(0) = 0``. Penalty ``lambda |w|``.
l2
    In the gradient: ``g += lambda w``. Penalty ``(lambda / 2) w**2``. With plain SGD this is the Playground's L2.
l2_all
    The same for weights, biases and learnt slopes alike: what ``weight_decay`` of PyTorch's SGD does.

The penalty belongs to the objective, never to a reported loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from engine.network import FloatArray


@dataclass(frozen=True, slots=True)
class Regularizer:
    """One penalty.

    Parameters
    ----------
    name : str
        Key in `REGULARIZERS`.
    code : int
        What the compiled road calls it; `engine.methods.codes.UNCOMPILED` where it has no form there.
    penalty : callable W -> array shaped like W
        Penalty of each weight for lambda = 1.
    gradient : callable W -> array shaped like W
        Its derivative for lambda = 1.
    in_gradient : bool
        Whether the derivative joins the gradient before the optimizer's step (``"l1"`` acts after it).
    on_all : bool
        Whether biases and learnt slopes are penalised as weights are.
    """

    name: str
    code: int
    penalty: Callable[[FloatArray], FloatArray]
    gradient: Callable[[FloatArray], FloatArray]
    in_gradient: bool
    on_all: bool = False


def _half_square(W: FloatArray) -> FloatArray:
    return 0.5 * W * W


def _same(W: FloatArray) -> FloatArray:
    return W


REGULARIZERS: Mapping[str, Regularizer] = MappingProxyType(
    {
        record.name: record
        for record in (
            Regularizer("none", 0, np.zeros_like, np.zeros_like, in_gradient=False),
            Regularizer("l1", 1, np.abs, np.sign, in_gradient=False),
            Regularizer("l1_subgradient", 2, np.abs, np.sign, in_gradient=True),
            Regularizer("l2", 3, _half_square, _same, in_gradient=True),
            Regularizer("l2_all", 4, _half_square, _same, in_gradient=True, on_all=True),
        )
    }
)
"""Every penalty by name."""
