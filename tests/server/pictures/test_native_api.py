from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from reverie.generator import Generator
from reverie.server.http.settings import Limits


def posted(client: TestClient, path: str, **fields: Any) -> dict[str, Any]:
    answer = client.post(path, json=fields)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_a_picture_is_captioned_as_base64_or_as_a_data_uri(
    client: TestClient, generator: Generator, picture: str
) -> None:
    array = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    (caption,) = generator.caption([array])
    assert posted(client, "/v1/captions", image=picture)["data"] == [{"caption": caption}]
    assert posted(client, "/v1/captions", image=f"data:image/png;base64,{picture}")["data"] == [{"caption": caption}]
    folded = "\n".join(picture[at : at + 76] for at in range(0, len(picture), 76))
    assert posted(client, "/v1/captions", images=[picture, folded])["data"] == [{"caption": caption}] * 2


def test_a_temperature_draws_other_words_by_their_seed(client: TestClient, picture: str) -> None:
    drawn = [posted(client, "/v1/captions", image=picture, temperature=1.0, seed=seed)["data"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "send a picture as base64"),
        ({"image": ""}, "the picture is damaged"),
        ({"image": "https://x.example/a.png"}, "this server fetches nothing"),
        ({"image": "file:///etc/passwd"}, "this server fetches nothing"),
        ({"image": "/etc/passwd"}, "is not base64"),
        ({"image": "data:image/png,abc"}, "is not base64"),
        ({"image": "ä"}, "is not base64"),
        ({"image": base64.b64encode(b"no picture").decode()}, "'image': the picture is damaged"),
        ({"image": base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()}, "the picture is damaged"),
        ({"images": []}, "send a picture as base64"),
        ({"images": [3]}, "'images.0'"),
        ({"image": "eA==", "temperature": 11.0}, "'temperature' lies between"),
    ],
)
def test_what_is_no_picture_is_one_line(client: TestClient, fields: dict[str, Any], said: str) -> None:
    answer = client.post("/v1/captions", json=fields)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


def test_a_huge_picture_is_refused_by_its_header(serve: Callable[..., TestClient]) -> None:
    file = io.BytesIO()
    Image.new("1", (5_000, 5_000)).save(file, "PNG")
    client = serve(limits=Limits(max_pixels=1_000_000))
    answer = client.post("/v1/captions", json={"image": base64.b64encode(file.getvalue()).decode()})
    assert answer.status_code == 400
    assert "5,000 × 5,000 pixels" in answer.json()["error"]["message"]


def test_the_way_between_two_seeds_has_its_ends(client: TestClient, opened: Callable[[str], Any]) -> None:
    answer = posted(client, "/v1/interpolations", **{"from": 3, "to": 9}, steps=5)
    pictures = [np.asarray(opened(one["b64_json"])).astype(int) for one in answer["data"]]
    assert len(pictures) == 5
    for seed, end in ((3, pictures[0]), (9, pictures[-1])):
        alone = posted(client, "/v1/images/generations", prompt="", seed=seed)["data"][0]
        assert np.abs(np.asarray(opened(alone["b64_json"])).astype(int) - end).max() <= 2
    assert all(one["caption"] is not None for one in answer["data"])


def test_the_way_may_be_one_moving_picture(client: TestClient, opened: Callable[[str], Any]) -> None:
    answer = posted(client, "/v1/interpolations", **{"from": 3, "to": 9}, steps=4, output_format="gif", frame_ms=50)
    (one,) = answer["data"]
    image = opened(one["b64_json"])
    assert (image.format, image.n_frames, image.size) == ("GIF", 4, (16, 16))
    assert (len(one["captions"]), one["from"], one["to"]) == (4, 3, 9)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"from": 1}, "to"),
        ({"from": 1, "to": 2, "steps": 1}, "steps"),
        ({"from": 1, "to": 2, "steps": 101}, "steps"),
        ({"from": -1, "to": 2}, "seed"),
        ({"from": 1, "to": -2}, "to"),
        ({"from": 1, "to": 2, "output_format": "mp4"}, "output_format"),
        ({"from": 1, "to": 2, "output_format": "gif", "size": "64x64"}, "size"),
        ({"from": 1, "to": 2, "output_format": "gif", "frame_ms": 1}, "frame_ms"),
        ({"first": 1, "to": 2}, "from"),
    ],
)
def test_a_way_that_cannot_be_gone_is_one_line(client: TestClient, fields: dict[str, Any], param: str) -> None:
    answer = client.post("/v1/interpolations", json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_health_needs_nothing_and_tells_nothing(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
