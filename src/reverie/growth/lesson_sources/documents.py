"""Lessons out of what the memory holds: its facts, and the passages of documents that speak of a gap.

A sentence is one thing to learn. Without a teacher facts that rules read in it become questions, else its last name or
number is left out. A teacher is shown it, and asks and answers a question about it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reverie.data import FactRow
from reverie.growth.asking import in_other_words, read_prompt, replies, said, said_lines
from reverie.growth.contract import GapLesson
from reverie.growth.lesson_sources.wording import asked, cloze
from reverie.memory.relation_patterns import MENTIONS, relation_words
from reverie.memory.sentences import read_facts, sentences
from reverie.memory.taught import ANSWERED, DENIED
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory import Memory
    from reverie.memory.contract import Node
    from reverie.teachers.contract import Teacher

__all__ = ["DocumentLessons"]

_RECALLED = 20  # passages and facts a question
_TOGETHER = 8  # sentences that a teacher is asked about side by side
_FEWEST = 4  # words of a sentence that says something


class DocumentLessons:
    """Of all documents that speak of the gap, or of the one of that ``name`` (its path, file name, title or #id).

    Raises MemoryStoreError where there is no such document.
    """

    def __init__(self, memory: Memory, name: str = "", teacher: Teacher | None = None):
        self.memory, self.teacher = memory, teacher
        self._document = memory.documents.find(name).id if name else None
        self.name = f"document:{name}" if name else "documents"

    def lessons(self, questions: Sequence[str], count: int, rng: random.Random) -> Iterator[GapLesson]:
        """The memory's own facts first, then sentence by sentence of the passages, the nearest to the questions
        first."""
        found = [self.memory.recall(question, _RECALLED) for question in questions]
        if self._document is None:
            facts = {fact.id: fact for some in found for fact in some.facts if fact.holds}
            yield from (lesson for fact in facts.values() for lesson in _of_fact(fact))
        near = {
            node.id: max(score for some in found for one, score in some.nodes if one.id == node.id)
            for recalled in found
            for node, _ in recalled.nodes
            if node.kind == "passage"
        }
        said = [one for node, place in self._passages(near) for one in _sentences(node, place)]
        for start in range(0, len(said), _TOGETHER):
            some = said[start : start + _TOGETHER]
            yield from (lesson for source, sentence in some for lesson in _by_rules(source, sentence))
            if self.teacher is not None:
                yield from self._by_teacher(some)
                if self.teacher.counts.stopped:
                    return
        if self.teacher is None:
            yield from (
                GapLesson(question, answer, source, passage=sentence)
                for source, sentence in said
                for question, answer in cloze(sentence)
            )

    def _passages(self, near: dict[int, float]) -> Iterator[tuple[Node, str]]:
        """Passages with where they stand: those that were recalled, then the others of their documents."""
        documents = {number: one for one in self.memory.documents.list() for number in [one.id]}
        of = self.memory.store.documents_of([*near])
        if self._document is not None:
            near, chosen = (
                {node: score for node, score in near.items() if of.get(node) == self._document},
                [self._document],
            )
        else:
            chosen = [*dict.fromkeys(of[node] for node in sorted(near, key=lambda one: -near[one]) if node in of)]
        known = {
            node.id: (node, f"document:{documents[number].title}#p{position}")
            for number in chosen
            for position, node in enumerate(self.memory.documents.passages(number), 1)
        }
        yield from (known.pop(node) for node in sorted(near, key=lambda one: -near[one]) if node in known)
        yield from known.values()

    def _by_teacher(self, some: Sequence[tuple[str, str]]) -> Iterator[GapLesson]:
        assert self.teacher is not None
        told = replies(self.teacher, [read_prompt(sentence) for _, sentence in some])
        made = list[GapLesson]()
        for (source, sentence), reply in zip(some, map(said_lines, told), strict=True):
            if len(reply) > 1 and reply[0].endswith("?"):
                made.append(GapLesson(reply[0], reply[1], source, passage=sentence))
        yield from made
        worded = replies(self.teacher, [in_other_words(one.question) for one in made]) if made else []
        for lesson, words in zip(made, map(said, worded), strict=True):
            if words.endswith("?") and words != lesson.question:
                yield GapLesson(words, lesson.answer, lesson.source, passage=lesson.passage, of=lesson.question)


def _of_fact(fact: Fact) -> Iterator[GapLesson]:
    if fact.relation == ANSWERED:
        yield GapLesson(fact.subject, fact.object, f"memory:{fact.source}")
    elif fact.relation not in (DENIED, MENTIONS):
        row = FactRow(fact.subject, fact.relation, fact.object, source=f"memory:{fact.source}")
        yield from (GapLesson(question, answer, row.source, triplet=row) for question, answer in asked(row))


def _by_rules(source: str, sentence: str) -> Iterator[GapLesson]:
    for subject, relation, thing in read_facts(sentence):
        row = FactRow(subject, relation, thing, source=source)
        if relation_words(relation) != "capable of":  # "can" says too little of what is asked
            yield from (GapLesson(ask, answer, source, (), row, sentence) for ask, answer in asked(row))


def _sentences(node: Node, place: str) -> Iterator[tuple[str, str]]:
    """(where it stands, a sentence) of a passage, each once."""
    yield from (
        (place, sentence) for sentence in dict.fromkeys(sentences(node.text)) if len(sentence.split()) >= _FEWEST
    )
