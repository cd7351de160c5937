"""How a command ends when it is interrupted: soon, and at once when it is interrupted again.

The first Ctrl-C (or SIGTERM, SIGHUP) raises KeyboardInterrupt, and what is under way ends in order. Should that take
longer than `GRACE_S`, or a second one come, the process ends where it stands: a log loses nothing by that, each line is
on the disk before it counts. A thread sees to it, since the main one may be inside the compiler for a minute.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

GRACE_S = 3.5
STATUS = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def ending_soon() -> Iterator[None]:
    """Let the process end soon after the first interruption of the block, and at once after the second."""
    handlers = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    listening, waking = os.pipe()
    os.set_blocking(waking, False)
    before = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)  # written to whatever the main thread does
    watcher = threading.Thread(target=_watch, args=(listening,), daemon=True, name="interruptions")
    watcher.start()
    is_interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        is_interrupted = True  # still watched: what the interpreter does at its end takes its time as well
        raise
    finally:
        if not is_interrupted:
            signal.set_wakeup_fd(before)
            os.close(waking)
            watcher.join()
            os.close(listening)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for other in SIGNALS:
        signal.signal(other, _pass_over)
    raise KeyboardInterrupt


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Leave another interruption to the watcher; were it ignored, nobody would hear of it."""


def _watch(listening: int) -> None:
    """Leave when the time is up or a second interruption comes; return at the end of the block."""
    leave_at: float | None = None
    while True:
        wait_s = None if leave_at is None else max(leave_at - time.monotonic(), 0.0)
        if not select.select([listening], [], [], wait_s)[0]:
            _leave()
        numbers = os.read(listening, 64)
        if not numbers:
            return
        for number in numbers:
            if number in SIGNALS and leave_at is not None:
                _leave()
            elif number in SIGNALS:
                leave_at = time.monotonic() + GRACE_S


def _leave() -> None:
    if sys.stderr.isatty():
        sys.stderr.write(SHOW_CURSOR)  # the live lines have hidden it
    sys.stderr.write("interrupted; what the logs hold is safe, and `resume` goes on\n")
    sys.stderr.flush()
    os._exit(STATUS)
