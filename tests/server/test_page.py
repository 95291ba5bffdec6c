from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

pytest.importorskip("gradio", reason="needs the extra 'serve'")

from reverie.generator import Generator
from reverie.server.app import make_app
from reverie.server.settings import Doors, Limits
from reverie.server.shelf import Shelf
from reverie.server.studio import Studio, Wish
from reverie.server.style import head_html, said_figures


@pytest.fixture
def page(generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from reverie.server.page import mount_page

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    studio = Studio(generator, Limits())
    app = make_app(studio, Doors(), lambda api: mount_page(api, studio, 100_000, tmp_path))
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


def test_a_download_of_many_holds_pictures_and_captions(generator: Generator) -> None:
    from reverie.server.page import _zip

    studio = Studio(generator, Limits())
    painted = studio.paint(Wish(7, 3, "a ship")).future.result(30)
    studio.worker.close()
    with zipfile.ZipFile(io.BytesIO(_zip(painted))) as packed:
        names = ["seed-000007.png", "seed-000008.png", "seed-000009.png"]
        assert packed.namelist() == [*names, "captions.jsonl"]
        records = [json.loads(line) for line in packed.read("captions.jsonl").decode().split("\n") if line]
    assert [record["file"] for record in records] == names
    assert {record["prompt"] for record in records} == {"a ship"}


def test_old_files_go_and_the_oldest_before_their_time_when_it_gets_full(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, most_bytes=250)
    paths = [Path(shelf.put("a.png", b"x" * 100)) for _ in range(3)]
    assert len({path.parent for path in paths}) == 3
    now = time.time()
    shelf.tidy(now)
    assert all(path.exists() for path in paths)  # too young to go
    shelf.tidy(now + 300)
    assert sum(path.exists() for path in paths) == 2
    shelf.tidy(now + 10_000)
    assert not any(path.exists() for path in paths)
    assert list(tmp_path.iterdir()) == []
