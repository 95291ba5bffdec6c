"""Real HTTP servers that speak Ollama's and OpenAI's protocols over the toy speaker, and can be made to fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reverie.engine.sampling import Sampling
from reverie.speakers import Message, Speaker, SpeechRequest, ToySpeaker

MODEL = "toy:1b"


class Server:
    """What the server has been asked, and how it is to fail. ``fault``: a name of what ``_Handler`` knows, or ""."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []  # path and body
        self.keys: list[str | None] = []
        self.fault = ""
        self.url = ""
        self.broken = threading.Event()  # a client hung up while it was answered
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()
        self.toy = ToySpeaker()
        self.speakers: list[Speaker] = []  # closed with it
        self.models = [MODEL]
        self.key = ""
        self.can = {"completions", "echo"}
        self.faults: list[str] = []  # of the next answers, one each, before it is as ``fault`` says
        self.says: str | None = None  # instead of what the toy says
        self.pause_s = 0.0  # before each answer
        self.nats: float | None = None  # of each of its ids, instead of what the toy finds

    def body(self, path: str) -> dict[str, Any]:
        return [body for asked, body in self.asked if asked == path][-1]


@contextmanager
def serving(kind: type[BaseHTTPRequestHandler]) -> Iterator[Server]:
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (kind,), {"state": server}))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        for speaker in server.speakers:
            speaker.close()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Server
    fault = ""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body: dict[str, Any]) -> None:
        state = self.state
        with state.lock:
            state.asked.append((self.path, body))
            state.keys.append(self.headers.get("Authorization"))
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
            self.fault = state.faults.pop(0) if state.faults and body.get("stream") else state.fault
        try:
            if self.fault == "html":
                self.say(200, b"<html><body>Welcome to the router</body></html>", "text/html")
            elif self.fault == "html 404":
                self.say(404, b"<html><body>Not here</body></html>", "text/html")
            elif self.fault == "500":
                self.say(500, b'{"error": {"message": "out of memory"}}')
            elif self.fault == "429":
                self.say(429, b'{"error": {"message": "too many"}}', wait="7")
            elif self.fault == "slow":
                time.sleep(1)
                self.close_connection = True
            elif state.key and self.headers.get("Authorization") != f"Bearer {state.key}":
                self.say(401, b'{"error": {"message": "who are you?"}}')
            else:
                self.answer(self.path, body)
        except (BrokenPipeError, ConnectionResetError):
            state.broken.set()
            self.close_connection = True
        finally:
            with state.lock:
                state.at_once -= 1

    def answer(self, path: str, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def say(self, status: int, data: bytes | dict[str, Any], kind: str = "application/json", wait: str = "") -> None:
        data = json.dumps(data).encode() if isinstance(data, dict) else data
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if wait:
            self.send_header("Retry-After", wait)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, kind: str, parts: Iterator[bytes]) -> None:
        """In chunks; "half" hangs up in the midst, "endless" never ends, "stuck" is silent after the first."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for count, part in enumerate(parts):
            self._chunk(part)
            if self.fault == "half" and count == 1:
                self.close_connection = True
                return
            if self.fault == "stuck":
                self.state.broken.wait(9)
                self.close_connection = True
                return
            while self.fault == "endless":
                self._chunk(part)
                time.sleep(0.005)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.flush()

    def speak(
        self, said: Any, most: int, drawn: Sampling, seed: int, stop: list[str], top: int, tell: Callable[..., bytes]
    ) -> tuple[list[bytes], str]:
        """Parts of the toy's answer, and why it ended."""
        if isinstance(said, list):
            said = tuple(Message(turn["role"], turn["content"]) for turn in said)
        parts: list[bytes] = []
        time.sleep(self.state.pause_s)
        if (text := self.state.says) is not None:
            size = max(len(text) // 500, 8)
            pieces = [text[start : start + size] for start in range(0, len(text), size)]
            return [tell(piece, -0.5 if self.state.nats is None else self.state.nats) for piece in pieces], "stop"
        able = replace(self.state.toy.abilities, tops=20)
        toy = ToySpeaker(abilities=able)
        (speech,) = toy.speak([SpeechRequest(said, most, drawn, seed, tuple(stop or ()), top=max(top, 1))])
        before, left = said if isinstance(said, str) else " ".join(turn.content for turn in said), speech.text
        for one in speech.ids:
            piece, left = left[: len(one.bytes)], left[len(one.bytes) :]
            best = [{"token": data.decode(), "logprob": value} for data, value in one.top[:top]]
            if piece:
                nats = toy.score([(before, piece)])[0].log_prob if self.state.nats is None else self.state.nats
                parts.append(tell(piece, nats, best))
            before += piece
        return parts, "stop" if speech.finished else "length"


class Ollama(_Handler):
    def answer(self, path: str, body: dict[str, Any]) -> None:
        state = self.state
        if path == "/api/tags":
            self.say(200, {"models": [{"model": name, "name": name} for name in state.models]})
        elif body.get("model") not in state.models:
            self.say(404, {"error": f"model '{body.get('model')}' not found"})
        elif path == "/api/show":
            info = {"general.architecture": "toy", "toy.context_length": 1000}
            self.say(
                200,
                {
                    "model_info": info,
                    "capabilities": ["completion", "embedding"],
                    "parameters": 'stop "<end>"\ntemperature 0.6\ntop_p 0.9',
                    "details": {},
                },
            )
        elif path == "/api/embed":
            self.say(200, {"model": MODEL, "embeddings": state.toy.embed(body["input"]).tolist()})
        else:
            self._generate(path == "/api/chat", body)

    def _generate(self, chat: bool, body: dict[str, Any]) -> None:
        options = body["options"]

        def tell(piece: str, log_prob: float = 0.0, best: Any = (), **more: Any) -> bytes:
            text = {"message": {"role": "assistant", "content": piece}} if chat else {"response": piece}
            told = (
                {"logprobs": [{"token": piece, "logprob": log_prob, **({"top_logprobs": best} if best else {})}]}
                if piece and "no log-probabilities" not in self.state.can
                else {}
            )
            return json.dumps({"model": MODEL, "done": False, **text, **told, **more}).encode() + b"\n"

        drawn = Sampling(
            options["temperature"], options["top_k"], options["top_p"], options["min_p"], options["repeat_penalty"]
        )
        said = body["messages"] if chat else body["prompt"]
        top = 0 if "no likeliest" in self.state.can else body.get("top_logprobs", 0)
        parts, end = self.speak(said, options["num_predict"], drawn, options["seed"], options["stop"], top, tell)
        parts.append(tell("", done=True, done_reason=end, eval_count=len(parts), prompt_eval_count=3))
        if self.fault == "error amid":
            parts[1:] = [b'{"error": "the runner died"}\n']
        self.stream("application/x-ndjson", iter(parts))


class OpenAI(_Handler):
    """As vLLM: completions, with ``echo``; without ``completions`` in ``can`` it only chats."""

    def answer(self, path: str, body: dict[str, Any]) -> None:
        state = self.state
        if path == "/v1/models":
            self.say(
                200,
                {
                    "object": "list",
                    "data": [{"id": name, "object": "model", "max_model_len": 900} for name in state.models],
                },
            )
        elif path not in ("/v1/completions", "/v1/chat/completions") or (
            path == "/v1/completions" and "completions" not in state.can
        ):
            self.say(404, {"detail": "Not Found"})
        elif body["model"] not in state.models:
            self.say(404, {"error": {"message": "no such model"}})
        elif body.get("echo") and "echo" not in state.can:
            self.say(400, {"error": {"message": "echo is not supported"}})
        elif body.get("stream"):
            self._stream(path.startswith("/v1/chat"), body)
        else:
            choices = [self._echo(index, text) for index, text in enumerate(body["prompt"])]
            self.say(200, {"id": "1", "object": "text_completion", "created": 1, "model": MODEL, "choices": choices})

    def _echo(self, index: int, text: str) -> dict[str, Any]:
        words = [text[: len(text) - len(text.lstrip())]] if not text.strip() else _words(text)
        log_probs = [self.state.toy.score([("".join(words[:n]), word)])[0].log_prob for n, word in enumerate(words)]
        told = {"tokens": [*words, " the"], "token_logprobs": [None, *log_probs[1:], -1.0]}
        return {"index": index, "text": text + " the", "finish_reason": "length", "logprobs": told}

    def _stream(self, chat: bool, body: dict[str, Any]) -> None:
        def tell(piece: str, log_prob: float = 0.0, best: Any = (), end: str | None = None) -> bytes:
            text = {"delta": {"content": piece}} if chat else {"text": piece}
            told = (
                {
                    "content": [
                        {"token": piece, "logprob": log_prob, "bytes": [*piece[:99].encode()], "top_logprobs": best}
                    ]
                }
                if chat
                else {
                    "token_logprobs": [log_prob],
                    "tokens": [piece],
                    "top_logprobs": [{one["token"]: one["logprob"] for one in best}],
                }
            )
            choice = {
                "index": 0,
                "finish_reason": end,
                "logprobs": told if piece and body.get("logprobs") else None,
                **text,
            }
            choices = [] if self.fault == "empty choice" else [choice]
            return (
                b"data: "
                + json.dumps({"id": "1", "created": 1, "model": MODEL, "object": "x", "choices": choices}).encode()
                + b"\n\n"
            )

        drawn = Sampling(body["temperature"], body.get("top_k", 0), body["top_p"], body.get("min_p", 0.0))
        said = body["messages"] if chat else body["prompt"]
        top = body.get("top_logprobs", 0) if chat else body.get("logprobs", 0)
        if "no likeliest" in self.state.can:
            top = 0
        parts, end = self.speak(said, body["max_tokens"], drawn, body["seed"], body.get("stop", []), top, tell)
        self.stream("text/event-stream", iter([*parts, tell("", end=end), b"data: [DONE]\n\n"]))


def _words(text: str) -> list[str]:
    from reverie.speakers.toy import _words as words

    return words(text)
