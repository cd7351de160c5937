"""The plain NumPy road: forward and backward by hand, replicas on a leading axis, batched `matmul`.

It is the reference that the compiled road must equal, and the road for wide networks. A replica's numbers depend
neither on the replicas that share the call nor on the number of threads: each matrix product is one product a replica
on one thread of BLAS, every sum runs in a fixed order, and a mini-batch large enough to keep several threads busy is
cut into pieces whose sizes follow from shapes alone. Threads, as many as BLAS had been given, take whole replicas where
there are enough of them, and pieces of a mini-batch else. In float32 they compute with subnormal
numbers as zero (`engine.roads.subnormals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.activations import ACTIVATIONS, Activation, Slope
from engine.methods.losses import LOSSES
from engine.methods.schedules import learning_rate
from engine.methods.streams import (
    permutations,
)
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.blas import one_blas_thread
from engine.roads.crew import Crew
from engine.roads.memory import EVALUATION_ELEMENTS, MOST_AT_ONCE, count_pieces
from engine.roads.plain_noise import (
    Noise,
    dropout_mask,
    epoch_noise,
    layer_noise_of,
    noisy_inputs,
    times,
    weight_factors,
)
from engine.roads.plain_updates import (
    add_to,
    arrays_of,
    block_of,
    block_of_state,
    block_of_weights,
    count_blocks,
    update_parameters,
)
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState

WIDE = 2**14  # weights of a layer from which replicas are trained one after the other: theirs alone fill a cache


class PlainSession:
    """Networks in training; the interface of `engine.roads.compiled.session.CompiledSession`.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how.
    split : Split
        Training points.
    evaluate_on : sequence of Split
        What losses are measured on.
    """

    def __init__(
        self,
        state: TrainingState,
        network: NetworkConfig,
        training: TrainingConfig,
        split: Split,
        evaluate_on: Sequence[Split] = (),
    ) -> None:
        self._state, self._network, self._training = state, network, training
        self._split = _cast(split, training.dtype)
        self._splits = [_cast(other, training.dtype) for other in evaluate_on]

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._state.diverged_at.copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps of so many epochs each; return the mean losses after each, (steps, splits, R)."""
        measured = np.empty((len(steps), len(self._splits), len(self._state.seeds)))
        for row, n_epochs in zip(measured, steps, strict=True):
            advance(self._state, self._network, self._training, self._split, n_epochs)
            for i, split in enumerate(self._splits):
                row[i] = mean_losses(self._network, self._state.parameters, split, self._training.loss)
        return measured

    def read_state(self) -> TrainingState:
        """Return the state."""
        return self._state


@contextmanager
def _arithmetic(dtype: str) -> Iterator[None]:
    """Set the modes of this thread: a replica that overflows is a result, told by `diverged_at`; so is an underflow."""
    with np.errstate(all="ignore"), subnormals_are_zero(dtype):
        yield


