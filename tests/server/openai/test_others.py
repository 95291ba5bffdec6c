"""Embeddings, responses, pictures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from reverie.generator import toy_generator
from toy_serving import Served, served


def test_vectors_are_of_length_one_and_the_same_packed(client: openai.OpenAI, tiny: Served) -> None:
    texts = ["what falls", "the red ball"]
    packed = client.embeddings.create(model="tiny", input=texts)  # the client asks for base64 by itself
    plain = tiny.post("/v1/embeddings", model="tiny", input=texts).json()
    given = np.array([one["embedding"] for one in plain["data"]])
    assert np.allclose([one.embedding for one in packed.data], given)
    assert np.allclose(np.linalg.norm(given, axis=1), 1)
    raw = tiny.post("/v1/embeddings", model="tiny", input=texts, encoding_format="base64").json()
    assert np.allclose(np.frombuffer(base64.b64decode(raw["data"][1]["embedding"]), "<f4"), given[1])
    few = client.embeddings.create(model="tiny", input=texts[0], dimensions=4).data[0].embedding
    assert np.allclose(few, given[0, :4] / np.linalg.norm(given[0, :4]), atol=1e-6)
    assert packed.usage.prompt_tokens == plain["usage"]["total_tokens"] > 0
    assert tiny.post("/v1/embeddings", model="tiny", input=texts, dimensions=999).status_code == 400


def test_responses_answer_go_on_and_are_forgotten(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_output_tokens": 8}
    first = client.responses.create(input="what falls?", **asked)
    assert (first.status, first.usage.output_tokens if first.usage else 0) == ("incomplete", 8)
    assert first.output_text
    chat = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "what falls?"}], temperature=0, max_tokens=8
    )
    assert chat.choices[0].message.content == first.output_text
    second = client.responses.create(input="and then?", previous_response_id=first.id, **asked)
    talk: Any = [
        {"role": "user", "content": "what falls?"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "and then?"},
    ]
    assert second.output_text == client.responses.create(input=talk, **asked).output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    unkept = client.responses.create(input="what?", store=False, **asked)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(input="and?", previous_response_id=unkept.id, **asked)
    told = client.responses.create(input="what falls?", instructions="Be brief.", **asked)
    assert told.output_text != first.output_text


def test_the_events_of_a_response_tell_the_same(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_output_tokens": 8, "input": "what falls?"}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    kinds = [one.type for one in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [one.sequence_number for one in events] == list(range(len(events)))
    deltas = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    last: Any = events[-1]
    assert deltas == whole.output_text == last.response.output_text


def test_a_generator_beside_it_paints(bundle: Path, tmp_path: Path) -> None:
    toy_generator().save(tmp_path / "painter")
    with (
        served([bundle, tmp_path / "painter"]) as both,
        openai.OpenAI(base_url=f"{both.url}v1", api_key="x", max_retries=0) as client,
    ):
        names = [one.id for one in client.models.list()]
        painter = next(name for name in names if name != "tiny")
        for model in (painter, None):
            asked: dict[str, Any] = {} if model is None else {"model": model}
            painted = client.images.generate(prompt="a cat", **asked)
            assert painted.data
            assert base64.b64decode(painted.data[0].b64_json or "").startswith(b"\x89PNG")
        with pytest.raises(openai.NotFoundError):
            client.images.generate(prompt="a cat", model="tiny")
