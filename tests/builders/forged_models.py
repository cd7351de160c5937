"""Model files that somebody has altered and given digests that fit."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**70, 1e308, float("inf"), float("nan"), "", "x" * 5000, "../x", [], [1], [[1]], {},
    {"a": 1}, "relu", [2, 3], ["a"], 0.5,
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a description."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*way, key)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*way, key))


def alter_description(description: dict[str, Any], rng: random.Random, below: tuple[Any, ...] = ()) -> None:
    """Replace, remove or add a value somewhere below a place."""
    for _ in range(rng.randint(1, 3)):
        inner: Any = description
        ways = [way for way in places(description) if way[: len(below)] == below and len(way) > len(below)]
        if not ways:
            return
        *way, key = rng.choice(ways)
        for step in way:
            inner = inner[step]
        kind = rng.randrange(3)
        if kind == 0 or isinstance(inner, list):
            inner[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 1:
            del inner[key]
        else:
            inner[f"new{rng.randrange(9)}"] = copy.deepcopy(rng.choice(VALUES))


def altered_content(content: bytes, rng: random.Random) -> bytes:
    """Return an archive with other bytes, with a piece replaced, or with other bytes in its members."""
    changed = bytearray(content)
    kind = rng.randrange(3)
    if kind == 0:
        for _ in range(rng.randint(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif kind == 1:
        start = rng.randrange(len(changed))
        changed[start : start + rng.randrange(200)] = rng.randbytes(rng.randrange(50))
    else:
        stream = io.BytesIO()
        how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", how) as new:
            for name in old.namelist():
                member = bytearray(old.read(name))
                member[rng.randrange(min(len(member), 128))] = rng.randrange(256)
                new.writestr(name, bytes(member))
        return stream.getvalue()
    return bytes(changed)


def write_forged(path: Path, description: dict[str, Any], content: bytes | None) -> None:
    """Write a model's two files with digests that fit; None leaves the ``.npz`` and its digest as they are."""
    if content is not None:
        path.write_bytes(content)
        description["sha256"] = hashlib.sha256(content).hexdigest()
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    description["description_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(description))


def read_description(path: Path) -> dict[str, Any]:
    """Return a model's description without its digest."""
    description: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    del description["description_sha256"]
    return description
