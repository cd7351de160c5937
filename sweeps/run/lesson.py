"""The plan of a lesson: a list of cells, each R paired replicas of one setting, and a verdict on each claim."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.course.judging import judgments
from analysis.records.events import Scalar, Stage, Verdict
from analysis.records.lesson import LESSON, CellRecord, at_look, of_layer
from analysis.records.lines import canonical_json
from analysis.records.study import CELL, Study, StudyHeader
from engine.configuration import TrainingConfig, told_fields
from engine.network import NetworkConfig, Parameters
from engine.splits import Split
from engine.training import Look, train, with_label_noise
from sweeps.data.kinds import KINDS
from sweeps.data.source import Draws, Losses, Source
from sweeps.run.design import DesignPlan, verdict_on_claims
from sweeps.run.kept_networks import best_cell, save_networks
from sweeps.run.layer_probes import LAYER_PROBE_FUNCTIONS
from sweeps.run.path_probes import WeightPath, path_epochs
from sweeps.run.plan import Piece, Timing
from sweeps.run.probes import ARRAY_FUNCTIONS, PROBE_FUNCTIONS
from sweeps.run.setting import Setting
from sweeps.run.trained import Trained
from sweeps.run.trial import TRIAL_ERRORS, Cancelled
from sweeps.run.versions import versions
from sweeps.run.works.found import Asked, Found
from sweeps.run.works.registry import do_work
from sweeps.spec.design import Design
from sweeps.spec.lesson import LessonSpec, asked_of, configs, data_table, designs_as_data
from sweeps.spec.measured import LAYER_PROBES, PATH_PROBES
from sweeps.spec.works import parse_work, work_table
from sweeps.toml import SpecError, SpecTable

DIGITS = 6
"""Of a loss in a record: float32 has seven."""


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What training one cell gave, ready for its record."""

    looks: list[int]
    losses: dict[str, list[list[float | None]]]
    diverged_at: list[int | None]
    floors: dict[str, list[float | None]]
    constant: dict[str, list[float | None]]
    measured: dict[str, list[float | None]]
    n_updates: int
    sha256: str
    road: str
    playground_url: str | None
    arrays: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LessonTrainer:
    """Trains cells of a lesson in another process.

    Parameters
    ----------
    spec : LessonSpec
        The lesson.
    """

    spec: LessonSpec

    def __call__(self, batch: Sequence[Piece]) -> list[CellOutcome | str]:
        """Train cells one after the other."""
        return LessonPlan(self.spec, Path()).train(batch, threading.Event())


