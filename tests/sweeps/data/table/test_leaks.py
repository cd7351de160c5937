"""Columns that give the target away are named; columns that are merely good are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.leaks import Leak, find_leaks

N = 300


def shop(seed: int = 0, n: int = N) -> pd.DataFrame:
    """Return bystanders that tell half of `y`."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = 20.0 + 3.0 * X[:, 0] - 2.0 * X[:, 1] + rng.normal(0.0, 3.0, n)
    return pd.DataFrame({"warm": X[:, 0], "wet": X[:, 1], "idle": X[:, 2], "y": y})


def leaks_of(frame: pd.DataFrame, target: str = "y") -> tuple[Leak, ...]:
    return find_leaks(frame, find_columns(frame, target), find_target(frame, target))


def texts(frame: pd.DataFrame, target: str = "y") -> list[str]:
    return [leak.text for leak in leaks_of(frame, target)]


def _sum(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    part = rng.uniform(0.2, 0.8, len(frame)) * frame["y"]
    return frame.assign(casual=part, registered=frame["y"] - part)


def _difference(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    start = rng.normal(1000.0, 300.0, len(frame))
    return frame.assign(start=start, end=start + frame["y"])


def _product(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    number = rng.integers(1, 9, len(frame))
    return frame.assign(number=number, each=frame["y"] / number)


def _ratio(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    people = rng.uniform(100.0, 900.0, len(frame))
    return frame.assign(people=people, cases=frame["y"] * people)


def _parts(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    shares = rng.dirichlet(np.ones(5), len(frame))
    return frame.assign(**{f"part{k}": shares[:, k] * frame["y"] for k in range(5)})


def _index(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    height = rng.uniform(1.4, 2.0, len(frame))
    return frame.assign(y=frame["y"].abs() + 5.0).assign(
        height=height, weight=lambda f: f["y"] * height**2, moon=rng.normal(size=len(frame))
    )


EXACT: dict[str, tuple[Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame], str]] = {
    "sum": (_sum, "y = casual + registered, exactly"),
    "difference": (_difference, "y = end - start, exactly"),
    "product": (_product, "y = number * each, exactly"),
    "ratio": (_ratio, "y = cases / people, exactly"),
    "five parts": (_parts, "y = part0 + part1 + part2 + part3 + part4, exactly"),
    "index": (_index, "y = weight / height^2, exactly"),
    "copy": (lambda f, _: f.assign(other=2.0 * f["y"] - 7.0), "y = 0.5 other + 3.5, exactly"),
}


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("digits", [None, 2])
def test_what_gives_the_numbers_exactly_is_named_with_its_formula(kind: str, digits: int | None) -> None:
    plant, expected = EXACT[kind]
    frame = plant(shop(), np.random.default_rng(1))
    if digits is not None:
        frame = frame.assign(y=frame["y"].round(digits))  # as it would be written down
    found = leaks_of(frame)
    assert [leak.text for leak in found] == [expected]
    assert not found[0].is_whole


@pytest.mark.parametrize("curve", [np.exp, np.sqrt, lambda y: (y - 20.0) ** 3])
def test_a_curve_of_the_target_is_named(curve: Callable[[pd.Series], pd.Series]) -> None:
    frame = shop(n=1000).clip(lower=0.01)
    found = leaks_of(frame.assign(bent=curve(frame["y"])))
    assert [leak.columns for leak in found] == [("bent",)]


def test_a_copy_with_noise_and_a_later_measurement_are_named_with_what_the_rest_leaves() -> None:
    rng = np.random.default_rng(2)
    frame = shop()
    frame["later"] = 0.9 * frame["y"] + rng.normal(0.0, 0.2, N)
    (text,) = texts(frame)
    assert text.startswith("y nearly follows from later alone: an error of 0.0")
    assert "all other columns together leave 0." in text


def test_a_missing_cell_here_and_there_hides_nothing() -> None:
    rng = np.random.default_rng(3)
    frame = _sum(shop(), rng)
    frame.loc[rng.choice(N, 30, replace=False), "casual"] = np.nan
    frame.loc[rng.choice(N, 30, replace=False), "wet"] = np.nan
    assert texts(frame) == ["y = casual + registered, exactly"]


def test_every_copy_is_named_so_that_none_is_left_behind() -> None:
    frame = shop()
    frame["cents"], frame["gross"] = 100.0 * frame["y"], 1.19 * frame["y"]
    assert texts(frame) == ["y = 0.01 cents, exactly", "y = 0.8403 gross, exactly"]


def kinds(n: int = N) -> pd.DataFrame:
    frame = shop(n=n)
    words = np.array(["low", "mid", "high"])
    return frame.assign(kind=words[np.digitize(frame["y"], [18.0, 22.0])]).drop(columns="y")


def test_a_recoding_of_the_class_is_named() -> None:
    frame = kinds()
    frame["code"] = frame["kind"].map({"low": 7, "mid": 1, "high": 4})
    assert texts(frame, "kind") == ["kind is a recoding of code, exactly"]
    frame["code"] = frame["kind"].map({"low": "L", "mid": "M", "high": "H"})
    assert texts(frame, "kind") == ["kind is a recoding of code, exactly"]


def test_the_number_that_a_class_was_cut_from_is_named() -> None:
    frame = kinds().assign(score=shop()["y"])
    (text,) = texts(frame, "kind")
    assert text.startswith(("kind nearly follows from score alone: ", "kind follows from score alone: "))


def test_a_finer_word_that_settles_the_class_and_a_cell_filled_only_for_one_class_are_named() -> None:
    rng = np.random.default_rng(5)
    frame = kinds()
    finer = frame.assign(part=frame["kind"] + pd.Series(rng.integers(0, 3, N)).astype(str))
    assert [leak.columns for leak in leaks_of(finer, "kind")] == [("part",)]
    left = frame.assign(kind=np.where(shop()["y"] > 20, "left", "stayed"))
    left["month"] = np.where(left["kind"] == "left", rng.integers(1, 13, N), np.nan)
    assert [leak.columns for leak in leaks_of(left, "kind")] == [("month",)]


def test_two_numbers_whose_difference_decides_are_named() -> None:
    rng = np.random.default_rng(6)
    frame = kinds()
    frame["paid"] = rng.normal(100.0, 20.0, N)
    frame["due"] = frame["paid"] + np.where(shop()["y"] > 20, 1.0, -1.0) * rng.exponential(8.0, N)
    frame["kind"] = np.where(frame["due"] > frame["paid"], "late", "in time")
    assert [set(leak.columns) for leak in leaks_of(frame, "kind")] == [{"paid", "due"}]


def test_small_whole_numbers_as_classes_that_are_a_sum_are_named() -> None:
    rng = np.random.default_rng(7)
    frame = shop(n=600).drop(columns="y")
    frame["first"], frame["second"] = rng.integers(0, 4, 600), rng.integers(0, 4, 600)
    frame["grade"] = frame["first"] + frame["second"]
    assert find_target(frame, "grade").task == "classification"
    assert [set(leak.columns) for leak in leaks_of(frame, "grade")] == [{"first", "second"}]


@pytest.mark.parametrize("name", ["iris", "wine", "digits", "breast_cancer", "diabetes"])
def test_honest_easy_tables_are_left_alone(name: str) -> None:
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = bunch.frame
    assert leaks_of(frame, "target") == ()
    if name == "iris":  # any petal tells a setosa exactly, and so do the sepals
        assert leaks_of(frame.assign(target=(frame["target"] == 0).map({True: "yes", False: "no"})), "target") == ()


def test_where_nothing_else_is_to_learn_from_the_formula_is_the_problem() -> None:
    rng = np.random.default_rng(8)
    force = pd.DataFrame({"mass": rng.uniform(1, 9, 200), "acceleration": rng.uniform(1, 9, 200)})
    (leak,) = leaks_of(force.assign(y=force["mass"] * force["acceleration"]))
    assert leak.is_whole
    (leak,) = leaks_of(force.assign(y=force["mass"] * force["acceleration"], color=["red", "blue"] * 100))
    assert not leak.is_whole


def test_chance_in_few_rows_and_many_columns_is_no_leak() -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.normal(size=(30, 60)), columns=[f"g{k}" for k in range(60)])
        assert leaks_of(frame.assign(y=rng.normal(size=30))) == ()
        assert leaks_of(frame.assign(y=rng.choice(["a", "b"], 30))) == ()


@pytest.mark.parametrize(
    ("name", "target", "noise", "sure"),
    [
        ("area", "price", 0.08, False),
        ("area", "price", 0.03, True),
        ("price_final", "price", 0.08, True),
        ("ResultScore", "y", 0.08, True),
        ("price_last_month", "price", 0.02, False),
        ("2020-05", "2020-06", 0.01, False),
        ("2020-07", "2020-06", 0.03, True),
    ],
)
def test_a_strong_predictor_is_said_and_a_leak_where_it_leaves_nothing_or_is_called_so(
    name: str, target: str, noise: float, sure: bool
) -> None:
    frame = shop()
    rng = np.random.default_rng(8)
    copied = 3.0 * frame["y"] + 3.0 * noise * frame["y"].std() * rng.normal(size=N)
    (leak,) = leaks_of(frame.rename(columns={"y": target}).assign(**{name: copied}), target)
    assert (leak.columns, leak.is_sure) == ((name,), sure)
    assert f"nearly follows from {name if name.isidentifier() else repr(name)} alone: an error of 0.0" in leak.text
