"""The server's own HTTP API, asked in process: the page can do nothing that a program elsewhere could not."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.types import ASGIApp

from reverie.server.http.errors import RequestError

__all__ = ["Client", "Received", "Served"]


@dataclass(frozen=True)
class Served:
    """What ``GET /v1/models`` says of the generator."""

    name: str
    side: int  # px that it paints
    card: Mapping[str, Any]  # description, pictures, figures
    hears: bool  # whether a prompt has an effect
    limits: Mapping[str, int]  # count, pixels and letters of one request; how many may wait


@dataclass(frozen=True)
class Received:
    """One picture of an answer."""

    seed: int
    caption: str
    data: bytes  # of its file


class Client:
    """Asks ``app``. Every method raises RequestError with the words that the API has for what it refuses."""

    def __init__(self, app: ASGIApp):
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def served(self) -> Served:
        (model,) = (await self._ask("GET", "/v1/models"))["data"]
        card = {name: model[name] for name in ("description", "pictures", "figures")}
        side = int(model["size"].partition("x")[0])
        return Served(model["id"], side, card, model["follows_prompts"], model["limits"])

    async def paint(self, seed: int, prompt: str, guidance: float, temperature: float) -> Received:
        asked = {"prompt": prompt, "seed": seed, "guidance": guidance, "temperature": temperature}
        (one,) = await self._pictures("/v1/images/generations", asked)
        return one

    async def walk(self, first: int, last: int, steps: int, temperature: float) -> list[Received]:
        asked = {"from": first, "to": last, "steps": steps, "temperature": temperature}
        return await self._pictures("/v1/interpolations", asked)

    async def describe(self, data: bytes) -> str:
        found = await self._ask("POST", "/v1/captions", {"image": base64.b64encode(data).decode()})
        return str(found["data"][0]["caption"])

    async def _pictures(self, path: str, asked: dict[str, Any]) -> list[Received]:
        rows = (await self._ask("POST", path, asked))["data"]
        return [Received(row["seed"], row["caption"], base64.b64decode(row["b64_json"])) for row in rows]

    async def _ask(self, method: str, path: str, asked: dict[str, Any] | None = None) -> dict[str, Any]:
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://localhost", timeout=None, trust_env=False
        ) as client:
            answer = await client.request(method, path, json=asked)
        found: dict[str, Any] = answer.json()
        if answer.is_error:
            raise RequestError(answer.status_code, found["error"]["message"])
        return found
