"""What stands around a table is followed, left out by name, or refused with the option that leaves it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.data.table.reading import read_table
from sweeps.data.table.table import TableError
from sweeps.data.table.told import Told


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def refusal(path: Path, told: Told = Told()) -> str:  # noqa: B008 (frozen)
    with pytest.raises(TableError) as caught:
        read_table(path, told)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path}: ", "", 1)


@pytest.mark.parametrize(
    ("text", "mark"),
    [("\ufeffsep=;\r\na;b\r\n1;2\r\n", ";"), ('"sep=|"\na|b\n1|2\n', "|"), ("SEP=,\na,b\n1,2\n", ",")],
)
def test_a_separator_line_is_followed(tmp_path: Path, text: str, mark: str) -> None:
    table = read_table(write(tmp_path, text))
    assert (table.separator, table.frame.columns.tolist(), table.lines.tolist()) == (mark, ["a", "b"], [3])
    assert table.notes == (f"line 1: 'sep={mark}' left out and followed",)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x  y\n 1   2.5\n3 \t 4\n", [[1, 2.5], [3, 4.0]]),
        ("name value\n'a'  1\n\"b c\"   2\n", [["'a'", 1], ["b c", 2]]),
        ("u v w\n1 NA x\n2 3   y\n", [[1, "nan", "x"], [2, 3.0, "y"]]),
    ],
)
def test_any_run_of_blanks_separates_where_every_line_has_as_many_words(
    tmp_path: Path, text: str, rows: list[list[object]]
) -> None:
    table = read_table(write(tmp_path, text))
    assert [["nan" if cell != cell else cell for cell in row] for row in table.frame.to_numpy(object).tolist()] == rows
    assert table.separator == " "
    assert "cells are parted by runs of blanks" in table.notes


@pytest.mark.parametrize("text", ["full name\nJohn Smith\nAda King\n", "two words\n12 5\nonly\n"])
def test_a_column_of_phrases_is_one_column(tmp_path: Path, text: str) -> None:
    assert read_table(write(tmp_path, text)).n_columns == 1


@pytest.mark.parametrize(
    ("text", "message", "told"),
    [
        ("Export of 2024-05-01\n\nlength,weight\n0,1\n1,2\n2,3\n3,4\n", "line 1: 'Export of 2024-05-01' stands "
                                                                        "above the "
         "table, whose header seems to be line 3 ('length,weight'); --skip-rows 2 leaves out what is above it",
         Told(skip_rows=2)),
        ("Station 7;\nlength;weight\n0;1\n1;2\n2;3\n", None, None),
        ("Report\nJanuary\nlength\tweight\n0\t1\n1\t2\n2\t3\n3\t4\n4\t5\n", "line 1: 'Report' stands above the "
                                                                            "table, whose "
         "header seems to be line 3 ('length\\tweight'); --skip-rows 2 leaves out what is above it", Told(skip_rows=2)),
        ("# made by x\n# in 2014\nlength,weight\n0,1\n1,2\n2,3\n", "line 1: '# made by x'; is this a comment? "
         "--comment '#' leaves out lines that begin with '#'", Told(comment="#")),
        ("% one, two, three\nlength,weight\n0,1\n% and here\n1,2\n2,3\n", "line 2: 2 cells; expected 3, as in the "
                                                                          "header",
         Told(comment="%")),
    ],
)  # fmt: skip
def test_what_stands_above_the_header_is_named_with_the_option_that_leaves_it_out(
    tmp_path: Path, text: str, message: str | None, told: Told | None
) -> None:
    path = write(tmp_path, text)
    if message is None or told is None:
        assert "line" in refusal(path)
        return
    assert refusal(path) == message
    table = read_table(path, told)
    assert table.frame.columns.tolist() == ["length", "weight"]
    assert table.frame["length"].tolist()[:3] == [0, 1, 2]


def test_a_comment_may_begin_any_row_and_none_within_a_cell(tmp_path: Path) -> None:
    path = write(tmp_path, '# top\na,b\n1,"x\n#y"\n# between\n2,z\n')
    table = read_table(path, Told(comment="#"))
    assert table.frame["b"].tolist() == ["x\n#y", "z"]
    assert table.lines.tolist() == [3, 6]


@pytest.mark.parametrize("text", ["length,weight\n(mm),(g)\n0,1\n1,2\n2,3\n", "a;b\nm/s;kg\n0,5;1,5\n1,5;2\n2,5;3\n"])
def test_a_row_of_units_is_named_and_left_out_on_request(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert refusal(path).endswith("(--units-row leaves out a row of units below the header)")
    assert refusal(path).startswith("line 2, column")
    table = read_table(path, Told(units_row=True))
    assert [kind.kind for kind in table.frame.dtypes] in (["i", "i"], ["f", "f"])
    assert table.n_rows == 3
    assert "--units-row: the row below the header left out" in table.notes


def test_a_row_of_numbers_is_not_left_out_as_units(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "a,b\n1,2\n3,4\n"), Told(units_row=True))
    assert message == "line 2: '1' is no unit; leave --units-row out"


@pytest.mark.parametrize(("text", "n"), [("3,?,audi\n1,2,bmw\n", 3), (" 13.1  6\n 24.6  4\n", 2)])
def test_a_file_without_names_counts_its_columns(tmp_path: Path, text: str, n: int) -> None:
    path = write(tmp_path, text)
    assert refusal(path).endswith(
        "looks like a value, not a name; expected a header line (--no-header if there is none: columns are then called "
        "1, 2, 3)"
    )
    table = read_table(path, Told(header=False, missing=("?",)))
    assert table.frame.columns.tolist() == [str(k) for k in range(1, n + 1)]
    assert table.n_rows == 2


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("a;b;;\n1;2;;\n3;4;;\n;;;\n;;;\n", ("2 empty rows at the end left out (from line 4)", "columns 3 to 4: "
                                                                                               "empty, left out")),
        ("a,b,\n1,2,\n3,4,\n", ("column 3: empty, left out",)),
        ("a,b\n1,2,\n3,4,\n", ()),
        ("a\tb\n1\t2\n3\t4\n \t \n", ("1 empty rows at the end left out (from line 4)",)),
    ],
)  # fmt: skip
def test_empty_columns_and_rows_at_the_end_are_left_out_by_name(
    tmp_path: Path, text: str, notes: tuple[str, ...]
) -> None:
    table = read_table(write(tmp_path, text))
    assert table.frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert table.notes == notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b;\n1;2;\n3;4;5\n", "line 1, column 3: no name; expected one for every column"),
        ("a,,b\n1,,2\n3,,4\n", "line 1, column 2: no name; expected one for every column"),
        ("a,b\n1,2,\n3,4,5\n", "line 3: 3 cells; expected 2, as in the header"),
    ],
)
def test_what_holds_a_cell_or_lies_between_is_not_left_out(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(write(tmp_path, text)) == message


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a,b\n1,x\na,b\n2,y\n", "line 3: the header again, left out"),
        ("a;b\r\n1;2\r\na;b\r\n3;4\r\na;b\r\n", "line 3: the header 2 times again, left out"),
    ],
)
def test_a_header_between_the_rows_is_left_out(tmp_path: Path, text: str, note: str) -> None:
    table = read_table(write(tmp_path, text))
    assert table.notes == (note,)
    assert table.frame["a"].tolist() == ([1, 2] if "x" in text else [1, 3])
    assert table.lines.tolist() == [2, 4]


def test_a_row_that_repeats_numbers_is_no_header(tmp_path: Path) -> None:
    told = Told(header=False)
    assert read_table(write(tmp_path, "a,b\nc,d\na,b\n"), told).n_rows == 3
    assert refusal(write(tmp_path, "1,b\n2,x\n1,b\n")).startswith("line 1, column 1: '1' looks like a value")


def test_a_row_of_sums_is_to_be_deleted_not_read_as_missing(tmp_path: Path) -> None:
    rows = "".join(f"{k},{k}\n" for k in range(20))
    assert refusal(write(tmp_path, f"a,b\n{rows}Total,190\n")) == (
        "line 22, column 'a': 'Total'; expected a number, as in 20 of 21 cells (a row of sums is none of the data: "
        "delete it from a copy of the file)"
    )


def test_an_empty_row_between_others_stays(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,2\n,\n3,4\n"))
    assert table.frame["a"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("composed", "decomposed"), [("qualit\u00e9", "qualite\u0301"), ("\uac12", "\u1100\u1161\u11b9")]
)
def test_names_that_differ_in_unicode_form_are_one(tmp_path: Path, composed: str, decomposed: str) -> None:
    table = read_table(write(tmp_path, f"x,{decomposed}\n1,2\n"))
    assert table.frame.columns.tolist() == ["x", composed]
    assert refusal(write(tmp_path, f"{composed},{decomposed}\n1,2\n")) == (
        f"line 1, columns 1, 2: all named {composed!r}; expected different names"
    )
