"""PDF to sections, one a page, by pypdf."""

from __future__ import annotations

import io
import logging
import re

from reverie.data.documents.contract import Section
from reverie.errors import DataError, shorten

__all__ = ["read_pdf"]

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError, ArithmeticError)
_BROKEN_WORD = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")


def read_pdf(data: bytes) -> tuple[str, list[Section], tuple[str, ...]]:
    """(title, sections, notes). Raises DataError for what is damaged, encrypted or holds pictures of pages alone."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of every oddity, most of which do not matter
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("is encrypted. Save a copy without a password and import that")
        pages = len(reader.pages)
        title = str((reader.metadata.title if reader.metadata else "") or "")
    except (DependencyError, NotImplementedError) as error:
        raise DataError("is encrypted in a way that is not read here. Save a copy without a password") from error
    except (PyPdfError, *_DAMAGED) as error:
        raise DataError(f"is damaged or no PDF: {shorten(str(error), 100)}") from error
    sections, failed = list[Section](), list[int]()
    for number in range(pages):
        try:
            text = reader.pages[number].extract_text()
        except (PyPdfError, *_DAMAGED):
            failed.append(number + 1)
            continue
        text = _BROKEN_WORD.sub("", _ok(text)).strip()
        if text:
            sections.append(Section(f"page {number + 1}", text))
    if not sections:
        raise DataError("holds no text, only pictures of pages perhaps. Run a text recognition over it first")
    some = ", ".join(map(str, failed[:5])) + (" …" if len(failed) > 5 else "")
    return " ".join(_ok(title).split()), sections, (f"pages that cannot be read: {some}",) if failed else ()


def _ok(text: str) -> str:
    """Without NULs and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
