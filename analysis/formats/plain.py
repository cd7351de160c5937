"""Plain text, for terminals and text files: tables and intervals."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.statistics.intervals import Interval


def interval_text(interval: Interval, digits: int = 4) -> str:
    """Return ``"0.0834 [0.0829, 0.0839]"``, or why there is no figure."""
    if interval.estimate is None:
        return interval.reason or "not measured"
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.{digits}f} (no interval: {interval.reason})"
    return f"{interval.estimate:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def aligned_text(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table whose columns are as wide as their widest cell."""
    lines = [columns, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
