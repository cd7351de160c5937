"""The plan of a study of trials: R replicas of each setting, then finalists and certificates on fresh data."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.records.events import Chapter, Extension, LookLine, Scalar, Stage, Verdict
from analysis.records.study import Study, StudyHeader, TrialRecord
from engine.network import Parameters
from sweeps.data.kinds import KINDS
from sweeps.data.source import Losses, Source, join_draws
from sweeps.run.ablation import ablation_settings
from sweeps.run.certificate import MAIN_STAGES, PAGE_STAGES, decided, stage_settings, verdict_of, winner_of
from sweeps.run.chapters import chapter_of, repeatable, sampler_of, specs_of_chapters
from sweeps.run.looks import FRESH, plan_look, with_records
from sweeps.run.models import save_outcome
from sweeps.run.plan import Piece, Timing
from sweeps.run.progress import Phase
from sweeps.run.setting import Setting, search_setting
from sweeps.run.trial import join, run_chunk, train_frames
from sweeps.run.trial_record import Outcome, make_record
from sweeps.run.versions import versions
from sweeps.search.pruners import prune_above, rivals_of
from sweeps.search.samplers import Sampler
from sweeps.search.space import apply
from sweeps.search.stopping import has_converged
from sweeps.spec.sweep import DatasetSpec, SweepSpec, load_spec, open_source, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.store.log import BEFORE_NAME, MODELS_NAME
from sweeps.toml import read_toml


class Sent(NamedTuple):
    """What comes back of an `Outcome` from another process where its networks are wanted: all but its draws."""

    epochs: tuple[int, ...]
    losses: Losses
    parameters: Parameters
    diverged_at: npt.NDArray[np.int64]
    road: str
    pruned_at: int | None
    probes: Losses


@dataclass(frozen=True, slots=True)
class TrialTrainer:
    """Trains trials in another process.

    Parameters
    ----------
    spec : str
        The sweep's, as TOML: the source is opened from it once a process.
    dataset : str
        Name of the dataset.
    """

    spec: str
    dataset: str

    def __call__(self, batch: Sequence[Piece]) -> list[Sent | TrialRecord | str]:
        """Train some of a trial's replicas; of a whole trial of the search the record is made here, too."""
        spec, source = _opened(self.spec, self.dataset)
        return [self._trained(spec, source, piece) for piece in batch]

    def _trained(self, spec: SweepSpec, source: Source, piece: Piece) -> Sent | TrialRecord | str:
        setting = piece.setting
        outcome = run_chunk(spec, source, setting, piece.i)
        if isinstance(outcome, str):
            return outcome
        if setting.stage in ("search", "page_search") and setting.n_chunks == 1:
            return make_record(spec, source, _study_name(spec, self.dataset), setting, outcome, None)
        return Sent(*(getattr(outcome, field) for field in Sent._fields))


@lru_cache(maxsize=16)
def _opened(text: str, dataset: str) -> tuple[SweepSpec, Source]:
    spec = parse_spec(read_toml(text.encode(), dataset), dataset)
    return spec, open_source(spec, spec.dataset(dataset))


