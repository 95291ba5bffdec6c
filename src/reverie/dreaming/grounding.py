"""What a session rests its answers on: the memory is asked beside dreaming, and may be told what was dreamed.

A dream's **claim** is (situation, outcome) in words; facts of the relation ``Causes`` about the same situation speak
for or against it. A fact counts with its confidence, and sources that agree add up: a single false one is outvoted.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.data import FactRow, Row
from reverie.data.documents.cutting import PassageConfig, pieces
from reverie.dreaming.question import Question
from reverie.dreaming.reading import gives_orders
from reverie.errors import UsageError, shorten
from reverie.nouns import CAUSES, SAYS, Answer, Dream, Fact
from reverie.tokens.questions import MAX_CHARS, clean_question

if TYPE_CHECKING:
    from reverie.memory.contract import Node, Place
    from reverie.memory.memory import Memory

__all__ = [
    "SAYS_SO",
    "Evidence",
    "GroundingConfig",
    "MemoryGrounding",
    "Remembering",
    "agreed",
    "named_first",
    "normalise",
]

SAYS_SO = "says what the dream says"  # the reason of a fact that bears the winning dream out


@dataclass(frozen=True)
class GroundingConfig:
    """How far an answer listens to the memory."""

    recalled: int = 8  # most facts that an answer names besides those about its own claim
    trusted: float = 0.9  # confidences of the sources about a situation, added up, from which they overrule a dream
    clear: float = 0.6  # share of them that must agree for that
    backed: float = 0.2  # share of them that saves a dream: a source and a dream that agree found it separately
    relevant: float = 0.2  # score from which a recalled fact is worth naming
    readable: float = 0.1  # and a passage worth reading: what follows on a passage that is named seldom names it again
    excerpt: int = 360  # characters of a passage that are read at once
    wordless: float = 0.4  # share of its score that a piece of a passage loses where the question has none of its words
    silent: tuple[str, ...] = ("About", "mentions")  # relations that lead to facts, and say nothing themselves
    remembered: float = 0.5  # confidence of what was only dreamed, as a share of the answer's


class Evidence:
    """What is remembered about the situations that some dreams are in. ``facts``: situation → its facts."""

    def __init__(self, facts: Mapping[str, Sequence[Fact]], config: GroundingConfig):
        self.facts, self.config = facts, config

    def shares(self, situation: str) -> dict[str, float]:
        """Outcome (as ``normalise`` has it) → the share of the trusted sources that name it.

        A source may name several, because circumstances that words do not tell (how far left it lay) lead to
        different ends of one situation: so the shares may add up to more than 1.
        """
        sources = self._sources(situation)
        total = sum(map(_trust, sources.values()))
        shares: dict[str, float] = {}
        for told in sources.values() if total else ():
            for outcome in told:
                shares[outcome] = shares.get(outcome, 0.0) + _trust(told) / total
        return shares

    def support(self, dream: Dream) -> float | None:
        """How far memory bears out what a dream claims, in [0, 1]; None where it knows nothing of the situation.

        What is little trusted moves it little from one half.
        """
        if dream.claim is None or not (shares := self.shares(dream.claim[0])):
            return None
        trust = min(1.0, self._weight(dream.claim[0]) / self.config.trusted)
        return 0.5 + (shares.get(normalise(dream.claim[1]), 0.0) - 0.5) * trust

    def overruling(self, dream: Dream) -> Fact | None:
        """The fact that a dream contradicts, where what is remembered is trusted and clear; None otherwise."""
        if dream.claim is None or not (shares := self.shares(dream.claim[0])):
            return None
        outcome = max(shares, key=lambda one: shares[one])
        clear = shares[outcome] >= self.config.clear and shares.get(normalise(dream.claim[1]), 0.0) < self.config.backed
        if not clear or self._weight(dream.claim[0]) < self.config.trusted:
            return None
        about = self.facts[dream.claim[0]]
        return max((f for f in about if normalise(f.object) == outcome), key=lambda fact: fact.confidence)

    def _sources(self, situation: str) -> dict[str, dict[str, float]]:
        """Source → outcome → confidence."""
        sources: dict[str, dict[str, float]] = {}
        for fact in self.facts.get(situation, ()):
            told = sources.setdefault(fact.source, {})
            told[normalise(fact.object)] = max(told.get(normalise(fact.object), 0.0), fact.confidence)
        return sources

    def _weight(self, situation: str) -> float:
        return sum(map(_trust, self._sources(situation).values()))

    def about(self, dream: Dream) -> list[Fact]:
        """The facts about a dream's situation, those that bear it out first."""
        if dream.claim is None:
            return []
        situation, outcome = dream.claim
        speaks = "says otherwise than the dream"
        facts = [
            replace(f, reason=SAYS_SO if normalise(f.object) == normalise(outcome) else speaks)
            for f in self.facts.get(situation, ())
        ]
        return sorted(facts, key=lambda fact: (fact.reason != SAYS_SO, -fact.confidence))


