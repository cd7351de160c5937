"""What the sizes of the classes settle: what is said first, and by which metric networks are compared."""

from __future__ import annotations

import numpy as np

from sweeps.data.table.leak_columns import shown
from sweeps.data.table.metrics import BEAT_BASELINE, METRICS
from sweeps.data.table.rows import TableRows

UNBALANCED = 0.8
"""A class with at least this share of the rows makes a target unbalanced: a constant is right that often."""
_MOST_NAMED = 3


def unbalanced_metric(rows: TableRows) -> str | None:
    """Return the metric of a goal that names none where one class has most rows; None where none has.

    A constant has 1 / (number of classes) in it, whatever their sizes.
    """
    if rows.target.task != "classification" or _sizes(rows).max() < UNBALANCED * _sizes(rows).sum():
        return None
    return "average_precision" if len(rows.target.classes) == 2 else "balanced_accuracy"


def class_findings(rows: TableRows, n_folds: int, goal: str) -> tuple[str, ...]:
    """Return what must be said of the classes first.

    Parameters
    ----------
    rows : TableRows
        As they are divided.
    n_folds : int
        Classes of fewer rows are not in every fold.
    goal : str
        The settled goal, where it follows from the classes' sizes; else empty.
    """
    if rows.target.task != "classification":
        return ()
    found = [_rare_text(rows, n_folds)] if _rare(rows, n_folds) else []
    if goal:
        sizes, name = _sizes(rows), shown(rows.target.name)
        largest = int(np.argmax(sizes))
        metric = METRICS[goal.removeprefix(f"{BEAT_BASELINE} in ")]
        found.append(
            f"{sizes[largest]} of {sizes.sum()} rows have {name} {rows.target.classes[largest]!r}, so always saying so "
            f"has an accuracy of {sizes[largest] / sizes.sum():.3f}; the goal is {metric.title}, where a constant has "
            f"{1 / len(sizes):.2g} (another with --goal)"
        )
    return tuple(found)


def _sizes(rows: TableRows) -> np.ndarray:
    """Return the rows of each class whose targets are known."""
    known = rows.target.values[~np.isnan(rows.target.values)].astype(np.intp)
    return np.bincount(known, minlength=len(rows.target.classes))


def _folded(rows: TableRows) -> np.ndarray:
    return np.bincount(rows.target.values[rows.folded].astype(np.intp), minlength=len(rows.target.classes))


def _rare(rows: TableRows, n_folds: int) -> list[int]:
    sizes = _folded(rows)
    return sorted(np.flatnonzero(sizes < n_folds).tolist(), key=lambda k: (int(sizes[k]), k))


def _rare_text(rows: TableRows, n_folds: int) -> str:
    rare, all_rows, folded = _rare(rows, n_folds), _sizes(rows), _folded(rows)
    parts = []
    for k in rare[:_MOST_NAMED]:
        class_name = repr(rows.target.classes[k])
        if all_rows[k] == 1:
            parts.append(f"{class_name} has one row, which is learnt from or tested on, never both")
        else:
            parts.append(f"{class_name} has {all_rows[k]} rows, {folded[k]} of them for {n_folds} folds")
    more = f"; and {len(rare) - _MOST_NAMED} more such classes" if len(rare) > _MOST_NAMED else ""
    return (
        f"{shown(rows.target.name)}: too rare for every fold: {'; '.join(parts)}{more}; what is said of so few rows is "
        "hardly tested: join them with another class, or leave them out"
    )
