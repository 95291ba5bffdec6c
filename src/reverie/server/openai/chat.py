"""``POST /v1/chat/completions``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from reverie.server.hosting import Final, Hosting, Piece, Reader, Run, Shape, TextRequest, ToolCall, shape_of
from reverie.server.http.errors import RequestError
from reverie.server.http.streams import STREAMED, event, unless_gone
from reverie.server.openai.bodies import ChatBody, FormBody, pass_over
from reverie.server.openai.shared import (
    Saying,
    all_of,
    answered,
    chat_log_probs,
    chosen_tool,
    merged,
    new_id,
    now,
    our_fields,
    request_fields,
    seed_of,
    talk_of,
    tool_of,
    usage_of,
)

__all__ = ["chat_routes"]


def chat_routes(hosting: Hosting) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/chat/completions", response_model=None, responses=STREAMED)
    async def chat(wanted: ChatBody, request: Request, answer: Response) -> Response | dict[str, Any]:
        """An answer to a talk, by a base in its own words or by a model that dreams first; whole or as it comes."""
        pass_over(wanted, answer)
        shape = _shape(wanted)
        requests = _requests(wanted, hosting, shape)
        runs = await unless_gone(request, hosting.start_all(requests))
        return await answered(_Saying(wanted, runs, shape), wanted, request, answer)

    return routes


def _shape(wanted: ChatBody) -> Shape | None:
    tools = [tool_of(one.function) for one in wanted.tools or ()]
    return shape_of(form_of(wanted.response_format), tools, chosen_tool(wanted.tool_choice))


def form_of(form: FormBody | None) -> dict[str, Any] | None:
    """The schema that an answer is held to; {} is any JSON object."""
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {}
    schema = (form.json_schema or {}).get("schema")
    if not isinstance(schema, dict):
        raise RequestError(
            400, "'response_format.json_schema' has no 'schema', an object", "response_format", "invalid_value"
        )
    return schema


def _requests(wanted: ChatBody, hosting: Hosting, shape: Shape | None) -> list[TextRequest]:
    if wanted.logit_bias:
        raise RequestError(400, "'logit_bias' is not offered", "logit_bias", "unsupported_parameter")
    if wanted.top_logprobs and not wanted.logprobs:
        raise RequestError(400, "'top_logprobs' goes with 'logprobs': true", "top_logprobs", "invalid_value")
    count = wanted.n or 1
    if count > hosting.config.max_choices:
        raise RequestError(400, f"'n' is at most {hosting.config.max_choices}, got {count}", "n", "invalid_value")
    fields, talk = request_fields(wanted, hosting), talk_of(wanted.messages)
    most = wanted.max_completion_tokens or wanted.max_tokens
    top = (wanted.top_logprobs or 0) if wanted.logprobs else None
    requests = [
        TextRequest(said=talk, seed=seed_of(wanted, one), max_ids=most, top=top, dreams=wanted.dreams, **fields)
        for one in range(count)
    ]
    return requests if shape is None else [shape.applied(one) for one in requests]


class _Saying(Saying):
    """Answers to one request, in OpenAI's words."""

    def __init__(self, wanted: ChatBody, runs: Sequence[Run], shape: Shape | None):
        self._wanted, self._runs = wanted, runs
        self._readers = [Reader() if shape is None else shape.reader() for _ in runs]
        self._calls = [0] * len(runs)
        self._head = {
            "id": new_id("chatcmpl"),
            "created": now(),
            "model": wanted.model,
            "system_fingerprint": f"rv-{runs[0].fingerprint}",
        }

    async def whole(self) -> dict[str, Any]:
        answers = await all_of(self._runs)
        finals = [final for _, _, final in answers]
        choices = [self._choice(place, text, tokens, final) for place, (text, tokens, final) in enumerate(answers)]
        return {
            **self._head,
            "object": "chat.completion",
            "choices": choices,
            "usage": usage_of(finals),
            "service_tier": "default",
            "reverie": our_fields(finals),
        }

    def _choice(self, place: int, text: str, tokens: Any, final: Final) -> dict[str, Any]:
        parts = [*self._readers[place].feed(text), *self._readers[place].rest()]
        calls = [self._call(place, one) for one in parts if isinstance(one, ToolCall)]
        content = "".join(one for one in parts if isinstance(one, str)) or (None if calls else "")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        return {
            "index": place,
            "message": message,
            "logprobs": self._log_probs(Piece(text, tokens)),
            "finish_reason": "tool_calls" if calls else final.finish,
        }

    def _call(self, place: int, call: ToolCall) -> dict[str, Any]:
        self._calls[place] += 1
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        return {"id": new_id("call"), "type": "function", "function": {"name": call.name, "arguments": arguments}}

    def _log_probs(self, piece: Piece) -> dict[str, Any] | None:
        return chat_log_probs(piece.tokens, self._wanted.top_logprobs or 0) if self._wanted.logprobs else None

    async def lines(self) -> AsyncIterator[str]:
        for place in range(len(self._runs)):
            yield self._chunk(place, {"role": "assistant", "content": "", "refusal": None})
        async for place, piece in merged(self._runs):
            log_probs = None if piece is None else self._log_probs(piece)
            for delta in self._deltas(place, piece) or ([{"content": ""}] if log_probs else []):
                yield self._chunk(place, delta, log_probs)
                log_probs = None  # each id is told of once
            if piece is None:
                final = self._runs[place].final
                yield self._chunk(place, {}, None, "tool_calls" if self._calls[place] else final.finish)
        finals = [run.final for run in self._runs]
        if self._usage:
            yield event(
                {
                    **self._head,
                    "object": "chat.completion.chunk",
                    "choices": [],
                    "usage": usage_of(finals),
                    "reverie": our_fields(finals),
                }
            )
        yield event("[DONE]")

    def _deltas(self, place: int, piece: Piece | None) -> list[dict[str, Any]]:
        """What a piece, or the end, adds to an answer."""
        reader, deltas = self._readers[place], list[dict[str, Any]]()
        for one in reader.rest() if piece is None else reader.feed(piece.text):
            if isinstance(one, str):
                deltas.append({"content": one})
            else:
                deltas.append({"tool_calls": [{"index": self._calls[place], **self._call(place, one)}]})
        return deltas

    @property
    def _usage(self) -> bool:
        options = self._wanted.stream_options
        return bool(options and options.include_usage)

    def _chunk(
        self, place: int, delta: dict[str, Any], log_probs: dict[str, Any] | None = None, finish: str | None = None
    ) -> str:
        choice = {"index": place, "delta": delta, "logprobs": log_probs, "finish_reason": finish}
        usage = {"usage": None} if self._usage else {}
        return event({**self._head, "object": "chat.completion.chunk", "choices": [choice], **usage})
