from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from reverie.generator import Generator
from reverie.server.http.settings import Limits

PATH = "/v1/images/generations"


def asked(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(PATH, json=fields)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def refused(client: TestClient, **fields: Any) -> tuple[int, str, str]:
    """(status, field, line) of a request that is refused."""
    answer = client.post(PATH, json=fields)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]
    return answer.status_code, error["param"], error["message"]


def test_a_picture_comes_with_its_caption_and_seed(
    client: TestClient, generator: Generator, opened: Callable[[str], Any]
) -> None:
    answer = asked(client, prompt="", seed=7)
    assert answer["created"] > 1_700_000_000
    assert (answer["size"], answer["output_format"], answer["model"]) == ("16x16", "png", "toy")
    (one,) = answer["data"]
    (sample,) = generator.sample([7])
    assert (one["seed"], one["caption"], one["revised_prompt"]) == (7, sample.caption, sample.caption)
    image = opened(one["b64_json"])
    np.testing.assert_array_equal(np.asarray(image), sample.picture)
    assert image.info["Source"] == "toy, seed 7"
    assert image.info["Description"] == sample.caption.replace("\0", "")  # of which PNG has none


def test_the_same_seed_gives_the_same_picture_alone_or_among_others(
    client: TestClient, opened: Callable[[str], Any]
) -> None:
    many = asked(client, prompt="a ship", seed=5, n=4)["data"]
    assert [one["seed"] for one in many] == [5, 6, 7, 8]
    assert len({one["b64_json"] for one in many}) == 4
    alone = asked(client, prompt="a ship", seed=7)["data"][0]
    assert alone == many[2]
    other = asked(client, prompt="two old men", seed=7)["data"][0]
    assert opened(other["b64_json"]).tobytes() != opened(alone["b64_json"]).tobytes()


def test_without_a_seed_one_is_drawn_and_told(client: TestClient) -> None:
    first, second = (asked(client, prompt="")["data"][0] for _ in range(2))
    assert first["seed"] != second["seed"]
    assert asked(client, prompt="", seed=first["seed"])["data"][0] == first


def test_sizes_and_formats_are_followed(client: TestClient, opened: Callable[[str], Any]) -> None:
    answer = asked(client, prompt="", seed=1, size="64x64", output_format="webp", output_compression=50)
    assert (answer["size"], answer["painted_size"], answer["output_format"]) == ("64x64", "16x16", "webp")
    image = opened(answer["data"][0]["b64_json"])
    assert (image.size, image.format) == ((64, 64), "WEBP")
    assert opened(asked(client, prompt="", output_format="jpeg")["data"][0]["b64_json"]).format == "JPEG"
    assert asked(client, prompt="", size="auto")["size"] == "16x16"


def test_temperature_guidance_and_prior_have_an_effect(client: TestClient, opened: Callable[[str], Any]) -> None:
    def pixels(**changed: Any) -> bytes:
        answer = asked(client, **({"prompt": "a ship", "seed": 3} | changed))
        found = opened(answer["data"][0]["b64_json"]).tobytes()
        assert isinstance(found, bytes)
        return found

    plain = pixels()
    assert pixels() == plain
    for changed in ({"temperature": 0.2}, {"guidance": 8}, {"prompt": "", "prior": "mixture"}):
        assert pixels(**changed) != plain


def test_what_other_programs_send_along_does_no_harm(client: TestClient) -> None:
    fields = {"quality": "high", "style": "vivid", "user": "u", "background": "auto", "moderation": "low", "n": None}
    assert asked(client, prompt="", response_format="b64_json", model="toy", stream=False, **fields)["data"]
    assert asked(client, prompt="", model="toy:latest")["data"]


