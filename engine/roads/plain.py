"""The plain NumPy road: forward and backward by hand, replicas on a leading axis, batched `matmul`.

It is the reference that the compiled road must equal, and the road for wide networks. A replica's numbers depend
neither on the replicas that share the call nor on the number of threads: each matrix product is one product a replica
on one thread of BLAS, every sum runs in a fixed order, and a mini-batch large enough to keep several threads busy is
cut into pieces whose sizes follow from shapes alone. Threads, as many as BLAS had been given, take whole replicas where
there are enough of them, and pieces of a mini-batch else. In float32 they compute with subnormal
numbers as zero (`engine.roads.subnormals`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.losses import LOSSES
from engine.methods.schedules import learning_rate
from engine.methods.streams import permutations
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.blas import one_blas_thread
from engine.roads.crew import Crew
from engine.roads.memory import EVALUATION_ELEMENTS, MOST_AT_ONCE
from engine.roads.plain_gradients import Gradients, Points, cast, layer_activations
from engine.roads.plain_noise import epoch_noise, times, weight_factors
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
        self._split = cast(split, training.dtype)
        self._splits = [cast(other, training.dtype) for other in evaluate_on]

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


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place; see `engine.training.advance`."""
    points = Points.of(split, training.dtype)
    size = 1 if network.most_weights >= WIDE else len(state.seeds)
    groups = [slice(start, start + size) for start in range(0, len(state.seeds), size)]
    parts = [_part(state, group) for group in groups]

    def train(i: int, crew: Crew) -> None:
        gradients, steps = Gradients(network, training.loss, crew), _Steps(parts[i], training, crew)
        for _ in range(n_epochs):
            _run_epoch(parts[i], training, points.select(groups[i]), gradients, steps)

    def surroundings() -> AbstractContextManager[None]:
        return _arithmetic(training.dtype)

    with one_blas_thread() as n_threads, surroundings(), Crew(n_threads, surroundings) as crew:
        n_side_by_side = len(parts) // n_threads * n_threads if n_threads > 1 else 0
        waiting = iter(range(n_side_by_side))

        def train_side_by_side(_: int) -> None:
            try:
                for i in waiting:
                    train(i, Crew(1, surroundings))
            finally:
                deque(waiting, maxlen=0)  # after an interrupt, too, nobody begins another

        if n_side_by_side:
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
        parameters.weights, parameters.biases, layer_activations(network, parameters), strict=True
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


def _run_epoch(
    state: TrainingState, training: TrainingConfig, points: Points, gradients: Gradients, steps: _Steps
) -> None:
    network, n, size = gradients.network, points.X.shape[1], training.batch_size
    rate = learning_rate(training, state.epoch)
    noise = epoch_noise(state, network, training)
    orders = permutations(state.seeds, state.epoch, n) if training.order == "shuffled" else None
    for start in range(0, n, size):
        stop = min(start + size, n)
        is_partial = stop - start < size
        if is_partial and training.partial_batch == "drop":
            break
        factors = weight_factors(noise, state.parameters, start // size)
        parts = gradients.parts(times(state.parameters, factors), points, orders, noise, start, stop)
        is_carried = is_partial and training.partial_batch == "carry"
        n_examples = 0 if is_carried else stop - start + state.n_pending
        steps.take(parts, factors, n_examples, rate)
        if is_carried:
            state.n_pending += stop - start
            break
        state.n_pending = 0
        state.n_updates += 1
    state.epoch += 1
    _note_divergence(state)


class _Steps:
    """What ends each mini-batch of a training, shared by threads in blocks; their views are made once."""

    def __init__(self, state: TrainingState, training: TrainingConfig, crew: Crew) -> None:
        self._state = state
        self._training = training
        self._crew = crew
        self._blocks = range(count_blocks(training, state.parameters, crew.n_threads))
        self._states = [block_of_state(state, block, len(self._blocks)) for block in self._blocks]
        self._cut: dict[int, list[Parameters]] = {}  # by the identity of arrays that every mini-batch uses again

    def take(self, parts: Sequence[Parameters], factors: list[FloatArray], n_examples: int, rate: float) -> None:
        """Add up a gradient and take the step; a gradient of no examples is kept for a later one.

        Parameters
        ----------
        parts : sequence of Parameters
            What adds up to the gradient, in order; always the same objects.
        factors : list of ndarray
            Of the weights, with DropConnect; else empty.
        n_examples : int
            Examples behind the gradient and what was kept.
        rate : float
            The learning rate.
        """
        for own in self._states:
            own.n_pending, own.n_updates = self._state.n_pending, self._state.n_updates
        for part in parts:
            if id(part) not in self._cut:
                self._cut[id(part)] = [block_of(part, block, len(self._blocks)) for block in self._blocks]

        def take_block(block: int) -> None:
            own_factors = block_of_weights(factors, block, len(self._blocks))
            self._take_block(
                self._states[block], [self._cut[id(part)][block] for part in parts], own_factors, n_examples, rate
            )

        self._crew.map(take_block, self._blocks)

    def _take_block(
        self,
        state: TrainingState,
        parts: Sequence[Parameters],
        factors: list[FloatArray],
        n_examples: int,
        rate: float,
    ) -> None:
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
        update_parameters(state, self._training, sums, n_examples, rate)


def _note_divergence(state: TrainingState) -> None:
    finite = np.ones(len(state.seeds), dtype=np.bool_)
    for array in arrays_of(state.parameters):
        finite &= np.isfinite(array).reshape(len(finite), -1).all(axis=1)
    state.diverged_at[~finite & (state.diverged_at < 0)] = state.epoch
