from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message

from reverie.errors import ConfigError
from reverie.server.http.guard import AccessMiddleware
from reverie.server.http.keys import read_keys
from reverie.server.http.settings import AccessPolicy, Limits, ServerConfig, is_loopback
from reverie.server.pictures.page_paths import PAGE_PATHS

JSON = {"Content-Type": "application/json"}
TOKEN = "a-long-secret"


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "body": len(await request.body())})


def guarded(limits: Limits | None = None, **policy: Any) -> TestClient:
    """A server that says what reached it, behind a guard."""
    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "HEAD", "POST", "PUT"])])
    return TestClient(
        AccessMiddleware(app, AccessPolicy(**policy), limits, PAGE_PATHS),
        base_url="http://localhost:7860",
        follow_redirects=False,
    )


def refused(answer: Any) -> tuple[int, str]:
    said = answer.json()["error"]
    return answer.status_code, said if isinstance(said, str) else said["code"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:1", "[::1]:7860", "LOCALHOST", "a.localhost"]
)
def test_this_machines_names_are_answered(host: str) -> None:
    assert guarded().get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.0.5:7860", "", "a b", "x@localhost"],
)
def test_a_foreign_host_is_refused_whatever_it_asks(host: str) -> None:
    client = guarded()
    for path in ("/", "/v1/models", "/healthz"):
        assert refused(client.get(path, headers={"Host": host})) == (403, "foreign_host")
    assert refused(client.post("/v1/x", headers={"Host": host, **JSON}, content="{}")) == (403, "foreign_host")


def test_names_that_are_allowed_and_addresses_of_an_exposed_server_are_answered() -> None:
    client = guarded(allowed_hosts=("prints.example",), any_address=True)
    for host in ("prints.example", "PRINTS.example:443", "192.168.0.5:7860", "[fe80::1]"):
        assert client.get("/v1/models", headers={"Host": host}).status_code == 200
    assert client.get("/v1/models", headers={"Host": "other.example"}).status_code == 403
    assert guarded(allowed_hosts=("*",)).get("/v1/models", headers={"Host": "other.example"}).status_code == 200


def test_pages_of_other_sites_cannot_write() -> None:
    client = guarded()
    for origin in ("https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1:7860"):
        answer = client.post("/v1/x", headers={**JSON, "Origin": origin}, content="{}")
        assert refused(answer) == (403, "foreign_origin")
    own = client.post("/v1/x", headers={**JSON, "Origin": "http://localhost:7860"}, content="{}")
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


def test_without_the_token_nothing_but_health_is_answered() -> None:
    client = guarded(token=TOKEN)
    wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer"}]
    wrong += [{"Authorization": "Bearer ä"}, {"Cookie": f"reverie_session={TOKEN}"}, {"Cookie": "reverie_session="}]
    for headers in wrong:
        for path in ("/v1/models", "/api/tags", "/assets/x.js", "/gradio_api/queue/data"):
            answer = client.get(path, headers={name: value.encode() for name, value in headers.items()})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/v1/models", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200


