"""What the trials of a sweep measure at every look besides losses, where its spec names it: ``probes = [...]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.records.lesson import of_layer
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.source import Draws, Losses
from sweeps.run.layer_probes import LAYER_PROBE_FUNCTIONS
from sweeps.run.learning_probes import clean_loss, wrong_loss
from sweeps.run.path_probes import gradient_norm
from sweeps.run.textbook_probes import weight_norm, weights_of, zero_weights
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
MOST_POINTS = 1000
"""Training points, the first ones, at which layers are looked at: outputs of all 60 000 images would take gigabytes."""
SHARES = (5, 25, 50, 75, 95)
"""Percents of the quantiles of the weights."""
DIGITS = 6
"""Of what a record keeps: the last ones of a sum may depend on the machine."""
SINGLE: Mapping[str, Probe] = {
    one.__name__: one for one in (gradient_norm, weight_norm, zero_weights, clean_loss, wrong_loss)
}
"""Those with one number a replica."""


@dataclass(frozen=True, slots=True)
class TrialProbes:
    """Measures the networks of a trial at a look.

    Parameters
    ----------
    names : tuple of str
        Of `sweeps.spec.measured.TRIAL_PROBES`.
    network : NetworkConfig
    training : TrainingConfig
    """

    names: tuple[str, ...]
    network: NetworkConfig
    training: TrainingConfig

    def measure(
        self, draws: Draws, parameters: Parameters, n_updates: int, diverged_at: npt.NDArray[np.int64]
    ) -> dict[str, FloatArray]:
        """Return what each probe finds, (R,) by name, of layers and quantiles by `of_layer`; NaN where diverged.

        Parameters
        ----------
        draws : Draws
            What the networks are trained on.
        parameters : Parameters
            Of R replicas.
        n_updates : int
            Updates done.
        diverged_at : ndarray (R,) of int
            -1 where a replica has not.
        """
        trained = Trained(self.network, self.training.loss, parameters, draws, self.training)
        found: dict[str, FloatArray] = {}
        with np.errstate(all="ignore"):
            for name in self.names:
                found |= _of(name, trained, n_updates)
            return {name: np.where(diverged_at < 0, row, np.nan) for name, row in found.items()}


def _of(name: str, trained: Trained, n_updates: int) -> dict[str, FloatArray]:
    if name in SINGLE:
        return {name: SINGLE[name](trained)}
    if name in LAYER_PROBE_FUNCTIONS:
        rows = LAYER_PROBE_FUNCTIONS[name](_at_some_points(trained))
        return {of_layer(name, i): row for i, row in enumerate(rows, start=1)}
    if name == "steps":
        return {name: np.full(trained.parameters.n_replicas, float(n_updates))}
    assert name == "weight_quantiles", name
    found = np.quantile(weights_of(trained), np.array(SHARES) / 100, axis=1)
    return {f"{name}.q{share}": row for share, row in zip(SHARES, found, strict=True)}


def _at_some_points(trained: Trained) -> Trained:
    train = trained.draws.train
    if train.X.shape[1] <= MOST_POINTS:
        return trained
    weight = None if train.weight is None else train.weight[:, :MOST_POINTS]
    some = Split(train.X[:, :MOST_POINTS], train.y[:, :MOST_POINTS], weight)
    return dataclasses.replace(trained, draws=dataclasses.replace(trained.draws, train=some))


def over_replicas(found: Losses) -> dict[str, list[float | None]]:
    """Return what a record keeps: mean, 10 % and 90 % quantile over the replicas that have not diverged, by look.

    Parameters
    ----------
    found : dict of str to ndarray (G, R)
        What was measured at each look; not finite where a replica has nothing to measure.
    """
    kept: dict[str, list[float | None]] = {}
    for name, rows in found.items():
        known = [row[np.isfinite(row)] for row in rows]
        kept[f"{name}_mean"] = [_plain(row.mean()) if row.size else None for row in known]
        for share in (10, 90):
            kept[f"{name}_q{share}"] = [_plain(np.quantile(row, share / 100)) if row.size else None for row in known]
    return kept


def _plain(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
