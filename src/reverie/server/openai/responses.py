"""``POST /v1/responses``: text in, text out, as events where they are asked for. What was answered is kept in memory,
the newest of it, so that ``previous_response_id`` can go on from there; with ``store: false`` it is not.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from reverie.errors import shorten
from reverie.server.hosting import (
    ChatMessage,
    Final,
    Hosting,
    Reader,
    Run,
    Shape,
    TextRequest,
    Tool,
    ToolCall,
    shape_of,
)
from reverie.server.http.errors import RequestError, as_openai
from reverie.server.http.streams import STREAMED, event, unless_gone
from reverie.server.openai.bodies import InputItem, ResponseBody, TextFormBody, pass_over
from reverie.server.openai.shared import (
    Saying,
    all_of,
    answered,
    chosen_tool,
    content_of,
    merged,
    new_id,
    now,
    our_fields,
    request_fields,
    seed_of,
    tool_of,
)

__all__ = ["response_routes"]

_MOST_KEPT, _MOST_LETTERS = 256, 8_000_000  # answers, and characters of their talks


@dataclass(frozen=True)
class _Kept:
    talk: tuple[ChatMessage, ...]  # all of it, the answer last
    told: dict[str, Any]

    @property
    def letters(self) -> int:
        return sum(len(one.content) for one in self.talk)


class _Store:
    """The newest answers, by their ids."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._letters = 0

    def put(self, name: str, kept: _Kept) -> None:
        self._kept[name] = kept
        self._letters += kept.letters
        while self._kept and (len(self._kept) > _MOST_KEPT or self._letters > _MOST_LETTERS):
            self._letters -= self._kept.popitem(last=False)[1].letters

    def get(self, name: str) -> _Kept:
        if name not in self._kept:
            said = f"no response '{shorten(name)}': it was never stored, or is forgotten (the newest {_MOST_KEPT} stay)"
            raise RequestError(404, said, "previous_response_id", "response_not_found")
        return self._kept[name]

    def drop(self, name: str) -> None:
        self._letters -= self.get(name).letters
        del self._kept[name]


def response_routes(hosting: Hosting) -> APIRouter:
    routes, store = APIRouter(prefix="/v1"), _Store()

    @routes.post("/responses", response_model=None, responses=STREAMED)
    async def respond(wanted: ResponseBody, request: Request, answer: Response) -> Response | dict[str, Any]:
        """An answer to a text or a talk."""
        pass_over(wanted, answer)
        talk = _talk(wanted, store)
        shape = _shape(wanted)
        asked = TextRequest(
            said=(*_told_first(wanted), *talk),
            seed=seed_of(wanted),
            max_ids=wanted.max_output_tokens,
            dreams=wanted.dreams,
            **request_fields(wanted, hosting),
        )
        run = await unless_gone(request, hosting.start(asked if shape is None else shape.applied(asked)))
        return await answered(_Saying(wanted, run, shape, talk, store), wanted, request, answer)

    @routes.get("/responses/{name}")
    async def find(name: str) -> dict[str, Any]:
        """An answer that was stored."""
        return store.get(name).told

    @routes.delete("/responses/{name}")
    async def forget(name: str) -> dict[str, Any]:
        store.drop(name)
        return {"id": name, "object": "response", "deleted": True}

    return routes


def _told_first(wanted: ResponseBody) -> tuple[ChatMessage, ...]:
    """Instructions hold for one answer alone: a talk that goes on does not keep them."""
    return (ChatMessage("system", wanted.instructions),) if wanted.instructions else ()


def _talk(wanted: ResponseBody, store: _Store) -> tuple[ChatMessage, ...]:
    before = store.get(wanted.previous_response_id).talk if wanted.previous_response_id else ()
    if isinstance(wanted.input, str):
        if not wanted.input:
            raise RequestError(400, "'input' is empty", "input", "invalid_value")
        return (*before, ChatMessage("user", wanted.input))
    return (*before, *(_turn(one, f"input.{place}") for place, one in enumerate(wanted.input)))


def _turn(item: InputItem, param: str) -> ChatMessage:
    kind = item.type or "message"
    if kind == "message" and item.role is not None:
        text, images = content_of(item.content, f"{param}.content")
        return ChatMessage("system" if item.role == "developer" else item.role, text, images)
    if kind == "function_call" and item.name:
        call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
        return ChatMessage("assistant", "", (), {"tool_calls": [call]})
    if kind == "function_call_output" and item.call_id:
        text, _ = content_of(item.output, f"{param}.output")
        return ChatMessage("tool", text, (), {"tool_call_id": item.call_id})
    said = f"an item of type '{shorten(kind)}' cannot be read: send messages with a role, and calls with their outputs"
    raise RequestError(400, said, param, "unsupported_value")


def _shape(wanted: ResponseBody) -> Shape | None:
    form = wanted.text.format if wanted.text else None
    tools: list[Tool] = [tool_of(one) for one in wanted.tools or ()]
    return shape_of(_form(form), tools, chosen_tool(wanted.tool_choice))


def _form(form: TextFormBody | None) -> dict[str, Any] | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_schema" and form.schema_ is None:
        raise RequestError(400, "'text.format' has no 'schema', an object", "text.format", "invalid_value")
    return form.schema_ if form.type == "json_schema" else {}


