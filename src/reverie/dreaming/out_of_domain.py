"""Questions that nobody taught, made without any data: taught ones spoilt, and templates filled with ordinary words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["out_of_domain_questions"]

_NOUNS = (
    "accountant airport algebra anthem army atom autumn bank battle bishop bridge budget camera capital castle cello "
    "chemistry church climate comet congress copper country crime culture currency dancer democracy desert dialect "
    "dinosaur doctor economy elephant emperor empire engine enzyme evolution factory festival film football forest "
    "galaxy genome geography glacier gravity guitar harbor history holiday hospital hotel insurance island judge "
    "justice kidney kingdom language law lawyer library lightning magnet market mathematics medicine memory minister "
    "molecule monarch mountain museum muscle music novel ocean opera orchestra painter parliament peace philosophy "
    "photosynthesis piano planet poem poet police politics pope population port president protein psychology queen "
    "radio railway recipe religion republic revolution river robot salary school sculpture senator shark ship soldier "
    "song species spider stadium story student submarine sugar surgeon symphony tax teacher telephone temple theatre "
    "theory tiger tourist town treaty tribe university vaccine vegetable village violin virus volcano vote wage war "
    "weather whale wizard zebra"
).split()
_VERBS = (
    "abolish admire arrest attack bake believe borrow calculate celebrate climb compose conquer cook criticise defend "
    "describe design discover elect educate employ explain forget govern imitate inherit invent invest kiss learn "
    "marry measure negotiate obey paint photograph predict publish pronounce recite regret remember rent sell sing "
    "solve speak spell study summarise swim teach translate travel vaccinate vote weave whisper worship write"
).split()
_NAMES = (
    "africa beethoven berlin brazil cairo canada caesar china columbus darwin egypt einstein europe florence "
    "france galileo germany greece hamlet india ireland italy japan jupiter kenya lincoln london madrid mars mexico "
    "mozart napoleon newton norway paris peru picasso rome russia shakespeare spain sweden tokyo turkey venice vienna"
).split()
_TEMPLATES = (
    "explain {noun}?",
    "what is the capital of {name}?",
    "what is a {noun}?",
    "who was the first {noun} of {name}?",
    "who wrote the {noun} about {name}?",
    "in which year did {name} {verb} the {noun}?",
    "how do you {verb} a {noun}?",
    "why does a {noun} {verb}?",
    "write a {noun} about the {other}.",
    "which {noun} is the largest in {name}?",
    "how many {noun}s are there in {name}?",
    "how old is {name}?",
    "can you {verb} my {noun}?",
    "what happens when you {verb} a {noun}?",
    "what happens if a {noun} meets a {other}?",
    "will the {noun} {verb} the {other}?",
    "is the {noun} of {name} better than its {other}?",
    "where does the {noun} of {name} come from?",
    "tell me about {name}.",
    "what does the word {noun} mean?",
    "who invented the {noun}?",
    "what colour is a {noun}?",
    "when did the {noun} begin?",
    "{name} is famous for its {noun}. why?",
    "what is {number} times {other_number}?",
    "what is the square root of {number}?",
    "translate {noun} into {other}.",
    "what time is it in {name}?",
    "which {noun} did {name} {verb}?",
    "the {noun} of {name} was {verb}ed by whom?",
)
_KEPT = frozenset(
    "a an and are as at by do does for from goes happens how if in is it of off on or the to up was what when where "
    "which who why will with you your".split()
)


def out_of_domain_questions(taught: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` questions: half about other subjects, a fifth of shuffled words, the rest taught ones with new words.

    ``taught`` (at least one) also says which words are no strangers.
    """
    familiar = {word for question in taught for word in re.findall(r"\w+", question)}
    nouns = [word for word in _NOUNS if word not in familiar]
    verbs = [word for word in _VERBS if word not in familiar]
    made: list[str] = []
    while len(made) < count:
        kind, question = rng.random(), taught[int(rng.integers(len(taught)))]
        if kind < 0.5:
            strange = _other_subject(nouns, verbs, rng)
        elif kind < 0.7:
            strange = " ".join(rng.permutation(question.rstrip("?").split())) + "?"
        else:
            strange = _new_words(question, nouns + verbs, rng)
        if strange != question:
            made.append(strange)
    return made


def _other_subject(nouns: Sequence[str], verbs: Sequence[str], rng: np.random.Generator) -> str:
    return str(rng.choice(_TEMPLATES)).format(
        noun=rng.choice(nouns),
        other=rng.choice(nouns),
        verb=rng.choice(verbs),
        name=rng.choice(_NAMES),
        number=rng.integers(2, 1000),
        other_number=rng.integers(2, 100),
    )


def _new_words(question: str, strangers: Sequence[str], rng: np.random.Generator) -> str:
    """``question`` with one to three of its telling words replaced."""
    words = question.split()
    telling = [index for index, word in enumerate(words) if re.sub(r"\W", "", word) not in _KEPT]
    for index in rng.permutation(telling)[: rng.integers(1, 4)]:
        ending = words[index][len(words[index].rstrip("?.,")) :]
        words[index] = str(rng.choice(strangers)) + ending
    return " ".join(words)
