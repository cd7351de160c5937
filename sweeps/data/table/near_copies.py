"""Rows that are copies but for a tiny jitter: measured twice, saved with other digits, disturbed on purpose.

Distances between rows drawn from any density fill every scale: where some are below t, there are twice as many or more
between t and 3 t. Copies leave a gap there: distances of the size of the jitter, then none, then those of other rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweeps.data.table.columns import Column, booleans_of
from sweeps.data.table.units import first_rows, is_running, numbered

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]

MOST_ROWS = 200_000
"""Of more rows none are looked for."""
FEWEST_COPIES = 10
LARGEST_FAMILY = 20
"""Rows on average; more that lie together are a cluster, as where all else comes in steps, and no copies."""
_LEAST_SHARE = 0.02
_GAP = 3.0
_MOST_WITHIN = 0.25
"""Distances in the gap for one below it; of a density there are at least 2."""
_LARGEST_JITTER = 0.05
"""In standard deviations of a column."""
_NEIGHBOURS = 12
_DIRECTIONS = 6
"""Onto which rows are projected to find neighbours: what is near remains near."""
_MOST_ASKED = 4_000
_APART = 100.0


def find_near_copies(
    frame: pd.DataFrame, columns: Sequence[Column], equal: Rows, n_known: int | None = None
) -> Rows | None:
    """Return units of rows that are equal but for a jitter in numbers, equal ones included; None where there are none.

    Parameters
    ----------
    frame : DataFrame
        All rows.
    columns : sequence of Column
        Those used are compared: numbers in units of their standard deviations, all else must be equal. A running number
        or a date does not count.
    equal : ndarray (n_rows,) of int
        Units of equal rows, numbered 0, 1, ...
    n_known : int, optional
        The first rows, from which it is told what counts as near; default all.

    Returns
    -------
    ndarray (n_rows,) of int or None
    """
    n_known = len(frame) if n_known is None else n_known
    first = first_rows(equal)
    if not 4 * FEWEST_COPIES <= len(first) <= MOST_ROWS:
        return None
    X = _positions(frame, columns, n_known)
    if X is None:
        return None
    largest = _LARGEST_JITTER * np.sqrt(X.shape[1])
    distances, neighbours = _nearest(X[first], largest)
    known = first < n_known
    reach = _reach_of_jitter(distances[known], largest)
    if reach is None:
        return None
    families = _linked(distances < reach, neighbours)
    sizes = np.bincount(families)
    copied = sizes[sizes > 1]
    if copied.sum() < max(FEWEST_COPIES, _LEAST_SHARE * len(first)) or copied.mean() > LARGEST_FAMILY:
        return None
    if copied.max() > max(5 * LARGEST_FAMILY, len(first) // 20) or len(sizes) < FEWEST_COPIES:
        return None
    return numbered(families[equal])


def _positions(frame: pd.DataFrame, columns: Sequence[Column], n_known: int) -> FloatArray | None:
    """Return the rows as points: numbers standardized, everything else in steps far larger than any jitter."""
    known = frame.iloc[:n_known]
    points, n_numbers = [], 0
    for column in columns:
        if not column.used or column.role == "date" or is_running(known[column.name], column):
            continue
        series = frame[column.name]
        if column.role == "number":
            values = series.to_numpy(np.float64)
            spread = float(np.nanstd(values[:n_known]))
            if not spread > 0 or not np.isfinite(spread):
                continue
            missing = ~np.isfinite(values)
            values = np.where(missing, -_APART, (values - np.nanmean(values[:n_known])) / spread)
            n_numbers += column.n_distinct > FEWEST_COPIES
        elif column.role == "boolean":
            values = _APART * np.nan_to_num(booleans_of(series), nan=2.0)
        else:
            values = _APART * pd.factorize(series)[0]
        points.append(values)
    return np.column_stack(points) if n_numbers else None


def _nearest(X: FloatArray, largest: float) -> tuple[FloatArray, Rows]:
    """Return the distances and numbers of each row's nearest others, ascending, (n, k); of neighbours in a projection.

    A projection never lengthens a distance, so that copies remain neighbours; others that seem near are found not to be
    by their full distance.
    """
    from scipy.spatial import cKDTree

    n, d = X.shape
    seen = X
    if d > _DIRECTIONS:
        directions = np.linalg.qr(np.random.default_rng(0).normal(size=(d, _DIRECTIONS)))[0]
        seen = X @ directions
    k = min(_NEIGHBOURS, n - 1)
    tree = cKDTree(seen)
    if n > _MOST_ASKED:  # ask some of the rows first, and all where copies are among them
        some = np.sort(np.random.default_rng(1).permutation(n)[:_MOST_ASKED])
        distances, _ = _asked(tree, X, seen, some, k)
        if _reach_of_jitter(distances, largest) is None:
            return np.full((n, 1), np.inf), np.zeros((n, 1), np.intp)
    return _asked(tree, X, seen, np.arange(n), k)


def _asked(tree: object, X: FloatArray, seen: FloatArray, rows: Rows, k: int) -> tuple[FloatArray, Rows]:
    found = np.asarray(tree.query(seen[rows], k + 1)[1], np.intp)  # type: ignore[attr-defined]
    distances = np.sqrt(((X[found] - X[rows][:, None]) ** 2).sum(axis=2))
    distances[found == rows[:, None]] = np.inf
    order = np.argsort(distances, axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(found, order, axis=1)


def _reach_of_jitter(distances: FloatArray, largest: float) -> float | None:
    """Return the distance between the two sides of the gap that jitter leaves, or None where there is none."""
    nearest = np.sort(distances[np.isfinite(distances) & (distances < _APART / 2)])
    if len(nearest) < FEWEST_COPIES:
        return None
    below = np.arange(1, len(nearest) + 1)
    within = np.searchsorted(nearest, _GAP * nearest, side="right") - below
    least = max(2 * FEWEST_COPIES, _LEAST_SHARE * len(distances))
    share = np.where(below >= least, within / below, np.inf)
    # Pairs farther apart than the last neighbours are not all among those asked for.
    seen = nearest <= min(largest, float(np.median(distances[:, -1])) / _GAP)
    share = np.where(seen, share, np.inf)
    best = int(np.argmin(share))
    return float(nearest[best] * np.sqrt(_GAP)) if share[best] <= _MOST_WITHIN else None


def _linked(near: npt.NDArray[np.bool_], neighbours: Rows) -> Rows:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(near)
    row, place = np.nonzero(near)
    links = coo_matrix((np.ones(len(row)), (row, neighbours[row, place])), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], np.intp)
