"""Predictions of test rows whose targets somebody else keeps: ``submission.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweeps.data.table.table import TableError
from sweeps.store.log import write_atomically


def write_submission(
    path: Path, identifier: str, ids: Sequence[Any], target: str, predictions: npt.NDArray[Any]
) -> None:
    """Write one line for each test row: its identifier and what is predicted, in the order of the test file.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    identifier, target : str
        Names of the two columns.
    ids : sequence
        Identifier of each row, none missing and none twice.
    predictions : ndarray (n,)
        Finite numbers in the target's own unit, or names of classes.

    Raises
    ------
    TableError
        If a row has no identifier of its own or no finite prediction; nothing is written then.
    """
    if len(ids) != len(predictions):
        raise TableError(f"{path}: {len(predictions)} predictions for {len(ids)} rows; expected one each")
    first: dict[str, int] = {}
    for row, one in enumerate(ids, start=1):
        if one is None or one != one or str(one) in first:
            why = "missing" if one is None or one != one else f"the same as in row {first[str(one)]}"
            raise TableError(f"{path}: {identifier!r} of test row {row} is {why}; expected one of its own in every row")
        first[str(one)] = row
    if predictions.dtype.kind == "f" and not np.isfinite(predictions).all():
        row = int(np.flatnonzero(~np.isfinite(predictions))[0])
        raise TableError(f"{path}: the prediction for {identifier} {ids[row]} is {predictions[row]}; not written")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([identifier, target])
    writer.writerows(zip(map(str, ids), map(str, predictions.tolist()), strict=True))
    write_atomically(path, stream.getvalue().encode())
