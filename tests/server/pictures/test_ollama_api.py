from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from reverie.generator import Generator

PATH = "/api/generate"


def lines(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    answer = client.post(PATH, json=fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_prompt_streams_its_progress_and_then_the_picture(
    client: TestClient, generator: Generator, opened: Callable[[str], Any]
) -> None:
    *progress, last = lines(client, model="toy", prompt="a ship", options={"seed": 3})
    assert progress
    for line in progress:
        assert (line["done"], line["total"], line["response"], line["model"]) == (False, 1, "", "toy")
    (sample,) = generator.sample([3], prompt="a ship")
    np.testing.assert_array_equal(np.asarray(opened(last["image"])), sample.picture)
    assert (last["done"], last["done_reason"], last["response"]) == (True, "stop", sample.caption)
    assert last["total_duration"] > 0
    assert last["created_at"].endswith("Z")


def test_without_streaming_the_answer_is_one_object(client: TestClient, opened: Callable[[str], Any]) -> None:
    fields = {"model": "toy", "prompt": "a ship", "stream": False, "options": {"seed": 3, "num_predict": 5}, "steps": 9}
    answer = client.post(PATH, json=fields)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["image"] == lines(client, prompt="a ship", options={"seed": 3})[-1]["image"]
    large = client.post(PATH, json=fields | {"width": 48, "height": 48}).json()
    assert opened(large["image"]).size == (48, 48)


def test_a_seed_below_zero_is_a_random_one(client: TestClient) -> None:
    seeds = {lines(client, prompt="a", options={"seed": -1})[-1]["seed"] for _ in range(2)}
    assert len(seeds) == 2
    assert min(seeds) >= 0


def test_posted_pictures_are_captioned(client: TestClient, generator: Generator, picture: str) -> None:
    fields = {"model": "toy", "prompt": "What is in this picture?", "images": [picture, picture], "stream": False}
    answer = client.post(PATH, json=fields).json()
    assert answer["response"] == "\n".join(answer["captions"])
    assert "image" not in answer
    assert len(answer["captions"]) == 2
    assert lines(client, images=[picture])[-1]["captions"] == answer["captions"][:1]


def test_a_request_without_a_prompt_asks_whether_the_model_is_ready(client: TestClient) -> None:
    answer = client.post(PATH, json={"model": "toy"}).json()
    assert (answer["done"], answer["done_reason"]) == (True, "load")


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"model": "llava"}, 404, "model 'llava' not found; this server has 'toy'"),
        ({"width": 48, "height": 32}, 400, "square"),
        ({"options": {"seed": "x"}}, 400, "'options.seed'"),
        ({"options": {"temperature": 99.0}}, 400, "'temperature' lies between"),
        ({"images": ["no!"], "stream": False}, 400, "'images' is not base64"),
        ({"images": [3]}, 400, "'images.0'"),
        ({"prompt": "x" * 3_000}, 400, "2000 letters"),
    ],
)
def test_errors_have_ollamas_shape(client: TestClient, fields: dict[str, Any], status: int, said: str) -> None:
    answer = client.post(PATH, json={"prompt": "a ship"} | fields)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


def test_an_error_after_the_stream_began_is_its_last_line(client: TestClient) -> None:
    last = lines(client, images=["bm8gcGljdHVyZQ=="])[-1]
    assert list(last) == ["error"]
    assert "the picture is damaged" in last["error"]


def test_the_model_and_a_version_are_listed(client: TestClient) -> None:
    (one,) = client.get("/api/tags").json()["models"]
    assert (one["name"], one["size"], one["digest"]) == ("toy:latest", 200_000, "ab" * 32)
    assert one["capabilities"] == ["image", "vision"]
    assert one["details"]["quantization_level"] == "BF16"
    assert client.get("/api/version").json()["version"]
