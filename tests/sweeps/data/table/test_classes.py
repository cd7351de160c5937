"""Rare classes: in every part their share, named first, and a goal that a constant cannot meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny_tables import table_spec

from sweeps.data.table.class_bounds import class_bounds
from sweeps.data.table.folds import hold_out_end, plan_folds
from sweeps.data.table.metrics import METRICS
from sweeps.data.table.rows import TableRows
from sweeps.data.table.settings import TableData
from sweeps.spec.sweep import SweepSpec, open_source


def rare_frame(n_rare: int, n: int = 600, words: tuple[str, str] = ("no", "yes")) -> pd.DataFrame:
    """Return rows of which the rare ones lie far out, where an end is held out."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 2))
    X[:n_rare] += 3.0
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "sick": [words[1]] * n_rare + [words[0]] * (n - n_rare)})


def opened(tmp_path: Path, frame: pd.DataFrame, target: str, **changes: Any) -> tuple[SweepSpec, TableData, TableRows]:
    path = tmp_path / "some.csv"
    frame.to_csv(path, index=False)
    spec = table_spec(path, target, **changes)
    data = spec.datasets[0].data
    assert isinstance(data, TableData)
    return spec, data, open_source(spec, spec.datasets[0]).rows


@pytest.mark.parametrize("words", [("no", "yes"), ("False", "True"), ("0", "1"), ("healthy", "sick")])
def test_every_part_has_its_share_of_a_rare_class(tmp_path: Path, words: tuple[str, str]) -> None:
    spec, data, rows = opened(tmp_path, rare_frame(15, words=words), "sick", n_folds=5, search={"n_replicas": 5},
                              finalists={"n_replicas": 5})  # fmt: skip
    rare = rows.target.values == rows.target.values[0]
    assert rare[rows.test].sum() == 3
    assert rare[rows.out_of_range].sum() <= 1  # a tenth of twelve, though all of them lie farthest out
    assert rows.held_out is not None
    assert rows.held_out.n_kept > 5
    for fold in plan_folds("stratified", len(rows.folded), 5, classes=rows.target.values[rows.folded]):
        assert rare[rows.folded][fold.validation].sum() in (2, 3)
    assert spec.goal.words == "beat the best baseline in average_precision"
    assert data.findings == (
        f"585 of 600 rows have sick {words[0]!r}, so always saying so has an accuracy of 0.975; the goal is average "
        "precision over classes, where a constant has 0.5 (another with --goal)",
    )


def test_a_goal_of_the_users_own_wins(tmp_path: Path) -> None:
    for words in ("accuracy > 0.5", "beat the best baseline in log_loss"):
        spec, data, _ = opened(tmp_path, rare_frame(60), "sick", goal={"words": words})
        assert spec.goal.words == words
        assert data.findings == ()


def test_balanced_classes_keep_accuracy(tmp_path: Path) -> None:
    spec, data, _ = opened(tmp_path, rare_frame(240), "sick")
    assert spec.goal.words == "beat the best baseline in accuracy"
    assert data.findings == ()


def test_of_several_classes_the_goal_is_balanced_accuracy_and_rare_ones_are_named(tmp_path: Path) -> None:
    frame = rare_frame(2)
    frame.loc[500:502, "sick"] = "perhaps"
    frame.loc[503, "sick"] = "unheard of"
    spec, data, rows = opened(tmp_path, frame, "sick")
    assert spec.goal.words == "beat the best baseline in balanced_accuracy"
    assert data.folds == "stratified"
    assert data.findings[0] == (
        "sick: too rare for every fold: 'unheard of' has one row, which is learnt from or tested on, never both; "
        "'perhaps' has 3 rows, 2 of them for 3 folds; 'yes' has 2 rows, 2 of them for 3 folds; what is said of so few "
        "rows is hardly tested: join them with another class, or leave them out"
    )
    assert len(rows.folded)


def test_ordered_small_whole_numbers_are_classes_with_their_shares(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"acid": rng.normal(size=400), "quality": np.repeat([3, 5, 6, 8], [10, 180, 170, 40])})
    _, data, rows = opened(tmp_path, frame, "quality")
    assert np.bincount(rows.target.values[rows.test].astype(int)).tolist() == [2, 36, 34, 8]
    out = np.bincount(rows.target.values[rows.out_of_range].astype(int), minlength=4)
    assert (out <= np.array([10, 180, 170, 40]) * 0.8 * 0.1).all()
    assert data.findings == ()


@pytest.mark.parametrize("rule", ["top", "bottom", "farthest"])
def test_the_held_out_end_takes_no_more_than_its_share_of_a_class_and_its_farthest_rows(rule: str) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=400)
    classes = (np.abs(x) > 1.9).astype(np.float64)
    end = hold_out_end(x[:, None], ["x"], x, rule=rule, share=0.1, classes=classes, feature=None)
    far = {"top": x, "bottom": -x, "farthest": np.abs(x - np.median(x))}[rule]
    for value in (0.0, 1.0):
        out, inside = (rows[classes[rows] == value] for rows in (end.out_of_range, end.in_range))
        assert len(out) <= 0.1 * (classes == value).sum()
        assert not len(out) or far[out].min() > far[inside].max()
    without = hold_out_end(x[:, None], ["x"], x, rule=rule, share=0.1)
    assert end.n_kept == len(without.out_of_range) - len(end.out_of_range) > 0
    assert set(end.out_of_range) < set(without.out_of_range)


def test_few_rows_of_a_class_bound_the_metric_by_what_they_can_show() -> None:
    """Three of three found: the share found may be a good deal lower, whatever draws from those three say."""
    y = np.repeat([0.0, 1.0], [97, 3])
    right = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    rng = np.random.default_rng(0)
    bound, gap, method = class_bounds(METRICS["balanced_accuracy"], y, right, right, 0.05, rng)
    assert bound == pytest.approx((1 - 0.025 ** (1 / 97) + 1 - 0.025 ** (1 / 3)) / 2)
    assert gap > 0
    assert method == "Clopper and Pearson's bounds of the classes' error rates, averaged"
    bound, gap, method = class_bounds(METRICS["average_precision"], y, right, right, 0.05, rng)
    assert (bound, gap) == (np.inf, np.inf)
    assert method == "a class has 3 test rows; a bound needs 20"


@pytest.mark.parametrize("n_rare", [6, 30])
def test_the_bound_of_balanced_accuracy_holds_as_often_as_it_says(n_rare: int) -> None:
    rng = np.random.default_rng(5)
    y = np.repeat([0.0, 1.0], [150, n_rare])
    truth, n_false = 0.5 * (0.1 + 0.3), 0
    for _ in range(25):
        wrong = rng.random(len(y)) < np.where(y == 0, 0.1, 0.3)
        shares = np.where(((y == 1) != wrong)[:, None] == [False, True], 0.9, 0.1)
        bound, _, _ = class_bounds(METRICS["balanced_accuracy"], y, shares, shares, 0.05, rng)
        n_false += bound < truth
    assert n_false <= stats.binom.ppf(0.999, 25, 0.05)
