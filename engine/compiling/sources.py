"""A digest of source files, by which Numba's cache sees an edit in any of them.

Numba's cache looks at the file of the function that Python calls and would miss an edit in a function that it calls in
turn. The values such a function closes over are part of the cache's key; so each closes over this number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent


def digest_of_sources(paths: Iterable[Path]) -> int:
    """Return a number, at least 0, that any edit changes: of the files, or of those that say how to compile.

    Parameters
    ----------
    paths : iterable of Path
        All files that the compiled code is made of.
    """
    digest = hashlib.sha256()
    for path in sorted([*paths, *HERE.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return int.from_bytes(digest.digest()[:7], "big")
