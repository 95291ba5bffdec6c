"""What may be asked: bodies of the requests, every field typed. Null is the same as leaving a field out.

Fields that nobody here knows are passed over and named in the header ``x-reverie-ignored``, as editors send some of
their own; one that looks like a slip of the pen is refused.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from reverie.errors import shorten
from reverie.server.http.body import LenientModel
from reverie.server.http.errors import RequestError

__all__ = [
    "ChatBody",
    "CompletionBody",
    "DrawingBody",
    "EmbeddingBody",
    "FunctionCall",
    "InputItem",
    "Message",
    "ResponseBody",
    "StreamOptions",
    "ToolBody",
    "pass_over",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**31)]


class _Open(LenientModel):
    """A body that keeps what it does not know, to be told of it."""

    model_config = ConfigDict(extra="allow")


class LoraBody(LenientModel):
    id: int | None = None
    name: str | None = None
    scale: float = 1.0


class DrawingBody(_Open):
    """How words are drawn, in every endpoint that draws some."""

    model: str
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    user: str | None = None
    # llama.cpp's and vLLM's, and ours
    top_k: Count | None = None
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    lora: Annotated[list[LoraBody], Field(max_length=16)] | None = None
    keep_alive: Annotated[float, Field(ge=-1, le=1e9)] | None = None  # seconds; below 0 for good


class StreamOptions(LenientModel):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # nothing is obfuscated here


class ImageUrl(LenientModel):
    url: str
    detail: str | None = None


class Part(LenientModel):
    """A part of a message: text, or a picture as a data: URI."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None


class FunctionCall(LenientModel):
    name: str
    arguments: str = "{}"


class ToolCallBody(LenientModel):
    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(LenientModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = None


class FunctionBody(LenientModel):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(LenientModel):
    type: Literal["function"]
    function: FunctionBody


class FormBody(LenientModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class ChatBody(DrawingBody):
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    max_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None
    response_format: FormBody | None = None
    tools: Annotated[list[ToolBody], Field(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    dreams: Annotated[int, Field(ge=0, le=64)] | None = None  # ours: dream so many branches before the answer
    # accepted, and without effect here
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    modalities: list[Literal["text"]] | None = None


class CompletionBody(DrawingBody):
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    max_tokens: Annotated[int, Field(ge=0, le=2**31)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    suffix: str | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = None


class EmbeddingBody(_Open):
    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=2**20)] | None = None
    user: str | None = None


class InputItem(LenientModel):
    """A turn of a talk, a call that the model made, or what came of one."""

    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    status: str | None = None


class FlatToolBody(FunctionBody):
    type: Literal["function"]


class TextFormBody(LenientModel):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None


class TextBody(LenientModel):
    format: TextFormBody | None = None
    verbosity: str | None = None


class ResponseBody(DrawingBody):
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=10_000)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    text: TextBody | None = None
    tools: Annotated[list[FlatToolBody], Field(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    background: Literal[False] | None = None
    metadata: dict[str, Any] | None = None
    dreams: Annotated[int, Field(ge=0, le=64)] | None = None
    # accepted, and without effect here
    stream_options: StreamOptions | None = None
    include: list[str] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: dict[str, Any] | None = None
    service_tier: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    max_tool_calls: int | None = None


def pass_over(body: BaseModel, answer: Response) -> None:
    """Tell of the fields that nobody here knows. Raises RequestError for one that is nearly one that is known."""
    known = list(type(body).model_fields)
    given = list(body.model_extra or {})
    for name in given:
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            said = f"unknown parameter: '{shorten(name)}'. Did you mean '{near[0]}'?"
            raise RequestError(400, said, name[:80], "unknown_parameter")
    if given:
        told = ", ".join(name for name in given if name.isascii() and name.isprintable())
        answer.headers["x-reverie-ignored"] = told[:400]
