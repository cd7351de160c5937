"""Run a sweep: ask, train on an executor, log, tell in order; then finalists, certificates, verdict.

The log is the truth. Every decision here is a function of the spec and of the log's records in the order of trial
numbers, so that neither the number of workers nor interruptions leave a trace in the results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from analysis.records.lines import canonical_json
from analysis.records.reading import read_study
from analysis.records.study import Extension, Stage, Study, StudyHeader, TrialRecord, without_timing
from sweeps.data.kinds import KINDS
from sweeps.data.source import Source
from sweeps.run.certificate import MAIN_STAGES, PAGE_STAGES, stage_settings, verdict_of
from sweeps.run.executors import local_executor
from sweeps.run.looks import FRESH, plan_look, with_records
from sweeps.run.models import save_outcome
from sweeps.run.progress import OnEvent, Phase, Progress
from sweeps.run.trial import (
    Cancelled,
    Outcome,
    Setting,
    join,
    make_record,
    run_chunk,
    run_trial,
    search_setting,
    train_frames,
)
from sweeps.run.versions import versions
from sweeps.search.pruners import prune_above
from sweeps.search.samplers import Sampler, make_sampler
from sweeps.search.space import apply
from sweeps.spec.sweep import DatasetSpec, SweepSpec, load_spec, open_source
from sweeps.spec.writing import as_toml, spec_difference
from sweeps.store.log import LOG_NAME, MODELS_NAME, SPEC_NAME, StudyLog, SweepLock, write_atomically
from sweeps.toml import SpecError

MOST_FAILURES = 20
"""A search of this many failed trials in a row ends."""

_Piece = tuple[Stage, int, int]


@dataclass(frozen=True, slots=True)
class _PieceResult:
    outcome: Outcome | str
    started_at_s: float
    duration_s: float
    worker: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A trial run again: its record then and now, the fields in which they differ, timing apart, and what changed.

    `changed` names each version that is not the one the trial was recorded with: only without any must bits be equal.
    """

    recorded: TrialRecord
    rerun: TrialRecord
    differences: tuple[str, ...]
    changed: tuple[str, ...]


def run_sweep(
    spec: SweepSpec,
    results: Path,
    *,
    workers: int,
    timeout: float | None = None,
    on_event: OnEvent | None = None,
) -> list[Study]:
    """Run a sweep to its verdicts, or go on with one that was interrupted.

    Parameters
    ----------
    spec : SweepSpec
        What is asked.
    results : Path
        Folder of results; the sweep's own is ``results / spec.name``.
    workers : int
        Trials trained at a time; no result depends on it.
    timeout : float or None
        Seconds after which to stop; what is logged then is a prefix of the whole, and running again goes on from it.
    on_event : callable or None
        Told how each study gets on, from this thread.

    Returns
    -------
    list of Study
        In the order of the spec's datasets; without verdict where the timeout came first.

    Raises
    ------
    SpecError
        If the folder holds another sweep or cannot be written.
    ValueError
        If `workers` or `timeout` will not do.
    SweepHeldError
        If another driver is at it.
    RecordError
        If a log is damaged.
    KeyboardInterrupt
        If interrupted; the logs are whole and running again goes on from them.
    """
    if workers < 1:
        raise ValueError(f"workers: {workers}; give at least 1")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout: {timeout:g}; give seconds above 0")
    deadline = None if timeout is None else time.monotonic() + timeout
    folder = results / spec.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with SweepLock(folder):
            _settle_spec(spec, folder)
            with contextlib.ExitStack() as logs:
                runs = []
                for i, dataset in enumerate(spec.datasets):
                    runs.append(_StudyRun(spec, dataset, i, folder, on_event))
                    logs.callback(runs[-1].log.close)
                _drive(runs, workers, deadline)
                for run in runs:
                    run.finish()
            return [run.log.study for run in runs]
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise SpecError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; use another --results"
        ) from None


