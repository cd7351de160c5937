"""The file format of a polynomial study: one line for its question, one for each trained network.

``results/<study>/runs.jsonl`` is made of the chained lines of `analysis.records.lines`: first a ``polynomial_study``
with a `PolynomialHeader`, then a ``polynomial_run`` with a `PolynomialRun` for each network, in the order they
finished, last, when all are there, a ``polynomial_end`` with a `PolynomialEnd`, which seals the log.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.records.fields import build
from analysis.records.lines import RESTORE, Chain, Line, RecordError, encode_line, read_lines, short
from analysis.records.study import TIMING_FIELDS, digest_of
from engine.polynomial.rows import Arm

RUNS_NAME = "runs.jsonl"


@dataclass(frozen=True, slots=True)
class PolynomialHeader:
    """What a polynomial study asks.

    Parameters
    ----------
    name : str
        Name of the study.
    coefficients : list of float
        Of the polynomial, constant first.
    n_rows : int
        Training rows of each seed.
    noise_sd : float
        Standard deviation of the noise on the training targets.
    stretch : float
        Factor between training and test inputs.
    n_hidden : int
        Sigmoid units.
    n_seeds : int
        Seeds 1 to n_seeds, shared by all recipes: data and first weights.
    n_nodes : int
        Nodes of the Gauss rule that stands in for the rows.
    recipes : list of dict
        ``{"arm", "learning_rate", "n_steps"}``: one training each for every seed.
    checkpoints : list of int
        Numbers of updates at which parameters were kept.
    thresholds : list of float
        Training errors whose first passage was looked for, highest first; `equal_error` is one of them.
    converged_below : float
        Training error below which a network counts as converged.
    equal_error : float
        Training error at which the arms are compared when they first reach it.
    valley : list of float
        Weights of the first unit, as multiples of the solution's own, at which the rest was re-optimized.
    versions : dict of str to str
        As in `analysis.records.study.StudyHeader`.
    """

    name: str
    coefficients: list[float]
    n_rows: int
    noise_sd: float
    stretch: float
    n_hidden: int
    n_seeds: int
    n_nodes: int
    recipes: list[dict[str, str | float | int]]
    checkpoints: list[int]
    thresholds: list[float]
    converged_below: float
    equal_error: float
    valley: list[float]
    versions: dict[str, str]

    @property
    def sweep(self) -> str:
        """The study's name: it is a sweep of its own."""
        return self.name


@dataclass(frozen=True, slots=True)
class PolynomialRun:
    """One trained network.

    Parameters
    ----------
    arm : str
        ``"constrained"`` or ``"unconstrained"``.
    learning_rate : float
        Adam's.
    seed : int
        Of data and first weights.
    parameters : list of list of float
        w, b, W, B at each checkpoint.
    loss, lowest, highest : list of float
        Training error at each checkpoint, lowest and highest since the checkpoint before.
    passage_step : list of (int or None)
        Updates done when the training error was first at or below each threshold.
    passage_parameters : list of (list of float or None)
        Parameters then.
    valley_loss : list of float
        Lowest training error found along the valley that begins at the last parameters.
    valley_parameters : list of list of float
        Parameters there.
    started_at_s, duration_s : float
        Wall-clock start (Unix time) and duration of the eight networks that trained together. Not part of the canonical
        form.
    """

    arm: Arm
    learning_rate: float
    seed: int
    parameters: list[list[float]]
    loss: list[float]
    lowest: list[float]
    highest: list[float]
    passage_step: list[int | None]
    passage_parameters: list[list[float] | None]
    valley_loss: list[float]
    valley_parameters: list[list[float]]
    started_at_s: float = 0.0
    duration_s: float = 0.0

    @property
    def key(self) -> tuple[str, float, int]:
        """What tells the run from the study's others."""
        return self.arm, self.learning_rate, self.seed


@dataclass(frozen=True, slots=True)
class PolynomialEnd:
    """The study is complete.

    Parameters
    ----------
    n_runs : int
        Networks trained.
    """

    n_runs: int