class MemoryGrounding:
    """The memory of one session: one that is given, and what the bundle knows of its worlds.

    The bundle's facts lie in a temporary memory that is read beside one that an address names: whoever keeps facts of
    their own keeps those alone, and still asks both. Their ids are below 0. An open Memory is asked alone.

    Args:
        memory: an open Memory, or the address of one (see ``Store.open``); None: temporary; False: none at all
        starter_facts: makes the rows of the bundle's facts

    Attributes:
        as_of: the moment or span (seconds since 1970) in which what is recalled is to hold; None: now, or as asked
    """

    def __init__(
        self,
        memory: Memory | str | Path | bool | None,
        starter_facts: Iterable[Row] = (),
        config: GroundingConfig | None = None,
    ):
        if memory is True:
            raise UsageError("memory is an address or an open Memory; None uses a temporary one, False none")
        self.config = config or GroundingConfig()
        self._given, self._starter_facts = memory, starter_facts
        self.as_of: tuple[float, float] | float | None = None
        self._memory: Memory | None = None
        self._starter: Memory | None = None
        self._drops: list[weakref.finalize[Any, Any]] = []

    @property
    def memory(self) -> Memory | None:
        """The memory that may be written to, opened when it is first needed."""
        if self._memory is None and self._given is not False:
            from reverie.memory.memory import Memory

            if isinstance(self._given, Memory):
                self._memory = self._given
            elif self._given is None:
                self._memory = self._temporary()
                self._given = None if self._memory else False
            else:
                self._memory = Memory.open(str(self._given))
                self._drops.append(weakref.finalize(self, _drop, self._memory, None))
                self._starter = self._temporary()
        return self._memory

    def _temporary(self) -> Memory | None:
        """A memory of the bundle's facts, which ends with the session; None where there are none."""
        from reverie.memory.memory import Memory

        if not (first := list(self._starter_facts)):
            return None
        folder = Path(tempfile.mkdtemp(prefix="reverie-"))
        made = Memory.open(folder / "memory.db")
        self._drops.append(weakref.finalize(self, _drop, made, folder))
        made.write(first)
        return made

    def _layers(self) -> list[Memory]:
        """What is asked: the memory, then the bundle's facts where they lie beside it."""
        return [layer for layer in (self.memory, self._starter) if layer is not None]

    def close(self) -> None:
        """Close what was opened here; what is temporary is gone then."""
        for drop in self._drops:
            drop()
        self._drops.clear()
        self._memory = self._starter = None

    def recall(self, question: str, passages: bool = False) -> tuple[Fact, ...]:
        """The facts that matter to ``question`` and hold when it asks, best first; with ``passages`` also what
        documents say, in facts of the relation ``SAYS`` whose object is a passage's text."""
        told: list[Fact] = []
        for layer in self._layers():
            # ``found.answered`` is not heeded: who reads finds out whether it answers, and of the questions of
            # ``bench passages``, all passages in one memory, it would withhold 11 of 39 that were read right
            found = layer.recall(question, 2 * self.config.recalled, as_of=self.as_of)
            telling = [f for f in found.facts if f.score >= self.config.relevant and f.holds]
            told += self._of(layer, [f for f in telling if f.relation not in self.config.silent])
            for node, score in found.nodes if passages else ():
                if node.kind == "passage" and node.text and score >= self.config.readable:
                    told += excerpts(question, node, score, found.places.get(node.id), self.config)
        if passages or self._starter:
            told.sort(key=lambda fact: -fact.score)
        return tuple(_once(told))[: self.config.recalled]

    def _of(self, layer: Memory, facts: Sequence[Fact]) -> list[Fact]:
        """``facts`` of that layer with ids that no other layer has."""
        return [replace(fact, id=-fact.id) for fact in facts] if layer is self._starter else list(facts)

    def evidence(self, dreams: Iterable[Dream]) -> Evidence:
        """What is remembered about what these dreams claim, and holds. Facts that give orders say nothing: words of a
        memory are data."""
        situations = {dream.claim[0] for dream in dreams if dream.claim}
        facts: dict[str, list[Fact]] = {}
        for layer in self._layers() if situations else ():
            for situation in situations:
                edges = [
                    edge
                    for node in layer.store.find(situation)
                    for edge in layer.store.edges_of(node.id)
                    if edge.relation == CAUSES and edge.subject == node.id
                ]
                telling = layer.times.holding(layer.store, edges, self.as_of) if edges else []
                if telling := [fact for fact in telling if not gives_orders(fact.object)]:
                    facts[situation] = _once([*facts.get(situation, ()), *self._of(layer, telling)])
        return Evidence(facts, self.config)


