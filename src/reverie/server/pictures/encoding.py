"""Pictures as bytes and as base64 text, both ways."""

from __future__ import annotations

import base64
import binascii
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from reverie.data.pictures import open_picture, resize_picture
from reverie.drawing import png_bytes
from reverie.errors import PictureError
from reverie.server.http.errors import RequestError

__all__ = ["FORMATS", "as_base64", "open_base64", "picture_bytes"]

FORMATS = ("png", "jpeg", "webp")


def picture_bytes(
    picture: np.ndarray, form: str = "png", side: int = 0, quality: int = 90, about: Mapping[str, str] | None = None
) -> bytes:
    """A square picture, uint8 (S, S, 3), as the bytes of a file.

    Args:
        form: one of ``FORMATS``
        side: resized to this many px; 0 leaves it
        quality: 0 to 100, of JPEG and WebP
        about: texts that a PNG carries along, as its seed and caption
    """
    image = Image.fromarray(resize_picture(picture, side, side) if side else picture)
    file = io.BytesIO()
    if form == "png":
        return png_bytes(image, about)
    image.save(file, form.upper(), quality=quality)
    return file.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def open_base64(text: str, max_pixels: int, param: str = "image") -> np.ndarray:
    """A posted picture, base64 or a data URI of it, as uint8 (H, W, 3). Raises RequestError naming ``param``."""
    if text.startswith("data:"):
        kind, comma, text = text.partition(",")
        if not comma or not kind.endswith(";base64"):
            raise RequestError(400, f"'{param}' is a data URI that is not base64", param, "invalid_image")
    elif "://" in text[:32]:
        said = f"'{param}' is an address, and this server fetches nothing; send the picture itself as base64"
        raise RequestError(400, said, param, "url_not_allowed")
    try:
        data = base64.b64decode(text.translate(_NO_BREAKS), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"'{param}' is not base64", param, "invalid_image") from error
    return open_bytes(data, max_pixels, param)


_NO_BREAKS = {ord(letter): None for letter in " \t\r\n"}


def open_bytes(data: bytes, max_pixels: int, param: str = "image") -> np.ndarray:
    """The bytes of a picture's file as uint8 (H, W, 3). Raises RequestError naming ``param``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        try:
            return open_picture(path, max_pixels)
        except PictureError as error:
            said = str(error).replace(f" {path}", "")  # the sender knows no such file
            raise RequestError(400, f"'{param}': {said}", param, "invalid_image") from error
