"""All trials of a report as plain values: columns, rows, and what the pages of some of them have beyond that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Value = str | float | None


@dataclass(frozen=True, slots=True)
class TrialColumn:
    """One column of the table of trials.

    Parameters
    ----------
    key : str
        Name in the CSV file, and what the page's script knows a column of figures by.
    title : str
        Heading for the reader.
    kind : str
        ``"text"``; ``"figure"``, shown in three digits as everywhere in the report; ``"value"``, shown in the fewest
        digits that give it again.
    part : str
        ``"name"``, ``"result"`` or ``"setting"``: parallel coordinates and slices are of settings.
    in_table : bool
        Whether it is a column of the table; a plot may need what the table says in another way.
    """

    key: str
    title: str
    kind: Literal["text", "figure", "value"]
    part: Literal["name", "result", "setting"]
    in_table: bool = True


@dataclass(frozen=True, slots=True)
class TrialSurface:
    """Mean predictions on a square grid, lowest row first, and the corners of the training box.

    Parameters
    ----------
    half_width : float
        The grid goes from minus to plus this in both inputs.
    side : int
        Points a side.
    levels : str
        Hexadecimal, two digits a point: 00 is -1, ff is +1.
    box : tuple of float
        Lowest and highest x1, lowest and highest x2 of the training range.
    n : int
        Networks behind the mean.
    """

    half_width: float
    side: int
    levels: str
    box: tuple[float, float, float, float]
    n: int


@dataclass(frozen=True, slots=True)
class TrialPage:
    """What a trial's own page has beyond its row.

    Parameters
    ----------
    row : int
        Its row.
    setting : str
        All of it, as it can be typed in again.
    replicas : dict of str to list
        Seeds, and losses one by one.
    curves : dict of str to list
        Epochs, and losses by epoch.
    url : str
        The Playground page's, or empty.
    notes : tuple of str
        How it ended, and by which digest it is known.
    surface : TrialSurface or str
        Or why there is none.
    """

    row: int
    setting: str
    replicas: dict[str, list[Any]]
    curves: dict[str, list[Any]]
    url: str
    notes: tuple[str, ...]
    surface: TrialSurface | str


@dataclass(frozen=True, slots=True)
class Workbench:
    """All trials of some studies, to be sorted, filtered and opened on the page; without scripts, nothing.

    Parameters
    ----------
    name : str
        Of the CSV file, without its ending.
    columns : tuple of TrialColumn
    rows : tuple of tuple
        A value for each column, None where there is none.
    keys : tuple of str
        Each row's address on the page, without the leading ``#``.
    commands : tuple of str
        What trains each row's setting again, or why nothing does.
    uids : tuple of str
        How MLflow knows each row.
    pages : tuple of TrialPage
    goal : float or None
        Where it is one and the same for all.
    """

    name: str
    columns: tuple[TrialColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    keys: tuple[str, ...]
    commands: tuple[str, ...]
    uids: tuple[str, ...]
    pages: tuple[TrialPage, ...] = field(default=())
    goal: float | None = None
