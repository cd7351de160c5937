"""Ends a group of processes when whoever started this has gone, even by a kill that leaves no time for anything.

Run by its path, with the group's number, with nothing but the standard library: its standard input is a pipe that only
the starter holds, and the kernel closes that, however the starter ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 5.0


def main() -> None:
    """Wait for the end of the standard input, then end the group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    group = int(sys.argv[1])
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError):  # there is none any more
        os.killpg(group, signal.SIGTERM)
        time.sleep(GRACE_S)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
