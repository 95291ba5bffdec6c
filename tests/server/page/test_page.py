"""The page in a real browser: a talk with its dreams, refusals with their checks, memory, experts; on a phone, by
keyboard alone, and with nothing asked from elsewhere."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from reverie.generator import toy_generator  # noqa: E402
from reverie.server.hosting import HostingConfig  # noqa: E402
from reverie.server.serving import ServeConfig, prepared_serving  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--no-sandbox --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server of nano listens."""
    folder = tmp_path_factory.mktemp("served")
    toy_generator().save(folder / "toy")
    hosting = HostingConfig(memory=str(folder / "memory.db"), library=folder / "experts")
    settings = ServeConfig(port=0, hosting=hosting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_HOME", str(folder))
        ready = threading.Event()
        with prepared_serving(["nano", str(folder / "toy")], settings) as (server, listener, _):
            server.when_ready = ready.set
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            assert ready.wait(60)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page of its own, which must not complain, nor ask anybody else."""
    requests, complaints = list[str](), list[str]()
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.get_by_label("Model").get_by_role("option").first.wait_for(state="attached")
    yield page
    context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


def ask(page: Any, question: str, nth: int = 0) -> Any:
    """The card of the answer."""
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    card = page.locator(".answer").nth(nth)
    card.locator(".meter").wait_for()
    return card


def test_an_answer_shows_its_dreams_and_what_it_rests_on(page: Any) -> None:
    card = ask(page, "What happens when you drop a glass?")
    assert card.locator(".text").inner_text() == "The glass falls and breaks."
    assert re.search(r"known, \d+ % sure", card.inner_text())
    winner = card.locator(".dream.won")
    assert winner.locator("img").count() == 3
    assert winner.locator("img").first.get_attribute("alt") == "a hand holds a glass over the floor"
    assert winner.locator("img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)")
    card.get_by_text("3 more").click()
    assert card.locator(".dream").nth(3).is_visible()
    card.get_by_text(re.compile(r"Rests on")).click()
    assert "Causes" in card.inner_text()


def test_what_is_not_known_says_which_check_failed(page: Any) -> None:
    card = ask(page, "What happens when you drop a cat?")
    assert "unknown" in card.get_attribute("class")
    assert card.locator(".checks .no").first.is_visible()
    assert "cat" in card.locator(".checks .no").first.inner_text()


def test_a_talk_is_judged_found_again_and_deleted(page: Any) -> None:
    card = ask(page, "Does a rubber ball bounce?")
    card.get_by_role("button", name="Wrong").click()
    card.get_by_label("What it should have been").fill("it depends")
    page.keyboard.press("Enter")
    card.get_by_text("Kept, to learn from.").wait_for()
    page.get_by_role("button", name="New talk").click()
    assert page.locator(".answer").count() == 0
    page.get_by_label("Search talks").fill("rubber bal")
    page.locator("#talks").get_by_role("button", name="Does a rubber ball bounce?", exact=True).click()
    page.locator(".answer .dream").first.wait_for()
    page.get_by_role("button", name="Delete: Does a rubber ball bounce?").click()
    page.locator("#talks li").wait_for(state="detached")


def test_facts_and_documents_are_kept_and_forgotten(page: Any) -> None:
    page.get_by_role("tab", name="Memory").click()
    for label, words in (("Subject", "Bob"), ("Relation", "AtLocation"), ("Object", "<b>Oslo</b>")):
        page.locator("#add-fact").get_by_label(label).fill(words)
    page.locator("#add-fact").get_by_role("button").click()
    page.locator("#recalled").get_by_text("Bob — AtLocation → <b>Oslo</b>").wait_for()
    page.get_by_role("button", name="Forget: Bob").click()
    page.get_by_text("The memory has nothing to say about this.").wait_for()
    file = {
        "name": "boats.md",
        "mimeType": "text/markdown",
        "buffer": b"# Boats\n\nThe ferry to Rhodes leaves at nine.",
    }
    page.locator("#document").set_input_files(file)
    page.locator("#documents").get_by_text("Boats").wait_for()
    page.get_by_label("What to recall").fill("When does the ferry to Rhodes leave?")
    page.keyboard.press("Enter")
    page.locator("#recalled").get_by_text("leaves at nine").first.wait_for()
    page.get_by_role("button", name="Forget Boats").click()
    page.locator("#documents li").wait_for(state="detached")


def test_tabs_are_moved_by_arrows_and_experts_listed(page: Any) -> None:
    page.get_by_role("tab", name="Talk").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Experts").get_attribute("aria-selected") == "true"
    page.locator("#expert-list").get_by_text("causal", exact=True).wait_for()
    assert page.get_by_role("tabpanel", name="Talk").count() == 0


def test_pictures_are_generated_from_seeds(page: Any) -> None:
    page.get_by_role("tab", name="Pictures").click()
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Generate").click()
    page.locator("#generated img").nth(1).wait_for()
    assert page.locator("#generated img").count() == 2


def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    ask(page, "What happens when you drop a glass?")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea")].filter((one) =>
            !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
            .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.scrollWidth <= 360")
    for tab in ("Memory", "Experts", "Pictures"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth <= 360")


def test_an_answer_that_fails_is_told_where_it_was_asked(page: Any, browser: Any) -> None:
    page.route("**/v1/reverie/ask", lambda route: route.fulfill(
        status=200, headers={"Content-Type": "text/event-stream"}, body='data: {"type":"text","text":"The gl"}\n\n'
    ))  # fmt: skip
    page.get_by_label("Your question").fill("What happens when you drop a glass?")
    page.keyboard.press("Enter")
    page.locator(".answer.failed").wait_for()
    assert page.locator(".answer.failed").inner_text() == "The gl the answer was cut off"
    assert page.get_by_role("button", name="Ask", exact=True).is_enabled()


def test_the_page_serves_its_own_files_alone(page: Any, address: str) -> None:
    for name, status in (("app.js", 200), ("style.css", 200), ("page.py", 404), ("..%2Fpage.py", 404), ("x.js", 404)):
        assert page.request.get(f"{address}/page/{name}").status == status
    policy = page.request.get(address).headers["content-security-policy"]
    assert "unsafe" not in policy