@pytest.mark.parametrize(
    ("fields", "status", "param", "said"),
    [
        ({"response_format": "url"}, 400, "response_format", "ask for 'b64_json'"),
        ({"n": 0}, 400, "n", "between 1 and 100"),
        ({"n": 101}, 400, "n", "between 1 and 100"),
        ({"n": "2"}, 400, "n", "valid integer"),
        ({"n": True}, 400, "n", "valid integer"),
        ({"seed": -1}, 400, "seed", "between 0 and"),
        ({"seed": 2**53}, 400, "seed", "between 0 and"),
        ({"size": "16x32"}, 400, "size", "square"),
        ({"size": "large"}, 400, "size", "16x16"),
        ({"size": "4x4"}, 400, "size", "between 8 and 2,048"),
        ({"size": "99999x99999"}, 400, "size", "between 8 and 2,048"),
        ({"size": "2048x2048", "n": 50}, 400, "n", "pixels"),
        ({"output_format": "gif"}, 400, "output_format", "png, jpeg, webp"),
        ({"stream": True}, 400, "stream", "whole"),
        ({"temperature": "warm"}, 400, "temperature", "valid number"),
        ({"temperature": 50}, 400, "temperature", "between 0 and 10"),
        ({"guidance": -1.0}, 400, "guidance", "between 0 and 20"),
        ({"prior": "flaw"}, 400, "prior", "Known: flow, mixture, normal"),
        ({"prompt": "a ship", "prior": "mixture"}, 400, None, "follows no prompt"),
        ({"prompt": "x" * 2_001}, 400, "prompt", "2000 letters"),
        ({"prompt": 3}, 400, "prompt", "valid string"),
        ({"promt": "a ship"}, 400, "promt", "Did you mean 'prompt'?"),
        ({"model": "dall-e-3"}, 404, "model", "this server has 'toy'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    client: TestClient, fields: dict[str, Any], status: int, param: str | None, said: str
) -> None:
    answer = refused(client, **({"prompt": ""} | fields))
    assert answer[:2] == (status, param)
    assert said in answer[2]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b"null",
        b'"a"',
        b"[" * 100_000,
        b'{"seed":' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b'{"a":NaN}',
    ],
)
def test_a_body_that_is_no_json_object_is_one_line(client: TestClient, body: bytes) -> None:
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "Traceback" not in answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_odd_numbers_and_half_letters_are_refused(client: TestClient) -> None:
    for body, field in (
        (b'{"temperature": NaN}', "temperature"),
        (b'{"guidance": Infinity}', "guidance"),
        (b'{"temperature": 1e999}', "temperature"),
        (b'{"prompt": "\\ud800"}', "prompt"),
    ):
        answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_every_letter_that_is_one_may_stand_in_a_prompt(client: TestClient) -> None:
    for prompt in ("ein Schiff im Sturm – 嵐の中の船 🚢", "\0", "\x1b[31m", "<script>", "a" * 2_000):
        assert asked(client, prompt=prompt, seed=1)["prompt"] == prompt


def test_the_model_is_listed_with_its_figures(client: TestClient) -> None:
    (one,) = client.get("/v1/models").json()["data"]
    assert (one["id"], one["object"], one["owned_by"], one["created"]) == ("toy", "model", "reverie", 1_700_000_000)
    assert (one["size"], one["priors"], one["figures"]) == ("16x16", ["flow", "mixture", "normal"], {})
    assert client.get("/v1/models/toy").json() == one
    assert client.get("/v1/models/other").status_code == 404


def test_unknown_addresses_and_wrong_methods_are_told_in_the_apis_own_shape(client: TestClient) -> None:
    answer = client.get("/v1/image/generations")
    assert (answer.status_code, PATH in answer.json()["error"]["message"]) == (404, True)
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error"]["message"]) == (405, f"{PATH} takes POST, not GET")
    answer = client.delete("/api/tags", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (405, {"error": "/api/tags takes GET, not DELETE"})


def test_the_limits_are_the_servers(serve: Callable[..., TestClient]) -> None:
    client = serve(limits=Limits(max_count=2, max_pixels=600, max_letters=5))
    assert refused(client, n=3)[2] == "'n' lies between 1 and 2, got 3"
    assert refused(client, size="32x32")[1] == "size"
    assert refused(client, prompt="123456")[1] == "prompt"
    assert asked(client, n=2)["data"]


def test_the_clients_of_openai_read_it(client: TestClient) -> None:
    openai = pytest.importorskip("openai", reason="needs the extra 'preview'")
    remote = openai.OpenAI(base_url="http://localhost:7860/v1", api_key="none", http_client=client, max_retries=0)
    answer = remote.images.generate(prompt="a ship", model="toy", n=2, size="16x16", extra_body={"seed": 4})
    assert answer.data is not None
    assert [one.seed for one in answer.data] == [4, 5]
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    assert [model.id for model in remote.models.list()] == ["toy"]
    with pytest.raises(openai.BadRequestError, match="unknown parameter"):
        remote.images.generate(prompt="a ship", model="toy", extra_body={"sed": 4})
    with pytest.raises(openai.NotFoundError):
        remote.images.generate(prompt="a ship", model="gpt-image-1")
