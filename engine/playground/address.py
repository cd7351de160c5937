"""From an address as people paste it to what the Playground page reads of it.

Mail programs, search engines and chats wrap, encode and escape addresses. What has only one meaning is undone and told;
what has none is refused: a page that reads nothing of its address shows its circle, and nobody asked for that.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PAGE = "https://playground.tensorflow.org/"
HOST = "playground.tensorflow.org"
HIDE_SUFFIX = "_hide"
_MOST_LAYERS = 3
"""Times that an address may be encoded or wrapped."""
_AMPERSANDS = re.compile("&(?:amp|#38|#x26);", re.IGNORECASE)
_HASHES = re.compile("&(?:num|#35|#x23);", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HIDDEN_MARK = re.compile("%(?:25)*(?:3D|26|23)", re.IGNORECASE)
_DEFENSE = re.compile(r"/v3/__(?P<address>.*?)__;(?P<signs>[A-Za-z0-9_-]*)")


@dataclass(frozen=True, slots=True)
class PastedAddress:
    """What the page reads of a pasted address.

    Parameters
    ----------
    content : str
        What stands after the page's ``#``.
    notes : tuple of str
        What was undone to get it.
    """

    content: str
    notes: tuple[str, ...]


def read_address(text: str, is_known: Callable[[str], bool], is_text: Callable[[str], bool]) -> PastedAddress:
    """Return what the page reads of a pasted address.

    Parameters
    ----------
    text : str
        A whole URL, the part after its ``#``, or that part with the ``#``.
    is_known, is_text : function of a name
        Whether the page knows the name, and whether its value is text, which stays as it is.

    Raises
    ------
    ValueError
        If it is no address of the page, or it has more than one meaning.
    """
    notes: list[str] = []
    plain = text.strip().strip("<>\"'")
    for _ in range(_MOST_LAYERS):
        if not (_AMPERSANDS.search(plain) or _HASHES.search(plain)):
            break
        plain = _HASHES.sub("#", _AMPERSANDS.sub("&", plain))
        notes.append("HTML's &amp; read as &")
    if "\u00ae" in plain:  # what HTML makes of "&reg", with which two of the page's names begin
        plain = plain.replace("\u00ae", "&reg")
        notes.append("\u00ae read as &reg")
    if re.match(rf"(?:www\.)?{re.escape(HOST)}(?:[/?#]|$)", plain, re.IGNORECASE):
        plain = f"https://{plain}"
    if _URL.match(plain):
        content = _content_of_url(plain, is_known, notes)
    else:
        content = _without_mark(_decoded(plain, is_text, notes), notes)
        if content and "=" not in content:
            raise ValueError(f"URL: {text!r} is not a Playground address; give {PAGE}#name=value&name=value")
    content = _decoded(content, is_text, notes)
    names = [pair.partition("=")[0] for pair in content.split("&")]
    if content and not any(map(is_known, names)):
        raise ValueError(
            f"URL: nothing in {content!r} is a name that the page knows; give {PAGE}#dataset=xor for instance"
        )
    return PastedAddress(content, tuple(dict.fromkeys(notes)))


def _content_of_url(url: str, is_known: Callable[[str], bool], notes: list[str]) -> str:
    fragment = ""
    for _ in range(_MOST_LAYERS):
        parts = _split(url)
        if parts.hostname == HOST:
            return _content_of_page(parts, fragment, is_known, notes)
        inner = _wrapped(parts)
        if inner is None:
            break
        notes.append(f"taken out of a redirect of {parts.hostname}")
        url, fragment = inner, parts.fragment or fragment
    host = parts.hostname or parts.netloc or parts.scheme
    raise ValueError(f"URL: {host} is another site; give an address of {PAGE}, or only what stands after its #")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValueError(f"URL: {url!r}: {error}; give an address of {PAGE}") from None


def _content_of_page(parts: SplitResult, outer_fragment: str, is_known: Callable[[str], bool], notes: list[str]) -> str:
    """Return what stands after the ``#``, or where a ``?`` or an encoded ``#`` stands for it, after that."""
    path = parts.path
    for _ in range(_MOST_LAYERS):
        path = unquote(path)
    _, encoded, in_path = path.partition("#")
    if encoded:
        notes.append("%23 read as #")
    in_query = any(is_known(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    query = parts.query if in_query else ""
    if query and in_path:  # an encoded # ends the path for people, and not for the parser
        in_path, query = f"{in_path}?{query}", ""
    given = [one for one in (in_path, parts.fragment or outer_fragment, query) if one]
    if len(given) > 1:
        raise ValueError(
            f"URL: {given[0]!r} and {given[1]!r} both say what to train, of which the page reads what stands after #; "
            "give one of them"
        )
    if query:
        notes.append("? read as #")
    return _without_mark(given[0], notes) if given else ""


def _wrapped(parts: SplitResult) -> str | None:
    """Return the page's address within another site's, or None where there is none or several."""
    found: set[str | None] = set()
    values = [value for _, value in parse_qsl(parts.query)]
    for value in values:
        if value.startswith(("https-3A__", "http-3A__")):
            value = unquote(value.replace("-", "%").replace("_", "/"))
        for _ in range(_MOST_LAYERS):
            if _is_page(value):
                found.add(value)
                break
            value = unquote(value)
    if defense := _DEFENSE.search(parts._replace(scheme="", netloc="").geturl()):
        found.add(_undefended(defense))
    pages = found - {None}
    return pages.pop() if len(pages) == 1 else None


def _is_page(url: str) -> bool:
    return bool(_URL.match(url)) and _split(url).hostname == HOST


def _undefended(found: re.Match[str]) -> str | None:
    """Undo version 3 of a mail filter's encoding: each ``*`` stands for the next of some signs."""
    coded = found["signs"]
    try:
        signs = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if found["address"].count("*") != len(signs):
        return None
    rest = iter(signs)
    address = re.sub(r"\*", lambda _: next(rest), found["address"])
    address = re.sub(r"^(https?):/(?!/)", r"\1://", address)
    return address if _is_page(address) else None


def _without_mark(content: str, notes: list[str]) -> str:
    """Return the content without the marks that may stand before it."""
    bare = content.removeprefix("#").lstrip("?/!")
    if bare != content.removeprefix("#"):
        notes.append(f"{content[: len(content) - len(bare)]} read as #")
    return bare


def _decoded(content: str, is_text: Callable[[str], bool], notes: list[str]) -> str:
    """Undo percent signs where they hide the very marks between names and values; in a text they are its own."""
    for _ in range(_MOST_LAYERS):
        pairs = [pair for pair in content.split("&") if not is_text(pair.partition("=")[0])]
        if not any(map(_HIDDEN_MARK.search, pairs)):
            break
        content = unquote(content)
        notes.append("percent signs decoded")
    return content
