"""The guard at the door: every request passes it before anything else reads it.

In this order: the Host header names this server (so no web site can reach it under a name of its own, by DNS
rebinding), the token is right where one is set, a browser's Origin is this server, the body is JSON (a page elsewhere
cannot send that without asking first, and it is never allowed), not compressed, small enough, soon there and not nested
too deep. Uploads of the web page alone may be multipart. Addresses of the web page's library that fetch from elsewhere
are closed. A key that has used up its share is told to wait.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reverie.server.http.errors import RequestError, shaped
from reverie.server.http.keys import Key, Quotas, find_key
from reverie.server.http.settings import AccessPolicy, Limits, is_loopback
from reverie.server.http.signin import SIGN_IN_PATH, sign_in_page

__all__ = ["AccessMiddleware", "PagePaths", "refused"]

_COOKIE = "reverie_session"
# Asked by what watches the server, and by a browser that has yet to sign in; neither says anything about the model.
_OPEN_PATHS = ("/healthz", "/readyz", "/favicon.ico")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII)
_STREAMED = re.compile(r"/api/blobs/sha256[:-][0-9a-f]{64}")  # files, which their endpoint reads as they come
_API_PATHS = ("/v1/", "/api/", "/healthz", "/readyz", "/metrics", "/openapi.json", SIGN_IN_PATH)


@dataclass(frozen=True)
class PagePaths:
    """What a web page beside an API needs of this server; every other address is closed."""

    known: re.Pattern[str]  # its addresses, whole
    uploads: tuple[str, ...] = ()  # those that take multipart bodies
    calls: str = ""  # JSON posted below it must name no address: the page's library would fetch what lies there


class AccessMiddleware:
    """ASGI middleware that lets in what ``policy`` allow; anything else is answered here in the API's own shape."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy, limits: Limits | None = None, page: PagePaths | None = None):
        self.app, self.policy, self.limits, self.page = app, policy, limits or Limits(), page
        self._keys = ((Key(policy.token),) if policy.token else ()) + policy.keys
        # what a browser shows that signed in with a key; new with every start
        self._sessions = tuple(replace(key, token=secrets.token_urlsafe(32)) for key in self._keys)
        self._quotas, self._num_requests = Quotas(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "this server speaks HTTP alone"})
            return
        if scope["type"] != "http":  # the application's own start and end
            await self.app(scope, receive, send)
            return
        send = self._with_headers(send, scope["path"])
        entered = list[Key | None]()
        try:
            answer = await self._refusal(scope, receive)
            if answer is None:
                entered.append(self._enter(scope))
                receive = await self._read(scope, receive)
        except RequestError as error:
            answer = refused(error, scope["path"])
        try:
            await (answer or self.app)(scope, receive, send)
        finally:
            for key in entered:
                self._leave(key)

    def _enter(self, scope: Scope) -> Key | None:
        """Count a request, and who sent it. Raises RequestError where there are too many."""
        key = self._key(Headers(scope=scope))
        if self._num_requests >= self.limits.max_requests:
            raise RequestError(503, f"{self._num_requests} requests are under way; try again in a moment", code="busy")
        if key is not None:
            self._quotas.enter(key)
            scope.setdefault("state", {})["key"] = key.name
        self._num_requests += 1
        return key

    def _leave(self, key: Key | None) -> None:
        self._num_requests -= 1
        if key is not None:
            self._quotas.leave(key)

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        """None where the request may go on to its body; a page where a browser must sign in. Raises RequestError."""
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        self._check_host(headers)
        if method not in _SAFE_METHODS:
            self._check_origin(headers)
        if self._keys and path not in _OPEN_PATHS:
            if path == SIGN_IN_PATH and method == "POST":
                return await self._sign_in(scope, receive, headers)
            if self._key(headers) is None:
                if method == "GET" and "text/html" in headers.get("accept", ""):
                    return HTMLResponse(sign_in_page(), 401)
                raise RequestError(401, "this server asks for a token: Authorization: Bearer TOKEN", code="no_token")
        if not path.startswith(_API_PATHS) and not (self.page and self.page.known.fullmatch(path)):
            raise RequestError(404, f"nothing is at {path[:100]}", code="not_found")
        return None

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
        if found is None or not self._is_ours(found[1]):
            said = given[0][:80] if given else ""
            raise RequestError(403, f"this server is not reached as '{said}' (Host header)", code="foreign_host")

    def _is_ours(self, host: str) -> bool:
        if is_loopback(host) or host in self.policy.allowed_hosts or "*" in self.policy.allowed_hosts:
            return True
        return self.policy.any_address and _is_address(host)

    def _check_origin(self, headers: Headers) -> None:
        """A browser says where a request was written; only this server's own pages may write to it."""
        origin = headers.get("origin")
        if origin is None or "*" in self.policy.allowed_hosts:
            return
        place = urlsplit(origin.lower())
        if place.netloc == headers["host"].lower() or (place.hostname or "") in self.policy.allowed_hosts:
            return
        raise RequestError(403, "this server takes no requests from other sites (Origin header)", code="foreign_origin")

    def _key(self, headers: Headers) -> Key | None:
        """Whose token, or session, a request shows."""
        by_token, by_session = find_key(self._keys, _token(headers)), find_key(self._sessions, _cookie(headers))
        return by_token or (None if by_session is None else self._keys[self._sessions.index(by_session)])

    async def _sign_in(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        """What the sign-in form sends: the right token gives the browser a session of this process."""
        body = await _body(receive, 4_096, self.limits.body_seconds)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        key = find_key(self._keys, given.strip())
        if key is None:
            return HTMLResponse(sign_in_page("That is not the token."), 401)
        answer = RedirectResponse("/", 303)
        secure = scope["scheme"] == "https" or headers.get("x-forwarded-proto") == "https"
        session = self._sessions[self._keys.index(key)].token
        answer.set_cookie(_COOKIE, session, path="/", secure=secure, httponly=True, samesite="strict")
        return answer

    async def _read(self, scope: Scope, receive: Receive) -> Receive:
        """The body, checked and read whole; returns a ``receive`` that hands it on. Raises RequestError."""
        if scope["method"] in _SAFE_METHODS:
            return receive
        headers, path = Headers(scope=scope), scope["path"]
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if _STREAMED.fullmatch(path):  # whatever kind it is called: Ollama's client calls it JSON
            return receive
        is_upload = self.page is not None and path in self.page.uploads and kind == "multipart/form-data"
        if kind != "application/json" and not is_upload:
            raise RequestError(415, "send JSON, with the header Content-Type: application/json", code="not_json")
        if headers.get("content-encoding", "identity") != "identity":
            raise RequestError(415, "send the body as it is, not compressed", code="compressed")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.limits.max_bytes:
            raise self._too_large()
        body = await _body(receive, self.limits.max_bytes, self.limits.body_seconds)
        if len(body) > self.limits.max_bytes:
            raise self._too_large()
        if self.page and self.page.calls and path.startswith(self.page.calls) and not is_upload:
            _check_page_call(body)
        if not is_upload and body:
            _check_json(body, self.limits.max_depth)
        return _replay(body, receive)

    def _too_large(self) -> RequestError:
        return RequestError(413, f"a body has at most {self.limits.max_bytes} bytes", code="too_large")

    def _with_headers(self, send: Send, path: str) -> Send:
        """``send`` that adds what tells a browser to keep the page to itself and to this server."""
        ancestors = " ".join(self.policy.frame_ancestors) or "'none'"
        policy = (
            "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
            "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
            f"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
        )
        added = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",  # without any, the sign-in form would come from nowhere
            "cross-origin-opener-policy": "same-origin",
        }
        if path.startswith(_API_PATHS):
            added["cache-control"] = "no-store"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(name.encode(), value.encode()) for name, value in added.items()]
                message["headers"] = [*message.get("headers", []), *(one for one in extra if one[0] not in present)]
            await send(message)

        return sending


