"""What a log's numbers depend on: versions of libraries, the processor, and a digest of this project's own code."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

import numpy as np

_VERSIONED = ("numpy", "numba", "scipy", "optuna")
NUMBERS_DEPEND_ON = (
    "engine",
    "analysis/course",
    "analysis/lessons",
    "analysis/polynomial",
    "analysis/records",
    "analysis/statistics",
    "analysis/words.py",
    "sweeps/data",
    "sweeps/run",
    "sweeps/search",
    "sweeps/spec",
    "sweeps/store",
    "sweeps/fields.py",
    "sweeps/toml.py",
)
"""Whole folders: what is added to one of them is covered without a second list. What only shows numbers is not here."""
_CODE = (".py", ".toml", ".csv")


def versions() -> dict[str, str]:
    """Return the versions of whatever touches the numbers, and the type of processor."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONED}
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    processor = f"{platform.machine()} {' '.join(simd.get('found', []))}".strip()
    own = {"rangesweep": _own_version(), "code": code_digest(), "python": platform.python_version()}
    return own | found | {"processor": processor}


def code_digest(root: Path | None = None) -> str:
    """Return a digest of the source files that the numbers of a log depend on: the version of a tree under work.

    Parameters
    ----------
    root : Path or None
        Folder that holds the three packages; None means those that are running.
    """
    return _running_digest() if root is None else _digest_below(root)


@functools.cache
def _running_digest() -> str:
    """Read some hundred files once; what runs is what was there when it was loaded."""
    return _digest_below(Path(__file__).resolve().parents[2])


def _digest_below(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources(root)):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _sources(root: Path) -> list[Path]:
    """Return the files behind `NUMBERS_DEPEND_ON`."""
    found: list[Path] = []
    for name in NUMBERS_DEPEND_ON:
        place = root / name
        found += [place] if place.is_file() else [one for one in place.rglob("*") if one.suffix in _CODE]
    return found


def _own_version() -> str:
    try:
        return importlib.metadata.version("rangesweep")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "source tree"
