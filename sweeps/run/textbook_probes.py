"""What the textbook's lessons measure on networks besides `sweeps.run.probes`: signals, gradients, weights, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.evaluation import predict
from engine.methods.activations import ACTIVATIONS
from engine.network import NetworkConfig, Parameters
from engine.scalar_graph import network_gradients
from engine.splits import Split
from engine.training import train
from sweeps.run.trained import Probe, Trained

FloatArray = npt.NDArray[np.float64]
UNEQUAL_EPOCHS = 20
GRAPH_POINTS, GRAPH_REPLICAS, GRAPH_L2 = 3, 2, 0.1
"""A graph of single numbers is slow: so many points, replicas, and the strength of the penalty in it."""
N_BINS = 10


def layers(
    network: NetworkConfig, parameters: Parameters, X: npt.NDArray[np.floating[Any]]
) -> list[tuple[FloatArray, FloatArray]]:
    """Return each hidden layer's output and its derivative by the layer's weighted input, (R, n, units) each."""
    activation = ACTIVATIONS[network.activation]
    given = activation.default_slope if network.activation_slope is None else network.activation_slope
    A, found = np.asarray(X, np.float64), []
    for i, (W, b) in enumerate(zip(parameters.weights[:-1], parameters.biases[:-1], strict=True)):
        slope = given if parameters.slopes is None else parameters.slopes[:, i, None, None].astype(np.float64)
        Z = A @ W.astype(np.float64) + b.astype(np.float64)[:, None, :]
        A = np.asarray(activation.function(Z, slope), np.float64)
        found.append((A, np.asarray(activation.derivative(Z, A, slope), np.float64)))
    return found


def _rms(values: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt((values**2).mean(axis=(1, 2))))


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / b, np.nan)


def _unknown(trained: Trained) -> FloatArray:
    return np.full(trained.parameters.n_replicas, np.nan)


def signal_kept(trained: Trained) -> FloatArray:
    """Return the last hidden layer's size over the first's before training: 1 keeps the signal on its way forward.

    Root mean squares of the outputs at the training points; NaN with fewer than two hidden layers.
    """
    if len(trained.network.hidden_layer_sizes) < 2:
        return _unknown(trained)
    found = layers(trained.network, trained.draws.initialize(trained.network), trained.draws.train.X)
    return _ratio(_rms(found[-1][0]), _rms(found[0][0]))


def backward_kept(trained: Trained) -> FloatArray:
    """Return the first hidden layer's gradient over the last's before training: 1 keeps it on its way back.

    Of the output's score by each layer's weighted inputs, root mean squares at the training points; NaN with fewer
    than two hidden layers.
    """
    if len(trained.network.hidden_layer_sizes) < 2:
        return _unknown(trained)
    start = trained.draws.initialize(trained.network)
    found = layers(trained.network, start, trained.draws.train.X)
    last = G = start.weights[-1].astype(np.float64).sum(axis=2)[:, None, :] * found[-1][1]
    for W, (_, derivative) in zip(start.weights[-2:0:-1], found[-2::-1], strict=True):
        G = (G @ W.astype(np.float64).transpose(0, 2, 1)) * derivative
    return _ratio(_rms(G), _rms(last))


def _apart(parameters: Parameters) -> FloatArray:
    W, b = parameters.weights[0].astype(np.float64), parameters.biases[0].astype(np.float64)
    incoming = np.concatenate([W, b[:, None, :]], axis=1)
    return np.asarray((incoming.max(axis=2) - incoming.min(axis=2)).max(axis=1))


def units_apart(trained: Trained) -> FloatArray:
    """Return the largest difference between first-layer units' incoming weights: 0 only if equal to the last bit."""
    return _apart(trained.parameters) if trained.network.hidden_layer_sizes else _unknown(trained)


def units_apart_unequal(trained: Trained) -> FloatArray:
    """Return `units_apart` after twenty full-batch steps from the same start with unequal output weights.

    The output weights are multiplied by 0.5 to 1.5, unit by unit; the first layer's stay as they are.
    """
    network, split = trained.network, trained.draws.train
    if len(network.hidden_layer_sizes) != 1:
        return _unknown(trained)
    start = trained.draws.initialize(network)
    factors = np.linspace(0.5, 1.5, network.hidden_layer_sizes[0])[None, :, None]
    start = Parameters([start.weights[0], start.weights[1] * factors], start.biases, start.slopes)
    config = _full_batch(trained.loss, split, 0.1, UNEQUAL_EPOCHS)
    keys = trained.draws.training_seeds
    return _apart(train(network, config, split, start, keys, look_at=[UNEQUAL_EPOCHS], evaluate_on={}).state.parameters)