class Remembering:
    """An observer that keeps what the winning dream claims, as a fact of its own low confidence."""

    def __init__(self, grounding: MemoryGrounding, by: str):
        self.grounding, self.by = grounding, by

    def answered(self, question: Question, answer: Answer) -> Answer:
        """The answer with the id of that fact. Raises UsageError where there is nothing to keep, or nowhere."""
        memory = self.grounding.memory
        claim = answer.dreams[answer.verdict.branch].claim if answer.known and answer.dreams else None
        if memory is None or claim is None:
            why = "there is no memory" if memory is None else "no dream says in words what happens"
            raise UsageError(f"there is nothing to remember of this answer: {why}")
        confidence = round(self.grounding.config.remembered * answer.confidence, 3)
        about = ("action", "outcome", f"dreamed by {self.by}")
        origin = clean_question(shorten(question.text, MAX_CHARS))
        row = FactRow(claim[0], CAUSES, claim[1], *about, confidence, origin=origin)
        kept = int(memory.write([row]).edges[0])
        return replace(answer, attribution=replace(answer.attribution, remembered=kept))


def excerpts(question: str, node: Node, score: float, place: Place | None, config: GroundingConfig) -> list[Fact]:
    """What a passage says, in pieces that a small base can read, as facts: their source is the document's, their origin
    its title. A piece that holds no word of the question counts less."""
    from reverie.memory.lexical import asked_terms
    from reverie.memory.terms import terms

    asked, (source, title) = asked_terms(question), (place.source, place.title) if place else ("", "")
    found = []
    for piece in pieces(node.text, PassageConfig(config.excerpt, config.excerpt // 4)):
        shared = sum(light for term, light in asked.items() if term in set(terms(piece))) / (sum(asked.values()) or 1)
        worth = score * (1 - config.wordless * (1 - shared))
        found.append(Fact(node.name, SAYS, piece, source or node.name, worth, origin=title, reason="a passage"))
    return found


def _drop(memory: Memory, folder: Path | None) -> None:
    memory.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _once(facts: Iterable[Fact]) -> list[Fact]:
    """Without what the same source says again, in another layer."""
    first: dict[tuple[object, ...], Fact] = {}
    for fact in facts:
        first.setdefault((fact.subject, fact.relation, fact.object, fact.source, fact.valid_from), fact)
    return list(first.values())


def _trust(told: Mapping[str, float]) -> float:
    """How far a source is trusted about one situation: in all, when it names several outcomes."""
    return min(1.0, sum(told.values()))


def normalise(words: str) -> str:
    """Words without case, outer spaces and the final period: what two wordings of one outcome share."""
    return " ".join(words.casefold().split()).rstrip(".")


def agreed(facts: Sequence[Fact]) -> list[Fact]:
    """``facts`` without those that most sources of the same subject and relation deny by naming another outcome."""
    about: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.relation == CAUSES:
            about.setdefault(fact.subject, []).append(fact)
    told = Evidence(about, GroundingConfig())
    shares = {subject: told.shares(subject) for subject in about}
    return [f for f in facts if f.relation != CAUSES or shares[f.subject].get(normalise(f.object), 0.0) >= 0.5]


def named_first(first: Sequence[Fact], then: Sequence[Fact]) -> tuple[Fact, ...]:
    """``first``, then those of ``then`` that are not among them."""
    told = {fact.id for fact in first}
    return (*first, *(fact for fact in then if fact.id not in told))
