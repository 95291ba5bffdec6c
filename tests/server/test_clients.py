"""What is replayed of clients, against our server, and against servers that are not as they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from reverie.cli import main
from reverie.errors import ReverieError, UsageError
from reverie.server.clients import check_clients
from toy_servers import _Handler, serving
from toy_serving import Served, served, toy_bundle


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served([toy_bundle(tmp_path_factory.mktemp("clients"))]) as one:
        yield one


def problems(url: str, model: str = "") -> dict[str, str]:
    return {f"{one.client}: {call.call}": call.problem for one in check_clients(url, model)[1] for call in one.calls}


def test_clients_trip_over_nothing_of_ours(ours: Served) -> None:
    model, reports = check_clients(ours.url)
    assert model == "tiny:latest"
    assert {one.client for one in reports} >= {"Open WebUI", "editor's assistant", "Continue"}
    assert [call.problem for one in reports for call in one.calls if call.problem] == []
    assert all(len(one.calls) >= 3 for one in reports)


def test_a_model_that_was_not_loaded_is_let_go_of_again(ours: Served) -> None:
    ours.post("/api/generate", model="tiny", prompt="", keep_alive=0)
    check_clients(ours.url)
    calls = [call.call for one in check_clients(ours.url)[1] for call in one.calls]
    assert not any("unload" in call for call in calls)  # loaded meanwhile: it may be somebody's


GOOD: dict[str, Any] = {
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {"models": [{"name": "m:latest", "model": "m:latest"}]},
    "/api/ps": {"models": []},
    "/api/show": {
        "capabilities": ["completion"],
        "parameters": 'num_ctx 4096\nstop "<end>"',
        "template": "",
        "model_info": {"general.architecture": "x", "x.context_length": 64, "general.basename": "m"},
    },
    "/v1/models": {"data": [{"id": "m"}]},
}


class Fixed(_Handler):
    """Answers what it is given, by path; ``state.toy`` is not asked."""

    answers: dict[str, Any] = {}  # noqa: RUF012

    def _serve(self, body: dict[str, Any]) -> None:
        told = self.answers.get(self.path)
        data = json.dumps(told if told is not None else {"error": "nothing is here"}).encode()
        self.send_response(200 if told is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


BROKEN: dict[str, tuple[str, Any, str]] = {
    "letters": ("/api/version", {"version": "v1.2.3"}, "not made of numbers"),
    "two": ("/api/version", {"version": "1.2"}, "not three numbers"),
    "old": ("/api/version", {"version": "0.5.9"}, "below 0.6.4"),
    "no name": ("/api/tags", {"models": [{"model": "m"}]}, "no 'name'"),
    "no models": ("/api/tags", {"models": []}, "no models are listed"),
    "no list": ("/api/tags", {"models": "m"}, "no list of objects"),
    "time": ("/api/ps", {"models": [{"name": "m", "expires_at": "soon"}]}, "no ISO time"),
    "can": ("/api/show", {**GOOD["/api/show"], "capabilities": None}, "'capabilities' is no list"),
    "info": ("/api/show", {**GOOD["/api/show"], "model_info": {}}, "general.architecture"),
    "context": (
        "/api/show",
        {**GOOD["/api/show"], "model_info": {"general.architecture": "x", "general.basename": "m"}},
        "no 'x.context_length'",
    ),
    "line": ("/api/show", {**GOOD["/api/show"], "parameters": "num_ctx"}, "not a name and a value"),
    "stop": ("/api/show", {**GOOD["/api/show"], "parameters": "stop <end>"}, "not quoted"),
    "chat": ("/api/chat", {"done": True}, "no text"),
    "completion": ("/v1/chat/completions", {"choices": []}, "no 'message.content'"),
    "ids": ("/v1/models", {"data": [{}]}, "no 'id'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_clients_trip_over_is_said(name: str) -> None:
    path, answer, said = BROKEN[name]
    with serving(type("Broken", (Fixed,), {"answers": {**GOOD, path: answer}})) as server:
        found = problems(server.url, "m")
    assert any(said in problem for problem in found.values())
    if path != "/v1/models":
        assert any("HTTP 404" in problem for problem in found.values())


def test_nobody_there_and_no_address() -> None:
    with pytest.raises(ReverieError, match="nobody answers"):
        check_clients("http://127.0.0.1:9")
    with pytest.raises(UsageError, match="no address"):
        check_clients("ftp://example.com")


def test_the_command_says_it(ours: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--clients", ours.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert all(one["ok"] for one in told["clients"])
    assert main(["doctor", "--clients", ours.url, "--model", "tinny"]) == 1
    assert "not found" in capsys.readouterr().out
    assert main(["doctor", "--clients", "http://127.0.0.1:9"]) == 1
    assert "nobody answers" in capsys.readouterr().err


def test_the_installation_is_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = {one["name"] for one in told["checks"]}
    assert {"python", "libraries", "extras", "threads", "folder", "cache", "disk", "model nano"} <= names
    broken = tmp_path / "home" / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "home"))
    assert main(["doctor"]) == 1
    assert any(line.startswith("bad") and "model broken" in line for line in capsys.readouterr().out.splitlines())


def test_a_folder_that_cannot_be_written_to_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVERIE_HOME", "/proc/nowhere")
    assert main(["doctor"]) == 1
    assert "set REVERIE_HOME" in capsys.readouterr().out