def _full_batch(loss: str, split: Split, rate: float, epochs: int) -> TrainingConfig:
    return TrainingConfig(
        loss=loss,
        optimizer="sgd",
        learning_rate=rate,
        batch_size=split.X.shape[1],
        max_epochs=epochs,
        order="fixed",
        dtype="float64",
    )


def gradients(trained: Trained, split: Split, penalty: float = 0.0) -> list[FloatArray]:
    """Return the engine's gradient at the first weights and biases, read off one step at rate 1."""
    start = trained.draws.initialize(trained.network)
    config = replace(_full_batch(trained.loss, split, 1.0, 1), regularizer="l2", regularization_rate=penalty)
    keys = trained.draws.training_seeds[: split.X.shape[0]]
    start = start.select(slice(0, split.X.shape[0]))
    after = train(trained.network, config, split, start, keys, look_at=[1], evaluate_on={}).state.parameters
    pairs = zip([*start.weights, *start.biases], [*after.weights, *after.biases], strict=True)
    return [np.asarray(before, np.float64) - now for before, now in pairs]


def half_batches(trained: Trained) -> FloatArray:
    """Return how far the mean of two half-batches' gradients is from the whole batch's, over its largest entry."""
    X, y = (np.asarray(one, np.float64) for one in (trained.draws.train.X, trained.draws.train.y))
    half = X.shape[1] // 2
    parts = [Split(X[:, i : i + half], y[:, i : i + half]) for i in (0, half)]
    whole = gradients(trained, Split(X[:, : 2 * half], y[:, : 2 * half]))
    one, other = (gradients(trained, part) for part in parts)
    return _gap(whole, [(a + b) / 2 for a, b in zip(one, other, strict=True)])


def _gap(these: list[FloatArray], those: list[FloatArray]) -> FloatArray:
    differences = [np.abs(a - b).reshape(len(a), -1).max(axis=1) for a, b in zip(these, those, strict=True)]
    sizes = [np.abs(a).reshape(len(a), -1).max(axis=1) for a in these]
    return np.asarray(np.max(differences, axis=0) / np.maximum(np.max(sizes, axis=0), 1e-300))


def graph_gap(trained: Trained) -> FloatArray:
    """Return how far the engine's gradients are from those of a graph of single numbers, over the largest entry.

    Three training points of the first two replicas, with an L2 branch of strength 0.1 on the weights; NaN for others.
    """
    X, y = (np.asarray(one[:GRAPH_REPLICAS, :GRAPH_POINTS], np.float64) for one in _points(trained.draws.train))
    engine = gradients(trained, Split(X, y), GRAPH_L2)
    start = trained.draws.initialize(trained.network)
    found = _unknown(trained)
    for r in range(len(X)):
        weights, biases = [W[r] for W in start.weights], [b[r] for b in start.biases]
        graph = network_gradients(trained.network, weights, biases, X[r], y[r], GRAPH_L2)
        found[r] = _gap([one[r : r + 1] for one in engine], [one[None] for one in graph])[0]
    return found


def _points(split: Split) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    return split.X, split.y


def dead_units(trained: Trained) -> FloatArray:
    """Return the share of hidden units through which no gradient goes: derivative 0 at every training point."""
    found = layers(trained.network, trained.parameters, trained.draws.train.X)
    if not found:
        return _unknown(trained)
    return np.asarray(np.concatenate([(D == 0).all(axis=1) for _, D in found], axis=1).mean(axis=1))


def off_centre(trained: Trained) -> FloatArray:
    """Return how far hidden outputs are from zero-centred: the size of a unit's mean over its root mean square."""
    found = layers(trained.network, trained.parameters, trained.draws.train.X)
    if not found:
        return _unknown(trained)
    A = np.concatenate([A for A, _ in found], axis=2)
    return _ratio(np.abs(A.mean(axis=1)).mean(axis=1), np.sqrt((A**2).mean(axis=1)).mean(axis=1))


def weights_of(trained: Trained) -> FloatArray:
    """Return all weights of each replica, biases not among them, (R, weights)."""
    rows = [W.astype(np.float64).reshape(len(W), -1) for W in trained.parameters.weights]
    return np.concatenate(rows, axis=1)


def weight_size(trained: Trained) -> FloatArray:
    """Return the root mean square of all weights."""
    return np.asarray(np.sqrt((weights_of(trained) ** 2).mean(axis=1)))


