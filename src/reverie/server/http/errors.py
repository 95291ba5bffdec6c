"""A request that is refused: the status and the words of it, and the two shapes in which clients expect them."""

from __future__ import annotations

from typing import Any

from reverie.errors import ReverieError

__all__ = ["RequestError", "as_ollama", "as_openai", "shaped"]


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
