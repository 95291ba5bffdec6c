"""What is said in the place of an answer that is not known: ``say`` that it is not, ``guess`` all the same, or
``strict``: a refusal and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from reverie.nouns import DIRECT, Answer, Attribution

__all__ = ["UNKNOWN_MODES", "Unknown", "not_known", "own_words", "told_as"]

Unknown = Literal["say", "guess", "strict"]
UNKNOWN_MODES: tuple[str, ...] = get_args(Unknown)
_REFUSAL, _NOT_KNOWN, _NOT_SURE = "I don't know.", "I don't know this yet: ", "Not sure: "


def not_known(reason: str) -> str:
    """The sentence that says that an answer is not known, and why."""
    return f"{_NOT_KNOWN}{reason}."


def own_words(text: str) -> str:
    """What a model itself said of an answer as it is told: a guess without its mark, "" of a refusal. A base that reads
    refusals as its own words refuses whatever is asked next."""
    return "" if text == _REFUSAL or text.startswith(_NOT_KNOWN) else text.removeprefix(_NOT_SURE)


def told_as(answer: Answer, unknown: Unknown) -> Answer:
    """``answer`` as that way has it; a known one as it is."""
    if answer.known or unknown == "say":
        return answer
    if unknown == "guess":
        return replace(answer, text=f"{_NOT_SURE}{answer.guess}") if answer.guess else answer
    return replace(
        answer, text=_REFUSAL, guess="", dreams=(), verdict=DIRECT, evidence=(), attribution=Attribution(), why=""
    )
