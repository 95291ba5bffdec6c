"""Answers that come bit by bit, and what is waited for only as long as somebody listens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, cast

from fastapi.responses import StreamingResponse
from starlette.requests import Request
from starlette.types import Send

from reverie.errors import ReverieError
from reverie.server.http.errors import RequestError, as_ollama, as_request_error, unexpected

__all__ = ["STREAMED", "EventStream", "event", "json_lines", "told", "unless_gone"]

T = TypeVar("T")

STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
"""For routes whose answers may be streamed: what their description says of it."""

log = logging.getLogger("reverie.server")


class EventStream(StreamingResponse):
    """Lines of a generator, sent as they come. It is closed as soon as the client goes, wherever it is.

    ``media_type``: ``text/event-stream`` (see ``event``) or ``application/x-ndjson`` (see ``json_lines``).
    """

    def __init__(self, lines: Any, media_type: str = "text/event-stream", headers: Mapping[str, str] | None = None):
        headers = {
            **(headers or {}),
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }  # nothing holds lines back
        super().__init__(lines, media_type=media_type, headers=headers)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._lines):
            await super().stream_response(send)


async def told(lines: AsyncIterator[T], say: Callable[[RequestError], T]) -> AsyncIterator[T]:
    """``lines``; what goes wrong once the status has gone out is one more line, by ``say``."""
    async with aclosing(cast(Any, lines)):
        try:
            async for line in lines:
                yield line
        except ReverieError as error:
            yield say(as_request_error(error))
        except Exception as error:
            log.error("unexpected error in a stream", exc_info=error)
            yield say(unexpected())


def event(data: Any, name: str = "") -> str:
    """One server-sent event of JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


def json_lines(objects: AsyncIterator[dict[str, Any]]) -> EventStream:
    """Objects as they come, a line each, as Ollama's clients read them; what goes wrong is the last one."""

    async def lines() -> AsyncIterator[str]:
        async with aclosing(cast(Any, told(objects, as_ollama))) as all_told:
            async for one in all_told:
                yield json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n"

    return EventStream(lines(), "application/x-ndjson")


async def unless_gone(request: Request | None, work: Awaitable[T]) -> T:
    """What ``work`` gives; it is cancelled when the client of ``request`` goes away, which raises RequestError."""
    answer, left = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise RequestError(499, "the client went away", code="client_gone")
        return answer.result()
    finally:
        left.cancel()
        if not answer.done():
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)  # so that it lets go of what it holds


async def _gone(request: Request | None) -> None:
    """Ends when the client does. Without a request it never ends."""
    if request is None:
        await asyncio.Event().wait()
    else:
        while (await request.receive())["type"] != "http.disconnect":
            pass
