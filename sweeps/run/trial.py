"""One trial: R replicas of one setting, trained and measured. A function of its arguments, bit for bit."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.records.study import Scalar, Stage, State, TrialRecord
from analysis.statistics.intervals import upper_bound
from engine.configuration import TrainingConfig
from engine.network import NetworkConfig, Parameters
from engine.state import TrainingState
from engine.stopping import Plateau
from engine.training import Look, train
from sweeps.data.source import Draws, Losses, Source, join_draws, join_parameters
from sweeps.run.outcome_digest import outcome_digest
from sweeps.search.space import apply
from sweeps.spec.sweep import EpochSpec, SweepSpec

CHUNK = 64
"""Replicas that are trained together where a stage has many: fixed, so that no result depends on the workers."""
CANDIDATE_LEVEL = 0.95
CAP_FACTOR = 10.0
"""A diverged replica counts with this many times the constant predictor's loss."""
TRIAL_ERRORS = (ValueError, ArithmeticError, MemoryError)
"""What the trial's own numbers can raise: these fail the trial, anything else is a bug and stops the sweep."""


class Goals(NamedTuple):
    """What training loss and test loss must stay below; infinite for one that is not asked about."""

    train: float
    test: float


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The trial was told to end before it was done; it will be run again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training some replicas gave.

    Parameters
    ----------
    draws : Draws
        What they were trained on.
    epochs : tuple of int
        Epochs looked at, G of them.
    losses : dict of str to ndarray (G, R)
        Mean losses by split, not finite where a replica diverged or has no point.
    parameters : Parameters
        Weights and biases at the end.
    diverged_at : ndarray (R,) of int
        Epoch by which a replica had diverged, or -1.
    road : str
        Which road of the engine ran.
    pruned_at : int or None
        The rung at which the replicas were ended, together.
    """

    draws: Draws
    epochs: tuple[int, ...]
    losses: Losses
    parameters: Parameters
    diverged_at: npt.NDArray[np.int64]
    road: str
    pruned_at: int | None = None

    @property
    def sha256(self) -> str:
        """Digest of all losses and final weights."""
        return outcome_digest(self.epochs, self.losses, self.parameters)


@dataclass(frozen=True, slots=True)
class Setting:
    """What one record is about, before it is trained.

    Parameters
    ----------
    stage : str
        See `analysis.records.study.TrialRecord`.
    number, source : int, int or None
        Its number within the stage, and the search trial it repeats.
    params : dict
        What was chosen.
    seeds : tuple of str
        Page seeds of its replicas.
    look_at : tuple of int
        Epochs to look at.
    epochs : int or None
        The epoch that counts; None: the one with the lowest mean test loss, or what ``[epochs] counts`` says.
    stops_early : bool
        Whether the spec's stop rule holds.
    prune_above : tuple of (int, float)
        Epochs at which training ends if the lowest mean test loss so far is above the number; see
        `sweeps.search.pruners`.
    level : float
        Of a certificate's test.
    """

    stage: Stage
    number: int
    source: int | None
    params: dict[str, Scalar]
    seeds: tuple[str, ...]
    look_at: tuple[int, ...]
    epochs: int | None = None
    stops_early: bool = False
    prune_above: tuple[tuple[int, float], ...] = ()
    level: float = 0.0

    @property
    def n_chunks(self) -> int:
        """Pieces that can be trained apart; one where stopping looks at all replicas together."""
        return 1 if self.stops_early else math.ceil(len(self.seeds) / CHUNK)

    def chunk(self, i: int) -> tuple[str, ...]:
        """Return the seeds of piece `i`."""
        return self.seeds if self.n_chunks == 1 else self.seeds[i * CHUNK : (i + 1) * CHUNK]


def search_setting(
    spec: SweepSpec,
    number: int,
    params: Mapping[str, Scalar],
    seeds: tuple[str, ...],
    *,
    source: int | None = None,
    stage: Stage = "search",
    prune_above: tuple[tuple[int, float], ...] = (),
) -> Setting:
    """Return a trial that is looked at on the spec's grid of epochs and may stop early."""
    grid = spec.epochs.grid
    return Setting(stage, number, source, dict(params), seeds, grid, stops_early=True, prune_above=prune_above)


def run_trial(spec: SweepSpec, source: Source, study: str, setting: Setting) -> TrialRecord:
    """Train and measure one setting.

    Same spec, data and setting: same record on any worker, in any order, bit for bit, timing apart. A trial that
    cannot be run is a record with state ``"failed"``.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    source : Source
        The dataset.
    study : str
        ``"<sweep>/<dataset>"``, for the record.
    setting : Setting
        What to train.

    Returns
    -------
    TrialRecord
    """
    start, started_at = time.monotonic(), time.time()
    outcomes: list[Outcome] = []
    reason = None
    for i in range(setting.n_chunks):
        result = run_chunk(spec, source, setting, i)
        if isinstance(result, str):
            reason = result
            break
        outcomes.append(result)
    outcome = join(outcomes) if reason is None else None
    record = make_record(spec, source, study, setting, outcome, reason)
    return dataclasses.replace(record, started_at_s=started_at, duration_s=time.monotonic() - start)


