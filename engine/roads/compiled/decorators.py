"""How functions are compiled: inside others, called from others, called from Python."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
import numba
import numba.core.cgutils
import numba.core.typing.templates
import numba.extending
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from engine.configuration import TrainingConfig, dropout_rates
from engine.methods.activations import ACTIVATIONS
from engine.methods.losses import LOSSES
from engine.methods.optimizers import OPTIMIZERS, epsilon_of, weight_decay_of
from engine.methods.regularizers import REGULARIZERS
from engine.methods.schedules import learning_rate
from engine.methods.streams import (
    DROPOUT,
    GOLDEN_32,
    GOLDEN_64,
    INPUT_NOISE,
    MIX_32_A,
    MIX_32_B,
    MIX_64_A,
    MIX_64_B,
    SHUFFLE,
)
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.roads.subnormals import subnormals_are_zero
from engine.splits import Split
from engine.state import TrainingState

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
    options: dict[str, Any] = {"nogil": True, "cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options)(function)
