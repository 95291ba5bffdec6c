"""The remote preview against a real server on the loopback: it leads when it can, the local answer always stands."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from reverie.dreaming.preview import Preview, PreviewConfig, RuntimeConfig
from reverie.errors import ConfigError
from reverie.nouns import Dream, Part, Triplet

DREAM = Dream((Triplet(Part("an egg in a hand"), Part("let go"), Part("a broken egg")),), log_prob=-1.0, seed=0)
LOCAL = "It breaks."


def said(text: str) -> dict[str, Any]:
    """A reply in the shape of the responses API."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    return {"id": "r", "object": "response", "created_at": 0, "model": "m", "output": [message], "tools": []}


class Remote:
    """A server that answers every request with ``status`` and ``body`` after ``delay_s``, and remembers what it got."""

    def __init__(self) -> None:
        self.status, self.body, self.delay_s = 200, json.dumps(said("The egg falls and breaks.")).encode(), 0.0
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        remote = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                remote.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                remote.keys.append(self.headers["authorization"])
                time.sleep(remote.delay_s)
                self.send_response(remote.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(remote.body)))
                self.end_headers()
                self.wfile.write(remote.body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def remote() -> Iterator[Remote]:
    remote = Remote()
    yield remote
    remote.close()


@pytest.fixture
def session(remote: Remote) -> Callable[..., Preview]:
    """Makes a client session whose environment points at ``remote``."""

    def make(enabled: bool = True, **settings: Any) -> Preview:
        runtime = RuntimeConfig(enabled, PreviewConfig(**settings))
        return Preview(runtime, {"OPENAI_API_KEY": "secret-key", "OPENAI_BASE_URL": remote.url})

    return make


def test_the_remote_words_the_answer_and_is_named(remote: Remote, session: Callable[..., Preview]) -> None:
    worded = session().word("What happens when you drop an egg?", DREAM, LOCAL)
    assert (worded.text, worded.backend) == ("The egg falls and breaks.", "gpt-5.1-codex")


def test_it_is_told_question_dream_and_local_answer_with_a_cap(remote: Remote, session: Callable[..., Preview]) -> None:
    session(max_output_tokens=64).word("What happens when you drop an egg?", DREAM, LOCAL)
    (request,) = remote.requests
    assert request["model"] == "gpt-5.1-codex"
    assert request["max_output_tokens"] == 64
    for words in ("What happens when you drop an egg?", "an egg in a hand | let go | a broken egg", LOCAL):
        assert words in request["input"]
    assert remote.keys == ["Bearer secret-key"]


def test_a_very_long_question_is_cut_before_it_is_sent(remote: Remote, session: Callable[..., Preview]) -> None:
    session().word("why " * 100_000, None, LOCAL)
    assert len(json.dumps(remote.requests[0])) < 10_000


@pytest.mark.parametrize(
    ("environment", "enabled"), [({}, True), ({"OPENAI_API_KEY": "  "}, True), ({"OPENAI_API_KEY": "key"}, False)]
)
def test_without_a_key_or_switched_off_nothing_is_sent(
    remote: Remote, environment: dict[str, str], enabled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    preview = Preview(RuntimeConfig(enabled), environment | {"OPENAI_BASE_URL": remote.url})
    worded = preview.word("What happens?", DREAM, LOCAL)
    assert (worded.text, worded.backend, preview.enabled) == (LOCAL, "local", False)
    assert not remote.requests
    assert not caplog.records


def test_two_sessions_have_their_own_switch(session: Callable[..., Preview]) -> None:
    assert [session(True).enabled, session(False).enabled] == [True, False]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"{}", "HTTP status 500"),
        (401, b'{"error": {"message": "wrong key secret-key"}}', "HTTP status 401"),
        (429, b"slow down", "HTTP status 429"),
        (200, b"<html>not an API</html>", "an answer that it could not read"),
        (200, b"\xff\xfe{{{", "an answer that it could not read"),
        (200, b"[]", "an answer that it could not read"),
        (200, b'{"output": null}', "an answer that it could not read"),
        (200, b'{"output": [1, 2]}', "an answer that it could not read"),
        (200, json.dumps(said("   ")).encode(), "an empty answer"),
        (200, json.dumps(said("") | {"output": []}).encode(), "an empty answer"),
    ],
)
def test_a_failing_remote_leaves_the_local_answer_and_says_why(
    remote: Remote,
    session: Callable[..., Preview],
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    reason: str,
) -> None:
    remote.status, remote.body = status, body
    with caplog.at_level(logging.WARNING, logger="reverie.dreaming.preview"):
        worded = session().word("What happens?", DREAM, LOCAL)
    assert worded.text == LOCAL
    assert worded.backend == f"local (gpt-5.1-codex failed: {reason})"
    assert len(caplog.records) == 1
    assert "secret-key" not in caplog.text


def test_a_silent_remote_is_left_in_time(remote: Remote, session: Callable[..., Preview]) -> None:
    remote.delay_s = 0.6
    started = time.monotonic()
    worded = session(timeout_s=0.1).word("What happens?", DREAM, LOCAL)
    assert worded.backend == "local (gpt-5.1-codex failed: no answer in time)"
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "no address at all", "http://[broken"])
def test_an_address_where_nobody_listens(url: str) -> None:
    preview = Preview(RuntimeConfig(), {"OPENAI_API_KEY": "key", "OPENAI_BASE_URL": url})
    worded = preview.word("What happens?", None, LOCAL)
    assert worded.text == LOCAL
    assert worded.backend.startswith("local (gpt-5.1-codex failed: ")


def test_without_the_extra_it_names_the_install_command_once(
    session: Callable[..., Preview], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    preview = session()
    first, second = (preview.word("What happens?", DREAM, LOCAL) for _ in range(2))
    assert (first.text, second.text, second.backend) == (LOCAL, LOCAL, "local")
    assert "the openai package is not installed" in first.backend
    assert [record.getMessage() for record in caplog.records] == [
        "the gpt-5.1-codex preview needs an optional part. Install it with: pip install 'reverie[preview]'"
    ]


@pytest.mark.parametrize("settings", [{"model": ""}, {"timeout_s": 0}, {"max_output_tokens": 1}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="preview"):
        PreviewConfig(**settings)