def replay(folder: Path, dataset: str, number: int, stage: Stage = "search") -> Replay:
    """Run a recorded trial again and compare, bit for bit.

    Parameters
    ----------
    folder : Path
        ``<results>/<sweep>``.
    dataset : str
        Name of the study's dataset.
    number : int
        The trial's number within its stage.
    stage : str
        See `analysis.records.study.TrialRecord`.

    Raises
    ------
    SpecError
        If there is no such sweep, dataset or trial.
    RecordError
        If the log is damaged.
    """
    if not (folder / SPEC_NAME).is_file():
        raise SpecError(f"{folder}: no {SPEC_NAME} in it; name a folder that `sweeps run` has written")
    spec = load_spec(folder / SPEC_NAME)
    source = open_source(spec, spec.dataset(dataset), folder / dataset)
    path = folder / dataset / LOG_NAME
    if not path.is_file():
        raise SpecError(f"{path}: not there yet; run the sweep first")
    study = read_study(path)
    records = study.records[stage]
    recorded = next((record for record in records if record.number == number), None)
    if recorded is None:
        numbers = f"0 to {records[-1].number}" if records else "none"
        raise SpecError(f"{folder.name}/{dataset}: no {stage} trial {number}; recorded: {numbers}")
    rerun = run_trial(spec, source, recorded.study, setting_of(spec, recorded, study))
    then, now = without_timing(recorded), without_timing(rerun)
    # Through JSON, as the recorded one has come.
    differences = tuple(key for key in then if canonical_json(then[key]) != canonical_json(now[key]))
    current = versions()
    known = study.header.versions
    changed = tuple(
        f"{key} {known.get(key)} then, {current.get(key)} now"
        for key in sorted({*known, *current})
        if known.get(key) != current.get(key)
    )
    return Replay(recorded, rerun, differences, changed)


def setting_of(spec: SweepSpec, record: TrialRecord, study: Study) -> Setting:
    """Return the setting that a record of a study is about."""
    seeds = tuple(record.seeds)
    if record.stage in ("search", "page_search"):
        return search_setting(
            spec,
            record.number,
            record.params,
            seeds,
            source=record.source,
            stage=record.stage,
            prune_above=prune_above(spec, record.number, study.trials) if record.stage == "search" else (),
        )
    epochs = record.epochs if record.stage in ("certificate", "page_certificate") else None
    look_at = tuple(record.epoch_grid)
    look = study.look_behind(record)
    level = 0.0 if look is None else look.level
    return Setting(record.stage, record.number, record.source, dict(record.params), seeds, look_at, epochs, level=level)


def _settle_spec(spec: SweepSpec, folder: Path) -> None:
    """Write the spec into a new folder, or make sure that the folder's is the same but for a smaller budget."""
    path = folder / SPEC_NAME
    if not path.exists():
        write_atomically(path, as_toml(spec).encode())
        return
    there = load_spec(path)
    old, new = there.without_folders(), spec.without_folders()
    if old != new and new.extends(old):
        write_atomically(path, as_toml(spec).encode())
    elif old != new:
        changes = spec_difference(old, new)
        more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise SpecError(
            f"{folder}: holds another sweep ({'; '.join(changes[:3])}{more}); use another --results or name"
        )


def _drive(runs: Sequence[_StudyRun], workers: int, deadline: float | None) -> None:
    cancel = threading.Event()
    futures: dict[Future[_PieceResult], tuple[_StudyRun, _Piece]] = {}
    with local_executor(workers) as executor:
        try:
            while True:
                for run in runs:
                    for setting, i in run.due():
                        future = executor.submit(_run_piece, run.spec, run.source, setting, i, cancel)
                        futures[future] = (run, (setting.stage, setting.number, i))
                if not futures:
                    return
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                done, _ = wait(futures, timeout=left, return_when=FIRST_COMPLETED)
                if not done:
                    return
                for future in sorted(done, key=lambda one: futures[one][1]):
                    run, piece = futures.pop(future)
                    run.accept(piece, future.result())
        finally:
            cancel.set()  # on a timeout, an interruption or a bug: pieces under way end at their next look
            for run in runs:
                run.stop()


def _run_piece(spec: SweepSpec, source: Source, setting: Setting, i: int, cancel: threading.Event) -> _PieceResult:
    if cancel.is_set():
        raise Cancelled
    start, started_at = time.monotonic(), time.time()
    outcome = run_chunk(spec, source, setting, i, cancel)
    return _PieceResult(outcome, started_at, time.monotonic() - start, threading.current_thread().name)


