"""Models pulled, made, copied and deleted through the API, in a home of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest

from bases import save_base
from reverie.bundles import list_models, pull_model
from reverie.server.http.errors import RequestError
from reverie.server.ollama.bodies import kept_alive
from toy_serving import Served, served


@pytest.fixture
def home(bundle: Path) -> Iterator[Served]:
    """A server of whatever is in the user's folder, where ``tiny`` lies."""
    pull_model(str(bundle), "tiny")
    with served([]) as one:
        yield one


@pytest.fixture
def client(home: Served) -> Iterator[ollama.Client]:
    with ollama.Client(home.url) as one:
        yield one


def names() -> set[str]:
    return {one["name"] for one in list_models()}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_copies_are_models_until_they_are_deleted(client: ollama.Client) -> None:
    client.copy("tiny", "second:latest")
    assert {"tiny:latest", "second:latest"} <= {one.model for one in client.list().models}
    assert client.chat("second", [{"role": "user", "content": "hi"}], options={"num_predict": 3}).message.content
    client.delete("second")
    assert "second" not in names()
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.chat("second", [{"role": "user", "content": "hi"}])
    with pytest.raises(ollama.ResponseError, match="unknown model"):
        client.delete("second")


def test_a_model_is_made_of_another(client: ollama.Client) -> None:
    told = [one.status for one in client.create("third", from_="tiny", stream=True)]
    assert told[-1] == "success"
    assert "third" in names()


def test_a_model_keeps_its_system_message_and_how_it_is_drawn(client: ollama.Client, home: Served) -> None:
    talk, drawn = [{"role": "user", "content": "hi"}], {"temperature": 0.9, "seed": 4, "num_predict": 5, "stop": ["zz"]}
    client.create("kind", from_="tiny", system="Be kind.", parameters=drawn)
    told = home.client.post("/api/show", json={"model": "kind"}).json()
    assert told["system"] == "Be kind."
    assert {"temperature", "seed", "num_predict", "stop"} <= {
        line.split()[0] for line in told["parameters"].splitlines()
    }
    said = client.chat("kind", talk)
    same = client.chat("tiny", [{"role": "system", "content": "Be kind."}, *talk], options=drawn)
    assert (said.message.content, said.eval_count) == (same.message.content, same.eval_count)
    own = [{"role": "system", "content": "Be brief."}, *talk]
    assert client.chat("kind", own).message.content == client.chat("tiny", own, options=drawn).message.content
    assert client.chat("kind", talk, options={"num_predict": 2}).eval_count == 2
    client.create("kinder", from_="kind", parameters={"temperature": 0.0})
    client.copy("kinder", "kindest")
    warm = client.chat(
        "tiny", [{"role": "system", "content": "Be kind."}, *talk], options={**drawn, "temperature": 0.0}
    )
    assert client.chat("kinder", talk).message.content == client.chat("kindest", talk).message.content
    assert client.chat("kinder", talk).message.content == warm.message.content


def test_a_model_is_made_of_files_that_were_sent(client: ollama.Client, home: Served, tmp_path: Path) -> None:
    folder = save_base(tmp_path / "base", chat=True)
    files = {
        path.name: client.create_blob(path)
        for path in folder.iterdir()
        if path.suffix in (".json", ".safetensors", ".jinja")
    }
    assert client.create("made", files=files).status == "success"
    assert client.chat("made", [{"role": "user", "content": "hi"}], options={"num_predict": 3}).message.content
    assert home.client.head(f"/api/blobs/{files['config.json']}").status_code == 200


