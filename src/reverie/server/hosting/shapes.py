"""The form of an answer: JSON by a schema, or calls of tools. What each API says of it becomes one ``Shape``.

An API's routes do three things with it: ``shape.applied(request)`` before the run, every piece's text through
``shape.reader()`` while it runs, and what the reader gives goes out as text or as calls in the API's own words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from reverie.errors import ReverieError, shorten
from reverie.server.hosting.contract import TextRequest
from reverie.server.hosting.tool_calls import BEGIN, END, Tool, ToolCall, calling_grammar, calls_in
from reverie.server.http.errors import RequestError, hint
from reverie.tokens.guided import ANY_OBJECT, Form, GuidedConstraint, grammar_form, schema_form

if TYPE_CHECKING:
    from reverie.dreaming.engine_speaker import EngineSpeaker

__all__ = ["Reader", "Shape", "Tool", "ToolCall", "shape_of"]

MOST_TOOLS = 128  # of one request


class Reader:
    """Reads one answer as it comes: text that is told on, and calls of tools that are whole.

    ``names``: of the tools; without any, all is text.
    """

    def __init__(self, names: Collection[str] = ()):
        self._names, self._held, self._begun = names, "", False
        self.num_calls = 0

    def feed(self, text: str) -> list[str | ToolCall]:
        """What is sure by now."""
        if not self._names:
            return [text] if text else []
        self._held += text
        told = list[str | ToolCall]()
        while (found := self._next()) is not None:
            told += found
        return [one for one in told if one]

    def rest(self) -> list[str | ToolCall]:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, ""
        calls = self._calls(held) if not self._begun else []
        if calls:
            return list[str | ToolCall](calls)
        return [held] if held.strip() or (held and not self.num_calls) else []

    def _next(self) -> list[str | ToolCall] | None:
        """One step: text before a call, a call, or None where more has to come."""
        held = self._held
        if not self._begun and held.lstrip()[:1] in ("", "{", "["):
            return None  # a call without tags, or white space before what follows; it is read at the end
        if held.startswith(BEGIN):
            end = held.find(END)
            return None if end < 0 else self._tagged(held[: end + len(END)], held[end + len(END) :])
        place = held.find(BEGIN)
        if place > 0 and not held[:place].strip():
            self._held = held[place:]
            return []
        sure = len(held[: len(held) - _overlap(held, BEGIN) if place < 0 else place].rstrip())
        if not sure:
            return None
        self._begun, self._held = True, held[sure:]
        return [held[:sure]]

    def _tagged(self, whole: str, after: str) -> list[str | ToolCall]:
        self._begun, self._held = True, after
        return list[str | ToolCall](self._calls(whole[len(BEGIN) : -len(END)])) or [whole]

    def _calls(self, text: str) -> list[ToolCall]:
        calls = calls_in(text.strip(), self._names)
        self.num_calls += len(calls)
        return calls


def _overlap(text: str, mark: str) -> int:
    """Letters at the end of ``text`` with which ``mark`` may begin."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-size:])), 0)


@dataclass(frozen=True)
class Shape:
    """One request's form. Make it with ``shape_of``."""

    form: Mapping[str, Any] | None
    tools: tuple[Tool, ...]
    choice: str

    def applied(self, request: TextRequest) -> TextRequest:
        """The request with what the form needs: a constraint, tools told to the model."""
        return replace(request, constraint=self._constraint, tools=tuple(one.told() for one in self.tools))

    def reader(self) -> Reader:
        """A new one for each answer."""
        return Reader(tuple(one.name for one in self.tools))

    def _constraint(self, speaker: EngineSpeaker, max_ids: int) -> GuidedConstraint:
        return speaker.guide.constraint(self._form(speaker), max_ids)

    def _form(self, speaker: EngineSpeaker) -> Form:
        if not self.tools:
            return schema_form(self.form or ANY_OBJECT)
        named = [one for one in self.tools if self.choice in ("auto", "required", one.name)]
        must = self.choice != "auto"
        grammar = calling_grammar(speaker.words, named, must, None if self.form is None else self.form or ANY_OBJECT)
        return grammar_form(grammar, is_json=must or self.form is not None)


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

    Raises RequestError (400) for a schema that cannot be enforced and a tool that cannot be offered. What needs the
    base to be found out is refused when the answer begins.
    """
    tools = () if choice == "none" else tuple(tools)
    if form is None and not tools:
        if choice not in ("auto", "none"):
            raise RequestError(400, f"tool_choice '{shorten(choice)}' needs tools", "tool_choice")
        return None
    _check_tools(tools, choice)
    try:
        if form is not None:
            schema_form(form)
    except ReverieError as error:
        raise RequestError(400, str(error), "format", "invalid_schema") from error
    return Shape(form, tools, choice)


def _check_tools(tools: Sequence[Tool], choice: str) -> None:
    names = [one.name for one in tools]
    if len(tools) > MOST_TOOLS:
        raise RequestError(400, f"at most {MOST_TOOLS} tools, got {len(tools)}", "tools")
    if not all(name.strip() for name in names) or len(set(names)) < len(names):
        raise RequestError(400, "each tool has a name of its own", "tools")
    if tools and choice not in ("auto", "required", *names):
        said = f"tool_choice names '{shorten(choice)}', which is no tool.{hint(choice, names)}"
        raise RequestError(400, said, "tool_choice")
