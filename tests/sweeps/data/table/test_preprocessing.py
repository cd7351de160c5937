"""Columns to network inputs as scikit-learn does it, kept as plain numbers; targets there and back."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sweeps.data.table.columns import find_columns
from sweeps.data.table.preprocessing import (
    Preprocessing,
    TargetTransform,
    build_transformer,
    find_vocabulary,
    fit_preprocessing,
    fit_target,
    fit_textbook,
    prepare,
)
from sweeps.data.table.table import TableError
from sweeps.data.table.told import TARGET_TRANSFORMS

N = 60


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    color = pd.Series(rng.choice(["red", "green", "blue"], N), dtype=object)
    color[4] = np.nan
    area = rng.normal(5.0, 2.0, N)
    area[[1, 7]] = np.nan
    return pd.DataFrame(
        {
            "area": area,
            "rooms": rng.integers(1, 6, N),
            "color": color,
            "heated": pd.Series(rng.choice(["yes", "no"], N), dtype=object),
            "sold": pd.Series([f"2024-{1 + i % 12:02d}-15" for i in range(N)], dtype=object),
            "y": rng.normal(size=N),
        }
    )


def test_the_inputs_are_scikit_learns(frame: pd.DataFrame) -> None:
    columns = find_columns(frame, "y")
    train, new = frame.iloc[:40], frame.iloc[40:]
    vocabulary = find_vocabulary(frame, columns)
    oracle = build_transformer(columns, vocabulary).fit(prepare(train, columns))
    fitted = fit_preprocessing(train, columns, vocabulary)
    for part in (train, new):
        np.testing.assert_allclose(
            fitted.transform(part), oracle.transform(prepare(part, columns)), rtol=1e-12, atol=1e-12
        )
    assert fitted.output_names == (
        "area", "rooms", "heated", "sold", "color=blue", "color=green", "color=red", "color=(missing)",
    )  # fmt: skip


def test_rows_outside_the_training_rows_have_no_say(frame: pd.DataFrame) -> None:
    columns = find_columns(frame, "y")
    vocabulary = find_vocabulary(frame, columns)
    train = frame.iloc[:40]
    changed = frame.copy()
    changed.loc[40:, "area"] = 1e6
    assert fit_preprocessing(train, columns, vocabulary) == fit_preprocessing(changed.iloc[:40], columns, vocabulary)


def test_a_category_unseen_in_training_gives_zeros(frame: pd.DataFrame) -> None:
    columns = find_columns(frame, "y")
    train = frame[frame["color"] != "red"]
    fitted = fit_preprocessing(train, columns, find_vocabulary(frame, columns))
    one_hot = fitted.transform(frame)[:, 4:]
    red = (frame["color"] == "red").to_numpy()
    assert not one_hot[red].any()
    assert (one_hot[~red].sum(axis=1) == 1).all()
    new = frame.head(1).assign(color=pd.Series(["violet"], dtype=object))
    assert not fitted.transform(new)[:, 4:].any()


def test_json_and_back_gives_the_same_inputs_to_the_last_bit(frame: pd.DataFrame) -> None:
    fitted = fit_preprocessing(frame, find_columns(frame, "y"))
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert again.transform(frame).tobytes() == fitted.transform(frame).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "preprocessing: format 2; this version reads 1"),
        (
            {"numbers": [{"name": "a", "kind": "number", "fill": 0, "center": 0, "scale": 0}]},
            "preprocessing: column 'a': expected finite fill, center and scale > 0",
        ),
        (
            {"numbers": [{"name": "a", "kind": "code", "fill": 0, "center": 0, "scale": 1}]},
            "preprocessing: column 'a': kind 'code'; expected number, boolean or date",
        ),
        ({"numbers": None}, "preprocessing: not what this project writes"),
    ],
)
def test_what_was_not_written_here_is_refused(frame: pd.DataFrame, change: dict, message: str) -> None:
    data = fit_preprocessing(frame, find_columns(frame, "y")).to_json() | change
    with pytest.raises(ValueError, match=re.escape(message)):
        Preprocessing.from_json(data)


@pytest.mark.parametrize(
    ("frame_change", "message"),
    [
        ({"area": None}, "no column 'area', which the model needs"),
        ({"area": "wide"}, "column 'area': 'wide'; expected numbers, as in training"),
        ({"heated": "maybe"}, "column 'heated': 'maybe'; expected yes or no, as in training"),
        ({"sold": "soon"}, "column 'sold': 'soon' ...; expected ISO dates (2024-05-31)"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused_by_column(frame: pd.DataFrame, frame_change: dict, message: str) -> None:
    fitted = fit_preprocessing(frame, find_columns(frame, "y"))
    for name, value in frame_change.items():
        frame = (
            frame.drop(columns=name) if value is None else frame.assign(**{name: pd.Series([value] * N, dtype=object)})
        )
    with pytest.raises(TableError) as caught:
        fitted.transform(frame)
    assert str(caught.value).startswith(message)


def test_the_textbooks_preprocessing_is_pandas_own(frame: pd.DataFrame) -> None:
    features = frame.drop(columns=["y"])
    numeric = ["area", "rooms"]
    oracle = features.copy()
    oracle[numeric] = oracle[numeric].apply(lambda x: (x - x.mean()) / x.std()).fillna(0)
    oracle = pd.get_dummies(oracle, dummy_na=True)
    fitted = fit_textbook(features)
    assert fitted.n_outputs == oracle.shape[1]
    np.testing.assert_allclose(fitted.transform(features), oracle.to_numpy(np.float64), rtol=1e-12, atol=1e-12)
    assert fitted.leaks
    assert "leak" in fitted.fitted_on


@pytest.mark.parametrize("name", [*TARGET_TRANSFORMS])
@given(y=hnp.arrays(np.float64, 12, elements=st.floats(0.5, 1e6)))
def test_targets_come_back(name: str, y: np.ndarray) -> None:
    transform = TargetTransform.from_json(json.loads(json.dumps(fit_target(name, y).to_json())))
    np.testing.assert_allclose(transform.inverse(transform.forward(y)), y, rtol=1e-6)


def test_a_standardized_log_target_has_mean_0_and_spread_1() -> None:
    y = np.exp(np.random.default_rng(0).normal(12.0, 0.4, 500))
    z = fit_target("log_standardize", y).forward(y)
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "y", "message"),
    [
        ("log", [0.0, 1.0], "target transform 'log': a target of 0; expected all above 0"),
        ("log1p", [-1.0, 1.0], "target transform 'log1p': a target of -1; expected all above -1"),
        ("lgo", [1.0], "target transform 'lgo' is none of .*; nearest: 'log'"),
    ],
)
def test_a_target_without_logarithm_is_refused(name: str, y: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_target(name, np.array(y))
