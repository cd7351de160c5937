"""Seeds from text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def text_seed(*parts: object) -> int:
    """Return 63 bits of the SHA-256 of `parts`: a seed that is the same in every process."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
