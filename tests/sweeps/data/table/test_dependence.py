"""Rows that depend on each other: found, divided as they must be, and counted as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_tables import table_spec

from benchmarks.dependent_rows import KINDS, NOTHING_LOOKED_FOR, count
from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.domains import domain_rows
from sweeps.data.table.grouping import find_groupings
from sweeps.data.table.judging import test_units as units_of
from sweeps.data.table.rows import TableRows, make_folds, open_rows
from sweeps.data.table.settings import TableData
from sweeps.data.table.table import TableError
from sweeps.data.table.units import find_equal_rows, joined, time_blocks, unit_values
from sweeps.spec.from_table import build_spec

BENCHMARK = {kind.make.__name__: kind for kind in KINDS}


def written(frame: pd.DataFrame, folder: Path, name: str = "table.csv") -> Path:
    file = folder / name
    frame.to_csv(file, index=False)
    return file


def settled(frame: pd.DataFrame, folder: Path, **changes: object) -> TableData:
    """Return what a sweep's spec says about a table whose target is called target."""
    (dataset,) = table_spec(written(frame, folder), "target", **changes).datasets
    assert isinstance(dataset.data, TableData)
    return dataset.data


def made(name: str, seed: int = 0) -> pd.DataFrame:
    return BENCHMARK[name].make(np.random.default_rng([7, seed]))


def parts_of(data: TableData, rows: TableRows) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two sides of every division that a sweep makes."""
    rest = np.concatenate([rows.in_range, rows.out_of_range])
    folds = [make_folds(data, rows, seed) for seed in (0, 1)]
    inside = [(fold.train, fold.validation) for some in folds for fold in some]
    undrawn = np.setdiff1d(rows.in_range, rows.folded)
    return [(rest, rows.test), (rows.in_range, rows.out_of_range), (rows.folded, undrawn), *inside]


def contents(frame: pd.DataFrame, rows: np.ndarray, names: list[str]) -> set[tuple]:
    return set(frame.iloc[rows][names].itertuples(index=False, name=None))


@pytest.mark.parametrize("folds", ["plain", "contiguous", "time", "auto"])
@pytest.mark.parametrize("end_rule", ["farthest", "none"])
def test_equal_rows_are_on_one_side_of_every_division(tmp_path: Path, folds: str, end_rule: str) -> None:
    """Three numbers and a word, copied, shuffled, with a running number and a date beside them."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    frame = frame.assign(word=rng.choice(["x", "y"], 60), target=rng.normal(size=60))
    frame = frame.loc[np.repeat(np.arange(60), rng.integers(1, 6, 60))].sample(frac=1.0, random_state=1)
    frame = frame.reset_index(drop=True)
    frame["count"] = np.arange(len(frame)) * 2.5
    frame["day"] = pd.date_range("2020-01-01", periods=len(frame)).strftime("%Y-%m-%d")
    asked = {"folds": folds, "end_rule": end_rule, "n_search_rows": 0 if folds == "contiguous" else 90}
    if folds == "time":
        asked["time_column"] = "day"
    data = settled(frame, tmp_path, **asked)
    rows = open_rows(data, 1)
    for one, other in parts_of(data, rows):
        assert not contents(frame, one, list("abc")) & contents(frame, other, list("abc"))
    repeats = int(frame.duplicated(list("abc"), keep=False).sum())
    assert data.found[0] == (
        f"{repeats} of {len(frame)} rows have an equal one (60 different rows): equal rows stay on one side of every "
        "division and count as one"
    )
    assert data.equal_rows == "together"


def test_rows_without_an_equal_one_are_divided_as_they_were(houses: Path) -> None:
    """The division of a table without copies: the one that the seed has always given."""
    (dataset,) = table_spec(houses, "price").datasets
    assert isinstance(dataset.data, TableData)
    rows = open_rows(dataset.data, 1)
    order = np.random.default_rng([1, 1]).permutation(83)
    assert rows.test.tolist() == sorted(order[:17].tolist())
    assert dataset.data.found == ()
    assert units_of(rows, dataset.data).words == "rows"


def test_copied_rows_of_the_test_file_are_left_out_of_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)), columns=["a", "b", "target"])
    test = written(pd.concat([frame.iloc[:10], frame.iloc[:5] + 9.0]), tmp_path, "test.csv")
    data = settled(frame, tmp_path, test_file=str(test))
    rows = open_rows(data, 1)
    assert rows.test.tolist() == list(range(80, 95))
    assert not set(range(10)) & {*rows.in_range.tolist(), *rows.out_of_range.tolist()}
    assert "10 rows that test.csv has, too, are left out of training" in rows.notes


