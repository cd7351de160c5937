"""Run studies: ask, train on an executor, log, tell in order; then the stages that follow, and the verdict.

The log is the truth. Every decision here is a function of the spec and of the log's records in the order of trial
numbers, so that neither the number of workers nor interruptions leave a trace in the results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from analysis.records.events import Stage
from analysis.records.lines import RecordError, canonical_json
from analysis.records.reading import check_version, read_study
from analysis.records.study import Record, Study
from sweeps.data.table.settings import TableData
from sweeps.run.chapters import chapter_of, starts_of_chapters
from sweeps.run.crews import open_crew
from sweeps.run.executors import LOCAL, Batch, Cohort, Crew, Result, cohorts
from sweeps.run.kinds import Spec, kind_of, load, spec_difference
from sweeps.run.plan import Piece, Plan, Timing
from sweeps.run.progress import PHASE_OF, STAGES_OF, OnEvent, Phase, Progress
from sweeps.run.setting import Setting
from sweeps.search.samplers import Sampler
from sweeps.spec.sweep import SweepSpec
from sweeps.spec.writing import as_toml
from sweeps.store.log import BEFORE_NAME, LOG_NAME, SPEC_NAME, StudyLog, SweepLock, header_difference, write_atomically
from sweeps.toml import SpecError

NOT_WRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
"""What says that a folder of results will not do, rather than that a disk is full or fails."""
MOST_FAILURES = 20
"""A search of this many failed trials in a row ends."""

_Key = tuple[Stage, int, int]


def run_sweep(
    spec: Spec,
    results: Path,
    *,
    workers: int,
    executor: str = LOCAL,
    timeout: float | None = None,
    on_event: OnEvent | None = None,
    may_reopen: bool = False,
) -> list[Study]:
    """Run a sweep, or a study of another kind, to its verdicts; or go on with one that was interrupted.

    Parameters
    ----------
    spec : Spec
        What is asked: a `sweeps.spec.sweep.SweepSpec`, or that of another kind of `sweeps.run.kinds.STUDY_KINDS`.
    results : Path
        Folder of results; the sweep's own is ``results / spec.name``.
    workers : int
        Trials trained at a time; no result depends on it.
    executor : str
        ``"local"``: threads of this process. ``"dask://HOST:PORT"``, ``"dask-local:N"``: see `sweeps.run.crews`.
    timeout : float or None
        Seconds after which to stop; what is logged then is a prefix of the whole, and running again goes on from it.
    on_event : callable or None
        Told how each study gets on, from this thread.
    may_reopen : bool
        Whether a sweep that is there may go on in another space, as a new chapter of each log.

    Returns
    -------
    list of Study
        In the order of the spec; without verdict where the timeout came first.

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
            _settle_spec(spec, folder, may_reopen=may_reopen)
            with contextlib.ExitStack() as logs:
                runs = []
                for plan in kind_of(spec).plans(spec, folder):
                    runs.append(_StudyRun(plan, on_event))
                    logs.callback(runs[-1].log.close)
                (folder / BEFORE_NAME).unlink(missing_ok=True)  # every log has its line
                with open_crew(executor, workers) as crew:
                    _drive(runs, crew, deadline)
                for run in runs:
                    run.finish()
            return [run.log.study for run in runs]
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        raise SpecError(
            f"{error.filename or folder}: cannot be written: {error.strerror}; use another --results"
        ) from None


