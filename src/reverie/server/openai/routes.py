"""All endpoints of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from reverie.server.hosting import Hosting
from reverie.server.openai.chat import chat_routes
from reverie.server.openai.completions import completion_routes
from reverie.server.openai.embeddings import embedding_routes
from reverie.server.openai.images import image_routes
from reverie.server.openai.models import model_routes
from reverie.server.openai.responses import response_routes
from reverie.server.pictures.service import GenerationService

__all__ = ["openai_api"]


def openai_api(hosting: Hosting, pictures: Mapping[str, GenerationService] | None = None) -> list[APIRouter]:
    """``pictures``: the generators beside the language models, by name."""
    painters = pictures or {}
    return [
        chat_routes(hosting),
        completion_routes(hosting),
        response_routes(hosting),
        embedding_routes(hosting),
        image_routes(painters),
        model_routes(hosting, painters),
    ]