class TrialPlan:
    """The trials of one of a sweep's datasets; see `sweeps.run.plan.Plan`.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : DatasetSpec
        The dataset.
    results : Path
        Folder of the sweep's results.
    """

    first: Stage = "search"
    phase: Phase = "search"
    stages: tuple[tuple[Stage, ...], ...] = (MAIN_STAGES, PAGE_STAGES)

    def __init__(self, spec: SweepSpec, dataset: DatasetSpec, results: Path) -> None:
        self.folder = results / dataset.name
        self.lag = spec.search.lag
        self.last: tuple[Stage, ...] = ("ablation",) if spec.ablation.n_replicas else ()
        self.n_candidates = spec.search.n_candidates if spec.search.until == "reached" else None
        self._spec = spec
        self._dataset = dataset
        self._source = open_source(spec, dataset, self.folder)
        self._trainer = TrialTrainer(as_toml(spec), dataset.name)

    @property
    def header(self) -> StudyHeader:
        """What is asked."""
        return study_header(self._spec, self._dataset, self._spec.datasets.index(self._dataset), self._source)

    def proposer(self, study: Study) -> Sampler:
        """Return who proposes: the sampler that the spec names."""
        return sampler_of(self._spec, study, len(study.chapters))

    def repeatable(self, study: Study, chapter: int) -> dict[str, list[int]]:
        """Return the trials that a chapter has kept of earlier ones."""
        return repeatable(specs_of_chapters(self._spec, study)[chapter], study, chapter)

    def setting(self, study: Study, number: int, params: Mapping[str, Scalar], earlier: Sequence[int]) -> Setting:
        """Return a search trial; one whose params were tried before gets draws of its own."""
        return search_setting(
            self._spec,
            number,
            params,
            self._source.search_seeds(len(earlier)),
            source=earlier[0] if earlier else None,
            prune_above=prune_above(self._spec, number, study.trials),
            rivals=() if earlier else rivals_of(self._spec, number, study.trials),
        )

    def setting_of(self, study: Study, record: TrialRecord) -> Setting:
        """Return the setting that a record is about."""
        seeds = tuple(record.seeds)
        if record.stage in ("search", "page_search"):
            is_search = record.stage == "search"
            bounds = prune_above(self._spec, record.number, study.trials) if is_search else ()
            races = is_search and record.source is None
            return search_setting(
                self._spec,
                record.number,
                record.params,
                seeds,
                source=record.source,
                stage=record.stage,
                prune_above=bounds,
                rivals=rivals_of(self._spec, record.number, study.trials) if races else (),
            )
        epochs = record.epochs if record.stage in ("certificate", "page_certificate", "ablation") else None
        look_at = tuple(record.epoch_grid)
        look = study.look_behind(record)
        level = 0.0 if look is None else look.level
        return Setting(
            record.stage,
            record.number,
            record.source,
            dict(record.params),
            seeds,
            look_at,
            epochs,
            level=level,
            changed=record.changed,
        )

    def look(self, study: Study, stage: Stage) -> tuple[LookLine | None, list[Setting]]:
        """Return what a stage after the search trains, and the look that it is: the one on record, or a new one."""
        if stage not in FRESH:
            return None, stage_settings(self._spec, self._source, study, stage, None)
        known = study.look_of(stage)
        planned = known or plan_look(self._spec, self._dataset, self._source, study, stage)
        if stage == "ablation":
            winner = winner_of(self._spec, study)
            settings = ablation_settings(self._spec, self._source, study, winner, planned)
        else:
            settings = stage_settings(self._spec, self._source, study, stage, planned)
        if not settings:
            return None, []
        look = known or with_records(planned, len(settings), self._spec, self._source)
        return look, [dataclasses.replace(setting, level=look.level) for setting in settings]

    def has_converged(self, study: Study, n_told: int) -> bool:
        """Return whether the search has converged, where that ends it."""
        return has_converged(self._spec.search, study, n_told)

    def decided(self, records: Sequence[TrialRecord]) -> set[int]:
        """Return the finalists that are surely worse than the best, and of too many the worse half."""
        return decided(records, self._spec.finalists.n)

    def reopening(self, study: Study) -> Extension | Chapter | None:
        """Return a larger budget, or a chapter in the spec's space; None where it is another study."""
        spec, earlier = self._spec, study.budget
        old = spec.with_budget(earlier.n_trials, earlier.until)
        if old.sha256 == earlier.spec_sha256 and spec.extends(old):
            return Extension(spec.search.n_trials, spec.search.until, spec.sha256)
        path = self.folder.parent / BEFORE_NAME
        if not path.is_file():
            return None
        before = load_spec(path).with_budget(earlier.n_trials, earlier.until)
        before = dataclasses.replace(before, datasets=spec.datasets)  # wherever their files lie
        if before.sha256 != earlier.spec_sha256 or not spec.reopens(before):
            return None
        return chapter_of(before, spec, study)

    def batches(self, pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
        """Return each piece by itself: the replicas of a trial train together already."""
        return [(piece,) for piece in pieces]

    def train(self, batch: Sequence[Piece], cancel: threading.Event) -> list[Outcome | str]:
        """Train some of a trial's replicas."""
        return [run_chunk(self._spec, self._source, piece.setting, piece.i, cancel) for piece in batch]

    def trainer(self) -> TrialTrainer:
        """Return what trains trials in another process."""
        return self._trainer

    def received(self, piece: Piece, outcome: Sent | TrialRecord | str) -> Outcome | TrialRecord | str:
        """Return an outcome with its draws, which follow from the seeds and need not travel; a record as it is."""
        if isinstance(outcome, str | TrialRecord):
            return outcome
        source = self._source
        draws = join_draws([source.draws(seeds) for seeds in source.groups(piece.setting.chunk(piece.i))])
        return Outcome(draws=draws, **{field: getattr(outcome, field) for field in Sent._fields})

    def record(self, setting: Setting, outcomes: Sequence[Outcome | TrialRecord | str], timing: Timing) -> TrialRecord:
        """Return a trial's record; it has failed if one of its pieces has."""
        record = outcomes[0]
        if not isinstance(record, TrialRecord):
            outcome, reason = _joined(outcomes)
            study = _study_name(self._spec, self._dataset.name)
            record = make_record(self._spec, self._source, study, setting, outcome, reason)
        return dataclasses.replace(
            record, started_at_s=timing.started_at_s, duration_s=timing.duration_s, worker=timing.worker
        )

    def keep(self, setting: Setting, record: TrialRecord, outcomes: Sequence[Outcome | TrialRecord | str]) -> None:
        """Write the networks and curves of a certificate."""
        if setting.stage not in ("certificate", "page_certificate"):
            return
        outcome, _ = _joined(outcomes)
        if outcome is None:
            return
        extra = self._source.model_extra(setting.seeds)
        # Only what can be drawn again from its seed is animated; a table's rows are its owner's.
        frames = None if self._source.is_finite else train_frames(self._spec, self._source, setting)
        save_outcome(self.folder / MODELS_NAME, record, outcome, extra, frames)

    def verdict(self, study: Study, stopped: str) -> Verdict:
        """Return whether a certificate passed."""
        return verdict_of(self._spec, study, stopped)

    def finish(self, study: Study) -> None:
        """Keep what a source has found out about its data."""
        winner, source = study.winner, self._source
        setting = None if winner is None else apply(self._spec, winner.params, source.n_inputs, source.n_outputs)
        source.finish(study, setting)


def _study_name(spec: SweepSpec, dataset: str) -> str:
    return f"{spec.name}/{dataset}"


def _joined(outcomes: Sequence[Outcome | TrialRecord | str]) -> tuple[Outcome, None] | tuple[None, str]:
    """Return what all pieces gave together, or why the first of those that failed has."""
    whole = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, str)]
    return (None, failures[0]) if failures else (join(whole), None)


def study_header(spec: SweepSpec, dataset: DatasetSpec, position: int, source: Source) -> StudyHeader:
    """Return the header of the study of one of a spec's datasets."""
    without_folders = spec.without_folders().dataset(dataset.name)
    kind = KINDS[dataset.kind]
    return StudyHeader(
        sweep=spec.name,
        dataset=dataset.name,
        position=position,
        data={"kind": dataset.kind, **without_folders.data.as_table()},
        about=kind.describe(dataset.data) if kind.describe else "",
        has_page=kind.has_page,
        goal=source.goal,
        metric=source.loss_name,
        n_trials=spec.search.n_trials,
        until=spec.search.until,
        n_replicas=spec.search.n_replicas,
        max_epochs=spec.epochs.max_epochs,
        seed=spec.seed,
        floor=source.floor,
        spec_sha256=spec.sha256,
        versions=versions(),
        origin=spec.origin,
    )
