"""Every call that Ollama's Python client offers here, against the real server, whole and in pieces."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import ollama
import pytest
from PIL import Image

from toy_serving import Served

HI = [{"role": "user", "content": "what happens when you drop an egg?"}]
FEW: dict[str, Any] = {"num_predict": 12, "seed": 1, "temperature": 1.0}


def weather(city: str, days: int = 1) -> str:
    """The weather.

    Args:
        city: where
        days: how many
    """
    return f"{city}: sun for {days} days"


def test_a_talk_whole_and_in_pieces_says_the_same(client: ollama.Client) -> None:
    whole = client.chat("tiny", HI, options=FEW)
    pieces = list(client.chat("tiny", HI, options=FEW, stream=True))
    assert whole.message.role == "assistant"
    assert whole.message.content
    assert whole.message.content == "".join(one.message.content or "" for one in pieces)
    assert [one.done for one in pieces] == [False] * (len(pieces) - 1) + [True]
    for last in (whole, pieces[-1]):
        assert last.done_reason == "length"
        assert last.eval_count == 12
        assert last.prompt_eval_count
        assert last.total_duration >= last.eval_duration > 0  # type: ignore[operator]
        assert datetime.fromisoformat(last.created_at or "").tzinfo


def test_the_async_client_hears_several_at_once(tiny: Served) -> None:
    async def ask() -> list[str]:
        client = ollama.AsyncClient(tiny.url)

        async def one(seed: int) -> str:
            text = ""
            async for piece in await client.chat("tiny", HI, options={**FEW, "seed": seed}, stream=True):
                text += piece.message.content or ""
            return text

        try:
            return await asyncio.gather(*(one(seed) for seed in (1, 2, 1)))
        finally:
            await client.close()

    first, other, again = asyncio.run(ask())
    assert first == again != other


def test_prompts_are_answered_or_gone_on_with(client: ollama.Client) -> None:
    whole = client.generate("tiny", "the red ball", system="Be brief.", options=FEW)
    assert whole.response == "".join(
        one.response or ""
        for one in client.generate("tiny", "the red ball", system="Be brief.", options=FEW, stream=True)
    )
    raw = client.generate("tiny", "the red ball", raw=True, options=FEW)
    assert raw.prompt_eval_count < whole.prompt_eval_count  # type: ignore[operator]
    special = client.generate("tiny", "<|end|>", raw=True, options=FEW)
    assert special.prompt_eval_count == 1  # a raw prompt may name special tokens


def test_log_probabilities(client: ollama.Client) -> None:
    told = client.generate("tiny", "the red", options=FEW, logprobs=True, top_logprobs=3)
    assert len(told.logprobs or ()) == 12
    for one in told.logprobs or ():
        assert one.logprob <= 0
        assert len(one.top_logprobs or ()) == 3
    pieces = list(client.chat("tiny", HI, options=FEW, logprobs=True, stream=True))
    assert sum(len(one.logprobs or ()) for one in pieces) == 12


def test_json_is_enforced_whole_and_in_pieces(client: ollama.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"enum": ["x", "y"]}},
        "required": ["n", "s"],
    }
    options = {"temperature": 1.5, "num_predict": 80}
    for seed in range(3):
        told = json.loads(
            client.chat("tiny", HI, format=schema, options={**options, "seed": seed}).message.content or ""
        )
        assert set(told) == {"n", "s"}
        said = client.generate("tiny", "x", format="json", options={**options, "seed": seed}, stream=True)
        assert isinstance(json.loads("".join(one.response or "" for one in said)), dict)


def test_a_talk_with_tools_and_their_results(client: ollama.Client, tiny: Served) -> None:
    told = client.chat("tiny", HI, tools=[weather], options=FEW)
    assert told.message.content is not None
    talk = [
        *HI,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}],
        },
    ]
    talk.append({"role": "tool", "tool_name": "weather", "content": "sun"})
    assert client.chat("tiny", talk, tools=[weather], options=FEW).message.content
    asked = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    body = {"model": "tiny", "messages": HI, "tools": [asked], "tool_choice": "required", "max_tokens": 200}
    (call,) = tiny.post("/v1/chat/completions", **body).json()["choices"][0]["message"]["tool_calls"]
    assert isinstance(json.loads(call["function"]["arguments"]), dict)


def test_texts_become_vectors(client: ollama.Client) -> None:
    told = client.embed("tiny", ["an egg", "a ball", "x " * 9000])
    assert len(told.embeddings) == 3
    assert sum(one * one for one in told.embeddings[0]) == pytest.approx(1, abs=1e-4)
    assert len(client.embed("tiny", "an egg", dimensions=8).embeddings[0]) == 8
    assert client.embeddings("tiny", "an egg").embedding == pytest.approx(told.embeddings[0], abs=1e-5)
    assert list(client.embed("tiny", []).embeddings) == []
    with pytest.raises(ollama.ResponseError):
        client.embed("tiny", "x " * 9000, truncate=False)


def test_models_are_listed_with_their_experts(client: ollama.Client, tiny: Served) -> None:
    listed = {one.model: one for one in client.list().models}
    assert set(listed) == {"tiny:latest", "tiny:base", "tiny:art", "tiny:birds", "toy:latest"}
    assert len({one.digest for one in listed.values()}) == len(listed)  # clients tell them apart by it
    assert listed["tiny:art"].details.parent_model == "tiny:latest"  # type: ignore[union-attr]
    assert all(one["name"] == one["model"] for one in tiny.client.get("/api/tags").json()["models"])
    for name in listed:
        shown = client.show(name or "")
        family = (shown.modelinfo or {})["general.architecture"]
        assert f"{family}.context_length" in (shown.modelinfo or {})
        assert (shown.modelinfo or {})["general.basename"]
        assert shown.capabilities
        assert shown.details
        assert shown.template is not None
    assert client.show("tiny").parameters.splitlines()[0].split() == ["num_ctx", "4096"]  # type: ignore[union-attr]
    assert tiny.post("/api/show", name="tiny").json() == tiny.post("/api/show", model="tiny").json()
    assert "<{{ m.role }}>" in (client.show("tiny").template or "")
    assert (
        client.chat("tiny:art", HI, options=FEW).message.content
        != client.chat("tiny:base", HI, options=FEW).message.content
    )


def test_models_come_and_go_by_empty_prompts(client: ollama.Client) -> None:
    assert client.generate("tiny", "", keep_alive="5m").done_reason == "load"
    (one,) = client.ps().models
    assert one.name == "tiny:latest"
    assert one.expires_at is not None
    assert 280 < (one.expires_at - datetime.now(UTC)).total_seconds() <= 300
    assert one.context_length == 4096
    client.chat("tiny", [], keep_alive=-1)
    assert client.ps().models[0].expires_at.year > 2100  # type: ignore[union-attr]
    assert client.generate("tiny", "", keep_alive=0).done_reason == "unload"
    assert list(client.ps().models) == []


def test_generators_paint(client: ollama.Client) -> None:
    told = client.generate("toy", "a cat", options={"seed": 3})
    assert told.image
    assert told.done
    last = list(client.generate("toy", "a cat", options={"seed": 3}, stream=True))[-1]
    assert last.image == told.image
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(picture, "PNG")
    assert client.generate("toy", images=[picture.getvalue()]).response is not None
    assert client.show("toy").capabilities == ["image", "vision"]


def test_version_is_one_that_clients_accept(tiny: Served) -> None:
    version = tiny.client.get("/api/version").json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)


BAD: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "model": ("chat", {"model": "tinny", "messages": HI}, 404, "Did you mean 'tiny'"),
    "no model": ("chat", {"messages": HI}, 404, "not found"),
    "role": ("chat", {"model": "tiny", "messages": [{"role": "boss", "content": "x"}]}, 400, "role is"),
    "schema": ("chat", {"model": "tiny", "messages": HI, "format": {"type": "nope"}}, 400, "Invalid type"),
    "format": ("chat", {"model": "tiny", "messages": HI, "format": "xml"}, 400, "invalid format: 'xml'"),
    "stream": ("chat", {"model": "tiny", "messages": HI, "stream": "true"}, 400, "'stream'"),
    "keep": ("chat", {"model": "tiny", "messages": HI, "keep_alive": "soon"}, 400, "keep_alive"),
    "temperature": ("chat", {"model": "tiny", "messages": HI, "options": {"temperature": "warm"}}, 400, "temperature"),
    "top": ("chat", {"model": "tiny", "messages": HI, "top_logprobs": 99}, 400, "top_logprobs"),
    "image": (
        "chat",
        {"model": "tiny", "messages": [{"role": "user", "content": "x", "images": ["AAAA"]}]},
        400,
        "sees no",
    ),
    "insert": ("generate", {"model": "tiny", "prompt": "a", "suffix": "b"}, 400, "does not support insert"),
    "template": ("generate", {"model": "tiny", "prompt": "a", "template": "{{ . }}"}, 400, "'template'"),
    "context": ("generate", {"model": "tiny", "prompt": "a", "context": [1]}, 400, "'context'"),
    "long": ("generate", {"model": "tiny", "prompt": "a b " * 9000}, 400, "holds 4096"),
    "show": ("show", {"model": "tinny"}, 404, "not found"),
    "show nobody": ("show", {}, 400, "model is required"),
    "create": ("create", {"model": "x", "from": "tiny"}, 403, "none are made"),
    "copy": ("copy", {"source": "tiny", "destination": "../x"}, 403, "none are made"),
    "push": ("push", {"model": "tiny"}, 400, "not pushed"),
    "embed": ("embed", {"model": "tiny", "input": 3}, 400, "input"),
    "nowhere": ("nowhere", {}, 404, "nothing is at"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line_in_ollamas_shape(tiny: Served, name: str) -> None:
    path, body, status, said = BAD[name]
    answer = tiny.client.post(f"/api/{path}", json=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_forms_are_not_taken(tiny: Served) -> None:
    assert tiny.client.post("/api/chat", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert tiny.client.post("/api/chat", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400


def test_a_client_that_goes_frees_its_place(tiny: Served) -> None:
    endless = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}
    body = {"model": "tiny", "messages": HI, "format": endless, "options": {"num_predict": 3000}}
    with tiny.client.stream("POST", "/api/chat", json=body) as answer:
        lines = answer.iter_lines()
        assert "message" in next(lines)
        assert tiny.running() == 1
    for _ in range(100):
        if not tiny.running():
            break
        httpx.get(f"{tiny.url}healthz")
    assert tiny.running() == 0
