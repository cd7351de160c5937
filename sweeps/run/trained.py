"""Networks that have been trained, as probes see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.network import NetworkConfig, Parameters
from sweeps.data.source import Draws

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trained:
    """Networks that have been trained, with what they were trained on."""

    network: NetworkConfig
    loss: str
    parameters: Parameters
    draws: Draws
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest training input of each replica, (R, d) each."""
        X = np.asarray(self.draws.train.X, np.float64)
        return X.min(axis=1), X.max(axis=1)

    def scores(self, X: FloatArray) -> FloatArray:
        """Return the weighted input of the output unit, (R, n): a bounded output hides what a network does."""
        network = replace(self.network, output_activation="linear")
        return np.asarray(predict(network, self.parameters, X.astype(self.parameters.weights[0].dtype)), np.float64)[
            ..., 0
        ]


Probe = Callable[[Trained], FloatArray]
