"""Networks trained one at a time, for calls with too few replicas to fill vectors: the layout, and the session.

Parameters of a network are one list of float32: the weights layer by layer in panels (`engine.roads.compiled.panels`),
then the biases. A hidden layer's panels are eight of its units, with a row for each input; the output layer's are eight
of its inputs, with a row for each unit, and its biases are written eight times over. Every array starts on a vector of
16, so that optimizers and activations pass over whole vectors as they do where 16 replicas lie in them. What fills the
gaps never reaches another number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.schedules import learning_rate
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.compiled.codes import (
    I_DROPPING,
    I_EPOCH,
    I_PENDING,
    I_PENDING_AFTER,
    I_UPDATES,
    I_UPDATES_AFTER,
    I_WITH_Z,
)
from engine.roads.compiled.packing import (
    aligned,
    arrays_of,
    dropout_numbers,
    network_numbers,
    set_training_numbers,
)
from engine.roads.compiled.panels import SAMPLES, WIDTH
from engine.roads.compiled.prices import most_singles
from engine.roads.compiled.single import (
    L_BIASES,
    L_OUTPUTS,
    L_WEIGHTS,
    N_PLAN,
    N_SCRATCH,
    N_TABLE,
    S_DELTAS,
    S_ERRORS,
    S_INPUTS,
    S_LAST,
    S_LAST_INPUTS,
    S_MASK,
    S_MINUS,
    S_ONES,
    S_OUTPUTS,
    S_SCALE,
    S_SEEN,
    S_TURNED,
    S_VALUES,
    S_WEIGHTS,
    S_ZEROS,
    T_N,
    T_ROWS,
    T_WEIGHT,
    T_WEIGHT_NEXT,
    T_X,
    T_X_NEXT,
    T_Y,
    T_Y_NEXT,
    run_single,
)
from engine.roads.compiled.vectors import LANES, TRAINING_CHUNK
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState

OVERHANG = WIDTH * WIDTH  # numbers after the last panel that whole blocks may read


def _up(count: int, size: int = LANES["float32"]) -> int:
    return -(-count // size) * size


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a network's numbers lie.

    Parameters
    ----------
    plan : ndarray (n_layers, N_PLAN)
        For each layer the places of weights, biases and outputs.
    places : ndarray (P,)
        The place of each parameter, in the order of `engine.roads.compiled.packing.arrays_of`.
    spread : ndarray (n_outputs, 8)
        The places of the output layer's biases.
    n_weights, n_params, n_outputs : int
        Numbers that weights, all parameters, and the outputs of hidden layers take.
    """

    plan: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    spread: npt.NDArray[np.int64]
    n_weights: int
    n_params: int
    n_outputs: int

    def packed(self, parameters: Parameters) -> FloatArray:
        """Return parameters (R, ...) as (R, n_params + overhang) of float32."""
        arrays = arrays_of(parameters)
        n = len(arrays[0])
        packed = aligned((n, self.n_params + OVERHANG), "float32")
        packed[...] = 0
        flat = np.concatenate([array.reshape(n, -1) for array in arrays], axis=1)
        packed[:, self.places] = flat
        packed[:, self.spread] = packed[:, self.spread[:, :1]]
        return packed

    def unpack(self, packed: npt.NDArray[Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Write packed numbers back into arrays (R, ...): all parameters, or the weights alone."""
        start = 0
        for array in arrays:
            size = array[0].size
            array[...] = packed[:, self.places[start : start + size]].reshape(array.shape)
            start += size


def layout_of(network: NetworkConfig) -> Layout:
    """Return the layout of a network."""
    sizes = network.layer_sizes
    n_layers = len(sizes) - 1
    plan = np.zeros((n_layers, N_PLAN), dtype=np.int64)
    weights, biases = [], []
    end = 0
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        columns, rows = (n_in, n_out) if layer == n_layers - 1 else (n_out, n_in)
        column, row = np.arange(columns), np.arange(rows)
        place = end + (column // WIDTH * rows)[None, :] * WIDTH + row[:, None] * WIDTH + column[None, :] % WIDTH
        weights.append((place.T if layer == n_layers - 1 else place).reshape(-1))
        plan[layer, L_WEIGHTS] = end
        end += _up(_up(columns, WIDTH) * rows)
    n_weights = end
    n_outputs = 0
    for layer, n_out in enumerate(sizes[1:]):
        plan[layer, L_BIASES], plan[layer, L_OUTPUTS] = end, n_outputs
        step = WIDTH if layer == n_layers - 1 else 1
        biases.append(end + np.arange(n_out) * step)
        end += _up(n_out * step)
        n_outputs += _up(n_out, WIDTH) * TRAINING_CHUNK + OVERHANG if layer < n_layers - 1 else 0
    spread = biases[-1][:, None] + np.arange(WIDTH)[None, :]
    return Layout(plan, np.concatenate(weights + biases), spread, n_weights, end, _up(n_outputs))


def _scratch(
    network: NetworkConfig, layout: Layout, *, with_z: bool, dropping: bool
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    sizes = network.layer_sizes
    rooms = np.zeros(N_SCRATCH, dtype=np.int64)
    turned = max((_up(a, WIDTH) * _up(b, WIDTH) for a, b in itertools.pairwise(sizes[1:-1])), default=0)
    lengths = {
        S_OUTPUTS: layout.n_outputs,
        S_DELTAS: layout.n_outputs,
        S_INPUTS: layout.n_outputs if with_z else 0,
        S_LAST: sizes[-1] * SAMPLES,
        S_LAST_INPUTS: sizes[-1] * SAMPLES if with_z else 0,
        S_ERRORS: sizes[-1] * SAMPLES,
        S_TURNED: _up(sizes[-2], WIDTH) * SAMPLES,
        S_WEIGHTS: _up(turned),
        S_ONES: SAMPLES * WIDTH,
        S_ZEROS: SAMPLES,
        S_MINUS: SAMPLES,
        S_SCALE: SAMPLES,
        S_VALUES: SAMPLES,
        S_SEEN: layout.n_outputs if dropping else 0,
        S_MASK: layout.n_outputs if dropping else 0,
    }
    end = 0
    for room, length in lengths.items():
        rooms[room] = end
        end += length
    if not with_z:
        rooms[S_INPUTS], rooms[S_LAST_INPUTS] = rooms[S_OUTPUTS], rooms[S_LAST]
    scratch = aligned((end + OVERHANG,), "float32")
    scratch[...] = 0
    scratch[rooms[S_ONES] : rooms[S_ONES] + SAMPLES * WIDTH] = 1
    scratch[rooms[S_MINUS] : rooms[S_MINUS] + SAMPLES] = -0.0
    return scratch, rooms


@dataclass(frozen=True, slots=True)
class _PanelSplit:
    """A split in panels: X (R or 1, panels, rows, 8), y (R or 1, targets, rows), weight (R or 1, rows) or None."""

    n: int
    X: FloatArray
    y: FloatArray
    weight: FloatArray | None
    total_weight: npt.NDArray[np.float64] | float


def _panel_split(split: Split) -> _PanelSplit:
    shared, n, d = split.X.shape
    rows = _up(n) + LANES["float32"]  # a chunk of samples is read as a whole vector
    X = aligned((shared, _up(d, WIDTH) // WIDTH, rows, WIDTH), "float32")
    X[...] = 0
    for panel in range(X.shape[1]):
        columns = split.X[..., panel * WIDTH : (panel + 1) * WIDTH]
        X[:, panel, :n, : columns.shape[2]] = columns
    y = aligned((len(split.y), split.y.shape[2], rows), "float32")
    y[...] = 0
    y[..., :n] = split.y.transpose(0, 2, 1)
    if split.weight is None:
        return _PanelSplit(n, X, y, None, float(n))
    weight = aligned((len(split.weight), rows), "float32")
    weight[...] = 0
    weight[:, :n] = split.weight
    return _PanelSplit(n, X, y, weight, split.weight.sum(axis=1, dtype=np.float64))


def _table(splits: Sequence[_PanelSplit]) -> npt.NDArray[np.int64]:
    """Return the splits as the compiled function wants them: a row each, with addresses."""
    table = np.zeros((len(splits), N_TABLE), dtype=np.int64)
    for row, split in zip(table, splits, strict=True):
        row[T_N], row[T_ROWS] = split.n, split.y.shape[2]
        arrays = ((T_X, T_X_NEXT, split.X), (T_Y, T_Y_NEXT, split.y), (T_WEIGHT, T_WEIGHT_NEXT, split.weight))
        for address, following, array in arrays:
            if array is not None:
                row[address] = array.ctypes.data
                row[following] = array[0].size if len(array) > 1 else 0
    return table


def supports_single(network: NetworkConfig, training: TrainingConfig) -> bool:
    """Return whether networks can be trained one at a time.

    That is float32, without norms of everything at once, without numbers drawn for each weight or added to outputs of
    layers, and without learnt slopes.
    """
    return (
        training.dtype == "float32"
        and network.activation != "prelu"
        and training.max_norm is None
        and training.max_grad_norm is None
        and not training.layer_noise
        and not training.weight_dropout
    )


def count_singles(network: NetworkConfig, training: TrainingConfig, n_replicas: int) -> int:
    """Return how many of R replicas, the last ones, are trained one at a time because that is faster."""
    left_over = n_replicas % LANES["float32"]
    return left_over if supports_single(network, training) and left_over <= most_singles(network, training) else 0


class SingleSession:
    """Networks in training that stay in panels; `engine.roads.compiled.session.CompiledSession` for few replicas.

    Parameters
    ----------
    state : TrainingState
        Where training stands; behind after `advance` until `read_state`.
    network, training : NetworkConfig, TrainingConfig
        As accepted by `supports_single`.
    split : Split
        Training points, without weights.
    evaluate_on : sequence of Split
        What losses are measured on.
    """

    def __init__(
        self,
        state: TrainingState,
        network: NetworkConfig,
        training: TrainingConfig,
        split: Split,
        evaluate_on: Sequence[Split],
    ) -> None:
        self._state, self._training = state, training
        self._is_behind = False
        layout = self._layout = layout_of(network)
        n_replicas = state.parameters.n_replicas
        points = _panel_split(split)
        self._splits = [points if other is split else _panel_split(other) for other in evaluate_on]
        chunk = min(training.batch_size, TRAINING_CHUNK)
        self._ints, reals = network_numbers(network, training.loss, chunk, ())
        set_training_numbers(self._ints, reals, network, training)
        self._ints[I_PENDING], self._ints[I_EPOCH] = state.n_pending, state.epoch
        self._ints[I_UPDATES] = state.n_updates
        scratch, rooms = _scratch(
            network, layout, with_z=bool(self._ints[I_WITH_Z]), dropping=bool(self._ints[I_DROPPING])
        )
        self._P = layout.packed(state.parameters)
        self._G = layout.packed(state.pending)
        self._moments = [layout.packed(moment) for moment in state.moments]
        nothing = np.zeros((n_replicas, 0), dtype=np.float32)
        self._dead = np.zeros((n_replicas, layout.n_weights), dtype=np.float32)
        if training.regularizer == "l1":
            n_weights = sum(a[0].size for a in state.dead)
            self._dead[:, layout.places[:n_weights]] = np.concatenate(
                [a.reshape(n_replicas, -1) for a in state.dead], axis=1
            )
        live = np.zeros(layout.n_params, dtype=np.float32)
        live[layout.places] = 1
        rates = dropout_rates(network, training)
        has_own = training.order == "shuffled" or training.input_noise > 0 or rates[0] > 0
        order = np.zeros((points.n, 2), dtype=np.uint32)
        order[:, 0] = np.arange(points.n)
        self._diverged = state.diverged_at.copy()
        moments = [*self._moments, nothing, nothing]
        self._before_rates = (
            self._P,
            self._G,
            moments[0],
            moments[1],
            self._dead,
            _frozen(network, training, layout),
            live,
            points.X,
            points.y,
            aligned(points.X.shape[1:] if has_own else (0, 0, 0), "float32"),
            aligned(points.y.shape[1:] if has_own else (0, 0), "float32"),
            order,
            scratch,
            np.zeros((2 * len(rates), 1), dtype=np.uint32),
            state.seeds.reshape(-1, 1).copy(),
            layout.plan,
            rooms,
            np.array(network.layer_sizes, dtype=np.int64),
            self._ints,
            reals,
        )
        self._after_rates = (*dropout_numbers(rates), self._diverged)
        self._table = _table(self._splits)
        self._sums_shape = (len(self._splits), n_replicas)

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._diverged.copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps, measuring losses after each: (steps, splits, R), as `CompiledSession.advance` does."""
        epoch, n_epochs = int(self._ints[I_EPOCH]), sum(steps)
        sums = np.zeros((len(steps), *self._sums_shape))
        rates = np.array([learning_rate(self._training, epoch + i) for i in range(n_epochs)])
        with subnormals_are_zero("float32"):
            run_single(*self._before_rates, rates, *self._after_rates, np.array(steps, np.int64), self._table, sums)
        self._ints[I_PENDING] = self._ints[I_PENDING_AFTER]
        self._ints[I_UPDATES] = self._ints[I_UPDATES_AFTER]
        self._ints[I_EPOCH] = epoch + n_epochs
        self._is_behind |= n_epochs > 0
        return _means(sums, self._splits)

    def read_state(self) -> TrainingState:
        """Return the state, brought up to date."""
        state, layout = self._state, self._layout
        if self._is_behind:
            layout.unpack(self._P, arrays_of(state.parameters))
            for packed, moment in zip(self._moments, state.moments, strict=True):
                layout.unpack(packed, arrays_of(moment))
            if self._training.regularizer == "l1":
                layout.unpack(self._dead > 0, state.dead)
            if self._training.partial_batch == "carry":
                layout.unpack(self._G, arrays_of(state.pending))
            state.n_pending, state.n_updates = int(self._ints[I_PENDING]), int(self._ints[I_UPDATES])
            state.epoch = int(self._ints[I_EPOCH])
            state.diverged_at[...] = self._diverged
            self._is_behind = False
        return state


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return each replica's mean loss over the points of a split, (R,), as `session.mean_losses` does."""
    n = parameters.n_replicas
    state = TrainingState(
        parameters=parameters,
        moments=(),
        pending=parameters,
        n_pending=0,
        dead=[],
        epoch=0,
        n_updates=0,
        seeds=np.zeros(n, dtype=np.uint64),
        diverged_at=np.full(n, -1, dtype=np.int64),
    )
    session = SingleSession(state, network, TrainingConfig(loss=loss, order="fixed", batch_size=1), split, [split])
    losses: npt.NDArray[np.float64] = session.advance([0])[0, 0]
    return losses


def _means(sums: npt.NDArray[np.float64], splits: Sequence[_PanelSplit]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a replica whose weights are all 0 has no mean
        for i, split in enumerate(splits):
            sums[:, i] /= split.total_weight
    return sums


def _frozen(network: NetworkConfig, training: TrainingConfig, layout: Layout) -> npt.NDArray[np.uint8]:
    """Return 1 for each vector of parameters that keep their values; each array has vectors of its own."""
    frozen = np.zeros(layout.n_params // LANES["float32"], dtype=np.uint8)
    for name, column in (("weights", L_WEIGHTS), ("biases", L_BIASES)):
        for layer in range(len(layout.plan)):
            if f"{name}[{layer}]" in training.frozen:
                start = layout.plan[layer, column]
                later = layout.plan[:, (L_WEIGHTS, L_BIASES)]
                end = min([*later[later > start], layout.n_params])
                frozen[start // LANES["float32"] : end // LANES["float32"]] = 1
    return frozen
