"""Thousands of damaged CSV files: each is read exactly or refused in one line; none is changed in silence."""

from __future__ import annotations

import csv
import io
import math
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tally import many

from sweeps.data.table.numerals import NumberFormat
from sweeps.data.table.reading import read_table
from sweeps.data.table.table import MISSING, MISSING_ANY_CASE, Table, TableError

Mutator = Callable[[bytes, np.random.Generator], bytes]

NAMES = ("length", "width", "color", "city", "price")


def whole_file(rng: np.random.Generator) -> bytes:
    """Return a sound table: numbers, a missing value, plain and quoted text."""
    n_rows = int(rng.integers(3, 40))
    rows = [",".join(NAMES)]
    for k in range(n_rows):
        width = "NA" if k == 1 else f"{rng.normal():.4f}"
        city = ("Seoul", '"Paris, France"', "Köln", '"the ""old"" town"')[int(rng.integers(4))]
        color = ("red", "blue")[k % 2]
        rows.append(f"{rng.integers(1, 500)},{width},{color},{city},{rng.uniform(1e3, 9e5):.2f}")
    return ("\n".join(rows) + "\n").encode()


def at(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(0, len(data) + 1))


def text_of(data: bytes) -> str:
    return data.decode("latin-1")


def bytes_of(text: str) -> bytes:
    return text.encode("latin-1")


