"""Words and codes for a missing cell: read where they can mean nothing else, else named with their option."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweeps.data.table.columns import find_columns
from sweeps.data.table.reading import read_table
from sweeps.data.table.sentinels import codes_of, find_sentinels
from sweeps.data.table.table import TableError, with_known_target
from sweeps.data.table.told import Told


def write(folder: Path, *cells: str) -> Path:
    path = folder / "t.csv"
    path.write_text("x|k\n" + "".join(f"{cell}|{k}\n" for k, cell in enumerate(cells)), encoding="utf-8")
    return path


def refusal(path: Path, told: Told = Told()) -> str:  # noqa: B008 (frozen)
    with pytest.raises(TableError) as caught:
        read_table(path, told)
    return str(caught.value).replace(f"{path}: ", "", 1)


@pytest.mark.parametrize(
    "word", ["NA", "na", "Na", "n/a", "N/A", "nan", "NaN", "NAN", "null", "NULL", "none", "NONE", ""]
)
def test_words_of_missing_are_read_in_a_column_of_numbers_in_any_case(tmp_path: Path, word: str) -> None:
    table = read_table(write(tmp_path, "1", word, "3"))
    assert table.frame["x"].isna().tolist() == [False, True, False]
    assert table.notes == ((f"column 'x': read as missing: {word!r} 1 times",) if word else ())


@pytest.mark.parametrize(
    ("word", "option"),
    [("?", "--missing '?'"), ("-", "--missing='-'"), ("unknown", "--missing 'unknown'"), ("missing", "--missing "
                                                                                                     "'missing'"),
     ("n.a.", "--missing 'n.a.'"), (".", "--missing '.'"), ("*", "--missing '*'"), ("#DIV/0!", "--missing '#DIV/0!'")],
)  # fmt: skip
def test_other_usual_words_are_named_with_the_option_that_reads_them(tmp_path: Path, word: str, option: str) -> None:
    path = write(tmp_path, "1", word, "3", word, "$4" if word == "*" else "4")
    path = write(tmp_path, "1", word, "3", word, "4")
    assert refusal(path) == (
        f"line 3, column 'x': {word!r}; expected a number, as in 3 of 5 cells (2 cells: {option} reads it as missing)"
    )
    assert read_table(path, Told(missing=(word,))).frame["x"].isna().tolist() == [False, True, False, True, False]


def test_several_words_are_named_together(tmp_path: Path) -> None:
    path = write(tmp_path, "$1,200", "?", "$3", "unknown", "$5.50", "?")
    assert refusal(path) == (
        "line 3, column 'x': '?'; expected a number, as in 3 of 6 cells (the first of 3 such cells: --missing "
        "'?,unknown' "
        "reads them as missing)"
    )
    values = read_table(path, Told(missing=("?", "unknown"))).frame["x"].tolist()
    assert [values[0], values[2], values[4]] == [1200, 3, 5.5]


def test_a_word_among_words_stays_one_and_is_named(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "red", "none", "blue", "?", "none"))
    assert table.frame["x"].tolist() == ["red", "none", "blue", "?", "none"]
    assert table.notes == ("column 'x': kept as words: '?' 1 times (--missing '?' reads them as missing)",)


@pytest.mark.parametrize("cells", [("-200", "-200.0", "-2e2"), ("-200,0", "-200,00", "-200,0")])
def test_a_number_for_missing_is_meant_however_it_is_written(tmp_path: Path, cells: tuple[str, ...]) -> None:
    point = "," if "," in cells[0] else "."
    table = read_table(write(tmp_path, f"1{point}5", *cells, f"2{point}25"), Told(missing=("-200",)))
    assert table.frame["x"].isna().tolist() == [False, True, True, True, False]
    assert sum(int(note.split(" times")[0].split()[-1]) for note in table.notes if "as missing" in note) == 3


def test_rows_without_a_target_are_left_out_with_their_number(tmp_path: Path) -> None:
    table = with_known_target(read_table(write(tmp_path, "1", "NA", "3", "", "5")), "x")
    assert table.frame["x"].tolist() == [1, 3, 5]
    assert table.lines.tolist() == [2, 4, 6]
    assert table.notes[-1] == (
        "2 of 5 rows have no 'x' (the first on line 3) and are left out of training; predict ... --without-target "
        "predicts them"
    )
    whole = read_table(write(tmp_path, "a", "b"))
    assert with_known_target(whole, "x") is whole


# Codes


def with_codes(rng: np.random.Generator, kind: str, code: float) -> np.ndarray:
    values = {
        "sensor": lambda: rng.gamma(2.0, 2.0, 300).round(1),
        "ages": lambda: rng.integers(18, 90, 300).astype(float),
        "counts": lambda: rng.poisson(4.0, 300).astype(float),
        "share": lambda: rng.random(300).round(3),
    }[kind]()
    values[rng.choice(300, 12, replace=False)] = code
    return np.asarray(values)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("sensor", -200.0), ("ages", -9.0), ("ages", 999.0), ("counts", -1.0), ("counts", 99.0), ("share", 9.99),
     ("share", -9.0)],
)  # fmt: skip
def test_a_planted_code_is_found(kind: str, code: float) -> None:
    found = [codes_of(with_codes(np.random.default_rng(seed), kind, code)) for seed in range(20)]
    assert sum(one == [(code, 12)] for one in found) >= 18


def test_honest_columns_are_seldom_accused() -> None:
    rng = np.random.default_rng(0)
    draws = [
        lambda: rng.normal(size=200), lambda: rng.normal(size=200).round(1), lambda: rng.exponential(size=200).round(2),
        lambda: rng.lognormal(0, 1, 200).round(1), lambda: rng.poisson(3, 200), lambda: rng.integers(0, 2, 200),
        lambda: rng.integers(-5, 6, 200), lambda: np.where(rng.random(200) < 0.6, 0, rng.integers(500, 9000, 200)),
        lambda: rng.standard_t(2, 200).round(1), lambda: rng.binomial(30, 0.1, 200),
    ]  # fmt: skip
    accused = [bool(codes_of(np.asarray(draw(), float))) for draw in draws for _ in range(50)]
    assert sum(accused) <= 5  # of 500


def test_codes_are_named_in_targets_numbers_and_dates(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    days = [f"2020-{1 + k % 12:02d}-{1 + k % 28:02d}" for k in range(60)]
    days[3] = days[17] = "9999-12-31"
    y = rng.normal(size=60).round(2)
    y[[5, 9, 30]] = -200
    frame = pd.DataFrame({"day": days, "a": rng.normal(size=60), "y": y})
    assert find_sentinels(frame, find_columns(frame, "y"), "y") == [
        "column 'y': -200 in 3 of 60 cells, far from all others: a code for missing? It is taken for a value; "
        "--missing -200 reads it as missing",
        "column 'day': 9999-12-31 in 2 of 60 cells, far from all others: a code for missing? It is taken for a value; "
        "--missing 9999-12-31 reads it as missing",
    ]
