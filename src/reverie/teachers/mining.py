"""Facts out of what a teacher said, into a memory: few, of low confidence, and taken back together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reverie.data import FactRow
from reverie.data.facts.lines import checked
from reverie.errors import ConfigError, shorten
from reverie.memory.memory import Memory
from reverie.memory.sentences import read_facts, sentences
from reverie.nouns import CAUSES
from reverie.teachers.traces import Trace

__all__ = ["Mined", "mine"]


@dataclass(frozen=True)
class Mined:
    """What was read out of ``replies`` and their ``sentences``: ``facts``, of which ``new`` ones stood nowhere before.

    ``sources``: the documents of the memory that hold them, one a teacher; ``Memory.documents.delete`` takes one back.
    """

    replies: int
    sentences: int
    facts: int
    new: int
    sources: tuple[str, ...]


def mine(traces: Iterable[Trace], memory: Memory, confidence: float = 0.3) -> Mined:
    """Read facts out of the teacher's words and write them with ``teacher:NAME`` for their source and the prompt for
    their origin. What was cut short ends with its last whole sentence; what is no lesson is left out."""
    if not 0 < confidence <= 1:
        raise ConfigError(f"the confidence of a teacher's facts lies above 0 and at most at 1, got {confidence}")
    rows: dict[str, dict[tuple[str, str, str], FactRow]] = {}
    num_replies = num_sentences = 0
    for trace in traces:
        if trace.flaw:
            continue
        num_replies += 1
        source = f"teacher:{trace.teacher or 'unknown'}"
        asked = trace.prompt if isinstance(trace.prompt, str) else trace.prompt[-1].content
        for sentence in sentences(trace.text):
            num_sentences += 1
            for said in read_facts(sentence):
                kinds = ("action", "outcome") if said[1] == CAUSES and " " in said[0] else ("entity", "entity")
                try:
                    checked(row := FactRow(*said, *kinds, source, confidence, origin=shorten(asked, 80)))
                except ValueError:  # letters that no memory takes
                    continue
                rows.setdefault(source, {}).setdefault((said[0].casefold(), said[1], said[2].casefold()), row)
    new = sum(memory.documents.say(source, "teacher", [*some.values()]).new_edges for source, some in rows.items())
    return Mined(num_replies, num_sentences, sum(map(len, rows.values())), new, tuple(sorted(rows)))
