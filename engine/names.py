"""Look names up, and say what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T")


def look_up(registry: Mapping[str, T], name: str, argument: str) -> T:
    """Return the entry `name` of a registry.

    Raises
    ------
    ValueError
        If there is none: the message names the argument, the value and the nearest valid name.
    """
    check_name(registry, name, argument)
    return registry[name]


def check_name(known: Collection[str], name: str, argument: str) -> None:
    """Refuse a name that is not known.

    Raises
    ------
    ValueError
        If `name` is not in `known`: the message names the argument, the value and the nearest valid name.
    """
    if name in known:
        return
    asked = str(name).lower()
    longer = [other for other in known if asked and other.startswith(asked)]
    nearest = longer or difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"{argument}: unknown {name!r}; {hint}")
