"""The form of an answer: JSON by a schema, or calls of tools. What each API says of it becomes one ``Shape``.

An API's routes do three things with it: ``shape.applied(request)`` before the run, every piece's text through
``shape.reader()`` while it runs, and what the reader gives goes out as text or as calls in the API's own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reverie.server.hosting.contract import TextRequest
from reverie.server.http.errors import RequestError

__all__ = ["Reader", "Shape", "Tool", "ToolCall", "shape_of"]


@dataclass(frozen=True)
class Tool:
    """What an answer may call. ``parameters``: JSON schema of its arguments, an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A call within an answer. ``arguments``: a JSON object (text on ``/v1``, an object on ``/api``)."""

    name: str
    arguments: Mapping[str, Any]


class Reader(Protocol):
    """Reads one answer as it comes: text that is told on, and calls that are whole."""

    def feed(self, text: str) -> list[str | ToolCall]: ...

    def rest(self) -> list[str | ToolCall]:
        """What was held back, once nothing more comes."""
        ...


class Shape(Protocol):
    """One request's form."""

    def applied(self, request: TextRequest) -> TextRequest:
        """The request with what the form needs: a constraint, tools told to the model."""
        ...

    def reader(self) -> Reader:
        """A new one for each answer."""
        ...


def shape_of(
    form: Mapping[str, Any] | None = None,
    tools: Sequence[Tool] = (),
    choice: Literal["auto", "none", "required"] | str = "auto",
) -> Shape | None:
    """The shape that a request asks for, None where it asks for none.

    Args:
        form: a JSON schema; {} is any JSON object
        tools: what may be called
        choice: ``auto``, ``none``, ``required``, or the name of the tool that is to be called

    Raises RequestError (400) for a schema that cannot be enforced and a tool that cannot be offered.
    """
    if form is None and not tools:
        return None
    raise RequestError(400, "answers in a form, and tools, are not offered yet", code="unsupported_parameter")
