"""Gradients of mini-batches on the NumPy road, by hand, in pieces that several threads take at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.methods.activations import ACTIVATIONS, Activation, Slope
from engine.methods.losses import LOSSES
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.crew import Crew
from engine.roads.memory import MOST_AT_ONCE, count_pieces
from engine.roads.plain_noise import Noise, dropout_mask, layer_noise_of, noisy_inputs
from engine.roads.plain_updates import add_to
from engine.splits import Split


def cast(split: Split, dtype: str) -> Split:
    """Return the split in the type of the arithmetic, so that it is copied once and not at every look."""
    return Split(split.X.astype(dtype, copy=False), split.y.astype(dtype, copy=False), split.weight)


def layer_activations(network: NetworkConfig, parameters: Parameters) -> list[tuple[Activation, Slope]]:
    """Return each layer's activation, with its free number."""
    hidden, output = ACTIVATIONS[network.activation], ACTIVATIONS[network.output_activation]
    fixed = hidden.default_slope if network.activation_slope is None else network.activation_slope
    layers: list[tuple[Activation, Slope]] = []
    for i in range(len(network.hidden_layer_sizes)):
        layers.append((hidden, fixed if parameters.slopes is None else parameters.slopes[:, i, None, None]))
    return [*layers, (output, output.default_slope)]


@dataclass(slots=True)
class Points:
    """Points in the type of the arithmetic; weights relative to their mean, as a column."""

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None

    @classmethod
    def of(cls, split: Split, dtype: str) -> Points:
        """Return a split's points."""
        weight = None
        if split.weight is not None:
            given = split.weight.astype(np.float64)
            weight = (given / given.mean(axis=1, keepdims=True))[:, :, None].astype(dtype)
        as_cast = cast(split, dtype)
        return cls(as_cast.X, as_cast.y, weight)

    def select(self, replicas: slice) -> Points:
        """Return the points of some replicas, or those that all share."""

        def of(values: FloatArray) -> FloatArray:
            return values if len(values) == 1 else values[replicas]

        return Points(of(self.X), of(self.y), None if self.weight is None else of(self.weight))

    def gather(self, orders: npt.NDArray[np.intp] | None, start: int, stop: int, work: _Workspace) -> Points:
        """Return the points at some places of each replica's order, gathered in arrays of `work`."""
        if orders is None:
            weight = None if self.weight is None else self.weight[:, start:stop]
            return Points(self.X[:, start:stop], self.y[:, start:stop], weight)

        def of(name: str, values: FloatArray) -> FloatArray:
            gathered = work.array(name, 0, (len(orders), stop - start, values.shape[2]), values.dtype)
            for r, order in enumerate(orders):
                # Places are within bounds; "clip" spares take the copy that "raise" makes of `out`.
                np.take(values[r % len(values)], order[start:stop], axis=0, out=gathered[r], mode="clip")
            return gathered

        return Points(of("X", self.X), of("y", self.y), None if self.weight is None else of("weight", self.weight))


