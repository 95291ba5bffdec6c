"""``GET /v1/models``: bundles, and each of their experts as a model with a ``parent``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from reverie.server.hosting import Hosting, ModelFacts
from reverie.server.pictures.openai_api import model_entry
from reverie.server.pictures.service import GenerationService

__all__ = ["model_routes"]


def model_routes(hosting: Hosting, pictures: Mapping[str, GenerationService]) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """What can be asked by name."""
        data = [entry for facts in hosting.models() for entry in _entries(facts)]
        return {"object": "list", "data": [*data, *map(model_entry, pictures.values())]}

    @routes.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One of them, or a mixture of experts such as smol:causal+spatial@0.7."""
        if name in pictures:
            return model_entry(pictures[name])
        named = hosting.resolve(name)
        return _entry(name, hosting.model_facts(name), named.bundle if named.experts else None)

    return routes


def _entries(facts: ModelFacts) -> list[dict[str, Any]]:
    experts = [_entry(f"{facts.name}:{one}", facts, facts.name) for one in facts.experts]
    return [_entry(facts.name, facts, None), *experts]


def _entry(name: str, facts: ModelFacts, parent: str | None) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": facts.created,
        "owned_by": "reverie",
        "root": facts.name,
        "parent": parent,
        "max_model_len": facts.context,
        "dreams": facts.dreams,
    }