class _StudyRun:
    """One study under way: what is due next, and what has come in."""

    def __init__(
        self, spec: SweepSpec, dataset: DatasetSpec, position: int, folder: Path, on_event: OnEvent | None
    ) -> None:
        self.spec = spec
        self.source = open_source(spec, dataset, folder / dataset.name)
        self._dataset = dataset.name
        self._asked = dataset
        self._folder = folder / dataset.name
        self._on_event = on_event
        self.log = StudyLog(
            self._folder / LOG_NAME, study_header(spec, dataset, position, self.source), lambda old: extends(spec, old)
        )
        self._sampler: Sampler | None = None
        self._n_asked = self._n_told = self._n_candidates = self._n_failures = 0
        self._stopped: str | None = None
        self._search: dict[int, Setting] = {}
        self._repeats: dict[str, list[int]] = {}
        self._stages: dict[Stage, dict[int, Setting]] = {}
        self._under_way: set[_Piece] = set()
        self._pieces: dict[_Piece, _PieceResult] = {}
        self._phase_start = time.monotonic()
        self._phase_done = 0
        self._phase: Phase = "search"
        self._tell_watcher(None)

    def due(self) -> list[tuple[Setting, int]]:
        """Return the pieces that can be trained now and are not yet under way; write the verdict if none is left."""
        if self.log.study.verdict is not None:
            return []
        settings = self._due_settings()
        if not settings and not self._under_way:
            self._enter("done")
            self.log.verdict(verdict_of(self.spec, self.log.study, self._stopped or "budget"))
            self._tell_watcher(None)
            return []
        pieces = []
        for setting in settings:
            for i in range(setting.n_chunks):
                piece = (setting.stage, setting.number, i)
                if piece not in self._under_way and piece not in self._pieces:
                    self._under_way.add(piece)
                    pieces.append((setting, i))
        return pieces

    def accept(self, piece: _Piece, result: _PieceResult) -> None:
        """Take in a trained piece; with a setting's last piece its record is written."""
        stage, number, _ = piece
        self._under_way.remove(piece)
        self._pieces[piece] = result
        setting = self._search[number] if stage == "search" else self._stages[stage][number]
        keys: list[_Piece] = [(stage, number, i) for i in range(setting.n_chunks)]
        if any(key not in self._pieces for key in keys):
            return
        results = [self._pieces.pop(key) for key in keys]
        failures = [result.outcome for result in results if isinstance(result.outcome, str)]
        outcomes = [result.outcome for result in results if isinstance(result.outcome, Outcome)]
        outcome = None if failures else join(outcomes)
        study = f"{self.spec.name}/{self._dataset}"
        record = dataclasses.replace(
            make_record(self.spec, self.source, study, setting, outcome, failures[0] if failures else None),
            started_at_s=min(result.started_at_s for result in results),
            duration_s=sum(result.duration_s for result in results),
            worker=results[0].worker,
        )
        if outcome is not None and stage in ("certificate", "page_certificate"):
            extra = self.source.model_extra(setting.seeds)
            # Only what can be drawn again from its seed is animated; a table's rows are its owner's.
            frames = None if self.source.is_finite else train_frames(self.spec, self.source, setting)
            save_outcome(self._folder / MODELS_NAME, record, outcome, extra, frames)  # before the line that promises it
        self.log.record(record)
        self._phase_done += 1
        self._tell_watcher(record)

    def finish(self) -> None:
        """Keep beside the log what a report needs besides, once there is a verdict."""
        if self.log.study.verdict is not None:
            winner = self.log.study.winner
            source = self.source
            setting = None if winner is None else apply(self.spec, winner.params, source.n_inputs, source.n_outputs)
            source.finish(self.log.study, setting)

    def stop(self) -> None:
        """Say that nothing more will come, if there is no verdict."""
        if self.log.study.verdict is None:
            self._enter("stopped")
            self._tell_watcher(None)

    def _due_settings(self) -> list[Setting]:
        study = self.log.study
        self._ask_and_tell()
        known = {record.number for record in study.trials}
        searching = [setting for number, setting in self._search.items() if number not in known]
        if searching:
            return searching
        due: list[Setting] = []
        for stages in (MAIN_STAGES, PAGE_STAGES):
            for stage in stages:
                if stage not in self._stages:
                    self._open_stage(stage)
                known = {record.number for record in study.records[stage]}
                missing = [setting for number, setting in self._stages[stage].items() if number not in known]
                if missing:
                    phases: dict[Stage, Phase] = {"finalist": "finalists", "certificate": "certificates"}
                    if not due:
                        self._enter(phases.get(stage, "page"))
                    due += missing
                    break
        return due

    def _open_stage(self, stage: Stage) -> None:
        """Fix what a stage trains; where it looks at fresh draws, that is written before anything trains on them."""
        study = self.log.study
        look = study.look_of(stage)
        planned = plan_look(self.spec, self._asked, self.source, study, stage) if stage in FRESH else None
        settings = stage_settings(self.spec, self.source, study, stage, look or planned)
        if look is None and planned is not None and settings:
            look = with_records(planned, len(settings), self.spec, self.source)
            self.log.look(look)
        if look is not None:
            settings = [dataclasses.replace(setting, level=look.level) for setting in settings]
        self._stages[stage] = {setting.number: setting for setting in settings}

    def _ask_and_tell(self) -> None:
        """Ask and tell as far as the records go, in the one order there is: tell k, then ask k + lag."""
        finished = {record.number: record for record in self.log.study.trials}
        search = self.spec.search
        while self._stopped is None:
            while self._n_asked < min(self._n_told + search.lag, search.n_trials):
                self._ask(self._n_asked)
                self._n_asked += 1
            if self._n_told == search.n_trials:
                self._stopped = "budget"
            elif self._n_told in finished:
                self._tell(finished[self._n_told])
                self._n_told += 1
            else:
                return

    def _ask(self, number: int) -> None:
        if self._sampler is None:
            self._sampler = make_sampler(self.spec, self._dataset)
        log = self.log
        if number in log.points:
            params, point = log.study.asked[number], log.points[number]
            self._sampler.add(number, point)
        else:
            params, point = self._sampler.ask(number)
        same = self._repeats.setdefault(canonical_json(params), [])
        source = same[0] if same else None
        if number not in log.points:
            log.asked(number, params, point, source)
        seeds = self.source.search_seeds(len(same))
        same.append(number)
        bounds = prune_above(self.spec, number, log.study.trials)
        self._search[number] = search_setting(self.spec, number, params, seeds, source=source, prune_above=bounds)

    def _tell(self, record: TrialRecord) -> None:
        if self._sampler is None:
            raise AssertionError("told before anything was asked")
        self._sampler.tell(record.number, None if record.state == "failed" else record.value)
        self._n_candidates += record.candidate
        self._n_failures = self._n_failures + 1 if record.state == "failed" else 0
        if self._n_failures == MOST_FAILURES:
            self._stopped = "all_failed"
        elif self.spec.search.until == "reached" and self._n_candidates >= self.spec.search.n_candidates:
            self._stopped = "reached"

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase, self._phase_start, self._phase_done = phase, time.monotonic(), 0

    def _tell_watcher(self, record: TrialRecord | None) -> None:
        if self._on_event is None:
            return
        study = self.log.study
        done, total = self._amount()
        left = None
        if self._phase_done and self._phase not in ("done", "stopped"):
            left = (time.monotonic() - self._phase_start) / self._phase_done * (total - done)
        self._on_event(
            Progress(
                header=dataclasses.replace(study.header, n_trials=study.budget.n_trials, until=study.budget.until),
                phase="done" if study.verdict is not None else self._phase,
                n_asked=len(study.asked),
                n_finished=len(study.trials),
                best_value=min((trial.value for trial in study.trials if trial.state == "complete"), default=None),
                n_candidates=sum(trial.candidate for trial in study.trials),
                n_stage_done=done,
                n_stage_total=total,
                seconds_left=left,
                record=record,
                verdict=study.verdict,
            )
        )

    def _amount(self) -> tuple[int, int]:
        """Return how many records this phase has and plans."""
        stages: dict[Phase, tuple[Stage, ...]] = {
            "finalists": ("finalist",),
            "certificates": ("certificate",),
            "page": PAGE_STAGES,
        }
        records = self.log.study.records
        if self._phase not in stages:
            return len(records["search"]), len(self._search) if self._stopped else self.spec.search.n_trials
        planned = [self._stages.get(name, {}) for name in stages[self._phase]]
        done = sum(
            one.number in of for name, of in zip(stages[self._phase], planned, strict=True) for one in records[name]
        )
        return done, sum(map(len, planned))


def extends(spec: SweepSpec, old: Extension) -> bool:
    """Return whether a spec is the sweep of an earlier budget, with a larger one."""
    earlier = spec.with_budget(old.n_trials, old.until)
    return earlier.sha256 == old.spec_sha256 and spec.extends(earlier)


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
    )
