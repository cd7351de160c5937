"""What a lesson measures on trained networks besides losses: one number a replica, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.evaluation import mean_losses, predict
from engine.methods.activations import ACTIVATIONS
from engine.network import Parameters
from engine.training import train
from sweeps.run.dropout_probes import DROPOUT_PROBES
from sweeps.run.fresh_probes import FRESH_PROBES
from sweeps.run.learning_probes import LEARNING_PROBES
from sweeps.run.path_probes import LOOK_PROBES
from sweeps.run.scale_probes import SCALE_PROBES
from sweeps.run.surface_probes import SURFACE_PROBES, loss_surface, weights
from sweeps.run.textbook_probes import TEXTBOOK_PROBES, weight_quantiles
from sweeps.run.trained import Probe, Trained
from sweeps.run.wrong_gradient import wrong_gradient_loss

FloatArray = npt.NDArray[np.float64]
N_RAYS, N_ON_RAY = 24, 16
NEAR, FAR = 1.2, 3.0
"""Where a ray begins and ends, in units of the distance at which it leaves the box."""
LEAST_CHANGE = 1e-9
STEP = 1e-3
SATURATED_BELOW = 0.05
"""Share of its largest derivative below which a unit counts as saturated."""
LARGEST_DERIVATIVE: Mapping[str, float] = MappingProxyType({"sigmoid": 0.25})
"""Where it is not 1."""


def rays(trained: Trained) -> FloatArray:
    """Return points (R, rays, steps, d) on rays from the middle of each replica's box, equally spaced beyond it."""
    low, high = trained.box
    middle, half = (low + high) / 2, (high - low) / 2
    d = low.shape[1]
    if d == 2:
        angles = 2 * np.pi * (np.arange(N_RAYS) + 0.5) / N_RAYS
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        directions = np.random.default_rng(0).normal(size=(N_RAYS, d))
    # The distance at which a direction leaves the box, of each replica.
    with np.errstate(divide="ignore"):
        leaves = np.min(half[:, None, :] / np.abs(directions)[None], axis=2)
    steps = np.linspace(NEAR, FAR, N_ON_RAY)
    reach = leaves[:, :, None] * steps
    return np.asarray(middle[:, None, None, :] + reach[..., None] * directions[None, :, None, :], np.float64)


def _ray_scores(trained: Trained) -> FloatArray:
    points = rays(trained)
    R, n, m, d = points.shape
    return trained.scores(points.reshape(R, n * m, d)).reshape(R, n, m)


def ray_line(trained: Trained) -> FloatArray:
    """Return R^2 of a straight line along rays beyond the box, over all rays: 1 is linear; NaN where all is flat."""
    scores = _ray_scores(trained)
    t = np.linspace(-1.0, 1.0, scores.shape[-1])
    centred = scores - scores.mean(axis=-1, keepdims=True)
    slope = (centred * t).sum(axis=-1, keepdims=True) / (t * t).sum()
    left = ((centred - slope * t) ** 2).sum(axis=(1, 2))
    total = (centred**2).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > LEAST_CHANGE, 1.0 - left / total, np.nan)


