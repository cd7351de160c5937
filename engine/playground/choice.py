"""By whom the page's numbers are drawn, Python or Numba: both give the same bits, so only speed decides."""

from __future__ import annotations

import sys

MOST_PLAIN = 100
"""Streams. Numba takes half a second to import; in that time Python draws the page's data of more than these."""


def runs_compiled(n_streams: int = 0) -> bool:
    """Return whether compiled code is worth its start: where Numba has been imported anyway, or for many streams.

    So a report, which draws a few replicas again, does not wait for Numba, nor a training for Python. With
    ``NUMBA_DISABLE_JIT=1`` the answer is no.

    Parameters
    ----------
    n_streams : int
        How many streams; 0 for work that is never worth an import.
    """
    if "numba" not in sys.modules and n_streams <= MOST_PLAIN:
        return False
    from engine.compiling.decorators import IS_COMPILING

    return IS_COMPILING
