"""Who dreams before it answers, asked in a chat: nano by itself, and joined with a base that talks."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.server.hosting import HostingConfig
from reverie.worlds import make_world
from toy_serving import Served, served, toy_bundle

DROPPED = "What happens when you drop a glass?"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def dreamer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    tiny = toy_bundle(tmp_path_factory.mktemp("dreams"))
    with served(["nano", tiny], HostingConfig(weights="fp32")) as one:
        yield one


def talk(*said: str) -> list[dict[str, Any]]:
    return [{"role": "assistant" if place % 2 else "user", "content": one} for place, one in enumerate(said)]


def test_what_it_dreams_is_what_it_answers(dreamer: Served) -> None:
    told = dreamer.post(CHAT, model="nano", messages=talk(DROPPED), seed=3).json()
    with closing(reverie.load("nano", enable_gpt51_codex_preview=False)) as session:
        own = session.chat(DROPPED, seed=3)
    assert told["choices"][0]["message"]["content"] == own.text
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["reverie"]["known"] == own.known
    assert told["reverie"]["confidence"] == pytest.approx(own.confidence)
    assert told["reverie"]["dreams"] == 4


def test_it_streams_in_the_same_shape(dreamer: Served) -> None:
    answer = dreamer.post(CHAT, model="nano:causal", messages=talk("hello", "hi", DROPPED), stream=True, dreams=2)
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_base_joined_to_it_says_the_rest(dreamer: Served) -> None:
    ours = dreamer.post(CHAT, model="nano+tiny", messages=talk(DROPPED)).json()
    alone = dreamer.post(CHAT, model="nano", messages=talk(DROPPED)).json()
    assert ours["choices"][0]["message"]["content"] == alone["choices"][0]["message"]["content"]
    rest = dreamer.post(CHAT, model="nano+tiny", messages=talk("Who was Napoleon?"), max_tokens=5)
    assert rest.status_code == 200
    assert dreamer.post(CHAT, model="tiny+nano", messages=talk("Who?")).status_code == 400


def test_a_base_that_talks_dreams_where_it_is_asked_to(dreamer: Served) -> None:
    told = dreamer.post(CHAT, model="tiny", messages=talk(DROPPED), dreams=0, max_tokens=8).json()
    assert "known" in told["reverie"]
    assert "known" not in dreamer.post(CHAT, model="tiny", messages=talk(DROPPED), max_tokens=8).json()["reverie"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/completions", {"prompt": "x"}, "ask it in a chat"),
        (CHAT, {"messages": talk(DROPPED), "logprobs": True}, "log-probabilities"),
        (CHAT, {"messages": talk(DROPPED, "it breaks")}, "the user's"),
        (CHAT, {"messages": talk("word " * 30_000)}, "150000 characters"),
        (CHAT, {"messages": talk("  ")}, "empty"),
    ],
)
def test_what_cannot_be_asked_of_it_is_told(dreamer: Served, path: str, body: dict[str, Any], words: str) -> None:
    told = dreamer.post(path, model="nano", **body)
    assert told.status_code == 400
    assert words in told.json()["error"]["message"]


def shown(data: bytes | str) -> list[dict[str, Any]]:
    url = data if isinstance(data, str) else f"data:image/png;base64,{base64.b64encode(data).decode()}"
    parts = [{"type": "text", "text": "What happens next?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def picture(size: tuple[int, int], mode: str = "RGB", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form)
    return file.getvalue()


def test_a_picture_is_looked_at(dreamer: Served) -> None:
    world = make_world("Everyday")
    world.reset(seed=1)
    scene = np.asarray(world.render(), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(scene).save(file, "PNG")
    told = dreamer.post(CHAT, model="nano", messages=shown(file.getvalue()))
    assert told.status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        picture((1, 1)),
        picture((64, 64), "CMYK", "JPEG"),
        picture((64, 64))[:-20],
        picture((64, 64))[:30],
        picture((30_000, 30_000), "1"),
        b"",
        b"GIF89a" + b"\0" * 100,
        "data:image/png;base64,@@@@",
        "data:,x",
        "data:image/png,AAAA",
    ],
    ids=["1x1", "cmyk", "cut", "head", "bomb", "empty", "gif", "letters", "plain", "unpacked"],
)
def test_odd_pictures_are_answered_or_refused_and_break_nothing(dreamer: Served, data: Any) -> None:
    told = dreamer.post(CHAT, model="nano", messages=shown(data))
    assert told.status_code in (200, 400), told.text
    if told.status_code == 400:
        assert "/tmp" not in told.text
    assert dreamer.post(CHAT, model="nano", messages=talk(DROPPED)).status_code == 200


def test_a_template_that_raises_is_told_of(tmp_path: Path) -> None:
    from bases import save_base
    from reverie.bundles.init import InitConfig, init_bundle

    base = save_base(tmp_path / "base", chat=True)
    (base / "chat_template.jinja").write_text("{{ raise_exception('only one turn, please') }}")
    odd = init_bundle(base, tmp_path / "odd", InitConfig(dtype="fp32", name="odd"))
    with served([odd]) as server:
        told = server.post(CHAT, model="odd", messages=talk("what?"))
        assert told.status_code == 400
        assert "chat template does not take this talk" in told.json()["error"]["message"]
