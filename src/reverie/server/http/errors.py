"""A request that is refused: the status and the words of it, and the two shapes in which clients expect them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from reverie.errors import (
    BackendError,
    GrammarError,
    MissingExtraError,
    PictureError,
    ReverieError,
    UnknownNameError,
    UsageError,
    WorldError,
    nearest,
)

__all__ = [
    "RequestError",
    "as_ollama",
    "as_openai",
    "as_request_error",
    "closing",
    "hint",
    "shaped",
    "unexpected",
]

log = logging.getLogger("reverie.server")

_ASKERS = (UsageError, PictureError, WorldError, GrammarError)  # whoever asks can mend these


class RequestError(ReverieError):
    """A request that cannot be answered. ``param`` names the field at fault, ``code`` is a word for programs,
    ``retry_after`` is in how many seconds it is worth another try."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after


def closing() -> RequestError:
    return RequestError(503, "the server is closing", code="closing")


def unexpected() -> RequestError:
    """For whatever nobody thought of; how it came about is for the log alone."""
    return RequestError(500, "something went wrong inside this server; its log has the details", code="unexpected")


def hint(given: str, known: Iterable[str]) -> str:
    """Which of the known names was probably meant, to follow a sentence; "" where none is near."""
    near = nearest(given, known)
    return f" Did you mean '{near}'?" if near else ""


def as_request_error(error: ReverieError) -> RequestError:
    """What the house refused, as an answer: what whoever asks can mend in its own words, the rest in general ones (the
    log has the details), as it may name files of this machine."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UnknownNameError):
        return RequestError(404, str(error), code="not_found")
    if isinstance(error, _ASKERS):
        return RequestError(400, str(error), code="invalid_value")
    log.error("a request failed: %s", error)
    if isinstance(error, MissingExtraError):
        return RequestError(501, str(error), code="not_installed")
    if isinstance(error, BackendError):
        return RequestError(502, "a model that this server asks elsewhere did not answer", code="backend")
    said = "the model, an expert of it or its memory is damaged; the server's log has the details"
    return RequestError(500, said, code="damaged")


def shaped(error: RequestError, path: str) -> dict[str, Any]:
    """The JSON of an error in the shape of the API that ``path`` belongs to."""
    return as_ollama(error) if path.startswith("/api/") else as_openai(error)


def as_openai(error: RequestError) -> dict[str, Any]:
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    if error.status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def as_ollama(error: RequestError) -> dict[str, Any]:
    return {"error": str(error)}
