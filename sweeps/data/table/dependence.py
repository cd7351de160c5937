"""Whether the rows of a table depend on each other, and what follows for their division.

Everything is found before the rows are divided, from the rows alone, and written into the sweep's own spec.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from sweeps.data.table.columns import Column, Target
from sweeps.data.table.settings import APART, AUTO, TOGETHER, TableData
from sweeps.data.table.units import find_equal_rows


def settle_dependence(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target
) -> TableData:
    """Return the settings with the rows' dependence settled.

    Parameters
    ----------
    data : TableData
        What was said, the task settled.
    frame : DataFrame
        The table's rows.
    columns : tuple of Column
        From `sweeps.data.table.columns.find_columns`.
    target : Target
        Of the same rows.
    """
    return _settle_equal_rows(data, frame, columns, target)


def _settle_equal_rows(
    data: TableData, frame: pd.DataFrame, columns: tuple[Column, ...], target: Target
) -> TableData:
    equal = find_equal_rows(frame, columns, target)
    n = len(frame)
    if not equal.n_repeated:
        return dataclasses.replace(data, equal_rows=TOGETHER)
    text = f"{equal.n_repeated} of {n} rows have an equal one ({equal.n_distinct} different rows)"
    if equal.together and data.equal_rows != APART:
        return _told(
            data,
            f"{text}: equal rows stay on one side of every division, and count as one",
            equal_rows=TOGETHER,
        )
    if equal.together:
        return _told(data, f"{text}: divided like others, as asked", suspected="equal rows are on both sides")
    if equal.copied > 1:
        return _told(
            data,
            f"{text}, each at least {equal.copied} times: too few to be kept apart",
            equal_rows=APART,
            suspected=f"every row is there {equal.copied} times or more",
        )
    return _told(
        data,
        f"{text}: the inputs have so few different values that equal rows are on both sides of divisions",
        equal_rows=APART,
    )


def _told(data: TableData, line: str, *, suspected: str = "", equal_rows: str | None = None) -> TableData:
    """Return the settings with another line of what was found."""
    return dataclasses.replace(
        data,
        found=(*data.found, line),
        suspected="; ".join(text for text in (data.suspected, suspected) if text),
        equal_rows=data.equal_rows if equal_rows is None else equal_rows,
    )
