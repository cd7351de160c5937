"""Tables are read exactly, with every choice told, or refused in one line."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweeps.data.table.reading import read_table
from sweeps.data.table.table import Limits, Table, TableError
from sweeps.data.table.told import Told


def write(folder: Path, data: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refusal(path: Path | str, told: Told | None = None, limits: Limits | None = None) -> str:
    """Return the message after the file's name; fail unless the file is refused in one line."""
    with pytest.raises(TableError) as caught:
        read_table(path, told or Told(), limits=limits)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path}: ", "", 1)


KOREAN = "이름,값\n가격,1.5\n나무,2\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    table = read_table(write(tmp_path, KOREAN.encode(encoding)))
    assert table.encoding == encoding
    assert table.frame["이름"].tolist() == ["가격", "나무"]
    assert table.frame["값"].tolist() == [1.5, 2.0]


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-16-be", "utf-32-be"])
def test_a_named_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    table = read_table(write(tmp_path, KOREAN.encode(encoding)), Told(encoding=encoding.upper()))
    assert table.frame["이름"].tolist() == ["가격", "나무"]


def test_an_unnamed_encoding_is_not_guessed_but_proposed(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, KOREAN.encode("cp949")))
    assert message.startswith("line 1: byte 0xC0 is not utf-8; name its encoding: --encoding cp949 (Korean Windows)")


def test_latin_1_text_names_the_line_of_the_first_letter_that_is_no_utf_8(tmp_path: Path) -> None:
    data = "city,n\nParis,1\nKöln,2\n".encode("latin-1")
    assert refusal(write(tmp_path, data)).startswith("line 3: byte 0xF6 is not utf-8")
    assert read_table(write(tmp_path, data), Told(encoding="latin1")).frame["city"].tolist() == ["Paris", "Köln"]


def test_an_encoding_against_the_byte_order_mark_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, KOREAN.encode("utf-16"))
    assert refusal(path, Told(encoding="cp949")) == "--encoding cp949, but its byte-order mark says UTF-16; name that"


def test_an_unknown_encoding_names_the_nearest(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "a\n1\n"), Told(encoding="cp94")).endswith("nearest: 'cp949'")


@pytest.mark.parametrize(
    ("mark", "name"), [(",", "t.csv"), (";", "t.csv"), ("\t", "t.csv"), ("|", "t.csv"), ("\t", "t.tsv")]
)
def test_the_separator_is_the_one_of_the_header(tmp_path: Path, mark: str, name: str) -> None:
    table = read_table(write(tmp_path, f"a{mark}b\n1{mark}2.5\n", name))
    assert table.separator == mark
    assert table.frame.iloc[0].tolist() == [1, 2.5]


def test_two_possible_separators_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b,c\n1;2,3\n")
    assert (
        refusal(path)
        == "line 1: the header holds ',' and ';'; say which of them separates: --separator ';' for instance"
    )
    assert read_table(path, Told(separator=";")).notes == ("column 'b,c': '2,3' read as 2.3 (1 cells)",)
    assert read_table(path, Told(separator=";", decimal=",")).frame["b,c"].tolist() == [2.3]


def test_a_decimal_comma_is_read_and_told(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b\n1,5;x\n2;y\n")
    assert read_table(path).notes == ("column 'a': '1,5' read as 1.5 (1 cells)",)
    assert read_table(path, Told(decimal=",")).frame["a"].tolist() == [1.5, 2.0]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, gzip.compress(b"a,b\n1,x\n"), "t.csv.gz"))
    assert table.frame["a"].tolist() == [1]


def test_quoted_cells_keep_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b\n"x,""y""\r\nz",1\nw,2\n'))
    assert table.frame["a"].tolist() == ['x,"y"\r\nz', "w"]
    assert table.lines.tolist() == [2, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_three_line_ends_are_read(tmp_path: Path, end: str) -> None:
    assert read_table(write(tmp_path, end.join(["a,b", "1,2", "3,4", ""]))).frame["b"].tolist() == [2, 4]


def test_digits_with_leading_zeros_stay_text_and_it_is_told(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "zip,n\n02134,1\n10001,2\n"))
    assert table.frame["zip"].tolist() == ["02134", "10001"]
    assert table.notes == ("column 'zip': kept as text, as '02134' on line 2 has leading zeros",)


def test_integers_that_a_double_cannot_hold_stay_text(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "card\n1234567890123456789\n1234567890123456788\n"))
    assert table.frame["card"].tolist() == ["1234567890123456789", "1234567890123456788"]


