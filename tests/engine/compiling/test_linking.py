"""Functions that only compiled code calls: what is made of them, and when."""

from __future__ import annotations

from typing import Any

import numba
import numba.core.codegen
import numpy as np
import pytest

from engine.compiling.decorators import inlined, inner


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
