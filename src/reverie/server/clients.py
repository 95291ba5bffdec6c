"""What clients that people already have would trip over at a server: their own calls, sent again.

Works against any server that speaks Ollama's or OpenAI's API. The calls and what is read of their answers are those of
the clients' sources: Open WebUI's ``routers/ollama.py``, the Ollama provider of an editor's assistant (Copilot Chat),
Continue's ``Ollama.ts``; 2025 and 2026. Nothing is asked but a few words of one model.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from reverie.errors import ReverieError, UsageError, shorten

__all__ = ["Call", "ClientReport", "check_clients"]

_PARAMETER = re.compile(r'^(\S+)\s+(".*"|\S+)$')  # how Continue reads a line of `parameters`
_LEAST_VERSION = (0, 6, 4)
_ASKED = [{"role": "user", "content": "Say one word."}]
_TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}


@dataclass(frozen=True)
class Call:
    """One call of a client. ``problem``: what it would trip over, "" for nothing."""

    call: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class ClientReport:
    """What became of all calls of a client."""

    client: str
    calls: tuple[Call, ...]

    @property
    def ok(self) -> bool:
        return not any(one.problem for one in self.calls)


class _TripError(Exception):
    """What a client would trip over, in words."""


def check_clients(url: str, model: str = "", key: str = "", seconds: float = 120.0) -> tuple[str, list[ClientReport]]:
    """(the model that was asked, a report a client).

    Args:
        url: of the server, as http://127.0.0.1:11434
        model: that is asked; "": the first that is listed and talks
        key: a token, where the server asks for one
        seconds: most time of one call

    Raises UsageError for what is no address, ReverieError where nobody answers there.
    """
    place = httpx.URL(url if "//" in url else f"http://{url}")
    if place.scheme not in ("http", "https") or not place.host:
        raise UsageError(f"'{shorten(url)}' is no address of a server, such as http://127.0.0.1:11434")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=place, headers=headers, timeout=seconds) as http:
        try:
            http.get("/api/version")
        except httpx.HTTPError as error:
            raise ReverieError(f"nobody answers at {place}: {shorten(str(error))}. Is the server running?") from error
        server = _Server(http)
        model = model or server.first_model()
        return model, [_replayed(name, steps(server, model)) for name, steps in _CLIENTS.items()]


def _replayed(client: str, steps: Iterator[tuple[str, Callable[[], None]]]) -> ClientReport:
    calls = list[Call]()
    for name, step in steps:
        started, problem = time.monotonic(), ""
        try:
            step()
        except _TripError as error:
            problem = str(error)
        except httpx.HTTPError as error:
            problem = f"no answer: {shorten(str(error) or type(error).__name__, 120)}"
        calls.append(Call(name, problem, round(time.monotonic() - started, 3)))
    return ClientReport(client, tuple(calls))


@dataclass
class _Server:
    """Asks, and says what is wrong with an answer."""

    http: httpx.Client
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, path: str) -> dict[str, Any]:
        return _object(self.http.get(path))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return _object(self.http.post(path, json=body))

    def lines(self, path: str, **body: Any) -> list[str]:
        """The lines of an answer that comes bit by bit."""
        with self.http.stream("POST", path, json=body) as answer:
            if answer.status_code != 200:
                answer.read()
                _object(answer)
            return [line for line in answer.iter_lines() if line]

    def models(self) -> list[dict[str, Any]]:
        found = self.get("/api/tags").get("models")
        _need(isinstance(found, list) and all(isinstance(one, dict) for one in found), "'models' is no list of objects")
        _need(found, "no models are listed")
        return list(found or ())

    def show(self, model: str) -> dict[str, Any]:
        if model not in self.shown:
            self.shown[model] = self.post("/api/show", model=model)
        return self.shown[model]

    def first_model(self) -> str:
        """The first that talks; "" where none is listed."""
        try:
            names = [str(one.get("model")) for one in self.models()]
            talking = (name for name in names if "completion" in (self.show(name).get("capabilities") or ()))
            return next(talking, names[0])
        except (_TripError, httpx.HTTPError):
            pass
        try:
            return str(self.get("/v1/models")["data"][0]["id"])
        except (_TripError, httpx.HTTPError, LookupError, TypeError):
            return ""

    def is_loaded(self, model: str) -> bool:
        try:
            return any(one.get("name") == model for one in self.get("/api/ps").get("models") or ())
        except (_TripError, httpx.HTTPError, AttributeError):
            return True

    def takes_tools(self, model: str) -> bool:
        try:
            return "tools" in (self.show(model).get("capabilities") or ())
        except (_TripError, httpx.HTTPError):
            return False

    # what is read of answers ------------------------------------------------------------------------------------

    def version(self, least: tuple[int, ...] = ()) -> None:
        said = self.get("/api/version").get("version")
        try:
            numbers = tuple(int(part) for part in str(said).split("-")[0].split("."))
        except ValueError:
            raise _TripError(f"the version '{shorten(str(said))}' is not made of numbers") from None
        _need(len(numbers) == 3, f"the version '{shorten(str(said))}' has not three numbers")
        _need(numbers >= least, f"the version {said} is below {'.'.join(map(str, least))}")

    def listed(self) -> None:
        for one in self.models():
            for name in ("name", "model"):
                _need(isinstance(one.get(name), str) and one[name], f"a model of the list has no '{name}'")

    def running(self) -> None:
        for one in self.get("/api/ps").get("models") or ():
            try:
                datetime.fromisoformat(str(one["expires_at"]))
            except (ValueError, LookupError, TypeError):
                raise _TripError("'expires_at' of a loaded model is no ISO time") from None

    def described(self, model: str) -> None:
        told = self.show(model)
        info, can = told.get("model_info"), told.get("capabilities")
        _need(isinstance(can, list), "'capabilities' is no list")
        _need(isinstance(info, dict), "'model_info' is no object")
        assert isinstance(info, dict)
        kind = info.get("general.architecture")
        _need(isinstance(kind, str), "'model_info' has no 'general.architecture'")
        _need(isinstance(info.get("general.basename"), str), "'model_info' has no 'general.basename': it has no name")
        _need(isinstance(info.get(f"{kind}.context_length"), int), f"'model_info' has no '{kind}.context_length'")

    def parameters(self, model: str) -> None:
        told = self.post("/api/show", name=model)
        _need(isinstance(told.get("template", ""), str), "'template' is no text")
        for line in str(told.get("parameters") or "").splitlines():
            found = _PARAMETER.match(line)
            _need(found, f"the line '{shorten(line)}' of 'parameters' is not a name and a value")
            if found is not None and found[1] == "stop":
                try:
                    json.loads(found[2])
                except ValueError:
                    raise _TripError(f"the stop text {shorten(found[2])} of 'parameters' is not quoted") from None

    def chat_lines(self, path: str, part: Callable[[dict[str, Any]], Any], **body: Any) -> None:
        """Ollama's streams: a JSON object a line, the last one done."""
        last: dict[str, Any] = {}
        for line in self.lines(path, **body):
            last = _json(line)
            _need("error" not in last, f"the stream ends with an error: {shorten(str(last.get('error')), 120)}")
            _need(isinstance(part(last), str), "a line of the stream has no text")
        _need(last.get("done") is True, "the last line of the stream is not 'done'")
        _need(isinstance(last.get("done_reason"), str), "the last line has no 'done_reason'")
        _need(isinstance(last.get("eval_count"), int), "the last line has no 'eval_count'")

    def chat_whole(self, **body: Any) -> None:
        told = self.post("/api/chat", stream=False, **body)
        message = told.get("message")
        _need(isinstance(message, dict) and isinstance(message.get("content"), str), "there is no 'message.content'")
        _need(told.get("done") is True, "the answer is not 'done'")
        for call in (message or {}).get("tool_calls") or ():
            arguments = call.get("function", {}).get("arguments")
            _need(isinstance(arguments, dict), "'arguments' of a call are no object")

    def events(self, **body: Any) -> None:
        """OpenAI's streams: events, a finish reason, and [DONE]."""
        finish, ended, usage = None, False, False
        for line in self.lines("/v1/chat/completions", stream=True, stream_options={"include_usage": True}, **body):
            if line.startswith(":"):
                continue
            _need(line.startswith("data:"), f"the line '{shorten(line)}' is no event")
            data = line[5:].strip()
            if data == "[DONE]":
                ended = True
                continue
            chunk = _json(data)
            _need("error" not in chunk, f"the stream ends with an error: {shorten(str(chunk.get('error')), 120)}")
            usage = usage or isinstance(chunk.get("usage"), dict)
            for choice in chunk.get("choices") or ():
                _need(isinstance(choice.get("delta"), dict), "a choice has no 'delta'")
                finish = choice.get("finish_reason") or finish
                for call in choice["delta"].get("tool_calls") or ():
                    arguments = call.get("function", {}).get("arguments", "")
                    _need(isinstance(arguments, str), "'arguments' of a call are no text")
        _need(ended, "the stream does not end with [DONE]")
        _need(finish, "no 'finish_reason' ever comes")
        _need(usage, "no usage comes, though it was asked for")

    def completion(self, **body: Any) -> None:
        told = self.post("/v1/chat/completions", **body)
        choice = (told.get("choices") or [{}])[0]
        message = choice.get("message") or {}
        _need(isinstance(message.get("content"), str) or message.get("tool_calls"), "there is no 'message.content'")
        _need(choice.get("finish_reason"), "there is no 'finish_reason'")
        _need(isinstance((told.get("usage") or {}).get("total_tokens"), int), "there is no 'usage.total_tokens'")

    def ids(self) -> None:
        data = self.get("/v1/models").get("data")
        _need(isinstance(data, list) and data, "no models are listed")
        _need(all(isinstance(one.get("id"), str) for one in data or ()), "a model of the list has no 'id'")


