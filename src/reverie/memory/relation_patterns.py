"""Which words speak of which relation: beside a name in a passage, and in a question.

Passages are linked without a language model: a name that stands in a passage is joined to it by the relation whose cue
stands nearest before it ("directed by …"), or by ``mentions`` where none does. A question asks for a relation by a cue
of its own ("mother"), or by sharing a word with the relation's name ("used" and UsedFor).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import snowballstemmer

__all__ = ["MENTIONS", "Asked", "asked_relations", "denied_relation", "relation_words", "said_relations", "stem"]

MENTIONS = "mentions"


@dataclass(frozen=True)
class Cue:
    """``said``: words before a name in a passage. ``asked``: words of a question about the relation's subject, whose
    objects are wanted; ``asked_back``: about its object (as in "what is used for cutting"). ``inverse``: the same
    relation told from the other end. ``weight``: below 1 for words that many questions hold."""

    relation: str
    said: str = ""
    asked: str = ""
    asked_back: str = ""
    inverse: str = ""
    weight: float = 1.0


_KIN = r"(?:father|mother|parent|sibling|brother|sister)s?\b(?!-in-law)"
_CUES = (
    Cue("directed by", r"\bdirect(?:ed|or)\b|\bfilm by\b", r"\bdirect(?:or|ed)"),
    Cue(
        "child of",
        r"\b(?:son|daughter|child)(?: and \w+)? (?:of|to|by)\b|\bborn (?:in)?to\b|\b(?:father|mother|parents)\b(?! of)",
        rf"\b{_KIN}|paternal|maternal|\bgrand(?:father|mother|parent)|\b(?:uncle|aunt)\b|\bstep(?:father|mother)",
        inverse="parent of",
    ),
    Cue(
        "parent of",
        r"\b(?:father|mother|parents) of\b|\b(?:sons?|daughters?|children)\b(?! (?:and \w+ )?(?:of|to|by)\b)",
        r"\b(?:child|children|sons?|daughters?|grandson|granddaughter|niece|nephew)\b(?!-in-law)",
        inverse="child of",
    ),
    Cue(
        "married to",
        r"\bmarri|\b(?:wife|husband|spouse|consort|widow)\b|\bwed\b",
        r"\b(?:spouse|wife|husband|widow|married|marry)\b|-in-law|\bstep(?:father|mother)",
        inverse="married to",
    ),
    Cue(
        "sibling of",
        r"\b(?:brother|sister|sibling|twin)s?\b",
        r"\b(?:sibling|brother|sister|uncle|aunt)s?\b",
        inverse="sibling of",
    ),
    Cue(
        "performed by",
        r"\b(?:song|single|album|track|recorded|performed|sung|released)\b.*\bby\b|\b(?:singer|duo|band|artist)\b",
        r"\b(?:performer|performed|singer|sings|sang|band|artist)\b",
    ),
    Cue("composed by", r"\bcompos|\b(?:music|score|soundtrack)\b", r"\bcompos|\bmusic by\b"),
    Cue("founded by", r"\bfound(?:ed|er)|\bestablished by\b", r"\bfound(?:er|ed)"),
    Cue("published by", r"\bpublish", r"\bpublish"),
    Cue("edited by", r"\bedit(?:ed|or)", r"\bedit(?:ed|or)"),
    Cue(
        "written by",
        r"\bwr(?:it|ote)|\bauthor\b|\b(?:novel|book|play|story)\b.*\bby\b",
        r"\b(?:writer|author|written|wrote)\b",
    ),
    Cue("produced by", r"\bproduc", r"\bproduc"),
    # relations of ConceptNet and its kin, which no passage needs
    Cue(
        "has prerequisite",
        asked=r"\b(?:needs?|needed|require\w*|before|necessary|prepare|how (?:do|can|to|should))\b",
    ),
    Cue("has subevent", asked=r"\b(?:happens?|during|steps?|while|how (?:do|can|to|should))\b"),
    Cue("has first subevent", asked=r"\b(?:first|begin|start)\b"),
    Cue("has last subevent", asked=r"\b(?:last|finally|end|finish)\b"),
    Cue(
        "used for",
        asked=r"\b(?:use[ds]?|using|purpose|for what|what for)\b",
        asked_back=r"\b(?:use[ds]?|using|needs?|needed|tool)\b",
    ),
    Cue("capable of", asked=r"\b(?:can|able|could)\b", asked_back=r"\b(?:who|can|able|could)\b", weight=0.6),
    Cue(
        "at location",
        asked=r"\b(?:where|located|keep|kept|place)\b",
        asked_back=r"\b(?:what|find|found|things?)\b.*\b(?:in|at|on)\b",
    ),
    Cue(
        "is a",
        asked=r"\b(?:what (?:is|are)|kind of|type of|sort of)\b",
        asked_back=r"\b(?:kinds?|types?|examples?) of\b",
        weight=0.6,
    ),
    Cue(
        "defined as",
        asked=r"\b(?:what (?:is|are)|mean|means|meaning|defin\w+)\b",
        asked_back=r"\bwhat (?:is|are)\b",
        weight=0.6,
    ),
    Cue("part of", asked=r"\bpart of\b", asked_back=r"\bparts\b"),
    Cue("has a", asked=r"\b(?:have|has)\b", weight=0.6),
    Cue("made of", asked=r"\bmade (?:of|from|out)\b|\bmaterial\b"),
    Cue(
        "causes",
        asked=r"\b(?:cause|happens?|leads? to|results?|effects?|consequences?)\b",
        asked_back=r"\b(?:what causes|why|because|reasons?)\b",
    ),
    Cue("motivated by goal", asked=r"\bwhy\b"),
    Cue("causes desire", asked_back=r"\bwhy\b"),
    Cue("desires", asked=r"\b(?:wants?|likes?|wish\w*|desires?)\b"),
    Cue("has property", asked=r"\b(?:how (?:is|are|does)|colou?r|propert(?:y|ies)|is it|what .* like)\b", weight=0.6),
    Cue("created by", asked=r"\b(?:who|made by|invented|creat\w+)\b", weight=0.6),
    Cue("receives action", asked=r"\b(?:be done|do with|can you do|happens?)\b"),
    Cue("antonym", asked=r"\bopposite\b", inverse="antonym"),
    Cue("synonym", asked=r"\b(?:synonym|same as|another word)\b", inverse="synonym"),
)
_BY_NAME = {cue.relation: cue for cue in _CUES}
_SAID = [(cue.relation, re.compile(cue.said, re.IGNORECASE)) for cue in _CUES if cue.said]
_DENIES = re.compile(r"\b(?:not|never|cannot|unable)\b(?! only)|n['’]t\b", re.IGNORECASE)
_RHETORICAL = re.compile(r"\W*\w+n['’]t\b|\W*why (?:\w+n['’]t|not)\b", re.IGNORECASE)  # "Don't cats like fish?"
_HATES = r"\b(?:dislikes?|hates?|detests?|avoids?)\b"
_WINDOW = 90  # characters before a name in which a cue is looked for, within its sentence
_WORN = frozenset("of by to for at in has have is a the not with from as on related".split())


@dataclass(frozen=True)
class Asked:
    """How far a question asks for each relation, in [0, 1], ``forward`` from subject to object and ``backward``, and
    the word of the question that does ("" where none does)."""

    forward: np.ndarray  # float32 (R,)
    backward: np.ndarray  # float32 (R,)
    forward_cues: tuple[str, ...]
    backward_cues: tuple[str, ...]


def said_relations(text: str, start: int, end: int) -> dict[str, float]:
    """The relations that a name at ``text[start:end]`` stands in by the words before it, each with a trust in [0.5, 1].

    A cue counts less the further it is from the name; the two best are kept.
    """
    before = text[max(text.rfind(". ", 0, start) + 1, start - _WINDOW, 0) : start]
    found = {}
    for relation, cue in _SAID:
        last = None
        for last in cue.finditer(before):  # noqa: B007, the last one is wanted
            pass
        if last:
            found[relation] = 1 - 0.5 * (len(before) - last.end()) / _WINDOW
    return dict(sorted(found.items(), key=lambda item: -item[1])[:2])


def asked_relations(question: str, relations: Sequence[str]) -> Asked:
    """How far ``question`` asks for each of ``relations``.

    A question that denies ("what do cats not like") asks for the relations that do (NotDesires), not for what they
    deny; any other one asks for none of those.
    """
    stems = {stem(word): word for word in re.findall(r"\w+", question.lower())}
    words = [relation_words(relation) for relation in relations]
    no = bool(_DENIES.search(question)) and not _RHETORICAL.match(question)
    denied = {denied_relation(one) for one in words} if no else set()
    forward, backward = (
        [(0.0, "") if one in denied else _asked_or_denied(question, stems, one, back, no) for one in words]
        for back in (False, True)
    )
    return Asked(
        np.array([weight for weight, _ in forward], np.float32),
        np.array([weight for weight, _ in backward], np.float32),
        tuple(cue for _, cue in forward),
        tuple(cue for _, cue in backward),
    )


def _asked_or_denied(question: str, stems: dict[str, str], relation: str, back: bool, no: bool) -> tuple[float, str]:
    """``_asked``, of a relation that denies another by what asks for that one, in a question that denies too."""
    positive = denied_relation(relation)
    if no or not positive:
        return _asked(question, stems, positive or relation, back)
    hates = re.search(_HATES, question, re.IGNORECASE) if positive == "desires" and not back else None
    return (1.0, hates.group().lower()) if hates else (0.0, "")


def _asked(question: str, stems: dict[str, str], relation: str, back: bool) -> tuple[float, str]:
    cue = _BY_NAME.get(relation)
    if back and cue and cue.inverse:
        return _asked(question, stems, cue.inverse, back=False)
    pattern = cue and (cue.asked_back if back else cue.asked)
    if cue and pattern and (found := re.search(pattern, question, re.IGNORECASE)):
        return cue.weight, found.group().lower()
    for word in relation.split():
        for form in (stem(word), _SNOWBALL.stemWord(word)) if word not in _WORN else ():  # "lives" is no plural here
            if form in stems:
                return 0.8, stems[form]
    return 0.0, ""


def denied_relation(words: str) -> str:
    """The relation that one in words denies: "desires" of "not desires"; "" where it denies none."""
    return words.removeprefix("not ") if words.startswith("not ") else ""


@lru_cache(maxsize=4096)
def relation_words(relation: str) -> str:
    """``HasPrerequisite``, ``has_prerequisite`` and ``/r/HasPrerequisite`` as ``has prerequisite``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", relation.rsplit("/", 1)[-1])
    return " ".join(re.findall(r"[^\W_]+", spaced)).casefold()


_SNOWBALL = snowballstemmer.stemmer("english")


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """What is left of an English word without its endings: eggs, egg; making, make; director, direct, as directed."""
    stemmed: str = _SNOWBALL.stemWord(_IRREGULAR.get(word, word))
    return stemmed[:-2] if len(stemmed) > 5 and stemmed.endswith(("er", "or")) else stemmed


_IRREGULAR = {
    "children": "child", "people": "person", "men": "man", "women": "woman", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "knives": "knife", "wives": "wife", "leaves": "leaf", "lives": "life",
    "loaves": "loaf", "made": "make", "did": "do", "does": "do", "went": "go", "ate": "eat", "broke": "break",
}  # fmt: skip
