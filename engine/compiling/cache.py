"""Where compiled code is kept, decided before Numba is asked: it fails outright where it finds no folder to write.

It is kept beside the source or in a home folder's cache, as Numba does by itself. Where neither can be written (an
installation that is read-only, a container's user without a home) it is kept in a private folder among the temporary
files, or nowhere, and `CachePlace.note` says so.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
NAME = "rangesweep"
ENGINE = Path(__file__).parents[1]
FOLDERS = (ENGINE / "playground", ENGINE / "roads" / "compiled")
"""Where the functions are that Python calls: Numba keeps their machine code beside them, where it may."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where compiled code is kept.

    Parameters
    ----------
    folder : Path or None
        None means nowhere, or beside the source.
    beside_source : bool
        Whether it is kept in ``__pycache__`` beside the source.
    note : str
        What to tell the user; empty where all is as usual.
    """

    folder: Path | None
    beside_source: bool = False
    note: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether another process will find the compiled code."""
        return self.beside_source or self.folder is not None


def choose_cache(sources: Sequence[Path], environment: Mapping[str, str] = os.environ) -> CachePlace:
    """Return where the compiled code of some folders' files is kept: all in one place, or each beside its source.

    Parameters
    ----------
    sources : sequence of Path
        Folders of the source.
    environment : mapping
        ``NUMBA_CACHE_DIR`` comes first, where it can be written; ``XDG_CACHE_HOME`` and ``HOME`` name a user's cache.
    """
    asked = environment.get(VARIABLE)
    if asked and _is_writable(Path(asked)):
        return CachePlace(Path(asked))
    problem = f"{VARIABLE}={asked} cannot be written" if asked else "neither the installation nor a home can be written"
    if all(_is_writable(source / "__pycache__") for source in sources):
        return CachePlace(None, beside_source=True, note=f"{problem}; kept beside the source" if asked else "")
    for folder in _user_caches(environment):
        if _is_writable(folder):
            return CachePlace(folder, note=f"{problem}; kept in {folder}" if asked else "")
    private = _private_folder()
    if private is not None:
        return CachePlace(private, note=f"{problem}; compiled code is kept in {private} (set {VARIABLE} for another)")
    return CachePlace(
        None, note=f"{problem}; every start compiles anew: set {VARIABLE} to a folder that can be written"
    )


def _user_caches(environment: Mapping[str, str]) -> Iterator[Path]:
    # Only absolute places: without a home, "~" would become a folder of that name in the working directory.
    for variable, *rest in (("XDG_CACHE_HOME",), ("HOME", ".cache")):
        place = environment.get(variable, "")
        if os.path.isabs(place) and Path(place).is_dir():
            yield Path(place, *rest, NAME)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_folder() -> Path | None:
    """Return a folder among the temporary files that is ours alone: what lies in it is executed."""
    try:
        folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077
    return folder if is_ours and _is_writable(folder) else None
