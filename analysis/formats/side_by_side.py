"""Pictures drawn by several processes at a time: no picture hangs on another, and half of a report is drawing."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from analysis.formats.blocks import Picture
from analysis.formats.drawing import Drawn, draw

HEAD = struct.Struct("<HIIQ")
"""Of a drawn picture in a process's file: which, its width, its height, and how many bytes follow."""
CLAIM = struct.Struct("<H")
MOST_PICTURES = 2048
"""Whose claims any pipe takes in at once."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a helper ends by, whatever its parent does when they come."""
PATIENCE_S = 0.2
"""A thread that has ended stands in the kernel's list a little longer."""

FORKABLE = frozenset({"jemalloc_bg_thd"})
"""Names of native threads whose library takes its own locks before a fork and frees them after it, on both sides.

Jemalloc's tidies memory up, and comes with pyarrow, which comes with pandas.
"""


@dataclass(frozen=True, slots=True)
class Drawers:
    """Who draws the pictures of a report.

    Attributes
    ----------
    n : int
        How many processes may draw. This one draws alone where it cannot be forked safely; see `can_fork`.
    forking : callable
        Gives a context in which the caller's own threads are at rest; entered for the moment of the forks alone.
    meanwhile : callable
        What else is to be done: this process does it while others draw, and then draws with them.
    """

    n: int = 1
    forking: Callable[[], AbstractContextManager[None]] = nullcontext
    meanwhile: Callable[[], None] = lambda: None


ALONE = Drawers()


def draw_all(pictures: Sequence[Picture], drawers: Drawers = ALONE) -> list[Drawn]:
    """Return what `draw` returns of each picture: the same bytes, however many processes draw them."""
    n = min(drawers.n, len(pictures)) if len(pictures) <= MOST_PICTURES else 1
    drawn: dict[int, Drawn] = {}
    if n > 1:
        load_renderers()
        claims = _open_claims(len(pictures))
        helpers: list[_Helper] = []
        try:
            # With no more processes, or no place for their files, those there are draw.
            with drawers.forking(), _signals_waiting(), contextlib.suppress(OSError):
                if can_fork():
                    helpers += (_start(pictures, claims) for _ in range(n - 1))
            drawers.meanwhile()
            drawn.update((i, draw(pictures[i])) for i in _claimed(claims))
            for helper in helpers:
                drawn.update(helper.finish())
        finally:
            os.close(claims)
            for helper in helpers:
                helper.stop()
    else:
        drawers.meanwhile()
    # What a helper has left, killed or out of disk, is drawn here; so an error of a picture's own is raised here, too.
    return [drawn[i] if i in drawn else draw(picture) for i, picture in enumerate(pictures)]


@contextlib.contextmanager
def _signals_waiting() -> Iterator[None]:
    """Let signals wait: a child that still has its parent's handlers would tell the parent of them once more."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # where one came just before it blocks, and raises as well
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load_renderers() -> None:
    """Load what draws, once, so that no helper has to load it for itself."""
    from matplotlib.backends import backend_agg, backend_mixed, backend_svg  # noqa: F401
    from PIL import Image  # noqa: F401


def can_fork() -> bool:
    """Return whether this process has one thread alone, native ones counted, on a system that tells so.

    A fork copies the locks that other threads hold, and not the threads. Threads of `FORKABLE` do not count, nor do the
    idle ones of a BLAS that ends them before every fork, as OpenBLAS does: they have ended when this returns.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    try:
        if _n_others() > 0:
            _end_pools()
        give_up_at = time.monotonic() + PATIENCE_S
        while (n := _n_others()) > 0 and time.monotonic() < give_up_at:
            time.sleep(0.001)
    except OSError:
        return False
    return n == 0


def _n_others() -> int:
    """Return how many threads there are besides this one, those of `FORKABLE` apart."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended just now
            names.append((task / "comm").read_text().rstrip("\n"))
    return sum(name not in FORKABLE for name in names) - 1


def _end_pools() -> None:
    """Let libraries end what threads they end before a fork, by the fork of a process that ends at once."""
    pid = _fork()
    if pid == 0:
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _fork() -> int:
    """Fork without a word: later Pythons warn of any thread there is, and no child here waits for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@dataclass(slots=True)
class _Helper:
    """A process that draws, and the file it leaves its pictures in."""

    pid: int
    file: IO[bytes]
    is_running: bool = True

    def finish(self) -> Iterator[tuple[int, Drawn]]:
        """Wait for its end; yield the pictures that it has drawn."""
        self._wait()
        self.file.seek(0)
        while len(head := self.file.read(HEAD.size)) == HEAD.size:
            i, width, height, length = HEAD.unpack(head)
            content = self.file.read(length)
            if len(content) == length:
                yield i, (content, width, height)

    def stop(self) -> None:
        """Leave no process and no file behind."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and nobody reads of the ends of children
                os.kill(self.pid, signal.SIGKILL)
            self._wait()
        self.file.close()

    def _wait(self) -> None:
        with contextlib.suppress(ChildProcessError):  # a shell that ignores the ends of children leaves nothing to read
            os.waitpid(self.pid, 0)
        self.is_running = False


def _open_claims(n: int) -> int:
    """Return the reading end of a pipe that holds every picture's number once: who has read it draws it."""
    claims, end = os.pipe()
    os.write(end, b"".join(CLAIM.pack(i) for i in range(n)))
    os.close(end)
    return claims


def _claimed(claims: int) -> Iterator[int]:
    while len(token := os.read(claims, CLAIM.size)) == CLAIM.size:
        yield CLAIM.unpack(token)[0]


def _start(pictures: Sequence[Picture], claims: int) -> _Helper:
    parent = os.getpid()
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the helper's, until it has been read)
    try:
        pid = _fork()
    except OSError:
        file.close()
        raise
    if pid == 0:
        _draw_claimed(pictures, claims, file, parent)
    return _Helper(pid, file)


def _draw_claimed(pictures: Sequence[Picture], claims: int, file: IO[bytes], parent: int) -> NoReturn:
    """Draw what is left, as a helper; end without a word, and without what this process's parent does at its end.

    A parent that has been killed has nobody hold its pipes and locks for longer than a picture takes.
    """
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for i in _claimed(claims):
            if os.getppid() != parent:
                break
            content, width, height = draw(pictures[i])
            file.write(HEAD.pack(i, width, height, len(content)) + content)
            file.flush()
    finally:
        os._exit(0)
