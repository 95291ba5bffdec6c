"""What Reverie alone has below /v1/reverie, asked over HTTP of nano: answers, memory, experts, talks, jobs."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import reverie
from reverie.bundles import find_bundle
from reverie.dreaming.export_images import answer_to_json
from reverie.jsonio import jsonable
from reverie.talks import TalkLog

QUESTION = "What happens when you drop a glass?"


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/reverie/ask", json={"model": "nano", "question": QUESTION} | body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def events(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    sent = {"model": "nano", "question": QUESTION, "stream": True} | body
    with client.stream("POST", "/v1/reverie/ask", json=sent) as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


def waited(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    ends = time.monotonic() + 60
    while job["state"] == "running" and time.monotonic() < ends:
        time.sleep(0.05)
        job = client.get(f"/v1/reverie/jobs/{job['id']}").json()
    return job


def test_an_answer_is_what_a_session_says_with_its_pictures(client: TestClient) -> None:
    told = ask(client, branches=2, seed=3)
    session = reverie.load("nano", memory=False)
    alone = jsonable(answer_to_json(session.ask(QUESTION, branches=2, seed=3)))
    session.close()
    assert (told["answer"], told["known"], told["model"]) == (alone["answer"], True, "nano")
    parts = [[(part["what"]["text"], part["result"]["text"]) for part in dream["triplets"]] for dream in told["dreams"]]
    assert parts == [
        [(part["what"]["text"], part["result"]["text"]) for part in dream["triplets"]] for dream in alone["dreams"]
    ]
    head, _, picture = told["dreams"][0]["triplets"][0]["what"]["image"].partition(",")
    assert (head, base64.b64decode(picture)[:4]) == ("data:image/png;base64", b"\x89PNG")
    assert told["checks"]


def test_an_answer_comes_as_events_and_ends_with_the_whole(client: TestClient) -> None:
    *pieces, last = events(client, pictures=False)
    assert {piece["type"] for piece in pieces} == {"text"}
    assert "".join(piece["text"] for piece in pieces) == last["answer"] == ask(client)["answer"]
    assert last["dreams"][0]["triplets"][0]["what"]["image"] is None


def test_turns_are_kept_in_one_talk_and_judged(client: TestClient, log: TalkLog) -> None:
    first = ask(client)
    second = ask(client, question="Does an egg bounce?", talk=first["talk"], history=[{"question": "a", "answer": "b"}])
    assert second["talk"] == first["talk"]
    said = client.post("/v1/reverie/feedback", json={"turn": first["turn"], "feedback": "wrong", "correction": "no"})
    assert said.json() == {"turn": first["turn"], "feedback": "wrong"}
    assert [(turn.feedback, turn.correction) for turn in log.turns(first["talk"])] == [("wrong", "no"), (None, "")]
    told = client.get(f"/v1/reverie/talks/{first['talk']}").json()
    assert [turn["question"] for turn in told["turns"]] == [QUESTION, "Does an egg bounce?"]
    assert told["turns"][0]["details"]["dreams"][0]["triplets"][0]["what"]["image"] is None
    found = client.get("/v1/reverie/talks/search", params={"words": "egg bou"}).json()["turns"]
    assert [turn["id"] for turn in found] == [second["turn"]]
    client.request("DELETE", f"/v1/reverie/talks/{first['talk']}", json={})
    assert client.get(f"/v1/reverie/talks/{first['talk']}").status_code == 404
    assert ask(client, keep=False)["turn"] is None


def test_a_fact_is_kept_recalled_rested_on_and_forgotten(client: TestClient) -> None:
    row = {"model": "nano", "subject": "Alice", "relation": "AtLocation", "object": "Paris", "from": "2024"}
    fact = client.post("/v1/reverie/memory/facts", json=row).json()["fact"]
    assert (fact["subject"], fact["object"], fact["source"]) == ("Alice", "Paris", "user")
    asked = {"model": "nano", "question": "Where is Alice?"}
    assert [one["id"] for one in client.post("/v1/reverie/memory/recall", json=asked).json()["facts"]] == [fact["id"]]
    nodes = client.get("/v1/reverie/memory/nodes", params={"model": "nano", "name": "Alice"}).json()["nodes"]
    assert [one["name"] for one in nodes] == ["Alice"]
    assert client.get("/v1/reverie/memory", params={"model": "nano"}).json()["edges"] >= 1
    gone = client.request("DELETE", f"/v1/reverie/memory/facts/{fact['id']}", params={"model": "nano"}, json={})
    assert gone.json() == {"deleted": 1}
    assert client.post("/v1/reverie/memory/recall", json=asked).json()["facts"] == []


def test_a_document_is_read_replaced_and_forgotten(client: TestClient) -> None:
    def send(text: str) -> dict[str, Any]:
        body = {"model": "nano", "name": "../notes.md", "text": text}
        return waited(client, client.post("/v1/reverie/documents", json=body).json())

    first = send("# Boats\n\nThe ferry to Rhodes leaves at nine.")
    assert (first["state"], first["result"]["source"], first["result"]["new"]) == ("done", "sent:notes.md", 1)
    assert send("# Boats\n\nThe ferry to Rhodes leaves at ten.")["result"]["removed"] == 1
    asked = {"model": "nano", "question": "When does the ferry to Rhodes leave?"}
    texts = [node["text"] for node in client.post("/v1/reverie/memory/recall", json=asked).json()["nodes"]]
    assert any("at ten" in text for text in texts)
    assert not any("at nine" in text for text in texts)
    (one,) = client.get("/v1/reverie/documents", params={"model": "nano"}).json()["documents"]
    gone = client.request("DELETE", f"/v1/reverie/documents/{one['id']}", params={"model": "nano"}, json={})
    assert gone.json()["deleted_passages"] == 1
    assert client.get("/v1/reverie/jobs").json()["jobs"][-1]["state"] == "done"


def test_an_expert_is_added_while_it_runs_and_removed(client: TestClient) -> None:
    folder = find_bundle("nano") / "experts" / "causal"
    weights = base64.b64encode((folder / "adapter_model.safetensors").read_bytes()).decode()
    config = json.loads((folder / "adapter_config.json").read_text())
    body = {"model": "nano", "name": "mine", "config": config, "weights": weights, "trust_base": True}
    assert client.post("/v1/reverie/experts", json=body).json()["name"] == "mine"
    names = [one["name"] for one in client.get("/v1/reverie/experts", params={"model": "nano"}).json()["experts"]]
    assert "mine" in names
    assert "mine" in ask(client, experts=["mine"], explain=True)["attribution"]["experts"]
    assert client.request("DELETE", "/v1/reverie/experts/mine", params={"model": "nano"}, json={}).status_code == 200
    again = client.request("DELETE", "/v1/reverie/experts/mine", params={"model": "nano"}, json={})
    assert (again.status_code, "has no expert 'mine'" in again.text) == (404, True)


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("ask", {"model": "nan", "question": "x"}, 404, "nano"),
    ("ask", {"model": "nano", "question": ""}, 400, "question"),
    ("ask", {"model": "nano", "question": "x", "branches": 65}, 400, "branches"),
    ("ask", {"model": "nano", "question": "x", "branches": "4"}, 400, "branches"),
    ("ask", {"model": "nano", "question": "x", "stream": "true"}, 400, "stream"),
    ("ask", {"model": "nano", "question": "x", "quuestion": "y"}, 400, "unknown parameter: 'quuestion'"),
    ("ask", {"model": "nano", "question": "x", "image": "http://there/cat.png"}, 400, "this server fetches nothing"),
    ("ask", {"model": "nano", "question": "x", "image": "aGVsbG8="}, 400, "image"),
    ("ask", {"model": "nano", "question": "x", "experts": ["nobody"]}, 404, "nobody"),
    ("ask", {"model": "nano", "question": "x", "scene": {"a": 1}, "world": "Nowhere"}, 404, "Nowhere"),
    ("ask", {"model": "nano", "question": QUESTION, "talk": 999}, 400, "there is no talk 999"),
    ("memory/recall", {"model": "nano", "question": "x", "as_of": "soon"}, 400, "soon"),
    ("memory/facts", {"model": "nano", "subject": "a\0", "relation": "b", "object": "c"}, 400, "NUL"),
    ("documents", {"model": "nano", "name": "a.exe", "text": "x"}, 400, "ends with one of .txt"),
    ("documents", {"model": "nano", "name": "a.md"}, 400, "text or as data"),
    ("documents", {"model": "nano", "name": "a.pdf", "data": "%%"}, 400, "not base64"),
    ("experts", {"model": "nano", "name": "../x", "config": {}, "weights": ""}, 400, ""),
    ("experts", {"model": "nano", "name": "x", "config": {}, "weights": "gARLAS4="}, 400, ""),
    ("feedback", {"turn": 999, "feedback": "good"}, 404, "there is no turn 999"),
    ("feedback", {"turn": 1, "feedback": "fine"}, 400, "feedback"),
]


@pytest.mark.parametrize(("place", "body", "status", "told"), BAD)
def test_what_is_wrong_is_told_in_one_line(
    client: TestClient, place: str, body: dict[str, Any], status: int, told: str
) -> None:
    answer = client.post(f"/v1/reverie/{place}", json=body)
    said = answer.json()["error"]["message"]
    assert (answer.status_code, "\n" in said) == (status, False), answer.text
    assert told in said
    assert str(Path.home()) not in said


def test_a_document_that_cannot_be_read_fails_its_job(client: TestClient) -> None:
    body = {"model": "nano", "name": "odd.pdf", "data": base64.b64encode(b"%PDF-1.4 nothing").decode()}
    job = waited(client, client.post("/v1/reverie/documents", json=body).json())
    assert job["state"] == "failed"
    assert "odd.pdf" in job["error"]
    assert client.get("/v1/reverie/jobs/999").status_code == 404
