"""Read idx files (the format of MNIST and its kin), plain or gzipped, never more of them than they announce."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from sweeps.data.table.table import TableError

MOST_BYTES = 1 << 30
"""Announced size beyond which a file is refused."""
MOST_AXES = 8
_TYPES = MappingProxyType({0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"})


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the array of an idx file.

    The header is two zero bytes, a type code, the number of axes and a big-endian 32-bit length for each; the values
    follow, last axis fastest, big-endian.

    Parameters
    ----------
    path : path
        Plain or gzipped, by its first bytes.

    Returns
    -------
    ndarray
        In this machine's byte order.

    Raises
    ------
    TableError
        If the file is no idx file, is too large, or holds more or fewer bytes than it announces.
    """
    source = os.fspath(path)
    try:
        with Path(path).open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return _read(source, raw)
            with gzip.open(raw) as stream:
                return _read(source, cast("IO[bytes]", stream))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(f"{source}: damaged gzip ({error}); get the file again") from None
    except OSError as error:
        raise TableError(f"{source}: {error.strerror or error}") from None


def _read(source: str, stream: IO[bytes]) -> npt.NDArray[Any]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= MOST_AXES:
        raise TableError(f"{source}: begins with {magic.hex(' ') or 'nothing'}; expected an idx file (00 00 type axes)")
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise TableError(f"{source}: ends within its header; expected the lengths of {magic[3]} axes")
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    kind = np.dtype(_TYPES[magic[2]])
    n_bytes = math.prod(shape) * kind.itemsize
    if n_bytes > MOST_BYTES:
        raise TableError(f"{source}: announces {n_bytes:,} bytes of values {shape}; up to {MOST_BYTES:,} are read")
    content = stream.read(n_bytes + 1)
    if len(content) != n_bytes:
        found = "more" if len(content) > n_bytes else f"{len(content):,}"
        raise TableError(f"{source}: {found} bytes of values; expected {n_bytes:,} for shape {shape}")
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="))
