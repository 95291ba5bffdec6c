"""Files that a client sent to make a model of, by their SHA-256."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from reverie.paths import cache_dir
from reverie.server.http.errors import RequestError

__all__ = ["Blobs"]

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_IDLE_S = 30.0  # in which something of a file has to come
_SPARE_BYTES = 1 << 30  # that are left on the disk
_KEPT_S = 86_400.0  # that a file waits for its model


class Blobs:
    """Below the cache: what is not used within a day goes when the next one comes."""

    def __init__(self, folder: Path | None = None):
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder or cache_dir() / "blobs"

    def find(self, digest: str) -> Path | None:
        """Where it lies; None where it is not there. Raises RequestError for what is no digest."""
        path = self._path(digest)
        return path if path.is_file() else None

    async def take(self, digest: str, blocks: AsyncIterator[bytes]) -> bool:
        """Keep a file as it comes; whether it was new. Raises RequestError where it is another than it should be."""
        if self.find(digest):
            return False
        path = self._path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clear()
        part = path.with_name(f".{path.name}.{time.monotonic_ns()}.part")
        try:
            found = await self._write(part, blocks)
            if found != path.name.removeprefix("sha256-"):
                raise RequestError(400, f"the file is another than {digest[:20]}…: its SHA-256 is {found}", "digest")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return True

    async def _write(self, part: Path, blocks: AsyncIterator[bytes]) -> str:
        digest, room = hashlib.sha256(), shutil.disk_usage(part.parent).free - _SPARE_BYTES
        try:
            with part.open("wb") as file:
                while True:
                    async with asyncio.timeout(_IDLE_S):
                        block = await anext(blocks, None)
                    if block is None:
                        return digest.hexdigest()
                    room -= len(block)
                    if room < 0:
                        raise RequestError(507, "the disk of this server has no room for that file", code="disk_full")
                    await asyncio.to_thread(_put, file, digest, block)
        except TimeoutError as error:
            raise RequestError(408, f"nothing of the file came for {_IDLE_S:g} seconds", code="timeout") from error
        except OSError as error:
            raise RequestError(507, f"the file cannot be kept: {error.strerror}", code="disk_full") from error

    def _path(self, digest: str) -> Path:
        found = _DIGEST.fullmatch(digest)
        if found is None:
            raise RequestError(400, "a digest is sha256: and 64 hexadecimal digits", "digest")
        return self.folder / f"sha256-{found[1]}"

    def _clear(self) -> None:
        for one in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - one.stat().st_mtime > _KEPT_S:
                    one.unlink()


def _put(file: BinaryIO, digest: hashlib._Hash, block: bytes) -> None:
    file.write(block)
    digest.update(block)