@pytest.mark.parametrize(("copies", "suspected"), [(4, "every row is there 4 times or more"), (1, "")])
def test_inputs_of_few_values_cannot_be_kept_apart_and_it_is_said(tmp_path: Path, copies: int, suspected: str) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], 200), "kind": rng.integers(0, 4, 200)})
    frame["target"] = rng.integers(0, 2, 200)
    frame = pd.concat([frame] * copies)
    data = settled(frame, tmp_path)
    assert data.equal_rows == "apart"
    assert data.suspected == suspected
    assert data.found[0].startswith(f"{200 * copies} of {200 * copies} rows have an equal one (8 different rows)")


def test_a_number_as_the_target_tells_copies_from_equal_inputs() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"kind": rng.integers(0, 4, 200), "target": rng.normal(size=200)})
    frame = pd.concat([frame, frame.iloc[:50]], ignore_index=True)
    equal = find_equal_rows(frame, find_columns(frame, "target"), find_target(frame, "target"))
    assert equal.together
    assert (equal.n_repeated, equal.n_distinct) == (100, 200)


@pytest.mark.parametrize(
    ("name", "column"),
    [("patients", "patient"), ("hidden_levels", "subject_id"), ("numbered_batches", "batch")],
)
def test_planted_groups_are_found_and_divide_everything(tmp_path: Path, name: str, column: str) -> None:
    frame = made(name).reset_index(drop=True)
    data = settled(frame, tmp_path)
    assert (data.folds, data.group_column, data.suspected) == ("grouped", column, "")
    assert data.scope == f"rows of a new {column}"
    assert any(f"divided by {column} (--group none: not)" in line for line in data.found)
    rows = open_rows(data, 1)
    for one, other in parts_of(data, rows):
        assert not set(frame[column].iloc[one]) & set(frame[column].iloc[other])
    assert column not in [c.name for c in rows.columns if c.used]
    units = units_of(rows, data)
    assert units.words == f"groups ({column})"
    assert units.n == frame[column].iloc[rows.test].nunique()


def test_the_scope_of_a_test_file_is_that_of_its_rows(tmp_path: Path) -> None:
    frame = made("patients").sort_values("patient")
    new, known = frame.iloc[400:], frame.iloc[:400:8].assign(pulse=lambda one: one["pulse"] + 0.5)
    for rows, scope in (
        (new, "rows of a new patient"),
        (known, "rows of known patient"),
        (pd.concat([new, known]), "rows of new and known patient"),
    ):
        test = written(rows, tmp_path, "test.csv")
        data = settled(frame.iloc[:400], tmp_path, test_file=str(test), end_rule="none")
        assert data.groups_by == "patient"
        assert units_of(open_rows(data, 1), data).scope == scope


def test_a_group_that_is_not_heeded_leaves_nothing_certified(tmp_path: Path) -> None:
    data = settled(made("patients"), tmp_path, group_column="none")
    assert (data.folds, data.groups_by) == ("stratified", "")
    assert data.suspected == "rows of one patient are alike"
    named = settled(made("honest_numbers"), tmp_path, group_column="make", n_folds=3)
    assert (named.folds, named.group_column, named.suspected) == ("grouped", "make", "")
    with pytest.raises(TableError, match=r"^no column 'patent' to divide rows by; nearest: 'patient'$"):
        settled(made("patients"), tmp_path, group_column="patent")


def test_where_both_readings_are_possible_both_figures_are_given_and_the_scope_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    shop = np.repeat(np.arange(40), 8)
    frame = pd.DataFrame(rng.normal(size=(320, 3)), columns=list("abc"))
    level = np.round(rng.normal(size=40), 2)[shop] + 0.4 * frame["a"] + 0.8 * rng.normal(size=320)
    frame = frame.assign(shop=[f"shop {k}" for k in shop], target=level)
    data = settled(frame, tmp_path)
    assert (data.folds, data.group_column, data.suspected) == ("plain", "", "")
    assert data.scope == "other rows of a known shop"
    assert data.found[0].startswith("rows of one shop are alike (40 of them): a quick model gets RMSE ")
    assert data.found[0].endswith("what follows is for known ones (--group shop: for new ones)")


@pytest.mark.parametrize("name", ["honest_numbers", "honest_classes", "honest_identifiers", "honest_dates"])
@pytest.mark.parametrize("seed", range(3))
def test_honest_tables_are_left_alone(tmp_path: Path, name: str, seed: int) -> None:
    data = settled(made(name, seed), tmp_path)
    assert data.folds in ("plain", "stratified")
    assert (data.group_column, data.time_column, data.suspected, data.scope) == ("", "", "", "")


