"""How functions are compiled: inside others, called from others, called from Python."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.core.cgutils
import numba.core.typing.templates
import numba.extending

from engine.roads.cache import choose_cache
from engine.roads.compiled.linking import LinkedCompiler

HERE = Path(__file__).parent
METHODS = HERE.parents[1] / "methods"
"""The records whose codes and constants are compiled in."""


def _digest_of_sources() -> int:
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.py"), *METHODS.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return int.from_bytes(digest.digest()[:7], "big")


SOURCES = _digest_of_sources()
"""Digest of every file that compiled code is made of.

Numba's cache looks at the file of the entry function alone and would miss an edit in a function that it calls. The
values an entry closes over are part of the cache's key; so each entry closes over this number.
"""

CACHE = choose_cache(HERE)
"""Where the machine code is kept."""
if CACHE.folder is not None:
    # Not by the environment: Numba has read it, perhaps long before, if somebody imported it first.
    vars(numba.config)["CACHE_DIR"] = str(CACHE.folder)

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