@dataclass(slots=True)
class PolynomialStudy:
    """One polynomial study read back, its runs by arm, rate and seed."""

    header: PolynomialHeader
    runs: list[PolynomialRun] = field(default_factory=list)
    path: Path | None = None
    chain: Chain | None = None

    @property
    def n_expected(self) -> int:
        """Runs of the finished study."""
        return self.header.n_seeds * len({(r["arm"], r["learning_rate"]) for r in self.header.recipes})

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: equal for any number of workers and of interruptions."""
        if self.chain is not None and self.chain.is_sealed:
            return self.chain.seals[-1]  # compared with the lines when it was read
        return digest_of(canonical_polynomial_lines(self))

    def add(self, run: PolynomialRun) -> None:
        """Take in one more run, in its place."""
        bisect.insort(self.runs, run, key=lambda one: one.key)

    @property
    def verdict(self) -> str | None:
        """How the study ended; None until all networks are trained."""
        return f"All {len(self.runs)} networks trained." if len(self.runs) >= self.n_expected else None


def canonical_polynomial_lines(study: PolynomialStudy) -> list[str]:
    """Return a polynomial study's lines in canonical form: its networks by arm, rate and seed, without timing."""
    lines = [encode_line("polynomial_study", dataclasses.asdict(study.header))]
    return lines + [encode_line("polynomial_run", _without_timing(run)) for run in study.runs]


def _without_timing(run: PolynomialRun) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(run).items() if key not in TIMING_FIELDS}


LINE_TYPES: Mapping[str, type] = MappingProxyType(
    {"polynomial_study": PolynomialHeader, "polynomial_run": PolynomialRun, "polynomial_end": PolynomialEnd}
)
"""What each kind of line holds."""


class PolynomialReader:
    """Reads a polynomial study's log line by line, and takes no line that does not belong where it stands.

    Parameters
    ----------
    path : Path
        The log; named in messages.

    Attributes
    ----------
    study : PolynomialStudy or None
        What the lines so far say; None before the first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.study: PolynomialStudy | None = None
        self._known: set[tuple[str, float, int]] = set()
        self._n_lines = 0
        self._chain = Chain("")
        self._has_ended = False

    def take(self, line: Line) -> PolynomialHeader | PolynomialRun | PolynomialEnd:
        """Take in the next line and return what it holds.

        Raises
        ------
        RecordError
            If it does not belong there; the message names file and line.
        """
        self._n_lines += 1
        where = f"{self._path}: line {self._n_lines}"
        kind = LINE_TYPES.get(line.kind)
        if kind is None:
            raise RecordError(f"{where}: kind: {short(line.kind)}; expected one of {', '.join(LINE_TYPES)}; {RESTORE}")
        try:
            item: PolynomialHeader | PolynomialRun | PolynomialEnd = build(kind, line.data, line.kind)
            self._place(line, item, where)
        except ValueError as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(f"{where}: {error}; {RESTORE}") from None
        return item

    def _place(self, line: Line, item: PolynomialHeader | PolynomialRun | PolynomialEnd, where: str) -> None:
        if self.study is None:
            if not isinstance(item, PolynomialHeader):
                raise ValueError(f"a {line.kind!r} line; expected the study's header")
            self._chain.study = item.name
            self.study = PolynomialStudy(item, path=self._path, chain=self._chain)
        study = self.study
        self._chain.take(line, where)
        if self._has_ended:
            raise ValueError(f"a {line.kind!r} line behind the end; expected none")
        if isinstance(item, PolynomialRun):
            if item.key in self._known:
                raise ValueError(f"{line.kind}: {item.arm} {item.learning_rate:g} seed {item.seed} is there already")
            if item.seed > study.header.n_seeds or not any(
                (recipe["arm"], recipe["learning_rate"]) == (item.arm, item.learning_rate)
                for recipe in study.header.recipes
            ):
                raise ValueError(f"{line.kind}: {item.arm} {item.learning_rate:g} seed {item.seed} was not asked for")
            self._known.add(item.key)
            study.add(item)
        elif isinstance(item, PolynomialEnd):
            self._end(study, item, line)
        elif self._n_lines > 1:
            raise ValueError("a second header; expected none")

    def _end(self, study: PolynomialStudy, end: PolynomialEnd, line: Line) -> None:
        self._has_ended = True
        if not len(study.runs) == end.n_runs == study.n_expected:
            raise ValueError(f"an end after {len(study.runs)} runs; expected {study.n_expected}")
        found = digest_of(canonical_polynomial_lines(study))
        if line.canonical != found:
            raise ValueError(f"sealed as {short(line.canonical)}; expected {short(found)}, which its lines give")


def read_polynomial_study(path: Path) -> PolynomialStudy:
    """Read the runs of a polynomial study.

    Parameters
    ----------
    path : Path
        ``<results>/<study>/runs.jsonl``.

    Raises
    ------
    RecordError
        If the file is empty, or a line is damaged or does not belong where it stands; the message names file and line.
    """
    reader = PolynomialReader(path)
    for line in read_lines(path):
        reader.take(line)
    if reader.study is None:
        raise RecordError(f"{path}: empty; run the study again")
    return reader.study
