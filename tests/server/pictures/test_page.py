from __future__ import annotations

import asyncio
import io
import json
import re
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

pytest.importorskip("gradio", reason="needs the extra 'serve'")

from reverie.generator import Generator
from reverie.server.http.app import make_app
from reverie.server.http.errors import RequestError
from reverie.server.http.settings import AccessPolicy, Limits
from reverie.server.pictures.page_client import Client
from reverie.server.pictures.routes import picture_routes
from reverie.server.pictures.service import GenerationService
from reverie.server.pictures.style import head_html, said_figures
from reverie.server.pictures.temp_files import TempFiles

T = TypeVar("T")


@pytest.fixture
def page(generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from reverie.server.pictures.page import page_beside

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    service = GenerationService(generator, Limits())
    beside = page_beside(100_000, tmp_path)
    app = make_app(picture_routes(service), service.worker, AccessPolicy(), service.limits, beside)
    with TestClient(app.asgi, base_url="http://localhost:7860") as client:
        yield client
        app.stop()


def test_the_page_and_the_endpoints_stand_side_by_side(page: TestClient) -> None:
    answer = page.get("/")
    assert (answer.status_code, "toy · Reverie" in answer.text) == (200, True)
    assert page.get("/v1/models").json()["data"][0]["id"] == "toy"
    assert page.get("/healthz").json() == {"status": "ok"}
    assert page.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert page.get("/api/nothing").json()["error"].startswith("nothing is at")


def test_the_page_loads_nothing_from_elsewhere(page: TestClient) -> None:
    text = page.get("/").text + page.get("/theme.css").text
    loaded = re.findall(
        r"""(?:src|href)=["'](https?:[^"']+)|url\(["']?(https?:[^"')]+)|@import ["'](https?:[^"']+)""", text
    )
    assert loaded == []
    config = page.get("/config").json()
    assert config["analytics_enabled"] is False


def test_files_beside_the_pages_own_are_not_served(page: TestClient, tmp_path: Path) -> None:
    outside = Path(__file__)
    for path in (f"/gradio_api/file={outside}", "/gradio_api/file=/etc/passwd", "/gradio_api/file=pyproject.toml"):
        assert page.get(path).status_code in (403, 404)
    assert page.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 10)}).status_code == 200
    assert page.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 200_000)}).status_code == 413


def test_programs_cannot_call_the_pages_functions_by_name(page: TestClient) -> None:
    assert page.get("/gradio_api/info").json()["named_endpoints"] == {}
    assert page.post("/gradio_api/call/paint", json={"data": [1, "", 2, 1]}).status_code == 404


def test_the_head_says_the_name_and_the_figures_of_the_card() -> None:
    card = {"figures": {"steps": 12_345, "kid": 0.01234, "ok": True, "by": {}, "psnr": 17.25}}
    assert said_figures(card) == [("KID", "0.0123"), ("reconstruction PSNR", "17.2")]
    assert said_figures({"figures": {"steps_done": 12_345, "ok": True}}) == [("steps done", "12,345")]
    text = head_html("<b>", 64, card | {"description": "From 990 <engravings>.", "pictures": 1_891})
    assert "Learned from 1,891 pictures." in text
    assert "<h1>&lt;b&gt;</h1>" in text
    assert "From 990 &lt;engravings&gt;." in text
    assert "0.0123" in text
    assert "64 × 64" in head_html("x", 64, {})
    assert said_figures({"figures": None}) == []


def asked(client: Client, work: Callable[[Client], Awaitable[T]]) -> T:
    async def asking() -> T:
        return await work(client)

    return asyncio.run(asking())


@pytest.fixture
def api(serve: Callable[..., TestClient]) -> Client:
    """What the page asks, in process."""
    guard: Any = serve().app
    return Client(guard.app)


def test_a_download_of_many_holds_pictures_and_captions(api: Client) -> None:
    from reverie.server.pictures.page import _zip

    painted = [asked(api, lambda api, seed=seed: api.paint(seed, "a ship", 2.0, 1.0)) for seed in (7, 8, 9)]  # type: ignore[misc]
    with zipfile.ZipFile(io.BytesIO(_zip(painted, "a ship"))) as packed:
        names = ["seed-000007.png", "seed-000008.png", "seed-000009.png"]
        assert packed.namelist() == [*names, "captions.jsonl"]
        records = [json.loads(line) for line in packed.read("captions.jsonl").decode().split("\n") if line]
    assert [record["file"] for record in records] == names
    assert {record["prompt"] for record in records} == {"a ship"}


def test_the_page_gets_what_the_generator_makes_by_http_alone(api: Client, generator: Generator) -> None:
    served = asked(api, lambda api: api.served())
    assert (served.name, served.side, served.hears, served.limits["count"]) == ("toy", 16, True, 100)
    one = asked(api, lambda api: api.paint(42, " a ship ", 2.0, 1.0))
    (sample,) = generator.sample([42], prompt="a ship")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(one.data))), sample.picture)
    assert (one.seed, one.caption) == (42, sample.caption)
    walk = asked(api, lambda api: api.walk(3, 9, 4, 1.0))
    assert [step.caption for step in walk] == [one.caption for one in generator.interpolate(3, 9, 4)]
    assert asked(api, lambda api: api.describe(one.data)) == generator.caption([sample.picture])[0]
    with pytest.raises(RequestError, match="'seed' lies between 0 and"):
        asked(api, lambda api: api.paint(-1, "", 2.0, 1.0))
    with pytest.raises(RequestError, match="the picture is damaged"):
        asked(api, lambda api: api.describe(b"no picture"))


@pytest.mark.parametrize("given", [None, 1.5])
def test_a_seed_that_is_no_whole_number_is_refused_in_one_line(given: float | None) -> None:
    import gradio

    from reverie.server.pictures.page import _seed, _whole

    with pytest.raises(gradio.Error, match="Seed: give a whole number") as error:
        _whole(_seed("Seed", 7, "seed").preprocess(given), "Seed")
    assert error.value.print_exception is False
    assert _whole(_seed("Seed", 7, "seed").preprocess(-1), "Seed") == -1  # which the API refuses


def test_old_files_go_and_the_oldest_before_their_time_when_it_gets_full(tmp_path: Path) -> None:
    files = TempFiles(tmp_path, most_bytes=250)
    paths = [Path(files.put("a.png", b"x" * 100)) for _ in range(3)]
    assert len({path.parent for path in paths}) == 3
    now = time.time()
    files.tidy(now)
    assert all(path.exists() for path in paths)  # too young to go
    files.tidy(now + 300)
    assert sum(path.exists() for path in paths) == 2
    files.tidy(now + 10_000)
    assert not any(path.exists() for path in paths)
    assert list(tmp_path.iterdir()) == []