def _cast(split: Split, dtype: str) -> Split:
    """Return the split in the type of the arithmetic, so that it is copied once and not at every look."""
    return Split(split.X.astype(dtype, copy=False), split.y.astype(dtype, copy=False), split.weight)


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place; see `engine.training.advance`."""
    points = _Points.of(split, training.dtype)
    size = 1 if network.most_weights >= WIDE else len(state.seeds)
    groups = [slice(start, start + size) for start in range(0, len(state.seeds), size)]
    parts = [_part(state, group) for group in groups]

    def train(i: int, crew: Crew) -> None:
        gradients = _Gradients(network, training.loss, crew)
        for _ in range(n_epochs):
            _run_epoch(parts[i], training, points.select(groups[i]), gradients)

    def surroundings() -> AbstractContextManager[None]:
        return _arithmetic(training.dtype)

    with one_blas_thread() as n_threads, surroundings(), Crew(n_threads, surroundings) as crew:
        n_side_by_side = len(parts) // n_threads * n_threads if n_threads > 1 else 0
        waiting = iter(range(n_side_by_side))

        def train_side_by_side(_: int) -> None:
            for i in waiting:
                train(i, Crew(1, surroundings))

        crew.run(train_side_by_side)
        for i in range(n_side_by_side, len(parts)):
            train(i, crew)
    state.epoch, state.n_updates, state.n_pending = parts[0].epoch, parts[0].n_updates, parts[0].n_pending


def _part(state: TrainingState, replicas: slice) -> TrainingState:
    """Return the state of some replicas: views, so that training them changes the whole."""
    return TrainingState(
        parameters=state.parameters.select(replicas),
        moments=tuple(moments.select(replicas) for moments in state.moments),
        pending=state.pending.select(replicas),
        n_pending=state.n_pending,
        dead=[dead[replicas] for dead in state.dead],
        epoch=state.epoch,
        n_updates=state.n_updates,
        seeds=state.seeds[replicas],
        diverged_at=state.diverged_at[replicas],
    )


@dataclass(slots=True)
class _Points:
    """Points in the type of the arithmetic; weights relative to their mean, as a column."""

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None

    @classmethod
    def of(cls, split: Split, dtype: str) -> _Points:
        weight = None
        if split.weight is not None:
            given = split.weight.astype(np.float64)
            weight = (given / given.mean(axis=1, keepdims=True))[:, :, None].astype(dtype)
        cast = _cast(split, dtype)
        return cls(cast.X, cast.y, weight)

    def select(self, replicas: slice) -> _Points:
        """Return the points of some replicas, or those that all share."""

        def of(values: FloatArray) -> FloatArray:
            return values if len(values) == 1 else values[replicas]

        return _Points(of(self.X), of(self.y), None if self.weight is None else of(self.weight))

    def gather(self, orders: npt.NDArray[np.intp] | None, start: int, stop: int, work: _Workspace) -> _Points:
        """Return the points at some places of each replica's order, gathered in arrays of `work`."""
        if orders is None:
            weight = None if self.weight is None else self.weight[:, start:stop]
            return _Points(self.X[:, start:stop], self.y[:, start:stop], weight)

        def of(name: str, values: FloatArray) -> FloatArray:
            gathered = work.array(name, 0, (len(orders), stop - start, values.shape[2]), values.dtype)
            for r, order in enumerate(orders):
                # Places are within bounds; "clip" spares take the copy that "raise" makes of `out`.
                np.take(values[r % len(values)], order[start:stop], axis=0, out=gathered[r], mode="clip")
            return gathered

        return _Points(of("X", self.X), of("y", self.y), None if self.weight is None else of("weight", self.weight))


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


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return the mean loss of each replica; see `engine.evaluation.mean_losses`."""
    n, R = split.X.shape[1], parameters.n_replicas
    losses = np.empty((R, n), dtype=np.float64)

    def fill(start: int, stop: int) -> None:
        outputs = forward(network, parameters, _points(split.X, parameters, start, stop))
        losses[:, start:stop] = LOSSES[loss].value(outputs, split.y[:, start:stop].astype(outputs.dtype, copy=False))

    _fill_chunks(fill, network, n, parameters.weights[0].dtype.name)
    with np.errstate(all="ignore"):
        if split.weight is None:
            return np.asarray(losses.sum(axis=1) / n)
        weight = np.ascontiguousarray(np.broadcast_to(split.weight, (R, n)), dtype=np.float64)
        # A point left out must not count even where the loss of its padding is not finite.
        total = np.where(weight > 0, losses * weight, 0.0).sum(axis=1)
        return np.asarray(total / weight.sum(axis=1))


def predict(network: NetworkConfig, parameters: Parameters, X: FloatArray) -> FloatArray:
    """Return the outputs of each replica; see `engine.evaluation.predict`."""
    outputs = np.empty((parameters.n_replicas, X.shape[1], network.n_outputs), dtype=parameters.weights[0].dtype)

    def fill(start: int, stop: int) -> None:
        outputs[:, start:stop] = forward(network, parameters, _points(X, parameters, start, stop))

    _fill_chunks(fill, network, X.shape[1], outputs.dtype.name)
    return outputs


def forward(network: NetworkConfig, parameters: Parameters, X: FloatArray) -> FloatArray:
    """Return the outputs (R, n, n_outputs) for points X (R or 1, n, n_inputs), without dropout."""
    A = X
    for W, b, (activation, slope) in zip(
        parameters.weights, parameters.biases, _layer_activations(network, parameters), strict=True
    ):
        A = activation.function(_weighted_input(A, W, b), slope)
    return A


def _weighted_input(A: FloatArray, W: FloatArray, b: FloatArray) -> FloatArray:
    Z: FloatArray = A @ W
    Z += b[:, None, :]
    return Z


def _fill_chunks(fill: Callable[[int, int], None], network: NetworkConfig, n: int, dtype: str) -> None:
    """Call `fill` with start and stop of every chunk of n points, on as many threads as BLAS had been given."""
    size = max(1, EVALUATION_ELEMENTS // MOST_AT_ONCE // max(network.layer_sizes))

    def fill_from(start: int) -> None:
        with _arithmetic(dtype):
            fill(start, min(start + size, n))

    with one_blas_thread() as n_threads, ThreadPoolExecutor(min(n_threads, MOST_AT_ONCE)) as pool:
        starts = range(0, n, size)
        for _ in (pool.map if len(starts) > 1 else map)(fill_from, starts):
            pass


def _points(X: FloatArray, parameters: Parameters, start: int, stop: int) -> FloatArray:
    return X[:, start:stop].astype(parameters.weights[0].dtype, copy=False)


def _layer_activations(network: NetworkConfig, parameters: Parameters) -> list[tuple[Activation, Slope]]:
    hidden, output = ACTIVATIONS[network.activation], ACTIVATIONS[network.output_activation]
    fixed = hidden.default_slope if network.activation_slope is None else network.activation_slope
    layers: list[tuple[Activation, Slope]] = []
    for i in range(len(network.hidden_layer_sizes)):
        layers.append((hidden, fixed if parameters.slopes is None else parameters.slopes[:, i, None, None]))
    return [*layers, (output, output.default_slope)]


def _run_epoch(state: TrainingState, training: TrainingConfig, points: _Points, gradients: _Gradients) -> None:
    network, n, size = gradients.network, points.X.shape[1], training.batch_size
    rate = learning_rate(training, state.epoch)
    noise = epoch_noise(state, network, training)
    orders = permutations(state.seeds, state.epoch, n) if training.order == "shuffled" else None
    n_blocks = count_blocks(training, state.parameters, gradients.crew.n_threads)
    for start in range(0, n, size):
        stop = min(start + size, n)
        is_partial = stop - start < size
        if is_partial and training.partial_batch == "drop":
            break
        factors = weight_factors(noise, state.parameters, start // size)
        parts = gradients.parts(times(state.parameters, factors), points, orders, noise, start, stop)
        is_carried = is_partial and training.partial_batch == "carry"
        n_examples = 0 if is_carried else stop - start + state.n_pending

        def finish(block: int) -> None:
            if block < n_blocks:
                blocks = [block_of(part, block, n_blocks) for part in parts]
                own_factors = block_of_weights(factors, block, n_blocks)
                _finish(block_of_state(state, block, n_blocks), training, blocks, own_factors, n_examples, rate)

        if n_blocks == 1:
            finish(0)
        else:
            gradients.crew.run(finish)
        if is_carried:
            state.n_pending += stop - start
            break
        state.n_pending = 0
        state.n_updates += 1
    state.epoch += 1
    _note_divergence(state)


def _finish(
    state: TrainingState,
    training: TrainingConfig,
    parts: Sequence[Parameters],
    factors: list[FloatArray],
    n_examples: int,
    rate: float,
) -> None:
    """Add up the gradient of a mini-batch, some rows of it, and take the step; without examples, keep it for later."""
    sums = parts[0]
    for part in parts[1:]:
        add_to(sums, part)
    for g, factor in zip(sums.weights, factors, strict=False):
        g *= factor
    if n_examples == 0:
        add_to(state.pending, sums)
        return
    if state.n_pending:
        add_to(sums, state.pending)
        for kept in arrays_of(state.pending):
            kept[...] = 0
    update_parameters(state, training, sums, n_examples, rate)


def _note_divergence(state: TrainingState) -> None:
    finite = np.ones(len(state.seeds), dtype=np.bool_)
    for array in arrays_of(state.parameters):
        finite &= np.isfinite(array).reshape(len(finite), -1).all(axis=1)
    state.diverged_at[~finite & (state.diverged_at < 0)] = state.epoch


class _Gradients:
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
        points: _Points,
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
        points : _Points
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
        parts: list[Parameters] = []
        for first in range(0, n_pieces, self._n_at_once):
            for part in parts[1:]:
                add_to(parts[0], part)
            wave = range(first, min(first + self._n_at_once, n_pieces))
            made: dict[int, Parameters] = {}

            def take(place: int) -> None:
                if place < len(wave):
                    i = wave[place]
                    # The first piece's arrays become the total, so no other piece may take them.
                    work = self._workspaces[0 if i == 0 else 1 + i % self._n_at_once]
                    begin, end = (start + m * edge // n_pieces for edge in (i, i + 1))
                    batch = points.gather(orders, begin, end, work)
                    made[place] = _gradient_sums(self.network, self._loss, parameters, batch, noise, begin, work)

            if len(wave) == 1:
                take(0)
            else:
                self.crew.run(take)
            parts = [*parts[:1], *(made[place] for place in range(len(wave)))]
        return parts


def _gradient_sums(
    network: NetworkConfig,
    loss: str,
    parameters: Parameters,
    batch: _Points,
    noise: Noise | None,
    position: int,
    work: _Workspace,
) -> Parameters:
    """Return the gradient of the summed loss of some examples, by hand, in arrays of `work`.

    `position` is the place of the first example in the epoch's order.
    """
    layers = _layer_activations(network, parameters)
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
