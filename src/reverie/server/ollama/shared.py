"""What several endpoints say alike: times, sizes, lines, answers that come bit by bit or whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from reverie.server.http.streams import json_lines, unless_gone

__all__ = ["answered", "iso", "nanoseconds", "now"]


def iso(seconds: float | None) -> str:
    """Seconds since 1970 as text; None is further than anybody waits."""
    when = datetime(2318, 1, 1, tzinfo=UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def now() -> str:
    return iso(datetime.now(UTC).timestamp())


def nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


async def answered(lines: AsyncIterator[dict[str, Any]], stream: bool | None, request: Request) -> Response:
    """JSON lines as they come; else the last of them alone."""
    if stream is not False:
        return json_lines(lines)
    return JSONResponse(await unless_gone(request, _last(lines)))


async def _last(lines: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    async for one in lines:
        last = one
    return last
