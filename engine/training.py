"""Train R replicas of one network together: configuration, state, and the one loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from engine.evaluation import mean_losses
from engine.losses import LOSSES
from engine.memory import check_memory
from engine.names import look_up
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.optimizers import OPTIMIZERS
from engine.roads import Road, choose_road
from engine.streams import LABEL_NOISE, normals, random_bits, stream_keys
from engine.validation import check_parameters, check_replicas, validate, validate_split

if TYPE_CHECKING:
    from engine.kernels import PackedSplit

SeedArray = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained. Every field is searchable.

    One update, with G the gradient summed over the m examples since the last update, lr the scheduled rate:

    1. g = G / m;
    2. coupled penalty on weights, never biases: ``"l2"`` adds lambda * w, ``"l1_subgradient"`` lambda * sign(w)
       (``sign(0) = 0``) to g;
    3. `max_grad_norm` scales g of each replica down to that global norm;
    4. decoupled `weight_decay` of weights, never biases: w <- w * (1 - lr * weight_decay) (Loshchilov & Hutter, 2019);
    5. the optimizer's step;
    6. ``"l1"`` is the Playground's: after the step (w1), w2 = w1 - lr * lambda * sign(w), w being the value before the
       update; where w1 * w2 < 0 the weight becomes 0 and its link is dead for ever;
    7. `max_norm` scales each unit's incoming weights down to that Euclidean norm;
    8. dead and frozen parameters keep their values through all of it.

    Parameters
    ----------
    loss : str
        Name in `engine.losses.LOSSES`.
    optimizer : str
        Name in `engine.optimizers.OPTIMIZERS`; formulas and defaults are PyTorch's.
    learning_rate : float
        Positive.
    momentum : float
        For ``"momentum"`` and ``"nesterov"``.
    beta_1, beta_2 : float
        Decay rates of Adam's and AdamW's moments.
    rho : float
        Decay rate of RMSprop's squared gradient.
    epsilon : float or None
        Added to the root in AdaGrad, RMSprop, Adam, AdamW; None means 1e-10 for AdaGrad, else 1e-8.
    batch_size : int
        Examples an update; 1 up to the number of training examples.
    partial_batch : str
        What becomes of the examples left over at the end of an epoch: ``"keep"`` (a smaller last batch), ``"drop"``,
        or ``"carry"`` (the Playground: their gradients join the first update of the next epoch).
    order : str
        ``"fixed"`` (as given, for ever) or ``"shuffled"`` (anew each epoch and replica).
    max_epochs : int
        Length of the schedule, and of training where nothing stops it before.
    schedule : str
        Name in `engine.schedules.SCHEDULES`: the rate of each epoch as a multiple of `learning_rate`.
    schedule_decay : float
        Factor of ``"step"`` and ``"exponential"``, final fraction of ``"cosine"``.
    schedule_every : int
        Epochs between the drops of ``"step"``.
    warmup_epochs : int
        Epochs of linear warm-up before any schedule.
    regularizer : str
        ``"none"``, ``"l1"`` (Playground), ``"l1_subgradient"`` or ``"l2"``.
    regularization_rate : float
        lambda.
    weight_decay : float
        Decoupled decay rate, with any optimizer; 0 means 0.01 for ``"adamw"`` (`engine.optimizers.weight_decay_of`).
    max_norm : float or None
        Largest norm of a unit's incoming weights, in every layer.
    max_grad_norm : float or None
        Largest global gradient norm.
    dropout : tuple of float
        Rate after each hidden layer (inverted scaling, off at evaluation); empty means none, one number means all.
    input_dropout : float
        Rate on the inputs.
    input_noise : float
        Standard deviation of Gaussian noise added to the inputs, anew each epoch.
    label_noise : float
        Share of training labels replaced (classes) or standard deviation added (numbers), once; see
        `with_label_noise`.
    frozen : tuple of str
        Parameters that keep their first values: ``"biases[0]"``, ``"weights[1]"``.
    dtype : str
        ``"float32"`` or ``"float64"``.
    """

    loss: str = "half_squared_error"
    optimizer: str = "sgd"
    learning_rate: float = 0.03
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.99
    epsilon: float | None = None
    batch_size: int = 10
    partial_batch: Literal["carry", "keep", "drop"] = "keep"
    order: Literal["fixed", "shuffled"] = "shuffled"
    max_epochs: int = 100
    schedule: str = "constant"
    schedule_decay: float = 0.1
    schedule_every: int = 30
    warmup_epochs: int = 0
    regularizer: Literal["none", "l1", "l1_subgradient", "l2"] = "none"
    regularization_rate: float = 0.0
    weight_decay: float = 0.0
    max_norm: float | None = None
    max_grad_norm: float | None = None
    dropout: tuple[float, ...] = ()
    input_dropout: float = 0.0
    input_noise: float = 0.0
    label_noise: float = 0.0
    frozen: tuple[str, ...] = ()
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, slots=True)
class Split:
    """Points and targets of R replicas.

    Parameters
    ----------
    X : ndarray (R, n, n_inputs)
        Features. A leading axis of 1 means that all replicas share the points.
    y : ndarray (R, n, n_targets)
        Targets: one column of class indices for softmax cross-entropy and hinge, else one column an output.
    weight : ndarray (R, n) or None
        Weight of each point in a mean; 0 leaves a point out (padding). None means 1. Only `evaluate` takes weights.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None = None


@dataclass(slots=True)
class TrainingState:
    """Where the training of R replicas stands; training goes on from it bit for bit.

    Parameters
    ----------
    parameters : Parameters
        Current weights and biases.
    moments : tuple of Parameters
        Optimizer state: as many as the optimizer keeps (0, 1 or 2), shaped like `parameters`.
    pending : Parameters
        Gradient sums carried over from the last epoch (``partial_batch="carry"``), else zeros.
    n_pending : int
        Examples behind `pending`.
    dead : list of bool ndarray, shaped like the weights
        Links that the Playground's L1 has killed.
    epoch : int
        Epochs done.
    n_updates : int
        Updates done (Adam's bias correction).
    seeds : ndarray (R,) of uint64
        Each replica's key of the counter-based stream that shuffles, drops out and adds noise. With the epoch it
        fixes every number drawn, so nothing else has to be kept.
    diverged_at : ndarray (R,) of int
        First epoch after which a parameter was not finite, or -1. A diverged replica harms no other.
    """

    parameters: Parameters
    moments: tuple[Parameters, ...]
    pending: Parameters
    n_pending: int
    dead: list[npt.NDArray[np.bool_]]
    epoch: int
    n_updates: int
    seeds: npt.NDArray[np.uint64]
    diverged_at: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Look:
    """What `train` shows at a look.

    Parameters
    ----------
    epoch : int
        Epochs done.
    losses : mapping of str to ndarray (R,)
        Mean loss of every replica on every split of `evaluate_on`, without penalty.
    state : TrainingState
        Where training stands; to be read, not changed.
    """

    epoch: int
    losses: Mapping[str, npt.NDArray[np.float64]]
    state: TrainingState


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


def dropout_rates(network: NetworkConfig, training: TrainingConfig) -> tuple[float, ...]:
    """Return the dropout rate of the inputs and of each hidden layer."""
    n_hidden = len(network.hidden_layer_sizes)
    rates = training.dropout * n_hidden if len(training.dropout) == 1 else training.dropout
    return (training.input_dropout, *(rates or (0.0,) * n_hidden))


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
        Training points, without weights.
    n_epochs : int
        How many more.
    road : str or None
        ``"compiled"`` or ``"numpy"``; None means the static rule `engine.roads.choose_road`.
    """
    if n_epochs == 0:
        return
    chosen = road or choose_road(network, training, split.X.shape[1])
    _advance(state, network, training, with_label_noise(split, network, training, state.seeds), n_epochs, chosen)


def _advance(
    state: TrainingState,
    network: NetworkConfig,
    training: TrainingConfig,
    split: Split | PackedSplit,
    n_epochs: int,
    road: Road,
) -> None:
    if road == "compiled" or not isinstance(split, Split):
        from engine import kernels  # Numba takes half a second to import: only for those who use it

        kernels.advance(state, network, training, split, n_epochs)
    else:
        from engine import plain

        plain.advance(state, network, training, split, n_epochs)


def _packed(split: Split, n_replicas: int, dtype: str, road: Road) -> Split | PackedSplit:
    """Return the split in the layout of the road, so that it is copied once and not at every look."""
    if road == "numpy":
        return Split(split.X.astype(dtype, copy=False), split.y.astype(dtype, copy=False), split.weight)
    from engine import kernels

    return kernels.pack_split(split, n_replicas, dtype)


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
        First weights and biases, from `engine.initializers.initialize` or the Playground's stream; not changed.
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
        ``"compiled"`` or ``"numpy"``; None means the static rule `engine.roads.choose_road`.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If anything cannot be used; the message names argument, value and what would do.
    """
    looks = [int(epoch) for epoch in look_at]
    first = 0 if state is None else state.epoch
    if not looks or looks[0] < first or any(late <= early for early, late in itertools.pairwise(looks)):
        raise ValueError(f"look_at: {looks}; give increasing epochs, none below {first}")
    validate(network, training, split)
    n_replicas = (parameters if state is None else state.parameters).n_replicas
    check_replicas(split, n_replicas, "split")
    for name, other in evaluate_on.items():
        validate_split(network, training, other, f"evaluate_on[{name!r}]")
        check_replicas(other, n_replicas, f"evaluate_on[{name!r}]")
    chosen: Road = road or choose_road(network, training, split.X.shape[1])
    check_memory(network, training, n_replicas, split, chosen)
    if state is None:
        state = initial_state(network, training, parameters, seeds)
    points = _packed(with_label_noise(split, network, training, state.seeds), n_replicas, training.dtype, chosen)
    others = {name: _packed(other, n_replicas, training.dtype, chosen) for name, other in evaluate_on.items()}
    rows: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in evaluate_on}
    done: list[int] = []
    for epoch in looks:
        if epoch > state.epoch:
            _advance(state, network, training, points, epoch - state.epoch, chosen)
        losses = {
            name: mean_losses(network, state.parameters, other, training.loss, road=chosen)
            for name, other in others.items()
        }
        done.append(epoch)
        for name, values in losses.items():
            rows[name].append(values)
        if on_look is not None and on_look(Look(epoch, losses, state)):
            break
    return TrainResult(
        epochs=tuple(done),
        losses={name: np.stack(values) for name, values in rows.items()},
        state=state,
        road=f"{chosen}-{training.dtype}",
    )
