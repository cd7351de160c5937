"""Train R replicas of one network together: the one loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.configuration import TrainingConfig
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS
from engine.methods.streams import LABEL_NOISE, normals, random_bits, stream_keys
from engine.names import look_up
from engine.network import NetworkConfig, Parameters
from engine.roads import plain
from engine.roads.choice import Road, choose_road
from engine.roads.memory import check_memory
from engine.splits import Split
from engine.state import TrainingState
from engine.validation import check_parameters, check_replicas, validate, validate_split

if TYPE_CHECKING:
    from engine.roads.compiled import session

SeedArray = npt.NDArray[np.uint64]

# Looks that nobody waits for share a call up to this many epochs: then the call costs next to nothing, and an interrupt
# from the keyboard, which waits for the call to end, hardly more than at a look an epoch.
EPOCHS_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Look:
    """What `train` shows at a look.

    Parameters
    ----------
    epoch : int
        Epochs done.
    losses : mapping of str to ndarray (R,)
        Mean loss of every replica on every split of `evaluate_on`, without penalty.
    diverged_at : ndarray (R,) of int
        First epoch after which a parameter was not finite, or -1.
    read_state : callable () -> TrainingState
        What `state` asks.
    """

    epoch: int
    losses: Mapping[str, npt.NDArray[np.float64]]
    diverged_at: npt.NDArray[np.int64]
    read_state: Callable[[], TrainingState]

    @property
    def state(self) -> TrainingState:
        """Where training stands; to be read during the look, not changed, and only where needed: it may be a copy."""
        return self.read_state()


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What `train` returns.

    Parameters
    ----------
    epochs : tuple of int, length G
        Epochs at which it looked, up to where it stopped.
    losses : dict of str to ndarray (G, R)
        Mean losses at those epochs, by split.
    state : TrainingState
        Where training stands; `parameters` in it are the trained ones.
    road : str
        ``"compiled-float32"``, ``"numpy-float64"``, ...: which road of the engine ran.
    """

    epochs: tuple[int, ...]
    losses: dict[str, npt.NDArray[np.float64]]
    state: TrainingState
    road: str


def with_label_noise(split: Split, network: NetworkConfig, training: TrainingConfig, seeds: SeedArray) -> Split:
    """Return the split with the noisy training targets of each replica.

    With u_i and b_i the uniform number and the random bits of counters 2 i and 2 i + 1 of the replica's `LABEL_NOISE`
    stream, example i with class c of k becomes class ``(c + 1 + (b_i (k - 1) >> 32)) mod k`` where
    ``u_i < label_noise``; a share t becomes 1 - t there. A number gets ``label_noise`` times the stream's normal number
    ``i * n_outputs + j`` added.

    Parameters
    ----------
    split : Split
        Clean training points.
    network, training : NetworkConfig, TrainingConfig
        Number of outputs; loss and `label_noise`.
    seeds : ndarray (R,) of uint64
        One a replica: the noise is the same whenever it is asked for.
    """
    if training.label_noise == 0:
        return split
    keys = stream_keys(seeds, 0, LABEL_NOISE)
    n, columns = split.y.shape[1:]
    kind = LOSSES[training.loss].targets
    if kind == "numbers":
        z = normals(keys, 0, n * columns).reshape(-1, n, columns)
        return Split(split.X, (split.y + training.label_noise * z).astype(split.y.dtype), split.weight)
    bits = random_bits(keys, 0, 2 * n * columns).reshape(-1, n, columns, 2)
    replaced = (bits[..., 0] >> np.uint32(8)) * 2.0**-24 < training.label_noise
    if kind == "shares":
        other = 1 - split.y
    else:
        jump = 1 + ((bits[..., 1].astype(np.uint64) * np.uint64(network.n_outputs - 1)) >> np.uint64(32))
        other = (split.y + jump.astype(split.y.dtype)) % network.n_outputs
    return Split(split.X, np.where(replaced, other, split.y).astype(split.y.dtype), split.weight)


