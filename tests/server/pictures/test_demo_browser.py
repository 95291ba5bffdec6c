"""The demo as people use it: a real server, a real browser."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs the extra 'serve'")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

from reverie.generator import Generator  # noqa: E402
from reverie.server.pictures.demo import DemoConfig, prepared_demo  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
WAIT_MS = 30_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def address(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with the toy listens."""
    bundle = generator.save(tmp_path_factory.mktemp("bundle") / "toy")
    ready = threading.Event()
    with prepared_demo(bundle, DemoConfig(port=0, token="a-long-secret")) as (server, listener):
        server.when_ready = ready.set
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert ready.wait(60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()  # though a browser may still hold a stream open


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield started
        started.close()


@pytest.fixture(scope="module")
def visited(browser: Any, address: str) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A signed-in page, what it asked for, and what its console had to complain of."""
    requests, complaints = list[str](), list[str]()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT_MS)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.get_by_label("This server asks for a token.").fill("a-long-secret")
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#picture img")
    yield page, requests, complaints
    page.close()


@pytest.fixture
def page(visited: tuple[Any, list[str], list[str]]) -> Any:
    return visited[0]


def painted(page: Any, seed: int) -> tuple[bytes, str]:
    """The picture and the caption that a seed and a press of the button bring."""
    page.get_by_role("tab", name="One").click()
    page.get_by_label("Seed", exact=True).fill(str(seed))
    before = page.locator("#picture img").get_attribute("src")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_selector(f"#picture img[src$='seed-{seed:06d}.png']:not([src='{before}'])")
    caption = page.locator("#caption textarea").input_value()
    assert page.locator("#picture img").get_attribute("alt") in (caption, f"The picture of seed {seed}")
    answer = page.request.get(page.locator("#picture img").get_attribute("src"))
    return answer.body(), caption


def test_a_seed_and_a_press_bring_its_picture_and_caption(page: Any, generator: Generator) -> None:
    data, caption = painted(page, 42)
    (sample,) = generator.sample([42])
    assert caption == sample.caption
    picture = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(picture - sample.picture).max() <= 8  # the bundle keeps bf16
    other, _ = painted(page, 43)
    assert other != data
    again, said = painted(page, 42)
    assert (again, said) == (data, caption)


def test_the_random_button_draws_another_seed(page: Any) -> None:
    painted(page, 42)
    page.get_by_role("button", name="Random seed").first.click()
    page.wait_for_function("!document.querySelector('#picture img').src.endsWith('seed-000042.png')")
    seed = int(page.get_by_label("Seed", exact=True).input_value())
    assert page.locator("#picture img").get_attribute("src").endswith(f"seed-{seed:06d}.png")


def test_a_prompt_changes_the_picture(page: Any) -> None:
    plain, _ = painted(page, 42)
    page.locator("#prompt textarea, #prompt input").first.fill("a castle on a hill")
    prompted, _ = painted(page, 42)
    page.locator("#prompt textarea, #prompt input").first.fill("")
    assert prompted != plain


def test_many_seeds_bring_a_gallery(page: Any) -> None:
    page.get_by_role("tab", name="Many").click()
    page.get_by_label("First seed").fill("42")
    page.locator("#count input[type=number]").fill("3")
    page.get_by_role("button", name="Generate all").click()
    page.wait_for_selector("#gallery img[src$='seed-000044.png']")
    images = page.locator("#gallery .grid-container img")
    assert images.count() == 3
    assert [images.nth(at).get_attribute("alt").split(":")[0] for at in range(3)] == ["Seed 42", "Seed 43", "Seed 44"]
    first = page.request.get(images.first.get_attribute("src")).body()
    assert first == painted(page, 42)[0]
    page.get_by_role("tab", name="Many").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "seeds-42-44.zip"


def test_the_way_between_two_seeds_moves(page: Any) -> None:
    page.get_by_role("tab", name="Between").click()
    page.get_by_label("From seed").fill("3")
    page.get_by_label("To seed").fill("9")
    page.locator("#steps input[type=number]").fill("4")
    page.get_by_role("button", name="Walk").click()
    page.wait_for_selector("#way img[src$='step-003.png']")
    assert page.locator("#way .grid-container img").count() == 4
    moving = Image.open(io.BytesIO(page.request.get(page.locator("#moving img").get_attribute("src")).body()))
    assert (moving.format, moving.n_frames) == ("GIF", 6)  # there and back


def test_a_picture_that_is_dropped_in_is_described(page: Any, generator: Generator, tmp_path: Path) -> None:
    (sample,) = generator.sample([42])
    Image.fromarray(sample.picture).save(tmp_path / "mine.png")
    page.get_by_role("tab", name="Describe").click()
    page.locator("#posted input[type=file]").set_input_files(tmp_path / "mine.png")
    page.wait_for_function("document.querySelector('#described textarea').value.length > 0")
    assert page.locator("#described textarea").input_value() == generator.caption([sample.picture])[0]


def test_what_is_no_picture_is_said_in_one_line(page: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.get_by_role("tab", name="Describe").click()
    page.locator("#posted button[aria-label='Clear'], #posted button[aria-label='Remove Image']").first.click()
    page.locator("#posted input[type=file]").set_input_files(tmp_path / "bad.png")
    page.get_by_text("the picture is damaged").wait_for()


def test_a_narrow_window_holds_everything(page: Any) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    for tab in ("One", "Many", "Between", "Describe"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.set_viewport_size({"width": 1280, "height": 900})


def test_no_other_host_was_asked_and_nothing_was_complained_of(
    visited: tuple[Any, list[str], list[str]], address: str
) -> None:
    _, requests, complaints = visited
    hosts = {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(address).netloc}
    assert complaints == []
