"""``run_demo``: load a generator, listen, serve the page and the endpoints until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import MissingExtraError
from reverie.files import sha256_of
from reverie.server.http.serve import listen, make_server, serve, url_of
from reverie.server.http.settings import ServerConfig

if TYPE_CHECKING:
    from reverie.server.http.app import Application
    from reverie.server.pictures.service import BundleFacts

__all__ = ["DemoConfig", "prepared_demo", "run_demo"]


@dataclass(frozen=True)
class DemoConfig(ServerConfig):
    """Where the demo listens, what it allows, and whether it shows a page. Raises ConfigError."""

    page: bool = True  # the web page at /; False leaves the endpoints alone
    open_browser: bool = False  # show the page once it is ready


def run_demo(generator_dir: Path, settings: DemoConfig, ready: Callable[[str], None] | None = None) -> None:
    """Serve the generator in ``generator_dir`` until Ctrl-C or SIGTERM; then finish what is under way and return.

    Args:
        ready: called once with the address of the page, when requests are answered

    Raises BundleError where there is no sound generator, UsageError where the port is taken, MissingExtraError without
    the extra ``serve``.
    """
    with prepared_demo(generator_dir, settings) as (server, listener):
        url = url_of(settings.host, listener.getsockname()[1])
        server.when_ready = lambda: _announce(url, settings, ready)
        serve(server, listener)


@contextlib.contextmanager
def prepared_demo(generator_dir: Path, settings: DemoConfig) -> Iterator[tuple[Any, socket.socket]]:
    """A server that is not yet running and the socket for its ``run``. It ends when ``should_exit`` is set."""
    with _quiet_surroundings() as cache, listen(settings.host, settings.port) as listener:
        yield make_server(_make_app(Path(generator_dir), settings, cache)), listener


def _make_app(folder: Path, settings: DemoConfig, cache: Path) -> Application:
    _need_libraries(settings.page)
    from reverie.generator import Generator
    from reverie.server.http.app import make_app
    from reverie.server.pictures.routes import picture_routes
    from reverie.server.pictures.service import GenerationService

    service = GenerationService(Generator.load(folder), settings, facts_of(folder))
    page = None
    if settings.page:
        from reverie.server.pictures.page import page_beside

        page = page_beside(settings.max_bytes, cache)
    return make_app(picture_routes(service), service.worker, settings.policy, settings, page)


def facts_of(folder: Path) -> BundleFacts:
    """What a bundle's files say about it."""
    from reverie.generator.bundle import MANIFEST, read_generator_manifest
    from reverie.server.pictures.service import BundleFacts

    manifest, path = read_generator_manifest(folder), folder / MANIFEST
    size = sum(int(said.get("bytes", 0)) for said in manifest["files"].values())
    return BundleFacts(int(path.stat().st_mtime), size, sha256_of(path), manifest["weights"])


@contextlib.contextmanager
def _quiet_surroundings() -> Iterator[Path]:
    """The page's library tells nobody that it is used; its files lie in a folder that goes when the server does."""
    with tempfile.TemporaryDirectory(prefix="reverie-demo-", ignore_cleanup_errors=True) as cache:
        wanted = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": cache, "HF_HUB_DISABLE_TELEMETRY": "1"}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield Path(cache)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _need_libraries(page: bool) -> None:
    for name in ("fastapi", "uvicorn", *(("gradio",) if page else ())):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError("the demo", "serve")


def _announce(url: str, settings: DemoConfig, ready: Callable[[str], None] | None) -> None:
    if ready is not None:
        ready(url)
    if settings.open_browser and settings.page:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # some wait for the browser
