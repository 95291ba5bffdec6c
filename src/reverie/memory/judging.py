"""How probable it is that what was recalled holds the answer: named features of a question and a fact or passage, and a
small logistic model of them, fitted by ``reverie bench ranking`` on things that it makes up.

Spreading says what is near the question; whether it answers is another matter: a memory of ten thousand bridges always
has one that is near. What tells is which of the question's names the candidate bears, whether it bears further ones,
whether anything at all bears them, and whether it has what is asked for (a number, a year, a name).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from reverie.errors import MemoryStoreError
from reverie.jsonio import read_json
from reverie.memory.answer_types import asked_type, has_type
from reverie.memory.lexical import MOST_CHARS, asked_terms, rarity, share_of
from reverie.memory.linking import STOP, EntityIndex
from reverie.memory.spelling import WORD, fold
from reverie.memory.terms import terms

__all__ = ["ABOUT", "FEATURES", "FILE", "Candidate", "Looked", "Ranking", "about_features", "features", "load_ranking"]

FILE = Path(__file__).with_name("ranking.json")
FEATURES = (
    "named",  # how much of the question's names is borne by what the candidate was reached from
    "foreign",  # share of that one's name that the question does not say
    "unheard",  # how much of the question's names nothing in the memory bears as they are spelled
    "covered",  # how much of the whole question the candidate's words hold
    "rest",  # how much of what is no name
    "asked",  # how far the question asks for the fact's relation
    "whole",  # whether all of the question's names are borne, and no further one
    "kin",  # of what is borne so, whether it is the word that follows on the name, too; 0.5 where there is none
    "asked_of_it",  # how far the relation is asked for, of what is borne so
    "one_step", "two_steps",  # edges between what is named and the candidate
    "onward",  # how far the question asks for what is said of the fact's far end
    "typed",  # whether it has the kind of thing that is asked for; 0.5 where the question does not say which
    "alone",  # of what was recalled from the same document, whether it alone has
    "like",  # cosine of its vector and the question's
    "nearer",  # by how much that is above the mean of the others recalled from the same document
    "ahead",  # its score in spreading less the best other one's
    "score",  # its score in spreading
)  # fmt: skip
ABOUT = (  # of all that was recalled together
    "named",  # how much of the question's names things bear, of each name the one that bears most of it
    "foreign",  # share of the names of these that the question does not say
    "unheard",
    "whole",  # whether every name is borne in full, by something whose name is said in full
    "kin",  # of what is borne so, whether that bears the word that follows on the name, too; 0.5 where there is none
    "covered",
    "asked",
    "asked_of_it",
    "score",
    "like",  # the greatest cosine
)


_JOINING = frozenset("of the de da di du la le von van der den al".split())


@dataclass(frozen=True)
class Candidate:
    """A fact or passage that was recalled."""

    kind: str  # fact or passage
    words: str  # all that it says
    far: str  # what of it may be the answer
    near: str = ""  # the end of it that was reached first
    start: str = ""  # the name of what it was reached from; "" where nothing is named
    score: float = 0.0
    asked: float = 0.0
    steps: int = 0
    like: float = 0.0
    document: int = 0  # the same for passages of one; 0: of none

    @cached_property
    def held(self) -> frozenset[str]:
        """The terms of its words."""
        return frozenset(terms(self.words))

    @cached_property
    def borne(self) -> tuple[str, ...]:
        """The terms of the name of what it was reached from."""
        return tuple(terms(self.start))


class Looked:
    """A question's terms, with how much each tells, and which of them are names."""

    def __init__(self, question: str, counts: Mapping[str, int], num: int, mended: Collection[str] = ()):
        found = asked_terms(question)
        self.type = asked_type(question)
        self.weights = {term: light * rarity(counts.get(term, 0), num) for term, light in found.items()}
        self.names = _names(question, self.weights)
        self.unheard = share_of(self.names, {term for term in self.names if not counts.get(term) or term in mended})
        self.rest = {term: weight for term, weight in self.weights.items() if term not in self.names}
        self.groups = _groups(question, self.names) if self.cased else [self.names]
        self.kin = _kin(question, self.names) if self.cased else None
        self.said = set(terms(question))

    @property
    def cased(self) -> bool:
        """Whether capitals tell names from other words."""
        return len(self.names) < len(self.weights)

    @property
    def group(self) -> str:
        return "cased" if self.cased else "uncased"

    @classmethod
    def of(cls, question: str, names: EntityIndex, in_texts: Mapping[str, int]) -> Looked:
        """``in_texts``: in how many texts each of its terms stands. A word that stands nowhere and is one letter from
        one that a name holds is taken for that."""
        question, mended = question[:MOST_CHARS], set[str]()
        for word in dict.fromkeys(WORD.findall(question)):
            found = asked_terms(word)
            if found and not any(in_texts.get(term) or names.bearers(term) for term in found):
                near = names.corrected(fold(word))
                if near != fold(word):
                    question = question.replace(word, near if word[0].islower() else near.capitalize())
                    mended.update(terms(near))
        counts = {term: in_texts.get(term, 0) + names.bearers(term) for term in asked_terms(question)}
        return cls(question, counts, names.count, mended)


