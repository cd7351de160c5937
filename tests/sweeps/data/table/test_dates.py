"""Dates as people write them: recognised where they prove themselves, declared elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.data.table.columns import find_columns
from sweeps.data.table.dates import convert_dates, with_dates
from sweeps.data.table.reading import read_table
from sweeps.data.table.table import Table, TableError


def read(folder: Path, cells: list[str]) -> Table:
    file = folder / "dates.csv"
    file.write_text("when,x\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells)))
    return read_table(str(file))


@pytest.mark.parametrize(
    ("cells", "date_format", "first"),
    [
        (["01/02/2020", "13/02/2020", "05/03/2020"], "%d/%m/%Y", "2020-02-01"),
        (["01/02/2020", "02/13/2020", "03/05/2020"], "%m/%d/%Y", "2020-01-02"),
        (["1.2.2020", "31.12.2020", "5.3.2021"], "%d.%m.%Y", "2020-02-01"),
        (["01-02-2020 10:30", "13-02-2020 00:00", "05-03-2020 23:59"], "%d-%m-%Y %H:%M", "2020-02-01T10:30:00"),
        (["1/2/20", "2/13/20", "3/5/20"], "%m/%d/%y", "2020-01-02"),
        (["01/02/2020 01:30 PM", "02/13/2020 12:00 AM"], "%m/%d/%Y %I:%M %p", "2020-01-02T13:30:00"),
    ],
)
def test_a_day_above_twelve_proves_the_order(tmp_path: Path, cells: list[str], date_format: str, first: str) -> None:
    table = with_dates(read(tmp_path, cells))
    assert table.date_formats == (("when", date_format),)
    assert table.frame["when"][0] == first
    proof = next(cell for cell in cells if "13" in cell or "31" in cell)
    assert table.notes[-1] == f"column 'when': dates written as {date_format} ({proof!r} can be nothing else)"
    assert find_columns(table.frame, "x")[0].role == "date"


def test_without_proof_the_order_is_asked_for(tmp_path: Path) -> None:
    table = read(tmp_path, ["01/02/2020", "02/03/2020"])
    left = with_dates(table)
    assert left.date_formats == ()
    assert left.notes[-1] == (
        "column 'when': '01/02/2020' may have the day first or the month: say --date-format '%d/%m/%Y' or '%m/%d/%Y'"
    )
    assert with_dates(table, "%d/%m/%Y").frame["when"].tolist() == ["2020-02-01", "2020-03-02"]
    assert with_dates(table, "%m/%d/%Y").frame["when"].tolist() == ["2020-01-02", "2020-02-03"]


@pytest.mark.parametrize("cells", [["13/13/2020", "01/01/2020"], ["30/02/2020", "01/01/2020"], ["13/01/2020", "soon"]])
def test_what_is_no_date_stays_text(tmp_path: Path, cells: list[str]) -> None:
    table = read(tmp_path, cells)
    assert with_dates(table).frame["when"].tolist() == cells


def test_a_format_that_no_column_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        with_dates(read(tmp_path, ["01/02/2020", "13/02/2020"]), "%Y.%m.%d")
    assert str(caught.value).endswith(
        "dates.csv: --date-format %Y.%m.%d: no column is written so; column 'when' has '01/02/2020'"
    )


def test_new_rows_are_read_as_the_training_rows_were(tmp_path: Path) -> None:
    frame = read(tmp_path, ["01/02/2020", "02/03/2020"]).frame  # nothing here proves anything
    assert convert_dates(frame, {"when": "%d/%m/%Y"})["when"].tolist() == ["2020-02-01", "2020-03-02"]
    bad = read(tmp_path, ["01/02/2020", "02/13/2020"]).frame
    with pytest.raises(TableError, match=r"^column 'when': '02/13/2020'; expected dates written as %d/%m/%Y$"):
        convert_dates(bad, {"when": "%d/%m/%Y"})
