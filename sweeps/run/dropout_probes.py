"""What a lesson on dropout measures: masks at prediction, how alike units are, noisy pixels, Bishop's equivalence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig, dropout_rates
from engine.evaluation import predict
from engine.methods.activations import ACTIVATIONS
from engine.splits import Split
from engine.training import train
from sweeps.run.textbook_probes import layers
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
N_MASKS, STREAM_MASKS, STREAM_PIXEL_NOISE = 20, 24, 25
PIXEL_NOISE = 0.3
"""Standard deviation of noise on inputs whose range is 1."""
BISHOP_NOISE, BISHOP_EPOCHS, BISHOP_RATE = 0.5, 300, 0.02


def _classes(split: Split) -> npt.NDArray[np.intp]:
    y = np.asarray(split.y)
    return np.asarray(y[..., 0] if y.shape[2] == 1 else y.argmax(axis=2), np.intp)


def _unknown(trained: Trained) -> FloatArray:
    return np.full(trained.parameters.n_replicas, np.nan)


def masked_votes(trained: Trained, X: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Return the mean of the outputs' softmax and the votes under random masks, (2, R, n, classes).

    Twenty masks for each replica, the same for all points: twenty thinned networks, as dropout trains them.
    """
    network, parameters = trained.network, trained.parameters
    activation = ACTIVATIONS[network.activation]
    slope = activation.default_slope if network.activation_slope is None else network.activation_slope
    rates = dropout_rates(network, trained.training)[1:]
    R, n = parameters.n_replicas, X.shape[1]
    totals = np.zeros((2, R, n, network.n_outputs))
    W0, b0 = parameters.weights[0], parameters.biases[0]
    first = np.asarray(activation.function(X.astype(W0.dtype) @ W0 + b0[:, None, :], slope))
    for k in range(N_MASKS):
        A = first
        for i, (W, b) in enumerate(zip(parameters.weights[1:], parameters.biases[1:], strict=True)):
            rngs = [np.random.default_rng([STREAM_MASKS, k, i, int(seed)]) for seed in trained.draws.training_seeds]
            kept = np.stack([rng.random(A.shape[2]) for rng in rngs]) >= rates[i]
            Z = (A * (kept[:, None, :] / (1.0 - rates[i])).astype(A.dtype)) @ W + b[:, None, :]
            A = Z if i == len(rates) - 1 else np.asarray(activation.function(Z, slope))
        shares = np.exp(A - A.max(axis=2, keepdims=True))
        totals[0] += shares / shares.sum(axis=2, keepdims=True)
        totals[1] += A.argmax(axis=2)[..., None] == np.arange(network.n_outputs)
    return totals / N_MASKS


def _has_masks(trained: Trained) -> bool:
    return bool(trained.network.hidden_layer_sizes) and any(dropout_rates(trained.network, trained.training)[1:])


def masks_error(trained: Trained) -> FloatArray:
    """Return the share of wrong test points if twenty thinned networks predict together; NaN without dropout."""
    if not _has_masks(trained):
        return _unknown(trained)
    test = trained.draws.test
    return np.asarray((masked_votes(trained, test.X)[0].argmax(axis=2) != _classes(test)).mean(axis=1))


def _agreement_auc(trained: Trained, split: Split) -> FloatArray:
    """Return how well the masks' agreement tells right from wrong predictions: the area under the ROC curve."""
    if not _has_masks(trained):
        return _unknown(trained)
    from scipy.stats import rankdata  # half a second to import: only for those who use it

    mean, votes = masked_votes(trained, split.X)
    agree = votes.max(axis=2) + 1e-6 * mean.max(axis=2)  # ties of votes go by the mean
    right = mean.argmax(axis=2) == _classes(split)
    counts = np.ones(right.shape, np.bool_) if split.weight is None else np.asarray(split.weight) > 0
    found = _unknown(trained)
    for r in range(len(found)):
        a, is_right = agree[r][counts[r]], right[r][counts[r]]
        n, m = int(is_right.sum()), int((~is_right).sum())
        if n and m:
            found[r] = (rankdata(a)[is_right].sum() - n * (n + 1) / 2) / (n * m)
    return found


def masks_tell(trained: Trained) -> FloatArray:
    """Return `_agreement_auc` in range: 0.5 tells nothing, 1 everything."""
    return _agreement_auc(trained, trained.draws.in_range)


