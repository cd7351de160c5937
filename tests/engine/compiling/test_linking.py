"""Functions that only compiled code calls: what is made of them, and when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numba.core.codegen
import numpy as np
import pytest

from engine.compiling.decorators import inlined, inner

ROOT = Path(__file__).parents[3]
NUMBERS = """
import hashlib, sys
import numba, numba.core.codegen
import numpy as np
from engine.compiling.linking import LinkedCompiler

if "passed by" in sys.argv:
    del LinkedCompiler.define_pipelines

from engine.roads.compiled.functions import exp, normal_cdf, sigmoid, softplus, tanh
from engine.roads.compiled.random import normal
from engine.roads.compiled.vectors import address, store

made = []
library = numba.core.codegen.JITCodeLibrary
real = library._finalize_specific
library._finalize_specific = lambda self: (made.append(self.name), real(self))

@numba.njit
def fill(out, keys):
    place = address(out)
    for i in range(len(out) // 6):
        x = normal(place, address(keys), i)
        store(place, 6 * i, x)
        store(place, 6 * i + 1, exp(x))
        store(place, 6 * i + 2, tanh(x))
        store(place, 6 * i + 3, sigmoid(x))
        store(place, 6 * i + 4, softplus(x))
        store(place, 6 * i + 5, normal_cdf(x))

out = np.zeros((6000, 16), np.float32)
fill(out, np.arange(32, dtype=np.uint32).reshape(2, 16))
assert abs(out).min() > 0
print(hashlib.sha256(out.tobytes()).hexdigest(), any("sigmoid" in name for name in made))
"""


@inner
def _first(values: Any) -> Any:
    same = values
    return same[0]


@inlined
def _twice_the_first(values: Any) -> Any:
    return 2.0 * _first(values)


@inner
def _with_an_array_of_its_own(values: Any) -> Any:
    own = np.empty(2)
    own[0] = values[0]
    return own[0]


def test_machine_code_is_made_with_the_entry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    library = numba.core.codegen.JITCodeLibrary
    real = library._finalize_specific

    def noting(self: Any) -> None:
        made.append(self.name.rpartition(".")[2])
        real(self)

    monkeypatch.setattr(library, "_finalize_specific", noting)

    def entry(values: Any) -> Any:
        return _twice_the_first(values) + _first(values)

    values = np.array([1.5, 0.0])
    assert numba.njit(entry)(values) == 4.5
    assert [name for name in made if name != "nrt"] == ["entry"]  # nrt: Numba's own, once a process


def test_linked_functions_count_no_references() -> None:
    def entry(values: Any) -> Any:
        return _twice_the_first(values)

    values = np.array([1.5, 0.0], dtype=np.float32)
    assert numba.njit(entry)(values) == 3.0
    for function in (_first, _twice_the_first):
        for result in function.overloads.values():
            assert "NRT" not in result.library.get_llvm_str()


def test_a_linked_function_that_makes_an_array_is_refused() -> None:
    def entry(values: Any) -> Any:
        return _with_an_array_of_its_own(values)

    with pytest.raises(numba.TypingError, match="Only accept returning of array passed into the function as argument"):
        numba.njit(entry)(np.zeros(2))


@pytest.mark.takes(8.0)
def test_a_numba_that_passes_by_the_linking_compiles_to_the_same_numbers() -> None:
    def run(*arguments: str) -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", NUMBERS, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    linked, is_machine_code = run()
    assert is_machine_code == "False"
    assert run("passed by") == [linked, "True"]
