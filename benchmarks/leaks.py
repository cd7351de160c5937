"""Count how often honest tables are taken for leaked ones, and planted leaks are missed.

``python -m benchmarks.leaks [--tables FOLDER] [--draws 20]`` prints both as Markdown. Honest tables are scikit-learn's,
house prices (``SWEEPS_DATA``), noisy and noise-free made ones, and the files of FOLDER that `FILES` names with their
targets; each is looked at whole and in random parts, as it would be in a sweep. Leaks of each kind are planted beside
bystanders that tell half of the target, in tables of 60, 300 and 2000 rows, and beside the columns of real tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import datasets

from sweeps.data.table.columns import find_columns, find_target
from sweeps.data.table.leaks import find_leaks
from sweeps.data.table.rows import read_data
from sweeps.data.table.settings import TableData
from sweeps.data.table.table import TableError

SIZES = (60, 300, 2000)
SETS = ("iris", "wine", "digits", "breast_cancer", "diabetes")
FILES = {
    "abalone.csv": "Rings",
    "apart_cp949.csv": "2020-06",
    "autos.csv": "price",
    "carseats.csv": "Sales",
    "concrete.csv": "Concrete compressive strength(MPa, megapascals) ",
    "daily_temp.csv": "Temperature",
    "german_credit.csv": "credit_risk",
    "mpg.csv": "mpg",
    "mtcars.csv": "mpg",
    "seoul_bike.csv": "Rented Bike Count",
    "soybean.csv": "Class",
    "supermarket.csv": "Rating",
    "toyota.csv": "Price",
    "wine_white.csv": "quality",
}
Frame = pd.DataFrame
Rng = np.random.Generator
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Count:
    """How many tables of a kind were taken for leaked ones.

    Parameters
    ----------
    kind : str
        Which tables.
    n, n_named, n_withheld : int
        Tables; those of which something was said; those that would get no certificate.
    """

    kind: str
    n: int
    n_named: int
    n_withheld: int


def count(kind: str, tables: Iterator[tuple[Frame, str]]) -> Count:
    """Return what is found in the tables of a kind."""
    n = n_named = n_withheld = 0
    for frame, target in tables:
        leaks = find_leaks(frame, find_columns(frame, target), find_target(frame, target))
        n, n_named = n + 1, n_named + bool(leaks)
        n_withheld += any(leak.is_sure for leak in leaks) and not leaks[0].is_whole
    return Count(kind, n, n_named, n_withheld)


def parts(frame: Frame, target: str, n_draws: int) -> Iterator[tuple[Frame, str]]:
    """Return a table whole, and random parts of it: four in five rows, as a sweep looks at, and halves in turn."""
    yield frame, target
    for k in range(n_draws):
        n = len(frame) // 2 if k % 2 else round(0.8 * len(frame))
        rows = np.random.default_rng(k).permutation(len(frame))[:n]
        part = frame.iloc[np.sort(rows)].reset_index(drop=True)
        if part[target].nunique() > 1:
            yield part, target


# Honest tables


def real_tables(folder: Path | None) -> Iterator[tuple[str, Frame, str]]:
    """Return scikit-learn's tables and, where they are, house prices and the files of a folder."""
    for name in SETS:
        yield name, getattr(datasets, f"load_{name}")(as_frame=True).frame, "target"
    iris = datasets.load_iris(as_frame=True).frame
    yield "iris, setosa or not", iris.assign(target=np.where(iris["target"] == 0, "yes", "no")), "target"
    try:
        yield "house prices", read_data(TableData("house_prices", "SalePrice")).frame, "SalePrice"
    except (OSError, TableError) as error:
        print(f"house prices: left out: {error}", file=sys.stderr)
    if folder is None:
        return
    for name, target in FILES.items():
        encoding = "cp949" if "cp949" in name else ("latin-1" if name == "seoul_bike.csv" else "")
        try:
            frame = read_data(TableData(str(folder / name), target, encoding=encoding, missing=("?",))).frame
        except TableError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        yield name, frame, target if target in frame else target.strip()


def noisy(share: float) -> Callable[[Rng, int], tuple[Frame, str]]:
    """Return tables of six columns, a sum of three of which explains `share` of the target's variance."""

    def make(rng: Rng, n: int) -> tuple[Frame, str]:
        X = rng.normal(size=(n, 6))
        signal = X[:, :3] @ np.array([1.0, -0.7, 0.5])
        noise = rng.normal(0.0, np.sqrt((1 - share) / share * signal.var()), n)
        return _frame(X).assign(y=signal + noise), "y"

    return make


def _frame(X: FloatArray) -> Frame:
    return pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])


def strong(rng: Rng, n: int) -> tuple[Frame, str]:
    """Return a price that an area tells but for 9 % of its scatter, and idle columns."""
    area, rooms = rng.uniform(40.0, 220.0, n), rng.integers(1, 6, n)
    price = 2800.0 * area + 0.09 * 2800.0 * area.std() * rng.normal(size=n)
    return _frame(rng.normal(size=(n, 2))).assign(area=area, rooms=rooms, price=price), "price"


