"""Copies of rows make no name of things of a number: one row speaks for its copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.grouping import find_groupings
from sweeps.data.table.units import find_equal_rows


def copied(seed: int, copies: int, *, patients: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 240
    height, weight, dose = rng.normal(0, 1, (3, n)).round(3)
    y = 2 * dose + height * weight + rng.normal(0, 0.1, n)
    frame = pd.DataFrame({"height": height, "weight": weight, "dose": dose, "y": y})
    if patients:
        level = rng.normal(0, 20, 40)
        frame.insert(0, "patient", np.arange(n) % 40)
        frame["y"] += level[frame["patient"]]
    frame = pd.concat([frame] * copies).sample(frac=1, random_state=seed).reset_index(drop=True)
    frame.insert(0, "id", np.arange(len(frame)) + 1)
    return frame


def groups(frame: pd.DataFrame) -> list[str]:
    target = find_target(frame, "y")
    columns = find_columns(frame, "y")
    equal = find_equal_rows(frame, columns, target)
    return [one.column for one in find_groupings(frame, columns, target, equal.units)]


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_number_of_copied_rows_is_no_group_and_a_patient_is_one(seed: int, copies: int) -> None:
    assert groups(copied(seed, copies, patients=False)) == []
    assert groups(copied(seed, copies, patients=True)) == ["patient"]