@dataclass(frozen=True)
class Ranking:
    """Two logistic models; of each, one weight a feature and the bias last.

    ``weights``: of fact and passage, whether it holds the answer. ``about``: of questions with names ("cased") and
    without, whether the memory has anything about what is asked for. A name ends in "+vectors" where the vectors of
    ``embedder`` are known. ``floor``: the probability of that below which recall says that it has nothing, chosen so
    that all but ``risk`` of the rows of the fit lie below it for whose question there was nothing (of questions without
    capitals those that only lack a word of a name not counted).
    """

    weights: Mapping[str, Sequence[float]]
    about: Mapping[str, Sequence[float]]
    floor: Mapping[str, float]
    risk: Mapping[str, float]  # of cased and uncased questions
    embedder: str

    def judge(self, looked: Looked, candidates: Sequence[Candidate], vectors: bool = False) -> tuple[np.ndarray, bool]:
        """How probable it is that each candidate holds the answer, float64 (N,) in [0, 1], and whether the memory has
        anything about what is asked for."""
        rows = features(looked, candidates)
        sure = self.probabilities(rows, [one.kind for one in candidates], vectors)
        return sure, self.something(looked, candidates, rows, vectors) >= self.floor[_named(looked.group, vectors)]

    def probabilities(self, rows: np.ndarray, kinds: Sequence[str], vectors: bool = False) -> np.ndarray:
        """Of the ``features`` of candidates of these kinds: float64 (N,)."""
        weights = np.array([self.weights[_named(kind, vectors)] for kind in kinds]).reshape(-1, len(FEATURES) + 1)
        return _logistic((rows * weights[:, :-1]).sum(1) + weights[:, -1])

    def something(
        self, looked: Looked, candidates: Sequence[Candidate], rows: np.ndarray, vectors: bool = False
    ) -> float:
        """How probable it is that the memory has anything about what is asked for."""
        weights = np.array(self.about[_named(looked.group, vectors)])
        return float(_logistic(about_features(looked, candidates, rows) @ weights[:-1] + weights[-1]))


@cache
def load_ranking(path: Path = FILE) -> Ranking:
    """Read a fitted ranking. Raises MemoryStoreError where the file is damaged or of other features."""
    found = read_json(path, MemoryStoreError, "the ranking")
    try:
        if (tuple(found["features"]), tuple(found["about_features"])) != (FEATURES, ABOUT):
            raise ValueError("it was fitted on other features")
        return Ranking(found["weights"], found["about"], found["floor"], dict(found["risk"]), str(found["embedder"]))
    except (KeyError, TypeError, ValueError) as error:
        raise MemoryStoreError(f"{path} cannot be used: {error}") from error