def run_chunk(
    spec: SweepSpec, source: Source, setting: Setting, i: int, cancel: threading.Event | None = None
) -> Outcome | str:
    """Train piece `i` of a setting; return what it gave, or why it failed.

    Raises
    ------
    Cancelled
        At the next look after `cancel` was set.
    """
    try:
        groups = [source.draws(seeds) for seeds in source.groups(setting.chunk(i))]
        draws = join_draws(groups)
        network, training = apply(spec, setting.params, source.n_inputs, source.n_outputs)
        cap = diverged_cap(draws)
        means: list[float] = []
        bounds = dict(setting.prune_above)
        pruned_at: int | None = None

        def on_look(epoch: int, losses: Losses, all_done: bool) -> bool:
            nonlocal pruned_at
            if cancel is not None and cancel.is_set():
                raise Cancelled
            means.append(float(capped(losses["test"], cap).mean()))
            if min(means) > bounds.get(epoch, math.inf):
                pruned_at = epoch
                return True
            return setting.stops_early and (all_done or is_stale(spec.epochs, epoch, means))

        watched = [_Watched(network, one, spec.epochs.stop_delta) for one in groups]
        epochs, losses, road = _train_groups(network, training, watched, setting.look_at, on_look)
    except TRIAL_ERRORS as error:
        return f"{type(error).__name__}: {error}"
    return Outcome(
        draws=draws,
        epochs=epochs,
        losses=losses,
        parameters=join_parameters([one.parameters for one in watched]),
        diverged_at=np.concatenate([one.diverged_at for one in watched]),
        road=road,
        pruned_at=pruned_at,
    )


def train_frames(spec: SweepSpec, source: Source, setting: Setting) -> tuple[tuple[int, ...], Parameters]:
    """Train the first replica of a setting once more, keeping its network at every look: the frames of an animation.

    A replica is the same whoever shares its call, so the last frame is the network that the setting's own training
    left.

    Returns
    -------
    epochs : tuple of int
        0 (before training) and the setting's looks.
    networks : Parameters
        One "replica" for each of them.
    """
    draws = source.draws(setting.seeds[:1])
    network, training = apply(spec, setting.params, source.n_inputs, source.n_outputs)
    watched = _Watched(network, draws, spec.epochs.stop_delta)
    kept: list[Parameters] = []

    def keep(look: Look) -> None:
        watched.see(look)
        at_look = watched.parameters if spec.epochs.stop_delta else look.state.parameters
        kept.append(join_parameters([at_look]))  # a copy: training goes on in place

    epochs = (0, *setting.look_at)
    _train(network, training, watched, epochs, keep)
    return epochs, join_parameters(kept)


class _Watched:
    """A group of replicas as its looks show it, with those at rest as they were when they came to it.

    A replica whose training loss moves by at most `stop_delta` from one look to the next comes to rest. Which replicas
    share its call, and for how long they go on, therefore changes nothing in it.
    """

    def __init__(self, network: NetworkConfig, draws: Draws, stop_delta: float) -> None:
        self.draws = draws
        self.state: TrainingState | None = None
        self.diverged_at = np.full(len(draws.seeds), -1)
        self.all_done = False
        self._network = network
        self._plateau = Plateau("train", stop_delta) if stop_delta else None
        self.losses: Losses = {}

    def see(self, look: Look) -> None:
        """Take note of a look."""
        measure = self.draws.measure
        losses = dict(look.losses) if measure is None else measure(self._network, look.state.parameters)
        self.diverged_at = look.diverged_at.copy()
        at_rest = np.zeros(len(self.draws.seeds), dtype=np.bool_)
        if self._plateau is not None:
            if self.losses:
                was = self._plateau.ended_at >= 0
                losses = {name: np.where(was, self.losses[name], now) for name, now in losses.items()}
            self._plateau(dataclasses.replace(look, losses=losses))
            at_rest = self._plateau.ended_at >= 0
            self.diverged_at[at_rest] = -1
        self.losses = losses
        self.all_done = bool((at_rest | (self.diverged_at >= 0)).all())

    @property
    def parameters(self) -> Parameters:
        """Weights and biases of each replica, where it is or came to rest."""
        if self._plateau is not None:
            return self._plateau.parameters
        if self.state is None:
            raise AssertionError("asked before it was trained")
        return self.state.parameters


