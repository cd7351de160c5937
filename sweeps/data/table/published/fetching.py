"""Get a published data file once: from its public address, into a cache, never without its SHA-256.

``SWEEPS_DATA=FOLDER`` takes files from a folder instead and fetches nothing; ``SWEEPS_CACHE=FOLDER`` moves the cache.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from sweeps.data.table.table import TableError
from sweeps.store.log import write_atomically

TIMEOUT_S = 30.0
"""Longest silence of a server."""
LONGEST_S = 900.0
"""Longest time for one file."""
_CHUNK = 1 << 16


class FetchError(TableError):
    """A data file that cannot be had, in one line: what failed, and how to do without a network."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One published file.

    Parameters
    ----------
    path : str
        Its place below ``SWEEPS_DATA`` and below the cache: ``"ames/kaggle_house_pred_train.csv"``.
    url : str
        Public address.
    n_bytes : int
        Its size: never more is read.
    sha256 : str
        Its digest.
    """

    path: str
    url: str
    n_bytes: int
    sha256: str


def get_file(file: DataFile) -> Path:
    """Return where a file is on this machine, fetched if need be; its digest is checked every time.

    Raises
    ------
    FetchError
        If it cannot be had, or is not the published one.
    """
    if folder := os.environ.get("SWEEPS_DATA"):
        path = Path(folder) / file.path
        _check_given(file, path)
        return path
    path = cache_folder() / file.path
    try:
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _fetch(file))
    except OSError as error:
        raise FetchError(
            f"{path}: cannot be kept ({error.strerror or error}); name another folder with SWEEPS_CACHE=FOLDER"
        ) from None
    return path


def cache_folder() -> Path:
    """Return ``SWEEPS_CACHE``, else this user's cache folder on this system."""
    if folder := os.environ.get("SWEEPS_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rangesweep"


def _check_given(file: DataFile, path: Path) -> None:
    try:
        if (size := path.stat().st_size) != file.n_bytes:
            raise FetchError(f"{path}: {size:,} bytes; expected the published {file.n_bytes:,} (SWEEPS_DATA)")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FetchError(
            f"{path}: {error.strerror or error}; expected {file.path} below SWEEPS_DATA (unset it to fetch {file.url})"
        ) from None
    if digest != file.sha256:
        raise FetchError(f"{path}: SHA-256 {digest[:12]}...; expected {file.sha256[:12]}... (SWEEPS_DATA)")


def _fetch(file: DataFile) -> bytes:
    def failed(why: str) -> FetchError:
        return FetchError(
            f"{file.url}: {why}; without a network: put the file at FOLDER/{file.path} and run with SWEEPS_DATA=FOLDER"
        )

    opener = urllib.request.build_opener(_SameHost(urllib.parse.urlsplit(file.url).netloc))
    deadline = time.monotonic() + LONGEST_S
    parts, size = [], 0
    try:
        with opener.open(file.url, timeout=TIMEOUT_S) as answer:
            while part := answer.read(_CHUNK):
                parts.append(part)
                size += len(part)
                if size > file.n_bytes:
                    raise failed(f"more than the published {file.n_bytes:,} bytes")
                if time.monotonic() > deadline:
                    raise failed(f"not done after {LONGEST_S:.0f} s ({size:,} of {file.n_bytes:,} bytes)")
    except urllib.error.HTTPError as error:
        error.close()
        raise failed(f"{error.code} {error.reason}") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise failed(f"not fetched ({' '.join(str(reason).split()) or type(reason).__name__})") from None
    content = b"".join(parts)
    if size != file.n_bytes:
        raise failed(f"{size:,} bytes came; expected {file.n_bytes:,}")
    if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise failed(f"SHA-256 {digest[:12]}... came; expected {file.sha256[:12]}...")
    return content


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect on the same host only."""

    def __init__(self, host: str) -> None:
        self._host = host

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        parts = urllib.parse.urlsplit(newurl)
        if parts.netloc != self._host or parts.scheme not in ("http", "https"):
            fp.close()
            raise urllib.error.URLError(f"a redirect to {parts.scheme}://{parts.netloc}, another host, is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