def test_a_model_is_made_of_a_gguf_file(client: ollama.Client, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the extra 'bases'")
    from toy_gguf import tiny_gguf

    path = tiny_gguf(tmp_path / "gguf")
    told = [one.status for one in client.create("quant", files={"tiny.gguf": client.create_blob(path)}, stream=True)]
    assert told[-1] == "success"
    assert client.chat("quant", [{"role": "user", "content": "hi"}], options={"num_predict": 3}).message.content
    assert (client.show("quant").modelinfo or {})["llama.context_length"] == 512


def test_a_known_model_that_is_there_is_not_fetched_again(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="pulled from nowhere"):
        client.pull("nothing")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("copy", {"source": "tiny", "destination": "../../x"}, 400, "name"),
        ("copy", {"source": "../tiny", "destination": "x"}, 404, "unknown model"),
        ("copy", {"source": "/etc", "destination": "x"}, 404, "unknown model"),
        ("copy", {"source": "tiny", "destination": "nano"}, 400, "already"),
        ("create", {"model": "x", "from": "/etc/passwd"}, 404, "unknown model"),
        ("create", {"model": "x", "files": {"../x.gguf": "sha256:" + "0" * 64}}, 400, "no name of a file"),
        ("create", {"model": "x", "files": {"x.py": "sha256:" + "0" * 64}}, 400, "no name of a file"),
        ("create", {"model": "x", "from": "tiny", "template": "{{ .Prompt }}"}, 400, "'template' is not kept"),
        (
            "create",
            {"model": "x", "from": "tiny", "parameters": {"temperature": "hot"}},
            400,
            "'parameters.temperature'",
        ),
        ("create", {"model": "x"}, 400, "'from' or 'files'"),
        ("pull", {"model": "/etc/passwd"}, 404, "pulled from nowhere"),
        ("pull", {"model": "../a/b"}, 404, "pulled from nowhere"),
        ("pull", {"model": "http://example.com/m.gguf"}, 404, "pulled from nowhere"),
    ],
)
def test_names_stay_names(home: Served, path: str, body: dict[str, Any], status: int, said: str) -> None:
    answer = home.client.post(f"/api/{path}", json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert said in answer.json()["error"]


def test_what_belongs_to_the_package_stays(home: Served) -> None:
    answer = home.client.request("DELETE", "/api/delete", json={"model": "nano"})
    assert answer.status_code == 403
    assert "nano" in names()


def test_a_file_that_is_not_what_it_is_called_is_refused(home: Served) -> None:
    send = {"content": b"abc", "headers": {"Content-Type": "application/octet-stream"}}
    assert home.client.post(f"/api/blobs/{digest_of(b'abc')}", **send).status_code == 201
    assert home.client.post(f"/api/blobs/{digest_of(b'abc')}", **send).status_code == 200
    wrong = home.client.post(f"/api/blobs/{digest_of(b'abd')}", **send)
    assert wrong.status_code == 400
    assert "another than" in wrong.json()["error"]
    assert home.client.head(f"/api/blobs/{digest_of(b'abd')}").status_code == 404
    assert home.client.head("/api/blobs/sha256:..%2f..%2fx").status_code in (400, 404)
    foreign = {**send["headers"], "Origin": "http://evil.example"}  # type: ignore[dict-item]
    assert home.client.post(f"/api/blobs/{digest_of(b'x')}", content=b"x", headers=foreign).status_code == 403


def test_a_damaged_file_makes_no_model(home: Served) -> None:
    digest = digest_of(b"no GGUF")
    home.client.post(f"/api/blobs/{digest}", content=b"no GGUF", headers={"Content-Type": "application/octet-stream"})
    lines = home.client.post("/api/create", json={"model": "x", "files": {"x.gguf": digest}}).text.splitlines()
    assert "error" in lines[-1]
    whole = home.client.post("/api/create", json={"model": "x", "files": {"x.gguf": digest}, "stream": False})
    assert whole.status_code == 400
    assert "x" not in names()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        ("", None),
        (0, 0),
        ("0", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("-1", -1),
        ("-1s", -1),
        (90, 90),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        (1e300, 1e9),
    ],
)
def test_durations_are_read_as_go_writes_them(given: Any, seconds: float | None) -> None:
    assert kept_alive(given) == seconds


@pytest.mark.parametrize("given", ["soon", "5 m", "5x", "m", "nan", float("nan")])
def test_bad_durations_are_refused(given: Any) -> None:
    with pytest.raises(RequestError, match="keep_alive"):
        kept_alive(given)
