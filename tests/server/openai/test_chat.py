"""OpenAI's client asks a tiny model, whole and streamed."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from toy_serving import EXPERTS, Served

TALK: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "what falls?"}]


def said(chunks: Any, choice: int = 0) -> str:
    return "".join(one.delta.content or "" for chunk in chunks for one in chunk.choices if one.index == choice)


def test_an_answer_comes_whole_or_bit_by_bit_and_is_the_same(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "max_tokens": 20, "seed": 5, "temperature": 1.0}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert whole.choices[0].message.content == said(chunks)
    assert whole.choices[0].message.role == chunks[0].choices[0].delta.role == "assistant"
    assert [one.choices[0].finish_reason for one in chunks[:-1]] == [None] * (len(chunks) - 2) + ["length"]
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    assert chunks[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 20
    assert not any(chunk.usage for chunk in chunks[:-1])
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_several_answers_have_seeds_of_their_own(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "max_tokens": 12, "temperature": 1.0}
    three = client.chat.completions.create(**asked, seed=1, n=3)
    texts = [one.message.content for one in three.choices]
    assert len(set(texts)) == 3
    assert client.chat.completions.create(**asked, seed=2).choices[0].message.content == texts[1]
    chunks = list(client.chat.completions.create(**asked, seed=1, n=3, stream=True))
    assert [said(chunks, choice) for choice in range(3)] == texts


def test_log_probabilities_name_the_likeliest(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "max_tokens": 9, "seed": 3, "temperature": 0}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3).choices[0]
    assert whole.logprobs is not None
    told = whole.logprobs.content or []
    assert b"".join(bytes(one.bytes or []) for one in told).decode("utf-8", "replace") == whole.message.content
    for one in told:
        assert len(one.top_logprobs) == 3
        assert one.logprob == one.top_logprobs[0].logprob  # greedy
        assert one.top_logprobs[0].logprob >= one.top_logprobs[1].logprob >= one.top_logprobs[2].logprob
    chunks = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3, stream=True)
    streamed = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content or []]
    assert streamed == told


@pytest.mark.parametrize("name", ["tiny:auto", "tiny:latest", "tiny:base"])
def test_without_a_router_nobody_helps_under_any_usual_name(client: openai.OpenAI, name: str) -> None:
    asked: dict[str, Any] = {"messages": TALK, "max_tokens": 12, "temperature": 0}
    assert answer(client, name, **asked) == answer(client, "tiny", **asked)


def answer(client: openai.OpenAI, model: str, **asked: Any) -> str:
    told = client.chat.completions.create(model=model, **asked)
    return told.choices[0].message.content or ""


def test_experts_are_named_in_the_model_or_beside_it(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"messages": TALK, "max_tokens": 12, "temperature": 0}
    bare, causal = answer(client, "tiny", **asked), answer(client, "tiny:causal", **asked)
    assert bare != causal
    assert causal == answer(client, "tiny", **asked, extra_body={"lora": [{"name": "causal", "scale": 1.0}]})
    assert causal == answer(client, "tiny", **asked, extra_body={"lora": [{"id": EXPERTS.index("causal")}]})
    assert answer(client, "tiny:causal", **asked, extra_body={"lora": []}) == bare
    mixed = answer(client, "tiny:causal+dogs@0.5", **asked)
    lora = [{"name": "causal", "scale": 1}, {"name": "dogs", "scale": 0.5}]
    assert mixed == answer(client, "tiny", **asked, extra_body={"lora": lora})
    assert mixed != causal


def test_parts_of_text_and_developers_are_read(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "what"}, {"type": "text", "text": "falls?"}]
    talk: Any = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    plain: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "what\nfalls?"}]
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "temperature": 0}
    one, other = (client.chat.completions.create(messages=each, **asked) for each in (talk, plain))
    assert one.choices[0].message == other.choices[0].message


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "max_tokens": 40, "temperature": 0}
    text = client.chat.completions.create(**asked).choices[0].message.content or ""
    stop = text[7:11]  # begins and ends within ids
    place = text.index(stop)
    whole = client.chat.completions.create(**asked, stop=[stop, "never said"]).choices[0]
    assert (whole.message.content, whole.finish_reason) == (text[:place], "stop")
    chunks = list(client.chat.completions.create(**asked, stop=stop, stream=True))
    assert said(chunks) == text[:place]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_unknown_fields_are_passed_over_and_named(tiny: Served) -> None:
    told = tiny.post("/v1/chat/completions", model="tiny", messages=TALK, max_tokens=2, intent=True, snippy={})
    assert told.status_code == 200
    assert told.headers["x-reverie-ignored"] == "intent, snippy"


def test_models_have_their_experts_below_them(client: openai.OpenAI) -> None:
    found = {one.id: one for one in client.models.list()}
    assert set(found) == {"tiny", *(f"tiny:{name}" for name in EXPERTS)}
    assert found["tiny:dogs"].model_extra is not None
    assert found["tiny:dogs"].model_extra["parent"] == "tiny"
    assert client.models.retrieve("tiny:dogs+art@0.5").id == "tiny:dogs+art@0.5"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'tiny:dogs'"):
        client.models.retrieve("tiny:dog")
    with pytest.raises(openai.NotFoundError, match="Did you mean 'tiny'"):
        client.models.retrieve("tinny")
