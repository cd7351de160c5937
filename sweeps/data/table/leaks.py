"""Columns that give the target away: exactly (a sum, a product, another unit) or nearly (a copy with noise).

A leak and an easy problem look alike in one figure, a small error. Two things tell them apart, and both are asked:

exactness
    What was computed from other columns fits to the last digit written down; what was measured does not. An exact fit
    of numbers by few columns, or a one-to-one recoding of the classes, is named whatever the other columns can do.
a gap
    What fits nearly, or separates the classes, is named only where *all other columns together* do much worse. In an
    easy problem they do not: every petal tells a setosa, and the sepals tell it too.

Where the columns that give the target are all there are, the formula is the problem itself (y = x² on a grid, force =
mass times acceleration): it is said and nothing is withheld. A noise-free law with idle columns beside it cannot be
told from a leak by any look at the rows; whoever knows gives ``--allow-leak``.

Errors are root mean squares over rows that were not fitted (five folds) in standard deviations of the target, or shares
of wrong rows with each class weighing the same. The limits come from ``python -m benchmarks.leaks``; see
``docs/tables.md``. Only rows that are no test rows are looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.class_leaks import find_class_leaks
from sweeps.data.table.columns import Column, Target
from sweeps.data.table.leak_columns import LeakColumns, error_of, fold_numbers, joined, leak_columns, rest_error
from sweeps.data.table.leak_formulas import Formula, find_formula, single_error

MOST_ROWS = 4_000
"""Rows looked at, drawn by a fixed draw from more."""
FEWEST_ROWS = 20
MOST_FORMULAS = 5
NEAR = 0.1
"""A fit by one or two columns with at most this error (R² 0.99) is suspect ..."""
GAP = 3.0
"""... where all other columns leave at least this many times as much."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Columns that give the target away.

    Parameters
    ----------
    columns : tuple of str
        The smallest set found that does it.
    text : str
        For instance ``"total = casual + registered, exactly"``.
    is_whole : bool
        Whether there is no other column to learn from: then it is the problem itself.
    """

    columns: tuple[str, ...]
    text: str
    is_whole: bool


def find_leaks(frame: pd.DataFrame, columns: Sequence[Column], target: Target) -> tuple[Leak, ...]:
    """Return what gives the target away, the simplest first; nothing random that a fixed number does not settle.

    Parameters
    ----------
    frame : DataFrame (n, n_columns)
        Rows that are no test rows.
    columns : sequence of Column
        The columns beside the target; those that no network sees give nothing away.
    target : Target
        With the values of these rows.
    """
    from threadpoolctl import threadpool_limits

    if len(frame) < FEWEST_ROWS:
        return ()
    chosen = some_rows(np.arange(len(frame)))
    values = target.values[chosen]
    frame = frame.iloc[chosen]
    found = leak_columns(frame, columns)
    others = {column.name for column in columns if column.role not in ("constant", "identifier")}
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if target.task == "classification":
            leaks = find_class_leaks(found, values, target)
            numbers = _class_numbers(target, values)
            if not leaks and numbers is not None:
                leaks = [(one.columns, one.text(target.name)) for one in _exact(found, numbers)]
        else:
            leaks = [(one.columns, one.text(target.name)) for one in _exact(found, values)]
            leaks = leaks or _near(found, values, target.name)
    return tuple(Leak(names, text, not others - set(names)) for names, text in leaks)


def some_rows(numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return at most `MOST_ROWS` of these row numbers, drawn by a fixed draw and in their order."""
    if len(numbers) <= MOST_ROWS:
        return numbers
    return np.sort(np.random.default_rng(0).permutation(numbers)[:MOST_ROWS])


def _class_numbers(target: Target, values: np.ndarray) -> np.ndarray | None:
    """Return the classes as the numbers that they are named by; None where they are words or only two."""
    try:
        numbers = np.array([float(name) for name in target.classes])
    except ValueError:
        return None
    return numbers[values.astype(np.intp)] if len(numbers) > 2 else None


def _exact(found: LeakColumns, y: np.ndarray) -> list[Formula]:
    """Return formulas that give the numbers exactly, each of columns that the earlier ones do not need."""
    formulas: list[Formula] = []
    left = found
    while len(formulas) < MOST_FORMULAS:
        one = find_formula(left, y)
        if one is None:
            break
        formulas.append(one)
        left = left.without(one.columns)
    return formulas


def _near(found: LeakColumns, y: np.ndarray, name: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the columns that nearly give the numbers, where all others together do much worse."""
    folds = fold_numbers(len(y))
    errors = {column: single_error(found, column, y, folds) for column in found.names}
    copies = {column: error for column, error in errors.items() if error <= NEAR}
    if copies:
        best = min(copies, key=lambda column: (copies[column], column))
        rest = rest_error(found.without(tuple(copies)), y, folds, None)
        if rest < GAP * copies[best]:
            return []
        others = [column for column in copies if column != best]
        beside = f" (so does {joined(others[:3])})" if others else ""
        return [((best,), f"{name} nearly follows from {joined([best])} alone{beside}: {error_of(copies[best], rest)}")]
    pair = find_formula(found, y, limit=NEAR, most_columns=2)
    if pair is None:
        return []
    rest = rest_error(found.without(pair.columns), y, folds, None)
    if rest < GAP * pair.error:
        return []
    return [(pair.columns, f"{name} nearly follows from {joined(pair.columns)}: {error_of(pair.error, rest)}")]
