"""What is said in the place of an answer that is not known: ``say`` that it is not, ``guess`` all the same, or
``strict``: a refusal and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from reverie.nouns import DIRECT, Answer, Attribution

__all__ = ["UNKNOWN_MODES", "Unknown", "not_known", "told_as"]

Unknown = Literal["say", "guess", "strict"]
UNKNOWN_MODES: tuple[str, ...] = get_args(Unknown)
_REFUSAL = "I don't know."


def not_known(reason: str) -> str:
    """The sentence that says that an answer is not known, and why."""
    return f"I don't know this yet: {reason}."


def told_as(answer: Answer, unknown: Unknown) -> Answer:
    """``answer`` as that way has it; a known one as it is."""
    if answer.known or unknown == "say":
        return answer
    if unknown == "guess":
        return replace(answer, text=f"Not sure: {answer.guess}") if answer.guess else answer
    return replace(
        answer, text=_REFUSAL, guess="", dreams=(), verdict=DIRECT, evidence=(), attribution=Attribution(), why=""
    )
