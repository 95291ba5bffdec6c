"""What a posted body may hold: every field typed, nothing converted, unknown names refused with the nearest one."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, field_validator

from reverie.errors import shorten
from reverie.server.http.errors import RequestError, hint

__all__ = ["Body", "LenientModel", "refusal_of"]


class LenientModel(BaseModel):
    """A body whose further fields are passed over, as Ollama does."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        """JSON can hold halves of letters (lone surrogates), which no text can."""
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("holds half a letter (a lone surrogate)")
        return value


class Body(LenientModel):
    """A body whose every field is known."""

    model_config = ConfigDict(extra="forbid")


def refusal_of(error: RequestValidationError, known: list[str]) -> RequestError:
    """The first fault of a body in one line. ``known``: the fields that it may have."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return RequestError(400, "the body is no JSON", code="no_json")
    if first["type"] == "extra_forbidden":
        said = f"unknown parameter: '{shorten(place)}'.{hint(place, known)}"
        return RequestError(400, said, place[:80], "unknown_parameter")
    if not place:
        return RequestError(400, "the body must be a JSON object", code="no_object")
    code = "missing_parameter" if first["type"] == "missing" else "invalid_value"
    return RequestError(400, f"'{shorten(place)}': {_said(first)}", place[:80], code)


def _said(first: dict[str, Any]) -> str:
    said = str(first["msg"]).removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
