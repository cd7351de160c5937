"""Small tables, and sweeps of them that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweeps.spec.from_table import build_spec
from sweeps.spec.sweep import SweepSpec

TINY: dict[str, Any] = {
    "search": {"n_trials": 3, "lag": 2, "n_startup_trials": 3, "n_replicas": 6},
    "epochs": {"max_epochs": 4},
    "finalists": {"n": 2, "n_replicas": 6},
    "certificates": {"n_replicas": 4},
}


def regression_frame(n: int = 83) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    area, rooms = rng.normal(100.0, 30.0, n), rng.integers(1, 6, n)
    color = rng.choice(["red", "green", "blue"], n)
    price = 50.0 + 2.0 * area + 10.0 * rooms + 20.0 * (color == "red") + rng.normal(0.0, 5.0, n)
    area[3] = np.nan
    return pd.DataFrame(
        {"key": [f"k{i}" for i in range(n)], "area": area, "rooms": rooms, "color": color, "price": price}
    )


def class_frame(n: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 3))
    words = np.array(["low", "middle", "high"])
    return pd.DataFrame(
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": words[np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])]}
    )


def table_spec(file: Path, target: str, **changes: Any) -> SweepSpec:
    """Return a tiny sweep of a table; `changes` are sections, or keys of the dataset."""
    given = {key: dict(content) for key, content in TINY.items()}
    dataset: dict[str, Any] = {"file": str(file), "target": target, "n_folds": 3}
    for key, content in changes.items():
        if isinstance(content, dict) and key != "roles":
            given[key] = {**given.get(key, {}), **content}
        else:
            dataset[key] = content
    return build_spec({**given, "dataset": dataset}, file.name)
