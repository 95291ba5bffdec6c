"""All endpoints of Ollama's API."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from reverie.server.hosting import Hosting
from reverie.server.ollama.embedding import embedding_routes
from reverie.server.ollama.listing import listing_routes
from reverie.server.ollama.making import making_routes
from reverie.server.ollama.talking import talking_routes
from reverie.server.pictures.service import GenerationService

__all__ = ["ollama_api"]


def ollama_api(
    hosting: Hosting, pictures: Mapping[str, GenerationService] | None = None, manage: bool = False
) -> list[APIRouter]:
    """``pictures``: the generators beside the language models, by name. ``manage``: models may be fetched, made, copied
    and deleted, in the user's own folder."""
    painters = pictures or {}
    return [
        talking_routes(hosting, painters),
        embedding_routes(hosting),
        listing_routes(hosting, painters),
        making_routes(hosting, manage),
    ]
