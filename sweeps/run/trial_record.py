"""From what a trial's networks gave to its record."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.records.study import State, TrialRecord
from analysis.statistics.intervals import upper_bounds
from engine.configuration import TrainingConfig, told_fields
from engine.network import NetworkConfig, Parameters
from sweeps.data.source import Draws, Losses, Source
from sweeps.run.outcome_digest import outcome_digest
from sweeps.run.setting import Setting
from sweeps.run.trial_probes import over_replicas
from sweeps.search.pruners import rungs
from sweeps.search.space import apply
from sweeps.spec.sweep import SweepSpec

CANDIDATE_LEVEL = 0.95
CAP_FACTOR = 10.0
"""A diverged replica counts with this many times the constant predictor's loss."""
QUANTILES = (0.1, 0.9)
"""Of the losses of all replicas, at each epoch looked at."""


class Goals(NamedTuple):
    """What training loss and test loss must stay below; infinite for one that is not asked about."""

    train: float
    test: float


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
    probes : dict of str to ndarray (G, R)
        What the sweep's probes found at each look.
    """

    draws: Draws
    epochs: tuple[int, ...]
    losses: Losses
    parameters: Parameters
    diverged_at: npt.NDArray[np.int64]
    road: str
    pruned_at: int | None = None
    probes: Losses = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Digest of all losses and final weights."""
        return outcome_digest(self.epochs, self.losses, self.parameters)


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
        train_upper, test_upper = upper_bounds(np.stack([train_all[at], test_all[at]]), CANDIDATE_LEVEL).tolist()
        n_diverged = int((outcome.diverged_at >= 0).sum())
        state = "diverged" if 2 * n_diverged >= len(setting.seeds) else "complete"
        if state == "diverged":
            reason = f"{n_diverged} of {len(setting.seeds)} replicas diverged"
        elif outcome.pruned_at is not None:
            reason = _why_pruned(setting, outcome.pruned_at, value)
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
        rung_losses=_rung_losses(spec, setting, outcome, cap),
        ensemble=judged,
        changed=setting.changed,
        probes=over_replicas(outcome.probes) if outcome else {},
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
    return told_fields(config)


def _why_pruned(setting: Setting, epoch: int, value: float) -> str:
    rival = next((rival for rival in setting.rivals if rival.epoch == epoch), None)
    if rival is None:
        return f"pruned at epoch {epoch}: test loss {value:.4g} is above {dict(setting.prune_above)[epoch]:.4g} there"
    there = f"surely above trial {rival.number}'s there, in pairs of draws"
    return f"pruned at epoch {epoch}: test loss {value:.4g} is {there}"


def _rung_losses(
    spec: SweepSpec, setting: Setting, outcome: Outcome | None, cap: float
) -> dict[str, list[float]] | None:
    """Return what others race against: by rung the test losses at the look up to there with the lowest mean."""
    if outcome is None or spec.pruning.kind != "racing" or setting.stage != "search":
        return None
    test = capped(outcome.losses["test"], cap)
    found = {}
    for rung in rungs(spec.epochs, spec.pruning, setting.number):
        n = sum(epoch <= rung for epoch in outcome.epochs)
        if n and (outcome.pruned_at is None or rung <= outcome.pruned_at):
            found[str(rung)] = [float(loss) for loss in test[int(np.argmin(test[:n].mean(axis=1)))]]
    return found


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
    names = ("train", "test")
    both = [capped(outcome.losses[name], cap) for name in names]
    low, high = _quantiles(np.stack(both))
    for i, name in enumerate(names):
        curves[f"{name}_loss_mean"] = both[i].mean(axis=1).tolist()
        curves[f"{name}_loss_q10"] = low[i].tolist()
        curves[f"{name}_loss_q90"] = high[i].tolist()
    counts = {"in_range": outcome.draws.n_in_range, "out_of_range": outcome.draws.n_out_of_range}
    for name, n_points in counts.items():
        losses = capped(outcome.losses[name], cap)
        curves[f"{name}_loss_mean"] = [_mean(np.where(n_points > 0, row, np.nan)) for row in losses]
    curves["pass_rate"] = _passes(outcome, cap, goal).mean(axis=1).tolist()
    return curves


def _quantiles(values: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Return the `QUANTILES` along the last axis, to the bit as `numpy.quantile`, in a quarter of its time.

    What a record costs is a driver's time, and NumPy's function spends most of it on cases that capped losses have not.
    """
    ordered = np.sort(values, axis=-1)
    last = values.shape[-1] - 1
    found = []
    for q in QUANTILES:
        before = math.floor(last * q)
        weight = last * q - before
        low, high = ordered[..., before], ordered[..., min(before + 1, last)]
        step = high - low
        found.append(low + step * weight if weight < 0.5 else high - step * (1.0 - weight))
    return found


def _passes(outcome: Outcome, cap: float, goal: Goals) -> npt.NDArray[np.bool_]:
    return (capped(outcome.losses["train"], cap) < goal.train) & (capped(outcome.losses["test"], cap) < goal.test)


def _first_passage(outcome: Outcome, cap: float, goal: Goals) -> list[int | None]:
    passes = _passes(outcome, cap, goal)
    first = np.argmax(passes, axis=0)
    return [outcome.epochs[i] if passes[i, r] else None for r, i in enumerate(first.tolist())]
