"""The idx reader: exact on good files, one line on any other."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.data.table.published.idx import MOST_BYTES, read_idx
from sweeps.data.table.table import TableError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    code = CODES[array.dtype.str[1:]]
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(
        array.dtype.newbyteorder(">")
    ).tobytes()  # fmt: skip


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_is_read_back(tmp_path, kind, packed):
    array = np.arange(-12, 12).astype(kind).reshape(2, 3, 4)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_idx(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_the_bytes_of_a_hand_written_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes.fromhex("00000b01 00000002 0102 fffe".replace(" ", "")))
    assert read_idx(path).tolist() == [258, -2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing; expected an idx file (00 00 type axes)"),
        (b"\0\0\x08", "begins with 00 00 08; expected an idx file (00 00 type axes)"),
        (b"x,y\n1,2\n", "begins with 78 2c 79 0a; expected an idx file (00 00 type axes)"),
        (b"\0\0\x0a\1\0\0\0\1\0", "begins with 00 00 0a 01; expected an idx file (00 00 type axes)"),
        (b"\0\0\x08\3\0\0\0\1", "ends within its header; expected the lengths of 3 axes"),
        (b"\0\0\x08\1\0\0\0\4abc", "3 bytes of values; expected 4 for shape (4,)"),
        (b"\0\0\x08\1\0\0\0\4abcde", "more bytes of values; expected 4 for shape (4,)"),
        (gzip.compress(b"\0\0\x08\1\0\0\0\4abcd", mtime=0)[:-9], None),
        (gzip.compress(b"\0\0\x08\1\0\0\0\4abcd", mtime=0)[:12] + b"\xff" * 12, None),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(TableError) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)
    if message:
        assert str(caught.value) == f"{path}: {message}"


def test_what_is_announced_is_bounded_before_memory_is_taken(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\x0e\2" + struct.pack(">2I", 2**32 - 1, 2**32 - 1))
    with pytest.raises(TableError, match=f"up to {MOST_BYTES:,} are read"):
        read_idx(path)


def test_a_gzip_bomb_is_read_no_further_than_announced(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(b"\0\0\x08\1\0\0\0\4" + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="more bytes of values"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_else(tmp_path_factory, content, packed):
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        found = read_idx(path)
    except TableError:
        return
    assert idx(found)[4 + 4 * found.ndim :] == content[4 + 4 * found.ndim :]
