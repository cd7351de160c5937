"""Look names up, and say in one way what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CUTOFF = 0.5
"""How alike a name must be to be meant, as `difflib.get_close_matches` measures it."""
FEWEST_LETTERS = 3
"""Of what is looked for as the beginning of a word inside a name."""
_WORD = re.compile(r"[^\W_]+")
LONGEST_MESSAGE = 300
"""Characters of a message: one line that can be read at a glance."""
LONGEST_SHOWN = 80
"""Characters of a value that a message shows."""


class InputMessageError(ValueError):
    """Something that a user gave will not do; the message is one line of at most `LONGEST_MESSAGE` characters."""

    def __init__(self, message: str) -> None:
        super().__init__(cut(message))


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
    if name not in known:
        raise ValueError(f"{argument}: {unknown('', name, known)}")


def unknown(noun: str, name: object, known: Iterable[object]) -> str:
    """Return ``"unknown dataset 'xorr'; did you mean 'xor'?"``, or the list of what is known.

    Parameters
    ----------
    noun : str
        What the name should be one of; empty where the message has said it already.
    name, known : str, iterable of str
        What was given, and what there is.
    """
    names = [str(one) for one in known]
    near = nearest(str(name), names)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(names)}" if names else "there is none yet"
    return f"unknown {noun + ' ' if noun else ''}{cut(repr(str(name)), LONGEST_SHOWN)}; {hint}"


def cut(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text of at most so many characters; what is too much is left out of its middle.

    A message begins with the place and ends with what would do: whoever reads it needs both.
    """
    if len(text) <= longest:
        return text
    n_end = (longest - 3) // 2
    return f"{text[: longest - 3 - n_end]}...{text[-n_end:]}"


def unreadable(name: str, error: OSError) -> str:
    """Return why a file that was named cannot be read, and what would do.

    Parameters
    ----------
    name : str
        Its path as it was given.
    error : OSError
        What reading it raised.
    """
    path, folder = Path(name), Path(name).parent
    if isinstance(error, FileNotFoundError):
        if not folder.is_dir():
            return f"{name}: not there, nor is the folder {str(folder)!r}; paths are from {str(Path.cwd())!r}"
        files = sorted(one.name for one in folder.iterdir() if one.is_file())
        alike = [one for one in files if Path(one).suffix == path.suffix or not path.suffix]
        near = nearest(path.name, alike, cutoff=0.0) or nearest(path.name, files)
        hint = f"nearest: {str(folder / near)!r}" if near else f"no {path.suffix or 'such'} file is in {str(folder)!r}"
        return f"{name}: not there; {hint}"
    if isinstance(error, IsADirectoryError):
        return f"{name}: a folder; name a file in it"
    if isinstance(error, PermissionError):
        return f"{name}: {error.strerror}; give yourself the right to read it, or take a copy"
    return f"{name}: cannot be read: {error.strerror}"


def nearest(name: str, known: Iterable[str], cutoff: float = CUTOFF) -> str | None:
    """Return the known name that was probably meant.

    One that begins so, else one of whose words does (``"rate"``: ``"training.learning_rate"``), else the one that looks
    most alike.
    """
    names, asked = list(known), name.lower()[:LONGEST_MESSAGE]  # comparing takes the product of the lengths
    longer = [other for other in names if asked and other.lower().startswith(asked)]
    if not longer and len(asked) >= FEWEST_LETTERS:
        longer = [other for other in names if any(word.startswith(asked) for word in _WORD.findall(other.lower()))]
    alike = longer or difflib.get_close_matches(asked, names, n=1, cutoff=cutoff)
    return alike[0] if alike else None