def features(looked: Looked, candidates: Sequence[Candidate]) -> np.ndarray:
    """float64 (N, len(FEATURES)) of all that was recalled for one question."""
    best = sorted((one.score for one in candidates), reverse=True)
    typed = [_typed(looked, one) for one in candidates]
    rows = []
    for one, has in zip(candidates, typed, strict=True):
        borne, of = one.borne, one.document
        beside = [at for at, other in enumerate(candidates) if of and other.document == of and other is not one]
        likes = [candidates[at].like for at in beside]
        named = share_of(looked.names, borne)
        foreign = 1 - sum(term in looked.said for term in borne) / len(borne) if borne else 1.0
        whole = float(named > 0.99 and not foreign)
        rows.append(
            (
                named,
                foreign,
                looked.unheard,
                share_of(looked.weights, one.held),
                share_of(looked.rest, one.held),
                one.asked,
                whole,
                whole * (0.5 if looked.kin is None else float(looked.kin in borne)),
                whole * one.asked,
                float(one.steps == 1),
                float(one.steps > 1),
                max((other.asked for other in candidates if one.kind == "fact" and other.near == one.far), default=0.0),
                has,
                float(has == 1.0 and not any(typed[at] == 1.0 for at in beside)),
                one.like,
                one.like - sum(likes) / len(likes) if likes else 0.0,
                one.score - (best[1] if one.score == best[0] and len(best) > 1 else best[0]),
                one.score,
            )
        )
    return np.array(rows, float).reshape(-1, len(FEATURES))


def about_features(looked: Looked, candidates: Sequence[Candidate], rows: np.ndarray) -> np.ndarray:
    """float64 (len(ABOUT),) of a question, all that was recalled for it and the ``features`` of that."""
    if not len(rows):
        return np.array([0.0, 1.0, 1.0, *[0.0] * (len(ABOUT) - 3)])
    of = {name: rows[:, place] for place, name in enumerate(FEATURES)}
    texts = np.array([one.kind == "passage" for one in candidates])  # what a text speaks of it bears, too
    borne = [one.held if one.kind == "passage" else one.borne for one in candidates]
    whole, sums, kin = True, np.zeros(3), False
    for weights in looked.groups:
        shares = np.array([share_of(weights, held) for held in borne])
        full = (shares > 0.99) & (texts | (of["foreign"] == 0))
        kin = any(looked.kin in borne[place] for place in np.flatnonzero(full))  # of the last name
        whole, weight = whole and bool(full.any()), sum(weights.values())
        named = np.array([share_of(weights, one.borne) for one in candidates])
        foreign = 0.0 if full.any() else of["foreign"][np.argmax(named - of["foreign"])]
        sums += weight * np.array([shares.max(), foreign, 1.0])
    sums /= sums[2] or 1.0
    fits = float(whole) * (0.5 if looked.kin is None else float(kin))
    most = [of[name].max() for name in ("covered", "asked", "asked_of_it", "score", "like")]
    return np.array([*sums[:2], looked.unheard, float(whole), fits, *most])


def _named(name: str, vectors: bool) -> str:
    return f"{name}+vectors" if vectors else name


def _logistic(value: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(value, -30, 30)))
    return found


def _typed(looked: Looked, one: Candidate) -> float:
    return 0.5 if looked.type is None else float(has_type(looked.type, one.far, looked.said))


def _names(question: str, weights: Mapping[str, float]) -> dict[str, float]:
    """The terms of words with a capital; all, where there is none but the first."""
    words = WORD.findall(question)
    named = {
        term
        for place, word in enumerate(words)
        if not word[0].islower() and (place or fold(word) not in STOP)
        for term in terms(word)
        if term in weights
    }
    told = any(not word[0].islower() for word in words[1:])
    return {term: weight for term, weight in weights.items() if term in named} if told and named else dict(weights)


def _groups(question: str, names: Mapping[str, float]) -> list[dict[str, float]]:
    """The names of a question one by one: words with capitals that follow one another, over "of" and "the", too."""
    found: list[dict[str, float]] = [{}]
    joined = False
    for place, word in enumerate(WORD.findall(question)):
        if word[0].islower() or (not place and fold(word) in STOP):
            joined = joined and word in _JOINING
            continue
        if not joined:
            found.append({})
        joined = True
        found[-1] |= {term: names[term] for term in terms(word) if term in names}
    return [one for one in found if one and sum(one.values())] or [dict(names)]


def _kin(question: str, names: Mapping[str, float]) -> str | None:
    """The term of the word that follows on the last name of the question, as in "the Kerrow Bay bridge"."""
    words = WORD.findall(question)
    named = [place for place, word in enumerate(words) if not word[0].islower() and set(terms(word)) & names.keys()]
    after = words[named[-1] + 1] if named and named[-1] + 1 < len(words) else ""
    return terms(after)[0] if after and fold(after) not in STOP and terms(after) else None
