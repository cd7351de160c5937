"""What a person reads, in the language asked for: the gettext way, one catalogue, English as its keys.

How to write a text, whoever adds one:

1. ``say("{n} of {total} cells trained.", n=n, total=total)`` in place of an f-string; ``say("Rate")`` of a plain text.
2. At module level, where no language is known yet: ``later("Rate")``. It is translated where it is shown: by
   ``str()``, by an f-string, by `say`'s placeholders, and by every output format. ``"".join`` would leave it English.
3. ``translated(text)`` translates what was read from a lesson's TOML file; a text that is unknown stays as it is.
4. The first argument of `say` and `later` is a literal (or ``a if x else b`` of two literals), with named placeholders.
   English endings come from ``{s}`` (``s=plural(n)``), the one placeholder that a translation may leave out.
5. Then ``RANGESWEEP_WRITE_CATALOGUE=1 python -m pytest tests/analysis/test_catalogue.py`` writes the new keys into
   ``analysis/ko.po``; fill in the empty ones, with particles avoided or both written: ``{name}은(는)``.
6. Never translated: what is recorded or compared (keys, tags, file names, verdict words in a condition), hyperparameter
   values, units, code. Runs are recorded in English whatever is asked: a command sets the language with `speaking`
   around what it prints and draws, never around training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

ENGLISH = "en"
LANGUAGES = (ENGLISH, "ko")
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """Return the language that texts are written in: ``"en"`` or ``"ko"``."""
    return _language.get()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Write texts in a language for as long as the context lasts; threads begun inside it write English.

    Raises
    ------
    ValueError
        If there is no catalogue of that language.
    """
    if name not in LANGUAGES:
        raise ValueError(f"language: unknown {name!r}; known: {', '.join(LANGUAGES)}")
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


def translated(text: str) -> str:
    """Return a text in the language, the text itself where the catalogue has none."""
    chosen = _language.get()
    return str.__str__(text) if chosen == ENGLISH else catalogue(chosen).get(text, str.__str__(text))


def say(text: str, /, **values: object) -> str:
    """Return a text in the language, its placeholders filled in.

    Parameters
    ----------
    text : str
        In English, with named placeholders as of `str.format` (braces of a text without values stay).
    **values : object
        What the placeholders stand for.
    """
    found = translated(text)
    return found.format(**values) if values else found


class Later(str):
    """An English text that is shown in the language of whoever shows it; compares and is kept as the English one."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the text in the language."""
        return translated(self)

    def __format__(self, spec: str) -> str:
        """Return the text in the language, as an f-string shows it."""
        return format(translated(self), spec)


def later(text: str) -> Later:
    """Return a text of module level, to be translated where it is shown."""
    return Later(text)


def plural(n: int) -> str:
    """Return the ending of an English noun that is counted."""
    return "" if n == 1 else "s"


@cache
def catalogue(name: str) -> Mapping[str, str]:
    """Return a language's texts by the English ones."""
    import polib  # only where another language than English is asked for

    entries = polib.pofile(str(Path(__file__).with_name(f"{name}.po")), encoding="utf-8")
    return {entry.msgid: entry.msgstr for entry in entries if entry.translated()}
