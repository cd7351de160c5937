"""Folds, the test part set aside and the held-out end: who sees which rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from sweeps.data.table.folds import ENDS, FOLDS, hold_out_end, plan_folds, set_aside


@given(
    kind=st.sampled_from([*FOLDS]), n_rows=st.integers(20, 90), n_folds=st.integers(2, 5), seed=st.integers(0, 2**31)
)
def test_every_row_is_validated_once_and_never_trained_on_at_the_same_time(
    kind: str, n_rows: int, n_folds: int, seed: int
) -> None:
    classes = np.arange(n_rows) % 3.0
    groups = np.arange(n_rows) // 3
    times = -np.arange(n_rows, dtype=np.float64)
    folds = plan_folds(kind, n_rows, n_folds, seed=seed, classes=classes, groups=groups, times=times)
    assert len(folds) == n_folds
    validated = np.concatenate([fold.validation for fold in folds])
    assert len(np.unique(validated)) == len(validated)
    assert len(validated) == n_rows if kind != "time" else len(validated) < n_rows
    for fold in folds:
        assert not np.intersect1d(fold.train, fold.validation).size
        assert len(fold.train)
        assert len(fold.validation)
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.validation) > 0).all()


def test_stratified_folds_hold_each_class_in_equal_shares() -> None:
    classes = np.repeat([0.0, 1.0], [80, 20])
    for fold in plan_folds("stratified", 100, 5, seed=3, classes=classes):
        assert classes[fold.validation].sum() == 4


def test_no_group_is_on_both_sides() -> None:
    groups = np.arange(60) % 12
    for fold in plan_folds("grouped", 60, 4, groups=groups):
        assert not set(groups[fold.train]) & set(groups[fold.validation])


def test_contiguous_folds_are_the_textbooks_blocks() -> None:
    folds = plan_folds("contiguous", 1460, 5)
    assert [(fold.validation[0], fold.validation[-1]) for fold in folds] == [
        (0, 291), (292, 583), (584, 875), (876, 1167), (1168, 1459),
    ]  # fmt: skip
    assert plan_folds("contiguous", 11, 5)[-1].validation.tolist() == [8, 9, 10]


def test_time_folds_train_on_the_past_as_scikit_learns_do() -> None:
    """Rows shuffled in time: put back in order, the folds are scikit-learn's TimeSeriesSplit."""
    times = np.random.default_rng(0).permutation(60).astype(np.float64)
    order = np.argsort(times)
    for fold, (train, validation) in zip(
        plan_folds("time", 60, 5, times=times), TimeSeriesSplit(5).split(np.zeros(60)), strict=True
    ):
        assert fold.train.tolist() == sorted(order[train])
        assert fold.validation.tolist() == sorted(order[validation])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "stratifed", "n_rows": 10}, "folds: 'stratifed' is none of .*; nearest: 'stratified'"),
        ({"kind": "plain", "n_rows": 4}, "folds: n_folds=5 with 4 rows; expected 2 to 4"),
        ({"kind": "time", "n_rows": 5, "times": np.arange(5.0)}, "expected 2 to 4"),
        ({"kind": "grouped", "n_rows": 10}, "folds: 'grouped' needs groups, one for each of 10 rows"),
        ({"kind": "grouped", "n_rows": 9, "groups": [0, 1, 2] * 3}, "folds: 3 groups; expected at least n_folds=5"),
        (
            {"kind": "stratified", "n_rows": 7, "classes": np.array([0.0] * 4 + [1.0] * 3)},
            "the largest class has 4 rows",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_folds(**arguments)


@given(n_rows=st.integers(2, 200), share=st.floats(0.01, 0.9), seed=st.integers(0, 2**31), ordered=st.booleans())
def test_the_test_part_and_the_rest_are_all_rows(n_rows: int, share: float, seed: int, ordered: bool) -> None:
    rest, test = set_aside(n_rows, share, seed=seed, ordered=ordered)
    assert sorted([*rest, *test]) == list(range(n_rows))
    assert len(rest)
    assert len(test)
    if ordered:
        assert rest[-1] < test[0]


def test_the_test_part_holds_the_same_share_of_each_class() -> None:
    classes = np.repeat([0.0, 1.0, 2.0], [100, 50, 1])
    rest, test = set_aside(151, 0.2, seed=1, classes=classes)
    assert np.bincount(classes[test].astype(int)).tolist() == [20, 10]
    assert 2.0 in classes[rest]  # the only row of a class stays where it can be learnt


@pytest.mark.parametrize("rule", ENDS)
def test_the_held_out_end_lies_beyond_every_row_in_range(rule: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 3))
    X[5, 1] = np.nan
    end = hold_out_end(X, ["a", "b", "c"], X[:, 0], rule=rule, share=0.1)
    assert sorted([*end.in_range, *end.out_of_range]) == list(range(200))
    assert 0 < len(end.out_of_range) <= 20
    if rule == "farthest":
        assert end.feature is None
    else:
        assert end.feature == "a"  # the one that goes with the target
        inside, outside = X[end.in_range, 0], X[end.out_of_range, 0]
        assert inside.max() < outside.min() if rule == "top" else outside.max() < inside.min()
        assert end.bound == (inside.max() if rule == "top" else inside.min())


def test_farthest_is_the_distance_from_the_medians_in_deviations() -> None:
    """Feature b is a thousand times as wide: only in its own unit are its outliers no farther than a's."""
    a, b = np.linspace(-1, 1, 101), np.zeros(101)
    b[::2] = 1000 * np.linspace(-1, 1, 51)
    X = np.column_stack([a, b])
    X[50] = [30.0, 0.0]
    end = hold_out_end(X, ["a", "b"], a, rule="farthest", share=0.01)
    assert end.out_of_range.tolist() == [50]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "tpo", "share": 0.1}, "held-out end: rule 'tpo' is none of top, bottom, farthest; nearest: 'top'"),
        ({"rule": "top", "share": 0.6}, "held-out end: share=0.6; expected above 0 and at most 0.5"),
        ({"rule": "top", "share": 0.1, "feature": "aa"}, "held-out end: no feature 'aa'; nearest: 'a'"),
        ({"rule": "top", "share": 0.1, "feature": "c"}, "no row lies beyond the 10% top of c"),
    ],
)
def test_an_end_that_cannot_be_held_out_is_refused(options: dict, message: str) -> None:
    X = np.column_stack([np.arange(30.0), np.arange(30.0) % 2])
    with pytest.raises(ValueError, match=message):
        hold_out_end(X, ["a", "c"], X[:, 0], **options)
