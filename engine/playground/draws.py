"""The TensorFlow Playground page: its data draws, its initial weights, its address.

One seed string fixes a draw: the points, their order, the split, and the initial weights of any network that is then
built, because all of them come from one stream of random numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from engine.names import check_name, look_up
from engine.network import FloatArray, Parameters
from engine.playground import steps
from engine.playground.choice import runs_compiled
from engine.playground.dataset import Dataset
from engine.playground.registry import DATASETS
from engine.playground.seedrandom import SeedStreams
from engine.splits import Split

FEATURES: Mapping[str, Callable[[FloatArray, FloatArray], FloatArray]] = MappingProxyType(
    {
        "x": lambda x, _: x,
        "y": lambda _, y: y,
        "xSquared": lambda x, _: x * x,
        "ySquared": lambda _, y: y * y,
        "xTimesY": lambda x, y: x * y,
        "sinX": lambda x, _: np.sin(x),
        "sinY": lambda _, y: np.sin(y),
    }
)
"""What the network can be shown of a point, in the order of the page's inputs."""

INITIAL_BIAS = 0.1
N_WEIGHTS_READY = 512  # more than six layers of eight on seven inputs need


# --- data and weights -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageDraws:
    """Data of R replicas, each drawn by the page from its own seed, and the streams their weights come from.

    Parameters
    ----------
    dataset : str
        Name in `engine.playground.registry.DATASETS`.
    noise : float
        Noise as a fraction.
    seeds : tuple of str
        Page seed of each replica.
    features : tuple of str
        Names in `FEATURES`, in the order of the columns of X.
    train, test : Split
        Features (R, n, n_features) and labels (R, n, 1), float64; `train` in the page's training order.
    train_points, test_points : ndarray (R, n, 2)
        The same points' coordinates.
    """

    dataset: str
    noise: float
    seeds: tuple[str, ...]
    features: tuple[str, ...]
    train: Split
    test: Split
    train_points: FloatArray
    test_points: FloatArray
    _stream: SeedStreams
    _numbers: FloatArray

    @property
    def n_replicas(self) -> int:
        """Number of replicas R."""
        return len(self.seeds)

    def initial_parameters(self, layer_sizes: Sequence[int], init_zero: bool = False) -> Parameters:
        """Return the page's initial weights and biases for a network on these draws.

        Weights are uniform in [-0.5, 0.5), drawn from where the data left each replica's stream, so that the same
        draws serve networks of any shape. Biases are 0.1.

        Parameters
        ----------
        layer_sizes : sequence of int
            Units of every layer, inputs and outputs included.
        init_zero : bool
            Whether weights and biases are 0 instead.

        Returns
        -------
        engine.network.Parameters
            Weights (R, fan_in, fan_out) and biases (R, fan_out), float64.
        """
        shapes = list(itertools.pairwise(layer_sizes))
        n_weights = sum(fan_in * fan_out for fan_in, fan_out in shapes)
        numbers = self._numbers
        if n_weights > numbers.shape[1]:
            numbers = self._stream.fork().peek(n_weights)
        weights, biases = [], []
        used = 0
        for fan_in, fan_out in shapes:  # the page goes through the destinations, and for each through its sources
            chunk = numbers[:, used : used + fan_in * fan_out].reshape(-1, fan_out, fan_in)
            weights.append(np.ascontiguousarray(chunk.transpose(0, 2, 1)) - 0.5)
            biases.append(np.full((self.n_replicas, fan_out), INITIAL_BIAS))
            used += fan_in * fan_out
        if init_zero:
            weights, biases = [np.zeros_like(W) for W in weights], [np.zeros_like(b) for b in biases]
        return Parameters(list(weights), list(biases))