def _settle_spec(spec: Spec, folder: Path, *, may_reopen: bool) -> None:
    """Write the spec into a new folder, or make sure that the folder's is the same but for a smaller budget.

    With `may_reopen` it may have another space, too; that one is kept until every log has its line about it.
    """
    check_version(folder)
    path = folder / SPEC_NAME
    if not path.exists():
        write_atomically(path, kind_of(spec).as_toml(spec).encode())
        return
    there = load(path)
    old, new = there.without_folders(), spec.without_folders()
    if old != new and isinstance(new, SweepSpec) and isinstance(old, SweepSpec) and new.extends(old):
        write_atomically(path, kind_of(spec).as_toml(spec).encode())
    elif old != new and may_reopen and isinstance(new, SweepSpec) and isinstance(old, SweepSpec) and new.reopens(old):
        _check_reopening(old, new, folder)
        write_atomically(folder / BEFORE_NAME, as_toml(old).encode())
        write_atomically(path, kind_of(spec).as_toml(spec).encode())
    elif old != new:
        raise SpecError(f"{folder}: {_another_text(old, new)}")


def _another_text(old: Spec, new: Spec) -> str:
    """Return in what a folder's sweep is another one than what is asked for, and what would do."""
    if isinstance(old, SweepSpec) and isinstance(new, SweepSpec):
        n = old.search.n_trials
        if new.search.n_trials < n and old.with_budget(new.search.n_trials, new.search.until) == new:
            return (
                f"this sweep already has a budget of {n} trials; more can be added with a larger --trials, fewer cannot"
                " be taken away; another --results or name starts a new one"
            )
        if _allowing_leaks(old).with_budget(new.search.n_trials, new.search.until) == _allowing_leaks(new):
            begun = "without" if _allowing_leaks(new) == new else "with"
            return f"this sweep was begun {begun} --allow-leak; give another --name, too, for instance {new.name}-2"
    changes = spec_difference(old, new)
    more = f"; and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f"holds another sweep ({'; '.join(changes[:3])}{more}); use another --results or name"


def _allowing_leaks(spec: SweepSpec) -> SweepSpec:
    """Return a spec whose tables, if any, may have columns that give the target away."""
    datasets = tuple(
        dataclasses.replace(dataset, data=dataclasses.replace(dataset.data, allow_leak=True))
        if isinstance(dataset.data, TableData)
        else dataset
        for dataset in spec.datasets
    )
    return dataclasses.replace(spec, datasets=datasets)


def _check_reopening(old: SweepSpec, new: SweepSpec, folder: Path) -> None:
    """Raise what opening the logs would, before anything is written."""
    for plan in kind_of(new).plans(new, folder):
        path = plan.folder / LOG_NAME
        if not path.is_file():
            raise SpecError(f"{path}: not there; `resume` the sweep before it goes on with another space")
        study = read_study(path)
        if study.budget.spec_sha256 != old.sha256:
            raise SpecError(f"{path}: the last extension has not begun there; `resume` the sweep first")
        there = study.header
        here = dataclasses.replace(
            plan.header, n_trials=there.n_trials, until=there.until, spec_sha256=there.spec_sha256
        )
        if here != there:
            raise RecordError(f"{path}: line 1: {header_difference(there, here)}")
        chapter_of(old, new, study)


def _drive(runs: Sequence[_StudyRun], crew: Crew, deadline: float | None) -> None:
    futures: dict[Future[list[list[Result]]], tuple[_StudyRun, Cohort]] = {}
    ready: dict[_StudyRun, list[Batch]] = {run: [] for run in runs}
    try:
        while True:
            for is_last in (False, True):  # what explains the answers waits until all of them are there
                if is_last and not all(run.is_through for run in runs):
                    continue
                for run, batches in ready.items():
                    batches += run.due(is_last=is_last)
                    n_tasks = sum(len(cohort.tasks) for _, cohort in futures.values())
                    for cohort in cohorts(batches, crew, run.batch_s, n_tasks):
                        futures[crew.submit(run.plan, cohort)] = (run, cohort)
                        del batches[: len(cohort.batches)]
            if not futures:
                return
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            done, _ = wait(futures, timeout=left, return_when=FIRST_COMPLETED)
            if not done:
                return
            try:
                _accept(done, futures, crew)
            except BaseException:  # a worker that is lost, an interruption: what came in beside it is kept
                for run in runs:
                    run.save()
                raise
    finally:  # on a timeout, an interruption or a bug, too: whoever opened the crew ends what is under way
        for run in runs:
            run.stop()


