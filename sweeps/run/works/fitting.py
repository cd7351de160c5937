"""Models without training by gradient descent: nearest neighbours, kernel ridge regression, a network's own kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.spatial.distance import cdist

from engine.evaluation import predict
from engine.methods.activations import ACTIVATIONS
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import train
from sweeps.run.works.found import Asked, Found
from sweeps.spec.works import FitWork

FloatArray = npt.NDArray[np.float64]
SMALLEST_RIDGE = 1e-10
"""Of a kernel's mean diagonal: what keeps a system solvable that is to be solved without a ridge."""
_DISTANCES = {"euclidean": "euclidean", "manhattan": "cityblock"}


def fit(work: FitWork, asked: Asked) -> Found:
    """Return the share of wrong points of one model on each split, and its mean squared error; see `FitWork`.

    Labels are -1 and 1, and models give numbers whose sign is the class.
    """
    draws = asked.draws
    R = len(draws.seeds)
    splits = {"train": draws.train, "test": draws.test, "in_range": draws.in_range, "out_of_range": draws.out_of_range}
    scores = _network_scores(asked, splits) if work.model == "network" else {}
    measured = {f"{what}_{name}": np.full(R, np.nan) for name in splits for what in ("wrong", "squared")}
    for r in range(R):
        if not scores or work.model != "network":
            points = [np.asarray(one.X[r], np.float64) for one in splits.values()]
            found = dict(zip(splits, _scores(work, asked, r, points), strict=True))
        else:
            found = {name: values[r] for name, values in scores.items()}
        for name, split in splits.items():
            weight = np.ones(split.X.shape[1]) if split.weight is None else np.asarray(split.weight[r], np.float64)
            if weight.sum() > 0:
                y = np.asarray(split.y[r, :, 0], np.float64)
                measured[f"wrong_{name}"][r] = np.average((found[name] > 0) != (y > 0), weights=weight)
                measured[f"squared_{name}"][r] = np.average((found[name] - y) ** 2, weights=weight)
    return Found(measured)


def _scores(work: FitWork, asked: Asked, r: int, points: list[FloatArray]) -> list[FloatArray]:
    """Return one replica's scores at each of some lists of points, the first one being the training points."""
    X, y = points[0], np.asarray(asked.draws.train.y[r, :, 0], np.float64)
    if work.model == "neighbours":
        return [neighbours(X, y, Z, work.k, work.distance) for Z in points]
    if work.model == "kernel_ridge":
        return kernel_ridge([gaussian_kernel(Z, X, work.width) for Z in points], y, work.ridge)
    if work.model == "network_kernel":
        network = replace(asked.network, hidden_layer_sizes=(work.n_units,), output_activation="linear")
        first = asked.draws.initialize(network).select(slice(r, r + 1))
        maps = [tangent_features(network, first, Z) for Z in points]
        return kernel_ridge([one @ maps[0].T for one in maps], y, work.ridge)
    raise ValueError(f"work.model: {work.model!r} is no model")


def neighbours(X: FloatArray, y: FloatArray, Z: FloatArray, k: int, distance: str) -> FloatArray:
    """Return the mean label of the k nearest training points; ties of distance go by the order of the points."""
    nearest = np.argsort(cdist(Z, X, _DISTANCES[distance]), axis=1, kind="stable")[:, :k]  # type: ignore[call-overload]
    return np.asarray(y[nearest].mean(axis=1))


def gaussian_kernel(Z: FloatArray, X: FloatArray, width: float) -> FloatArray:
    """Return exp(-|z - x|^2 / (2 width^2))."""
    return np.asarray(np.exp(-cdist(Z, X, "sqeuclidean") / (2.0 * width**2)))


def tangent_features(network: NetworkConfig, parameters: Parameters, Z: FloatArray) -> FloatArray:
    """Return the gradient of the output by all weights and biases at each point, (n, parameters), one hidden layer.

    Their scalar products are the network's own kernel at its start.

    References
    ----------
    A. Jacot, F. Gabriel, C. Hongler, "Neural tangent kernel", NeurIPS 2018.
    """
    W, b, v = (
        np.asarray(one[0], np.float64) for one in (parameters.weights[0], parameters.biases[0], parameters.weights[1])
    )
    activation = ACTIVATIONS[network.activation]
    slope = activation.default_slope if network.activation_slope is None else network.activation_slope
    totals = Z @ W + b
    A = np.asarray(activation.function(totals, slope), np.float64)
    D = np.asarray(activation.derivative(totals, A, slope), np.float64) * v[:, 0]
    by_weights = (Z[:, :, None] * D[:, None, :]).reshape(len(Z), -1)
    return np.concatenate([by_weights, D, A, np.ones((len(Z), 1))], axis=1)


def kernel_ridge(kernels: list[FloatArray], y: FloatArray, ridge: float) -> list[FloatArray]:
    """Return kernel ridge regression's predictions; the first kernel is the training points' own."""
    K = kernels[0]
    mean = float(y.mean())
    scale = float(np.trace(K)) / len(K)
    system = K + max(ridge, SMALLEST_RIDGE) * scale * np.eye(len(K))
    weights = linalg.solve(system, y - mean, assume_a="pos")
    return [np.asarray(one @ weights + mean) for one in kernels]


def _network_scores(asked: Asked, splits: dict[str, Split]) -> dict[str, FloatArray]:
    first = asked.draws.initialize(asked.network)
    state = train(
        asked.network, asked.training, asked.draws.train, first, asked.draws.training_seeds, look_at=[asked.looks[-1]],
        evaluate_on={},
    ).state  # fmt: skip
    return {
        name: np.asarray(predict(asked.network, state.parameters, split.X), np.float64)[..., 0]
        for name, split in splits.items()
    }