def test_a_browser_signs_in_once_and_the_token_is_not_what_it_keeps() -> None:
    client = guarded(token=TOKEN)
    page = client.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, 'name="token"' in page.text) == (401, True)
    again = client.post("/sign-in", data={"token": "no"}, headers={"Origin": "http://localhost:7860"})
    assert (again.status_code, "not the token" in again.text) == (401, True)
    assert client.post("/sign-in", data={"token": TOKEN}, headers={"Origin": "http://evil.example"}).status_code == 403
    answer = client.post("/sign-in", data={"token": TOKEN}, headers={"Origin": "http://localhost:7860"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 200


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_only_json_is_taken(kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = guarded().post("/v1/images/generations", headers=headers, content="{}")
    assert refused(answer) == (415, "not_json")
    assert guarded().post("/api/generate", headers=headers, content="{}").json()["error"].startswith("send JSON")


def test_the_page_may_upload_and_nothing_compressed_comes_in() -> None:
    client = guarded()
    upload = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/gradio_api/upload", headers=upload, content="--x--").status_code == 200
    packed = client.post("/v1/x", headers={**JSON, "Content-Encoding": "gzip"}, content=b"x")
    assert refused(packed) == (415, "compressed")


def test_a_body_that_is_too_large_is_refused_by_its_length_or_on_the_way() -> None:
    client = guarded(Limits(max_bytes=1_000))
    assert client.post("/v1/x", headers=JSON, content=b"1" * 1_000).json()["body"] == 1_000
    answer = client.post("/v1/x", headers=JSON, content=b"x" * 1_001)
    assert refused(answer) == (413, "too_large")
    assert answer.headers["connection"] == "close"

    def chunks() -> Iterator[bytes]:  # such a body says no length
        for _ in range(50):
            yield b"x" * 100

    assert refused(client.post("/v1/x", headers=JSON, content=chunks())) == (413, "too_large")
    assert refused(client.post("/v1/x", headers={**JSON, "Content-Length": "-5"}, content=b"")) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "no_json"),
        (b"\xff\xfe", "no_json"),
        (b'{"a": [1, NaN]}', "not_finite"),
        (b'{"a": -Infinity}', "not_finite"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
    ],
)
def test_a_body_is_json_with_numbers_and_not_nested_too_deep(body: bytes, code: str) -> None:
    assert refused(guarded().post("/v1/x", headers=JSON, content=body)) == (400, code)


def test_nesting_up_to_the_limit_passes() -> None:
    assert guarded().post("/v1/x", headers=JSON, content=b"[" * 64 + b"]" * 64).status_code == 200


def test_keys_have_limits_of_their_own_and_none_is_told_about_another(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"ann": {"token": "ann-has-this", "per_minute": 2}, "bob": {"token": "bob-has-this"}}')
    client = guarded(keys=read_keys(file))
    ann, bob = ({"Authorization": f"Bearer {name}-has-this"} for name in ("ann", "bob"))
    assert [client.get("/v1/x", headers=ann).status_code for _ in range(3)] == [200, 200, 429]
    late = client.get("/v1/x", headers=ann)
    assert refused(late) == (429, "rate_limited")
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert [client.get("/v1/x", headers=bob).status_code for _ in range(4)] == [200] * 4
    assert client.get("/v1/x").status_code == 401
    assert client.get("/v1/x", headers={"Authorization": "Bearer ann-has-thi"}).status_code == 401


def test_a_browser_that_signed_in_with_a_key_has_its_limits(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"ann": {"token": "ann-has-this", "per_minute": 2}, "bob": {"token": "bob-has-this"}}')
    client = guarded(keys=read_keys(file))
    home = {"Origin": "http://localhost:7860"}
    assert client.post("/sign-in", data={"token": "ann-has"}, headers=home).status_code == 401
    assert client.post("/sign-in", data={"token": "ann-has-this"}, headers=home).status_code == 303
    assert [client.get("/v1/x").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    "said",
    [
        '{"ann": "a-long-secret"}',
        '{"ann": {"token": "short"}}',
        '{"ann": {"token": "a-long-secret", "per_hour": 3}}',
        '{"ann": {"token": "a-long-secret"}, "bob": {"token": "a-long-secret"}}',
        "[]",
    ],
)
def test_files_of_keys_that_make_no_sense_are_refused_in_one_line(said: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(said)
    with pytest.raises(ConfigError) as error:
        read_keys(file)
    assert "\n" not in str(error.value)


def test_a_body_that_does_not_come_ends_the_request() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers, "scheme": "http"}
    asyncio.run(AccessMiddleware(Starlette(), AccessPolicy(), Limits(body_seconds=0.05))(scope, never, send))
    assert sent[0]["status"] == 408


def test_websockets_are_closed() -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), guarded().websocket_connect("/v1/x"):
        pass


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://x.example/",
        "/gradio_api/file=http://x.example/a.png",
        "/gradio_api/file=HTTPS://x.example/a.png",
        "/gradio_api/vibe-code",
        "/gradio_api/run-history/buckets",
        "/gradio_api/call/paint",
        "/monitoring",
        "/login",
        "/docs",
        "/anything",
        "/config/../secret",
    ],
)
def test_what_the_page_does_not_need_is_closed(path: str) -> None:
    assert guarded().get(path).status_code == 404


def test_without_a_page_its_addresses_are_closed() -> None:
    client = TestClient(AccessMiddleware(Starlette(), AccessPolicy()), base_url="http://localhost:7860")
    upload = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.get("/config").status_code == client.get("/").status_code == 404
    assert client.post("/gradio_api/upload", headers=upload, content="--x--").status_code == 404


def test_a_call_of_the_page_cannot_make_the_server_fetch() -> None:
    client = guarded()
    for path in ("http://x.example/a.png", "https://169.254.169.254/", "ftp://x/"):
        call = {"data": [[{"deep": {"path": path, "meta": {"_type": "gradio.FileData"}}}]], "fn_index": 0}
        assert refused(client.post("/gradio_api/queue/join", json=call)) == (403, "no_fetching")
    own = {"data": [{"path": "/tmp/a.png", "url": "http://localhost:7860/gradio_api/file=/tmp/a.png"}]}
    assert client.post("/gradio_api/queue/join", json=own).status_code == 200
    assert client.post("/gradio_api/queue/join", headers=JSON, content="[" * 100_000).status_code == 400


def test_browsers_are_told_to_load_nothing_from_elsewhere() -> None:
    headers = guarded().get("/v1/models").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    framed = guarded(frame_ancestors=("https://huggingface.co",)).get("/").headers["content-security-policy"]
    assert "frame-ancestors https://huggingface.co" in framed


def test_a_network_is_not_served_without_a_token_unless_that_is_said() -> None:
    for host in ("0.0.0.0", "::", "192.168.0.5", "prints.example"):
        with pytest.raises(ConfigError, match="no token is set"):
            ServerConfig(host=host)
        assert ServerConfig(host=host, token=TOKEN).policy.any_address
        assert ServerConfig(host=host, allow_open=True).policy.token == ""
    assert not ServerConfig().policy.any_address
    assert ServerConfig(host="localhost").policy.allowed_hosts == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"port": 70_000}, "a port is"),
        ({"host": ""}, "the host must be"),
        ({"token": "with space"}, "a token is made of"),
        ({"token": "söcret"}, "a token is made of"),
        ({"token": "short", "host": "0.0.0.0"}, "at least 8 letters"),
        ({"max_count": 0}, "max_count"),
        ({"allowed_hosts": ("https://prints.example",)}, "a name alone"),
        ({"allowed_hosts": ("*.example",)}, "a name alone"),
        ({"max_bytes": 3}, "max_bytes"),
        ({"frame_ancestors": ("https://a; script-src *",)}, "a frame ancestor"),
    ],
)
def test_wrong_settings_are_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        ServerConfig(**wrong)
    assert "\n" not in str(error.value)


def test_loopback_is_told_from_what_looks_like_it() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "x.localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "::"]))
