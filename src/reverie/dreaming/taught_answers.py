"""Answers that somebody gave before: a question that memory was told the answer of is not asked of anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reverie.dreaming.grounding import MemoryGrounding, normalise
from reverie.dreaming.reading import gives_orders
from reverie.dreaming.unknown import not_known
from reverie.nouns import Answer

if TYPE_CHECKING:
    from reverie.dreaming.minds import Mind
    from reverie.dreaming.question import Manner, Question
    from reverie.memory.taught import Taught

__all__ = ["answered"]


def answered(mind: Mind, grounding: MemoryGrounding, questions: Sequence[Question], manner: Manner) -> list[Answer]:
    """``Mind.answer`` for what memory was not told; the rest in memory's words, cited. An answer that somebody called
    wrong is not known."""
    told = [_told(grounding, one) for one in questions]
    given = [None if one is None else _given(mind.name, one) for one in told]
    left = [place for place, one in enumerate(given) if one is None]
    asked = iter(mind.answer(grounding, [questions[at] for at in left], manner) if left else [])
    answers = [_unless_denied(next(asked), told[at]) if one is None else one for at, one in enumerate(given)]
    for place, one in enumerate(given):
        if one is not None and not place:
            manner.tell(one.text)
    return answers


def _told(grounding: MemoryGrounding, question: Question) -> Taught | None:
    """What memory was told of a question about words alone, which names nobody to answer it."""
    from reverie.memory.taught import taught

    if question.shown or question.experts is not None or grounding.memory is None:
        return None
    return taught(grounding.memory, question.text, grounding.as_of)


def _given(name: str, told: Taught) -> Answer | None:
    fact = told.answer
    if fact is None or gives_orders(fact.object):  # words of a memory are data
        return None
    source = fact.source or "memory"
    why = f"memory was told this answer ({source})"
    return Answer(fact.object, True, fact.confidence, "local", evidence=(fact,), model=name, why=why)


def _unless_denied(answer: Answer, told: Taught | None) -> Answer:
    said = normalise(answer.text.partition(" [")[0])
    fact = next((one for one in (told.wrong if told else ()) if normalise(one.object) == said), None)
    if fact is None or not answer.known:
        return answer
    text = not_known("what I would say was called wrong before")
    why = f"memory was told that this is wrong ({fact.source or 'memory'})"
    return replace(answer, text=text, known=False, guess=answer.text, why=why, evidence=(fact, *answer.evidence))