def initial_state(
    network: NetworkConfig, training: TrainingConfig, parameters: Parameters, seeds: SeedArray
) -> TrainingState:
    """Return the state before the first epoch.

    Parameters
    ----------
    network : NetworkConfig
        The network.
    training : TrainingConfig
        Names the optimizer and the type.
    parameters : Parameters
        First weights and biases, of R replicas; copied.
    seeds : ndarray (R,) of uint64
        Each replica's key of the random stream of training.

    Raises
    ------
    ValueError
        If the parameters do not fit the network, or the seeds do not fit the parameters.
    """
    check_parameters(network, parameters)
    seeds = np.array(seeds, dtype=np.uint64)
    if seeds.shape != (parameters.n_replicas,):
        raise ValueError(
            f"seeds: shape {seeds.shape}; {parameters.n_replicas} replicas need ({parameters.n_replicas},)"
        )
    first = Parameters(
        [W.astype(training.dtype) for W in parameters.weights],
        [b.astype(training.dtype) for b in parameters.biases],
        None if parameters.slopes is None else parameters.slopes.astype(training.dtype),
    )
    n_moments = look_up(OPTIMIZERS, training.optimizer, "training.optimizer").n_moments
    return TrainingState(
        parameters=first,
        moments=tuple(_zeros_like(first) for _ in range(n_moments)),
        pending=_zeros_like(first),
        n_pending=0,
        dead=[np.zeros(W.shape, dtype=np.bool_) for W in first.weights],
        epoch=0,
        n_updates=0,
        seeds=seeds,
        diverged_at=np.full(len(seeds), -1, dtype=np.int64),
    )


def _zeros_like(parameters: Parameters) -> Parameters:
    return Parameters(
        [np.zeros_like(W) for W in parameters.weights],
        [np.zeros_like(b) for b in parameters.biases],
        None if parameters.slopes is None else np.zeros_like(parameters.slopes),
    )


def advance(
    state: TrainingState,
    network: NetworkConfig,
    training: TrainingConfig,
    split: Split,
    n_epochs: int,
    *,
    road: Road | None = None,
) -> None:
    """Train for some epochs, changing `state` in place.

    Parameters
    ----------
    state : TrainingState
        Where training stands.
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how; valid (`engine.validation.validate`).
    split : Split
        Training points.
    n_epochs : int
        How many more.
    road : str or None
        ``"compiled"`` or ``"numpy"``; None means the static rule `engine.roads.choice.choose_road`.
    """
    if n_epochs == 0:
        return
    points = with_label_noise(split, network, training, state.seeds)
    session = open_session(state, network, training, points, (), road_of(network, training, split, road))
    session.advance([n_epochs])
    session.read_state()


def road_of(network: NetworkConfig, training: TrainingConfig, split: Split, asked: Road | None) -> Road:
    """Return the road that trains these points; raises ValueError if the one asked for cannot."""
    is_weighted = split.weight is not None
    if asked == "compiled" and is_weighted:
        raise ValueError("road: 'compiled' trains all points alike; split.weight needs 'numpy', or None")
    return asked or choose_road(network, training, n_samples=split.X.shape[1], is_weighted=is_weighted)


def open_session(
    state: TrainingState,
    network: NetworkConfig,
    training: TrainingConfig,
    split: Split,
    evaluate_on: Sequence[Split],
    road: Road,
) -> session.CompiledSession | plain.PlainSession:
    """Return networks in training on a road."""
    if road == "compiled":
        from engine.roads.compiled import session  # Numba takes half a second to import: only for those who use it

        return session.CompiledSession(state, network, training, split, evaluate_on)
    return plain.PlainSession(state, network, training, split, evaluate_on)


