"""The plan of a polynomial study: a list of networks, eight of a recipe at a time, and a verdict on claims."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.polynomial.claims import claims
from analysis.polynomial.fits import flat_valley
from analysis.polynomial.question import Question
from analysis.records.events import Scalar, Stage, Verdict
from analysis.records.polynomial import POLYNOMIAL, NetworkRecord
from analysis.records.study import NETWORK, Study, StudyHeader
from engine.polynomial.quadrature import FullBatchHistory, GaussRule, gauss_rule, train_full_batch
from engine.polynomial.rows import Arm, draw_rows, first_parameters, trainable
from engine.polynomial.second_order import train_second_order
from sweeps.data.polynomial import PolynomialSpec, drops_of, networks
from sweeps.run.design import DesignPlan, verdict_on_claims
from sweeps.run.plan import Piece, Timing
from sweeps.run.setting import Setting
from sweeps.run.trial import Cancelled
from sweeps.run.versions import versions

TOGETHER = 8
"""Networks that the compiled loop trains side by side."""


@dataclass(frozen=True, slots=True)
class TrainedNetworks:
    """What training one network gave.

    Parameters
    ----------
    history : FullBatchHistory
        Of all networks that trained together.
    replica : int
        Which of them this one is.
    valley_loss : list of float
        See `analysis.records.polynomial.NetworkRecord`, as for `valley_parameters`.
    """

    history: FullBatchHistory
    replica: int
    valley_loss: list[float]
    valley_parameters: list[list[float]]


@dataclass(frozen=True, slots=True)
class PolynomialTrainer:
    """Trains networks of a polynomial study in another process.

    Parameters
    ----------
    spec : PolynomialSpec
        The study's.
    """

    spec: PolynomialSpec

    def __call__(self, batch: Sequence[Piece]) -> list[TrainedNetworks | str]:
        """Train networks of one arm and rate."""
        return PolynomialPlan(self.spec, Path()).train(batch, threading.Event())


class PolynomialPlan(DesignPlan):
    """The networks of a polynomial study; see `sweeps.run.plan.Plan`.

    Parameters
    ----------
    spec : PolynomialSpec
        The study.
    results : Path
        Folder of the spec's results.
    """

    first: Stage = NETWORK

    def __init__(self, spec: PolynomialSpec, results: Path) -> None:
        self._spec = spec
        self._settings = spec.settings
        self._networks = networks(spec.settings)
        super().__init__(results / POLYNOMIAL, self._networks)

    @property
    def header(self) -> StudyHeader:
        """What is asked."""
        settings = self._settings
        return StudyHeader(
            sweep=self._spec.name,
            dataset=POLYNOMIAL,
            position=0,
            data={"kind": POLYNOMIAL, **settings.as_data()},
            goal=settings.converged_below,
            metric="train_mse",
            n_trials=len(self._networks),
            until="budget",
            n_replicas=1,
            max_epochs=settings.checkpoints[-1],
            seed=1,
            floor=None,
            spec_sha256=self._spec.sha256,
            versions=versions(),
            has_page=False,
        )

    def setting(self, study: Study, number: int, params: Mapping[str, Scalar], earlier: Sequence[int]) -> Setting:  # noqa: ARG002
        """Return the setting of one network."""
        return Setting(NETWORK, number, None, dict(params), (str(params["seed"]),), tuple(self._settings.checkpoints))

    def batches(self, pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
        """Return the networks in eights of one arm and rate."""
        by_training: dict[tuple[Scalar, Scalar], list[Piece]] = {}
        for piece in pieces:
            params = piece.setting.params
            by_training.setdefault((params["arm"], params["learning_rate"]), []).append(piece)
        return [
            tuple(group[i : i + TOGETHER]) for group in by_training.values() for i in range(0, len(group), TOGETHER)
        ]

    def train(self, batch: Sequence[Piece], cancel: threading.Event) -> list[TrainedNetworks | str]:
        """Train networks of one arm and rate; each result depends on its own seed only.

        Raises
        ------
        Cancelled
            At the next look after `cancel` was set.
        """

        def check(n_done: int) -> None:  # noqa: ARG001
            if cancel.is_set():
                raise Cancelled

        settings, params = self._settings, batch[0].setting.params
        arm: Arm = "constrained" if params["arm"] == "constrained" else "unconstrained"
        seeds = [int(seed) for piece in batch for seed in piece.setting.seeds]
        rows = draw_rows(seeds, settings.coefficients, settings.n_rows, settings.noise_sd, settings.stretch)
        rule = gauss_rule(rows.X, rows.y, settings.n_nodes)
        first = first_parameters(arm, seeds, settings.n_hidden, settings.activation)
        free = trainable(arm, len(seeds), settings.n_hidden)
        rates = np.full(len(seeds), float(str(params["learning_rate"])))
        if settings.method == "second_order":
            history = train_second_order(
                rule, first, free, rates, settings.checkpoints, settings.thresholds, check, settings.activation
            )
        else:
            history = train_full_batch(
                rule,
                first,
                free,
                rates,
                settings.checkpoints,
                settings.thresholds,
                on_look=check,
                activation=settings.activation,
                drops=drops_of(settings.method, settings.checkpoints[-1]),
            )
        return [self._trained(arm, history, rule, r) for r in range(len(seeds))]

    def _trained(self, arm: Arm, history: FullBatchHistory, rule: GaussRule, r: int) -> TrainedNetworks:
        last = history.parameters[-1, r]
        weights = [factor * float(last[0]) for factor in self._settings.valley]
        free = trainable(arm, 1, self._settings.n_hidden)[0]
        loss, parameters = flat_valley(last, rule.select(slice(r, r + 1)), 0, weights, free, self._settings.activation)
        return TrainedNetworks(history, r, loss.tolist(), parameters.tolist())

    def trainer(self) -> PolynomialTrainer:
        """Return what trains networks in another process."""
        return PolynomialTrainer(self._spec)

    def record(self, setting: Setting, outcomes: Sequence[TrainedNetworks | str], timing: Timing) -> NetworkRecord:
        """Return a network's record."""
        (trained,) = (one for one in outcomes if isinstance(one, TrainedNetworks))
        history, r = trained.history, trained.replica
        steps = history.passage_step[:, r].tolist()
        at_passage = history.passage_parameters[:, r].tolist()
        return NetworkRecord(
            study=f"{self._spec.name}/{POLYNOMIAL}",
            number=setting.number,
            arm="constrained" if setting.params["arm"] == "constrained" else "unconstrained",
            learning_rate=float(str(setting.params["learning_rate"])),
            seed=int(setting.seeds[0]),
            parameters=history.parameters[:, r].tolist(),
            loss=history.loss[:, r].tolist(),
            lowest=history.lowest[:, r].tolist(),
            highest=history.highest[:, r].tolist(),
            passage_step=[step if step >= 0 else None for step in steps],
            passage_parameters=[p if step >= 0 else None for step, p in zip(steps, at_passage, strict=True)],
            valley_loss=trained.valley_loss,
            valley_parameters=trained.valley_parameters,
            started_at_s=timing.started_at_s,
            duration_s=timing.duration_s,
            worker=timing.worker,
        )

    def verdict(self, study: Study, stopped: str) -> Verdict:
        """Return what was found for each claim."""
        found = {claim.text: claim.verdict for claim in claims(Question(study))}
        return verdict_on_claims(f"All {len(study.networks)} networks trained.", found, stopped)
