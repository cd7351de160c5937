"""The seed whose networks a polynomial study's report shows, and their curves as a table."""

from __future__ import annotations

import numpy as np

from analysis.formats.blocks import (
    ReportColumn,
    ReportTable,
)
from analysis.polynomial.question import (
    ARMS,
    FloatArray,
    Networks,
    Question,
)
from engine.polynomial.rows import PolynomialRows

CURVE_POINTS = 161


def shown_moment(question: Question) -> tuple[list[Networks], int] | None:
    """Return both arms under their own recipes, and the place of the first seed in which both converged."""
    own = [question.own(arm) for arm in ARMS]
    both = np.flatnonzero(own[0].converged & own[1].converged)
    return (own, int(both[0])) if len(both) else None


def ends_of(rows: PolynomialRows) -> tuple[float, float]:
    """Return the smallest and the largest training input."""
    return float(rows.X.min()), float(rows.X.max())


def curve_inputs(rows: PolynomialRows) -> FloatArray:
    """Return evenly spread inputs over the training and the stretched range."""
    low = min(float(rows.X_stretched.min()), float(rows.X.min()))
    return np.linspace(low, max(float(rows.X_stretched.max()), float(rows.X.max())), CURVE_POINTS)


def curves_table(name: str, x: FloatArray, curves: dict[str, FloatArray], ends: tuple[float, float]) -> ReportTable:
    """Return curves as the numbers behind a picture: a column each, and whether x is in range."""
    columns = (
        ReportColumn("x", "x"),
        ReportColumn("in_range", "In range", "text"),
        *(ReportColumn(key, key) for key in curves),
    )
    rows = tuple(
        (float(x[i]), "yes" if ends[0] <= x[i] <= ends[1] else "no", *(float(curve[i]) for curve in curves.values()))
        for i in range(len(x))
    )
    return ReportTable(name, "", columns, rows)
