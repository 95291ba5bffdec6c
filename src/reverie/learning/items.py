"""What a lesson is: a triplet, a question with its answer, a correction, or a thumb; read from one JSON object."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reverie.errors import DataError, UsageError, shorten
from reverie.experts.contract import check_name
from reverie.memory.relation_patterns import relation_words
from reverie.memory.taught import question_key
from reverie.tokens.questions import MAX_CHARS

__all__ = ["Bad", "Item", "parse_item"]

Kind = Literal["triplet", "answer", "correction", "good", "wrong"]
_MAX_ANSWER = 4000  # characters
_KNOWN = frozenset("subject relation object question answer wrong thumb source skill confidence".split())
_FORMS = (
    'a lesson is {"subject", "relation", "object"}, {"question", "answer"}, {"question", "wrong", "answer"} or '
    '{"question", "answer", "thumb": "up" or "down"}'
)


@dataclass(frozen=True)
class Bad:
    """A lesson that cannot be read. ``place``: the file and its line, or the turn of a talk."""

    place: str
    problem: str


@dataclass(frozen=True)
class Item:
    """One lesson. ``answer`` is right, ``wrong`` is not; either may be "". A triplet is also a question about it."""

    kind: Kind
    question: str
    answer: str = ""
    wrong: str = ""
    triplet: tuple[str, str, str] | None = None
    source: str = ""  # who says so
    place: str = ""
    skill: str = ""  # the expert whose lesson it is; "": whoever learns this stream
    confidence: float = 1.0
    single: bool = False  # of a triplet: whether its relation holds one value at a time

    @property
    def key(self) -> str:
        """Lessons of one key are about one thing: of two that differ, the newer counts."""
        if self.triplet is None:
            return question_key(self.question)
        return " / ".join(map(question_key, self.triplet[: 2 if self.single else 3]))

    @property
    def digest(self) -> str:
        """The same for the same lesson, whoever says it."""
        about = [*map(question_key, self.triplet)] if self.triplet else [self.key]
        said = [self.kind, about, " ".join(self.answer.split()), " ".join(self.wrong.split())]
        return hashlib.sha256(json.dumps(said).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def trains(self) -> bool:
        """Whether weights learn it: there is something to say."""
        return bool(self.answer)


def parse_item(fields: Mapping[str, Any], place: str, source: str) -> Item:
    """The lesson that a JSON object says; ``source``: where it does not say who says so. Raises DataError."""
    if strange := sorted(fields.keys() - _KNOWN):
        raise DataError(f"a lesson has no '{shorten(strange[0], 30)}': {_FORMS}")
    about = {"place": place, "source": _text(fields, "source", 200) or source, "confidence": _confidence(fields)}
    if skill := _text(fields, "skill", 64):
        try:
            about["skill"] = check_name(skill)
        except UsageError as error:
            raise DataError(f"skill: {error}") from error
    if "subject" in fields or "relation" in fields or "object" in fields:
        return _triplet(fields, about)
    return _answered(fields, about)


def _triplet(fields: Mapping[str, Any], about: dict[str, Any]) -> Item:
    if "question" in fields or "answer" in fields:
        raise DataError(f"a lesson is a triplet or a question, not both: {_FORMS}")
    said = [_text(fields, name, 1000) for name in ("subject", "relation", "object")]
    if not all(said):
        raise DataError("a triplet has a subject, a relation and an object, and none of them is empty")
    subject, relation, thing = said
    asked = f"Complete the fact: {subject} {relation_words(relation)} …"
    return Item("triplet", asked, thing, triplet=(subject, relation, thing), **about)


def _answered(fields: Mapping[str, Any], about: dict[str, Any]) -> Item:
    question, answer = _text(fields, "question", MAX_CHARS), _text(fields, "answer", _MAX_ANSWER)
    wrong, thumb = _text(fields, "wrong", _MAX_ANSWER), fields.get("thumb")
    if not question or not question_key(question):
        raise DataError(f"the question is missing or has no words; {_FORMS}")
    if thumb is not None:
        if thumb not in ("up", "down") or wrong or not answer:
            raise DataError(f'a thumb is "up" or "down" and about an answer, got {shorten(repr(thumb), 30)}')
        if thumb == "down":
            return Item("wrong", question, wrong=answer, **about)
        return Item("good", question, answer, **about)
    if not answer:
        raise DataError(f"the answer is missing or empty; {_FORMS}")
    if wrong and wrong.casefold() == answer.casefold():
        raise DataError("the wrong answer and the right one are the same")
    return Item("correction" if wrong else "answer", question, answer, wrong, **about)


def _text(fields: Mapping[str, Any], name: str, most: int) -> str:
    """A text, or a finite number as one; "" where there is none. Raises DataError."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{name} is a text, got {shorten(repr(value), 40)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{name} is {value}; a number is finite")
    text = " ".join(str(value).split()) if name != "answer" else str(value).strip()
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError(f"{name} holds letters that cannot be written")
    if len(text) > most:
        raise DataError(f"{name} has {len(text)} characters; at most {most} are learned")
    return text


def _confidence(fields: Mapping[str, Any]) -> float:
    value = fields.get("confidence", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(f"confidence lies between 0 and 1, got {shorten(repr(value), 30)}")
    return float(value)