def ray_change(trained: Trained) -> FloatArray:
    """Return how much the score changes along rays beyond the box, over its spread at the training points.

    The root mean square of last minus first score on a ray, over the standard deviation at the training points.
    """
    scores = _ray_scores(trained)
    inside = trained.scores(np.asarray(trained.draws.train.X, np.float64))
    spread = inside.std(axis=1)
    change = np.sqrt(((scores[:, :, -1] - scores[:, :, 0]) ** 2).mean(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > LEAST_CHANGE, change / spread, np.nan)


def saturated(trained: Trained) -> FloatArray:
    """Return the share of hidden units and points beyond the box at which the activation's derivative is nearly 0."""
    network, parameters = trained.network, trained.parameters
    activation = ACTIVATIONS[network.activation]
    slope = activation.default_slope if network.activation_slope is None else network.activation_slope
    points = rays(trained)
    R, n, m, d = points.shape
    A = points.reshape(R, n * m, d)
    shares = []
    for W, b in zip(parameters.weights[:-1], parameters.biases[:-1], strict=True):
        Z = A @ W.astype(np.float64) + b.astype(np.float64)[:, None, :]
        A = np.asarray(activation.function(Z, slope), np.float64)
        derivative = np.abs(activation.derivative(Z, A, slope)) / LARGEST_DERIVATIVE.get(network.activation, 1.0)
        shares.append((derivative < SATURATED_BELOW).mean(axis=1))
    return np.concatenate(shares, axis=1).mean(axis=1) if shares else np.zeros(R)


def agreement(trained: Trained) -> FloatArray:
    """Return the share of the other replicas that give the same sign as this one at common points beyond the box.

    The points are on the rays of a box that holds every replica's; 0.5 is what coins do.
    """
    low, high = trained.box
    R = len(low)
    if R < 2:
        return np.full(R, np.nan)
    points = rays(trained)[:1]
    scale = np.max(np.maximum(np.abs(low), np.abs(high))) / max(float(np.abs(np.stack([low[0], high[0]])).max()), 1e-12)
    common = np.broadcast_to(points.reshape(1, -1, points.shape[-1]) * scale, (R, points[0, ..., 0].size, low.shape[1]))
    positive = trained.scores(np.asarray(common)) > 0
    share = positive.mean(axis=0)
    alike = np.where(positive, share, 1.0 - share)
    return np.asarray((alike.mean(axis=1) * R - 1) / (R - 1), np.float64)


def far_right(trained: Trained) -> FloatArray:
    """Return the share of the out-of-range points whose sign the network gets right."""
    split = trained.draws.out_of_range
    right = (trained.scores(np.asarray(split.X, np.float64)) > 0) == (np.asarray(split.y)[..., 0] > 0)
    weight = np.ones(right.shape) if split.weight is None else np.asarray(split.weight, np.float64)
    n = weight.sum(axis=1)
    return np.where(n > 0, (right * weight).sum(axis=1) / np.maximum(n, 1), np.nan)


def swap_rise(trained: Trained) -> FloatArray:
    """Return by how much the training loss rises half way to a twin with two hidden units swapped.

    The twin has the same loss; over a bowl the loss half way could not be higher. NaN without two hidden units.
    """
    parameters, network = trained.parameters, trained.network
    if not network.hidden_layer_sizes or network.hidden_layer_sizes[0] < 2:
        return np.full(parameters.n_replicas, np.nan)
    weights, biases = [W.copy() for W in parameters.weights], [b.copy() for b in parameters.biases]
    for array, axis in ((weights[0], 2), (biases[0], 1), (weights[1], 1)):
        one, other = np.take(array, 0, axis=axis), np.take(array, 1, axis=axis)
        middle = (one + other) / 2
        index: list[slice | int] = [slice(None)] * array.ndim
        for unit in (0, 1):
            index[axis] = unit
            array[tuple(index)] = middle
    half_way = Parameters(weights, biases, parameters.slopes)
    there, here = (
        mean_losses(network, one, trained.draws.train, trained.loss, road="numpy") for one in (half_way, parameters)
    )
    return np.asarray(there - here, np.float64)


def first_gradient(trained: Trained) -> FloatArray:
    """Return the gradient of the first layer's weights over that of the last's, before training: small is vanishing.

    Root mean squares of the whole training set's gradient, read off one step of plain gradient descent.
    """
    network, split = trained.network, trained.draws.train
    start = trained.draws.initialize(network)
    config = TrainingConfig(
        loss=trained.loss,
        optimizer="sgd",
        learning_rate=STEP,
        batch_size=split.X.shape[1],
        partial_batch="keep",
        max_epochs=1,
        dtype="float64",
    )
    stepped = train(network, config, split, start, trained.draws.training_seeds, look_at=[1], evaluate_on={})
    sizes = [
        np.sqrt(((np.asarray(before, np.float64) - after) ** 2).mean(axis=(1, 2)))
        for before, after in zip(start.weights, stepped.state.parameters.weights, strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sizes[-1] > 0, sizes[0] / sizes[-1], np.nan)


def collapse_error(trained: Trained) -> FloatArray:
    """Return how far a network's scores are from those of the one layer that its weights multiply to.

    The largest difference at the training points, over the largest score; NaN where an activation is not linear.
    """
    network, parameters = trained.network, trained.parameters
    if network.activation != "linear" and network.hidden_layer_sizes:
        return np.full(parameters.n_replicas, np.nan)
    X = np.asarray(trained.draws.train.X, np.float64)
    weight = parameters.weights[0].astype(np.float64)
    bias = parameters.biases[0].astype(np.float64)[:, None, :]
    for W, b in zip(parameters.weights[1:], parameters.biases[1:], strict=True):
        weight, bias = weight @ W.astype(np.float64), bias @ W.astype(np.float64) + b.astype(np.float64)[:, None, :]
    one_layer = (X @ weight + bias)[..., 0]
    scores = trained.scores(X)
    return np.asarray(np.abs(scores - one_layer).max(axis=1) / np.maximum(np.abs(scores).max(axis=1), 1e-30))


PROBE_FUNCTIONS: Mapping[str, Probe] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            ray_line,
            ray_change,
            saturated,
            agreement,
            far_right,
            swap_rise,
            first_gradient,
            collapse_error,
        )
    }
    | dict(TEXTBOOK_PROBES)
    | dict(LEARNING_PROBES)
    | dict(FRESH_PROBES)
    | dict(DROPOUT_PROBES)
    | dict(SCALE_PROBES)
    | dict(LOOK_PROBES)
    | {wrong_gradient_loss.__name__: wrong_gradient_loss}
    | dict(SURFACE_PROBES)
)
"""By the names of `sweeps.spec.measured.PROBES`."""


def templates(trained: Trained) -> FloatArray:
    """Return the first layer's weights of the first replica, of a linear classifier its templates, and its biases.

    A row an input, the last one the biases; a column a unit.
    """
    weights, biases = trained.parameters.weights[0][0], trained.parameters.biases[0][0]
    return np.asarray(np.concatenate([weights, biases[None]]), np.float64)


def images(trained: Trained) -> FloatArray:
    """Return the first replica's first test image with its scores and its class, one after the other."""
    split = trained.draws.test
    network = replace(trained.network, output_activation="linear")
    scores = predict(network, trained.parameters, split.X[:, :1])[0, 0]
    return np.concatenate([np.asarray(one, np.float64).ravel() for one in (split.X[0, 0], scores, split.y[0, 0])])


ARRAY_FUNCTIONS: Mapping[str, Probe] = MappingProxyType(
    {one.__name__: one for one in (templates, images, weights, loss_surface, weight_quantiles)}
)
"""By the names of `sweeps.spec.measured.ARRAYS`."""