def draw(
    dataset: str,
    noise: float,
    train_share: float,
    seeds: Sequence[str],
    features: Sequence[str] = ("x", "y"),
    n_ready: int = N_WEIGHTS_READY,
) -> PageDraws:
    """Draw, shuffle and split the page's data for every seed.

    Parameters
    ----------
    dataset : str
        Name in `engine.playground.registry.DATASETS`.
    noise : float
        Noise as a fraction, 0 to 0.5 on the page (its 50), up to 0.8 by its address.
    train_share : float
        Fraction of the points that train, strictly between 0 and 1.
    seeds : sequence of str
        One page seed a replica.
    features : sequence of str
        Names in `FEATURES`; the columns of X come in the page's order whatever the order here.
    n_ready : int
        Initial weights made ahead for all networks on these draws; with 0 each network's are made when asked for.

    Returns
    -------
    PageDraws
        Training and test points with a replica axis, float64.

    Raises
    ------
    ValueError
        If a name is unknown or a number is out of range.
    """
    record = find_dataset(dataset)
    names = check_features(features)
    if not 0 <= noise <= 0.8:
        raise ValueError(f"noise: {noise!r} is not a fraction from 0 to 0.8; the page's 20 is 0.2")
    n_train = count_training_points(record.n_samples, train_share)
    stream = SeedStreams(seeds)
    points, labels = record.generate(stream, record.n_samples, noise)
    order = _shuffled(stream, record.n_samples)
    points = np.take_along_axis(points, order[..., None], axis=1)
    labels = np.take_along_axis(labels, order, axis=1)
    X = expand(points, names)
    y = labels[..., None]
    return PageDraws(
        dataset,
        noise,
        tuple(seeds),
        names,
        Split(np.ascontiguousarray(X[:, :n_train]), np.ascontiguousarray(y[:, :n_train])),
        Split(np.ascontiguousarray(X[:, n_train:]), np.ascontiguousarray(y[:, n_train:])),
        np.ascontiguousarray(points[:, :n_train]),
        np.ascontiguousarray(points[:, n_train:]),
        stream,
        stream.peek(n_ready),
    )


def expand(points: FloatArray, features: Sequence[str]) -> FloatArray:
    """Return the features of points, (..., 2) -> (..., n_features), in the order given."""
    x, y = points[..., 0], points[..., 1]
    return np.stack([FEATURES[name](x, y) for name in features], axis=-1)


def find_dataset(name: str) -> Dataset:
    """Return the dataset of that name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest.
    """
    return look_up(DATASETS, name, "dataset")


def check_features(features: Sequence[str]) -> tuple[str, ...]:
    """Return the features in the page's order.

    Raises
    ------
    ValueError
        If there is none, one is unknown or one is named twice.
    """
    for name in features:
        check_name(FEATURES, name, "features")
    if not features or len(set(features)) < len(features):
        raise ValueError(f"features: {list(features)!r}; give at least one of {', '.join(FEATURES)}, each once")
    return tuple(name for name in FEATURES if name in features)


def count_training_points(n_samples: int, train_share: float) -> int:
    """Return how many of `n_samples` points train.

    Raises
    ------
    ValueError
        If training or test set would be empty.
    """
    # The page multiplies by whole percents; the small addend undoes what writing 70 % as 0.7 loses.
    n_train = math.floor(n_samples * train_share + 1e-9) if math.isfinite(train_share) else 0
    if not 0 < n_train < n_samples:
        raise ValueError(
            f"train_share: {train_share!r} leaves no training or no test point; give a fraction from 0.1 to 0.9"
        )
    return n_train


def _shuffled(stream: SeedStreams, n: int) -> npt.NDArray[np.intp]:
    """Return the page's Fisher-Yates order of `n` points, (S, n)."""
    numbers = stream.random(n)
    orders = np.tile(np.arange(n), (stream.n_streams, 1))
    if runs_compiled(stream.n_streams):
        from engine.playground import compiled

        compiled.shuffle(orders, np.ascontiguousarray(numbers))
        return orders
    for s in range(stream.n_streams):
        order = list(range(n))
        steps.shuffle(order, numbers[s].tolist())
        orders[s] = order
    return orders
