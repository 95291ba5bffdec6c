"""A line in the log for each request: what was asked, how it ended, how long it took. Never what was said."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestLog"]

log = logging.getLogger("reverie.server.requests")


class RequestLog:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            took, client = time.monotonic() - started, scope.get("client") or ("",)
            fields = {
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "seconds": round(took, 4),
                "key": scope.get("state", {}).get("key", ""),
                "client": client[0],
            }
            log.info("%s %s %s in %.3f s", fields["method"], fields["path"], status or "cut off", took, extra=fields)
