"""The file format between the two halves: what one trial leaves behind, and the log of a study, read strictly.

A study's log is a text file of chained JSON lines (`analysis.records.lines`). Their kinds are

``study``
    first line: `StudyHeader`, what is asked of whom.
``asked``
    a trial was chosen: `AskedLine`. Written before it runs.
``finished``
    the whole `TrialRecord` of a search trial.
``finalist``, ``certificate``, ``page_finalist``, ``page_certificate``
    a `TrialRecord` trained afresh on draws the search never saw (see `TrialRecord.stage`).
``page_search``
    the `TrialRecord` of a setting that the Playground page can express, tried on the search's draws.
``ablation``
    the `TrialRecord` of the winner, then of the winner with one hyperparameter changed, on draws of their own.
``look``
    a `LookLine` at draws that nothing has seen, written before it is taken.
``network``
    the `NetworkRecord` of a polynomial study (`analysis.records.polynomial`).
``cell``
    the `CellRecord` of a lesson (`analysis.records.lesson`).
``verdict``
    last line of a finished study: `Verdict`. It seals the log with the digest of the study's canonical form; behind it
    there may only be lines that open the study again.
``extension``
    the search goes on, with a larger budget: `Extension`. What was looked at before stays counted.
``chapter``
    the search goes on in another space: `Chapter`.

`analysis.records.reading` has the one reader.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from analysis.records.events import Chapter, Extension, LookLine, Scalar, Stage, Verdict
from analysis.records.lesson import LESSON, CellRecord
from analysis.records.lines import Chain, encode_line
from analysis.records.polynomial import POLYNOMIAL, NetworkRecord
from analysis.records.values import as_data, told

State = Literal["complete", "diverged", "failed"]
STAGES: tuple[Stage, ...] = (
    "search", "finalist", "certificate", "page_search", "page_finalist", "page_certificate", "ablation",
)  # fmt: skip
"""Of trials; ``"network"`` is the one stage of a polynomial study, ``"cell"`` that of a lesson."""
NETWORK: Stage = "network"
CELL: Stage = "cell"
LISTED: Mapping[str, Stage] = MappingProxyType({POLYNOMIAL: NETWORK, LESSON: CELL})
"""The one stage of studies that train a list, by kind of data."""
TIMING_FIELDS = ("started_at_s", "duration_s", "worker", "seconds")


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What a study asks: one dataset of one sweep.

    Parameters
    ----------
    sweep, dataset : str
        Names; ``f"{sweep}/{dataset}"`` names the study.
    position : int
        Place of the dataset in the sweep's own order, from 0.
    data : dict
        The dataset's settings (for a Playground set: ``noise`` as a fraction, ``train_share``, ``stretch``).
    goal : float
        Loss that training and test loss must stay below.
    metric : str
        Name of the loss that is compared with the goal (``"test_loss"``).
    n_trials : int
        Budget of search trials.
    until : str
        ``"reached"``, ``"converged"`` or ``"budget"``.
    n_replicas : int
        Replicas of a search trial.
    max_epochs : int
        Longest training.
    seed : int
        Sweep seed.
    floor : float or None
        Lowest expected test loss any predictor can have, where the dataset declares it.
    spec_sha256 : str
        Digest of the resolved spec (workers, timeout and paths apart).
    versions : dict of str to str
        Versions of this project and of the libraries that touch the numbers; processor type.
    about : str
        What the losses are and who was compared by which rows, where the kind of data has something to say.
    has_page : bool
        Whether the Playground page can show a setting.
    origin : str
        The sweep whose best settings were tried first, with its digest (``"tiny@0123456789ab"``), or empty.
    """

    sweep: str
    dataset: str
    position: int
    data: dict[str, Any]
    goal: float
    metric: str
    n_trials: int
    until: str
    n_replicas: int
    max_epochs: int
    seed: int
    floor: float | None
    spec_sha256: str
    versions: dict[str, str]
    about: str = ""
    has_page: bool = True
    origin: str = ""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """Everything one trial leaves behind.

    A trial is R replicas of one setting. Lists named ``*_loss`` hold one number a replica, in replica order, at the
    chosen epoch `epochs`; a diverged replica holds the finite cap `diverged_cap` there. All losses are means of the
    dataset's loss over points, without penalty.

    Parameters
    ----------
    study : str
        ``"<sweep>/<dataset>"``.
    stage : str
        ``"search"``: asked by the sampler. ``"finalist"``: a good search trial on fresh draws. ``"certificate"``: a
        finalist on the fresh draws that decide, looked at once at an epoch fixed before. ``"page_*"``: the same for
        settings that can be entered on the Playground page (``"page_search"``: tried on the search's draws).
        ``"ablation"``: the winner (first of its look), then the winner with one hyperparameter changed, all on the same
        fresh draws at an epoch fixed before.
    number : int
        Search trials: 0, 1, 2, ... Other stages: rank within the look, from its `Look.first`: 0 for the first look.
    source : int or None
        Number of the search trial this one repeats (a duplicate's earlier trial, a finalist's search trial), or None;
        None for all ``"page_*"`` stages, whose settings the search never tried, and for an ablation's changes.
    state : str
        ``"complete"``, ``"diverged"`` (at least half of the replicas did) or ``"failed"`` (`reason` says why).
    reason : str or None
        Why it failed, diverged or was pruned.
    params : dict
        What was chosen, by spec key (``"training.learning_rate"``); only the active ones of a conditional space.
    network, training : dict
        The resolved `engine.network.NetworkConfig` and `engine.configuration.TrainingConfig`, as plain values.
    seeds : list of str
        The page seed of each replica: data, split, order and initial weights.
    epochs : int
        The chosen epoch: grid point with the lowest mean test loss (search), or fixed before (certificate).
    value : float
        Mean test loss at `epochs`: what the sampler was told.
    candidate : bool
        Both one-sided 95 % upper bounds are below the goal, and the trial was not pruned.
    train_upper, test_upper : float
        Those bounds.
    train_loss, test_loss, in_range_loss, out_of_range_loss : list of float or None
        Per replica, at `epochs`. None where a replica has no point on that side.
    n_in_range, n_out_of_range : list of int
        Points behind `in_range_loss` and `out_of_range_loss`, per replica.
    constant_loss, constant_in_range_loss, constant_out_of_range_loss : float or None
        Mean loss of the constant predictor (the mean training label) on test, in-range and out-of-range points.
    floor_train_loss, floor_test_loss, floor_in_range_loss, floor_out_of_range_loss : list of (float or None) or None
        Per replica the loss of the best possible predictor, the conditional mean, on the very same points; None for
        a dataset that does not declare it.
    epoch_grid : list of int
        Epochs at which losses were measured, up to where training stopped.
    curves : dict of str to list of (float or None)
        Per grid point: ``train_loss_mean``, ``train_loss_q10``, ``train_loss_q90``, the same for ``test_loss``,
        ``in_range_loss_mean``, ``out_of_range_loss_mean``, ``pass_rate``.
    first_passage : list of (int or None)
        Per replica the first grid epoch with both losses below the goal (flattering: it may rise again), or None.
    diverged_at : list of (int or None)
        Per replica the epoch by which it had diverged, or None.
    diverged_cap : float
        The finite loss a diverged replica counts with.
    sha256 : str
        Digest of all replicas' curves and final weights: what ``replay`` compares bit for bit.
    road : str
        Which road of the engine ran: ``"compiled-float32"``, ``"numpy-float64"``, ...
    playground_url : str or None
        The page hash that opens this setting with replica 0's seed, where the page can express it.
    pruned_at : int or None
        Rung at which training was ended because the trials before were better there (`epoch_grid` ends with it).
    ensemble : dict or None
        A table's or images' certificate: what its networks together make of the test rows; see
        `analysis.records.table`, `sweeps.data.numbered`.
    rung_losses : dict of str to list of float, or None
        With paired racing: by rung the test losses at the look up to there with the lowest mean, one a replica.
    changed : str or None
        Of an ablation's change: the spec key that was changed; what else differs from the winner came along with it.
    probes : dict of str to list of (float or None)
        What the sweep's probes found, per grid point: ``gradient_norm_mean``, ``gradient_norm_q10``,
        ``gradient_norm_q90`` over the replicas that had not diverged, of layers ``layer_dead.1_mean``; see
        `sweeps.run.trial_probes`. Empty where the spec names none.
    started_at_s, duration_s, worker
        Wall-clock start (Unix time), monotonic duration, name of the worker. Not part of the canonical form.
    """

    study: str
    stage: Stage
    number: int
    source: int | None
    state: State
    reason: str | None
    params: dict[str, Scalar]
    network: dict[str, Any]
    training: dict[str, Any]
    seeds: list[str]
    epochs: int
    value: float
    candidate: bool
    train_upper: float
    test_upper: float
    train_loss: list[float]
    test_loss: list[float]
    in_range_loss: list[float | None]
    out_of_range_loss: list[float | None]
    n_in_range: list[int]
    n_out_of_range: list[int]
    constant_loss: float
    constant_in_range_loss: float | None
    constant_out_of_range_loss: float | None
    floor_train_loss: list[float | None] | None
    floor_test_loss: list[float | None] | None
    floor_in_range_loss: list[float | None] | None
    floor_out_of_range_loss: list[float | None] | None
    epoch_grid: list[int]
    curves: dict[str, list[float | None]]
    first_passage: list[int | None]
    diverged_at: list[int | None]
    diverged_cap: float
    sha256: str
    road: str
    playground_url: str | None
    pruned_at: int | None = None
    ensemble: dict[str, Any] | None = None
    changed: str | None = None
    rung_losses: dict[str, list[float]] | None = None
    probes: dict[str, list[float | None]] = field(default_factory=dict)
    started_at_s: float = 0.0
    duration_s: float = 0.0
    worker: str = ""


