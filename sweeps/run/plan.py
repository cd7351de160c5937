"""A plan: what one study does. Searches and designs differ in who proposes, kinds of study in how a setting is trained.

A study is a header and records. `sweeps.run.study` asks the plan's proposer for settings, trains them in batches, and
writes each record; once the first stage is over it trains the stages after it, if there are any, and writes the
verdict. Everything that a plan returns is a function of its spec and of the study's records.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from analysis.records.events import Chapter, Extension, LookLine, Scalar, Stage, Verdict
from analysis.records.study import Record, Study, StudyHeader
from sweeps.run.progress import Phase
from sweeps.run.setting import Setting
from sweeps.search.samplers import Sampler


class Piece(NamedTuple):
    """Part `i` of a setting's training, one of ``setting.n_chunks``."""

    setting: Setting
    i: int

    @property
    def key(self) -> tuple[Stage, int, int]:
        """What tells the piece from the study's others."""
        return self.setting.stage, self.setting.number, self.i


@dataclass(frozen=True, slots=True)
class Timing:
    """When and where a record came about: no part of its canonical form."""

    started_at_s: float = 0.0
    duration_s: float = 0.0
    worker: str = ""


class Trainer(Protocol):
    """Trains batches elsewhere. It can be pickled, opens no log and no database, and needs no sampler."""

    def __call__(self, batch: Sequence[Piece]) -> list[Any]:
        """Return for each piece what is to be sent back, or a text that says why it failed."""


class Plan(Protocol):
    """What one study does.

    Attributes
    ----------
    folder : Path
        The study's own, ``<results>/<sweep>/<dataset>``.
    header : StudyHeader
        What is asked; its `n_trials` is the length of the first stage.
    first : str
        Stage of the records that the proposer's settings leave.
    phase : str
        What a watcher is told meanwhile.
    lag : int
        Setting k is proposed when exactly those up to k - lag have been told.
    n_candidates : int or None
        Candidates that end the first stage; None: all `n_trials` are trained.
    stages : tuple of tuples of str
        Stages after the first: those of one tuple follow each other, the tuples go on side by side.
    last : tuple of str
        Stages after all of these, which wait until no study of the run has anything else to train.
    """

    @property
    def folder(self) -> Path: ...  # noqa: D102

    @property
    def header(self) -> StudyHeader: ...  # noqa: D102

    @property
    def first(self) -> Stage: ...  # noqa: D102

    @property
    def phase(self) -> Phase: ...  # noqa: D102

    @property
    def lag(self) -> int: ...  # noqa: D102

    @property
    def n_candidates(self) -> int | None: ...  # noqa: D102

    @property
    def stages(self) -> tuple[tuple[Stage, ...], ...]: ...  # noqa: D102

    @property
    def last(self) -> tuple[Stage, ...]: ...  # noqa: D102

    def proposer(self, study: Study) -> Sampler:
        """Return who proposes the settings of the last chapter's first stage: a search's sampler, or a design's list.

        All trials of the chapters before are finished.
        """

    def repeatable(self, study: Study, chapter: int) -> dict[str, list[int]]:
        """Return the trials that a chapter has kept of earlier ones, by the canonical text of their params."""

    def setting(self, study: Study, number: int, params: Mapping[str, Scalar], earlier: Sequence[int]) -> Setting:
        """Return the setting of proposal `number`; `earlier` are the numbers that had the same params."""

    def setting_of(self, study: Study, record: Any) -> Setting:
        """Return the setting that a record of any stage is about, to train it again."""

    def look(self, study: Study, stage: Stage) -> tuple[LookLine | None, list[Setting]]:
        """Return what a stage after the first trains, and the look at fresh draws that it is, if it is one.

        The stages before it in its tuple are complete.
        """

    def has_converged(self, study: Study, n_told: int) -> bool:
        """Return whether the first stage ends once its first `n_told` records are told; later ones do not count."""

    def decided(self, records: Sequence[Any]) -> set[int]:
        """Return the numbers of a stage's records that need no more seeds, after one of their rounds.

        The records have had equally many seeds each, and are all that were still in the race.
        """

    def reopening(self, study: Study) -> Extension | Chapter | None:
        """Return the line with which a study goes on as this plan asks; None where it is another study."""

    def batches(self, pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
        """Return pieces grouped into those that train together."""

    def train(self, batch: Sequence[Piece], cancel: threading.Event) -> list[Any]:
        """Train a batch; return for each piece what it gave, or a text that says why it failed.

        Raises
        ------
        sweeps.run.trial.Cancelled
            At the next look after `cancel` was set.
        """

    def trainer(self) -> Trainer:
        """Return what trains a batch in another process, on another machine."""

    def received(self, piece: Piece, outcome: Any) -> Any:
        """Return what a piece gave, given what came back of it from another process."""

    def record(self, setting: Setting, outcomes: Sequence[Any], timing: Timing) -> Record:
        """Return the record of a setting, given what its pieces gave in their order."""

    def keep(self, setting: Setting, record: Any, outcomes: Sequence[Any]) -> None:
        """Write what a record promises besides itself, before it is logged."""

    def verdict(self, study: Study, stopped: str) -> Verdict:
        """Return how a study ended, all of whose stages are complete: certified or not, or what each claim came to."""

    def finish(self, study: Study) -> None:
        """Keep beside a study with a verdict whatever else its report needs."""
