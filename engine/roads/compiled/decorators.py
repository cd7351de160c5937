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


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled code calls: no way in from Python has to be compiled."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into its callers: calls go through a table of addresses, which a mini-batch of one feels."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options, inline="always")(function)


def outer(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without the interpreter's lock, and keep it on disk."""
    options: dict[str, Any] = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options, cache=CACHE.is_kept)(function)
