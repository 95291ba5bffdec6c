"""What is wrong with a request is said in one line, in OpenAI's shape, and never ends in a fault of the server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toy_serving import Served

TALK = [{"role": "user", "content": "what falls?"}]
CHAT, TEXT, VECTOR, RESPONSE = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def shown(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (CHAT, {}, 400, "'model'"),
        (CHAT, {"model": "tiny"}, 400, "'messages'"),
        (CHAT, {"model": "tiny", "messages": []}, 400, "messages"),
        (CHAT, {"model": "tiny", "messages": "hello"}, 400, "messages"),
        (CHAT, {"model": "tiny", "messages": [{"role": "wizard", "content": "x"}]}, 400, "role"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user", "content": ""}]}, 400, "empty"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user", "content": 5}]}, 400, "content"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user", "content": "a\ud800b"}]}, 400, "half a letter"),
        (CHAT, {"model": "tiny", "messages": TALK, "stream": "true"}, 400, "'stream'"),
        (CHAT, {"model": "tiny", "messages": TALK, "max_tokens": 0}, 400, "max_tokens"),
        (CHAT, {"model": "tiny", "messages": TALK, "max_tokens": 1.5}, 400, "max_tokens"),
        (CHAT, {"model": "tiny", "messages": TALK, "max_tokens": True}, 400, "max_tokens"),
        (CHAT, {"model": "tiny", "messages": TALK, "temperature": -1}, 400, "temperature"),
        (CHAT, {"model": "tiny", "messages": TALK, "temperature": "hot"}, 400, "temperature"),
        (CHAT, {"model": "tiny", "messages": TALK, "top_p": 0}, 400, "top_p"),
        (CHAT, {"model": "tiny", "messages": TALK, "top_p": 1.1}, 400, "top_p"),
        (CHAT, {"model": "tiny", "messages": TALK, "n": 0}, 400, "'n'"),
        (CHAT, {"model": "tiny", "messages": TALK, "n": 1000}, 400, "'n'"),
        (CHAT, {"model": "tiny", "messages": TALK, "seed": 2**70}, 400, "seed"),
        (CHAT, {"model": "tiny", "messages": TALK, "top_logprobs": 5}, 400, "logprobs"),
        (CHAT, {"model": "tiny", "messages": TALK, "logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
        (CHAT, {"model": "tiny", "messages": TALK, "stop": [""]}, 400, "stop"),
        (CHAT, {"model": "tiny", "messages": TALK, "stop": ["x"] * 99}, 400, "stop"),
        (CHAT, {"model": "tiny", "messages": TALK, "temprature": 1}, 400, "Did you mean 'temperature'"),
        (CHAT, {"model": "tiny", "messages": TALK, "lora": [{"name": "nobody"}]}, 404, "unknown expert"),
        (CHAT, {"model": "tiny", "messages": TALK, "lora": [{"id": 99}]}, 400, "no expert 99"),
        (CHAT, {"model": "tiny", "messages": TALK, "lora": [{"id": 0}] * 2}, 400, "once"),
        (CHAT, {"model": "tiny", "messages": TALK, "lora": "causal"}, 400, "lora"),
        (CHAT, {"model": "tiny", "messages": TALK, "tool_choice": 7}, 400, "tool_choice"),
        (CHAT, {"model": "tiny:art@heavy", "messages": TALK}, 400, "weight is a number"),
        (CHAT, {"model": "tiny:art+birds+causal+dogs+east", "messages": TALK}, 404, "at most 4"),
        (CHAT, {"model": "../../etc/passwd", "messages": TALK}, 404, "not found"),
        (CHAT, {"model": "tiny:../causal", "messages": TALK}, 404, "an expert's name"),
        (CHAT, {"model": "tinny", "messages": TALK}, 404, "Did you mean 'tiny'"),
        (CHAT, {"model": "", "messages": TALK}, 404, "not found"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "audio"}]}]}, 400, "audio"),
        (CHAT, {"model": "tiny", "messages": shown("http://localhost/x.png")}, 400, "fetches nothing"),
        (CHAT, {"model": "tiny", "messages": shown("file:///etc/passwd")}, 400, "fetches nothing"),
        (CHAT, {"model": "tiny", "messages": shown("data:image/png;base64,AAAA")}, 400, "sees no pictures"),
        (CHAT, {"model": "tiny", "messages": [{"role": "user", "content": "word " * 5000}]}, 400, "ids"),
        (CHAT, {"model": "tiny", "messages": TALK, "metadata": deep(80)}, 400, "deeper"),
        (CHAT, [1], 400, "object"),
        (TEXT, {"model": "tiny", "prompt": []}, 400, "holds nothing"),
        (TEXT, {"model": "tiny", "prompt": [[]]}, 400, "holds nothing"),
        (TEXT, {"model": "tiny", "prompt": ["a", 5]}, 400, "prompt"),
        (TEXT, {"model": "tiny", "prompt": [10**9]}, 400, "vocabulary"),
        (TEXT, {"model": "tiny", "prompt": [-1]}, 400, "vocabulary"),
        (TEXT, {"model": "tiny", "prompt": [5] * 5000}, 400, "ids"),
        (TEXT, {"model": "tiny", "prompt": ["x"] * 99}, 400, "at most"),
        (TEXT, {"model": "tiny", "prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
        (TEXT, {"model": "tiny", "prompt": "x", "logprobs": -1}, 400, "logprobs"),
        (TEXT, {"model": "tiny", "prompt": "x" * 1_100_000}, 400, "characters"),
        (VECTOR, {"model": "tiny", "input": ""}, 400, "empty"),
        (VECTOR, {"model": "tiny", "input": ["a", ""]}, 400, "empty"),
        (VECTOR, {"model": "tiny", "input": ["a"] * 999}, 400, "at most"),
        (VECTOR, {"model": "tiny", "input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        (RESPONSE, {"model": "tiny"}, 400, "input"),
        (RESPONSE, {"model": "tiny", "input": ""}, 400, "empty"),
        (RESPONSE, {"model": "tiny", "input": [{"type": "computer_call"}]}, 400, "computer_call"),
        (RESPONSE, {"model": "tiny", "input": "x", "previous_response_id": "resp-none"}, 404, "no response"),
        (RESPONSE, {"model": "tiny", "input": "x", "background": True}, 400, "background"),
    ],
)
def test_a_wrong_request_is_told_so_in_one_line(tiny: Served, path: str, body: Any, status: int, words: str) -> None:
    told = tiny.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert told.status_code == status, told.text[:300]
    error = told.json()["error"]
    assert words in error["message"]
    assert "\n" not in error["message"]
    assert "/tmp" not in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/json", "Host": "evil.example"}, b"{}", 403),
        ({"Content-Type": "application/json", "Origin": "https://evil.example"}, b"{}", 403),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}", 415),
        ({"Content-Type": "application/json"}, b'{"model": "tiny", "temperature": NaN}', 400),
        ({"Content-Type": "application/json"}, b"[" * 200_000, 400),
        ({"Content-Type": "application/json"}, b"{'model': 1}", 400),
        ({"Content-Type": "application/json"}, b"\xff\xff", 400),
        ({"Content-Type": "application/json"}, b'"' + b"x" * (33 * 2**20) + b'"', 413),
    ],
    ids=["plain", "host", "origin", "gzip", "nan", "deep", "no-json", "bytes", "large"],
)
def test_what_no_client_of_ours_sends_stays_outside(
    tiny: Served, headers: dict[str, str], content: bytes, status: int
) -> None:
    told = tiny.client.post(CHAT, content=content, headers=headers)
    assert told.status_code == status
    assert told.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("GET", "/v1/nothing", 404), ("GET", "/v2/x", 404), ("GET", "/v1/models/x%2F..%2Fy", 404)],
)
def test_addresses_that_are_not_there(tiny: Served, method: str, path: str, status: int) -> None:
    assert tiny.client.request(method, path).status_code == status


def test_after_all_that_it_answers_as_ever(tiny: Served) -> None:
    assert tiny.post(CHAT, model="tiny", messages=TALK, max_tokens=2).status_code == 200
    assert tiny.running() == 0
    assert tiny.client.get("/openapi.json").json()["paths"][CHAT]