def masks_tell_beyond(trained: Trained) -> FloatArray:
    """Return `_agreement_auc` out of range."""
    return _agreement_auc(trained, trained.draws.out_of_range)


def _noisy(trained: Trained, X: npt.NDArray[np.floating[Any]]) -> FloatArray:
    rngs = [np.random.default_rng([STREAM_PIXEL_NOISE, int(seed)]) for seed in trained.draws.training_seeds]
    return X + PIXEL_NOISE * np.stack([rng.normal(size=X.shape[1:]) for rng in rngs])


def pixel_rise(trained: Trained) -> FloatArray:
    """Return by how much the share of wrong test points rises with Gaussian noise of 0.3 on their inputs."""
    test = trained.draws.test
    dtype = trained.parameters.weights[0].dtype
    wrong = [
        (predict(trained.network, trained.parameters, X.astype(dtype)).argmax(axis=2) != _classes(test)).mean(axis=1)
        for X in (np.asarray(test.X), _noisy(trained, np.asarray(test.X)))
    ]
    return np.asarray(wrong[1] - wrong[0])


def unit_correlation(trained: Trained) -> FloatArray:
    """Return the mean size of the correlation between units of the last hidden layer, at the test points."""
    found = layers(trained.network, trained.parameters, trained.draws.test.X)
    if not found or found[-1][0].shape[2] < 2:
        return _unknown(trained)
    A = found[-1][0] - found[-1][0].mean(axis=1, keepdims=True)
    norm = np.sqrt((A**2).sum(axis=1, keepdims=True))
    A = np.divide(A, norm, out=np.zeros_like(A), where=norm > 0)
    C = np.abs(A.transpose(0, 2, 1) @ A)
    alive = (norm[:, 0, :] > 0).sum(axis=1)
    return np.asarray((C.sum(axis=(1, 2)) - alive) / np.maximum(alive * (alive - 1), 1))


def activation_variance(trained: Trained) -> FloatArray:
    """Return the mean variance of hidden outputs over the test points, all layers."""
    found = layers(trained.network, trained.parameters, trained.draws.test.X)
    return (
        np.asarray(np.concatenate([A.var(axis=1) for A, _ in found], axis=1).mean(axis=1))
        if found
        else _unknown(trained)
    )


def bishop_gap(trained: Trained) -> FloatArray:
    """Return how far training with noisy inputs is from training with L2, over the largest weight.

    The noise has mean 0 and covariance 0.25 exactly: every point is replaced by its 2 d shifts by 0.5 sqrt(d) along one
    input. The penalty's strength is 0.25. Full batches, half the squared error.

    References
    ----------
    C. M. Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural Computation 7 (1995) 108-116.
    """
    split = trained.draws.train
    X, y = np.asarray(split.X, np.float64), np.asarray(split.y, np.float64)
    d = X.shape[2]
    shifts = BISHOP_NOISE * np.sqrt(d) * np.concatenate([np.eye(d), -np.eye(d)])
    noisy = Split(np.concatenate([X + shift for shift in shifts], axis=1), np.concatenate([y] * len(shifts), axis=1))
    ends = []
    for points, penalty in ((noisy, 0.0), (Split(X, y), BISHOP_NOISE**2)):
        config = TrainingConfig(
            loss="half_squared_error", learning_rate=BISHOP_RATE, batch_size=points.X.shape[1], order="fixed",
            regularizer="l2", regularization_rate=penalty, max_epochs=BISHOP_EPOCHS, dtype="float64",
        )  # fmt: skip
        network = replace(trained.network, output_activation="linear")
        ends.append(
            train(network, config, points, trained.draws.initialize(network), trained.draws.training_seeds,
                  look_at=[BISHOP_EPOCHS], evaluate_on={}).state.parameters.weights
        )  # fmt: skip
    gaps = [np.abs(a - b).reshape(len(a), -1).max(axis=1) for a, b in zip(*ends, strict=True)]
    sizes = [np.abs(b).reshape(len(b), -1).max(axis=1) for b in ends[1]]
    return np.asarray(np.max(gaps, axis=0) / np.maximum(np.max(sizes, axis=0), 1e-300))


DROPOUT_PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            masks_error, masks_tell, masks_tell_beyond, pixel_rise, unit_correlation, activation_variance, bishop_gap,
        )
    }
)  # fmt: skip
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
