"""``run_serve``: models behind every API on one port, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import MissingExtraError, ReverieError, UsageError, shorten
from reverie.generator.bundle import KIND as GENERATOR
from reverie.generator.finding import packaged_generators
from reverie.jsonio import read_object
from reverie.manifest import MANIFEST
from reverie.paths import find_bundle, packaged_bundles, pulled_bundles
from reverie.server.hosting.settings import HostingConfig
from reverie.server.http.serve import listen, make_server, serve, url_of
from reverie.server.http.settings import ServerConfig

if TYPE_CHECKING:
    from fastapi import APIRouter

    from reverie.server.hosting import Hosting
    from reverie.server.http.app import Application
    from reverie.server.pictures.service import GenerationService
    from reverie.talks import TalkLog

__all__ = ["ServeConfig", "found_models", "make_serving", "prepared_serving", "run_serve"]


@dataclass(frozen=True)
class ServeConfig(ServerConfig):
    """Where the server listens and what it allows. Raises ConfigError."""

    port: int = 11434  # where Ollama's clients look
    keep_talks: bool = True  # what is asked below /v1/reverie, in the user's log of talks
    manage: bool = True  # where no models are named: let clients of Ollama's API fetch, make, copy and delete models
    hosting: HostingConfig = field(default_factory=HostingConfig)


def run_serve(
    models: Sequence[str],
    settings: ServeConfig,
    ready: Callable[[str, list[str]], None] | None = None,
) -> None:
    """Serve ``models`` until Ctrl-C or SIGTERM; then finish what is under way and return.

    Args:
        models: names or folders of bundles and generators; none: every bundle there is, those that come later, too
        ready: called once with the address and the models' names, when requests are answered

    Raises UsageError where the port is taken and for what is no model, MissingExtraError without the extra ``serve``.
    """
    with prepared_serving(models, settings) as (server, listener, names):
        if ready is not None:
            url = url_of(settings.host, listener.getsockname()[1])
            server.when_ready = lambda: ready(url, names)
        serve(server, listener)


@contextlib.contextmanager
def prepared_serving(models: Sequence[str], settings: ServeConfig) -> Iterator[tuple[Any, socket.socket, list[str]]]:
    """A server that is not yet running, the socket for its ``run``, the models' names. It ends when ``should_exit`` is
    set."""
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError("the server", "serve")
    bundles, generators = found_models(models)
    settings = replace(settings, manage=settings.manage and not models)
    with listen(settings.host, settings.port) as listener:
        application = make_serving(bundles, generators, settings)
        server = make_server(application, settings.hosting.grace_seconds + 2)
        yield server, listener, [*bundles(), *generators]


def make_serving(
    bundles: Callable[[], Mapping[str, Path]],
    generators: Mapping[str, Path],
    settings: ServeConfig,
) -> Application:
    """The application: every API over these models."""
    from reverie.server.hosting import Hosting
    from reverie.server.http.app import make_app
    from reverie.server.native import native_routes
    from reverie.server.ollama import ollama_api
    from reverie.server.openai import openai_api
    from reverie.server.page import PAGE

    hosting = Hosting(bundles, settings.hosting)
    pictures = {name: _painter(folder, settings) for name, folder in generators.items()}
    log = _talks() if settings.keep_talks else None
    apis = [*openai_api(hosting, pictures), *ollama_api(hosting, pictures, settings.manage)]
    routers = [*apis, native_routes(hosting, log), _metrics(hosting)]
    return make_app(routers, _Everything(hosting, pictures, log), settings.policy, settings, PAGE)


def found_models(names: Sequence[str]) -> tuple[Callable[[], Mapping[str, Path]], dict[str, Path]]:
    """(what names bundles now, generators by name). Raises UsageError for what is neither, and for one name twice."""
    if not names:
        return lambda: pulled_bundles() | packaged_bundles(), packaged_generators()
    bundles, generators = dict[str, Path](), dict[str, Path]()
    for given in names:
        folder = packaged_generators().get(given) or find_bundle(given)
        manifest = read_object(folder / MANIFEST, UsageError, f"the {MANIFEST} of {shorten(given)}")
        name = given if given in (pulled_bundles() | packaged_bundles()) else str(manifest.get("name") or folder.name)
        if name in bundles or name in generators:
            raise UsageError(f"two models are called '{shorten(name)}': serve one of them")
        (generators if manifest.get("kind") == GENERATOR else bundles)[name] = folder
    return lambda: bundles, generators


def _painter(folder: Path, settings: ServeConfig) -> GenerationService:
    from reverie.generator import Generator
    from reverie.server.pictures.demo import facts_of
    from reverie.server.pictures.service import GenerationService

    return GenerationService(Generator.load(folder), settings, facts_of(folder))


def _talks() -> TalkLog | None:
    """The user's log of talks; None, and a line in the server's log, where it cannot be opened."""
    from reverie.talks import TalkLog

    try:
        return TalkLog()
    except ReverieError as error:
        logging.getLogger("reverie.server").warning("no talk is kept: %s", error)
        return None


def _metrics(hosting: Hosting) -> APIRouter:
    from fastapi import APIRouter, Response

    routes = APIRouter()

    @routes.get("/metrics", response_model=None)
    async def metrics() -> Any:
        """How things are, in Prometheus' text form."""
        return Response(hosting.numbers(), media_type=hosting.metrics.content_type)

    return routes


class _Everything:
    """Language models and generators, as one ``Work``."""

    def __init__(self, hosting: Hosting, pictures: Mapping[str, GenerationService], log: TalkLog | None):
        self._hosting, self._workers, self._log = hosting, [one.worker for one in pictures.values()], log

    @property
    def is_open(self) -> bool:
        return self._hosting.is_open

    def ready(self) -> bool:
        return self._hosting.ready() or (self._hosting.is_open and bool(self._workers))

    def stop(self) -> None:
        self._hosting.stop()
        for worker in self._workers:
            worker.stop()

    def close(self) -> None:
        with contextlib.suppress(ReverieError):
            self._hosting.close()
        for worker in self._workers:
            worker.close()
        if self._log is not None:
            self._log.close()
