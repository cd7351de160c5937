"""What compiling the training loop is made of: processor seconds of LLVM's steps and of Numba's own work in Python.

    python benchmarks/compile_steps.py [float32|float64]

compiles for one type in a cache of its own, empty at first, and prints a line a step, with the number of libraries it
was done for. A step's time is its own, without the steps inside it. "Numba in Python" is all the rest: bytecode, type
inference, and writing LLVM's instructions.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "LLVM: each function alone": "_optimize_functions",
    "LLVM: a library as a whole": "_optimize_final_module",
    "LLVM: machine code": "_finalize_specific",
    "LLVM: reading instructions": "add_ir_module",
    "LLVM: linking": "finalize",
}
REST = "Numba in Python"


class Watch:
    """Own seconds and calls of each step; steps lie in one another."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((*STEPS, REST), 0.0)
        self.calls = dict.fromkeys((*STEPS, REST), 0)
        self._open = [REST]
        self._since = time.process_time()

    def enter(self, step: str) -> None:
        """Begin a step inside the one that is going on."""
        self._turn()
        self._open.append(step)
        self.calls[step] += 1

    def leave(self) -> None:
        """End the innermost step."""
        self._turn()
        self._open.pop()

    def _turn(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now


def watched(watch: Watch, step: str, method: Any) -> Any:
    """Return a method that tells the watch when it begins and ends."""

    def timed(*arguments: Any, **named: Any) -> Any:
        watch.enter(step)
        try:
            return method(*arguments, **named)
        finally:
            watch.leave()

    return timed


def measure(dtype: str) -> None:
    """Compile in this process, whose cache is empty, and print."""
    from numba.core.codegen import JITCodeLibrary

    from engine.roads.compiled.session import warm_up

    watch = Watch()
    for step, name in STEPS.items():
        setattr(JITCodeLibrary, name, watched(watch, step, getattr(JITCodeLibrary, name)))
    if not warm_up(dtype):
        raise SystemExit(f"{dtype}: the compiler did not run; is {os.environ['NUMBA_CACHE_DIR']} empty?")
    watch.enter(REST)
    for step, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        print(f"{step:28} {seconds:6.2f} s" + (f" {watch.calls[step]:5} libraries" if step != REST else ""))
    print(f"{'all':28} {sum(watch.seconds.values()):6.2f} s")


def main() -> int:
    """Run it in a process with an empty cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dtype", nargs="?", choices=("float32", "float64"), default="float32")
    dtype = parser.parse_args().dtype
    code = f"from benchmarks.compile_steps import measure; measure({dtype!r})"
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
