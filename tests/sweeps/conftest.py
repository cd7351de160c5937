"""The files of small tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_tables import class_frame, regression_frame


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a regression of 83 rows: a key, numbers, a category, one missing cell."""
    path = tmp_path_factory.mktemp("data") / "houses.csv"
    regression_frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a classification of 90 rows into three words."""
    path = tmp_path_factory.mktemp("data") / "kinds.csv"
    class_frame().to_csv(path, index=False)
    return path