Steps = Iterator[tuple[str, Callable[[], None]]]


def _open_webui(server: _Server, model: str) -> Steps:
    bare = model if ":" in model else f"{model}:latest"
    was_loaded = server.is_loaded(bare)
    few: Any = {"model": bare, "messages": _ASKED, "options": {"num_predict": 8}}
    yield "GET /api/version", server.version
    yield "GET /api/tags", server.listed
    yield "GET /api/ps", server.running
    yield "POST /api/chat", lambda: server.chat_lines("/api/chat", _content, stream=True, **few)
    yield "POST /api/chat for a title", lambda: server.chat_whole(**few)
    yield "GET /api/ps after it", server.running
    if not was_loaded:  # nobody else's model is let go of

        def unload() -> None:
            told = server.post("/api/generate", model=bare, prompt="", keep_alive=0, stream=False)
            _need(told.get("done") is True, "a model is not let go of")

        yield "POST /api/generate to unload", unload


def _editor(server: _Server, model: str) -> Steps:
    yield "GET /api/version", lambda: server.version(_LEAST_VERSION)
    yield "GET /api/tags", server.listed

    def described() -> None:
        for one in server.models():
            name = str(one.get("model"))
            try:
                server.described(name)
            except _TripError as error:
                raise _TripError(f"{name}: {error}") from None

    yield "POST /api/show of each", described
    few: Any = {"model": model, "messages": _ASKED, "max_tokens": 8}
    yield "POST /v1/chat/completions", lambda: server.events(**few)
    if server.takes_tools(model):
        yield "POST /v1/chat/completions with tools", lambda: server.events(tools=[_TOOL], **few)


