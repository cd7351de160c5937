"""How a command ends when it is interrupted: soon, and at once when it is interrupted again.

The first Ctrl-C (or SIGTERM, SIGHUP) raises KeyboardInterrupt, and what is under way ends in order. Should that take
longer than `GRACE_S`, or a second one come, the process ends where it stands: a log loses nothing by that, each line is
on the disk before it counts. A thread sees to it, since the main one may be inside the compiler for a minute.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

GRACE_S = 3.5
STATUS = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REST = b"\0"
"""No signal's number: the thread ends, and the next one hears what comes after."""
SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def ending_soon() -> Iterator[None]:
    """Let the process end soon after the first interruption of the block, and at once after the second."""
    global _watcher
    listened = [number for number in SIGNALS if not _is_without_terminal(number)]
    handlers = {number: signal.signal(number, _interrupt) for number in listened}
    listening, waking = os.pipe()
    os.set_blocking(waking, False)
    before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)  # written to whatever the main thread does
    outer, _watcher = _watcher, _Watcher(listening, waking)
    _watcher.start()
    is_interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        is_interrupted = True  # still watched: what the interpreter does at its end takes its time as well
        raise
    finally:
        if not is_interrupted:
            signal.set_wakeup_fd(before)
            _watcher.stop()
            os.close(waking)
            os.close(listening)
            _watcher = outer
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Have no thread that watches, for a fork; what comes in meanwhile is heard afterwards.

    For moments, and for the thread that is in `ending_soon`; nothing happens outside of it.
    """
    watcher = _watcher
    if watcher is None:
        yield
        return
    try:
        watcher.stop()
        yield
    finally:
        watcher.start()


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for other in SIGNALS:
        if not _is_without_terminal(other):
            signal.signal(other, _pass_over)
    raise KeyboardInterrupt


def _is_without_terminal(number: int) -> bool:
    """Return whether this is the end of the terminal, and `nohup` has been told to go on without one."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Leave another interruption to the watcher; were it ignored, nobody would hear of it."""


class _Watcher:
    """A thread that leaves when the time is up or a second interruption comes.

    Parameters
    ----------
    listening, waking : int
        The ends of the pipe that the numbers of signals come through.
    """

    def __init__(self, listening: int, waking: int) -> None:
        self._listening = listening
        self._waking = waking
        self._leave_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch, and go on where another thread was stopped."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="interruptions")
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.write(self._waking, REST)
            thread.join()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as signals:
            signals.register(self._listening, selectors.EVENT_READ)
            while True:
                wait_s = None if self._leave_at is None else max(self._leave_at - time.monotonic(), 0.0)
                if not signals.select(wait_s):
                    _leave()
                numbers = os.read(self._listening, 64)
                for number in numbers:
                    if number in SIGNALS and self._leave_at is not None:
                        _leave()
                    elif number in SIGNALS:
                        self._leave_at = time.monotonic() + GRACE_S
                if REST[0] in numbers:
                    return


_watcher: _Watcher | None = None
"""Of the block that is under way; signals are the process's, so there is one at a time."""


def _leave() -> None:
    if sys.stderr.isatty():
        sys.stderr.write(SHOW_CURSOR)  # the live lines have hidden it
    sys.stderr.write("interrupted; what the logs hold is safe, and `resume` goes on\n")
    sys.stderr.flush()
    os._exit(STATUS)