def bit_flips(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if damaged:
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def truncation(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: at(data, rng)]


def stray_quote(data: bytes, rng: np.random.Generator) -> bytes:
    k = at(data, rng)
    return data[:k] + b'"' + data[k:]


def nul(data: bytes, rng: np.random.Generator) -> bytes:
    k = at(data, rng)
    return data[:k] + b"\0" + data[k:]


def wide(data: bytes, rng: np.random.Generator) -> bytes:
    name = ("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le")[int(rng.integers(5))]
    return data.decode("utf-8", "replace").encode(name)


def latin_1(data: bytes, rng: np.random.Generator) -> bytes:
    return data.decode("utf-8", "replace").encode("latin-1", "replace")


def mark(data: bytes, rng: np.random.Generator) -> bytes:
    return (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")[int(rng.integers(3))] + data


def ragged(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    k = int(rng.integers(len(lines)))
    lines[k] = lines[k] + b",1" if rng.random() < 0.5 else lines[k].rpartition(b",")[0]
    return b"\n".join(lines)


def duplicate_header(data: bytes, rng: np.random.Generator) -> bytes:
    return data.replace(b"width", b"length", 1)


def missing_header(data: bytes, rng: np.random.Generator) -> bytes:
    return data.partition(b"\n")[2]


def empty(data: bytes, rng: np.random.Generator) -> bytes:
    return (b"", b"\n", b"\n\n\n", data.partition(b"\n")[0] + b"\n", b" ")[int(rng.integers(5))]


def other_separator(data: bytes, rng: np.random.Generator) -> bytes:
    return data.replace(b",", (b";", b"\t", b"|")[int(rng.integers(3))])


def carriage_returns(data: bytes, rng: np.random.Generator) -> bytes:
    return data.replace(b"\n", (b"\r", b"\r\n", b"\r\r\n", b"\n\n")[int(rng.integers(4))])


def decimal_comma(data: bytes, rng: np.random.Generator) -> bytes:
    text = text_of(data).replace(",", ";")
    return bytes_of(re.sub(r"([0-9])\.([0-9])", r"\1,\2", text))


def odd_token(data: bytes, rng: np.random.Generator) -> bytes:
    tokens = ("inf", "-Infinity", "NaN", "1e400", "-1e999", "1e-400", "1_000", "0x1A", "１２", "007", "1,5", "--1", "")
    cells = text_of(data).split(",")
    cells[int(rng.integers(len(cells)))] = tokens[int(rng.integers(len(tokens)))].encode().decode("latin-1")
    return bytes_of(",".join(cells))


def other_kind(data: bytes, rng: np.random.Generator) -> bytes:
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.bytes(int(rng.integers(1, 400)))
    if kind == 1:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("table.csv", data)
        return stream.getvalue()
    return pickle.dumps(data) if kind == 2 else b"\x1f\x8b\x08\x00" + data


def constant(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    return b"\n".join([lines[0], *[lines[min(1, len(lines) - 1)]] * int(rng.integers(1, 9)), b""])


MUTATORS: tuple[Mutator, ...] = (
    bit_flips,
    truncation,
    stray_quote,
    nul,
    wide,
    latin_1,
    mark,
    ragged,
    duplicate_header,
    missing_header,
    empty,
    other_separator,
    carriage_returns,
    decimal_comma,
    odd_token,
    other_kind,
    constant,
)


def cells_of(data: bytes, table: Table) -> list[list[str]]:
    """Parse the bytes again, by the csv module alone and without the reader's own road."""
    assert table.encoding is not None
    text = data.decode(table.encoding).removeprefix("\ufeff")
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=table.separator or ",") if row]


def number_of(cell: str, form: NumberFormat) -> float:
    """Read a number by hand, as somebody does who has been told how it is written."""
    text = cell.strip().removeprefix(form.prefix).removesuffix(form.suffix)
    return float(
        text.replace(form.thousands, "").replace(form.decimal, ".")
        if form.thousands
        else text.replace(form.decimal, ".")
    )


def check_equal(data: bytes, table: Table) -> None:
    header, *rows = cells_of(data, table)
    repeated = sum(row == header for row in rows)
    assert bool(repeated) == any("the header" in note and "left out" in note for note in table.notes)
    rows = [row for row in rows if row != header]
    assert [name.strip() or "(row)" for name in header] == list(table.frame.columns)
    assert len(rows) == table.n_rows
    forms = dict(table.formats)
    for k, name in enumerate(table.frame.columns):
        for row, value in zip(rows, table.frame[name].tolist(), strict=True):
            if isinstance(value, str):
                assert value == row[k]
            elif math.isnan(value):
                assert row[k].strip() in MISSING or row[k].strip().casefold() in MISSING_ANY_CASE
            else:
                assert value == number_of(row[k], forms.get(name, NumberFormat()))
                assert math.isfinite(value)


def run(n_files: int, seed: int, folder: Path) -> tuple[int, int]:
    rng = np.random.default_rng(seed)
    path = folder / "table.csv"
    n_read = n_refused = 0
    for k in range(n_files):
        data = whole_file(rng)
        chosen = [MUTATORS[k % len(MUTATORS)]]  # each in turn, a third of them with one or two more on top
        if rng.random() < 1 / 3:
            chosen += [MUTATORS[int(j)] for j in rng.integers(len(MUTATORS), size=int(rng.integers(1, 3)))]
        for mutate in chosen:
            data = mutate(data, rng)
        path.write_bytes(data)
        try:
            table = read_table(path)
        except TableError as error:
            n_refused += 1
            message = str(error)
            assert "\n" not in message
            assert "\r" not in message
            assert str(path) in message
            assert len(message) < 600
        else:
            n_read += 1
            check_equal(data, table)
    return n_read, n_refused


def test_a_thousand_damaged_files_are_read_exactly_or_refused_in_one_line(tmp_path: Path) -> None:
    n_read, n_refused = run(1_000, 1, tmp_path)
    assert n_read > 100
    assert n_refused > 300


@pytest.mark.faults
@pytest.mark.takes(60.0)
def test_ten_thousand_damaged_files_are_read_exactly_or_refused_in_one_line(
    tmp_path: Path, tally: Callable[[str, float, float], None]
) -> None:
    n = many(10_000)
    n_read, n_refused = run(n, 2, tmp_path)  # stops at the first that is neither
    tally("damaged data files: read exactly, or refused in one line", n, n - n_read - n_refused)
    assert n_read + n_refused == n


def test_the_sound_file_is_read_and_equal(tmp_path: Path) -> None:
    data = whole_file(np.random.default_rng(0))
    (tmp_path / "table.csv").write_bytes(data)
    table = read_table(tmp_path / "table.csv")
    check_equal(data, table)
    assert [series.dtype.kind for _, series in table.frame.items()] == ["i", "f", "O", "O", "f"]


def test_the_check_sees_a_changed_value(tmp_path: Path) -> None:
    data = whole_file(np.random.default_rng(0))
    (tmp_path / "table.csv").write_bytes(data)
    table = read_table(tmp_path / "table.csv")
    table.frame.loc[2, "price"] += 1.0
    with pytest.raises(AssertionError):
        check_equal(data, table)