class _Workspace:
    """Arrays that every mini-batch uses again."""

    def __init__(self) -> None:
        self._memory: dict[tuple[str, int], FloatArray] = {}
        self._last: dict[tuple[str, int], FloatArray] = {}
        self._sums: Parameters | None = None

    def array(self, name: str, layer: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
        """Return an array of the shape, its values undefined; the same memory for the same name and layer."""
        key = (name, layer)
        last = self._last.get(key)
        if last is not None and last.shape == shape:
            return last
        size = math.prod(shape)
        memory = self._memory.get(key)
        if memory is None or memory.size < size:
            memory = self._memory[key] = np.empty(size, dtype)
        last = self._last[key] = memory[:size].reshape(shape)
        return last

    def like(self, parameters: Parameters) -> Parameters:
        """Return arrays shaped like the parameters, their values undefined; always the same ones."""
        if self._sums is None:
            self._sums = Parameters(
                [np.empty_like(W) for W in parameters.weights],
                [np.empty_like(b) for b in parameters.biases],
                None if parameters.slopes is None else np.empty_like(parameters.slopes),
            )
        return self._sums


class Gradients:
    """Gradient sums of mini-batches, made in pieces on some threads.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    loss : str
        Name in `engine.methods.losses.LOSSES`.
    crew : Crew
        Who takes the pieces; piece after piece where they are more than threads.
    """

    def __init__(self, network: NetworkConfig, loss: str, crew: Crew) -> None:
        self.network = network
        self.crew = crew
        self._loss = loss
        self._n_at_once = min(crew.n_threads, MOST_AT_ONCE)
        self._workspaces = [_Workspace() for _ in range(1 + self._n_at_once)]
        self._n_pieces: dict[int, int] = {}  # by points

    def parts(
        self,
        parameters: Parameters,
        points: Points,
        orders: npt.NDArray[np.intp] | None,
        noise: Noise | None,
        start: int,
        stop: int,
    ) -> list[Parameters]:
        """Return what adds up, in order, to the gradient of the summed loss of some examples, without penalty.

        Parameters
        ----------
        parameters : Parameters
            Where the gradient is taken.
        points : Points
            All training points.
        orders : ndarray (R, n) or None
            Each replica's order of the points; None: as they are.
        noise : Noise or None
            Dropout and input noise of the epoch; None means none.
        start, stop : int
            Places in the epoch's order.

        Returns
        -------
        list of engine.network.Parameters
            Each shaped like `parameters`; their arrays are used again by the next call. Adding them up is left to the
            caller, who has threads share it with the update.
        """
        m = stop - start
        if m not in self._n_pieces:
            self._n_pieces[m] = count_pieces(self.network, m)
        n_pieces = self._n_pieces[m]
        edges = [start + m * i // n_pieces for i in range(n_pieces + 1)]
        parts: list[Parameters] = []

        def part_of(i: int) -> Parameters:
            # The first piece's arrays become the total, so no other piece may take them.
            work = self._workspaces[0 if i == 0 else 1 + i % self._n_at_once]
            batch = points.gather(orders, edges[i], edges[i + 1], work)
            return _gradient_sums(self.network, self._loss, parameters, batch, noise, edges[i], work)

        for first in range(0, n_pieces, self._n_at_once):
            for part in parts[1:]:
                add_to(parts[0], part)
            wave = range(first, min(first + self._n_at_once, n_pieces))
            parts = [*parts[:1], *self.crew.map(part_of, wave)]
        return parts


def _gradient_sums(
    network: NetworkConfig,
    loss: str,
    parameters: Parameters,
    batch: Points,
    noise: Noise | None,
    position: int,
    work: _Workspace,
) -> Parameters:
    """Return the gradient of the summed loss of some examples, by hand, in arrays of `work`.

    `position` is the place of the first example in the epoch's order.
    """
    layers = layer_activations(network, parameters)
    R, dtype = parameters.n_replicas, parameters.weights[0].dtype
    n = batch.X.shape[1]
    inputs, totals, outputs, masks = [], [], [], []
    A = batch.X if noise is None else noisy_inputs(batch.X, noise, position)
    for i, (activation, slope) in enumerate(layers):
        if i > 0 and noise is not None and noise.layer_noise:
            A = A + layer_noise_of(noise, i, position, n, A.shape[2], A.dtype)
        mask = None if noise is None else dropout_mask(noise, i, position, n, A.shape[2], A.dtype)
        if mask is not None:
            A = A * mask
        Z = work.array("total", i, (R, n, network.layer_sizes[i + 1]), dtype)
        np.matmul(A, parameters.weights[i], out=Z)
        Z += parameters.biases[i][:, None, :]
        masks.append(mask)
        inputs.append(A)
        A = activation.function(Z, slope)
        totals.append(Z)
        outputs.append(A)
    upstream = LOSSES[loss].gradient(A, batch.y)
    if batch.weight is not None:
        upstream *= batch.weight
    sums = work.like(parameters)
    for i in range(len(layers) - 1, -1, -1):
        activation, slope = layers[i]
        if sums.slopes is not None and i < sums.slopes.shape[1]:
            below = np.ascontiguousarray(upstream * np.minimum(totals[i], 0))
            sums.slopes[:, i] = below.reshape(len(below), -1).sum(axis=1)
        if activation.code:  # else linear
            derivative = activation.derivative(totals[i], outputs[i], slope)
            upstream = np.multiply(upstream, derivative, out=derivative)
        np.matmul(inputs[i].swapaxes(1, 2), upstream, out=sums.weights[i])
        np.add.reduce(upstream, axis=1, out=sums.biases[i])
        if i > 0:
            delta, upstream = upstream, work.array("upstream", i, outputs[i - 1].shape, dtype)
            np.matmul(delta, parameters.weights[i].swapaxes(1, 2), out=upstream)
            mask = masks[i]
            if mask is not None:
                upstream *= mask
    return sums
