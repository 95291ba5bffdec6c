"""One file from somewhere else, whole and of a known SHA-256, or none. What is broken off goes on where it ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from reverie.bundles.package_index import local_path, shown
from reverie.errors import BundleError, shorten
from reverie.files import sha256_of
from reverie.progress import Progress, no_progress

__all__ = ["copy_checked", "fetch", "told_disk_full"]

_PIECE = 2**20  # bytes
_TRIES = 3  # in a row without a single new byte
_PAUSE_S = 0.5  # before the second try, longer before the next


class _OtherFileError(Exception):
    """What is offered is not the file, or the part that lies here not its beginning."""


def fetch(
    url: str, target: Path, sha256: str, size: int, client: httpx.Client, progress: Progress = no_progress
) -> None:
    """Fetch ``url`` (http, https or file) into ``target``, of ``size`` bytes and that SHA-256.

    What was fetched when the line broke stays in ``target`` + ``.part``, where the next call goes on. Raises
    BundleError where the file is another, the server refuses or the line keeps breaking, and where the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    what, idle = f"fetching {target.name} (MB)", 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch_rest(url, part, before, size, client, lambda done: progress(what, done // 10**6, size // 10**6))
            if sha256_of(part) == sha256:
                part.replace(target)
                return
            raise _OtherFileError(f"its SHA-256 is {sha256_of(part)}, not {sha256}")
        except _OtherFileError as error:
            part.unlink(missing_ok=True)
            if not before:
                said = f"{shown(url)} is not the file that was meant, and was thrown away: {error}"
                raise BundleError(said) from error
        except httpx.HTTPStatusError as error:
            said = f"{shown(url)} cannot be fetched: the server says {error.response.status_code}"
            raise BundleError(said) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            idle = 0 if part.exists() and part.stat().st_size > before else idle + 1
            if idle >= _TRIES:
                said = shorten(str(error) or type(error).__name__, 120)
                said = f"{shown(url)} cannot be fetched: {said}. Try again: it goes on where it ended."
                raise BundleError(said) from error
            time.sleep(_PAUSE_S * idle)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise told_disk_full(error, part, size) from error


def copy_checked(source: IO[bytes], target: Path, sha256: str) -> None:
    """Copy what ``source`` still holds into ``target``. Raises BundleError where it has another SHA-256."""
    seen = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(_PIECE):
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != sha256:
        target.unlink()
        raise BundleError(f"{target.name} has the SHA-256 {seen.hexdigest()}, not {sha256}")


def told_disk_full(error: OSError, path: Path, needed: int) -> BundleError:
    """What an OSError of writing is in words."""
    reason = error.strerror or str(error)
    room = f"About {needed / 1e6:.0f} MB are needed; nothing is left there."
    return BundleError(f"{path} cannot be written: {reason}. {room}")


def _fetch_rest(url: str, part: Path, start: int, size: int, client: httpx.Client, tell: Callable[[int], None]) -> None:
    if start > size:
        raise _OtherFileError(f"it has more than {size} bytes")
    if start == size:
        return
    with _opened(url, start, client) as (pieces, start), part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        for piece in pieces:
            file.write(piece)
            start += len(piece)
            tell(start)
            if start > size:
                raise _OtherFileError(f"it has more than {size} bytes")
    if start < size:
        raise httpx.ReadError(f"it ended after {start} of {size} bytes")


@contextmanager
def _opened(url: str, start: int, client: httpx.Client) -> Iterator[tuple[Iterator[bytes], int]]:
    """The bytes of ``url`` from ``start`` on, and where they begin: at 0 where a server does not know of parts."""
    here = local_path(url)
    if here is not None:
        try:
            opened = here.open("rb")
        except OSError as error:
            raise BundleError(f"{here} cannot be read: {error.strerror}") from error
        with opened as file:
            file.seek(start)
            yield iter(lambda: file.read(_PIECE), b""), start
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # the part is no part of it
            raise _OtherFileError("it is shorter than what lies here")
        answer.raise_for_status()
        partial = answer.status_code == 206 and answer.headers.get("content-range", "").startswith(f"bytes {start}-")
        yield answer.iter_bytes(), start if partial else 0
