"""Every file that the compiled road's machine code is made of."""

from __future__ import annotations

from pathlib import Path

from engine.compiling.sources import digest_of_sources

HERE = Path(__file__).parent
METHODS = HERE.parents[1] / "methods"
"""The records whose codes and constants are compiled in."""

SOURCES = digest_of_sources([*HERE.glob("*.py"), *METHODS.glob("*.py")])
"""Their digest, over which each function closes that Python calls; see `engine.compiling.sources`."""
