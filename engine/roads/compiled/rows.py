"""Lanes with fewer training points than others: the end of an epoch once for each number, and each lane takes its own.

Replicas of one group may have a few points more or less (folds of a table). Up to the last chunk that all of them fill
they go together. From there the epoch's end runs once for each number of points, from the same state, and every lane
keeps what its own number gave. So no sum has a term more, and no byte of any lane depends on its neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.compiling.decorators import inner
from engine.roads.compiled.vectors import load, offset, splat, store, where_greater

NO_END = -1
"""Fills up the row of a group whose lanes have fewer different numbers of points than those of another."""


def epoch_ends(counts: npt.NDArray[np.int64], batch: int, chunk: int) -> npt.NDArray[np.int64]:
    """Return where the parts of an epoch end, a row for each group of lanes.

    Parameters
    ----------
    counts : ndarray (n_groups, lanes)
        Training points of each lane; those of a group make equally many mini-batches.
    batch, chunk : int
        Points an update, and points that go through together.

    Returns
    -------
    ndarray (n_groups, 1 + most different numbers)
        Where all lanes of a group have equally many points: that number. Else the point up to which they go together,
        then each number. Filled up with `NO_END`.
    """
    rows = []
    for row in counts:
        numbers = np.unique(row).tolist()
        least = numbers[0]
        if len(numbers) > 1:
            first = (least - 1) // batch * batch
            numbers.insert(0, first + (least - 1 - first) // chunk * chunk)
        rows.append(numbers)
    ends = np.full((len(rows), max(map(len, rows))), NO_END, dtype=np.int64)
    for found, numbers in zip(ends, rows, strict=True):
        found[: len(numbers)] = numbers
    return ends


def room_for_rows(ends: npt.NDArray[np.int64], rows: Sequence[int]) -> int:
    """Return how many vectors two states take and a mask; `rows` counts the vectors of each part of a state."""
    return 1 + 2 * sum(rows) if ends.shape[1] > 1 else 0


@inner
def copy(target: Any, source: Any, count: Any) -> None:
    """Copy vectors."""
    for i in range(count):
        store(target, i, load(source, i))


@inner
def save(room: Any, p: Any, m1: Any, m2: Any, dead: Any, g: Any, rows: Any) -> None:
    """Copy a group's state to `room`; `rows` counts the vectors of each part."""
    copy(room, p, rows[0])
    room = offset(room, rows[0])
    copy(room, m1, rows[1])
    room = offset(room, rows[1])
    copy(room, m2, rows[2])
    room = offset(room, rows[2])
    copy(room, dead, rows[3])
    copy(offset(room, rows[3]), g, rows[4])


@inner
def restore(room: Any, p: Any, m1: Any, m2: Any, dead: Any, g: Any, rows: Any) -> None:
    """Undo what came after `save`."""
    copy(p, room, rows[0])
    room = offset(room, rows[0])
    copy(m1, room, rows[1])
    room = offset(room, rows[1])
    copy(m2, room, rows[2])
    room = offset(room, rows[2])
    copy(dead, room, rows[3])
    copy(g, offset(room, rows[3]), rows[4])


@inner
def choose(mask: Any, target: Any, source: Any, count: Any) -> None:
    """Copy vectors in the lanes where `mask` is above 0."""
    zero = splat(mask, 0.0)
    chosen = load(mask, 0)
    for i in range(count):
        store(target, i, where_greater(chosen, zero, load(source, i), load(target, i)))


@inner
def restore_lanes(mask: Any, room: Any, p: Any, m1: Any, m2: Any, dead: Any, rows: Any) -> None:
    """Undo what came after `save` in the lanes where `mask` is above 0, sums of gradients apart: they are 0."""
    choose(mask, p, room, rows[0])
    room = offset(room, rows[0])
    choose(mask, m1, room, rows[1])
    room = offset(room, rows[1])
    choose(mask, m2, room, rows[2])
    choose(mask, dead, offset(room, rows[2]), rows[3])


@inner
def set_mask(mask: Any, counts: Any, stop: Any) -> None:
    """Set ``mask[lane]`` to 1 where the lane's points end before `stop`, else 0."""
    for lane in range(len(counts)):
        mask[lane] = 1.0 if counts[lane] < stop else 0.0
