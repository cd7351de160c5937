"""Points and targets, with a replica axis."""

from __future__ import annotations

from dataclasses import dataclass

from engine.network import FloatArray


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
        Weight of each point in a mean, or (1, n) for all replicas; 0 leaves a point out (padding). None means 1. In
        training only the ratios of a replica's weights count, see `engine.configuration.TrainingConfig`.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None = None
