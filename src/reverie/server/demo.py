"""``run_demo``: load a generator, listen, serve the page and the endpoints until Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import MissingExtraError, UsageError
from reverie.files import sha256_of
from reverie.server.settings import DemoSettings

if TYPE_CHECKING:
    from reverie.server.app import Application
    from reverie.server.studio import BundleFacts

__all__ = ["DemoSettings", "prepared_demo", "run_demo"]

_GRACE_S = 10  # for requests under way, once the server is told to stop
_MAX_CONNECTIONS = 128  # beyond which the server answers 503


def run_demo(generator_dir: Path, settings: DemoSettings, ready: Callable[[str], None] | None = None) -> None:
    """Serve the generator in ``generator_dir`` until Ctrl-C or SIGTERM; then finish what is under way and return.

    Args:
        ready: called once with the address of the page, when requests are answered

    Raises BundleError where there is no sound generator, UsageError where the port is taken, MissingExtraError without
    the extra ``serve``.
    """
    with prepared_demo(generator_dir, settings) as (server, listener):
        url = _url(settings.host, listener.getsockname()[1])
        server.when_ready = lambda: _announce(url, settings, ready)
        with _sigterm_as_ctrl_c(), contextlib.suppress(KeyboardInterrupt):  # how such a server ends
            server.run(sockets=[listener])


@contextlib.contextmanager
def prepared_demo(generator_dir: Path, settings: DemoSettings) -> Iterator[tuple[Any, socket.socket]]:
    """A server that is not yet running and the socket for its ``run``. It ends when ``should_exit`` is set."""
    with _quiet_surroundings() as cache, _listen(settings.host, settings.port) as listener:
        yield _make_server(_make_app(Path(generator_dir), settings, cache)), listener


def _make_server(application: Application) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        when_ready: Callable[[], None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and self.when_ready is not None:
                self.when_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            application.stop()  # before waiting for connections, some of which would stay for ever
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            application.asgi,
            log_config=None,  # the house's own logs stand
            access_log=False,
            lifespan="on",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
            server_header=False,
            proxy_headers=False,  # nobody's word is taken for who asks
            ws="none",
        )
    )


def _make_app(folder: Path, settings: DemoSettings, cache: Path) -> Application:
    _need_libraries(settings.page)
    from reverie.generator import Generator
    from reverie.server.app import make_app
    from reverie.server.studio import Studio

    studio = Studio(Generator.load(folder), settings.limits, facts_of(folder))
    if not settings.page:
        return make_app(studio, settings.doors)
    from reverie.server.page import mount_page

    return make_app(studio, settings.doors, lambda api: mount_page(api, studio, settings.max_bytes, cache))


def facts_of(folder: Path) -> BundleFacts:
    """What a bundle's files say about it."""
    from reverie.generator.bundle import MANIFEST, read_generator_manifest
    from reverie.server.studio import BundleFacts

    manifest, path = read_generator_manifest(folder), folder / MANIFEST
    size = sum(int(said.get("bytes", 0)) for said in manifest["files"].values())
    return BundleFacts(int(path.stat().st_mtime), size, sha256_of(path), manifest["weights"])


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """uvicorn ends well at either, then raises the signal again: as Ctrl-C it lets us tidy up behind the server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address: bound here, so that what is wrong with it is said in one line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"there is no address '{host}' to listen on: {error}") from error
    with listener:
        try:
            if os.name == "posix":  # elsewhere this would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()  # only now is it certain that nobody else has the port
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot listen on {host}, port {port}: {reason}. Choose another port or host.") from error
        yield listener


def _url(host: str, port: int) -> str:
    """The address for a browser on this machine."""
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return f"http://[{name}]:{port}/" if ":" in name and not name.startswith("[") else f"http://{name}:{port}/"


def _announce(url: str, settings: DemoSettings, ready: Callable[[str], None] | None) -> None:
    if ready is not None:
        ready(url)
    if settings.open_browser and settings.page:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # some wait for the browser
