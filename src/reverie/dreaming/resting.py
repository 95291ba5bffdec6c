"""What each sentence of an answer rests on: experts, facts, dreams, or nothing of these.

``sentences_of`` makes it of an answer alone, for everybody who shows one: the command line, JSON, a talk, the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reverie.dreaming.grounding import SAYS_SO
from reverie.dreaming.reading import bears_out, told
from reverie.memory.sentences import sentence_spans
from reverie.memory.terms import terms
from reverie.nouns import Answer, Attribution, Backing, Dream, Fact, Sentence

__all__ = ["cited", "sentences_of"]

_CITED = re.compile(r"\[(\d{1,4})\]")
_MARKS = re.compile(r"[\W_]+|\[\d{1,4}\]")  # what no sentence is made of
_HEEDED = 0.5  # share of its attention from which a direct answer rests on a fact that was read before it
_LEAST = 0.01  # share of an expert that is worth its name
_SMALL = frozenset("a an the it is are was were be of in on at to and or not".split())


def sentences_of(answer: Answer) -> tuple[Sentence, ...]:
    """The sentences of an answer, or of its guess where it is not known and has one, each with what it rests on."""
    said = answer.text if answer.known or not answer.guess else answer.guess
    given = _Given(said, answer.attribution)
    return tuple(
        Sentence(
            said[start:end],
            given.shares(start, end),
            tuple(_backing(said[start:end], answer)),
            tuple(_dreams(said[start:end], answer)),
        )
        for start, end in _spans(said)
    )


def cited(text: str) -> frozenset[int]:
    """The places of the evidence that a text cites, from 1."""
    return frozenset(map(int, _CITED.findall(text)))


def _spans(said: str) -> list[tuple[int, int]]:
    """Its sentences; marks and citations behind one belong to it. What is all code is one."""
    spans: list[tuple[int, int]] = []
    for start, end in sentence_spans(said):
        if _MARKS.sub("", _CITED.sub("", said[start:end])):
            spans.append((start, end))
        elif spans:
            spans[-1] = spans[-1][0], end
    return spans or [(0, len(said))] if said.strip() else []


class _Given:
    """The shares of experts in a stretch of what was said, by the ids that it is made of; in all of it where its ids
    are not those of these words, as when another model worded them."""

    def __init__(self, said: str, attribution: Attribution):
        self.experts, pieces = attribution.experts, attribution.ids
        self.ends = list[int]()  # of each id, in what was said
        joined = "".join(pieces)
        at = joined.rfind(said.strip()) if said.strip() else -1
        if at >= 0:
            shift = len(said) - len(said.lstrip()) - at
            for piece in pieces:
                shift += len(piece)
                self.ends.append(shift)

    def shares(self, start: int, end: int) -> dict[str, float]:
        sums = {name: sum(self._within(share.by_id, start, end)) for name, share in self.experts.items()}
        total = sum(sums.values())
        if not total:
            sums = {name: share.contribution for name, share in self.experts.items()}
            total = sum(sums.values())
        shares = {name: size / total for name, size in sums.items()} if total else {}
        return {name: share for name, share in sorted(shares.items(), key=lambda one: -one[1]) if share >= _LEAST}

    def _within(self, sizes: Sequence[float], start: int, end: int) -> list[float]:
        begins = [0, *self.ends]
        return [size for size, first, last in zip(sizes, begins, self.ends) if first < end and start < last]


def _backing(sentence: str, answer: Answer) -> list[Backing]:
    """The facts that it cites, and those that bear it out: where a dream's own situation is remembered, these alone."""
    named, plain = cited(sentence), _CITED.sub("", sentence)
    same = [place for place, fact in enumerate(answer.evidence, 1) if fact.reason == SAYS_SO]

    def rests(place: int, fact: Fact) -> bool:
        if place in named or same:
            return place in named or place in same
        heeded = answer.verdict.branch < 0 and answer.attribution.attention.get(fact.id, 0.0) >= _HEEDED
        return heeded or bears_out(fact, plain)

    facts = enumerate(answer.evidence, 1)
    return [Backing(place, _shared(plain, fact)) for place, fact in facts if rests(place, fact)]


def _shared(sentence: str, fact: Fact) -> tuple[str, ...]:
    """The words of a sentence that stand in a fact."""
    there = set(terms(told(fact)))
    words = (word.strip(".,;:!?\"'()[]") for word in sentence.split())
    shared = (word for word in words if word.lower() not in _SMALL and there.issuperset(terms(word)) and terms(word))
    return tuple(dict.fromkeys(shared))


def _dreams(sentence: str, answer: Answer) -> list[int]:
    """The branch that the answer was worded from, and those that say the same."""
    winner = answer.verdict.branch
    others = [place for place, dream in enumerate(answer.dreams) if place != winner and _says(dream, sentence)]
    return [winner, *others] if 0 <= winner < len(answer.dreams) else []


def _says(dream: Dream, sentence: str) -> bool:
    """Whether a branch words it, or ends in what it says."""
    said, plain = " ".join(terms(dream.said)), " ".join(terms(sentence))
    if plain and f" {plain} " in f" {said} ":
        return True
    outcome = dream.triplets[-1].result.text if dream.triplets else ""
    return bool(outcome) and bears_out(Fact("", "", outcome, ""), sentence)
