"""A lesson's cells as arrays: losses by look and replica, times to a target, what the probes found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records.lesson import CellRecord, LessonSettings, Level, at_look, lesson_settings, of_layer
from analysis.records.study import Study
from analysis.statistics.homework import dataset_title
from analysis.statistics.verdicts import Kind, Sample
from analysis.words import later, say, translated

FloatArray = npt.NDArray[np.float64]


class Cells:
    """The cells of a lesson's study.

    Parameters
    ----------
    study : Study
        All of whose cells are trained.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.settings: LessonSettings = lesson_settings(study.header.data)
        self.all = study.cells

    def design(self, name: str) -> dict[str, Any]:
        """Return a design as it ran; empty where the lesson has none of that name."""
        return next((design for design in self.settings.designs if design["name"] == name), {})

    def target(self, design: str, dataset: str = "") -> float:
        """Return the loss that counts as reached, on a dataset."""
        found = self.design(design)
        return float(found.get("targets", {}).get(dataset, found.get("target", 0.0)))

    def target_of(self, cell: CellRecord) -> float:
        """Return the loss that counts as reached in a cell."""
        return self.target(str(cell.params["design"]), str(cell.params.get("dataset", "")))

    def levels(self, design: str, key: str) -> list[Level]:
        """Return the levels of a factor, in the order of the cells."""
        return list(dict.fromkeys(cell.params[key] for cell in self.of(design) if key in cell.params))

    def of(self, design: str, levels: Mapping[str, Level] | None = None) -> list[CellRecord]:
        """Return the trained cells of a design that have these levels."""
        wanted = {"design": design, **(levels or {})}
        return [
            cell
            for cell in self.all
            if cell.reason is None and all(cell.params.get(key, None) == value for key, value in wanted.items())
        ]

    def one(self, design: str, levels: Mapping[str, Level]) -> CellRecord | None:
        """Return the one trained cell that has these levels, or None."""
        found = self.of(design, levels)
        return found[0] if len(found) == 1 else None

    def datasets(self, design: str) -> list[str]:
        """Return the names of a design's datasets."""
        return [str(name) for name in self.levels(design, "dataset")]


def losses(cell: CellRecord, split: str) -> FloatArray:
    """Return losses (looks, replicas), infinite where they were not finite."""
    rows = [[np.inf if loss is None else loss for loss in row] for row in cell.losses[split]]
    return np.asarray(rows, np.float64)


def last(cell: CellRecord, split: str) -> FloatArray:
    """Return the loss of each replica at the last look."""
    return np.asarray(losses(cell, split)[-1], np.float64)


def measured(cell: CellRecord, probe: str) -> FloatArray:
    """Return what a probe found, NaN where it found nothing."""
    return np.array([np.nan if one is None else one for one in cell.measured[probe]], np.float64)


def traced(cell: CellRecord, probe: str) -> FloatArray:
    """Return what a probe found at each look, (looks, replicas), NaN where it found nothing."""
    return np.stack([measured(cell, at_look(probe, look)) for look in cell.looks])


def by_layer(cell: CellRecord, probe: str) -> FloatArray:
    """Return what a probe found in each hidden layer at each look, (looks, layers, replicas), NaN for nothing found."""
    n = 0
    while at_look(of_layer(probe, n + 1), cell.looks[0]) in cell.measured:
        n += 1
    rows = [[measured(cell, at_look(of_layer(probe, i + 1), look)) for i in range(n)] for look in cell.looks]
    return np.array(rows, np.float64).reshape(len(cell.looks), n, len(cell.seeds))


def floor(cell: CellRecord, split: str) -> FloatArray:
    """Return the best possible predictor's loss on the points of each replica."""
    return np.array([np.nan if one is None else one for one in cell.floors[split]], np.float64)


def passes(cell: CellRecord, target: float, splits: Sequence[str] = ("train", "test")) -> npt.NDArray[np.bool_]:
    """Return whether each replica is below the target at each look on all splits, (looks, replicas)."""
    return np.asarray(np.all([losses(cell, split) < target for split in splits], axis=0), np.bool_)


def time_to(cell: CellRecord, target: float, splits: Sequence[str] = ("train", "test")) -> FloatArray:
    """Return the first look at which each replica is below the target; infinite (censored) where it never is."""
    below = passes(cell, target, splits)
    looks = np.array(cell.looks, np.float64)
    return np.where(below.any(axis=0), looks[np.argmax(below, axis=0)], np.inf)


def leaves_again(cell: CellRecord, target: float, splits: Sequence[str] = ("train", "test")) -> FloatArray:
    """Return 1 for replicas above the target at some look after having been below it, 0 for others that reached it.

    NaN for those that never reached it.
    """
    below = passes(cell, target, splits)
    reached = np.maximum.accumulate(below, axis=0)
    left = (reached & ~below).any(axis=0)
    return np.where(reached[-1], left.astype(np.float64), np.nan)


def diverged(cell: CellRecord) -> FloatArray:
    """Return 1 for replicas that ended with a loss that is not finite or ten times the constant predictor's."""
    constant = np.array([np.nan if one is None else one for one in cell.constant["train"]], np.float64)
    gone = np.array([at is not None for at in cell.diverged_at])
    return (gone | ~(last(cell, "train") < 10.0 * np.nan_to_num(constant, nan=np.inf))).astype(np.float64)


def sooner(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return 1 where a is below b, 0 where above, 0.5 where equal: both censored counts as equal."""
    return np.where(a < b, 1.0, np.where(a > b, 0.0, 0.5))


def difference(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a - b, 0 where both are infinite."""
    both = np.isinf(a) & np.isinf(b)
    with np.errstate(invalid="ignore"):
        return np.where(both, 0.0, a - b)


def pooled(samples: Sequence[Sample], kind: Kind | None = None) -> Sample | None:
    """Return each replica's mean over the conditions in which it was measured; None where there is no condition.

    Replicas of equal rank share a seed in all conditions; they are one value, so that values stay independent.
    """
    if not samples:
        return None
    n = min(len(one.x) for one in samples)
    stacked = np.stack([one.x[:n] for one in samples])
    known = ~np.isnan(stacked)
    counts = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.where(counts > 0, np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    return Sample("", kind or samples[0].kind, mean)


_TITLES = {"fashion_mnist": "Fashion-MNIST", "house_prices": later("house prices"), "valley": later("valley")}


def title(dataset: str) -> str:
    """Return what people call a dataset."""
    return translated(_TITLES[dataset]) if dataset in _TITLES else dataset_title(dataset)


def listed(parts: Sequence[str], separator: str = ", ") -> str:
    """Return the parts of a sentence joined, or that nothing was measured for it: no sentence may end in a colon."""
    return separator.join(parts) or say("(nothing that this needs was trained)")


def level_text(level: Level) -> str:
    """Return a level as a reader says it: "none" in the reader's language, everything else as it is written."""
    if level == "none":
        return say("none")
    return f"{level:g}" if isinstance(level, float) else str(level)
