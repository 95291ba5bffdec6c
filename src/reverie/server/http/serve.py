"""Listening: a socket whose faults are one line, a server that ends well at Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from reverie.errors import UsageError

if TYPE_CHECKING:
    from reverie.server.http.app import Application

__all__ = ["listen", "make_server", "serve", "url_of"]

_GRACE_S = 10  # for requests under way, once the server is told to stop
_MAX_CONNECTIONS = 4096  # beyond which the server answers 503; those that send nothing are closed soon


def serve(server: Any, listener: socket.socket) -> None:
    """Run what ``make_server`` made until Ctrl-C or SIGTERM; then finish what is under way and return."""
    _take_all_files()
    with _sigterm_as_ctrl_c(), contextlib.suppress(KeyboardInterrupt):  # how such a server ends
        server.run(sockets=[listener])


def make_server(application: Application, grace_s: float = _GRACE_S) -> Any:
    """A uvicorn server for ``serve``. It calls ``when_ready`` once it answers, and ends when ``should_exit`` is set;
    requests under way have ``grace_s`` seconds then."""
    import uvicorn

    from reverie.server.http.connections import PatientProtocol

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
            http=PatientProtocol,
            log_config=None,  # the house's own logs stand
            access_log=False,
            lifespan="on",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=math.ceil(grace_s),
            server_header=False,
            proxy_headers=False,  # nobody's word is taken for who asks
            ws="none",
        )
    )


def _take_all_files() -> None:
    """As many open connections as the system allows: the usual limit is a tenth of what idle ones may take."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 8192 if most == resource.RLIM_INFINITY else min(8192, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


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
def listen(host: str, port: int) -> Iterator[socket.socket]:
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


def url_of(host: str, port: int) -> str:
    """The address for a browser on this machine."""
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return f"http://[{name}]:{port}/" if ":" in name and not name.startswith("[") else f"http://{name}:{port}/"
