"""Numbers are read as they were written in any country, or refused with both readings; never as other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.reading import read_table
from sweeps.data.table.table import Table, TableError
from sweeps.data.table.told import Told


def written(folder: Path, columns: dict[str, Sequence[str]]) -> Path:
    """Write text columns between bars, which no number holds."""
    path = folder / "t.csv"
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    path.write_text("".join("|".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(folder: Path, *cells: str, told: Told = Told(), **others: Sequence[str]) -> Table:  # noqa: B008 (frozen)
    label = [f"k{k}" for k in range(len(cells))]
    return read_table(written(folder, {"label": label, "x": cells, **others}), told)


def refusal(folder: Path, *cells: str, told: Told = Told(), **others: Sequence[str]) -> str:  # noqa: B008 (frozen)
    with pytest.raises(TableError) as caught:
        read(folder, *cells, told=told, **others)
    message = str(caught.value)
    assert "\n" not in message
    return message.partition("t.csv: ")[2]


@pytest.mark.parametrize(
    ("cells", "values", "note"),
    [
        (("12,345,678", "951"), [12345678, 951], "'12,345,678' read as 12345678 (1 cells)"),
        (("12,34,567", "4,500"), [1234567, 4500], "'12,34,567' read as 1234567 (2 cells)"),
        (("1,234.5", "12", "3,951"), [1234.5, 12, 3951], "'1,234.5' read as 1234.5 (2 cells)"),
        (("0,5", "3,951", "7"), [0.5, 3.951, 7], "'0,5' read as 0.5 (2 cells)"),
        (("3,95", "3,951"), [3.95, 3.951], "'3,95' read as 3.95 (2 cells)"),
        (("1234,567", "-1,5e3"), [1234.567, -1500], "'1234,567' read as 1234.567 (2 cells)"),
        (("1.234,50", "7,25"), [1234.5, 7.25], "'1.234,50' read as 1234.50 (2 cells)"),
        (("1.234.567", "1.234"), [1234567, 1234], "'1.234.567' read as 1234567 (2 cells)"),
        (("1 234", "56 789,5"), [1234, 56789.5], "'1 234' read as 1234 (2 cells)"),
        (("1\u202f234", "12"), [1234, 12], "'1\\u202f234' read as 1234 (1 cells)"),
        (("1'234.50", "1\u2019000"), [1234.5, 1000], '"1\'234.50" read as 1234.50 (2 cells)'),
        (("$1,200", "$5.50", "-$3"), [1200, 5.5, -3], "'$1,200' read as 1200 (3 cells)"),
        (("1.200,00 €", "5,50€"), [1200, 5.5], "'1.200,00 €' read as 1200.00 (2 cells)"),
        (("EUR 12", "EUR 7.5"), [12, 7.5], "'EUR 12' read as 12 (2 cells)"),
        (("12%", "7.5 %"), [12, 7.5], "'12%' read as 12 (2 cells)"),
        (("(1,200.50)", "1,300", "7"), [-1200.5, 1300, 7], "'(1,200.50)' read as -1200.50 (2 cells)"),
        (("($5.25)", "$3", "$(1)"), [-5.25, 3, -1], "'($5.25)' read as -5.25 (3 cells)"),
        (("1 kg", "2.5 kg", "3kg", "4 kg", "5 kg"), [1, 2.5, 3, 4, 5], "'1 kg' read as 1 (5 cells)"),
        (("-4,5 \u00b0C", "0 \u00b0C", "7,25 \u00b0C", "1 \u00b0C", "2 \u00b0C"), [-4.5, 0, 7.25, 1, 2],
         "'-4,5 \u00b0C' read as -4.5 (5 cells)"),
        (("\u22125", "3.25"), [-5, 3.25], "'\u22125' read as -5 (1 cells)"),
    ],
)  # fmt: skip
def test_marks_currency_and_percent_are_read_where_all_cells_agree_and_told(
    tmp_path: Path, cells: tuple[str, ...], values: list[float], note: str
) -> None:
    table = read(tmp_path, *cells)
    assert table.frame["x"].tolist() == values
    assert table.notes == (f"column 'x': {note}",)


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (("3,951", "2,120"), "'3,951' can be 3951 (--thousands ,) or 3.951 (--decimal ,)"),
        (("3,951", "700", "12"), "'3,951' can be 3951 (--thousands ,) or 3.951 (--decimal ,)"),
        (("1234", "3,951"), "'3,951' can be 3951 (--thousands ,) or 3.951 (--decimal ,)"),
        (("$3,951", "$1,250"), "'$3,951' can be 3951 (--thousands ,) or 3.951 (--decimal ,)"),
        (("1.234", "700"), "'1.234' can be 1.234 (--decimal .) or 1234 (--thousands .)"),
        (("-1.234", "5.678", "2"), "'-1.234' can be -1.234 (--decimal .) or -1234 (--thousands .)"),
    ],
)
def test_two_readings_are_refused_with_both_and_the_option_that_decides(
    tmp_path: Path, cells: tuple[str, ...], shown: str
) -> None:
    assert refusal(tmp_path, *cells) == f"column 'x': {shown}; say which with that option"


@pytest.mark.parametrize(
    ("cells", "told", "values"),
    [
        (("3,951", "700"), Told(thousands=","), [3951, 700]),
        (("3,951", "700"), Told(decimal=","), [3.951, 700]),
        (("3,951", "700"), Told(decimal="."), [3951, 700]),
        (("1.234", "700"), Told(thousands="."), [1234, 700]),
        (("1.234", "700"), Told(decimal="."), [1.234, 700]),
        (("1.234", "2.500"), Told(decimal=","), [1234, 2500]),
    ],
)
def test_the_option_decides(tmp_path: Path, cells: tuple[str, ...], told: Told, values: list[float]) -> None:
    assert read(tmp_path, *cells, told=told).frame["x"].tolist() == values


@pytest.mark.parametrize("mark", [",", "."])
def test_a_writer_who_pads_some_and_leaves_others_bare_means_thousands(tmp_path: Path, mark: str) -> None:
    cells = [f"1{mark}630", f"2{mark}500", f"3{mark}951", "685", "460"]
    assert read(tmp_path, *cells).frame["x"].tolist() == [1630, 2500, 3951, 685, 460]
    assert "can be" in refusal(tmp_path, *cells, "2")  # a bare number within the range of the decimals: typed by hand?


def test_three_digits_behind_every_point_are_decimals_unless_the_file_shows_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, "2.286", "12.120", "0").frame["x"].tolist() == [2.286, 12.12, 0]
    assert read(tmp_path, "2.286", "12.120").notes == ()
    told = read(tmp_path, "3.259", "1.364", y=("339.989,19", "174.440,57"))
    assert told.frame["x"].tolist() == [3259, 1364]
    assert told.notes[0] == (
        "column 'x': '3.259' read as 3259 (2 cells), as another column of the file writes both marks"
    )
    # A decimal comma elsewhere says that the point is none, or that columns come from two places.
    assert refusal(tmp_path, "3.259", "1.364", y=("0,5", "1,25")).startswith("column 'x': '3.259' can be 3.259")
    # Another column's thousands alone, or marks used both ways, decide nothing.
    assert "can be" in refusal(tmp_path, "3,951", "2,120", y=("12,345,678", "5"))
    assert "can be" in refusal(tmp_path, "3,951", "2,120", y=("1,234.50", "5"), z=("1.234,50", "5"))


@pytest.mark.parametrize(
    "cells",
    [
        ("(1)", "(2)", "(3)", "(4)"),
        ("(1)", "-2", "3", "4"),
        ("1 kg", "2 kg", "3 lb", "4 kg", "5 kg", "6 kg"),
        ("4wd", "2wd", "4wd", "2wd", "4wd"),
        ("$5", "€5"), ("$5", "7"), ("5%", "0.5"), ("- 5", "3"), ("1,23,4", "5"), ("12,34", "1.5"), ("1 2345", "7"),
        ("1,234 567", "8"), ("192.168.1.20", "10.0.0.1"), ("01.02.2024", "03.04.2024"), ("1_000", "2_000"),
    ],
)  # fmt: skip
def test_what_is_no_number_in_one_format_stays_text_to_the_letter(tmp_path: Path, cells: tuple[str, ...]) -> None:
    assert read(tmp_path, *cells).frame["x"].tolist() == list(cells)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("$1,200",) * 20 + ("abc",), "line 22, column 'x': 'abc'; expected a number like '$1,200', as in 20 of 21 "
                                      "cells "
         "(--missing 'abc' reads it as missing, --text-column 'x' keeps the column as text)"),
        (("0,5",) * 30 + ("0.5",), "line 32, column 'x': '0.5'; expected a number like '0,5', as in 30 of 31 cells "
         "(mend it, write NA, or keep the column as text: --text-column 'x')"),
    ],
)  # fmt: skip
def test_the_cell_that_is_to_blame_is_named(tmp_path: Path, cells: tuple[str, ...], message: str) -> None:
    assert refusal(tmp_path, *cells) == message


def test_a_file_of_the_same_columns_is_read_as_the_first_was(tmp_path: Path) -> None:
    first = read(tmp_path, "1.234,50", "700,00")
    again = read_table(written(tmp_path, {"x": ["1.234", "700"]}), formats=dict(first.formats))
    assert again.frame["x"].tolist() == [1234, 700]
    assert again.notes == ("column 'x': '1.234' read as 1234 (1 cells), as in training",)


# Round trip: whoever writes a column of numbers in one format finds the same numbers, or is asked.

FORMATS = tuple(
    NumberFormat(decimal, thousands, prefix, suffix)
    for decimal in ".,"
    for thousands in ("", ",", ".", " ", "'")
    if thousands != decimal
    for prefix, suffix in (("", ""), ("$", ""), ("", " €"), ("CHF ", ""), ("", "%"))
)


def spell(value: float, form: NumberFormat, n_decimals: int | None) -> str:
    """Write a number as a program of some country would: fixed decimals, or as few as it needs."""
    text = f"{value:,.{n_decimals}f}" if n_decimals is not None else f"{value:,.15g}"
    whole, point, decimals = text.partition(".")
    return form.prefix + whole.replace(",", form.thousands) + (form.decimal if point else "") + decimals + form.suffix


def draw(rng: np.random.Generator) -> list[float]:
    n = int(rng.integers(1, 40))
    n_decimals = int(rng.integers(0, 5))
    scale = 10.0 ** rng.integers(0, 8)
    values = rng.normal(size=n) * scale if rng.random() < 0.3 else rng.random(n) * scale
    return [round(value, n_decimals) + 0.0 for value in values.tolist()]


def round_trips(n_columns: int, seed: int, folder: Path) -> tuple[int, int]:
    """Return how many columns were read and how many were asked about; fail where one was read as other numbers."""
    rng = np.random.default_rng(seed)
    n_read = n_asked = 0
    for _ in range(n_columns):
        values, form = draw(rng), FORMATS[int(rng.integers(len(FORMATS)))]
        n_decimals = int(rng.integers(0, 5)) if rng.random() < 0.5 else None
        cells = [spell(value, form, n_decimals) for value in values]
        expected = [float(f"{value:.{n_decimals}f}" if n_decimals is not None else f"{value:.15g}") for value in values]
        try:
            table = read(folder, *cells)
        except TableError as error:
            if "can be" not in str(error) or "--decimal" not in str(error):
                raise
            n_asked += 1
            continue
        n_read += 1
        if form.decimal == "," and form.thousands == "." and is_plain_by_default(cells):
            continue  # 3.259 and nothing else is 3.259 where nothing says otherwise: the stated default
        assert table.frame["x"].tolist() == expected, (form, cells)
        changed = [cell for cell, value in zip(cells, expected, strict=True) if not is_plain(cell, value)]
        assert bool(table.notes) == bool(changed), (table.notes, changed)
    return n_read, n_asked


def is_plain(cell: str, value: float) -> bool:
    try:
        return float(cell) == value
    except ValueError:
        return False


def is_plain_by_default(cells: Sequence[str]) -> bool:
    """Whether every cell is a point with three digits behind it, or 0."""
    bare = [cell.strip("$ €CHF%") for cell in cells]
    return all((len(cell.rpartition(".")[2]) == 3 and cell.count(".") == 1) or cell.strip("-") == "0" for cell in bare)


def test_columns_of_every_country_come_back_as_they_were(tmp_path: Path) -> None:
    n_read, n_asked = round_trips(400, 3, tmp_path)
    assert n_read > 320
    assert n_asked > 2


@pytest.mark.slow
def test_five_thousand_columns_of_every_country_come_back_as_they_were(tmp_path: Path) -> None:
    n_read, n_asked = round_trips(5_000, 4, tmp_path)
    assert n_read + n_asked == 5_000