class LessonPlan(DesignPlan):
    """The cells of a lesson; see `sweeps.run.plan.Plan`.

    Parameters
    ----------
    spec : LessonSpec
        The lesson.
    results : Path
        Folder of the spec's results.
    """

    first: Stage = CELL

    def __init__(self, spec: LessonSpec, results: Path) -> None:
        self._spec = spec
        self._cells = spec.cells()
        self._settings = spec.settings()
        self._sources: dict[str, Source] = {}
        self._lock = threading.Lock()
        super().__init__(results / LESSON, self._cells)

    @property
    def header(self) -> StudyHeader:
        """What is asked."""
        spec = self._spec
        return StudyHeader(
            sweep=spec.name,
            dataset=LESSON,
            position=0,
            data={
                "kind": LESSON,
                "lesson": spec.lesson,
                "question": spec.question,
                "guess": spec.guess,
                "options": list(spec.options),
                "source": spec.source,
                "minutes": spec.minutes,
                "done": spec.done,
                "would_change": spec.would_change,
                "size": spec.size,
                "changed": list(spec.changed),
                "designs": designs_as_data(spec.designs),
                **({"left_out": list(spec.left_out)} if spec.left_out else {}),
            },
            goal=spec.designs[0].target,
            metric="test_loss",
            n_trials=len(self._cells),
            until="budget",
            n_replicas=max(design.n_replicas for design in spec.designs),
            max_epochs=max(design.looks[-1] for design in spec.designs),
            seed=spec.seed,
            floor=None,
            spec_sha256=spec.sha256,
            versions=versions(),
            has_page=True,
        )

    def setting(self, study: Study, number: int, params: Mapping[str, Scalar], earlier: Sequence[int]) -> Setting:  # noqa: ARG002
        """Return the setting of one cell."""
        design, _ = self._settings[number]
        seeds = self._source(number).search_seeds()
        return Setting(CELL, number, None, dict(params), seeds, design.looks, stops_early=True)

    def batches(self, pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
        """Return each cell by itself: its replicas train together already."""
        return [(piece,) for piece in pieces]

    def train(self, batch: Sequence[Piece], cancel: threading.Event) -> list[CellOutcome | str]:
        """Train one cell.

        Raises
        ------
        Cancelled
            At the next look after `cancel` was set.
        """
        return [self._train(piece.setting, cancel) for piece in batch]

    def trainer(self) -> LessonTrainer:
        """Return what trains cells in another process."""
        return LessonTrainer(self._spec)

    def record(self, setting: Setting, outcomes: Sequence[CellOutcome | str], timing: Timing) -> CellRecord:
        """Return a cell's record; its training has failed if its outcome is a text."""
        (outcome,) = outcomes
        design, settings = self._settings[setting.number]
        source = self._source(setting.number)
        network, training = configs(design, settings, source.n_inputs, source.n_outputs)
        empty = CellOutcome([], {}, [], {}, {}, {}, 0, "", "", None)
        found = empty if isinstance(outcome, str) else outcome
        return CellRecord(
            study=f"{self._spec.name}/{LESSON}",
            number=setting.number,
            params=dict(setting.params),
            network=told_fields(network),
            training=told_fields(training),
            seeds=list(setting.seeds),
            **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
            reason=outcome if isinstance(outcome, str) else None,
            started_at_s=timing.started_at_s,
            duration_s=timing.duration_s,
            worker=timing.worker,
        )

    def finish(self, study: Study) -> None:
        """Keep the networks of the best cell of each design that asks for them."""
        for design in self._spec.designs:
            cell = best_cell(study, design.name) if design.keep_best else None
            if cell is not None:
                source, (_, settings) = self._source(cell.number), self._settings[cell.number]
                asked = configs(design, settings, source.n_inputs, source.n_outputs)
                draws = source.draws(tuple(cell.seeds))
                save_networks(self.folder, cell, *asked, held(draws) if design.held else draws)

    def verdict(self, study: Study, stopped: str) -> Verdict:
        """Return what was found for each claim."""
        # A verdict on seconds differs from run to run: the page has it, the sealed log not.
        found = {one.label: one.verdict for one in judgments(study) if not one.claim.timed}
        text = f"All {len(study.cells)} cells trained; {len(found)} claims judged."
        return verdict_on_claims(text, found, stopped)

    def _source(self, number: int) -> Source:
        """Return the source of a cell's data; cells of equal data share one."""
        design, settings = self._settings[number]
        table, dataset = data_table(design, settings), str(settings["dataset"])
        asked = asked_of(self._spec, design, dataset, settings)
        key = canonical_json([design.name, table, dataset, asked.loss])
        with self._lock:
            if key not in self._sources:
                kind = KINDS[str(table["kind"])]
                rest = SpecTable({k: v for k, v in table.items() if k != "kind"}, f"{self._spec.name}: data")
                self._sources[key] = kind.open(asked, kind.parse(rest), None)
            return self._sources[key]

    def _train(self, setting: Setting, cancel: threading.Event) -> CellOutcome | str:
        design, settings = self._settings[setting.number]
        source = self._source(setting.number)
        network, training = configs(design, settings, source.n_inputs, source.n_outputs)
        try:
            draws = source.draws(setting.seeds)
            draws = held(draws) if design.held else draws
            if design.work:
                asked = Asked(str(settings["dataset"]), network, training, draws, design.looks, cancel)
                return _worked(do_work(parse_work(design.work, work_table(settings), self._spec.name), asked))
            splits = {name: draws.splits[name] for name in design.splits if name in draws.splits}
            if "told" in design.splits:
                splits["told"] = with_label_noise(draws.train, network, training, draws.training_seeds)
            start = draws.initialize(network)
            trace = Trace(design, draws, network, training, start, cancel)
            result = train(
                network,
                training,
                draws.train,
                start,
                draws.training_seeds,
                look_at=trace.look_at,
                evaluate_on=splits,
                on_look=trace.see,
            )
        except TRIAL_ERRORS as error:
            return f"{type(error).__name__}: {error}"
        parameters = result.state.parameters
        trained = Trained(network, training.loss, parameters, draws, training)
        measured = _probed(design.probes, trained, result.state.diverged_at) | trace.measured
        if draws.measure is not None and not design.held:
            measured |= {
                f"score_{name}": one for name, one in draws.measure(network, parameters).items() if name in splits
            }
        kept = [i for i, epoch in enumerate(result.epochs) if epoch in design.looks]
        losses = {name: rows[kept] for name, rows in result.losses.items()}
        arrays = [*losses.values(), *parameters.weights, *parameters.biases, *measured.values()]
        rows = {**losses, **{name: np.stack(found) for name, found in trace.curves.items()}}
        return CellOutcome(
            looks=[result.epochs[i] for i in kept],
            losses={name: [_plain(row) for row in one] for name, one in rows.items()},
            diverged_at=[None if at < 0 else int(at) for at in result.state.diverged_at],
            floors={}
            if draws.floors is None
            else {name: _plain(draws.floors[name]) for name in splits if name in draws.floors},
            constant={name: _plain(draws.constant[name]) for name in splits if name in draws.constant},
            measured={name: _plain(row) for name, row in measured.items()},
            n_updates=int(result.state.n_updates),
            sha256=_digest(arrays),
            road=result.road,
            playground_url=source.page_url(network, training, setting.seeds[0]),
            arrays={name: _known(ARRAY_FUNCTIONS[name](trained)) for name in design.arrays},
        )


class Trace:
    """What is measured while a cell trains.

    Parameters
    ----------
    design : Design
        With its looks, its curves and its trace.
    draws : Draws
    network : NetworkConfig
    training : TrainingConfig
    start : Parameters
        First weights.
    cancel : Event
        Ends the training at the next look once it is set.
    """

    def __init__(
        self,
        design: Design,
        draws: Draws,
        network: NetworkConfig,
        training: TrainingConfig,
        start: Parameters,
        cancel: threading.Event,
    ) -> None:
        self._design, self._draws, self._network, self._training, self._cancel = (
            design,
            draws,
            network,
            training,
            cancel,
        )
        self._path = WeightPath(start, design.target) if set(design.trace) & set(PATH_PROBES) else None
        self.look_at = list(design.looks)
        if self._path is not None:
            self.look_at = sorted({*design.looks, *path_epochs(design.looks[-1])})
        self.measured: dict[str, npt.NDArray[np.float64]] = {}
        self.curves: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in design.curves}

    def see(self, look: Look) -> bool:
        """Measure; return False: nothing stops a cell but `cancel`.

        Raises
        ------
        Cancelled
            If `cancel` is set.
        """
        if self._cancel.is_set():
            raise Cancelled
        if not (self._design.trace or self.curves):
            return False
        parameters = look.state.parameters
        if self._path is not None:
            with np.errstate(all="ignore"):
                self._path.follow(parameters, look.losses["train"])
        if look.epoch in self._design.looks:
            trained = Trained(self._network, self._training.loss, parameters, self._draws, self._training)
            for name, row in _probed(self._design.curves, trained, look.diverged_at).items():
                self.curves[name].append(row)
            names = [name for name in self._design.trace if name not in (*PATH_PROBES, *LAYER_PROBES)]
            found = _probed(names, trained, look.diverged_at)
            if self._path is not None:
                on_path = {name: self._path.measured(name) for name in self._design.trace if name in PATH_PROBES}
                found |= {name: np.where(look.diverged_at < 0, row, np.nan) for name, row in on_path.items()}
            self.measured |= {at_look(name, look.epoch): found[name] for name in self._design.trace if name in found}
            self.measured |= {at_look(name, look.epoch): row for name, row in self._by_layer(trained, look).items()}
        return False

    def _by_layer(self, trained: Trained, look: Look) -> dict[str, npt.NDArray[np.float64]]:
        """Return what is traced of each hidden layer, NaN for replicas that diverged."""
        with np.errstate(all="ignore"):
            return {
                of_layer(name, i): np.where(look.diverged_at < 0, row, np.nan)
                for name in self._design.trace
                if name in LAYER_PROBES
                for i, row in enumerate(LAYER_PROBE_FUNCTIONS[name](trained), start=1)
            }


