"""Which words of a question a speaker has never met: an answer about a blorptang is made up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reverie.memory.linking import STOP
from reverie.speakers.contract import Speaker

__all__ = ["strange_of", "strange_words", "word_surprises"]

_BEFORE = "Today I learned something about"
# nats of a word, with a full stop, below which it is strange: of 32 rare words 1 lies below (gazpacho), of 22 that were
# made up 18 do (SmolLM2-135M-Instruct; AUROC 0.98)
_STRANGE = -33.0
_SHORTEST, _MOST = 5, 24  # letters; words that are looked at


def strange_words(speaker: Speaker, question: str) -> list[str]:
    """The words of ``question``, in their order, that are hardly ever said; none where the speaker gives no scores."""
    return strange_of(word_surprises(speaker, [question])[0])


def strange_of(surprises: Mapping[str, float]) -> list[str]:
    return [word for word, nats in surprises.items() if nats < _STRANGE]


def word_surprises(speaker: Speaker, questions: Sequence[str]) -> list[dict[str, float]]:
    """Of each question the words that tell, in their order → their log-probability with a full stop, in nats. All are
    read in one call; empty where the speaker gives no scores."""
    words = [_telling(question) if speaker.abilities.scores else [] for question in questions]
    different = list(dict.fromkeys(word for some in words for word in some))
    scored = speaker.score([(_BEFORE, f" {word}.") for word in different]) if different else []
    nats = {word: one.log_prob for word, one in zip(different, scored, strict=True)}
    return [{word: nats[word] for word in some} for some in words]


def _telling(question: str) -> list[str]:
    words = (word for word in re.findall(r"[^\W\d_]+", question) if len(word) >= _SHORTEST)
    return list(dict.fromkeys(word for word in words if word.casefold() not in STOP))[:_MOST]
