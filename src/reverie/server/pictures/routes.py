"""All endpoints of the generator, in the three shapes."""

from __future__ import annotations

from fastapi import APIRouter

from reverie.server.pictures.native_api import native_routes
from reverie.server.pictures.ollama_api import ollama_routes
from reverie.server.pictures.openai_api import openai_routes
from reverie.server.pictures.service import GenerationService

__all__ = ["picture_routes"]


def picture_routes(service: GenerationService) -> list[APIRouter]:
    return [openai_routes(service), native_routes(service), ollama_routes(service)]
