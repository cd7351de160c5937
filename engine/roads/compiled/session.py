"""The compiled training loop: explicit SIMD vectors, one replica a lane.

How it is laid out
------------------
Replicas are innermost: an array is a list of vectors of `LANES` replicas, 16 for float32 and 8 for float64 (one AVX-512
register; LLVM splits it on narrower machines). R replicas make ``ceil(R / LANES)`` groups, the last one filled up with
copies of the last replica. Lanes never mix, every fused multiply-add is written out and there is no fast-math, so what
a replica computes depends neither on R, nor on its neighbors, nor on the processor's vector width.

The three matrix products of a layer are blocked over units and samples: the weights of a few units are loaded once for
up to five samples of the mini-batch, with all sums in registers, where tanh and ReLU and their derivatives are applied
to them. A mini-batch of one sample has functions of its own, one call a layer; so has a full chunk of ten, and where
plain SGD lets weights move at once, both go backward in one call a layer (`engine.roads.compiled.descent`). A long
mini-batch goes through in chunks that fit the first-level cache.

All parameters of a replica are one list: weights layer by layer, each (fan_in, fan_out), then biases, then learnt
slopes. Moments and gradient sums are shaped the same. Points are (feature, sample), so that a layer's outputs, (unit,
sample), and the inputs look alike.

What it costs to call
---------------------
A `CompiledSession` packs state and splits once (transposed copies), trains, and measures losses from the packed
parameters, several looks in one call; the state is unpacked when somebody reads it. `advance` and `mean_losses` pack
at each call.

Python calls two compiled functions, for groups (`loop.run`, compiled for each of the two types) and for single networks
(`single.run_single`, float32 alone). Numba keeps them on disk, so later processes load them. `is_compiled` says whether
the first call will have to wait, `warm_up` makes that call.

Accuracy
--------
Against SciPy, the largest relative errors in float32 (in float64): tanh 5e-7 (5e-16), where |x| > 7.9 is clamped and
the result 1 - 5e-7; sigmoid, SiLU and ELU 2e-7 (6e-16), softplus 2.5e-7 (6e-16), GELU 2e-7 relative or 3e-7 absolute
(6e-16). The tests hold them to these figures. The roots and quotients of AdaGrad, RMSprop and Adam are the processor's.
Float32 is computed with subnormal numbers as zero (`engine.roads.subnormals`), which holds for any vector width.

Quotients and roots are the processor's: with Newton steps a 2-8-8-1 network of tanh took 9 % longer on Zen 4,
one of sigmoids 7 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compiling.decorators import CACHE, IS_COMPILING, types
from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.schedules import learning_rate
from engine.network import NetworkConfig, Parameters
from engine.roads.compiled.codes import (
    I_EPOCH,
    I_PENDING,
    I_PENDING_AFTER,
    I_UPDATES,
    I_UPDATES_AFTER,
    refuse_unknown,
    unknown_codes,
)
from engine.roads.compiled.loop import run
from engine.roads.compiled.packing import (
    aligned,
    arrays_of,
    count_groups,
    dropout_numbers,
    frozen_mask,
    means_of,
    network_numbers,
    pack_integers,
    pack_split,
    packed_arrays,
    points_table,
    scratch_room,
    set_training_numbers,
    unpack_arrays,
)
from engine.roads.compiled.parts import part_of_parameters, part_of_split, part_of_state
from engine.roads.compiled.rows import epoch_ends, room_for_rows
from engine.roads.compiled.single import run_single
from engine.roads.compiled.single_session import SingleSession, count_singles
from engine.roads.compiled.single_session import mean_losses as single_mean_losses
from engine.roads.compiled.vectors import (
    LANES,
    TRAINING_CHUNK,
)
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState


def supports(network: NetworkConfig, training: TrainingConfig) -> bool:
    """Return whether the compiled loop can train this network so.

    Parameters
    ----------
    network : NetworkConfig
    training : TrainingConfig

    Returns
    -------
    bool
        False where a method has no compiled form (`engine.roads.compiled.codes.KNOWN`), or where Numba's compiler is
        switched off (``NUMBA_DISABLE_JIT=1``).
    """
    return IS_COMPILING and not unknown_codes(network, training)


def is_compiled(dtype: str) -> bool:
    """Return whether this process has the machine code for a type, so that no call waits for the compiler or cache."""
    element = types.float32 if dtype == "float32" else types.float64
    is_there = any(bool(signature[0].dtype == element) for signature in run.signatures)
    return is_there and (dtype != "float32" or bool(run_single.signatures))


def warm_up(dtype: str) -> bool:
    """Compile for a type, or load what an earlier process compiled.

    Parameters
    ----------
    dtype : str
        ``"float32"`` or ``"float64"``.

    Returns
    -------
    bool
        Whether the compiler had to run (once a machine, and after each change of this file or of Numba).
    """
    if is_compiled(dtype):
        return False
    loops = (run, run_single) if dtype == "float32" else (run,)
    misses = sum(sum(loop.stats.cache_misses.values()) for loop in loops)
    network = NetworkConfig(1, (), 1)
    parameters = Parameters([np.zeros((1, 1, 1), dtype)], [np.zeros((1, 1), dtype)])
    split = Split(np.zeros((1, 1, 1), dtype), np.zeros((1, 1, 1), dtype))
    _group_losses(network, parameters, split, "mse")
    if dtype == "float32":
        single_mean_losses(network, parameters, split, "mse")
    return bool(sum(sum(loop.stats.cache_misses.values()) for loop in loops) > misses) or not CACHE.is_kept


class GroupSession:
    """Networks in training, 16 a group (8 in float64), that stay in the kernel's layout from one call to the next.

    Parameters
    ----------
    state : TrainingState
        Where training stands. It falls behind at the first `advance`; `read_state` brings it up to date.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split
        Training points, without weights.
    evaluate_on : sequence of Split
        What losses are measured on.
    counts : ndarray (R,) of int, optional
        Training points of each replica, where the last ones of `split` fill up; None means all.
    """

    def __init__(
        self,
        state: TrainingState,
        network: NetworkConfig,
        training: TrainingConfig,
        split: Split,
        evaluate_on: Sequence[Split] = (),
        counts: npt.NDArray[np.int64] | None = None,
    ) -> None:
        dtype = training.dtype
        lanes = LANES[dtype]
        self._state, self._training = state, training
        self._n_replicas = state.parameters.n_replicas
        self._is_behind = False
        n_groups = count_groups(self._n_replicas, dtype)
        points = pack_split(split, self._n_replicas, dtype)
        self._splits = [
            points if other is split else pack_split(other, self._n_replicas, dtype) for other in evaluate_on
        ]
        n = points.X.shape[2]
        nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
        P = packed_arrays(arrays_of(state.parameters), dtype)
        if training.partial_batch == "carry":
            G = packed_arrays(arrays_of(state.pending), dtype)
        else:
            G = aligned(P.shape, dtype)
            G[...] = 0
        self._moments = [packed_arrays(arrays_of(moment), dtype) for moment in state.moments]
        kills = training.regularizer == "l1"
        self._P, self._G = P, G
        self._dead = packed_arrays(list(state.dead), dtype) if kills else nothing
        chunk = min(training.batch_size, TRAINING_CHUNK)
        self._ints, reals = network_numbers(network, training.loss, chunk, evaluate_on)
        rates = dropout_rates(network, training)
        all_rates = (*rates, training.weight_dropout)
        set_training_numbers(self._ints, reals, network, training)
        self._ints[I_PENDING] = state.n_pending
        self._ints[I_EPOCH] = state.epoch
        self._ints[I_UPDATES] = state.n_updates
        own_points = training.order == "shuffled" or training.input_noise > 0 or rates[0] > 0
        n_own = n if own_points else 0
        order = np.empty((n_own, lanes), dtype=np.uint32)
        order[...] = np.arange(n_own, dtype=np.uint32)[:, None]
        self._diverged = pack_integers(state.diverged_at, n_groups, lanes)
        moments = [*self._moments, nothing, nothing]
        if counts is None:
            counts = np.full(self._n_replicas, n)
        lane_counts = pack_integers(counts, n_groups, lanes)
        ends = epoch_ends(lane_counts, training.batch_size, chunk)
        rows = (P.shape[1], P.shape[1], moments[0].shape[1], moments[1].shape[1], self._dead.shape[1])
        self._before_rates = (
            P,
            G,
            moments[0],
            moments[1],
            self._dead,
            frozen_mask(network, training, P.shape[1]),
            points.X,
            points.y,
            aligned((points.X.shape[1] + points.y.shape[1], n_own, lanes), dtype),
            order,
            scratch_room(self._ints, lanes, dtype, P.shape[1]),
            np.zeros((2 * (3 * len(rates) + 1), lanes), dtype=np.uint32),
            pack_integers(state.seeds, n_groups, lanes),
            lane_counts,
            ends,
            aligned((room_for_rows(ends, rows), lanes), dtype),
            np.array(network.layer_sizes, dtype=np.int64),
            self._ints,
            reals,
        )
        self._after_rates = (
            *dropout_numbers(all_rates),
            self._diverged,
        )
        self._table = points_table(self._splits)
        self._sums_shape = (len(self._splits), n_groups, lanes)

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return self._diverged.reshape(-1)[: self._n_replicas].copy()

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps, measuring losses after each.

        Parameters
        ----------
        steps : sequence of int
            Epochs of each step; 0 measures only.

        Returns
        -------
        ndarray (steps, splits, R) of float64
            Mean losses on `evaluate_on`, without penalty.
        """
        epoch, n_epochs = int(self._ints[I_EPOCH]), sum(steps)
        sums = np.zeros((len(steps), *self._sums_shape))
        rates = np.array([learning_rate(self._training, epoch + i) for i in range(n_epochs)])
        looks = np.array(steps, dtype=np.int64)
        with subnormals_are_zero(self._training.dtype):
            run(*self._before_rates, rates, *self._after_rates, looks, self._table, sums)
        self._ints[I_PENDING] = self._ints[I_PENDING_AFTER]
        self._ints[I_UPDATES] = self._ints[I_UPDATES_AFTER]
        self._ints[I_EPOCH] = epoch + n_epochs
        self._is_behind |= n_epochs > 0
        return means_of(sums, self._splits, self._n_replicas)

    def read_state(self) -> TrainingState:
        """Return the state, brought up to date."""
        state = self._state
        if self._is_behind:
            unpack_arrays(self._P, arrays_of(state.parameters))
            for packed, moment in zip(self._moments, state.moments, strict=True):
                unpack_arrays(packed, arrays_of(moment))
            if self._training.regularizer == "l1":
                unpack_arrays(self._dead > 0, list(state.dead))
            if self._training.partial_batch == "carry":
                unpack_arrays(self._G, arrays_of(state.pending))
            state.n_pending = int(self._ints[I_PENDING])
            state.n_updates = int(self._ints[I_UPDATES])
            state.epoch = int(self._ints[I_EPOCH])
            state.diverged_at[...] = self.diverged_at
            self._is_behind = False
        return state


