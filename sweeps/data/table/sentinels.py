"""Values that may stand for a missing one: far from all others, and there again and again. Named, never changed.

A value is named where it is the least or the greatest of its column, recurs, and lies three times as far from the
next one as the others spread, or once as far where only it is negative (-200 among 0.1 to 12). Where it is written as
such codes are (-9, -99, 999, 9999, ..., or the end of all dates), a quarter does, and the sign alone where all others
are at or above 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import Column, dates_of

_FEWEST_VALUES = 5
"""Different values besides, without which nothing is far from the rest."""
_MOST_CODES = 3
_CODE_DATES = ("9999-12-31", "2999-12-31", "2099-12-31", "1900-01-01", "1970-01-01", "0001-01-01", "1899-12-30")


def find_sentinels(frame: pd.DataFrame, columns: Sequence[Column], target: str) -> list[str]:
    """Return a note for every value that is likely a code for a missing one.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    columns : sequence of Column
        Its columns with their roles; numbers and dates among them are looked at.
    target : str
        Name of the target, which is looked at where it is a number.
    """
    dates = [column.name for column in columns if column.role == "date"]
    numbers = [column.name for column in columns if column.role == "number"]
    if frame[target].dtype.kind in "if":
        numbers.insert(0, target)
    notes = []
    for name in numbers:
        values = frame[name].to_numpy(np.float64)
        for code, n in codes_of(values):
            notes.append(_note(name, f"{code:.15g}", n, int(np.isfinite(values).sum())))
    for name in dates:
        days = dates_of(frame[name])
        for code, n in codes_of(days, _code_days()):
            first = frame[name][int(np.flatnonzero(days == code)[0])]
            notes.append(_note(name, str(first).strip(), n, int(np.isfinite(days).sum())))
    return notes


def codes_of(values: npt.NDArray[np.float64], codes: frozenset[float] = frozenset()) -> list[tuple[float, int]]:
    """Return the values that are likely codes for a missing one, and how often each is there.

    Parameters
    ----------
    values : ndarray (n,)
        Of one column, NaN where missing.
    codes : frozenset of float
        Values that are written as codes are, beside those of nines.
    """
    distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    found: list[tuple[float, int]] = []
    while len(found) < _MOST_CODES and len(distinct) > _FEWEST_VALUES:
        ends = [k for k in (0, len(distinct) - 1) if counts[k] > 1 and _is_far(distinct, k, codes)]
        if not ends:
            break
        k = max(ends, key=lambda end: abs(distinct[end] - distinct[1 if end == 0 else end - 1]))
        found.append((float(distinct[k]), int(counts[k])))
        distinct, counts = np.delete(distinct, k), np.delete(counts, k)
    return found


def _is_far(distinct: npt.NDArray[np.float64], k: int, codes: frozenset[float]) -> bool:
    rest = np.delete(distinct, k)
    value = float(distinct[k])
    gap = float(np.abs(rest - value).min())
    share = 1.0 if value < 0 <= rest[0] else 3.0
    if value in codes or _is_code(value):
        share = 0.0 if value < 0 <= rest[0] else 0.25
    return gap > share * float(rest[-1] - rest[0])


def _is_code(value: float) -> bool:
    """Whether a number is written as codes for missing ones are: nothing but nines (or -1)."""
    text = f"{abs(value):.15g}".replace(".", "")
    nines = set(text) == {"9"} and (value < 0 or len(text) > 1)
    return value == -1 or nines or text in ("888", "777", "8888", "7777")


def _code_days() -> frozenset[float]:
    return frozenset(dates_of(pd.Series(list(_CODE_DATES), dtype=object)).tolist())


def _note(name: str, code: str, n: int, n_present: int) -> str:
    return (
        f"column {name!r}: {code} in {n} of {n_present} cells, far from all others: a code for missing? It is "
        f"taken for a value; --missing {code} reads it as missing"
    )
