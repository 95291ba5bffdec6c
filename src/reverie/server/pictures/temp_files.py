"""The folder in which the page's pictures lie while a browser shows them."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from pathlib import Path

__all__ = ["TempFiles"]

_AGE_S = 30 * 60  # after which nobody looks at a picture any more
_FRESH_S = 60  # a younger one may be on its way to a browser
_MOST_BYTES = 2 * 2**30
_PAUSE_S = 15


class TempFiles:
    """Files under names that cannot be guessed; old ones go, and the oldest before their time where it gets full.

    What people upload lies in the same ``folder`` and goes the same way.
    """

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES):
        self.folder, self.most_bytes = folder, most_bytes

    def put(self, name: str, data: bytes) -> str:
        """Keep ``data`` as a file of that name, which a download then has; returns its path."""
        place = self.folder / secrets.token_hex(16)
        place.mkdir(parents=True)
        (place / name).write_bytes(data)
        return str(place / name)

    def tidy(self, now: float | None = None) -> None:
        """Remove what is old, then the oldest until the rest has room."""
        now = time.time() if now is None else now
        kept, size = list[tuple[float, int, Path]](), 0
        for place in self.folder.iterdir():
            try:
                files = [place, *place.rglob("*")]
                changed, num_bytes = place.stat().st_mtime, sum(file.stat().st_size for file in files if file.is_file())
            except OSError:
                continue  # it is going this moment
            if now - changed > _AGE_S:
                _remove(place)
            else:
                kept.append((changed, num_bytes, place))
                size += num_bytes
        for changed, num_bytes, place in sorted(kept):
            if size <= self.most_bytes or now - changed < _FRESH_S:
                break
            _remove(place)
            size -= num_bytes

    async def keep_tidy(self) -> None:
        """Tidy up now and then, for as long as the server runs."""
        while True:
            await asyncio.to_thread(self.tidy)
            await asyncio.sleep(_PAUSE_S)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
