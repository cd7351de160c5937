"""What killed processes leave in a sweep's folder."""

from __future__ import annotations

import fcntl
from pathlib import Path

from sweeps.audit.finding import Finding
from sweeps.store.log import LEFT_BEHIND, LOCK_NAME, LOG_NAME


def check_leftovers(folder: Path) -> list[Finding]:
    """Return temporary files and a dead lock; nobody must be at work in the folder."""
    findings = [
        Finding("I10", f"{path}: left by a process that was killed; `audit --repair` or `resume` clears it")
        for path in left_behind(folder)
    ]
    for path in logs_of(folder):
        what = wrong_end(path)
        if what is not None:
            findings.append(Finding("I10", f"{path}: {what}; `audit --repair` or `resume` puts it right"))
    holder = dead_holder(folder)
    if holder:
        text = f"{folder / LOCK_NAME}: names {holder}, which is gone; `audit --repair` or `resume` clears it"
        findings.append(Finding("I10", text))
    return findings


def logs_of(folder: Path) -> list[Path]:
    """Return the logs of a sweep."""
    return sorted(folder.glob(f"*/{LOG_NAME}"))


def wrong_end(path: Path) -> str | None:
    """Return what is wrong with how a log's lines end, or None."""
    content = path.read_bytes()
    tail = content[content.rfind(b"\n") + 1 :]
    if tail:
        return f"a last line without its end ({len(tail)} bytes)"
    return "line ends of another system" if b"\r\n" in content else None


def left_behind(folder: Path) -> list[Path]:
    """Return files that were being written whole when their writer died."""
    return sorted(path for pattern in LEFT_BEHIND for path in folder.glob(pattern))


def dead_holder(folder: Path) -> str:
    """Return whom a lock names that nobody holds any more; empty where there is none."""
    try:
        stream = (folder / LOCK_NAME).open("rb")
    except OSError:
        return ""
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        return " ".join(stream.read(300).decode(errors="replace").split())
