"""From a file to lines of text: bytes within limits, gzip, named encodings; what is no text is refused."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any

from engine.names import unreadable
from sweeps.data.table.table import Limits, TableError

ENCODINGS = MappingProxyType(
    {
        "utf-8": "Unicode, today's default",
        "utf-16": "Unicode, 2 bytes a character (Windows' 'Unicode text')",
        "utf-16-le": "the same without a byte-order mark",
        "utf-16-be": "the same, high byte first",
        "utf-32": "Unicode, 4 bytes a character",
        "utf-32-le": "the same without a byte-order mark",
        "utf-32-be": "the same, high byte first",
        "cp949": "Korean Windows",
        "euc-kr": "Korean, older",
        "latin-1": "Western European, ISO 8859-1",
        "cp1252": "Western European Windows",
        "iso8859-15": "Western European with the euro sign",
        "cp1250": "Central European Windows",
        "iso8859-2": "Central European",
        "cp1251": "Cyrillic Windows",
        "koi8-r": "Russian",
        "shift_jis": "Japanese",
        "cp932": "Japanese Windows",
        "euc_jp": "Japanese, Unix",
        "gb18030": "Chinese",
        "big5": "Traditional Chinese",
        "ascii": "English letters only",
    }
)
"""Text encodings that may be named."""

_CODECS = MappingProxyType({codecs.lookup(name).name: name for name in ENCODINGS})
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def codec_name(encoding: str) -> str | None:
    """Return our name of an encoding however it is spelled, or None where it is not in `ENCODINGS`."""
    try:
        return _CODECS.get(codecs.lookup(encoding).name)
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return None


def read_bytes(source: str, limits: Limits) -> bytes:
    """Return the bytes of a regular file within the limits; raise TableError for anything else."""
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not hang; what it is, is looked at once it is open.
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise TableError(unreadable(source, error)) from None
    except ValueError as error:  # a NUL in the name
        raise TableError(f"{source!r}: {error}; name a file that can be read") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"{source}: not a regular file (a folder, pipe or device); save the table to a file first")
        if status.st_size > limits.n_bytes:
            raise TableError(
                f"{source}: {status.st_size:,} bytes; tables of up to {limits.n_bytes:,} bytes are read; split the file"
            )
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(limits.n_bytes)
    except OSError as error:
        raise TableError(f"{source}: {error.strerror}; name a file that can be read") from None
    finally:
        os.close(handle)
    if not data:
        raise TableError(f"{source}: empty; expected a header line and rows")
    return data


class _Inflated(io.RawIOBase):
    """The text of a gzip file; damage is refused."""

    def __init__(self, source: str, data: bytes) -> None:
        self._source = source
        self._stream = gzip.GzipFile(fileobj=io.BytesIO(data))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise TableError(f"{self._source}: damaged gzip data ({error}); expected a whole .gz file") from None
        buffer[: len(block)] = block
        return len(block)


def _check_inflated(source: str, data: bytes, limits: Limits) -> None:
    """Unpack once to nowhere: a bomb is refused before any of it is parsed."""
    stream = _Inflated(source, data)
    n_bytes, allowed = 0, max(1 << 26, limits.compression * len(data))
    while block := stream.read(1 << 20):
        n_bytes += len(block)
        if n_bytes > limits.n_bytes:
            raise TableError(f"{source}: more than {limits.n_bytes:,} bytes when unpacked; split the file")
        if n_bytes > allowed:
            raise TableError(
                f"{source}: unpacks to more than {limits.compression} times its size, as tables do not; "
                "unpack it yourself if it is one"
            )


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file's bytes and how they become lines; opened anew for each pass."""

    source: str
    data: bytes
    encoding: str
    limits: Limits

    @property
    def packed(self) -> bool:
        """Whether the bytes are gzip's."""
        return self.data[:2] == b"\x1f\x8b"

    def raw(self) -> IO[bytes]:
        """Open the text's bytes, unpacked on the way."""
        if self.packed:
            return io.BufferedReader(_Inflated(self.source, self.data), 1 << 16)
        return io.BytesIO(self.data)

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends; refuse what is no text."""
        longest, search = self.limits.line_length, _CONTROL.search
        number = 0
        stream = io.TextIOWrapper(self.raw(), encoding=self.encoding, errors="strict", newline="")
        try:
            while line := stream.readline(longest):
                number += 1
                if number == 1:
                    line = line.removeprefix("\ufeff")  # a second mark, or one under utf-16-le
                if found := search(line):
                    raise TableError(self._not_text(number, found))
                if len(line) == longest:
                    raise TableError(f"{self.source}: line {number}: longer than {longest:,} characters; not a table")
                yield line
        except UnicodeError:
            raise TableError(self._undecodable()) from None

    def _not_text(self, number: int, found: re.Match[str]) -> str:
        what = f"control character U+{ord(found[0]):04X} at character {found.start() + 1}"
        if found[0] == "\0" and self.encoding.startswith(("utf-8", "ascii")):
            advice = "for UTF-16 or UTF-32 text without a mark: --encoding utf-16-le, utf-16-be, utf-32-le ..."
        elif found[0] >= "\x80":
            advice = "for text from Windows: --encoding cp1252"
        else:
            advice = "expected text"
        return f"{self.source}: line {number}: {what}; {advice}"

    def _undecodable(self) -> str:
        """Say on which line the text stops being text in this encoding, and which encodings take it."""
        n_lines, decoder = 1, codecs.getincrementaldecoder(self.encoding)("strict")
        with self.raw() as stream:
            while True:
                block = stream.read(1 << 16)
                try:
                    n_lines += decoder.decode(block, final=not block).count("\n")
                except UnicodeDecodeError as error:
                    before = error.object[: error.start].decode(self.encoding, "ignore")
                    byte = error.object[error.start]
                    where = f"line {n_lines + before.count(chr(10))}: byte 0x{byte:02X} is not {self.encoding}"
                    return f"{self.source}: {where}; name its encoding: {self._candidates()}"
                except UnicodeError as error:  # UTF-16 or UTF-32 without its mark
                    return f"{self.source}: line {n_lines}: {error}; name another encoding: {self._candidates()}"
                if not block:
                    raise AssertionError("decoded on the second reading only")

    def _candidates(self) -> str:
        """Return the common encodings in which the beginning of the file is text."""
        with self.raw() as stream:
            sample = stream.read(1 << 16)
            whole = not stream.read(1)
        fit = []
        for name in ("utf-8", "cp949", "shift_jis", "gb18030", "cp1252", "latin-1"):
            try:
                text = codecs.getincrementaldecoder(name)("strict").decode(sample, final=whole)
            except UnicodeError:
                continue
            if not _CONTROL.search(text):
                fit.append(f"{name} ({ENCODINGS[name]})")
        return f"--encoding {' or '.join(fit)}" if fit else "no common one fits; is it text?"


def open_text(source: str, data: bytes, encoding: str | None, limits: Limits) -> SourceText:
    """Settle the encoding: the one named, that of a byte-order mark, or UTF-8; raise TableError on a contradiction."""
    text = SourceText(source, data, "utf-8", limits)
    if text.packed:
        _check_inflated(source, data, limits)
    with text.raw() as stream:
        first = stream.read(4)
    if first.startswith(b"PK\x03\x04"):
        raise TableError(f"{source}: a zip archive or a spreadsheet; unpack it or save it as CSV")
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if first.startswith(mark)), None)
    if encoding is None:
        return SourceText(source, data, marked or "utf-8", limits)
    name = codec_name(encoding) or encoding
    if marked is not None and name.split("-")[:2] != marked.split("-")[:2]:
        raise TableError(f"{source}: --encoding {encoding}, but its byte-order mark says {marked.upper()}; name that")
    return SourceText(source, data, marked or name, limits)
