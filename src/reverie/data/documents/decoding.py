"""Bytes to text, whatever wrote them: UTF-8, UTF-16 and UTF-32 with their marks, older encodings by a guess."""

from __future__ import annotations

import codecs
import re

from reverie.errors import DataError

__all__ = ["decode"]

_MARKS = (  # the longer one first: UTF-32's starts as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = "cp1252 shift_jis euc_jp gb18030 big5 euc_kr cp1251 koi8_r cp1253 cp1256 cp1255 iso8859_2 iso8859_9".split()
_LOOKED_AT = 65_536  # bytes that a guess is made from
_FEW_LETTERS = 0.1  # share of bytes above 127 below which a text is written in Latin letters
_ODD = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BINARY = 0.02  # share of such characters in a file that is no text


def decode(data: bytes, declared: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text, with line feeds alone between lines, and notes about what was guessed or left out.

    ``declared``: the encoding that the file itself names; taken where the bytes are no UTF-8 and it knows them all.
    Raises DataError for what is no text.
    """
    text, notes = _decoded(data, declared)
    odd = len(_ODD.findall(text[:_LOOKED_AT]))
    if odd > _BINARY * min(len(text), _LOOKED_AT):
        raise DataError("is a binary file, not text")
    if "\0" in text:
        notes = (*notes, f"{text.count(chr(0)):,} NUL characters are left out")
    return _ODD.sub("", text).replace("\r\n", "\n").replace("\r", "\n"), notes


def _decoded(data: bytes, declared: str | None) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            return text, (f"bytes that are no {encoding} became �",) * ("�" in text)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        if _is_mostly_utf8(data, error.start):
            return _line_by_line(data), ("some lines are no UTF-8: read as cp1252",)
        encoding = _known(data, declared) or _guess(data[max(0, error.start - 1000) :][:_LOOKED_AT])
    return data.decode(encoding, "replace"), (f"is no UTF-8: read as {encoding}",)


def _is_mostly_utf8(data: bytes, start: int) -> bool:
    """Whether most lines with bytes above 127 are UTF-8: two files in one."""
    lines = [line for line in data[: start + _LOOKED_AT].split(b"\n") if not line.isascii()]
    return sum(_is_utf8(line) for line in lines) > len(lines) / 2


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _line_by_line(data: bytes) -> str:
    return "".join(
        line.decode("utf-8" if _is_utf8(line) else "cp1252", "replace") for line in data.splitlines(keepends=True)
    )


def _known(data: bytes, declared: str | None) -> str | None:
    try:
        data.decode(declared or "")
    except (LookupError, UnicodeDecodeError):
        return None
    return declared


def _guess(data: bytes) -> str:
    if sum(byte > 127 for byte in data) < _FEW_LETTERS * len(data):  # too little to go by; "naïve" is cp1252
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=_GUESSES, threshold=0.4).best()
    return best.encoding if best is not None else "cp1252"
