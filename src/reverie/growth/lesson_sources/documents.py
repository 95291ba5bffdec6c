"""Lessons out of what the memory holds: its facts, and the passages of documents that speak of a gap.

A sentence is one thing to learn. Facts that rules read in it become questions, and its last name or number is left out.
A teacher answers the gap's own questions from the sentences nearest to them, and asks and answers others about each.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.data import FactRow
from reverie.growth.alike import question_terms, telling
from reverie.growth.asking import answer_prompt, in_other_words, read_prompt, replies, rewords, said_lines
from reverie.growth.asking import said as _said
from reverie.growth.contract import EXTRACTED, GapLesson
from reverie.growth.lesson_sources.wording import asked, cloze
from reverie.memory.relation_patterns import MENTIONS, relation_words
from reverie.memory.sentences import read_facts, sentences
from reverie.memory.taught import ANSWERED, DENIED
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory import Memory
    from reverie.memory.contract import Node
    from reverie.memory.documents import StoredDocument
    from reverie.teachers.contract import Teacher

__all__ = ["DocumentLessons"]

_RECALLED = 20  # passages and facts a question
_READ = 2  # sentences that one of the gap's own questions is answered from
_TOGETHER = 8  # sentences that a teacher is asked about side by side
_FEWEST = 4  # words of a sentence that says something
_POINTS_BACK = re.compile(
    r"^(?:it|its|they|their|this|that|these|those|he|she|his|her|such|both|the (?:other|first|last|"
    r"second|latter|former)|(?:\w+,? )?(?:this|these|of (?:them|these)))\b",
    re.IGNORECASE,
)


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
        said = [one for node, document, place in self._passages(near) for one in _sentences(node, document, place)]
        if self.teacher is not None:
            yield from self._answered(questions, said)
        for start in range(0, len(said), _TOGETHER):
            some = said[start : start + _TOGETHER]
            yield from (lesson for sentence in some for lesson in _by_rules(sentence))
            if self.teacher is not None:
                yield from self._by_teacher(some)
                if self.teacher.counts.stopped:
                    return
        yield from (one.lesson(*pair, read=True) for one in said for pair in cloze(one.text, one.title, one.before))

    def _passages(self, near: dict[int, float]) -> Iterator[tuple[Node, StoredDocument, str]]:
        """Passages with their documents and places: those that were recalled, then the others of their documents."""
        documents = {one.id: one for one in self.memory.documents.list()}
        of = self.memory.store.documents_of([*near])
        if self._document is not None:
            near, chosen = (
                {node: score for node, score in near.items() if of.get(node) == self._document},
                [self._document],
            )
        else:
            chosen = [*dict.fromkeys(of[node] for node in sorted(near, key=lambda one: -near[one]) if node in of)]
        known = {
            node.id: (node, documents[number], f"document:{documents[number].title}#p{position}")
            for number in chosen
            for position, node in enumerate(self.memory.documents.passages(number), 1)
        }
        yield from (known.pop(node) for node in sorted(near, key=lambda one: -near[one]) if node in known)
        yield from known.values()

    def _answered(self, questions: Sequence[str], said: Sequence[_Sentence]) -> Iterator[GapLesson]:
        """The gap's own questions, each with what the teacher reads in the sentences that share most with it."""
        assert self.teacher is not None
        held = Counter(term for one in said for term in {*question_terms(one.shown)})
        pairs = list[tuple[str, _Sentence]]()
        for question in questions:
            terms = {*question_terms(question)}
            near = [sum(1 / held[term] for term in terms & {*question_terms(one.shown)}) for one in said]
            best = sorted(range(len(said)), key=lambda place: -near[place])[:_READ]
            best = sorted(place for place in best if 2 * near[place] > near[best[0]])
            if best:
                shown = " ".join([said[best[0]].shown, *(said[place].text for place in best[1:])])
                pairs.append((question, replace(said[max(best, key=lambda place: near[place])], shown=shown)))
        told = replies(self.teacher, [answer_prompt(question, one.shown) for question, one in pairs])
        for (question, one), answer in zip(pairs, map(_said, told), strict=True):
            if answer:
                yield GapLesson(question, answer, one.place, passage=one.shown)

    def _by_teacher(self, some: Sequence[_Sentence]) -> Iterator[GapLesson]:
        assert self.teacher is not None
        told = replies(self.teacher, [read_prompt(one.shown) for one in some])
        made = list[GapLesson]()
        for sentence, reply in zip(some, map(said_lines, told), strict=True):
            if len(reply) > 1 and reply[0].endswith("?"):
                made.append(sentence.lesson(reply[0], reply[1]))
        yield from made
        worded = replies(self.teacher, [in_other_words(one.question) for one in made]) if made else []
        for lesson, words in zip(made, map(_said, worded), strict=True):
            if rewords(lesson.question, words):
                yield replace(lesson, question=words, of=lesson.question)


@dataclass(frozen=True)
class _Sentence:
    """A sentence of a passage. ``shown``: with its title, and with the one before where it points there."""

    text: str
    shown: str
    title: str
    place: str
    before: str  # the one before, where it points there

    def lesson(self, question: str, answer: str, triplet: FactRow | None = None, read: bool = False) -> GapLesson:
        """A question that names nothing is asked about the title. ``read``: by rules."""
        named = telling(question) or {*question_terms(question)} & {*question_terms(self.title)}
        asked = question if named or not self.title else f"{self.title}: {question[:1].lower()}{question[1:]}"
        return GapLesson(asked, answer, self.place, (EXTRACTED,) if read else (), triplet, self.shown)


def _of_fact(fact: Fact) -> Iterator[GapLesson]:
    if fact.relation == ANSWERED:
        yield GapLesson(fact.subject, fact.object, f"memory:{fact.source}")
    elif fact.relation not in (DENIED, MENTIONS):
        row = FactRow(fact.subject, fact.relation, fact.object, source=f"memory:{fact.source}")
        yield from (GapLesson(question, answer, row.source, triplet=row) for question, answer in asked(row))


def _by_rules(sentence: _Sentence) -> Iterator[GapLesson]:
    for subject, relation, thing in read_facts(sentence.text):
        row = FactRow(subject, relation, thing, source=sentence.place)
        if relation_words(relation) != "capable of":  # "can" says too little of what is asked
            yield from (sentence.lesson(question, answer, row, read=True) for question, answer in asked(row))


def _sentences(node: Node, document: StoredDocument, place: str) -> Iterator[_Sentence]:
    """What a passage says, each sentence once; headings and pieces of what was cut are none. A title that is only the
    name of a file tells nothing."""
    title = document.title if node.name.startswith(document.title) else node.name  # of a record in a list
    title = "" if title.casefold() == Path(document.source).stem.casefold() else title
    before = ""
    for text in dict.fromkeys(_whole(node.text)):
        if len(text.split()) >= _FEWEST and text[-1] in ".!":
            led = f"{before} " if before and _POINTS_BACK.search(text) else ""
            yield _Sentence(text, (f"{title}: " if title else "") + led + text, title, place, led)
        before = text


def _whole(text: str) -> Iterator[str]:
    """Sentences; what goes on in small letters, as after "H." or "approx.", is no new one."""
    held = ""
    for part in sentences(text):
        if held and not part[0].islower():
            yield held
            held = ""
        held = f"{held} {part}".strip()
    if held:
        yield held
