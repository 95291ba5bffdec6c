"""``POST /api/chat`` and ``POST /api/generate``: answers to talks and to prompts, pictures of generators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from reverie.server.hosting import (
    ChatMessage,
    Final,
    Hosting,
    Reader,
    Run,
    Shape,
    TextRequest,
    Token,
    ToolCall,
    shape_of,
)
from reverie.server.http.errors import RequestError
from reverie.server.http.streams import json_lines, unless_gone
from reverie.server.ollama.bodies import (
    AskBody,
    ChatBody,
    GenerateBody,
    Options,
    kept_alive,
    schema_of,
    talk_of,
    tools_of,
)
from reverie.server.ollama.infill import infilled
from reverie.server.ollama.shared import nanoseconds, now
from reverie.server.openai.shared import new_id
from reverie.server.pictures.ollama_api import GenerateOptions, GenerateRequest, painted
from reverie.server.pictures.service import GenerationService

__all__ = ["talking_routes"]


def talking_routes(hosting: Hosting, pictures: Mapping[str, GenerationService]) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/chat", response_model=None)
    async def chat(wanted: ChatBody, request: Request) -> Response:
        """An answer to a talk; with no messages the model is loaded, or let go of where ``keep_alive`` is 0."""
        if not wanted.messages:
            return await _loaded(hosting, wanted, {"message": {"role": "assistant", "content": ""}})
        shape = shape_of(schema_of(wanted.format), tools_of(wanted.tools))
        asked = _asked(wanted, talk_of(wanted.messages), shape)
        return await _answer(hosting, asked, _Chat(wanted, shape), request)

    @routes.post("/generate", response_model=None)
    async def generate(wanted: GenerateBody, request: Request) -> Response:
        """How a prompt is answered or, with ``raw``, gone on with; a picture where the model is a generator."""
        if painter := pictures.get(wanted.model.removesuffix(":latest")):
            return await painted(painter, _picture(wanted), request)
        _check_generate(wanted)
        if not wanted.prompt and not wanted.images and not wanted.suffix:
            return await _loaded(hosting, wanted, {"response": ""})
        shape = shape_of(schema_of(wanted.format))
        asked = _asked(wanted, _said(wanted, hosting), shape, bool(wanted.raw or wanted.suffix))
        return await _answer(hosting, asked, _Generated(wanted, shape), request)

    return routes


def _asked(wanted: AskBody, said: Any, shape: Shape | None, raw: bool = False) -> TextRequest:
    options = wanted.options or Options()
    asked = TextRequest(
        wanted.model,
        said,
        options.drawing(),
        wanted.seed,
        options.most,
        options.stops,
        top=wanted.top,
        keep_alive=kept_alive(wanted.keep_alive),
        raw=raw,
    )
    return asked if shape is None else shape.applied(asked)


def _said(wanted: GenerateBody, hosting: Hosting) -> str | tuple[ChatMessage, ...]:
    """A prompt, or the talk that it stands for."""
    prompt, images = wanted.prompt or "", tuple(wanted.images or ())
    if wanted.suffix:
        return infilled(prompt, wanted.suffix, hosting.model_facts(wanted.model))
    facts = hosting.model_facts(wanted.model)
    if facts.talks and not images and (wanted.raw or not facts.template):  # who dreams answers questions alone
        return f"{wanted.system}\n\n{prompt}" if wanted.system else prompt
    before = (ChatMessage("system", wanted.system),) if wanted.system else ()
    return (*before, ChatMessage("user", prompt, images))


def _check_generate(wanted: GenerateBody) -> None:
    if wanted.template:
        raise RequestError(400, "'template' cannot be changed here; send the whole text with 'raw': true", "template")
    if wanted.context:
        raise RequestError(400, "'context' is not kept; send the talk so far to /api/chat", "context")


def _picture(wanted: GenerateBody) -> GenerateRequest:
    options = wanted.options or Options()
    return GenerateRequest(
        model=wanted.model,
        prompt=wanted.prompt or "",
        images=wanted.images,
        stream=wanted.stream,
        width=wanted.width,
        height=wanted.height,
        options=GenerateOptions(
            seed=options.seed, temperature=options.temperature, guidance=options.guidance, prior=options.prior
        ),
    )


async def _loaded(hosting: Hosting, wanted: AskBody, empty: dict[str, Any]) -> Response:
    """Nothing is asked: only that the model is there, or is not."""
    keep = kept_alive(wanted.keep_alive)
    if keep == 0:
        await hosting.unload(wanted.model)
    else:
        await hosting.load(wanted.model, keep)
    reason = "unload" if keep == 0 else "load"
    return JSONResponse({"model": wanted.model, "created_at": now(), **empty, "done": True, "done_reason": reason})


async def _answer(hosting: Hosting, asked: TextRequest, saying: _Saying, request: Request) -> Response:
    run = await unless_gone(request, hosting.start(asked))
    if saying.wanted.stream is not False:
        return json_lines(saying.lines(run))
    return JSONResponse(await unless_gone(request, saying.whole(run)))


class _Saying:
    """One answer in Ollama's words. ``said`` of a kind of answer writes what is new of it."""

    def __init__(self, wanted: AskBody, shape: Shape | None):
        self.wanted = wanted
        self._reader = Reader() if shape is None else shape.reader()
        self._num_calls = 0

    async def lines(self, run: Run) -> AsyncIterator[dict[str, Any]]:
        async with aclosing(aiter(run)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                parts = self._reader.feed(piece.text)
                if parts or (piece.tokens and self.wanted.logprobs):
                    yield self._line(parts, piece.tokens)
        if parts := self._reader.rest():
            yield self._line(parts, ())
        yield {**self._line([], ()), **self._end(run.final)}

    async def whole(self, run: Run) -> dict[str, Any]:
        try:
            text, tokens, final = await run.whole()
        finally:
            run.close()
        parts = [*self._reader.feed(text), *self._reader.rest()]
        return {**self._line(parts, tokens, final), **self._end(final)}

    def _line(self, parts: Sequence[str | ToolCall], tokens: Sequence[Token], final: Final | None = None) -> Any:
        text = "".join(one for one in parts if isinstance(one, str))
        calls = [self._call(one) for one in parts if isinstance(one, ToolCall)]
        thoughts = _thoughts(final) if self.wanted.think else ""
        line = {"model": self.wanted.model, "created_at": now(), **self.said(text, calls, thoughts), "done": False}
        if self.wanted.logprobs and tokens:
            line["logprobs"] = [_log_prob(one) for one in tokens if one.data and one.log_prob is not None]
        return line

    def said(self, text: str, calls: list[dict[str, Any]], thoughts: str) -> dict[str, Any]:
        raise NotImplementedError

    def _call(self, call: ToolCall) -> dict[str, Any]:
        index, self._num_calls = self._num_calls, self._num_calls + 1
        function = {"index": index, "name": call.name, "arguments": dict(call.arguments)}
        return {"id": new_id("call"), "function": function}

    def _end(self, final: Final) -> dict[str, Any]:
        timing = final.timing
        end: dict[str, Any] = {
            "done": True,
            "done_reason": final.finish,
            "total_duration": nanoseconds(timing.total),
            "load_duration": nanoseconds(timing.load),
            "prompt_eval_count": final.num_prompt,
            "prompt_eval_duration": nanoseconds(timing.prompt),
            "eval_count": final.num_ids,
            "eval_duration": nanoseconds(timing.decode),
        }
        if final.answer is not None:
            end["reverie"] = {"known": final.answer.known, "confidence": final.answer.confidence}
        return end


class _Chat(_Saying):
    def said(self, text: str, calls: list[dict[str, Any]], thoughts: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if thoughts:
            message["thinking"] = thoughts
        if calls:
            message["tool_calls"] = calls
        return {"message": message}


class _Generated(_Saying):
    def said(self, text: str, calls: list[dict[str, Any]], thoughts: str) -> dict[str, Any]:
        return {"response": text, **({"thinking": thoughts} if thoughts else {})}


def _thoughts(final: Final | None) -> str:
    """The dream that an answer rests on, in words."""
    answer = None if final is None else final.answer
    if answer is None or not answer.dreams or answer.verdict.branch < 0:
        return ""
    dream = answer.dreams[answer.verdict.branch]
    parts = [(one.what, one.action, one.result) for one in dream.triplets]
    return "\n".join(" → ".join(part.text or "…" for part in three) for three in parts)


def _log_prob(token: Token) -> dict[str, Any]:
    top = [{"token": text, "logprob": value, "bytes": list(data)} for _, text, data, value in token.top]
    said = {"token": token.text, "logprob": token.log_prob, "bytes": list(token.data)}
    return {**said, "top_logprobs": top} if top else said
