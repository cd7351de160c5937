"""The file format of a polynomial study: one line for its question, one for each trained network.

``results/<study>/runs.jsonl`` is made of the checksummed lines of `analysis.records.study`: first a
``polynomial_study`` with
a `PolynomialHeader`, then a ``polynomial_run`` with a `PolynomialRun` for each network, in the order they finished.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path

from analysis.records.study import RecordError, read_lines
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


@dataclass(slots=True)
class PolynomialStudy:
    """One polynomial study read back, its runs by arm, rate and seed."""

    header: PolynomialHeader
    runs: list[PolynomialRun] = field(default_factory=list)

    @property
    def n_expected(self) -> int:
        """Runs of the finished study."""
        return self.header.n_seeds * len({(r["arm"], r["learning_rate"]) for r in self.header.recipes})

    def add(self, run: PolynomialRun) -> None:
        """Take in one more run, in its place."""
        bisect.insort(self.runs, run, key=lambda one: one.key)

    @property
    def verdict(self) -> str | None:
        """How the study ended; None until all networks are trained."""
        return f"All {len(self.runs)} networks trained." if len(self.runs) >= self.n_expected else None


def read_polynomial_study(path: Path) -> PolynomialStudy:
    """Read the runs of a polynomial study.

    Parameters
    ----------
    path : Path
        ``<results>/<study>/runs.jsonl``.

    Raises
    ------
    RecordError
        If the file is empty or a line is damaged; the message names file and line.
    """
    study: PolynomialStudy | None = None
    for i, (kind, data) in enumerate(read_lines(path), start=1):
        try:
            if kind == "polynomial_study":
                study = PolynomialStudy(PolynomialHeader(**data))
            elif study is None or kind != "polynomial_run":
                raise RecordError(f"{path}: line {i}: a {kind!r} line where none belongs")
            else:
                study.add(PolynomialRun(**data))
        except TypeError as error:
            raise RecordError(f"{path}: line {i}: not a {kind} of this version ({error})") from None
    if study is None:
        raise RecordError(f"{path}: empty; run the study again")
    return study