def test_words_read_as_missing_are_counted(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,x\nNA,\n3,None\n"))
    assert np.isnan(table.frame["a"].to_numpy()).tolist() == [False, True, False]
    assert table.frame["b"].isna().tolist() == [False, True, True]
    assert table.notes == ("column 'a': read as missing: 'NA' 1 times", "column 'b': read as missing: 'None' 1 times")


def test_a_word_of_the_users_can_mean_missing(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a,b\n1,x\n?,y\n3,z\n"), Told(missing=("?",)))
    assert table.frame["a"].isna().tolist() == [False, True, False]


def test_one_odd_cell_in_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n" + "".join(f"{k},x\n" for k in range(20)) + "2O,x\n")
    message = (
        "line 22, column 'a': '2O'; expected a number, as in 20 of 21 cells (mend it, write NA, or keep the column as "
        "text: --text-column 'a')"
    )
    assert refusal(path) == message
    assert read_table(path, Told(text_columns=("a",))).frame["a"].tolist()[-1] == "2O"


def test_a_column_of_some_numbers_stays_text_and_it_is_told(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a\nx\n1\n"))
    assert table.frame["a"].tolist() == ["x", "1"]
    assert table.notes == ("column 'a': kept as text, as 'x' on line 2 is none of its 1 numbers",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a header line and rows"),
        ("\ufeff", "line 1: no text; expected a header line and rows"),
        ("\n", "line 1: blank; expected a header line"),
        ("a,b\n", "line 2: no row below the header; expected at least one"),
        ("a,a\n1,2\n", "line 1, columns 1, 2: all named 'a'; expected different names"),
        ("a,\n1,2\n", "line 1, column 2: no name; expected one for every column"),
        ("1.5,x\n2.5,y\n", "line 1, column 1: '1.5' looks like a value, not a name; expected a header line "
                           "(--no-header if there is none: columns are then called 1, 2, 3)"),
        ("x,NA\n2.5,y\n", "line 1, column 2: 'NA' looks like a value, not a name; expected a header line "
                          "(--no-header if there is none: columns are then called 1, 2, 3)"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells; expected 2, as in the header"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells; expected 2, as in the header"),
        ("a,b\n1,2\n\n3,4\n", "line 3: blank; expected 2 cells (write NA for a missing value)"),
        ('a,b\n1,"2\n3,4\n', 'line 2: a quote (") opens here and never closes; expected its partner, or "" for a quote '
                             'within a quoted cell'),
        ('a,b\n"1"2,3\n', "line 2: text after a closing quote (\"); expected ',' or the end of the line"),
        ("a,b\n1,inf\n2,3\n", "line 2, column 'b': 'inf'; expected a finite number, or NA"),
        ("a,b\n1,1e400\n2,3\n", "line 2, column 'b': '1e400'; expected a number below 1.8e308, or NA"),
        ("a,b\n1,1e-400\n2,3\n", "line 2, column 'b': '1e-400'; expected 0 or a number beyond 1e-307"),
        ("a,b\n1,\x032\n", "line 2: control character U+0003 at character 3; expected text"),
    ],
)  # fmt: skip
def test_damage_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(write(tmp_path, text)) == message


def test_a_nul_byte_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, b"a,b\n1,2\n3,\x004\n")).startswith(
        "line 3: control character U+0000 at character 3"
    )


def test_numbers_are_the_nearest_doubles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, size=500)
    table = read_table(write(tmp_path, "x\n" + "".join(f"{value!r}\n" for value in values.tolist())))
    assert table.frame["x"].tolist() == values.tolist()


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a\n1\n"))
    assert table.sha256 == "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc"