Record = TrialRecord | NetworkRecord | CellRecord


@dataclass(slots=True)
class Study:
    """One study read back from its log.

    Attributes
    ----------
    looks : list of Look
        In the order in which they were taken.
    extensions : list of Extension
        Larger budgets, in order; those of chapters among them.
    chapters : list of Chapter
        Other spaces than the header's, in order.
    extended_at : list of int
        Search trials there were at each extension that came behind a look.
    until_since : int
        Search trials that had been asked when what ends the search, ``budget.until``, became what it is.
    """

    header: StudyHeader
    asked: dict[int, dict[str, Scalar]] = field(default_factory=dict)
    records: dict[Stage, list[TrialRecord]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    networks: list[NetworkRecord] = field(default_factory=list)
    cells: list[CellRecord] = field(default_factory=list)
    verdict: Verdict | None = None
    path: Path | None = None
    chain: Chain | None = None
    looks: list[LookLine] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)
    extended_at: list[int] = field(default_factory=list)
    chapters: list[Chapter] = field(default_factory=list)
    until_since: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: equal for any number of workers and of interruptions."""
        if self.chain is not None and self.chain.is_sealed:
            return self.chain.seals[-1]  # compared with the lines when it was read
        return digest_of(canonical_lines(self))

    @property
    def trials(self) -> list[TrialRecord]:
        """The search trials, by number."""
        return self.records["search"]

    def eligible(self, n_trials: int | None = None) -> list[TrialRecord]:
        """Return the search trials that lie in the space in force: once there were `n_trials`, or now (None)."""
        trials = self.trials if n_trials is None else self.trials[:n_trials]
        in_force = [chapter for chapter in self.chapters if n_trials is None or chapter.first < n_trials]
        if not in_force:
            return trials
        kept = frozenset(in_force[-1].kept)
        return [trial for trial in trials if trial.number >= in_force[-1].first or trial.number in kept]

    def is_eligible(self, number: int) -> bool:
        """Return whether search trial `number` lies in the space in force now."""
        return not self.chapters or number >= self.chapters[-1].first or number in self.chapters[-1].kept

    def stands(self, record: TrialRecord) -> bool:
        """Return whether a certificate is of a setting in the space in force now."""
        if not self.chapters:
            return True
        if record.source is not None:
            return self.is_eligible(record.source)
        look = self.look_behind(record)
        return look is not None and look.n_trials > self.chapters[-1].first

    @property
    def is_polynomial(self) -> bool:
        """Whether its records are `networks`."""
        return self.header.data.get("kind") == POLYNOMIAL

    @property
    def is_lesson(self) -> bool:
        """Whether its records are `cells`."""
        return self.header.data.get("kind") == LESSON

    @property
    def first(self) -> Stage:
        """Stage of the records that were asked for: a search's trials, or what a list holds."""
        return LISTED.get(str(self.header.data.get("kind", "")), "search")

    def of_stage(self, stage: Stage) -> Sequence[Record]:
        """Return the records of a stage, by number."""
        if stage == CELL:
            return self.cells
        return self.networks if stage == NETWORK else self.records[stage]

    def all_records(self) -> list[Record]:
        """Return all records, by stage and number."""
        return [record for stage in (*STAGES, *LISTED.values()) for record in self.of_stage(stage)]

    def add(self, record: Record) -> None:
        """Take in one more record, in its place."""
        if isinstance(record, NetworkRecord):
            insort(self.networks, record, key=lambda one: one.number)
        elif isinstance(record, CellRecord):
            insort(self.cells, record, key=lambda one: one.number)
        else:
            insort(self.records[record.stage], record, key=lambda one: one.number)

    @property
    def winner(self) -> TrialRecord | None:
        """The record of the certificate the verdict names, or None."""
        return self._chosen("certificate", self.verdict.winner if self.verdict else None)

    @property
    def page_winner(self) -> TrialRecord | None:
        """The same for the setting that can be entered on the Playground page."""
        return self._chosen("page_certificate", self.verdict.page_winner if self.verdict else None)

    @property
    def budget(self) -> Extension:
        """What the search may spend: as the header says, or the last extension."""
        header = self.header
        first = Extension(header.n_trials, header.until, header.spec_sha256)
        return self.extensions[-1] if self.extensions else first

    @property
    def rounds(self) -> list[int]:
        """Search trials behind each look number before the present one.

        An extension closes a round once it has brought a trial. Earlier versions looked again without one.
        """
        n, last = max(len(self.asked), len(self.trials)), max((look.number for look in self.looks), default=1)
        return [there for i, there in enumerate(self.extended_at, start=1) if n > there or last > i]

    @property
    def is_extended_in_vain(self) -> bool:
        """Whether the last extension has brought no trial."""
        return len(self.rounds) < len(self.extended_at)

    @property
    def look_number(self) -> int:
        """The number of the looks that come next or are under way."""
        return len(self.rounds) + 1

    def first_of_look(self, stage: Stage) -> int:
        """Return the number of the first record of a stage's next look: those of a look that never ended stay free."""
        ends = [look.first + look.n_records for look in self.looks if look.stage == stage]
        return max([*ends, len(self.records[stage])])

    def extend(self, extension: Extension | Chapter) -> None:
        """Let the search go on; with its next trial what has been looked at is a closed round."""
        has_looked = self.verdict is not None or any(look.number == self.look_number for look in self.looks)
        if has_looked and not self.is_extended_in_vain:
            self.extended_at.append(len(self.trials))
        self.verdict = None
        self.until_since = self.until_since if extension.until == self.budget.until else len(self.asked)
        self.extensions.append(Extension(extension.n_trials, extension.until, extension.spec_sha256))
        if isinstance(extension, Chapter):
            self.chapters.append(extension)

    def look_of(self, stage: Stage, number: int | None = None) -> LookLine | None:
        """Return a stage's look of a number (None: the present one), or None where it has not been taken."""
        wanted = self.look_number if number is None else number
        return next((look for look in self.looks if look.stage == stage and look.number == wanted), None)

    def look_behind(self, record: TrialRecord) -> LookLine | None:
        """Return the look that a record belongs to, or None (searches, settings for the page, older logs)."""
        found = [look for look in self.looks if look.stage == record.stage and look.first <= record.number]
        return max(found, key=lambda look: look.first, default=None)

    def records_of(self, stage: Stage, number: int | None = None) -> list[TrialRecord]:
        """Return the records of one look at a stage (None: the present one); all where no look is on record."""
        if not any(look.stage == stage for look in self.looks):
            return list(self.records[stage])
        look = self.look_of(stage, number)
        return [] if look is None else [one for one in self.records[stage] if self.look_behind(one) == look]

    def _chosen(self, stage: Stage, number: int | None) -> TrialRecord | None:
        return next((record for record in self.records[stage] if record.number == number), None)


