"""Which cell is best: every second replica chooses, so that the others can judge. Training asks it, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.course.cells import Cells, FloatArray
from analysis.records.lesson import CellRecord, Level

Value = Callable[[CellRecord], FloatArray]


def choosers(values: FloatArray) -> FloatArray:
    """Return the values of the replicas that choose."""
    return np.asarray(values[::2], np.float64)


def judges(values: FloatArray) -> FloatArray:
    """Return the values of the replicas that judge: none of them had a say in the choice."""
    return np.asarray(values[1::2], np.float64)


def best(cells: Cells, design: str, levels: Mapping[str, Level], value: Value) -> CellRecord | None:
    """Return the cell with these levels whose mean value is lowest on the replicas that choose; None without cells."""
    found = cells.of(design, levels)
    return min(found, key=lambda cell: float(choosers(value(cell)).mean()), default=None)