def _train_groups(
    network: NetworkConfig,
    training: TrainingConfig,
    groups: Sequence[_Watched],
    look_at: tuple[int, ...],
    on_look: Callable[[int, Losses, bool], bool],
) -> tuple[tuple[int, ...], Losses, str]:
    """Train groups of replicas from look to look, so that one rule about all replicas can end them together.

    Returns the epochs looked at, the losses there and the engine's road.
    """
    epochs: list[int] = []
    seen: list[Losses] = []

    def look(epoch: int) -> bool:
        epochs.append(epoch)
        seen.append({name: np.concatenate([group.losses[name] for group in groups]) for name in groups[0].losses})
        return on_look(epoch, seen[-1], all(group.all_done for group in groups))

    def see_and_look(one: Look) -> bool:
        groups[0].see(one)
        return look(one.epoch)

    if len(groups) == 1:  # nobody to wait for: one call, which lays out the points once
        road = _train(network, training, groups[0], look_at, see_and_look)
    else:
        road = ""
        for epoch in look_at:
            for group in groups:
                road = _train(network, training, group, (epoch,), group.see)
            if look(epoch):
                break
    return tuple(epochs), {name: np.stack([one[name] for one in seen]) for name in seen[0]}, road


def _train(
    network: NetworkConfig,
    training: TrainingConfig,
    group: _Watched,
    look_at: tuple[int, ...],
    on_look: Callable[[Look], bool | None],
) -> str:
    """Train a group from where it stands, and leave it where it then stands; return the engine's road."""
    draws = group.draws
    result = train(
        network,
        training,
        draws.train,
        draws.initialize(network),
        draws.training_seeds,
        look_at=look_at,
        evaluate_on=draws.splits if draws.measure is None else {},
        on_look=lambda one: bool(on_look(one)),
        state=group.state,
    )
    group.state = result.state
    return result.road


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Put the replicas of several pieces side by side."""
    first = outcomes[0]
    if len(outcomes) == 1:
        return first
    return Outcome(
        draws=join_draws([outcome.draws for outcome in outcomes]),
        epochs=first.epochs,
        losses={name: np.concatenate([o.losses[name] for o in outcomes], axis=1) for name in first.losses},
        parameters=join_parameters([outcome.parameters for outcome in outcomes]),
        diverged_at=np.concatenate([outcome.diverged_at for outcome in outcomes]),
        road=first.road,
    )


def is_stale(epochs: EpochSpec, epoch: int, means: Sequence[float]) -> bool:
    """Return whether the stop rule ends a trial whose mean test losses so far are `means`."""
    if not epochs.stop_patience or epoch < epochs.stop_from:
        return False
    return len(means) - 1 - int(np.argmin(means)) >= epochs.stop_patience


def diverged_cap(draws: Draws) -> float:
    """Return the finite loss that a diverged replica counts with."""
    return CAP_FACTOR * float(draws.constant["test"].mean())


def capped(losses: npt.NDArray[np.float64], cap: float) -> npt.NDArray[np.float64]:
    """Return the losses with everything above the cap, infinite or not a number, set to it."""
    return np.where(losses < cap, losses, cap)


def make_record(
    spec: SweepSpec, source: Source, study: str, setting: Setting, outcome: Outcome | None, reason: str | None
) -> TrialRecord:
    """Return the record of an outcome, or of a failure where `outcome` is None."""
    draws = outcome.draws if outcome else source.draws(source.groups(setting.chunk(0))[0])
    cap = diverged_cap(draws)
    network, training = _configs(spec, source, setting)
    losses: dict[str, list[Any]] = {name: [] for name in draws.splits}
    at, grid = 0, outcome.epochs if outcome else ()
    value = train_upper = test_upper = cap
    state: State = "failed"
    if outcome:
        train_all, test_all = (capped(outcome.losses[name], cap) for name in ("train", "test"))
        if setting.epochs is not None:
            at = grid.index(setting.epochs)
        elif spec.epochs.counts == "last" and setting.stage == "search":
            at = len(grid) - 1
        else:
            at = int(np.argmin(test_all.mean(axis=1)))
        value = float(test_all[at].mean())
        train_upper = upper_bound(train_all[at], CANDIDATE_LEVEL)
        test_upper = upper_bound(test_all[at], CANDIDATE_LEVEL)
        n_diverged = int((outcome.diverged_at >= 0).sum())
        state = "diverged" if 2 * n_diverged >= len(setting.seeds) else "complete"
        if state == "diverged":
            reason = f"{n_diverged} of {len(setting.seeds)} replicas diverged"
        elif outcome.pruned_at is not None:
            bound = dict(setting.prune_above)[outcome.pruned_at]
            reason = f"pruned at epoch {outcome.pruned_at}: test loss {value:.4g} is above {bound:.4g} there"
        counts = {"train": None, "test": None, "in_range": draws.n_in_range, "out_of_range": draws.n_out_of_range}
        losses = {name: _side(outcome.losses[name][at], counts[name], cap) for name in losses}
    pruned_at = outcome.pruned_at if outcome else None
    goal = Goals(math.inf if source.is_finite else source.goal, source.goal)
    judged = None
    if setting.stage == "certificate" and outcome and network:
        judged = source.judge(setting.seeds, network, outcome.parameters, setting.level)
    return TrialRecord(
        study=study,
        stage=setting.stage,
        number=setting.number,
        source=setting.source,
        state=state,
        reason=reason,
        params=dict(setting.params),
        network=_as_plain(network),
        training=_as_plain(training),
        seeds=list(setting.seeds),
        epochs=grid[at] if outcome else 0,
        value=value,
        candidate=state == "complete" and pruned_at is None and train_upper < goal.train and test_upper < goal.test,
        train_upper=train_upper,
        test_upper=test_upper,
        train_loss=losses["train"],
        test_loss=losses["test"],
        in_range_loss=losses["in_range"],
        out_of_range_loss=losses["out_of_range"],
        n_in_range=draws.n_in_range.tolist() if outcome else [],
        n_out_of_range=draws.n_out_of_range.tolist() if outcome else [],
        constant_loss=float(draws.constant["test"].mean()),
        constant_in_range_loss=_mean(draws.constant["in_range"]),
        constant_out_of_range_loss=_mean(draws.constant["out_of_range"]),
        floor_train_loss=_floor(draws, "train", outcome),
        floor_test_loss=_floor(draws, "test", outcome),
        floor_in_range_loss=_floor(draws, "in_range", outcome),
        floor_out_of_range_loss=_floor(draws, "out_of_range", outcome),
        epoch_grid=list(grid),
        curves=_curves(outcome, cap, goal) if outcome else {},
        first_passage=_first_passage(outcome, cap, goal) if outcome else [],
        diverged_at=[None if at < 0 else int(at) for at in outcome.diverged_at] if outcome else [],
        diverged_cap=cap,
        sha256=outcome.sha256 if outcome else "",
        road=outcome.road if outcome else "",
        playground_url=source.page_url(network, training, setting.seeds[0]) if network and training else None,
        pruned_at=pruned_at,
        ensemble=judged,
    )


def _configs(
    spec: SweepSpec, source: Source, setting: Setting
) -> tuple[NetworkConfig, TrainingConfig] | tuple[None, None]:
    try:
        return apply(spec, setting.params, source.n_inputs, source.n_outputs)
    except ValueError:
        return None, None  # the record's reason already says so


def _as_plain(config: NetworkConfig | TrainingConfig | None) -> dict[str, Any]:
    if config is None:
        return {}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(config).items()}


def _side(losses: npt.NDArray[np.float64], n_points: npt.NDArray[np.int64] | None, cap: float) -> list[float | None]:
    values: list[float] = capped(losses, cap).tolist()
    if n_points is None:
        return list(values)
    return [value if n else None for value, n in zip(values, n_points.tolist(), strict=True)]


def _floor(draws: Draws, name: str, outcome: Outcome | None) -> list[float | None] | None:
    if draws.floors is None or outcome is None:
        return None
    return [None if math.isnan(value) else value for value in draws.floors[name].tolist()]


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _curves(outcome: Outcome, cap: float, goal: Goals) -> dict[str, list[float | None]]:
    curves: dict[str, list[float | None]] = {}
    for name in ("train", "test"):
        losses = capped(outcome.losses[name], cap)
        curves[f"{name}_loss_mean"] = losses.mean(axis=1).tolist()
        curves[f"{name}_loss_q10"] = np.quantile(losses, 0.1, axis=1).tolist()
        curves[f"{name}_loss_q90"] = np.quantile(losses, 0.9, axis=1).tolist()
    counts = {"in_range": outcome.draws.n_in_range, "out_of_range": outcome.draws.n_out_of_range}
    for name, n_points in counts.items():
        losses = capped(outcome.losses[name], cap)
        curves[f"{name}_loss_mean"] = [_mean(np.where(n_points > 0, row, np.nan)) for row in losses]
    curves["pass_rate"] = _passes(outcome, cap, goal).mean(axis=1).tolist()
    return curves


def _passes(outcome: Outcome, cap: float, goal: Goals) -> npt.NDArray[np.bool_]:
    return (capped(outcome.losses["train"], cap) < goal.train) & (capped(outcome.losses["test"], cap) < goal.test)


def _first_passage(outcome: Outcome, cap: float, goal: Goals) -> list[int | None]:
    passes = _passes(outcome, cap, goal)
    first = np.argmax(passes, axis=0)
    return [outcome.epochs[i] if passes[i, r] else None for r, i in enumerate(first.tolist())]