def test_an_identifier_that_means_nothing_is_no_group() -> None:
    """Ten tables: a quick model that grew other trees with one column less found a group in two of three."""
    found = 0
    for seed in range(10):
        frame = made("honest_identifiers", seed)
        columns, target = find_columns(frame, "target"), find_target(frame, "target")
        found += bool(find_groupings(frame, columns, target, np.arange(len(frame))))
    assert found <= 1


@pytest.mark.parametrize("name", ["walk", "regimes"])
def test_rows_that_follow_each_other_are_divided_by_time(tmp_path: Path, name: str) -> None:
    frame = made(name)
    data = settled(frame, tmp_path)
    assert (data.folds, data.time_column, data.scope) == ("time", "date", "later rows")
    assert data.found[-1].endswith(
        "for later rows (date); divided by time, the latest rows are the test rows (--time-column none: not)"
    )
    rows = open_rows(data, 1)
    assert rows.test.tolist() == list(range(320, 400))
    units = units_of(rows, data)
    assert (units.n <= 10) or units.suspected
    left = settled(frame, tmp_path, time_column="none")
    assert left.folds in ("plain", "stratified")
    assert left.suspected == "later rows are harder to predict (date)"


@pytest.mark.parametrize("name", ["walk", "regimes"])
def test_rows_in_the_order_of_time_need_no_date(tmp_path: Path, name: str) -> None:
    frame = made(name).drop(columns="date")
    data = settled(frame.assign(nr=np.arange(400)) if name == "walk" else frame, tmp_path)
    assert (data.folds, data.time_column, data.scope) == ("time", "row order", "rows further down")
    assert data.found[-1].startswith("rows next to each other in the file are alike: a quick model gets ")
    assert data.found[-1].endswith(
        "for rows further down; divided by the order in the file, the last rows are the test rows (--time-column none: "
        "not)"
    )
    rows = open_rows(data, 1)
    assert rows.test.tolist() == list(range(320, 400))
    assert rows.test_origin == "the last 20% of the rows"
    for fold in make_folds(data, rows, 0):
        assert fold.train.max() < fold.validation.min()
    left = settled(frame, tmp_path, time_column="none")
    assert left.folds in ("plain", "stratified")
    assert left.suspected == "rows next to each other in the file are alike"
    shuffled = frame.sample(frac=1.0, random_state=0)
    assert settled(shuffled, tmp_path).found == ()
    assert settled(shuffled, tmp_path, time_column="row order").folds == "time"


@pytest.mark.parametrize("by", [["target"], ["a"], ["make", "target"], ["make", "b"]])
def test_a_sorted_file_says_nothing_about_time(tmp_path: Path, by: list[str]) -> None:
    frame = made("honest_numbers")
    frame["target"] += frame["a"] ** 2
    assert settled(frame.sort_values(by), tmp_path).found == ()


def test_groups_that_follow_each_other_are_no_drift(tmp_path: Path) -> None:
    """Patients come one by one, with dates: later rows are new patients, and nothing else is wrong with them."""
    data = settled(made("visits"), tmp_path)
    assert (data.folds, data.group_column, data.suspected) == ("grouped", "patient", "")


def test_what_drifts_beside_groups_is_not_certified_for_later_rows(tmp_path: Path) -> None:
    frame = made("visits").sort_values("day").reset_index(drop=True)
    late = np.arange(480) / 480.0
    frame["target"] = (np.random.default_rng(0).random(480) < 0.05 + 0.9 * (late > 0.5)).astype(int)
    frame["target"] ^= frame["patient"].str[1:].astype(int) % 7 == 0
    data = settled(frame, tmp_path, group_column="patient")
    assert data.folds == "grouped"
    assert data.suspected == "later rows are harder to predict (day), and what is divided by is patient"


def test_a_group_that_is_asked_for_is_not_said_to_matter_where_it_does_not(tmp_path: Path) -> None:
    frame = made("honest_numbers").assign(shelf=np.arange(300) % 60)
    data = settled(frame, tmp_path, group_column="shelf")
    assert data.found[0].startswith(
        "rows of one shelf are not shown to be alike (60 of them): a quick model gets RMSE "
    )


def test_a_resumed_sweep_needs_no_rule(tmp_path: Path) -> None:
    """What was found is in the spec: built from its own settings again, nothing is looked for and nothing changes."""
    spec = table_spec(written(made("patients"), tmp_path), "target")
    from sweeps.spec.sweep import parse_spec
    from sweeps.spec.writing import as_table

    assert parse_spec(as_table(spec), "again") == spec


def test_time_needs_a_stretch_for_every_observation() -> None:
    times = np.arange(100.0)
    assert np.bincount(time_blocks(times, 4)).tolist() == [25] * 4
    assert len(np.unique(time_blocks(np.repeat(np.arange(5.0), 20), 10))) == 5  # rows of one moment stay together