def before(rng: Rng, n: int) -> tuple[Frame, str]:
    """Return a price and last month's, which tells it but for 2 % of its scatter."""
    price = np.exp(rng.normal(12.0, 0.4, n))
    last = price * (1.0 + 0.02 * rng.normal(size=n))
    return _frame(rng.normal(size=(n, 2))).assign(price_last_month=last, price=price), "price"


def blobs(rng: Rng, n: int) -> tuple[Frame, str]:
    """Return three classes that all of four columns together separate."""
    X, y = datasets.make_blobs(n, 4, centers=3, cluster_std=1.5, random_state=int(rng.integers(2**31)))
    return _frame(X).assign(y=np.array(["a", "b", "c"])[y]), "y"


def moons(rng: Rng, n: int) -> tuple[Frame, str]:
    """Return two classes along crossing half circles, and two idle columns."""
    X, y = datasets.make_moons(n, noise=0.1, random_state=int(rng.integers(2**31)))
    return _frame(np.column_stack([X, rng.normal(size=(n, 2))])).assign(y=np.array(["a", "b"])[y]), "y"


def friedman(rng: Rng, n: int) -> tuple[Frame, str]:
    """Return Friedman's first function of five of ten columns, without noise."""
    X, y = datasets.make_friedman1(n, random_state=int(rng.integers(2**31)))
    return _frame(X).assign(y=y), "y"


def law(name: str, idle: bool) -> Callable[[Rng, int], tuple[Frame, str]]:
    """Return a physical law without noise, alone or with an idle column."""

    def make(rng: Rng, n: int) -> tuple[Frame, str]:
        a, b, c = rng.uniform(1.0, 9.0, (3, n))
        columns: dict[str, tuple[dict[str, FloatArray], FloatArray]] = {
            "force": ({"mass": a, "acceleration": b}, a * b),
            "energy": ({"mass": a, "speed": b}, 0.5 * a * b**2),
            "gas": ({"amount": a, "temperature": b, "volume": c}, 8.314 * a * b / c),
            "parabola": ({"x": a}, (a - 5.0) ** 2),
            "range": ({"speed": a, "angle": b / 6}, a**2 * np.sin(b / 3) / 9.81),
        }
        known, y = columns[name]
        more = {"idle": rng.normal(size=n)} if idle else {}
        return pd.DataFrame({**known, **more, "y": y}), "y"

    return make


LAWS = ("force", "energy", "gas", "parabola", "range")
MADE: dict[str, Callable[[Rng, int], tuple[Frame, str]]] = {
    **{f"linear, R² {share:g}": noisy(share) for share in (0.5, 0.9, 0.95, 0.98)},
    "a strong honest predictor, R² 0.992": strong,
    "last month's value of the target": before,
    "three blobs": blobs,
    "two moons": moons,
    "Friedman 1 without noise": friedman,
}

# Planted leaks


def bystanders(rng: Rng, n: int) -> tuple[Frame, FloatArray]:
    """Return columns and a positive target of which they tell half."""
    X = rng.normal(size=(n, 4))
    y = 50.0 + 6.0 * X[:, 0] - 4.0 * X[:, 1] + rng.normal(0.0, 7.0, n)
    frame = _frame(X).assign(place=rng.choice(["north", "south", "east"], n))
    return frame, np.maximum(y, 1.0)


