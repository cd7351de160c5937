r"""The lines that logs are made of: checksummed, and chained so that a log proves itself as a whole.

A log is a text file of JSON lines. Each is ::

    {"sha256": s, "before": b, "line": i, "study": name, "kind": k, "data": d}

where ``s`` is the SHA-256 of the line's own text behind ``s`` (from ``"before"`` to the last brace but one), ``b`` is
the ``s`` of the line before (zeros for the first), and ``i`` counts from 1. A line that is altered, removed, repeated,
moved or brought in from another log therefore breaks the chain at its place. A line that ends a study has
``"canonical"`` besides: the digest of the study's canonical form, which seals the log. That digest, unlike the chain,
does not depend on the order in which trials happened to finish; it is what stands outside the log, in MLflow and in the
report, so that a log which somebody has written anew from its first line, or shortened, is known by it.

Lines of earlier versions are ``{"sha256": s, "kind": k, "data": d}`` with the SHA-256 of the data's text. They are
read, too, but prove only themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.names import InputMessageError

FIRST = "0" * 64
"""What the first line of a log gives as the digest of the line before."""
RESTORE = "restore it from a copy, or from MLflow with `import`"
_UNCHAINED_KEYS = ("sha256", "kind", "data")
_CHAINED_KEYS = ("sha256", "before", "line", "study", "kind", "data")
_SEALED_KEYS = ("sha256", "before", "line", "study", "kind", "canonical", "data")


class RecordError(InputMessageError):
    """A log or record that cannot be read; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log.

    Parameters
    ----------
    kind : str
    data : object
        JSON values.
    sha256 : str
        The line's own digest.
    before : str or None
        Digest of the line before; None for a line of an earlier version, which is not chained.
    number : int or None
        Its place in the log, from 1; None as above.
    study : str or None
        Name of the study it belongs to; None as above.
    canonical : str or None
        Digest of the canonical form of the study that it ends.
    """

    kind: str
    data: Any
    sha256: str
    before: str | None = None
    number: int | None = None
    study: str | None = None
    canonical: str | None = None


@dataclass(slots=True)
class Chain:
    """Where a log stands: what its next line must say.

    Parameters
    ----------
    study : str
        Name of the log's study.
    n_lines : int
    head : str
        Digest of the last line.
    seals : list of str
        Canonical digests that lines have sealed the log with, in order.
    is_sealed : bool
        Whether the last line is one of those.
    is_chained : bool
        False for a log of an earlier version.
    """

    study: str
    n_lines: int = 0
    head: str = FIRST
    seals: list[str] = field(default_factory=list)
    is_sealed: bool = False
    is_chained: bool = True

    @property
    def proves(self) -> str:
        """What the log says about itself, for a reader."""
        if not self.is_chained:
            return "written by an earlier version: each line proves itself, not that none is missing or repeated"
        if not self.is_sealed:
            return "unfinished: its lines are whole and in order, not that none followed"
        return "sealed: nothing is missing, added or altered"

    def encode(self, kind: str, data: Any, canonical: str | None = None) -> str:
        """Return the next line and count it."""
        text = encode_chained_line(kind, data, self.study, self.n_lines + 1, self.head, canonical)
        self._go_on(text[11:75], canonical)
        return text

    def take(self, line: Line, where: str) -> None:
        """Go on by a line that was read.

        Raises
        ------
        RecordError
            If it does not belong there; the message begins with `where`.
        """
        if self.n_lines == 0:
            self.is_chained = line.before is not None
        if (line.before is not None) != self.is_chained:
            what = "not chained to the line before" if self.is_chained else "chained to lines that are not"
            raise RecordError(f"{where}: {what}; {RESTORE}")
        if self.is_chained:
            self._check(line, where)
        self._go_on(line.sha256, line.canonical)

    def _check(self, line: Line, where: str) -> None:
        expected = self.n_lines + 1
        if line.study != self.study:
            raise RecordError(f"{where}: a line of {short(line.study)}, expected one of {self.study}; {RESTORE}")
        if line.number != expected:
            raise RecordError(
                f"{where}: written as line {line.number}, expected line {expected}: lines are missing, repeated or"
                f" moved; {RESTORE}"
            )
        if line.before != self.head:
            raise RecordError(
                f"{where}: follows {short(line.before)}, expected {short(self.head)}: a line before it was altered or"
                f" replaced; {RESTORE}"
            )

    def _go_on(self, head: str, canonical: str | None) -> None:
        self.n_lines += 1
        self.head = head
        self.is_sealed = canonical is not None
        if canonical is not None:
            self.seals.append(canonical)


def canonical_json(data: Any) -> str:
    """Return `data` as JSON text with sorted keys, no spaces and no NaN: one text for equal values."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_line(kind: str, data: Any) -> str:
    r"""Return one line that stands for itself, newline included."""
    text = canonical_json(data)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256":"{digest}","kind":{json.dumps(kind)},"data":{text}}}\n'


