"""The processor's mode in which subnormal numbers are zero, set around the engine's arithmetic in float32.

Between 1e-45 and 1.2e-38 a float32 is subnormal, and processors take up to some hundred cycles more over it. Penalties
and decay bring weights there, and with them moments, outputs and gradients. No network needs such numbers, so in this
mode results below 1.2e-38 become 0 and operands below it count as 0, at no cost and wherever they arise.

The mode belongs to the thread and holds for every vector width, for NumPy and for a BLAS that works in the calling
thread (`engine.roads.blas`). x86 and ARM (64 bits; Linux, macOS, Windows) have it; elsewhere nothing is changed and a
dead network is slow. Float64 is left alone: TensorFlow Playground, which it reproduces, keeps subnormal numbers.

References
----------
.. [1] Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3 (MXCSR: FTZ, DAZ).
.. [2] Arm Architecture Reference Manual for A-profile, FPCR.FZ. It looks at a result before rounding, x86 after: only
   one that rounds up to the smallest normal number differs.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Numba asks for it when it is first called, perhaps in this mode: NumPy 2.2 would find its smallest number to be 0
# there, warn of it and keep it.
import numpy.ma  # noqa: F401

_ROOM = 64  # bytes, more than any `fenv_t` takes
_X86_BITS = 1 << 15 | 1 << 6  # MXCSR: flush to zero, denormals are zero
_ARM_BITS = 1 << 24  # FPCR: FZ
_WINDOWS_FLUSH, _WINDOWS_MASK = 0x01000000, 0x03000000  # float.h: _DN_FLUSH, _MCW_DN


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the control register lies in the C library's `fenv_t`, and the bits to set there."""

    offset: int
    bits: int


PLACES = {  # glibc's and musl's bits/fenv.h, Apple's fenv.h
    ("linux", "x86_64"): _Place(28, _X86_BITS),
    ("linux", "aarch64"): _Place(0, _ARM_BITS),
    ("darwin", "x86_64"): _Place(4, _X86_BITS),
    ("darwin", "arm64"): _Place(8, _ARM_BITS),
}
"""Systems and machines whose mode is known, besides Windows."""


def set_flush() -> Callable[[], None]:
    """Set the mode in this thread; return what restores the one before."""
    if sys.platform == "win32":
        return _set_on_windows()
    place = PLACES.get((sys.platform, platform.machine()))
    if place is None:
        return lambda: None
    library = _library()
    before = ctypes.create_string_buffer(_ROOM)
    library.fegetenv(before)
    after = ctypes.create_string_buffer(before.raw, _ROOM)
    control = ctypes.c_uint32.from_buffer(after, place.offset)
    control.value |= place.bits
    library.fesetenv(after)

    def restore() -> None:
        library.fesetenv(before)

    return restore


@contextmanager
def subnormals_are_zero(dtype: str) -> Iterator[None]:
    """Keep the mode in this thread while float32 is computed; for another type do nothing."""
    if dtype != "float32":
        yield
        return
    restore = set_flush()
    try:
        yield
    finally:
        restore()


@functools.cache
def _library() -> ctypes.PyDLL:
    # What the process has already: the interpreter needs the C library's mathematics itself. The lock is kept.
    return ctypes.PyDLL(None)


def _set_on_windows() -> Callable[[], None]:
    library = ctypes.PyDLL("ucrtbase")
    before = ctypes.c_uint()
    library._controlfp_s(ctypes.byref(before), 0, 0)
    now = ctypes.c_uint()
    library._controlfp_s(ctypes.byref(now), _WINDOWS_FLUSH, _WINDOWS_MASK)

    def restore() -> None:
        library._controlfp_s(ctypes.byref(now), before.value & _WINDOWS_MASK, _WINDOWS_MASK)

    return restore
