"""The trials of a report as its page's own script takes them, and as a CSV file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from analysis.formats.blocks import Missing, ReportColumn, ReportTable, printable
from analysis.formats.cells import PLAYGROUND
from analysis.formats.trial_rows import TrialColumn, TrialPage, Value, Workbench


def workbench_table(bench: Workbench) -> ReportTable:
    """Return the same columns and rows as a table."""
    return ReportTable(
        bench.name,
        "",
        tuple(ReportColumn(one.key, one.title, "text" if one.kind == "text" else "number") for one in bench.columns),
        tuple(tuple(Missing("") if value is None else value for value in row) for row in bench.rows),
    )


def workbench_json(bench: Workbench, csv_name: str) -> str:
    """Return the trials as JSON that can stand inside a ``script`` element: no ``<``, ``>`` or ``&`` in it."""
    data = {
        "csv": csv_name,
        "goal": bench.goal,
        "columns": [
            {
                "key": column.key,
                "title": printable(column.title),
                "kind": column.kind,
                "part": column.part,
                "shown": column.in_table,
                **_packed(column, [row[k] for row in bench.rows]),
            }
            for k, column in enumerate(bench.columns)
        ],
        "keys": bench.keys,
        "commands": [printable(command) for command in bench.commands],
        "uids": [printable(uid) for uid in bench.uids],
        "pages": [_page_data(page) for page in bench.pages],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(column: TrialColumn, values: Sequence[Value]) -> dict[str, Any]:
    """Return a column's values: text as numbers into its own list, figures in as many digits as tell the same."""
    if column.kind == "text":
        texts = ["" if value is None else printable(str(value)) for value in values]
        levels = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        return {"levels": list(levels), "codes": [levels[text] for text in texts]}
    numbers = [value if isinstance(value, int | float) else None for value in values]
    return {"values": numbers if column.kind == "value" else compact(numbers)}


def compact(values: Sequence[float | None], digits: int = 6) -> list[float | None]:
    """Return figures in few digits, or in all where few would make the report say another number; finite ones only.

    The report says three digits. Rounding twice says another number at a tie that the first rounding made, and another
    number of digits at a power of ten that it reached; numbers from 100 on are said without decimals.
    """
    power, tie = "1." + "0" * (digits - 1), "5" + "0" * (digits - 4)
    result: list[float | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            result.append(None)
            continue
        text = f"{abs(value):.{digits - 1}e}"
        is_whole = isinstance(value, int) or abs(value) >= 100 or float(text).is_integer()
        keeps_all = is_whole or text.startswith(power) or (digits > 3 and text[4 : digits + 1] == tie)
        result.append(value if keeps_all else math.copysign(float(text), value))
    return result


def _page_data(page: TrialPage) -> dict[str, Any]:
    surface: dict[str, Any] | str = (
        printable(page.surface)
        if isinstance(page.surface, str)
        else {
            "half": page.surface.half_width,
            "side": page.surface.side,
            "levels": page.surface.levels,
            "box": page.surface.box,
            "n": page.surface.n,
        }
    )
    return {
        "row": page.row,
        "setting": printable(page.setting),
        "replicas": {key: _listed(values) for key, values in page.replicas.items()},
        "curves": {key: _listed(values) for key, values in page.curves.items()},
        "url": printable(page.url) if page.url.startswith(PLAYGROUND) else "",
        "notes": [printable(note) for note in page.notes],
        "surface": surface,
    }


def _listed(values: Sequence[Any]) -> list[Any]:
    if any(isinstance(value, str) for value in values):
        return [printable(str(value)) for value in values]
    return list(compact(values, 3))  # as they are read: nothing is computed from them
