"""What a lesson asks, and what each cell of its designs leaves in the lesson's log.

The log is one of `analysis.records.study`: a ``study`` line whose ``data`` are a `LessonSettings`, and a ``cell`` line
with a `CellRecord` for each combination of levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.records.fields import build

LESSON = "lesson"
"""The kind of data, as a study's header names it."""
Level = str | int | float | bool | None
SURFACE_REACH, SURFACE_SIDE = 4.0, 61
"""How far a surface over two weights goes from 0 either way, and its places a side."""


def surface_steps() -> list[float]:
    """Return the weights at which a surface is kept, lowest first; the same for both weights."""
    return [SURFACE_REACH * (2 * i / (SURFACE_SIDE - 1) - 1) for i in range(SURFACE_SIDE)]


@dataclass(frozen=True, slots=True)
class LessonSettings:
    """What a lesson asks: the data of its header, beside their kind.

    Parameters
    ----------
    lesson : str
        Its built-in name; the study's own name says besides in which size it ran.
    question, guess : str
        What it asks, and what the reader is asked to guess first.
    options : list of str
        Guesses to choose from.
    source : str
        Where the question stands.
    minutes : float
        On two idle cores, at this size's default.
    done : str
        What was done, equal budgets named.
    would_change : str
        What would change the answer.
    size : str
        ``"default"``, ``"quick"`` or ``"full"``.
    changed : list of str
        What the command line changed: ``"training.batch_size = 1"``.
    designs : list of dict
        Each design as it ran: see `sweeps.spec.design.Design`.
    left_out : list of str
        Datasets that were left out because their files were not at hand.
    """

    lesson: str
    question: str
    guess: str
    options: list[str]
    source: str
    minutes: float
    done: str
    would_change: str
    size: Literal["default", "quick", "full"]
    changed: list[str]
    designs: list[dict[str, Any]]
    left_out: list[str] = field(default_factory=list)


def at_look(probe: str, epoch: int) -> str:
    """Return under which name a record keeps what a probe found at a look."""
    return f"{probe}@{epoch}"


def cell_file(number: int) -> str:
    """Return the name of the files, without ending, that keep the networks of a cell."""
    return f"cell-{number}"


def of_layer(probe: str, layer: int) -> str:
    """Return the name of what a probe found in a hidden layer, counted from 1."""
    return f"{probe}.{layer}"


def lesson_settings(data: Mapping[str, Any]) -> LessonSettings:
    """Return the settings that a lesson's header holds.

    Raises
    ------
    ValueError
        If a field is missing, unknown or not of its type.
    """
    settings: LessonSettings = build(LessonSettings, {k: v for k, v in data.items() if k != "kind"}, "study.data")
    return settings


@dataclass(frozen=True, slots=True)
class CellRecord:
    """What one cell of a design leaves behind: R replicas of one setting.

    Parameters
    ----------
    study : str
        ``"<name>/lesson"``.
    number : int
        Place among the lesson's cells, from 0.
    params : dict
        ``"design"``, ``"dataset"`` and the level of each factor.
    network, training : dict
        The resolved configurations, as plain values.
    seeds : list of str
        Of the replicas; equal in all cells of a design, so that cells are paired.
    looks : list of int
        Epochs at which losses were measured.
    losses : dict of str to list of list of (float or None)
        By split, at each look, of each replica, to six digits; None where it was not finite. By name of a probe what
        it found, where the design asks for its curve.
    diverged_at : list of (int or None)
        Epoch by which a parameter was not finite.
    floors : dict of str to list of (float or None)
        Loss of the best possible predictor on the same points, by split; empty where it is not known.
    constant : dict of str to list of (float or None)
        Loss of the constant predictor.
    measured : dict of str to list of (float or None)
        What the design's probes found, one number a replica; what it traces as ``"probe@epoch"``, see `at_look`.
    n_updates : int
        Updates that each replica made.
    sha256 : str
        Digest of all losses, last weights and measurements.
    road : str
        Which road of the engine ran.
    playground_url : str or None
        The page that opens this setting.
    reason : str or None
        Why it could not be trained.
    arrays : dict of str to list of float
        What is drawn: of the first replica templates, an image, a surface; of all replicas their weights.
    started_at_s, duration_s, worker, seconds
        No part of the canonical form. `seconds` holds what a cell that measures time took, of each replica.
    """

    study: str
    number: int
    params: dict[str, Level]
    network: dict[str, Any]
    training: dict[str, Any]
    seeds: list[str]
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
    reason: str | None = None
    arrays: dict[str, list[float]] = field(default_factory=dict)
    started_at_s: float = 0.0
    duration_s: float = 0.0
    worker: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def stage(self) -> Literal["cell"]:
        """The one stage of a lesson."""
        return "cell"

    @property
    def source(self) -> None:
        """The earlier one that it repeats: none does."""

    @property
    def candidate(self) -> bool:
        """Whether it may be certified: nothing is, in a lesson."""
        return False

    @property
    def state(self) -> Literal["complete", "diverged", "failed"]:
        """How its training ended; at least half of the replicas diverged, or none could be trained."""
        if self.reason is not None:
            return "failed"
        return "diverged" if 2 * sum(at is not None for at in self.diverged_at) >= len(self.seeds) else "complete"

    @property
    def value(self) -> float:
        """Mean test loss at the last look, over the replicas that have a finite one; the largest number if none has.

        Of a work that has no test loss it is the mean of the first thing that it measured.
        """
        rows = self.losses.get("test") or [next(iter(self.measured.values()), [])]
        last = [loss for loss in rows[-1] if loss is not None]
        return math.fsum(last) / len(last) if last else 1e300
