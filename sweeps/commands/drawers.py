"""Who draws the pictures of the commands' reports."""

from __future__ import annotations

from collections.abc import Callable

from analysis.formats.side_by_side import Drawers
from sweeps.commands.interrupting import unwatched
from sweeps.commands.options import usable_cores

MOST_PROCESSES = 4
"""With more, what one process does alone takes longer than the rest of them."""


def all_drawers(meanwhile: Callable[[], None] = lambda: None) -> Drawers:
    """Return this process and its helpers, one a core; this one does what is to be done `meanwhile` first."""
    return Drawers(min(usable_cores(), MOST_PROCESSES), unwatched, meanwhile)
