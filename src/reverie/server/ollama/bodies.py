"""What may be asked: bodies of the requests. As with Ollama, null is the same as leaving a field out, and fields that
are not known are passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from reverie.errors import shorten
from reverie.server.hosting import ChatMessage, Drawing, Tool
from reverie.server.http.body import LenientModel
from reverie.server.http.errors import RequestError

__all__ = [
    "ChatBody",
    "CopyBody",
    "CreateBody",
    "EmbedBody",
    "EmbeddingsBody",
    "GenerateBody",
    "NamedBody",
    "Options",
    "PullBody",
    "kept_alive",
    "schema_of",
    "talk_of",
    "tools_of",
]

_PARTS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_S = 1e9


def _whole(value: Any) -> Any:
    """Clients write whole numbers as 40.0, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole), Field(ge=-(2**63), lt=2**63)]
Duration = str | float | int


class Options(LenientModel):
    """How words are drawn. What else Ollama has here (num_ctx, num_gpu, mirostat …) is passed over."""

    seed: Whole | None = None  # below 0, as none: a random one
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_k: Whole | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[float, Field(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-100, le=100)] | None = None
    num_predict: Whole | None = None  # 0 and below: as many as the server allows
    stop: str | list[str] | None = None
    guidance: float | None = None  # ours, of pictures
    prior: str | None = None  # ours, of pictures

    def drawing(self) -> Drawing:
        return Drawing(
            self.temperature,
            self.top_p or None,
            None if self.top_k is None else min(max(0, self.top_k), 2**31),
            self.min_p,
            None if self.repeat_penalty == 1 else self.repeat_penalty,
            self.presence_penalty or None,
            self.frequency_penalty or None,
        )

    @property
    def most(self) -> int | None:
        return self.num_predict if self.num_predict is not None and self.num_predict > 0 else None

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(given) > 64 or any(len(one) > 500 for one in given):
            raise RequestError(400, "'stop' is at most 64 texts of at most 500 characters", "options.stop")
        return tuple(one for one in given if one)


class AskBody(LenientModel):
    """What chat and generate have in common."""

    model: str = ""
    stream: bool | None = None  # null is true
    format: Any = None  # "json", a JSON schema, "" or null
    options: Options | None = None
    keep_alive: Duration | None = None
    think: bool | str | None = None  # the dreams behind an answer, where there are any, are its thoughts
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @property
    def top(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs or self.top_logprobs else None

    @property
    def seed(self) -> int | None:
        given = None if self.options is None else self.options.seed
        return None if given is None or given < 0 else given


class GenerateBody(AskBody):
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[str] | None = None
    width: int | None = None  # of pictures
    height: int | None = None
    steps: int | None = None


class CallFunctionBody(LenientModel):
    name: str
    arguments: dict[str, Any] | str | None = None


class CallBody(LenientModel):
    id: str | None = None
    function: CallFunctionBody


class MessageBody(LenientModel):
    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[CallBody] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class FunctionBody(LenientModel):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolBody(LenientModel):
    type: str | None = None
    function: FunctionBody


class ChatBody(AskBody):
    messages: Annotated[list[MessageBody], Field(max_length=10_000)] | None = None
    tools: Annotated[list[ToolBody], Field(max_length=128)] | None = None


class EmbedBody(LenientModel):
    model: str = ""
    input: str | list[str] | None = None
    truncate: bool | None = None  # null is true
    dimensions: int | None = None  # 0: all
    keep_alive: Duration | None = None
    options: dict[str, Any] | None = None


class EmbeddingsBody(LenientModel):
    model: str = ""
    prompt: str | None = None
    keep_alive: Duration | None = None
    options: dict[str, Any] | None = None


class NamedBody(LenientModel):
    """A body that names a model, in either of the two ways that clients have."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None

    @property
    def named(self) -> str:
        return self.model or self.name or ""


class PullBody(NamedBody):
    stream: bool | None = None
    insecure: bool | None = None


class CopyBody(LenientModel):
    source: str = ""
    destination: str = ""


class CreateBody(NamedBody):
    from_: Annotated[str | None, Field(alias="from")] = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[dict[str, Any]] | None = None
    quantize: str | None = None
    stream: bool | None = None


def kept_alive(given: Duration | None) -> float | None:
    """Seconds; below 0 for good. Takes a number of seconds, or a text as Go writes durations: 5m, 1h30m, -1s."""
    if given is None or given == "":
        return None
    if isinstance(given, str):
        sign, bare = (-1.0, given[1:]) if given[:1] == "-" else (1.0, given)
        parts = _PARTS.findall(bare)
        if "".join(number + unit for number, unit in parts) == bare and parts:
            given = sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
        else:
            try:
                given = float(given)
            except ValueError:
                said = f"keep_alive is seconds or a duration as 5m; got '{shorten(str(given))}'"
                raise RequestError(400, said, "keep_alive") from None
    if given != given:
        raise RequestError(400, "keep_alive is no number", "keep_alive")
    return max(-1.0, min(float(given), _LONGEST_S))


def schema_of(given: Any) -> Mapping[str, Any] | None:
    """The schema that an answer is held to; {} is any JSON object. Raises RequestError."""
    if given is None or given == "":
        return None
    if given == "json":
        return {}
    if isinstance(given, dict):
        return given
    raise RequestError(400, f"invalid format: '{shorten(str(given))}'; expected 'json' or a JSON schema", "format")


def talk_of(messages: list[MessageBody]) -> tuple[ChatMessage, ...]:
    """The turns of a talk. Raises RequestError for a role that there is not."""
    return tuple(_turn(one, place) for place, one in enumerate(messages))


def _turn(one: MessageBody, place: int) -> ChatMessage:
    role: Any = one.role.lower()
    if role not in ("system", "user", "assistant", "tool"):
        said = f"messages.{place}.role is system, user, assistant or tool, got '{shorten(one.role)}'"
        raise RequestError(400, said, "messages")
    fields: dict[str, Any] = {}
    if one.tool_name:
        fields["name"] = one.tool_name
    if one.tool_call_id:
        fields["tool_call_id"] = one.tool_call_id
    if one.tool_calls:
        fields["tool_calls"] = [{"type": "function", **call.model_dump(exclude_none=True)} for call in one.tool_calls]
    return ChatMessage(role, one.content or "", tuple(one.images or ()), fields)


def tools_of(given: list[ToolBody] | None) -> list[Tool]:
    return [
        Tool(one.name, one.description or "", one.parameters or {"type": "object", "properties": {}})
        for one in (body.function for body in given or ())
    ]