class _Saying(Saying):
    """One answer, in the words of this API: items of output, or the events of their coming about."""

    def __init__(
        self,
        wanted: ResponseBody,
        run: Run,
        shape: Shape | None,
        talk: tuple[ChatMessage, ...],
        store: _Store,
    ):
        self._wanted, self._run, self._talk, self._store = wanted, run, talk, store
        self._reader = Reader() if shape is None else shape.reader()
        self._id, self._item, self._created = new_id("resp"), new_id("msg"), now()
        self._text, self._calls = "", list[dict[str, Any]]()
        self._number = 0

    async def whole(self) -> dict[str, Any]:
        ((text, _, final),) = await all_of([self._run])
        for one in [*self._reader.feed(text), *self._reader.rest()]:
            self._take(one)
        return self._ended(final)

    def _take(self, part: str | ToolCall) -> dict[str, Any] | None:
        """Count a part of the answer in; the item, where it is a call."""
        if isinstance(part, str):
            self._text += part
            return None
        call = {
            "id": new_id("fc"),
            "type": "function_call",
            "status": "completed",
            "call_id": new_id("call"),
            "name": part.name,
            "arguments": json.dumps(part.arguments, ensure_ascii=False),
        }
        self._calls.append(call)
        return call

    def _ended(self, final: Final) -> dict[str, Any]:
        done = final.finish == "stop"
        told = self._told(
            "completed" if done else "incomplete",
            [*([self._message("completed" if done else "incomplete")] if self._has_message else []), *self._calls],
            final,
        )
        if self._wanted.store is not False:
            fields = {"tool_calls": [_as_call(one) for one in self._calls]} if self._calls else {}
            talk = (*self._talk, ChatMessage("assistant", self._text, (), fields))
            self._store.put(self._id, _Kept(talk, told))
        return told

    @property
    def _has_message(self) -> bool:
        return bool(self._text) or not self._calls

    def _message(self, status: str) -> dict[str, Any]:
        content = [] if status == "in_progress" else [self._part(self._text)]
        return {"id": self._item, "type": "message", "role": "assistant", "status": status, "content": content}

    @staticmethod
    def _part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _told(self, status: str, output: Sequence[dict[str, Any]], final: Final | None = None) -> dict[str, Any]:
        wanted = self._wanted
        given = {"type": "text"} if wanted.text is None or wanted.text.format is None else None
        form = given or wanted.text.format.model_dump(by_alias=True, exclude_none=True)  # type: ignore[union-attr]
        told: dict[str, Any] = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": wanted.instructions,
            "max_output_tokens": wanted.max_output_tokens,
            "metadata": wanted.metadata or {},
            "model": wanted.model,
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": wanted.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": wanted.store is not False,
            "temperature": wanted.temperature,
            "text": {"format": form},
            "tool_choice": wanted.tool_choice or "auto",
            "tools": [one.model_dump(exclude_none=True) for one in wanted.tools or ()],
            "top_p": wanted.top_p,
            "truncation": "disabled",
            "usage": None,
            "user": wanted.user,
        }
        if final is not None:
            told["usage"] = {
                "input_tokens": final.num_prompt,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": final.num_ids,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": final.num_prompt + final.num_ids,
            }
            told["completed_at"] = now()
            told["reverie"] = our_fields([final])
        return told

    def _event(self, kind: str, **fields: Any) -> str:
        self._number += 1
        kind = f"response.{kind}"
        return event({"type": kind, "sequence_number": self._number - 1, **fields}, kind)

    async def lines(self) -> AsyncIterator[str]:
        yield self._event("created", response=self._told("in_progress", []))
        yield self._event("in_progress", response=self._told("in_progress", []))
        begun = False
        async for _, piece in merged([self._run]):
            for part in self._reader.rest() if piece is None else self._reader.feed(piece.text):
                if isinstance(part, str) and not begun:
                    begun = True
                    for line in self._begin():
                        yield line
                call = self._take(part)
                if call is None:
                    where = {"item_id": self._item, "output_index": 0, "content_index": 0}
                    yield self._event("output_text.delta", **where, delta=part, logprobs=[])
                else:
                    for line in self._called(call, len(self._calls) - (not begun)):
                        yield line
        if not begun and self._has_message:
            begun = True
            for line in self._begin():
                yield line
        if begun:
            for line in self._finish():
                yield line
        told = self._ended(self._run.final)
        yield self._event(told["status"], response=told)

    def _begin(self) -> list[str]:
        where = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return [
            self._event("output_item.added", output_index=0, item=self._message("in_progress")),
            self._event("content_part.added", **where, part=self._part("")),
        ]

    def _finish(self) -> list[str]:
        where = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return [
            self._event("output_text.done", **where, text=self._text, logprobs=[]),
            self._event("content_part.done", **where, part=self._part(self._text)),
            self._event("output_item.done", output_index=0, item=self._message("completed")),
        ]

    def _called(self, call: dict[str, Any], place: int) -> list[str]:
        where = {"item_id": call["id"], "output_index": place}
        begun = {**call, "status": "in_progress", "arguments": ""}
        return [
            self._event("output_item.added", output_index=place, item=begun),
            self._event("function_call_arguments.delta", **where, delta=call["arguments"]),
            self._event("function_call_arguments.done", **where, name=call["name"], arguments=call["arguments"]),
            self._event("output_item.done", output_index=place, item=call),
        ]

    def failed(self, error: RequestError) -> str:
        said = as_openai(error)["error"]
        told = self._told("failed", []) | {"error": {"code": "server_error", "message": said["message"]}}
        return self._event("failed", response=told)


def _as_call(item: dict[str, Any]) -> dict[str, Any]:
    """A call as a chat template reads it."""
    function = {"name": item["name"], "arguments": json.loads(item["arguments"])}
    return {"id": item["call_id"], "type": "function", "function": function}
