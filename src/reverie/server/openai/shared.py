"""What several endpoints say alike: requests from bodies, usage, log-probabilities, answers that run side by side."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from fastapi import Request, Response

from reverie.errors import shorten
from reverie.server.hosting import ChatMessage, Drawing, Final, Hosting, Piece, Run, Token, Tool
from reverie.server.http.errors import RequestError, as_openai
from reverie.server.http.streams import EventStream, event, told, unless_gone
from reverie.server.openai.bodies import DrawingBody, FunctionBody, Message, Part

__all__ = [
    "MAX_STOPS",
    "all_of",
    "answered",
    "chat_log_probs",
    "chosen_tool",
    "content_of",
    "drawing_of",
    "merged",
    "new_id",
    "now",
    "our_fields",
    "request_fields",
    "talk_of",
    "token_name",
    "tool_of",
    "usage_of",
]

MAX_STOPS = 16


class Saying(Protocol):
    """What came of a request, in the words of an endpoint: all of it at its end, or events as it comes."""

    async def whole(self) -> dict[str, Any]: ...

    def lines(self) -> AsyncIterator[str]: ...

    def failed(self, error: RequestError) -> str:
        """What a stream ends with where something went wrong."""
        return event(as_openai(error))


async def answered(
    said: Saying, wanted: DrawingBody, request: Request, answer: Response
) -> EventStream | dict[str, Any]:
    """As ``wanted`` has it. ``answer``: whose headers go along."""
    if wanted.stream:
        return EventStream(told(said.lines(), said.failed), headers=answer.headers)
    return await unless_gone(request, said.whole())


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(12)}"


def drawing_of(body: DrawingBody) -> Drawing:
    penalty = body.repetition_penalty if body.repetition_penalty is not None else body.repeat_penalty
    return Drawing(
        body.temperature,
        body.top_p,
        body.top_k,
        body.min_p,
        penalty,
        body.presence_penalty or None,
        body.frequency_penalty or None,
    )


def request_fields(body: DrawingBody, hosting: Hosting) -> dict[str, Any]:
    """The fields of a ``TextRequest`` that all bodies have. Raises RequestError."""
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if len(stop) > MAX_STOPS or not all(stop) or any(len(one) > 500 for one in stop):
        said = f"'stop' is at most {MAX_STOPS} texts, none of them empty or longer than 500 characters"
        raise RequestError(400, said, "stop", "invalid_value")
    lora = None if body.lora is None else [one.model_dump(exclude_none=True) for one in body.lora]
    return {
        "model": body.model,
        "drawing": drawing_of(body),
        "stop": tuple(stop),
        "experts": None if lora is None else hosting.lora(body.model, lora),
        "keep_alive": body.keep_alive,
    }


def seed_of(body: DrawingBody, choice: int = 0) -> int | None:
    """The seed of the n-th answer; below 0, as none: a random one."""
    return None if body.seed is None or body.seed < 0 else (body.seed + choice) % 2**63


def talk_of(messages: Sequence[Message]) -> tuple[ChatMessage, ...]:
    """The turns of a talk. Raises RequestError for parts that are no text and no picture."""
    talk = []
    for place, one in enumerate(messages):
        text, images = content_of(one.content, f"messages.{place}.content")
        if one.role == "user" and not text and not images:
            raise RequestError(400, "the message of a user is empty", f"messages.{place}.content", "invalid_value")
        fields: dict[str, Any] = {
            name: value for name in ("name", "tool_call_id") if (value := getattr(one, name)) is not None
        }
        if one.tool_calls:
            fields["tool_calls"] = [
                {"id": call.id, "type": "function", "function": _call(call.function.name, call.function.arguments)}
                for call in one.tool_calls
            ]
        role: Any = "system" if one.role == "developer" else one.role
        talk.append(ChatMessage(role, text, images, fields))
    return tuple(talk)


def _call(name: str, arguments: str) -> dict[str, Any]:
    """A call as chat templates read it: its arguments are an object."""
    with suppress(ValueError):
        return {"name": name, "arguments": json.loads(arguments)}
    return {"name": name, "arguments": arguments}


def content_of(content: str | Sequence[Part] | None, param: str) -> tuple[str, tuple[str, ...]]:
    """The text of a message, and its pictures. Raises RequestError."""
    if content is None or isinstance(content, str):
        return content or "", ()
    texts, images = list[str](), list[str]()
    for part in content:
        if part.type in ("text", "input_text", "output_text") and part.text is not None:
            texts.append(part.text)
        elif part.type == "refusal" and part.refusal is not None:
            texts.append(part.refusal)
        elif part.type in ("image_url", "input_image") and part.image_url is not None:
            images.append(_picture(part.image_url if isinstance(part.image_url, str) else part.image_url.url, param))
        else:
            said = f"a part of type '{shorten(part.type)}' cannot be read: send text and image_url"
            raise RequestError(400, said, param, "unsupported_value")
    return "\n".join(texts), tuple(images)


def _picture(url: str, param: str) -> str:
    if not url.startswith("data:"):
        said = "this server fetches nothing: send a picture as data:image/png;base64,…"
        raise RequestError(400, said, param, "url_not_allowed")
    return url


def tool_of(function: FunctionBody) -> Tool:
    return Tool(function.name, function.description or "", function.parameters or {"type": "object", "properties": {}})


def chosen_tool(choice: str | dict[str, Any] | None) -> str:
    """``auto``, ``none``, ``required`` or a tool's name. Raises RequestError."""
    if choice is None or choice in ("auto", "none", "required"):
        return str(choice or "auto")
    if isinstance(choice, dict):
        named = choice.get("function") if isinstance(choice.get("function"), dict) else choice
        if isinstance(named, dict) and isinstance(named.get("name"), str):
            return str(named["name"])
    raise RequestError(
        400, "'tool_choice' is auto, none, required, or names a function", "tool_choice", "invalid_value"
    )