def weight_norm(trained: Trained) -> FloatArray:
    """Return the root of the sum of squares of all weights, biases not among them."""
    return np.asarray(np.sqrt((weights_of(trained) ** 2).sum(axis=1)))


def weight_spread(trained: Trained) -> FloatArray:
    """Return (mean |w|)^2 / mean w^2: 1 if all weights are equally large, near 0 if few are large."""
    W = weights_of(trained)
    return _ratio(np.abs(W).mean(axis=1) ** 2, (W**2).mean(axis=1))


def zero_weights(trained: Trained) -> FloatArray:
    """Return the share of weights that are exactly 0: links that L1 has killed."""
    return np.asarray((weights_of(trained) == 0).mean(axis=1))


def weight_quantiles(trained: Trained) -> FloatArray:
    """Return the 101 quantiles, 0 to 100 %, of the weights of all replicas that did not diverge, biases not among them.

    Returns
    -------
    ndarray (101,)
        Values of the quantiles; no element where all replicas diverged. Each is a weight, none lies between two.
    """
    found = weights_of(trained)
    known = found[np.isfinite(found).all(axis=1)]
    if not known.size:
        return np.array([])
    return np.asarray(np.quantile(known, np.linspace(0.0, 1.0, 101), method="nearest"))


def _classes(trained: Trained) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return scores (R, n, classes) and classes (R, n) of the test points; one output is a score against 0."""
    split = trained.draws.test
    network = replace(trained.network, output_activation="linear")
    scores = np.asarray(predict(network, trained.parameters, split.X), np.float64)
    y = np.asarray(split.y)
    if scores.shape[2] == 1:
        return np.concatenate([-scores, scores], axis=2), (y[..., 0] > 0).astype(np.intp)
    classes = y[..., 0].astype(np.intp) if y.shape[2] == 1 else y.argmax(axis=2)
    return scores, classes


def test_error(trained: Trained) -> FloatArray:
    """Return the share of test points whose class has not the largest score."""
    scores, classes = _classes(trained)
    return np.asarray((scores.argmax(axis=2) != classes).mean(axis=1))


def calibration_gap(trained: Trained) -> FloatArray:
    """Return the expected calibration error of the scores' softmax: |confidence - accuracy| over ten equal bins.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks", ICML 2017, equation 3.
    """
    scores, classes = _classes(trained)
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    confidence, right = shares.max(axis=2), shares.argmax(axis=2) == classes
    bins = np.minimum((confidence * N_BINS).astype(np.intp), N_BINS - 1)
    gaps = [np.abs(((confidence - right) * (bins == k)).sum(axis=1)) for k in range(N_BINS)]
    return np.asarray(np.sum(gaps, axis=0) / confidence.shape[1])


def template_match(trained: Trained) -> FloatArray:
    """Return the share of classes whose mean training image goes most with their own template.

    A template is the class's weights of a network without hidden layers; means and templates are centred over the
    classes, and compared by their correlation over the pixels. NaN with hidden layers.
    """
    if trained.network.hidden_layer_sizes or trained.network.n_outputs < 2:
        return _unknown(trained)
    X, y = (np.asarray(one, np.float64) for one in _points(trained.draws.train))
    columns = y if y.shape[2] > 1 else (y == np.arange(trained.network.n_outputs)).astype(np.float64)
    means = (columns.transpose(0, 2, 1) @ X) / np.maximum(columns.sum(axis=1), 1.0)[..., None]
    templates = trained.parameters.weights[0].astype(np.float64).transpose(0, 2, 1)
    a, b = (one - one.mean(axis=1, keepdims=True) for one in (means, templates))
    a, b = (one - one.mean(axis=2, keepdims=True) for one in (a, b))
    alike = a @ b.transpose(0, 2, 1) / np.maximum(np.linalg.norm(a, axis=2)[..., None], 1e-300)
    alike = alike / np.maximum(np.linalg.norm(b, axis=2)[:, None, :], 1e-300)
    return np.asarray((alike.argmax(axis=2) == np.arange(alike.shape[1])).mean(axis=1))


TEXTBOOK_PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        one.__name__: one
        for one in (
            signal_kept,
            backward_kept,
            units_apart,
            units_apart_unequal,
            half_batches,
            graph_gap,
            dead_units,
            off_centre,
            weight_size,
            weight_norm,
            weight_spread,
            zero_weights,
            test_error,
            calibration_gap,
            template_match,
        )
    }
)
"""By name; `sweeps.run.probes.PROBE_FUNCTIONS` has them too."""