def checked_looks(look_at: Sequence[int], first: int) -> list[int]:
    """Return the epochs to look at; raises ValueError if they do not increase from `first` on."""
    looks = [int(epoch) for epoch in look_at]
    if not looks or looks[0] < first or any(late <= early for early, late in itertools.pairwise(looks)):
        raise ValueError(f"look_at: {looks}; give increasing epochs, none below {first}")
    return looks


def check_points(
    network: NetworkConfig, training: TrainingConfig, split: Split, n_replicas: int, evaluate_on: Mapping[str, Split]
) -> None:
    """Check what R replicas are trained and measured on; raises ValueError."""
    validate(network, training, split)
    check_replicas(split, n_replicas, "split")
    for name, other in evaluate_on.items():
        validate_split(network, training, other, f"evaluate_on[{name!r}]")
        check_replicas(other, n_replicas, f"evaluate_on[{name!r}]")


def calls_between(epochs: Sequence[int], *, joined: bool) -> Iterator[list[int]]:
    """Yield the steps between epochs, those of one call together: several short ones where they may be joined."""
    steps: list[int] = []
    for early, late in itertools.pairwise(epochs):
        steps.append(late - early)
        if not joined or sum(steps) >= EPOCHS_TOGETHER:
            yield steps
            steps = []
    if steps:
        yield steps


def train(
    network: NetworkConfig,
    training: TrainingConfig,
    split: Split,
    parameters: Parameters,
    seeds: SeedArray,
    *,
    look_at: Sequence[int],
    evaluate_on: Mapping[str, Split],
    on_look: Callable[[Look], bool] | None = None,
    state: TrainingState | None = None,
    road: Road | None = None,
) -> TrainResult:
    """Train R replicas together, measuring losses at chosen epochs.

    Parameters
    ----------
    network, training : NetworkConfig, TrainingConfig
        What is trained, and how. Training ends at the last epoch of `look_at`; `max_epochs` only shapes the schedule.
    split : Split
        Training points.
    parameters : Parameters
        First weights and biases, from `engine.methods.initializers.initialize` or the Playground's stream; not changed.
    seeds : ndarray (R,) of uint64
        Each replica's key of the random stream of training.
    look_at : sequence of int
        Epochs, increasing; 0 is before training.
    evaluate_on : mapping of str to Split
        Splits whose mean losses are measured at each look.
    on_look : callable Look -> bool, optional
        Called at each look; True ends the training there.
    state : TrainingState, optional
        Goes on from here, in place, instead of from `parameters` and `seeds`.
    road : str or None
        ``"compiled"`` or ``"numpy"``; None means the static rule `engine.roads.choice.choose_road`.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If anything cannot be used; the message names argument, value and what would do.
    """
    first = 0 if state is None else state.epoch
    looks = checked_looks(look_at, first)
    n_replicas = (parameters if state is None else state.parameters).n_replicas
    check_points(network, training, split, n_replicas, evaluate_on)
    chosen = road_of(network, training, split, road)
    check_memory(network, training, n_replicas, split, chosen)
    if state is None:
        state = initial_state(network, training, parameters, seeds)
    points = with_label_noise(split, network, training, state.seeds)
    session = open_session(state, network, training, points, list(evaluate_on.values()), chosen)
    rows: list[npt.NDArray[np.float64]] = []
    done = 0
    try:
        for steps in calls_between([first, *looks], joined=on_look is None):
            measured = session.advance(steps)
            rows.append(measured)
            done += len(steps)
            if on_look is not None:
                losses = dict(zip(evaluate_on, measured[-1], strict=True))
                if on_look(Look(looks[done - 1], losses, session.diverged_at, session.read_state)):
                    break
    finally:  # an exception from `on_look` leaves the caller's state where training stands, too
        state = session.read_state()
    table = np.concatenate(rows)
    return TrainResult(
        epochs=tuple(looks[:done]),
        losses={name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(evaluate_on)},
        state=state,
        road=f"{chosen}-{training.dtype}",
    )
