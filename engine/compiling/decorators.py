"""How functions are compiled: inside others, called from others, called from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.core.cgutils
import numba.core.typing.templates
import numba.extending

from engine.compiling.cache import FOLDERS, choose_cache
from engine.compiling.linking import LinkedCompiler

CACHE = choose_cache(FOLDERS)
"""Where the machine code is kept."""
if CACHE.folder is not None:
    # Not by the environment: Numba has read it, perhaps long before, if somebody imported it first.
    vars(numba.config)["CACHE_DIR"] = str(CACHE.folder)

IS_COMPILING = not vars(numba.config)["DISABLE_JIT"]
"""Whether functions are compiled at all: with ``NUMBA_DISABLE_JIT=1`` they stay Python's."""

# Numba's own type hints cover half of it and want the typing context from every caller of an intrinsic.
types: Any = numba.types
models: Any = numba.extending.models
cgutils: Any = numba.core.cgutils
templates: Any = numba.core.typing.templates
lower_builtin: Any = numba.extending.lower_builtin


def intrinsic(function: Callable[..., Any]) -> Any:
    """Make a function that emits LLVM instructions callable from compiled code."""
    return numba.extending.intrinsic(function)


LINKED: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
    "pipeline_class": LinkedCompiler,
    # The entry's caller keeps all arrays alive; counting who refers to them takes an atomic instruction each and call.
    "_nrt": False,
}
"""Options of what only compiled code calls: no way in from Python, no machine code, no arrays of its own."""


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled code calls, and that makes no arrays but views."""
    return numba.njit(**LINKED, forceinline=False)(function)  # said aloud, or it takes over what its caller says


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers: calls go through a table of addresses, which a mini-batch of one feels."""
    return numba.njit(**LINKED, forceinline=True)(function)


def outer(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without the interpreter's lock, and keep it on disk."""
    options: dict[str, Any] = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options, cache=CACHE.is_kept)(function)
