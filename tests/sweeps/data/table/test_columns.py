"""Roles of columns, and the task a target sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sweeps.data.table.columns import booleans_of, dates_of, find_columns, find_target
from sweeps.data.table.table import TableError

N = 100


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "Id": np.arange(1, N + 1) * 7,
            "row": np.arange(N),
            "key": pd.Series([f"k{i}" for i in range(N)], dtype=object),
            "area": rng.normal(size=N),
            "rooms": rng.integers(1, 6, N),
            "color": pd.Series(rng.choice(["red", "green", "blue"], N), dtype=object),
            "heated": pd.Series(rng.choice(["Yes", "No"], N), dtype=object),
            "flag": rng.integers(0, 2, N).astype(bool),
            "sold": pd.Series([f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)], dtype=object),
            "note": pd.Series([f"text {i // 2}" for i in range(N)], dtype=object),
            "same": np.ones(N),
            "empty": np.full(N, np.nan),
            "price": rng.normal(size=N),
        }
    )


def test_every_role_is_found_by_its_rule(frame: pd.DataFrame) -> None:
    roles = {column.name: column.role for column in find_columns(frame, "price")}
    assert roles == {
        "Id": "identifier",
        "row": "identifier",
        "key": "identifier",
        "area": "number",
        "rooms": "number",
        "color": "category",
        "heated": "boolean",
        "flag": "boolean",
        "sold": "date",
        "note": "text",
        "same": "constant",
        "empty": "constant",
    }


def test_the_user_overrules_a_role_by_name(frame: pd.DataFrame) -> None:
    columns = {column.name: column for column in find_columns(frame, "price", {"Id": "number", "note": "category"})}
    assert (columns["Id"].role, columns["note"].role) == ("number", "category")
    assert columns["Id"].used
    assert columns["Id"].reason == "settled by the user"


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"areaa": "number"}, "no column 'areaa' in the table; nearest: 'area'"),
        ({"color": "number"}, "column 'color': text such as "),
        ({"area": "boolean"}, "expected yes and no or 1 and 0 for role 'boolean'"),
        ({"color": "date"}, "expected ISO dates (2024-05-31) for role 'date'"),
        ({"area": "numbr"}, "column 'area': role 'numbr' is none of "),
    ],
)
def test_a_role_that_does_not_fit_is_refused(frame: pd.DataFrame, roles: dict, message: str) -> None:
    with pytest.raises(TableError) as caught:
        find_columns(frame, "price", roles)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_without_any_feature_is_refused() -> None:
    frame = pd.DataFrame({"id": np.arange(30), "y": np.arange(30.0)})
    with pytest.raises(TableError, match=r"no column to learn from beside the target 'y': 'id' \(identifier\)"):
        find_columns(frame, "y")


def test_an_impossible_date_stays_text() -> None:
    frame = pd.DataFrame({"when": pd.Series(["2023-02-30", "2023-03-01"] * 20, dtype=object), "y": np.arange(40.0)})
    assert find_columns(frame, "y")[0].role == "category"


def test_dates_are_days_since_1970_in_universal_time() -> None:
    days = dates_of(pd.Series(["1970-01-02", "1970/01/03", "1970-01-01T12:00:00+12:00", np.nan], dtype=object))
    np.testing.assert_array_equal(days, [1.0, 2.0, 0.0, np.nan])


def test_booleans_are_read_in_any_letter_case() -> None:
    np.testing.assert_array_equal(
        booleans_of(pd.Series(["YES", "no", np.nan, "True"], dtype=object)), [1.0, 0.0, np.nan, 1.0]
    )


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (np.arange(100.0), "regression", ()),
        (np.arange(100) % 3, "classification", ("0", "1", "2")),
        (np.arange(100) % 3 / 2, "regression", ()),
        (np.arange(100) % 25, "regression", ()),
        (pd.Series(["b", "a"] * 50, dtype=object), "classification", ("a", "b")),
        (np.arange(100) % 2 == 0, "classification", ("False", "True")),
    ],
)
def test_the_task_follows_from_the_target(values: object, task: str, classes: tuple[str, ...]) -> None:
    target = find_target(pd.DataFrame({"y": values}), "y")
    assert (target.task, target.classes) == (task, classes)
    assert target.values.dtype == np.float64


def test_the_user_overrules_the_task() -> None:
    frame = pd.DataFrame({"y": np.arange(100) % 3})
    assert find_target(frame, "y", "regression").task == "regression"
    assert find_target(pd.DataFrame({"y": np.arange(100) % 25}), "y", "classification").classes[24] == "24"


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (
            [1.0, np.nan, np.nan, 2.0],
            None,
            "target 'y': 2 of 4 values are missing (the first in row 2); "
            "expected a value in every row (leave those rows out)",
        ),
        ([3, 3, 3], None, "target 'y': always 3; expected at least two different values"),
        (
            pd.Series(["a", "b"], dtype=object),
            "regression",
            "target 'y': text such as 'a'; expected numbers for --task regression",
        ),
        (
            pd.Series([f"c{i}" for i in range(101)], dtype=object),
            None,
            "target 'y': 101 different values; expected at most 100 classes",
        ),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(values: object, task: str | None, message: str) -> None:
    with pytest.raises(TableError) as caught:
        find_target(pd.DataFrame({"y": values}), "y", task)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_misspelt_target_names_the_nearest_column(frame: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="no column 'prize' in the table; nearest: 'price'"):
        find_target(frame, "prize")
