"""What may be posted to ``/v1/reverie``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from reverie.server.http.body import Body

__all__ = ["AskBody", "DocumentBody", "ExpertBody", "FactBody", "FeedbackBody", "RecallBody", "TurnBody"]

Name = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(min_length=1, max_length=200_000)]
Date = Annotated[str, Field(max_length=40, description="2024, 2024-06 or 2024-06-01")]


class TurnBody(Body):
    """An earlier question of the same talk, and what was answered."""

    question: Words
    answer: Annotated[str, Field(max_length=200_000)]
    guess: Annotated[str, Field(max_length=200_000)] = ""


class AskBody(Body):
    """A question, and how it is to be dreamed and answered."""

    model: Name
    question: Words
    image: Annotated[str | None, Field(description="a picture that dreams start from: base64 or a data: URI")] = None
    world: Name | None = None
    scene: Annotated[str | list[Any] | dict[str, Any] | None, Field(description="a scene of the world")] = None
    history: list[TurnBody] = Field(default_factory=list, max_length=1000)
    branches: Annotated[int, Field(ge=0, le=64)] = 4
    depth: Annotated[int, Field(ge=1, le=64)] = 12
    temperature: Annotated[float | None, Field(ge=0, le=10)] = None
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    max_ids: Annotated[int, Field(ge=1)] = 256
    system: Annotated[str, Field(max_length=200_000)] = ""
    experts: Annotated[
        list[Name] | None, Field(max_length=4, description="name or name=weight; [] for nobody; null: the router")
    ] = None
    unknown: Literal["say", "guess", "strict"] = "say"
    explain: bool = False
    remember: Annotated[bool, Field(description="keep in memory what the winning dream claims")] = False
    talk: Annotated[int | None, Field(ge=1, description="the talk of the log that this belongs to")] = None
    keep: Annotated[bool, Field(description="keep this turn in the log of talks")] = True
    pictures: Annotated[bool, Field(description="tell the pictures of dreams, as data: URIs")] = True
    stream: bool = False


class RecallBody(Body):
    """A question to the memory alone."""

    model: Name
    question: Words
    k: Annotated[int, Field(ge=1, le=100)] = 10
    as_of: Date | None = None


class FactBody(Body):
    """A fact to keep: ``subject`` ``relation`` ``object``."""

    model: Name
    subject: Name
    relation: Name
    object: Annotated[str, Field(min_length=1, max_length=2000)]
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0
    source: Name = "user"
    begins: Annotated[Date | None, Field(alias="from")] = None
    ends: Annotated[Date | None, Field(alias="to")] = None


class DocumentBody(Body):
    """A document to read: its ``name`` says of which kind it is; ``text``, or ``data`` in base64 (PDF)."""

    model: Name
    name: Name
    text: str | None = None
    data: str | None = None


class ExpertBody(Body):
    """An adapter as PEFT saves it: its config, and its safetensors file in base64."""

    model: Name
    name: Name
    config: dict[str, Any]
    weights: str
    trust_base: Annotated[bool, Field(description="take one that does not say which base it was made for")] = False


class GrowBody(Body):
    """An expert for a gap. Lessons come from where the server was told; no request names a file or a teacher."""

    model: Name
    name: Annotated[str, Field(max_length=64, description="the expert's; by default the gap's")] = ""
    lessons: Annotated[int, Field(ge=24, le=2000, description="how many are wished for")] = 200


class FeedbackBody(Body):
    """What somebody says of an answer. ``turn``: its id, as ``ask`` told it."""

    turn: Annotated[int, Field(ge=1)]
    feedback: Literal["good", "wrong"]
    correction: Annotated[str, Field(max_length=20_000)] = ""
