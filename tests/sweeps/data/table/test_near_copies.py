"""Rows that are copies but for a jitter are found by the gap it leaves, kept together, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_tables import table_spec

from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.near_copies import find_near_copies
from sweeps.data.table.rows import make_folds, open_rows
from sweeps.data.table.settings import TableData
from sweeps.data.table.units import find_equal_rows


def units_of(frame: pd.DataFrame) -> np.ndarray | None:
    columns, target = find_columns(frame, "target"), find_target(frame, "target")
    return find_near_copies(frame, columns, find_equal_rows(frame, columns, target).units)


def jittered(n_inputs: int, size: float, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return coin flips copied one to five times with a jitter of `size`, and which row is whose copy."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(60, n_inputs)), columns=[f"x{k}" for k in range(n_inputs)])
    frame = frame.assign(word=rng.choice(["a", "b"], 60), target=rng.integers(0, 2, 60))
    origin = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 6, 60)))
    frame = frame.iloc[origin].reset_index(drop=True)
    frame["x0"] += size * rng.normal(size=len(frame))
    return frame, origin


def settled(frame: pd.DataFrame, folder: Path, **changes: object) -> TableData:
    frame.to_csv(folder / "t.csv", index=False)
    (dataset,) = table_spec(folder / "t.csv", "target", **changes).datasets
    assert isinstance(dataset.data, TableData)
    return dataset.data


@pytest.mark.parametrize(("n_inputs", "size"), [(1, 1e-5), (2, 1e-3), (3, 1e-3), (8, 0.01), (20, 0.01)])
def test_copies_with_a_jitter_are_found_whoever_they_are(n_inputs: int, size: float) -> None:
    frame, origin = jittered(n_inputs, size)
    units = units_of(frame.assign(nr=np.arange(len(frame))))
    assert units is not None
    pairs = np.unique(np.column_stack([units, origin]), axis=0)
    assert len(pairs) == 60 == len(np.unique(units))


@pytest.mark.parametrize("shape", ["normal", "heavy", "rounded", "steps", "line"])
@pytest.mark.parametrize("n_inputs", [1, 3])
def test_rows_of_a_density_are_no_copies(shape: str, n_inputs: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, n_inputs))
        X = {
            "normal": X,
            "heavy": np.exp(1.5 * X),
            "rounded": X.round(2),
            "steps": np.column_stack([rng.integers(0, 6, (300, n_inputs)), rng.random(300)]),
            "line": X[:, :1] + 0.01 * rng.normal(size=X.shape),
        }[shape]
        frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])]).assign(target=rng.normal(size=300))
        assert units_of(frame) is None


def test_they_stay_on_one_side_of_every_division_where_it_matters(tmp_path: Path) -> None:
    frame, origin = jittered(2, 1e-3)
    data = settled(frame, tmp_path)
    assert data.equal_rows == "nearly"
    assert data.suspected == ""
    n_near = int((np.bincount(origin)[origin] > 1).sum())
    assert data.found[0].startswith(
        f"{n_near} of {len(frame)} rows are equal to another but for small differences in numbers (60 different rows): "
    )
    rows = open_rows(data, 1)
    parts = [(np.concatenate([rows.in_range, rows.out_of_range]), rows.test), (rows.in_range, rows.out_of_range)]
    parts += [(fold.train, fold.validation) for fold in make_folds(data, rows, 0)]
    for one, other in parts:
        assert not set(origin[one]) & set(origin[other])
    asked = settled(frame, tmp_path, equal_rows="together")
    assert (asked.equal_rows, asked.suspected) == ("together", "some rows are nearly equal")


def test_measurements_repeated_at_one_setting_may_stay_apart(tmp_path: Path) -> None:
    """Nearly equal inputs with targets of their own: seeing one tells nothing more of the other."""
    frame, _ = jittered(2, 1e-3)
    rng = np.random.default_rng(3)
    data = settled(frame.assign(target=rng.normal(size=len(frame))), tmp_path)
    assert (data.equal_rows, data.found) == ("together", ())