def most_measured(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the records that have had the most draws: those that left no race before its end."""
    most = max((len(record.seeds) for record in records), default=0)
    return [record for record in records if len(record.seeds) == most]


def study_name(header: StudyHeader) -> str:
    """Return what a study's lines call it."""
    return f"{header.sweep}/{header.dataset}"


def canonical_lines(study: Study) -> list[str]:
    """Return a study's lines in canonical form: by stage and number, without timing and chain.

    Equal for equal specs, versions and processor type, whatever the number of workers and of interruptions. What has
    its default is left out, so that a field that a later version adds does not unseal the logs of earlier ones.
    """
    lines = [encode_line("study", told(study.header))]
    lines += [encode_line("asked", {"number": n, "params": study.asked[n]}) for n in sorted(study.asked)]
    lines += [encode_line("chapter", told(chapter)) for chapter in study.chapters]
    if study.extensions:
        lines.append(encode_line("extension", told(study.budget)))
    looks = sorted(study.looks, key=lambda look: (look.number, STAGES.index(look.stage)))
    lines += [encode_line("look", told(look)) for look in looks]
    lines += [encode_line(record.stage, _without(told(record), TIMING_FIELDS)) for record in study.all_records()]
    if study.verdict is not None:
        lines.append(encode_line("verdict", told(study.verdict)))
    return lines


def without_timing(record: Record) -> dict[str, Any]:
    """Return a record as plain values, without the fields that differ from run to run."""
    return {key: value for key, value in as_data(record).items() if key not in TIMING_FIELDS}


def _without(data: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left_out = frozenset(names)
    return {key: value for key, value in data.items() if key not in left_out}


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 of the lines of a canonical form."""
    total = hashlib.sha256()
    for line in lines:
        total.update(line.encode())
    return total.hexdigest()
