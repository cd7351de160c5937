"""What a command says of the compiler that it may have to wait for."""

from __future__ import annotations

import sys
import threading

LOADING_S = 3.0  # longer than loading the compiled loop takes; who waits longer waits for the compiler


def compile_loop(dtype: str) -> None:
    """Compile the training loop, or load it; say on stderr when it is the compiler that everything waits for."""
    from engine.roads.compiled.session import warm_up

    tell_cache()
    text = "compiling the training loop (once on this machine) ..."
    notice = threading.Timer(LOADING_S, print, (text,), {"file": sys.stderr, "flush": True})
    notice.start()
    try:
        warm_up(dtype)
    finally:
        notice.cancel()


def tell_cache() -> None:
    """Say on stderr where compiled code is kept, should that be no usual place."""
    from engine.compiling.decorators import CACHE

    if CACHE.note:
        print(CACHE.note, file=sys.stderr, flush=True)
