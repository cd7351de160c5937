"""Dates that are not written as ISO 8601: day first where a day above 12 proves it, or as somebody says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sweeps.data.table.table import Table, TableError

_SHAPE = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})(?:([ T])([0-9]{1,2}:[0-9]{2})(:[0-9]{2})?( ?[AaPp][Mm])?)?"
)
DAY_FIRST, MONTH_FIRST = "%d{0}%m{0}%Y", "%m{0}%d{0}%Y"


def with_dates(table: Table, date_format: str = "") -> Table:
    """Return a table whose columns of dates are ISO 8601, with the format that each was written in.

    Parameters
    ----------
    table : Table
        As it was read; its columns of text are looked at.
    date_format : str
        ``"%d/%m/%Y"`` and the like: every column that is written so holds dates. Empty: those with one separator, the
        year last, and a day above 12, which tells day from month.

    Raises
    ------
    TableError
        If no column is written in `date_format`.
    """
    formats: dict[str, str] = {}
    notes: list[str] = []
    for name in map(str, table.frame.columns):
        series = table.frame[name]
        if series.dtype != object or not series.notna().any():
            continue
        if date_format:
            if _read(series, date_format) is not None:
                formats[name] = date_format
                notes.append(f"column {name!r}: dates written as {date_format}")
            continue
        found, note = _recognized(name, series)
        notes += [note] if note else []
        if found:
            formats[name] = found
    if date_format and not formats:
        texts = [name for name in table.frame.columns if table.frame[name].dtype == object]
        shown = f"column {texts[0]!r} has {table.frame[texts[0]].dropna().iloc[0]!r}" if texts else "no column is text"
        raise TableError(f"{table.source}: --date-format {date_format}: no column is written so; {shown}")
    if not formats and not notes:
        return table
    frame = convert_dates(table.frame, formats)
    return dataclasses.replace(table, frame=frame, notes=(*table.notes, *notes), date_formats=tuple(formats.items()))


def convert_dates(frame: pd.DataFrame, formats: Mapping[str, str]) -> pd.DataFrame:
    """Return the frame with the named columns as ISO 8601 text.

    Raises
    ------
    TableError
        If a cell is not written in its column's format; the message names it.
    """
    frame = frame.copy(deep=False)
    for name, date_format in formats.items():
        if name not in frame.columns or frame[name].dtype != object:
            continue
        times = _read(frame[name], date_format)
        if times is None:
            parsed = pd.to_datetime(frame[name], format=date_format, errors="coerce")
            bad = frame[name][parsed.isna() & frame[name].notna()].iloc[0]
            raise TableError(f"column {name!r}: {bad!r}; expected dates written as {date_format}")
        plain = bool((times.dropna() == times.dropna().dt.normalize()).all())
        text = times.dt.strftime("%Y-%m-%d" if plain else "%Y-%m-%dT%H:%M:%S")
        frame[name] = text.astype(object).where(times.notna(), other=float("nan"))
    return frame


def _read(series: pd.Series[Any], date_format: str) -> pd.Series[Any] | None:
    try:
        times = pd.to_datetime(series.map(str.strip, na_action="ignore"), format=date_format, errors="raise")
    except (ValueError, TypeError):
        return None
    return times if times.dt.tz is None else times.dt.tz_convert("UTC").dt.tz_localize(None)


def _recognized(name: str, series: pd.Series[Any]) -> tuple[str, str]:
    """Return the format of a column, or empty, and what to tell its reader."""
    shapes = [_SHAPE.fullmatch(str(cell).strip()) for cell in pd.unique(series.dropna())]
    found = [shape for shape in shapes if shape is not None]
    kinds = {(s[2], len(s[4]), s[5], s[7] is None, (s[8] or "")[:1] == " ", s[8] is None) for s in found}
    if len(found) < len(shapes) or len(kinds) != 1:
        return "", ""
    separator, n_digits, before, no_seconds, blank, no_half = kinds.pop()
    hours = "%H:%M" if no_half else "%I:%M"
    time = "" if before is None else before + hours + ("" if no_seconds else ":%S")
    time += "" if no_half else " %p" if blank else "%p"
    year = "%Y" if n_digits == 4 else "%y"
    day_first, month_first = (text.format(separator).replace("%Y", year) + time for text in (DAY_FIRST, MONTH_FIRST))
    may = [max(int(shape[k]) for shape in found) for k in (1, 3)]
    if may[0] > 12 >= may[1]:
        date_format, proof = day_first, max(found, key=lambda shape: int(shape[1]))[0]
    elif may[1] > 12 >= may[0]:
        date_format, proof = month_first, max(found, key=lambda shape: int(shape[3]))[0]
    else:
        ways = f"--date-format '{day_first}' or '{month_first}'"
        unsure = f"column {name!r}: {found[0][0]!r} may have the day first or the month: say {ways}"
        return "", unsure if max(may) <= 12 else ""
    if _read(series, date_format) is None:
        return "", ""
    return date_format, f"column {name!r}: dates written as {date_format} ({proof!r} can be nothing else)"
