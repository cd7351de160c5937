"""When Python looks for circles among objects while a report is made: rarely, and not among what stays anyway."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_A_COLLECTION = 100_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for circles a hundred times more rarely: pictures make very many objects that live for one picture.

    What is there before, as all modules are, is not looked at meanwhile.
    """
    before, n_frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.set_threshold(OBJECTS_A_COLLECTION, *before[1:])
    gc.freeze()
    try:
        yield
    finally:
        if not n_frozen:
            gc.unfreeze()
        gc.set_threshold(*before)