def _accept(
    done: Iterable[Future[list[list[Result]]]],
    futures: dict[Future[list[list[Result]]], tuple[_StudyRun, Cohort]],
    crew: Crew,
) -> None:
    """Take in what has been trained, by number; what has failed for good raises when all else is taken in."""
    for future in sorted(
        done, key=lambda one: (one.cancelled() or one.exception() is not None, futures[one][1].batches[0][0].key)
    ):
        run, cohort = futures.pop(future)
        for batch, results in zip(cohort.batches, future.result(), strict=True):
            for piece, result in zip(batch, results, strict=True):
                run.accept(piece, crew.received(run.plan, piece, result))


class _StudyRun:
    """One study under way: what is due next, and what has come in."""

    def __init__(self, plan: Plan, on_event: OnEvent | None) -> None:
        self.plan = plan
        self._on_event = on_event
        self._header = plan.header
        self.log = StudyLog(plan.folder / LOG_NAME, self._header, plan.reopening)
        self._proposer: Sampler | None = None
        self._n_asked = self._n_told = self._n_candidates = self._n_failures = 0
        self._stopped: str | None = None
        self._open: dict[int, Setting] = {}
        first = self.log.study.of_stage(plan.first)
        self._finished = {record.number: record for record in first}
        self._best_value = min((record.value for record in first if record.state == "complete"), default=None)
        self._n_good = sum(record.candidate for record in first)
        self._starts = starts_of_chapters(self.log.study)
        self._repeats: dict[str, list[int]] = {}
        self._stages: dict[Stage, dict[int, Setting]] = {}
        self._under_way: set[_Key] = set()
        self._is_through = False
        self._results: dict[_Key, Result] = {}
        self._events: list[Progress] = []
        self._rounds: dict[Stage, int] = {}
        self._phase_start, self._phase_done = time.monotonic(), 0
        self._phase: Phase = plan.phase
        self._n_results, self._results_s = 0, 0.0
        self._tell_watcher()

    @property
    def batch_s(self) -> float | None:
        """Mean seconds of a batch so far; None before there is one."""
        return self._results_s / self._n_results if self._n_results else None

    @property
    def is_through(self) -> bool:
        """Whether all but the plan's last stages is recorded."""
        return self.log.study.verdict is not None or self._is_through

    def due(self, *, is_last: bool) -> list[Batch]:
        """Return what can be trained now and is not yet under way.

        With `is_last` that is of the plan's last stages, and the verdict is written if nothing is left.
        """
        if self.log.study.verdict is not None:
            return []
        settings: list[Setting] = []
        if not self._is_through:
            settings = self._due_settings(self.plan.stages)
            self._is_through = not settings and not self._under_way
        if is_last:
            settings = self._due_settings((self.plan.last,))
        self.save()
        if is_last and not settings and not self._under_way:
            self._enter("done")
            self.log.verdict(self.plan.verdict(self.log.study, self._stopped or "budget"))
            self._tell_watcher()
            return []
        pieces = [Piece(setting, i) for setting in settings for i in range(self._n_open(setting))]
        pieces = [piece for piece in pieces if piece.key not in self._under_way and piece.key not in self._results]
        self._under_way |= {piece.key for piece in pieces}
        return self.plan.batches(pieces)

    def accept(self, piece: Piece, result: Result) -> None:
        """Take in a trained piece; with a setting's last piece its record is made, which `due` writes."""
        setting = piece.setting
        self._n_results += 1
        self._results_s += result.timing.duration_s
        self._under_way.remove(piece.key)
        self._results[piece.key] = result
        if self._rounds.get(setting.stage, 0) < len(setting.cuts):
            self._judge(setting.stage)
        elif self._has(setting, setting.n_chunks):
            self._write(setting, self._made(setting))

    def save(self) -> None:
        """Write what came in together and what was chosen upon it, waiting for the disk once; then tell the watcher."""
        self.log.write()
        events, self._events = self._events, []
        for event in events:
            if self._on_event is not None:
                self._on_event(event)

    def _n_open(self, setting: Setting) -> int:
        """Return how many of a setting's pieces can be trained before its stage is judged again."""
        judged = self._rounds.get(setting.stage, 0)
        return setting.n_chunks if judged >= len(setting.cuts) else setting.ends.index(setting.cuts[judged]) + 1

    def _has(self, setting: Setting, n_chunks: int) -> bool:
        return all(Piece(setting, i).key in self._results for i in range(n_chunks))

    def _made(self, setting: Setting) -> Record:
        results = [self._results[Piece(setting, i).key] for i in range(setting.n_chunks)]
        timing = Timing(
            started_at_s=min(result.timing.started_at_s for result in results),
            duration_s=sum(result.timing.duration_s for result in results),
            worker=results[0].timing.worker,
        )
        return self.plan.record(setting, [result.outcome for result in results], timing)

    def _write(self, setting: Setting, record: Record) -> None:
        results = [self._results.pop(Piece(setting, i).key) for i in range(setting.n_chunks)]
        self.plan.keep(setting, record, [result.outcome for result in results])  # before the line that promises it
        self.log.take(record)
        if record.stage == self.plan.first:
            self._count(record)
        self._phase_done += 1
        if self._on_event is not None:
            self._events.append(self._progress(record))

    def _count(self, record: Record) -> None:
        """Take note of a record of the search: going through all of them for each would make a long one slow."""
        del self._open[record.number]
        self._finished[record.number] = record
        self._n_good += record.candidate
        if record.state == "complete":
            self._best_value = record.value if self._best_value is None else min(self._best_value, record.value)

    def _judge(self, stage: Stage) -> None:
        """End those of a stage that are decided after the round under way, once everybody has run it.

        A function of the records alone, so that after an interruption the same ones end: those that this round has
        already ended are judged again with the others, and where one has gone further, it had ended all it ends.
        """
        there = self.log.study.records_of(stage)
        known = {record.number for record in there}
        racing = [setting for number, setting in self._stages[stage].items() if number not in known]
        if not all(self._has(setting, self._n_open(setting)) for setting in racing):
            return
        n = racing[0].cuts[self._rounds.get(stage, 0)]
        made = {setting.number: self._made(setting.after(n)) for setting in racing}
        if not any(len(record.seeds) > n for record in there):
            ended = [record for record in there if len(record.seeds) == n]
            out = self.plan.decided([*ended, *made.values()])
            for setting in racing:
                if setting.number in out:
                    self._write(setting.after(n), made[setting.number])
        self._rounds[stage] = self._rounds.get(stage, 0) + 1

    def finish(self) -> None:
        """Keep beside the log what a report needs besides, once there is a verdict."""
        if self.log.study.verdict is not None:
            self.plan.finish(self.log.study)

    def stop(self) -> None:
        """Say that nothing more will come, if there is no verdict."""
        if self.log.study.verdict is None:
            self._enter("stopped")
            self._tell_watcher()

    def _due_settings(self, tracks: Sequence[tuple[Stage, ...]]) -> list[Setting]:
        """Return what is missing of the search, or else of stages that follow it: see `Plan.stages`."""
        self._ask_and_tell()
        if self._open:
            return list(self._open.values())
        due: list[Setting] = []
        for stages in tracks:
            for stage in stages:
                if stage not in self._stages:
                    self._open_stage(stage)
                known = {record.number for record in self.log.study.of_stage(stage)}
                missing = [setting for number, setting in self._stages[stage].items() if number not in known]
                if missing:
                    if not due:
                        self._enter(PHASE_OF[stage])
                    due += missing
                    break
        return due

    def _open_stage(self, stage: Stage) -> None:
        """Fix what a stage trains; where it looks at fresh draws, that is written before anything trains on them."""
        study = self.log.study
        look, settings = self.plan.look(study, stage)
        if look is not None and study.look_of(stage) is None:
            self.log.look(look)
        self._stages[stage] = {setting.number: setting for setting in settings}

    def _ask_and_tell(self) -> None:
        """Ask and tell as far as the records go, in the one order there is: tell k, then ask k + lag.

        Of earlier chapters only what was asked before they ended is left to do; the last one begins when it is done.
        """
        n_trials, start = self._header.n_trials, self._starts[-1]
        while self._stopped is None:
            n_due = min(self._n_told + self.plan.lag, n_trials) if self._n_told >= start else start
            while self._n_asked < n_due:
                self._ask(self._n_asked)
                self._n_asked += 1
            if self._n_told == n_trials:
                self._stopped = "budget"
            elif self._n_told in self._finished:
                if self._n_told >= start:
                    self._tell(self._finished[self._n_told])
                self._n_told += 1
            else:
                return

    def _ask(self, number: int) -> None:
        log = self.log
        for chapter in [i for i, first in enumerate(self._starts) if first == number and i]:
            self._repeats = self.plan.repeatable(log.study, chapter)
        if self._proposer is None and number >= self._starts[-1]:
            self._proposer = self.plan.proposer(log.study)
        if number in log.points:
            params, point = log.study.asked[number], log.points[number]
            if self._proposer is not None:
                self._proposer.add(number, point)
        else:
            assert self._proposer is not None, f"trial {number}, of a chapter that is over, was never asked"
            params, point = self._proposer.ask(number)
        earlier = self._repeats.setdefault(canonical_json(params), [])
        if number not in log.points:
            log.choose(number, params, point, earlier[0] if earlier else None)
        if number not in self._finished:
            self._open[number] = self.plan.setting(log.study, number, params, tuple(earlier))
        earlier.append(number)

    def _tell(self, record: Record) -> None:
        assert self._proposer is not None, "told before anything was asked"
        self._proposer.tell(record.number, None if record.state == "failed" else record.value)
        self._n_candidates += record.candidate
        self._n_failures = self._n_failures + 1 if record.state == "failed" else 0
        if self._n_failures == MOST_FAILURES:
            self._stopped = "all_failed"
        elif self.plan.n_candidates is not None and self._n_candidates >= self.plan.n_candidates:
            self._stopped = "reached"
        elif self.plan.has_converged(self.log.study, record.number + 1):
            self._stopped = "converged"

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase, self._phase_start, self._phase_done = phase, time.monotonic(), 0

    def _tell_watcher(self) -> None:
        if self._on_event is not None:
            self._on_event(self._progress(None))

    def _progress(self, record: Record | None) -> Progress:
        study = self.log.study
        done, total = self._amount()
        left = None
        if self._phase_done and self._phase not in ("done", "stopped"):
            left = (time.monotonic() - self._phase_start) / self._phase_done * (total - done)
        return Progress(
            header=dataclasses.replace(study.header, n_trials=study.budget.n_trials, until=study.budget.until),
            phase="done" if study.verdict is not None else self._phase,
            n_asked=len(study.asked),
            n_finished=len(self._finished),
            best_value=self._best_value,
            n_candidates=self._n_good,
            n_stage_done=done,
            n_stage_total=total,
            seconds_left=left,
            record=record,
            verdict=study.verdict,
        )

    def _amount(self) -> tuple[int, int]:
        """Return how many records this phase has and plans."""
        study = self.log.study
        if self._phase not in STAGES_OF:
            return len(self._finished), self._n_asked if self._stopped else self._header.n_trials
        planned = [(name, self._stages.get(name, {})) for name in STAGES_OF[self._phase]]
        done = sum(one.number in of for name, of in planned for one in study.of_stage(name))
        return done, sum(len(of) for _, of in planned)
