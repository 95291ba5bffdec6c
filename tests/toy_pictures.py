"""Folders of small pictures that a test makes in a moment: each seed another drawing, with another hash."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def drawing(seed: int, width: int = 96, height: int = 80) -> np.ndarray:
    """uint8 (height, width, 3) in greys: soft blobs that no other seed draws."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 6)).astype(np.uint8)
    grey = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)


def photo(seed: int, width: int = 96, height: int = 80) -> np.ndarray:
    """uint8 (height, width, 3) in all colours."""
    return np.stack([drawing(3 * seed + channel + 10_000, width, height)[..., 0] for channel in range(3)], axis=2)


def save(picture: np.ndarray, path: Path, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **settings)
    return path


def drawings(folder: Path, count: int, captions: bool = True) -> Path:
    """A folder of ``count`` drawings 00.png …, each with a text beside it: "drawing 0" …"""
    for index in range(count):
        save(drawing(index), folder / f"{index:02d}.png")
        if captions:
            (folder / f"{index:02d}.txt").write_text(f"drawing {index}", encoding="utf-8")
    return folder


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds hardly any."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