class CompiledSession:
    """Networks in training that stay in the kernel's layout from one call to the next.

    Whole groups of replicas fill vectors; what is left over, where it is little, is trained one network at a time
    (`engine.roads.compiled.single_session.count_singles`). Which of both changes no byte of any replica.

    Parameters
    ----------
    state : TrainingState
        Where training stands. It falls behind at the first `advance`; `read_state` brings it up to date.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
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
        evaluate_on: Sequence[Split] = (),
    ) -> None:
        refuse_unknown(network, training, "train it on the NumPy road")
        n = state.parameters.n_replicas
        n_grouped = n - count_singles(network, training, n)
        self._state = state
        self._parts: list[GroupSession | SingleSession] = []
        kinds: tuple[tuple[type[GroupSession] | type[SingleSession], int, int], ...] = (
            (GroupSession, 0, n_grouped),
            (SingleSession, n_grouped, n),
        )
        for kind, first, last in kinds:
            if first < last:
                points = part_of_split(split, first, last)
                others = [points if other is split else part_of_split(other, first, last) for other in evaluate_on]
                self._parts.append(kind(part_of_state(state, first, last), network, training, points, others))

    @property
    def diverged_at(self) -> npt.NDArray[np.int64]:
        """First epoch after which a parameter was not finite, (R,), or -1; a copy."""
        return np.concatenate([part.diverged_at for part in self._parts])

    def advance(self, steps: Sequence[int]) -> npt.NDArray[np.float64]:
        """Train in steps, measuring losses after each.

        Parameters
        ----------
        steps : sequence of int
            Epochs of each step; 0 measures only.

        Returns
        -------
        ndarray (steps, splits, R) of float64
            Mean losses on `evaluate_on`, without penalty.
        """
        return np.concatenate([part.advance(steps) for part in self._parts], axis=2)

    def read_state(self) -> TrainingState:
        """Return the state, brought up to date."""
        whole = self._state
        for part in self._parts:
            state = part.read_state()  # its arrays are parts of the whole state's
            whole.epoch, whole.n_pending, whole.n_updates = state.epoch, state.n_pending, state.n_updates
        return whole


def advance(
    state: TrainingState, network: NetworkConfig, training: TrainingConfig, split: Split, n_epochs: int
) -> None:
    """Train for some epochs, in place.

    Parameters
    ----------
    state : TrainingState
        Where training stands; changed.
    network : NetworkConfig
    training : TrainingConfig
        Together as accepted by `supports`.
    split : Split
        Training points, without weights.
    n_epochs : int
        Epochs to do.
    """
    session = CompiledSession(state, network, training, split)
    session.advance([n_epochs])
    session.read_state()


def mean_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    """Return each replica's mean loss over the points of a split, without penalty.

    Parameters
    ----------
    network : NetworkConfig
    parameters : Parameters
        R replicas, float32 or float64.
    split : Split
    loss : str
        Name of a loss.

    Returns
    -------
    ndarray (R,) of float64
        Each point's loss is computed in the type of the parameters, their sum in float64.
    """
    refuse_unknown(network, TrainingConfig(loss=loss), "evaluate on the NumPy road")
    dtype: Any = parameters.weights[0].dtype.name
    n = parameters.n_replicas
    n_grouped = n - count_singles(network, TrainingConfig(loss=loss, dtype=dtype), n)
    parts = []
    for measure, first, last in ((_group_losses, 0, n_grouped), (single_mean_losses, n_grouped, n)):
        if first < last:
            some = part_of_parameters(parameters, first, last)
            parts.append(measure(network, some, part_of_split(split, first, last), loss))
    return np.concatenate(parts)


def _group_losses(network: NetworkConfig, parameters: Parameters, split: Split, loss: str) -> npt.NDArray[np.float64]:
    dtype = parameters.weights[0].dtype.name
    lanes = LANES[dtype]
    splits = [pack_split(split, parameters.n_replicas, dtype)]
    P = packed_arrays(arrays_of(parameters), dtype)
    n_groups = len(P)
    nothing = np.zeros((n_groups, 0, lanes), dtype=dtype)
    no_points = np.zeros((n_groups, 0, 0, lanes), dtype=dtype)
    ints, reals = network_numbers(network, loss, 0, [split])
    sums = np.zeros((1, 1, n_groups, lanes))
    arguments = (
        P,
        nothing,
        nothing,
        nothing,
        nothing,
        np.zeros(0, dtype=np.uint8),
        no_points,
        no_points,
        nothing,
        np.zeros((0, lanes), dtype=np.uint32),
        scratch_room(ints, lanes, dtype, 0),
        np.zeros((1, lanes), dtype=np.uint32),
        np.zeros((n_groups, lanes), dtype=np.uint64),
        np.zeros((n_groups, lanes), dtype=np.int64),
        np.zeros((n_groups, 1), dtype=np.int64),
        nothing[0],
        np.array(network.layer_sizes, dtype=np.int64),
        ints,
        reals,
        np.zeros(0),
        np.zeros(1, dtype=np.int64),
        np.zeros(1),
        np.zeros((n_groups, lanes), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        points_table(splits),
        sums,
    )
    with subnormals_are_zero(dtype):
        run(*arguments)
    return np.asarray(means_of(sums, splits, parameters.n_replicas)[0, 0])