def usage_of(finals: Sequence[Final], prompts: int = 1) -> dict[str, Any]:
    """``prompts``: how many different prompts these answers had; those of one are counted once."""
    each = max(1, len(finals) // max(1, prompts))
    read, drawn = sum(one.num_prompt for one in finals[::each]), sum(one.num_ids for one in finals)
    return {
        "prompt_tokens": read,
        "completion_tokens": drawn,
        "total_tokens": read + drawn,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def our_fields(finals: Sequence[Final]) -> dict[str, Any]:
    """What an answer rests on, beside the API's own fields."""
    first, timing = finals[0], finals[0].timing
    told: dict[str, Any] = {
        "experts": dict(first.experts),
        "seconds": {name: round(value, 4) for name, value in vars(timing).items()},
    }
    if first.answer is not None:
        answer = first.answer
        told |= {"known": answer.known, "confidence": answer.confidence, "dreams": len(answer.dreams)}
    return told


def token_name(data: bytes, text: str) -> str:
    """A token as text; where it is only part of a character, as ``bytes:\\\\xe2``."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def chat_log_probs(tokens: Sequence[Token], count: int) -> dict[str, Any]:
    """The log-probabilities of a chat's answer, with ``count`` likeliest each."""

    def one(text: str, data: bytes, log_prob: float | None) -> dict[str, Any]:
        return {"token": token_name(data, text), "bytes": list(data), "logprob": log_prob}

    content = [
        {**one(each.text, each.data, each.log_prob), "top_logprobs": [one(t, d, p) for _, t, d, p in each.top[:count]]}
        for each in tokens
        if each.data
    ]
    return {"content": content, "refusal": None}


async def merged(runs: Sequence[Run]) -> AsyncIterator[tuple[int, Piece | None]]:
    """The pieces of answers that run side by side, with the place of each, and None at an answer's end."""
    queue: asyncio.Queue[tuple[int, Piece | None] | BaseException] = asyncio.Queue()

    async def pump(place: int, run: Run) -> None:
        try:
            async for piece in run:
                queue.put_nowait((place, piece))
            queue.put_nowait((place, None))
        except BaseException as error:  # noqa: BLE001  # raised where it is listened to
            queue.put_nowait(error)

    tasks = [asyncio.create_task(pump(place, run)) for place, run in enumerate(runs)]
    try:
        ended = 0
        while ended < len(runs):
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            ended += item[1] is None
            yield item
    finally:
        for task in tasks:
            task.cancel()
        for run in runs:
            run.close()


async def all_of(runs: Sequence[Run]) -> list[tuple[str, tuple[Token, ...], Final]]:
    """All answers at their ends; where one fails, or nobody waits any more, all are let go of."""
    try:
        return list(await asyncio.gather(*(run.whole() for run in runs)))
    finally:
        for run in runs:
            run.close()


def now() -> int:
    return int(time.time())
