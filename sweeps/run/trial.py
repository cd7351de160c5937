"""One trial: R replicas of one setting, trained and measured. A function of its arguments, bit for bit."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from analysis.records.study import TrialRecord
from engine.configuration import TrainingConfig
from engine.groups import Group, train_groups
from engine.network import NetworkConfig, Parameters
from engine.state import TrainingState
from engine.stopping import Plateau
from engine.training import Look, train
from sweeps.data.source import Draws, Losses, Source, join_draws, join_parameters
from sweeps.run.setting import Setting
from sweeps.run.trial_probes import TrialProbes
from sweeps.run.trial_record import Outcome, capped, diverged_cap, make_record
from sweeps.search.pruners import surely_worse
from sweeps.search.space import apply
from sweeps.spec.sections import EpochSpec
from sweeps.spec.sweep import SweepSpec

TRIAL_ERRORS = (ValueError, ArithmeticError, MemoryError)
"""What the trial's own numbers can raise: these fail the trial, anything else is a bug and stops the sweep."""

MOST_TOGETHER = 2**25
"""Numbers in the points of groups that train in one call; of more, one group's at a time are laid out."""


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The trial was told to end before it was done; it will be run again."""


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
        check_updates(training, min(one.train.X.shape[1] for one in groups))
        cap = diverged_cap(draws)
        means: list[float] = []
        bounds = dict(setting.prune_above)
        rivals = {rival.epoch: rival for rival in setting.rivals}
        best = np.empty(0)  # test losses at the look with the lowest mean so far
        pruned_at: int | None = None

        def on_look(epoch: int, losses: Losses, all_done: bool) -> bool:
            nonlocal pruned_at, best
            if cancel is not None and cancel.is_set():
                raise Cancelled
            test = capped(losses["test"], cap)
            means.append(float(test.mean()))
            best = test if means[-1] < min(means[:-1], default=math.inf) else best
            is_lost = epoch in rivals and surely_worse(best.tolist(), rivals[epoch].losses)
            if is_lost or min(means) > bounds.get(epoch, math.inf):
                pruned_at = epoch
                return True
            return setting.stops_early and (all_done or is_stale(spec.epochs, epoch, means))

        probes = TrialProbes(spec.probes, network, training) if spec.probes else None
        watched = [_Watched(network, one, spec.epochs.stop_delta, probes) for one in groups]
        epochs, losses, found, road = _train_groups(network, training, watched, setting.look_at, on_look)
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
        probes=found,
    )


def check_updates(training: TrainingConfig, n_train: int) -> None:
    """Refuse batches that are never full: the gradients are carried from epoch to epoch and no weight ever moves.

    The engine itself trains such a setting as the page does; as a trial it would be a network that nobody trained.

    Raises
    ------
    ValueError
        If a batch is larger than the training set and part of one is carried over.
    """
    if training.partial_batch == "carry" and training.batch_size > n_train:
        raise ValueError(
            f"training.batch_size: {training.batch_size} is more than the {n_train} training points, so that no batch "
            f"is ever full and no weight ever moves; give 1 to {n_train} ({n_train} is the whole set)"
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

    def __init__(
        self, network: NetworkConfig, draws: Draws, stop_delta: float, probes: TrialProbes | None = None
    ) -> None:
        self.draws = draws
        self.state: TrainingState | None = None
        self.diverged_at = np.full(len(draws.seeds), -1)
        self.all_done = False
        self._network = network
        self._plateau = Plateau("train", stop_delta) if stop_delta else None
        self.losses: Losses = {}
        self.found: Losses = {}
        self._probes = probes

    def see(self, look: Look) -> None:
        """Take note of a look."""
        measure = self.draws.measure
        losses = dict(look.losses) if measure is None else measure(self._network, look.state.parameters)
        self.diverged_at = look.diverged_at.copy()
        rested = at_rest = np.zeros(len(self.draws.seeds), dtype=np.bool_)
        if self._plateau is not None:
            if self.losses:
                rested = self._plateau.ended_at >= 0
                losses = {name: np.where(rested, self.losses[name], now) for name, now in losses.items()}
            self._plateau(dataclasses.replace(look, losses=losses))
            at_rest = self._plateau.ended_at >= 0
            self.diverged_at[at_rest] = -1
        self.losses = losses
        if self._probes is not None:
            at = look.state.parameters if self._plateau is None else self._plateau.parameters
            found = self._probes.measure(self.draws, at, look.state.n_updates, self.diverged_at)
            self.found = {n: np.where(rested, self.found[n], row) if self.found else row for n, row in found.items()}
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
) -> tuple[tuple[int, ...], Losses, Losses, str]:
    """Train groups of replicas from look to look, so that one rule about all replicas can end them together.

    Returns the epochs looked at, the losses and what probes found there, and the engine's road.
    """
    epochs: list[int] = []
    seen: list[Losses] = []
    found: list[Losses] = []

    def look(epoch: int) -> bool:
        epochs.append(epoch)
        seen.append({name: np.concatenate([group.losses[name] for group in groups]) for name in groups[0].losses})
        found.append({name: np.concatenate([group.found[name] for group in groups]) for name in groups[0].found})
        return on_look(epoch, seen[-1], all(group.all_done for group in groups))

    def see_and_look(looks: Sequence[Look]) -> bool:
        for group, one in zip(groups, looks, strict=True):
            group.see(one)
        return look(looks[0].epoch)

    n_numbers = sum(len(group.draws.seeds) * group.draws.train.X[0].size for group in groups)
    if len(groups) == 1 or n_numbers <= MOST_TOGETHER:  # a single one has nobody to wait for
        road = _train_together(network, training, groups, look_at, see_and_look)
    else:
        road = ""
        for epoch in look_at:
            for group in groups:
                road = _train(network, training, group, (epoch,), group.see)
            if look(epoch):
                break
    losses, probed = ({name: np.stack([one[name] for one in rows]) for name in rows[0]} for rows in (seen, found))
    return tuple(epochs), losses, probed, road


def _train_together(
    network: NetworkConfig,
    training: TrainingConfig,
    groups: Sequence[_Watched],
    look_at: tuple[int, ...],
    on_look: Callable[[Sequence[Look]], bool],
) -> str:
    """Train groups in one call, which lays out the points once; return the engine's road."""
    asked = [
        Group(
            draws.train,
            draws.initialize(network),
            draws.training_seeds,
            draws.splits if draws.measure is None else {},
        )
        for draws in (group.draws for group in groups)
    ]
    results = train_groups(network, training, asked, look_at=look_at, on_look=on_look)
    for group, result in zip(groups, results, strict=True):
        group.state = result.state
    return results[-1].road


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
        probes={name: np.concatenate([o.probes[name] for o in outcomes], axis=1) for name in first.probes},
    )


def is_stale(epochs: EpochSpec, epoch: int, means: Sequence[float]) -> bool:
    """Return whether the stop rule ends a trial whose mean test losses so far are `means`."""
    if not epochs.stop_patience or epoch < epochs.stop_from:
        return False
    return len(means) - 1 - int(np.argmin(means)) >= epochs.stop_patience
