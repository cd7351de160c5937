"""Columns that give the target away: exactly (a sum, a product, another unit) or nearly (a copy with noise).

A leak and an easy problem look alike in one figure, a small error. Two things tell them apart, and both are asked:

exactness
    What was computed from other columns fits to the last digit written down; what was measured does not. An exact fit
    of numbers by few columns, or a one-to-one recoding of the classes, is named whatever the other columns can do.
a gap
    What fits nearly, or separates the classes, is named only where *all other columns together* do much worse. In an
    easy problem they do not: every petal tells a setosa, and the sepals tell it too.

names
    A strong honest predictor (an area beside a price) and a copy of the target with noise leave the same figures. What
    nearly gives the target is taken for a leak where it leaves next to nothing, or where its name says that it is the
    target or comes after it (``price_final``); else it is said, and nothing is withheld. An earlier value of the
    target, by its name (``price_last_month``, ``2020-05`` beside ``2020-06``), is none.

Where the columns that give the target are all there are, the formula is the problem itself (y = x² on a grid, force =
mass times acceleration): it is said and nothing is withheld. A noise-free law with idle columns beside it cannot be
told from a leak by any look at the rows; whoever knows gives ``--allow-leak``.

Errors are root mean squares over rows that were not fitted (five folds) in standard deviations of the target, or shares
of wrong rows with each class weighing the same. The limits come from ``python -m benchmarks.leaks``; see
``docs/tables.md``. Only rows that are no test rows are looked at.
"""

from __future__ import annotations

import re
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
SURE = 0.05
"""... and up to this error (R² 0.9975) a leak whatever it is called ..."""
GAP = 3.0
"""... where all other columns leave at least this many times as much."""
_LATER = frozenset(
    ("after", "afterwards", "later", "next", "final", "end", "ending", "post", "result", "outcome", "actual", "paid")
)
_EARLIER = frozenset(
    (
        "last",
        "prev",
        "previous",
        "lag",
        "lagged",
        "before",
        "earlier",
        "yesterday",
        "past",
        "prior",
        "initial",
        "baseline",
    )
)


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
    is_sure : bool
        Whether it can hardly be an honest predictor.
    """

    columns: tuple[str, ...]
    text: str
    is_whole: bool
    is_sure: bool = True


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
            if not leaks:
                return tuple(
                    Leak(names, text, not others - set(names), is_sure=_is_sure(names, error, target.name))
                    for names, text, error in _near(found, values, target.name)
                )
    return tuple(Leak(names, text, not others - set(names)) for names, text in leaks)


def _is_sure(names: Sequence[str], error: float, target: str) -> bool:
    """Whether columns that nearly give the target are a leak, by what they leave and what they are called."""
    if len(names) == 1 and _is_earlier(names[0], target):
        return False
    return error <= SURE or any(_is_of_target(name, target) for name in names)


def _is_earlier(name: str, target: str) -> bool:
    """Whether a column is called an earlier value of the target: its name with smaller numbers, or a word for it."""
    skeletons = [re.sub("[0-9]+", "#", one) for one in (name, target)]
    numbers = [[int(digits) for digits in re.findall("[0-9]+", one)] for one in (name, target)]
    if skeletons[0] == skeletons[1] and numbers[0] < numbers[1]:
        return True
    return bool(_words(name) & _EARLIER)


def _is_of_target(name: str, target: str) -> bool:
    """Whether a column is called after the target, or as what comes after it."""
    words = _words(name)
    return bool(words & _LATER or words & {word for word in _words(target) if len(word) > 2})


def _words(name: str) -> set[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return {word.casefold() for word in re.findall(r"[^\W\d_]+", spaced)}


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


def _near(found: LeakColumns, y: np.ndarray, name: str) -> list[tuple[tuple[str, ...], str, float]]:
    """Return the columns that nearly give the numbers, where all others together do much worse, and their error."""
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
        text = f"{name} nearly follows from {joined([best])} alone{beside}: {error_of(copies[best], rest)}"
        return [((best,), text, copies[best])]
    pair = find_formula(found, y, limit=NEAR, most_columns=2)
    if pair is None:
        return []
    rest = rest_error(found.without(pair.columns), y, folds, None)
    if rest < GAP * pair.error:
        return []
    text = f"{name} nearly follows from {joined(pair.columns)}: {error_of(pair.error, rest)}"
    return [(pair.columns, text, pair.error)]
