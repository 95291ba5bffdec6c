"""Which part of the data something belongs to: by its hash, so that it stays there whatever else there is."""

from __future__ import annotations

import hashlib

__all__ = ["share_of"]


def share_of(key: str, num_bytes: int = 8) -> float:
    """A number in [0, 1) that ``key`` always has: the first bytes of its SHA-256, read as a fraction.

    ``share_of(key) < 0.1`` holds a tenth back.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:num_bytes], "big") / (1 << 8 * num_bytes)
