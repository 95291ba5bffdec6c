"""The application: endpoints, error shapes, the page, and the guard around them all."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

import reverie
from reverie.errors import ReverieError
from reverie.server.http.body import refusal_of
from reverie.server.http.errors import RequestError, as_request_error, closing, unexpected
from reverie.server.http.guard import AccessMiddleware, PagePaths, refused
from reverie.server.http.request_log import RequestLog
from reverie.server.http.settings import AccessPolicy, Limits

__all__ = ["Application", "Page", "Work", "make_app"]

log = logging.getLogger("reverie.server")

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": ["object", "string"]}}}
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {"application/json": {"schema": _ERROR}}}
    for status, said in (("4XX", "what was wrong with the request"), ("5XX", "why it cannot be answered now"))
}

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Work(Protocol):
    """What does the work behind the endpoints."""

    @property
    def is_open(self) -> bool:
        """Whether it takes more."""
        ...

    def ready(self) -> bool:
        """Whether what is asked now would be answered."""
        ...

    def stop(self) -> None:
        """Take no more; what runs goes on. Called in the event loop."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True)
class Application:
    """What a server runs, and what it calls as it begins to end: open streams close, waiting work is dropped."""

    asgi: ASGIApp
    stop: Callable[[], None]


@dataclass(frozen=True)
class Page:
    """A web page beside an API. ``mount`` puts it at / of the application and returns what ends its streams."""

    mount: Callable[[FastAPI], Callable[[], None]]
    paths: PagePaths


def make_app(
    routers: Sequence[APIRouter], worker: Work, policy: AccessPolicy, limits: Limits, page: Page | None = None
) -> Application:
    """Everything that one server answers, behind its guard. ``worker`` ends with the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    about: dict[str, Any] = {"title": "Reverie", "version": reverie.__version__, "responses": _REFUSED}
    api = FastAPI(docs_url=None, redoc_url=None, lifespan=lifespan, **about)
    routers = [*routers, _health(worker)]
    for router in routers:
        api.include_router(router)
    _say_errors(api)
    _name_what_is_not_there(api, [route for router in routers for route in router.routes])
    stop_page = page.mount(api) if page is not None else None

    def stop() -> None:
        worker.stop()
        if stop_page is not None:
            stop_page()

    return Application(RequestLog(AccessMiddleware(api, policy, limits, page.paths if page else None)), stop)


def _health(worker: Work) -> APIRouter:
    routes = APIRouter()

    @routes.get("/healthz")
    async def health() -> dict[str, str]:
        """Whether the server takes work."""
        if not worker.is_open:
            raise closing()
        return {"status": "ok"}

    @routes.get("/readyz")
    async def ready() -> dict[str, str]:
        """Whether what is asked now would be answered."""
        if not worker.ready():
            raise RequestError(503, "the server is not ready", code="not_ready")
        return {"status": "ready"}

    return routes


def _say_errors(api: FastAPI) -> None:
    """Each error as JSON in the shape of the API that was asked; never how it came about."""

    @api.exception_handler(ReverieError)
    async def ours(request: Request, error: ReverieError) -> Response:
        return refused(as_request_error(error), request.url.path)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refused(refusal_of(error, _fields(request)), request.url.path)

    @api.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        said = str(error.detail).rstrip(".") or "the request cannot be answered"
        if "parsing the body" in said:
            return refused(RequestError(400, "the body is no JSON", code="no_json"), request.url.path)
        return refused(RequestError(error.status_code, said[:1].lower() + said[1:]), request.url.path)

    @api.exception_handler(Exception)
    async def others(request: Request, error: Exception) -> Response:
        log.error("unexpected error at %s", request.url.path, exc_info=error)
        return refused(unexpected(), request.url.path)


def _fields(request: Request) -> list[str]:
    """The names of the fields that the body of this endpoint may have."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    fields = getattr(route.body_field.field_info.annotation, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _name_what_is_not_there(api: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Below /v1 and /api an unknown address is answered in their shapes, not by the page that is mounted at /."""
    known = {route.path: ", ".join(sorted(route.methods or ())) for route in routes if isinstance(route, APIRoute)}

    async def missing(request: Request) -> Response:
        path = request.url.path.rstrip("/")
        if path in known:
            error = RequestError(405, f"{path} takes {known[path]}, not {request.method}", code="wrong_method")
        else:
            error = RequestError(404, f"nothing is at {path[:100]}. Known: {', '.join(known)}.", code="not_found")
        return refused(error, request.url.path)

    for prefix in ("/v1", "/api"):
        api.add_api_route(f"{prefix}/{{rest:path}}", missing, methods=_METHODS, include_in_schema=False)
