"""All endpoints of the generator, in the three shapes."""

from __future__ import annotations

from fastapi import APIRouter

from reverie.server.pictures.native_api import native_routes
from reverie.server.pictures.ollama_api import ollama_routes
from reverie.server.pictures.openai_api import openai_routes
from reverie.server.pictures.studio import Studio

__all__ = ["picture_routes"]


def picture_routes(studio: Studio) -> list[APIRouter]:
    return [openai_routes(studio), native_routes(studio), ollama_routes(studio)]
