"""What a lesson measures on points that no division of the data has: drawn anew, and beyond the range."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.evaluation import mean_losses
from engine.splits import Split
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]


def fresh_loss(trained: Trained) -> FloatArray:
    """Return the loss on points drawn anew from the rule behind the data; NaN where there is none to draw from."""
    if trained.draws.fresh is None:
        return np.full(trained.parameters.n_replicas, np.nan)
    return _loss(trained, trained.draws.fresh())


def beyond_to_constant(trained: Trained) -> FloatArray:
    """Return the loss beyond the range over that of the constant predictor, the mean training label, there."""
    beyond = _loss(trained, trained.draws.out_of_range)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(beyond / trained.draws.constant["out_of_range"], np.float64)


def _loss(trained: Trained, split: Split) -> FloatArray:
    losses = mean_losses(trained.network, trained.parameters, split, trained.loss, road="numpy")
    return np.asarray(losses, np.float64)


FRESH_PROBES: Mapping[str, Probe] = MappingProxyType({one.__name__: one for one in (fresh_loss, beyond_to_constant)})
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
