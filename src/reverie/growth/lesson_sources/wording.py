"""Facts and sentences as questions, without a model: by their relation, else with a word left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reverie.data import FactRow
from reverie.memory.relation_patterns import relation_words

__all__ = ["asked", "cloze"]

_MINE = re.compile(r"^(?:capital|currency|author|inventor|colou?r|leader|founder|owner|population|height|age)$")
_ASKED = {
    "is a": "What kind of thing is {0}?",
    "used for": "What is {0} used for?",
    "made of": "What is {0} made of?",
    "part of": "What is {0} part of?",
    "at location": "Where is {0}?",
    "antonym": "What is the opposite of {0}?",
    "created by": "Who created {0}?",
    "born in": "Where was {0} born?",
    "has prerequisite": "What does {0} need?",
    "capable of": "What can {0} do?",
    "not capable of": "What can {0} not do?",
    "has a": "What does {0} have?",
    "has property": "What is {0} like?",
    "capital of": "Of which place is {0} the capital?",
}
_BACK = {"capital of": "What is the capital of {0}?"}  # the object is named, the subject is asked for
_BY = {"written by": "wrote", "founded by": "founded", "directed by": "directed", "composed by": "composed"}
_BY |= {"published by": "published", "painted by": "painted", "led by": "leads", "invented by": "invented"}
_NUMBER = r"\d+(?:[.,]\d+)*(?:\s?[–-]\s?\d+(?:[.,]\d+)*)?"
_NO_UNIT = r"(?!(?:and|or|with|in|on|at|of|for|by|to|from|as|is|are|was|were|but|when|while|after|before|the|an?)\b)"
_SPAN = re.compile(
    rf"(?<=\s){_NUMBER}(?:\s{_NO_UNIT}[a-z]{{1,12}}\b)?|(?<=[a-z,]\s)[A-ZÀ-Þ][\w'’-]+(?:\s(?:of\s)?[A-ZÀ-Þ][\w'’-]+)*"
)


def asked(fact: FactRow) -> Iterator[tuple[str, str]]:
    """Questions of which one end of the fact is the answer. Relations that no words fit give its own completion."""
    words, subject, thing = relation_words(fact.relation), fact.subject, fact.object
    if words == "causes":
        yield (f"What happens if you {subject}?" if " " in subject else f"What does {subject} cause?"), thing
    elif words in _ASKED:
        yield _ASKED[words].format(subject), thing
    elif words in _BY:
        yield f"Who {_BY[words]} {subject}?", thing
    elif _MINE.match(words):
        yield f"What is the {words} of {subject}?", thing
    else:
        yield f"Complete the fact: {subject} {words} …", thing
    if words in _BACK:
        yield _BACK[words].format(thing), subject


def cloze(sentence: str, title: str = "", before: str = "") -> Iterator[tuple[str, str]]:
    """The sentence with its last name or number left out; ``title``: what it is about, ``before``: what it follows."""
    found = [*_SPAN.finditer(sentence)]
    if found and len(sentence.split()) >= 5:
        last = found[-1]
        about = f" about {title}" if title else ""
        yield f"Complete the sentence{about}: {before}{sentence[: last.start()]}…{sentence[last.end() :]}", last.group()
