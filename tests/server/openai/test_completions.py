"""Texts that go on, and texts that are scored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch
from transformers import AutoModelForCausalLM

from bases import quiet
from reverie.bundles import load_bundle
from reverie.dreaming import EngineSpeaker
from toy_serving import EXPERTS, Served


@pytest.fixture(scope="module")
def speaker(bundle: Path) -> EngineSpeaker:
    loaded = load_bundle(bundle)
    found = loaded.speaker(loaded.open())
    assert found is not None
    return found


def own_ids(speaker: EngineSpeaker, text: str) -> list[int]:
    return [token - speaker.first for token in speaker.ids(text)]


def test_a_prompt_is_text_texts_ids_or_lists_of_ids(client: openai.OpenAI, speaker: EngineSpeaker) -> None:
    texts = ["what falls", "the red ball"]
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "temperature": 0}
    alone = [client.completions.create(prompt=one, **asked).choices[0].text for one in texts]
    ids = [own_ids(speaker, one) for one in texts]
    assert client.completions.create(prompt=ids[0], **asked).choices[0].text == alone[0]
    for many in (texts, ids):
        told = client.completions.create(prompt=many, **asked)
        assert [(one.index, one.text) for one in told.choices] == list(enumerate(alone))
        assert told.usage is not None
        assert told.usage.prompt_tokens == sum(map(len, ids))
    two = client.completions.create(prompt=texts, n=2, **asked)
    assert [one.text for one in two.choices] == [alone[0], alone[0], alone[1], alone[1]]
    assert two.usage is not None
    assert two.usage.prompt_tokens == sum(map(len, ids))


def test_echo_with_logprobs_scores_a_text_as_the_base_itself_does(
    client: openai.OpenAI, speaker: EngineSpeaker, bundle: Path
) -> None:
    """What ``lm_eval``'s ``local-completions`` sends, read as it reads it; beside transformers on the base's folder."""
    with quiet():
        base = AutoModelForCausalLM.from_pretrained(bundle.parent / "tiny-base").eval()
    ids = [own_ids(speaker, text) for text in ("what happens when you drop an egg?", "the red ball falls ✓.")]
    told = client.completions.create(
        model="tiny", prompt=ids, temperature=0, max_tokens=1, logprobs=1, seed=1234, echo=True
    )
    for asked, choice in zip(ids, told.choices, strict=True):
        log_probs: Any = choice.logprobs
        lists = (log_probs.tokens, log_probs.token_logprobs, log_probs.top_logprobs, log_probs.text_offset)
        assert {len(one) for one in lists} == {len(asked) + 1}
        with torch.inference_mode():
            theirs = base(torch.tensor([asked])).logits[0].log_softmax(-1)
        wanted = theirs[:-1].gather(1, torch.tensor(asked[1:])[:, None])[:, 0]
        assert np.allclose(log_probs.token_logprobs[1:-1], wanted, atol=1e-4)
        greedy = [
            one == max(top.values()) for one, top in zip(log_probs.token_logprobs[1:], log_probs.top_logprobs[1:])
        ]
        assert greedy[:-1] == (theirs[:-1].argmax(-1) == torch.tensor(asked[1:])).tolist()
        assert log_probs.token_logprobs[0] is None
        assert all(len(top) <= 2 for top in log_probs.top_logprobs[1:])
        assert choice.text.startswith(speaker.words.decode(asked))


def test_a_text_is_read_and_nothing_is_drawn(client: openai.OpenAI) -> None:
    told = client.completions.create(model="tiny", prompt="what falls", max_tokens=0, echo=True, logprobs=2)
    assert told.choices[0].text == "what falls"
    assert told.usage is not None
    assert told.usage.completion_tokens == 0
    bare = client.completions.create(model="tiny", prompt="what falls", max_tokens=3, echo=True)
    assert bare.choices[0].text.startswith("what falls")
    assert bare.choices[0].logprobs is None


def test_experts_score_otherwise(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"prompt": "what falls off", "max_tokens": 0, "echo": True, "logprobs": 0}
    scores = [
        client.completions.create(model=name, **asked).choices[0].logprobs.token_logprobs  # type: ignore[union-attr]
        for name in ("tiny", "tiny:art", "tiny:art@0.5")
    ]
    assert scores[0] != scores[1] != scores[2]


def test_streams_are_what_the_whole_is(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "what ✓", "max_tokens": 30, "seed": 4, "temperature": 1.5}
    whole = client.completions.create(**asked, echo=True, logprobs=2).choices[0]
    chunks = [one.choices[0] for one in client.completions.create(**asked, echo=True, logprobs=2, stream=True)]
    assert "".join(one.text for one in chunks) == whole.text
    assert [one.finish_reason for one in chunks if one.finish_reason] == [whole.finish_reason]
    for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        parts = [entry for one in chunks for entry in getattr(one.logprobs, field, None) or []]
        assert parts == getattr(whole.logprobs, field)


def test_texts_never_end_within_a_character(client: openai.OpenAI) -> None:
    """The tiny base draws bytes, most of which are only parts of characters."""
    for seed in range(6):
        asked: dict[str, Any] = {"model": "tiny", "prompt": "é✓😀", "max_tokens": 60, "seed": seed, "temperature": 3.0}
        whole = client.completions.create(**asked).choices[0].text
        parts = [one.choices[0].text for one in client.completions.create(**asked, stream=True)]
        assert "".join(parts) == whole


def test_eight_experts_side_by_side_give_what_each_gives_alone(tiny: Served) -> None:
    names = ["tiny", *(f"tiny:{name}" for name in EXPERTS)]

    def ask(name: str) -> str:
        body = {"model": name, "prompt": "what falls off the table", "max_tokens": 40, "temperature": 0.8, "seed": 7}
        return str(tiny.post("/v1/completions", **body).json()["choices"][0]["text"])

    alone = [ask(name) for name in names]
    assert len(set(alone)) == len(names)
    with ThreadPoolExecutor(len(names)) as threads:
        for _ in range(2):
            assert list(threads.map(ask, names)) == alone


@pytest.mark.parametrize(
    ("field", "value"), [("suffix", "the end"), ("best_of", 3), ("logit_bias", {"5": 1.0}), ("n", 99)]
)
def test_what_is_not_offered_is_refused_by_name(tiny: Served, field: str, value: Any) -> None:
    told = tiny.post("/v1/completions", model="tiny", prompt="x", **{field: value})
    assert told.status_code == 400
    assert told.json()["error"]["param"] == field
