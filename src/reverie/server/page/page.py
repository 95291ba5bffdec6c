"""Serves the files of the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse

from reverie.server.http.app import Page
from reverie.server.http.errors import RequestError
from reverie.server.http.guard import PagePaths

__all__ = ["PAGE"]

_FILES = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Stricter than what the guard says of other pages: scripts and styles are files of this server, pictures data: URIs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def _mount(api: FastAPI) -> Callable[[], None]:
    @api.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)  # HEAD: what Ollama's clients knock with
    async def index() -> Response:
        return _file("index.html")

    @api.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return _file(name)

    return lambda: None


def _file(name: str) -> Response:
    path = _FILES / name
    if path.parent != _FILES or path.suffix not in _KINDS or not path.is_file():
        raise RequestError(404, f"the page has no {name[:80]}", code="not_found")
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return FileResponse(path, media_type=_KINDS[path.suffix], headers=headers)


PAGE = Page(_mount, PagePaths(re.compile(r"/|/page/[a-z]+\.(js|css|svg)")))
"""What ``make_app`` takes."""