def test_unit_values_have_the_rows_mean_and_the_groups_scatter() -> None:
    rng = np.random.default_rng(0)
    values, units = rng.normal(size=60), np.repeat(np.arange(12), 5)
    np.testing.assert_allclose(unit_values(values, units), values.reshape(12, 5).mean(axis=1))
    uneven = np.repeat(np.arange(4), [1, 2, 3, 54])
    assert unit_values(values, uneven).mean() == pytest.approx(values.mean())
    np.testing.assert_allclose(unit_values(values, np.arange(60)), values)


def test_joined_units_reach_over_others() -> None:
    a, b = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert joined(a, b).tolist() == [0, 0, 0, 1, 2]


def test_a_place_is_out_of_range_alone_or_each_in_turn(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(150, 2)), columns=["a", "b"])
    frame = frame.assign(place=rng.choice(list("ABCDE"), 150), target=frame["a"] + rng.normal(size=150))
    alone = settled(frame, tmp_path, end_rule="value", end_feature="place", end_value="E")
    rows = open_rows(alone, 1)
    assert set(frame["place"].iloc[rows.out_of_range]) == {"E"}
    assert "E" not in set(frame["place"].iloc[[*rows.in_range, *rows.test]])
    five = {"search": {"n_replicas": 5}, "finalists": {"n_replicas": 5}}
    each = settled(frame, tmp_path, end_rule="each", end_feature="place", n_folds=5, **five)
    rows = open_rows(each, 1)
    for value, fold in zip("ABCDE", make_folds(each, rows, 0), strict=True):
        assert fold.out_of_range is not None
        assert set(frame["place"].iloc[fold.out_of_range]) == {value}
        assert value not in set(frame["place"].iloc[[*fold.train, *fold.validation]])
    with pytest.raises(TableError, match=r"^out of range: no row has 'F' in column 'place'; nearest: 'E'$"):
        settled(frame, tmp_path, end_rule="value", end_feature="place", end_value="F")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("a", "high", "column 'a' has numbers from 0.25 to 9, not 'high'; for the highest tenth give 'a:top:0.1', for "
         "the lowest 'a:bottom:0.1'"),
        ("a", "3", "no row has '3' in column 'a'; nearest: '0.25'"),
        ("a >", "8", "'a >' is a comparison; give the share of the rows at that end: 'a:top:0.1'"),
        ("a < 2", "", "'a < 2' is a comparison; give the share of the rows at that end: 'a:bottom:0.1'"),
        ("b > 2", "", "no column 'b > 2'; nearest: 'void'"),
        ("void", "3", "column 'void' is empty; name one that has values"),
        ("void", "high", "column 'void' is empty; name one that has values"),
        ("id", "9007199254740994", "no row has '9007199254740994' in column 'id'; nearest: '9007199254740993'"),
    ],
)  # fmt: skip
def test_an_end_that_is_no_value_is_answered_with_one(column: str, value: str, message: str) -> None:
    with pytest.raises(TableError) as told:
        domain_rows(pd.DataFrame({"a": [0.25, 7.0, 9.0], "void": [np.nan] * 3, "id": [1, 2**53 + 1, 2]}), column, value)
    assert str(told.value) == f"out of range: {message}"


@pytest.mark.parametrize("value", ["3", "high"])
def test_an_empty_column_has_no_end(value: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "notes": [np.nan, np.nan]})
    with pytest.raises(TableError, match=r"^out of range: column 'notes' is empty; name one that has values$"):
        domain_rows(frame, "notes", value)


def test_networks_that_remember_rows_are_not_certified_and_would_be() -> None:
    """One table of each dependent kind; with nothing looked for some of them are certified, every time falsely."""
    kinds = [BENCHMARK[name] for name in ("copied_classes", "patients", "regimes")]
    assert sum(count(kind, 1, {}) for kind in kinds) == 0
    assert count(BENCHMARK["copied_classes"], 1, NOTHING_LOOKED_FOR) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.honest], ids=lambda kind: kind.make.__name__)
def test_at_most_17_of_200_tables_without_signal_are_certified(kind: object) -> None:
    assert count(kind, 200, {}) <= 17  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.honest], ids=lambda kind: kind.make.__name__)
def test_honest_tables_lose_no_more_than_five_points_of_power(kind: object) -> None:
    found, before = (count(kind, 200, dataset) for dataset in ({}, NOTHING_LOOKED_FOR))  # type: ignore[arg-type]
    assert found >= before - 10


def test_what_is_said_about_dependence_is_the_first_thing_said(tmp_path: Path) -> None:
    spec = build_spec({"dataset": {"file": str(written(made("patients"), tmp_path)), "target": "target"}}, "here")
    data = spec.datasets[0].data
    assert isinstance(data, TableData)
    assert data.said_first[: len(data.found)] == data.found
