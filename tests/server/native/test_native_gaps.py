"""Gaps over HTTP: what nano did not know is noted, told apart, shown and dismissed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from reverie.memory.attempts import Attempt, GapLog
from reverie.paths import default_memory, packaged_bundles
from reverie.server.hosting import HostingConfig
from reverie.server.serving import ServeConfig, make_serving

STRANGE = "Who wrote the anthem of Velmora?"
QUESTIONS = [f"What happens if you {do} the {thing}?" for do in ("zork", "blip", "quell") for thing in ("grue", "yeti")]


@pytest.fixture
def gaps(client: TestClient) -> list[dict[str, Any]]:
    told = client.get("/v1/reverie/gaps", params={"model": "nano"})
    assert told.status_code == 200, told.text
    found: list[dict[str, Any]] = told.json()["gaps"]
    return found


@pytest.fixture
def address(log_and_client: tuple[Any, TestClient]) -> Iterator[str]:
    address = str(Path(log_and_client[0].path).parent / "memory.db")
    with GapLog(address) as log:
        for question in QUESTIONS * 2:
            log.add(Attempt(question, "It floats.", "nano", "wrong", 0.2))
    yield address
    with GapLog(address) as log:
        log.settle([one.id for one in log.all()], "dismissed")


def noted(address: str) -> list[tuple[str, str, str]]:
    with GapLog(address) as log:
        return [(one.question, one.why, one.correction) for one in log.all() if one.question not in QUESTIONS]


def test_what_was_not_known_or_is_called_wrong_is_noted(client: TestClient, address: str) -> None:
    asked = {"model": "nano", "question": STRANGE, "pictures": False}
    first = client.post("/v1/reverie/ask", json=asked).json()
    assert not first["known"]
    chat = {"model": "nano", "messages": [{"role": "user", "content": STRANGE}]}
    assert client.post("/v1/chat/completions", json=chat).status_code == 200
    said = {"turn": first["turn"], "feedback": "wrong", "correction": "Ada Brel"}
    client.post("/v1/reverie/feedback", json=said)
    client.post("/v1/reverie/feedback", json=said | {"feedback": "good", "correction": ""})
    assert noted(address) == [(STRANGE, "unknown", ""), (STRANGE, "unknown", ""), (STRANGE, "wrong", "Ada Brel")]


def test_gaps_are_told_shown_and_dismissed(address: str, client: TestClient, gaps: list[dict[str, Any]]) -> None:
    gap = gaps[0]
    assert gap["count"] >= 5
    assert len(gap["questions"]) <= 3
    shown = client.get(f"/v1/reverie/gaps/{gap['id']}", params={"model": "nano"}).json()
    assert [one["answer"] for one in shown["attempts"]] == ["It floats."] * gap["count"]
    gone = client.request("DELETE", f"/v1/reverie/gaps/{gap['name']}", params={"model": "nano"}, json={})
    assert gone.json() == {"dismissed": gap["id"], "questions": gap["count"]}
    left = client.get("/v1/reverie/gaps", params={"model": "nano"}).json()["gaps"]
    assert gap["id"] not in [one["id"] for one in left]


@pytest.mark.parametrize(
    ("verb", "place", "model", "told"),
    [
        ("GET", "gaps", "nan", "nano"),
        ("GET", "gaps/g999", "nano", "there is no gap 'g999'"),
        ("DELETE", "gaps/g999", "nano", "there is no gap 'g999'"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    client: TestClient, verb: str, place: str, model: str, told: str
) -> None:
    answer = client.request(verb, f"/v1/reverie/{place}", params={"model": model}, json={})
    assert answer.status_code == 404
    said = answer.json()["error"]["message"]
    assert told in said
    assert "\n" not in said


def test_a_server_without_a_memory_tells_nothing_of_the_users_own(tmp_path: Path) -> None:
    with GapLog(default_memory()) as log:
        for question in QUESTIONS * 2:
            log.add(Attempt(question, "It floats.", "nano", "wrong"))
    app = make_serving(packaged_bundles, {}, ServeConfig(hosting=HostingConfig(library=tmp_path)))
    with TestClient(app.asgi, base_url="http://127.0.0.1") as client:
        assert client.get("/v1/reverie/gaps", params={"model": "nano"}).json() == {"gaps": [], "alone": 0}