def test_a_file_cut_short_is_noted(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a,b\n1,2")).notes == ("the last line has no end: a file cut short?",)


# Bombs


@pytest.fixture
def quickly_and_small() -> object:
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield None
    assert time.process_time() - start < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.usefixtures("quickly_and_small")
class TestBombs:
    def test_a_folder_a_device_and_a_missing_file(self, tmp_path: Path) -> None:
        told = "not a regular file (a folder, pipe or device); save the table to a file first"
        assert refusal(tmp_path) == told
        assert refusal("/dev/zero") == told
        (tmp_path / "nine.csv").write_text("a,b\n1,2\n")
        assert refusal(tmp_path / "none.csv") == f"not there; nearest: '{tmp_path / 'nine.csv'}'"
        assert "null byte" in refusal("a\0b")

    def test_a_fifo_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert refusal(tmp_path / "fifo").startswith("not a regular file")

    def test_a_sparse_file(self, tmp_path: Path) -> None:
        path = tmp_path / "sparse.csv"
        with path.open("wb") as stream:
            stream.truncate(2 << 30)
        assert refusal(path) == "2,147,483,648 bytes; tables of up to 1,073,741,824 bytes are read; split the file"

    def test_a_million_columns(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, ",".join(f"c{k}" for k in range(1_000_000)) + "\n"))
        assert message in {
            "line 1: 1,000,000 columns; up to 10,000 are read",
            "line 1: longer than 4,194,304 characters; not a table",
        }

    def test_ten_thousand_and_one_columns(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, ",".join(f"c{k}" for k in range(10_001)) + "\n"))
        assert message == "line 1: 10,001 columns; up to 10,000 are read"

    def test_one_cell_of_a_hundred_megabytes(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, b"a,b\n1," + b"x" * 100_000_000 + b"\n"))
        assert message == "line 2: longer than 4,194,304 characters; not a table"

    def test_one_quoted_cell_of_many_lines(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, b'a,b\n1,"' + b"x\n" * 1_000_000))
        assert message.startswith("line 2: a cell of more than 131,072 characters")

    def test_ten_million_empty_lines(self, tmp_path: Path) -> None:
        assert refusal(write(tmp_path, b"\n" * 10_000_000)) == "line 1: blank; expected a header line"
        message = refusal(write(tmp_path, b"a,b\n1,2\n" + b"\n" * 10_000_000))
        assert message == "line 103: blank; expected rows"

    def test_a_gzip_bomb(self, tmp_path: Path) -> None:
        packed = gzip.compress(b"a,b\n" + b"1,2\n" * 20_000_000, compresslevel=1, mtime=0)
        message = refusal(write(tmp_path, packed, "t.csv.gz"))
        assert message.startswith("unpacks to more than 200 times its size")

    def test_a_gzip_file_of_nothing_but_zeros(self, tmp_path: Path) -> None:
        packed = gzip.compress(bytes(1_000_000), mtime=0) * 300
        assert refusal(write(tmp_path, packed, "t.csv.gz")).startswith("unpacks to more than 200 times its size")

    def test_a_gzip_file_cut_short(self, tmp_path: Path) -> None:
        packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-9]
        assert refusal(write(tmp_path, packed, "t.csv.gz")).startswith("damaged gzip data")


def test_limits_are_the_callers(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n3,4\n")
    assert refusal(path, limits=Limits(n_rows=2)).startswith("line 3: more than 2 rows")


# Parquet


def parquet(folder: Path, frame: pd.DataFrame) -> Path:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow (extra parquet)")
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def kinds(table: Table) -> list[str]:
    return [series.dtype.kind for _, series in table.frame.items()]


def test_parquet_gives_what_was_stored(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [0.5, None, 2.5],
            "s": ["x", None, "이름"],
            "b": [True, False, True],
            "c": pd.Categorical(["u", "v", "u"]),
            "t": pd.to_datetime(["2020-01-01", "2021-06-01T12:00:00", None], format="ISO8601"),
        }
    )
    table = read_table(parquet(tmp_path, frame))
    assert kinds(table) == ["i", "f", "O", "b", "O", "M"]
    assert table.frame["s"].tolist()[0::2] == ["x", "이름"]
    assert table.frame["f"].isna().tolist() == [False, True, False]
    assert table.frame["t"].tolist()[1] == pd.Timestamp("2021-06-01 12:00")


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"a": np.arange(1000.0), "s": ["x"] * 1000}))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(60):
        data = bytearray(whole)
        if k % 2:
            del data[int(rng.integers(4, len(data))) :]
        else:
            data[int(rng.integers(4, len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with contextlib.suppress(TableError):  # a flipped bit may lie in a page that nothing checks
            read_table(path)


def test_an_infinite_value_in_parquet_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"a": [1.0, np.inf]}))
    assert refusal(path) == "row 2, column 'a': infinite; expected a finite number, or none"


def test_lists_in_parquet_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"a": [[1, 2], [3]]}))
    assert refusal(path).endswith("expected numbers, text, booleans or dates")


def test_a_column_without_a_name_in_parquet_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"a": [1, 2], "": [3, 4]}))
    assert refusal(path) == "column 2: no name; expected one for every column"
