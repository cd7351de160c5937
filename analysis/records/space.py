"""Where a sweep's space ends, as the resolved spec beside its logs has it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from analysis.records.events import Scalar
from analysis.records.study import Study

SPEC_NAME = "spec.toml"
NEAR = 0.02
"""A number within this share of a range from its end is at the end: nothing worth a search lies between."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The ends of one hyperparameter's range, both included.

    Parameters
    ----------
    low, high : float
    log : bool
        Whether the range is one of logarithms.
    is_continuous : bool
        Whether there are values between any two.
    """

    low: float
    high: float
    log: bool = False
    is_continuous: bool = False

    def end(self, side: str) -> float:
        """Return the end on a side, ``"lowest"`` or ``"highest"``."""
        return self.low if side == "lowest" else self.high

    def ends_at(self, value: float, side: str) -> bool:
        """Return whether a value is at the end on a side, or beyond it."""
        if (value <= self.low) if side == "lowest" else (value >= self.high):
            return True
        if not self.is_continuous or (self.log and self.low <= 0):
            return False
        low, high, here = map(math.log if self.log else float, (self.low, self.high, value))
        return abs(here - (low if side == "lowest" else high)) <= NEAR * (high - low)


@dataclass(frozen=True, slots=True)
class SpaceBounds:
    """The ranges of a space.

    Parameters
    ----------
    space : mapping
        The spec's ``[space]``; empty where it is not known.
    """

    space: Mapping[str, Any]

    def of(self, param: str, params: Mapping[str, Scalar]) -> Bounds | None:
        """Return the range of a hyperparameter; None where it has none, or it is not known.

        Parameters
        ----------
        param : str
            Spec key; ``"network.hidden_layer_sizes.2"`` for the units of a layer.
        params : mapping
            The setting's other choices, which may pick the range.
        """
        group, _, field = param.partition(".")
        content = self.space.get(group)
        entry = content.get(field.partition(".")[0]) if isinstance(content, Mapping) else None
        if not isinstance(entry, Mapping):
            return None
        if isinstance(choices := entry.get("choice"), list):
            numbers = [float(one) for one in choices if is_number(one)]
            return Bounds(min(numbers), max(numbers)) if numbers else None
        ends = [entry.get("low"), entry.get("high")]
        if "by" in entry:
            ranges = entry.get("ranges")
            found = ranges.get(str(params.get(str(entry["by"])))) if isinstance(ranges, Mapping) else None
            ends = found if isinstance(found, list) else []
        if len(ends) != 2 or not (is_number(ends[0]) and is_number(ends[1])):
            return None
        is_continuous = not all(isinstance(end, int) for end in ends)
        return Bounds(float(ends[0]), float(ends[1]), entry.get("log") is True, is_continuous)


def space_bounds(study: Study) -> SpaceBounds:
    """Return the ranges of the space in force; without any where there is no spec beside the logs."""
    if study.path is None:
        return SpaceBounds({})
    try:
        table = tomllib.loads((study.path.parents[1] / SPEC_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, IndexError):  # a log alone is a study, too
        return SpaceBounds({})
    space = table.get("space")
    return SpaceBounds(space if isinstance(space, Mapping) else {})


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number, truth values apart."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
