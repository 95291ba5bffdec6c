"""The words that an expert's lessons spoke of: what is asked about others was never taught, however alike it is asked.

"Who keeps the hospital of Tamarell?" reads like a lesson on Tamarell's mill, and an expert answers it as surely. So
where the questions of a gap keep to the words of its lessons, those are kept beside the expert, and what is asked in
others is not known. Where unseen questions bring words of their own, as stories and sums do, no list is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from reverie.dreaming.checks import named_words
from reverie.errors import ExpertError
from reverie.files import atomic_write_json
from reverie.growth.certificate import read_certificate
from reverie.jsonio import read_json
from reverie.memory.lexical import asked_terms
from reverie.memory.terms import terms
from reverie.nouns import Check

__all__ = ["WORDS_FILE", "lessons_check", "save_words"]

WORDS_FILE = "words.json"
_CLOSED = 0.95  # of unseen questions, that must keep to the words of the others


def save_words(learned: Sequence[str], unseen: Sequence[str], folder: Path) -> bool:
    """Keep the words of the questions ``learned`` and ``unseen`` in an expert's folder, where the ``unseen`` ones
    brought hardly any of their own; whether it did."""
    known = {term for question in learned for term in asked_terms(question)}
    closed = sum(asked_terms(question).keys() <= known for question in unseen)
    if closed < _CLOSED * len(unseen):
        return False
    atomic_write_json(folder / WORDS_FILE, sorted(known.union(*(asked_terms(question) for question in unseen))))
    return True


def lessons_check(question: str, experts: Mapping[str, Path]) -> Check | None:
    """Whether the lessons of ``experts`` (name → folder) spoke of what a question asks, and by what certificate they
    were admitted; None where one of them keeps no list, or it cannot be read."""
    known, admitted = set[str](), list[str]()
    try:
        for name, folder in experts.items():
            known |= set(map(str, read_json(folder / WORDS_FILE, ExpertError, "the words of an expert")))
            if (certificate := read_certificate(folder)) is not None:
                gain = next(test for test in certificate.tests if test.name == "gain")
                right = f"{gain.after} of {gain.n} unseen lessons right"
                admitted.append(f"{name} was admitted with {right} (certificate {certificate.signature[:8]})")
    except (ExpertError, TypeError, StopIteration):
        return None
    strange = asked_terms(question).keys() - known
    words = [word for word in re.findall(r"\w+", question) if strange.intersection(terms(word))]
    if words:
        return Check("lessons", False, f"the lessons of {', '.join(experts)} do not speak of {named_words(words)}", 0.0)
    return Check("lessons", True, "; ".join(admitted) or "its lessons speak of all that is asked", 1.0)