def _continue(server: _Server, model: str) -> Steps:
    few: Any = {"model": model, "keep_alive": 1800, "options": {"num_predict": 8, "num_ctx": 2048}}
    yield "POST /api/show by name", lambda: server.parameters(model)
    yield "POST /api/chat", lambda: server.chat_lines("/api/chat", _content, messages=_ASKED, **few)
    if server.takes_tools(model):
        yield "POST /api/chat with tools", lambda: server.chat_whole(messages=_ASKED, tools=[_TOOL], **few)
    raw: Any = {"prompt": "One, two,", "raw": True, **few}
    yield "POST /api/generate, raw", lambda: server.chat_lines("/api/generate", lambda one: one.get("response"), **raw)


def _openai(server: _Server, model: str) -> Steps:
    few: Any = {"model": model, "messages": _ASKED, "max_tokens": 8}
    yield "GET /v1/models", server.ids
    yield "POST /v1/chat/completions", lambda: server.completion(**few)
    yield "POST /v1/chat/completions, streamed", lambda: server.events(**few)


_CLIENTS: dict[str, Callable[[_Server, str], Steps]] = {
    "Open WebUI": _open_webui,
    "editor's assistant": _editor,
    "Continue": _continue,
    "Open WebUI by OpenAI's API": _openai,
}


def _content(line: dict[str, Any]) -> Any:
    message = line.get("message")
    return message.get("content") if isinstance(message, dict) else None


def _need(fine: Any, otherwise: str) -> None:
    if not fine:
        raise _TripError(otherwise)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _TripError(f"'{shorten(text)}' is no JSON object")
    return found


def _object(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        try:
            said = answer.json()["error"]
            said = said["message"] if isinstance(said, dict) else said
        except (ValueError, LookupError, TypeError):
            said = answer.text
        raise _TripError(f"HTTP {answer.status_code}: {shorten(str(said), 160)}")
    return _json(answer.text)