def encode_chained_line(
    kind: str, data: Any, study: str, number: int, before: str, canonical: str | None = None
) -> str:
    """Return one line of a log, newline included; see `Line`."""
    seal = "" if canonical is None else f'"canonical":{json.dumps(canonical)},'
    place = f'"before":"{before}","line":{number},"study":{json.dumps(study)},"kind":{json.dumps(kind)}'
    text = f'{place},{seal}"data":{canonical_json(data)}'
    return f'{{"sha256":"{hashlib.sha256(text.encode()).hexdigest()}",{text}}}\n'


def decode_line(text: str, where: str) -> Line:
    """Return one line.

    Parameters
    ----------
    text : str
        With or without its end, which may be that of another system.
    where : str
        What the message begins with.

    Raises
    ------
    RecordError
        If the line is not one `encode_line` or `encode_chained_line` wrote.
    """
    text = text.rstrip("\r\n")
    try:
        outer = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not a log line ({_reason(error)}); {RESTORE}") from None
    keys = tuple(outer) if isinstance(outer, dict) else ()
    if keys not in (_UNCHAINED_KEYS, _CHAINED_KEYS, _SEALED_KEYS):
        raise RecordError(f"{where}: not a log line (expected {', '.join(_CHAINED_KEYS)}); {RESTORE}")
    is_chained = keys != _UNCHAINED_KEYS
    # The line's own text, not its values written anew: that is what the digest is of, and it halves the time to read.
    digested = text[77:-1] if is_chained else text.partition(',"data":')[2].removesuffix("}")
    if hashlib.sha256(digested.encode(errors="replace")).hexdigest() != outer["sha256"]:
        raise RecordError(f"{where}: altered (its SHA-256 does not match); {RESTORE}")
    types = {"sha256": str, "before": str, "line": int, "study": str, "kind": str, "canonical": str}
    for key in keys[:-1]:
        if type(outer[key]) is not types[key]:
            raise RecordError(f"{where}: {key}: {short(outer[key])}; expected {types[key].__name__}; {RESTORE}")
    return Line(
        outer["kind"],
        outer["data"],
        outer["sha256"],
        outer.get("before"),
        outer.get("line"),
        outer.get("study"),
        outer.get("canonical"),
    )


def read_lines(path: Path) -> Iterator[Line]:
    """Yield every whole line of a log, whatever system its line ends are of; a torn last line is passed over.

    Raises
    ------
    RecordError
        If a whole line is damaged; the message names file and line.
    """
    with path.open("rb") as stream:
        for i, raw in enumerate(stream, start=1):
            if not raw.endswith(b"\n") and not is_whole(raw, path):
                return  # the writer died inside its last line: it never counted
            yield decode_raw_line(raw, f"{path}: line {i}")


def decode_raw_line(raw: bytes, where: str) -> Line:
    """Return one line from its bytes, as `decode_line`."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RecordError(f"{where}: not UTF-8; {RESTORE}") from None
    return decode_line(text, where)


def is_whole(tail: bytes, path: Path) -> bool:
    r"""Return whether what stands behind a file's last ``\n`` is a line that lacks only its end.

    Raises
    ------
    RecordError
        If it is many lines: their ends have been changed to a lone carriage return.
    """
    if b"\r" in tail.removesuffix(b"\r"):
        raise RecordError(f"{path}: its line ends are carriage returns; change them back: tr '\\r' '\\n' < FILE > COPY")
    try:
        decode_raw_line(tail, "")
    except RecordError:
        return False
    return True


def unix_ends(content: bytes) -> bytes:
    r"""Return lines as they were written: each ending in ``\n``, whatever a version-control tool has made of it."""
    return content.replace(b"\r\n", b"\n")


def short(value: object) -> str:
    """Return a value as a message quotes it: a digest's first characters, a long text's beginning."""
    text = str(value)
    if len(text) == len(FIRST) and text.isalnum():
        return text[:12]
    return repr(value) if len(text) <= 40 else f"{text[:40]!r}..."


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