def _worked(found: Found) -> CellOutcome:
    """Return what a work found as a cell's outcome."""
    return CellOutcome(
        looks=list(found.looks),
        losses={name: [_plain(row) for row in rows] for name, rows in found.losses.items()},
        diverged_at=[None] * found.n_replicas,
        floors={},
        constant={},
        measured={name: _plain(row) for name, row in found.measured.items()},
        n_updates=0,
        sha256=_digest([*found.losses.values(), *found.measured.values()]),
        road="",
        playground_url=None,
        seconds=found.seconds,
    )


def _known(values: npt.NDArray[Any]) -> list[float]:
    return [0.0 if one is None else one for one in _plain(np.ravel(values))]


def held(draws: Draws) -> Draws:
    """Return draws in which all replicas have the first one's data: they differ in first weights and order alone."""
    R = len(draws.seeds)

    def first(split: Split) -> Split:
        weight = None if split.weight is None else np.repeat(split.weight[:1], R, axis=0)
        return Split(np.repeat(split.X[:1], R, axis=0), np.repeat(split.y[:1], R, axis=0), weight)

    def repeated(values: Losses) -> Losses:
        return {name: np.repeat(one[:1], R) for name, one in values.items()}

    return dataclasses.replace(
        draws,
        train=first(draws.train),
        test=first(draws.test),
        in_range=first(draws.in_range),
        out_of_range=first(draws.out_of_range),
        n_in_range=np.repeat(draws.n_in_range[:1], R),
        n_out_of_range=np.repeat(draws.n_out_of_range[:1], R),
        constant=repeated(draws.constant),
        floors=None if draws.floors is None else repeated(draws.floors),
    )


def _probed(
    names: Sequence[str], trained: Trained, diverged_at: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return what the probes find, NaN for replicas that diverged."""
    with np.errstate(all="ignore"):
        return {name: np.where(diverged_at < 0, PROBE_FUNCTIONS[name](trained), np.nan) for name in names}


def _plain(values: npt.NDArray[Any]) -> list[float | None]:
    """Return numbers as a record keeps them: to six digits, None where not finite."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def _digest(arrays: Sequence[npt.NDArray[Any]]) -> str:
    """Return a digest of arrays; not-a-numbers have many bit patterns, and which one arises is no part of a result."""
    digest = hashlib.sha256()
    for array in arrays:
        numbers = np.where(np.isnan(array), np.nan, array)
        digest.update(str(array.shape).encode() + np.ascontiguousarray(numbers, array.dtype).tobytes())
    return digest.hexdigest()


def lesson_plan(spec: LessonSpec, folder: Path, dataset: str) -> LessonPlan:
    """Return the one plan of a lesson.

    Raises
    ------
    SpecError
        If another dataset is asked for.
    """
    if dataset != LESSON:
        raise SpecError(f"{spec.name}: dataset: unknown {dataset!r}; did you mean {LESSON!r}?")
    return LessonPlan(spec, folder)
