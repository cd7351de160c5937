"""Which function does which work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sweeps.run.works.fitting import fit
from sweeps.run.works.folds import cross_validate
from sweeps.run.works.found import Asked, Found
from sweeps.run.works.searching import search
from sweeps.run.works.timing import multiply, train_once
from sweeps.spec.works import FitWork, FoldsWork, ProductWork, SearchWork, SpeedWork

WORK_FUNCTIONS: Mapping[type, Callable[[Any, Asked], Found]] = MappingProxyType(
    {SearchWork: search, FitWork: fit, SpeedWork: train_once, ProductWork: multiply, FoldsWork: cross_validate}
)
"""By the classes of `sweeps.spec.works.WORKS`."""


def do_work(work: Any, asked: Asked) -> Found:
    """Return what a cell's work finds."""
    return WORK_FUNCTIONS[type(work)](work, asked)