def _classes(y: FloatArray) -> npt.NDArray[np.str_]:
    return np.array(["low", "middle", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]


def _sum(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    part = rng.uniform(0.2, 0.8, len(y)) * y
    return {"one": part, "two": y - part}, y


def _whole(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    y = np.rint(y)
    part = rng.binomial(y.astype(int), 0.4).astype(np.float64)
    return {"one": part, "two": y - part}, y


def _gaps(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    parts, y = _sum(rng, y)
    return {name: np.where(rng.random(len(y)) < 0.05, np.nan, part) for name, part in parts.items()}, y


def _difference(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    start = rng.normal(1000.0, 300.0, len(y))
    return {"start": start, "end": start + y}, y


def _product(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    number = rng.integers(1, 9, len(y)).astype(np.float64)
    each = np.round(y / number, 2)
    return {"number": number, "each": each}, np.round(number * each, 2)


def _ratio(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    people = np.rint(rng.uniform(500.0, 9000.0, len(y)))
    return {"people": people, "cases": np.rint(people * y)}, np.rint(people * y) / people


def _parts(rng: Rng, y: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
    shares = rng.dirichlet(np.ones(6), len(y))
    return {f"part{k}": shares[:, k] * y for k in range(6)}, y


def _copy(noise: float, name: str = "x9") -> Callable[[Rng, FloatArray], tuple[dict[str, FloatArray], FloatArray]]:
    return lambda rng, y: ({name: 0.8 * y + rng.normal(0.0, 0.8 * noise * y.std(), len(y)) + 3.0}, y)


PLANTED: dict[str, Callable[[Rng, FloatArray], tuple[dict[str, FloatArray], FloatArray]]] = {
    "sum of two": _sum,
    "sum of two whole numbers": _whole,
    "sum of two, 5 % of the cells missing": _gaps,
    "difference": _difference,
    "product, to the cent": _product,
    "ratio": _ratio,
    "sum of six": _parts,
    "monotone transform": lambda _, y: ({"bent": np.log(y)}, y),
    **{f"copy with noise of {noise:.0%} of its scatter": _copy(noise) for noise in (0.01, 0.03, 0.08, 0.15, 0.3)},
    **{f"the same, called after_y, {noise:.0%}": _copy(noise, "after_y") for noise in (0.01, 0.03, 0.08, 0.15)},
}


def _finer(rng: Rng, _: FloatArray, kind: npt.NDArray[np.str_]) -> dict[str, Any]:
    return {"code": [f"{word}{digit}" for word, digit in zip(kind, rng.integers(0, 3, len(kind)), strict=True)]}


def _filled(rng: Rng, _: FloatArray, kind: npt.NDArray[np.str_]) -> dict[str, Any]:
    return {"month": np.where(kind == "high", rng.integers(1, 13, len(kind)), np.nan)}


def _two(rng: Rng, y: FloatArray, _: npt.NDArray[np.str_]) -> dict[str, Any]:
    part = rng.normal(100.0, 20.0, len(y))
    return {"start": part, "end": part + y}


CLASSES: dict[str, Callable[[Rng, FloatArray, npt.NDArray[np.str_]], dict[str, Any]]] = {
    "recoding of the class": lambda _, __, kind: {"code": [{"low": 3, "middle": 1, "high": 2}[word] for word in kind]},
    "finer word than the class": _finer,
    "the number the class was cut from": lambda _, y, __: {"score": y},
    "that number with noise of 2 %": lambda rng, y, _: {"score": y + rng.normal(0.0, 0.02 * y.std(), len(y))},
    "cells filled for one class only (of two)": _filled,
    "two numbers whose difference decides": _two,
}


def planted(kind: str, n: int, n_draws: int) -> Iterator[tuple[Frame, str]]:
    """Return tables with a leak of a kind."""
    for k in range(n_draws):
        rng = np.random.default_rng([k, n])
        frame, y = bystanders(rng, n)
        if kind in PLANTED:
            more, y = PLANTED[kind](rng, y)
            yield frame.assign(**more, y=y), "y"
            continue
        words = _classes(y)
        if "of two" in kind:
            words = np.where(words == "high", "high", "low")
        yield frame.assign(**CLASSES[kind](rng, y, words), y=words), "y"


def planted_in(frame: Frame, target: str, n_draws: int) -> Iterator[tuple[Frame, str]]:
    """Return a real table with a sum, a product and a noisy copy of its numbers, or a recoding of its classes."""
    task = find_target(frame, target)
    for k in range(n_draws):
        rng = np.random.default_rng(k)
        if task.task == "classification":
            yield frame.assign(code=[f"c{int(value)}" for value in task.values]), target
            continue
        for kind in (_sum, _product, _copy(0.03)):
            more, y = kind(rng, task.values)
            yield frame.assign(**more, **{target: y}), target


def print_counts(title: str, rows: Sequence[Count]) -> None:
    """Print a Markdown table."""
    print(f"\n| {title} | tables | named | no certificate |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.kind} | {row.n} | {row.n_named} | {row.n_withheld} |")
    n, named, withheld = (sum(getattr(row, key) for row in rows) for key in ("n", "n_named", "n_withheld"))
    print(f"| all | {n} | {named} | {withheld} |")


def main(argv: Sequence[str] | None = None) -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tables", type=Path, metavar="FOLDER", help="of more honest tables")
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="random parts, and leaks planted (20)")
    asked = parser.parse_args(argv)
    n = asked.draws
    real = list(real_tables(asked.tables))
    print_counts("honest tables, whole and in parts", [count(k, parts(f, t, n)) for k, f, t in real])
    made = {**MADE, **{f"law without noise: {name}": law(name, idle=False) for name in LAWS}}
    drawn = [
        count(f"{kind}, {size} rows", (make(np.random.default_rng([k, size]), size) for k in range(n)))
        for kind, make in made.items()
        for size in SIZES
    ]
    print_counts("honest made tables", drawn)
    idle = [
        count(name, (law(name, idle=True)(np.random.default_rng([k, s]), s) for s in SIZES for k in range(n)))
        for name in LAWS
    ]
    print_counts("laws without noise beside an idle column", idle)
    leaks = [
        count(kind, (table for size in SIZES for table in planted(kind, size, n))) for kind in (*PLANTED, *CLASSES)
    ]
    print_counts("planted leaks", leaks)
    print_counts("leaks planted in real tables", [count(k, planted_in(f, t, max(n // 4, 1))) for k, f, t in real])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
