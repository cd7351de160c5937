"""Functions that other compiled functions take in: instructions to link, which become machine code with the entry.

Numba optimizes each function it compiles, makes machine code of it, and does both once more for every function that
takes it in: what stands four calls below the entry is done five times, and all but the last is thrown away. That was a
third of the time that compiling took. So a function that Python never calls stops at its instructions, and the entry,
into which they are all linked, is optimized and made into machine code once. What is to be inlined LLVM inlines then;
Numba's own ``inline="always"`` copies functions before their types are known, which took a quarter.

`pipeline_class` is Numba's own way in; the methods replaced here are its inner doing. Should a later Numba pass by
`define_pipelines`, such functions are compiled as any other, which takes longer, to the same numbers. Should it rename
a class or ask a library for more, importing or compiling fails.
"""

from __future__ import annotations

from typing import Any

import numba.core.codegen
import numba.core.compiler

# Numba's own type hints cover half of it.
codegen: Any = numba.core.codegen
compiler: Any = numba.core.compiler


class _NoMachineCode:
    """What Numba takes for the place of machine code, where there is none."""

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: globals by name are for code that calls the interpreter, as linked functions do not."""


class _LinkedLibrary(codegen.JITCodeLibrary):  # type: ignore[misc]
    """The instructions of one function and of those it calls, as Numba's library without its last two steps."""

    _nowhere = _NoMachineCode()

    def _optimize_final_module(self) -> None:
        """Leave it to the entry."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        """Return 0, which tells Numba that nothing by that name can be called."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """Return what takes the address of the function's globals, of which there is none."""
        return self._nowhere


class LinkedCompiler(compiler.Compiler):  # type: ignore[misc]
    """Numba's compiler, up to the instructions."""

    def define_pipelines(self) -> Any:
        """Return Numba's passes, which put what they make into the library that is there before them."""
        if self.state.library is None:
            self.state.library = _LinkedLibrary(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return super().define_pipelines()