async def _body(receive: Receive, most: int, seconds: float) -> bytes:
    """The body, as far as one byte-block beyond ``most``. Raises RequestError where it does not come."""
    blocks, size = list[bytes](), 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestError(400, "the body was cut off", code="cut_off")
                blocks.append(message.get("body", b""))
                size += len(blocks[-1])
                if size > most or not message.get("more_body", False):
                    return b"".join(blocks)
    except TimeoutError as error:
        raise RequestError(408, f"the body did not arrive within {seconds:g} seconds", code="timeout") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives ``body`` once and then whatever really comes (which is the client going away)."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def _check_page_call(body: bytes) -> None:
    """The page's library would fetch a file that is named by an address; this server fetches nothing."""
    try:
        call = json.loads(body or b"null")
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the body is no JSON", code="no_json") from error
    if _any(call, _names_an_address):
        raise RequestError(403, "this server fetches nothing from elsewhere", code="no_fetching")


def _names_an_address(one: dict[str, Any]) -> bool:
    return isinstance(path := one.get("path"), str) and "://" in path


def _any(value: Any, is_bad: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether any object inside ``value`` is bad; without recursion, as the nesting is the sender's."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if is_bad(one):
                return True
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return False


def refused(error: RequestError, path: str) -> Response:
    """An error as JSON in the shape of the API that ``path`` belongs to."""
    answer = JSONResponse(shaped(error, path), error.status)
    if error.status in (408, 413):
        answer.headers["Connection"] = "close"
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        answer.headers["Retry-After"] = str(error.retry_after or 2)
    return answer


def _token(headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


class _NoNumber:
    """What stands for NaN and its like."""


def _check_json(body: bytes, max_depth: int) -> None:
    """JSON has numbers that are numbers, and is not nested deeper than anything that is asked here needs."""
    try:
        value = json.loads(body, parse_constant=lambda _: _NoNumber())
    except RecursionError as error:
        raise _too_deep(max_depth) from error
    except ValueError as error:
        raise RequestError(400, "the body is no JSON", code="no_json") from error
    level, depth = _inside("", value), 1  # with the field of the body that each is in
    while level:
        depth += 1
        if depth > max_depth:
            raise _too_deep(max_depth)
        if wrong := [field for field, one in level if isinstance(one, _NoNumber)]:
            said = f"'{wrong[0][:60]}' holds NaN or Infinity, which is no number of JSON"
            raise RequestError(400, said, wrong[0][:80], "not_finite")
        level = [inner for field, one in level for inner in _inside(field, one)]


def _inside(field: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(field or str(name), one) for name, one in value.items()]
    return [(field, one) for one in value] if isinstance(value, list) else []


def _too_deep(max_depth: int) -> RequestError:
    return RequestError(400, f"the body is nested deeper than {max_depth} lists and objects", code="too_deep")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
